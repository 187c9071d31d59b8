package node

import (
	"context"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/directory"
	"github.com/firefly-go/firefly/runtime/directory/redisdir"
)

// directoryInRedis is the session directory in Redis.
const directoryInRedis = "redis"

// redisURL is where a Redis is, with its password from the environment.
func (l *Launch) redisURL(r *firefly.RedisConfig, password string, getenv func(string) string) string {
	at := r.Addresses
	if len(r.Sentinels) > 0 {
		at = r.Sentinels[:1] // they say where it is
	}
	u := url.URL{Scheme: "redis", Host: at[0], Path: "/" + strconv.Itoa(r.Database)}
	if r.TLS {
		u.Scheme = "rediss"
	}
	if r.Cluster {
		u.Path = ""
	}
	if p := getenv(envName(l.Game) + "_" + password); p != "" || r.User != "" {
		u.User = url.UserPassword(r.User, p)
	}
	q := url.Values{}
	for _, a := range at[1:] {
		q.Add("addr", a)
	}
	u.RawQuery = q.Encode()
	return u.String()
}

// checkRedis holds what the launch file says of a Redis against what there is to say.
func (l *Launch) checkRedis(at jsontext.Pointer, what string, r *firefly.RedisConfig) {
	if watched(r) && len(r.Addresses) == 0 {
		l.checkSentinels(at, what, r)
		return
	}
	if watched(r) {
		l.say(at, "%s has addresses and sentinels, which say where Redis is; leave one out", what)
	}
	for i, a := range r.Addresses {
		l.address(ptrTo2(at, "addresses", i), what+".addresses", a)
	}
	if len(r.Addresses) > 1 && !r.Cluster {
		l.say(at.AppendToken("addresses"), "%s has %d addresses and is no cluster; several are nodes of one: \"cluster\": true", what, len(r.Addresses))
	}
	if r.Database < 0 || r.Cluster && r.Database != 0 {
		l.say(at.AppendToken("database"), "%s.database %d: a cluster has 0 only, and none is below", what, r.Database)
	}
}

// watched reports whether sentinels say where a Redis is.
func watched(r *firefly.RedisConfig) bool { return len(r.Sentinels) > 0 || r.Master != "" }

// checkSentinels holds what the launch file says of sentinels against what there is to say.
func (l *Launch) checkSentinels(at jsontext.Pointer, what string, r *firefly.RedisConfig) {
	for i, a := range r.Sentinels {
		l.address(ptrTo2(at, "sentinels", i), what+".sentinels", a)
	}
	if len(r.Sentinels) == 0 || r.Master == "" {
		l.say(at, "%s needs both sentinels and master, the name that they know it by", what)
	}
	if r.Cluster {
		l.say(at.AppendToken("cluster"), "%s.cluster: sentinels watch a server that is no cluster", what)
	}
	if r.KeepsAll {
		l.say(at.AppendToken("keeps_all"), "%s.keeps_all says that no replica takes the place of Redis, and sentinels see to it that one does", what)
	}
	if r.Database < 0 {
		l.say(at.AppendToken("database"), "%s.database %d is below 0", what, r.Database)
	}
}

// sentinelPassword is what sentinels ask, from the environment.
func (l *Launch) sentinelPassword(getenv func(string) string) string {
	return getenv(envName(l.Game) + "_" + envSentinelPassword)
}

// namespace begins the keys of the game in every Redis.
func (l *Launch) namespace() string {
	if l.Tables != nil && l.Tables.Namespace != "" {
		return l.Tables.Namespace
	}
	return l.Game
}

// directoryRedis is where the Redis of the directory is, and what its password is called; nil when nothing says
// it.
func (l *Launch) directoryRedis() (r *firefly.RedisConfig, password string) {
	switch {
	case l.DirectoryRedis != nil:
		return l.DirectoryRedis, envDirectoryRedisPassword
	case l.Tables != nil:
		return l.Tables.Redis, envRedisPassword
	}
	return nil, ""
}

// storeRouting is Single while the nodes with role store keep what only one of them can: the directory, or the
// file of an embedded store. Any number can flush a cache.
func (l *Launch) storeRouting() firefly.Routing {
	if l.Directory == directoryInRedis && l.Tables != nil && l.Tables.Store == storeCached {
		return firefly.LeastLoaded
	}
	return firefly.Single
}

// checkDirectory holds who knows where players are against the nodes. store: one plays that role.
func (l *Launch) checkDirectory(store bool) {
	if l.Directory == "" {
		l.Directory = "memory"
		if store {
			l.Directory = "store"
		}
	}
	switch l.Directory {
	case "store":
		if !store {
			l.say("/directory", "directory is %q and no node plays role %q", l.Directory, storeRole)
		}
	case "memory":
		if len(l.Nodes) > 1 {
			l.say("/directory", "directory %q serves one node only; give a node the role %q", l.Directory, storeRole)
		}
	case directoryInRedis:
		r, _ := l.directoryRedis()
		switch {
		case l.DirectoryRedis != nil && len(r.Addresses) == 0 && !watched(r):
			l.say("/directory_redis", "directory_redis needs addresses")
		case l.DirectoryRedis != nil:
			l.checkRedis("/directory_redis", "directory_redis", r)
		case r == nil:
			l.say("/directory", "directory is %q, and nothing says where that Redis is: directory_redis does, or tables.redis of tables that are %q",
				l.Directory, storeCached)
		}
		if l.Tables == nil && !namespaceText.MatchString(l.Game) {
			l.say("/game", "game %q begins the keys in Redis: write letters, digits, '_', '-' and '.', at most 64", l.Game)
		}
	default:
		l.say("/directory", "directory %q is none of store, redis, memory", l.Directory)
	}
	if l.DirectoryRedis != nil && l.Directory != directoryInRedis {
		l.say("/directory_redis", "directory_redis is of a directory that is %q, and it is %q", directoryInRedis, l.Directory)
	}
}

// openDirectory opens the directory in Redis, where that has it and the node asks it for something: all do but
// those that only flush.
func (n *instance) openDirectory(ctx context.Context) error {
	l := n.o.launch
	if l.Directory != directoryInRedis || !slices.ContainsFunc(n.config.Roles, func(r string) bool { return r != storeRole }) {
		return nil
	}
	r, password := l.directoryRedis()
	d, err := redisdir.Open(redisdir.Options{
		URL: l.redisURL(r, password, n.o.getenv), Cluster: r.Cluster, Namespace: l.namespace(), KeepsAll: r.KeepsAll, Log: n.o.log,
		Sentinels: r.Sentinels, Master: r.Master, SentinelPassword: l.sentinelPassword(n.o.getenv),
	})
	if err != nil {
		return err
	}
	if err := d.Start(ctx); err != nil {
		_ = d.Close()
		return firefly.CodeOf(err).Errorf("the session directory: %w", err)
	}
	n.redis = newRedisDirectory(d)
	return nil
}

// redisDirectory is the directory in Redis of one node. Nobody else tells it of processes that died, as the node
// that keeps a directory tells its own, so every node does. It owns one goroutine.
type redisDirectory struct {
	*redisdir.Directory
	cancel context.CancelFunc
	ended  sync.WaitGroup

	mu   sync.Mutex
	dead []firefly.Incarnation
	wake chan struct{} // has room for one
}

func newRedisDirectory(d *redisdir.Directory) *redisDirectory {
	ctx, cancel := context.WithCancel(context.Background())
	r := &redisDirectory{Directory: d, cancel: cancel, wake: make(chan struct{}, 1)}
	r.ended.Go(func() { r.forget(ctx) })
	return r
}

// over notes that a process is surely dead. It does not block.
func (r *redisDirectory) over(dead firefly.Incarnation) {
	r.mu.Lock()
	r.dead = append(r.dead, dead)
	r.mu.Unlock()
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// forget tells Redis of the dead. It does not insist: their leases end by themselves.
func (r *redisDirectory) forget(ctx context.Context) {
	for {
		r.mu.Lock()
		dead := r.dead
		r.dead = nil
		r.mu.Unlock()
		for _, i := range dead {
			r.tell(ctx, i)
		}
		select {
		case <-r.wake:
		case <-ctx.Done():
			return
		}
	}
}

func (r *redisDirectory) tell(ctx context.Context, dead firefly.Incarnation) {
	ctx, cancel := context.WithTimeout(ctx, directory.TTL)
	defer cancel()
	for r.Forget(ctx, dead) != nil {
		if firefly.Sleep(ctx, 200*time.Millisecond) != nil {
			return
		}
	}
}

// close ends the goroutine, and lets Redis go.
func (r *redisDirectory) close() error {
	r.cancel()
	r.ended.Wait()
	return r.Directory.Close()
}
