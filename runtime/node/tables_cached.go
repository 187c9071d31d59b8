package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"regexp"
	"slices"

	"github.com/go-sql-driver/mysql"

	"github.com/firefly-go/firefly/runtime/table"
	"github.com/firefly-go/firefly/runtime/table/redisstore"
	"github.com/firefly-go/firefly/runtime/table/sqlstore"
	"github.com/firefly-go/firefly/runtime/table/writeback"
)

// storeCached is the store of tables in Redis and MySQL.
const storeCached = "cached"

// The environment of a game's secrets, behind its name: ARENA_MYSQL_PASSWORD.
const (
	envMySQLPassword          = "MYSQL_PASSWORD"
	envRedisPassword          = "REDIS_PASSWORD"
	envSentinelPassword       = "SENTINEL_PASSWORD"
	envDirectoryRedisPassword = "DIRECTORY_REDIS_PASSWORD"
)

// mysqlDSN is where the database is, with its password from the environment.
func (l *Launch) mysqlDSN(getenv func(string) string) string {
	m := l.Tables.MySQL
	c := mysql.NewConfig()
	c.Net, c.Addr, c.DBName, c.User = "tcp", m.Address, m.Database, m.User
	c.Passwd = getenv(envName(l.Game) + "_" + envMySQLPassword)
	if m.TLS {
		c.TLSConfig = "true"
	}
	return c.FormatDSN()
}

// cached is the store of a node in Redis and MySQL, and a flusher between them on nodes with role store.
type cached struct {
	durable *sqlstore.MySQL
	cache   *redisstore.Cache
	store   *writeback.Store
	flusher *writeback.Flusher // nil: other nodes have one
}

// openCached opens Redis and MySQL where the node has to do with tables. What must hold there is checked
// first.
func (t *tables) openCached(ctx context.Context, n *instance, all []*table.Spec) (err error) {
	flushes := slices.Contains(n.config.Roles, storeRole)
	uses := slices.ContainsFunc(n.o.roles, func(r Role) bool { return len(r.Tables) > 0 && slices.Contains(n.config.Roles, r.Name) })
	if !flushes && !uses {
		return nil
	}
	c := &cached{}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.close(ctx))
		}
	}()
	dsn := n.o.launch.mysqlDSN(n.o.getenv)
	if n.o.migrations != nil {
		s, err := sqlstore.MySQLSchema(ctx, dsn, n.o.migrations)
		if err == nil {
			err = s.Check()
		}
		if err != nil {
			return fmt.Errorf("the database: %w", err)
		}
	}
	if c.durable, err = sqlstore.OpenMySQL(dsn, sqlstore.MySQLOptions{Log: n.o.log}); err != nil {
		return err
	}
	if err := c.durable.Start(ctx, all); err != nil {
		return fmt.Errorf("the database: %w", err)
	}
	l := n.o.launch
	o := redisstore.Options{
		URL: l.redisURL(l.Tables.Redis, envRedisPassword, n.o.getenv), Cluster: l.Tables.Redis.Cluster, Namespace: l.Tables.Namespace, Shards: l.Tables.Shards,
		Sentinels: l.Tables.Redis.Sentinels, Master: l.Tables.Redis.Master, SentinelPassword: l.sentinelPassword(n.o.getenv),
		KeepsAll: l.Tables.Redis.KeepsAll, Log: n.o.log,
	}
	if c.cache, err = redisstore.Open(o); err != nil {
		return err
	}
	if err := c.cache.Start(ctx, all); err != nil {
		return fmt.Errorf("the cache: %w", err)
	}
	c.store = writeback.New(c.cache, c.durable, all, writeback.Options{Log: n.o.log})
	if flushes {
		c.flusher = writeback.NewFlusher(c.cache, c.durable, writeback.FlusherOptions{Specs: all, Log: n.o.log})
		c.flusher.Start()
		t.keeper = &keeper{cache: c.cache, stats: c.flusher.Stats}
	}
	t.cached = c
	return nil
}

// close stores what waits here, for as long as ctx allows; what is left is in the cache, for the next flusher.
func (c *cached) close(ctx context.Context) error {
	var errs []error
	if c.flusher != nil {
		errs = append(errs, c.flusher.Close(ctx))
	}
	if c.store != nil {
		errs = append(errs, c.store.Close())
	}
	if c.cache != nil {
		errs = append(errs, c.cache.Close())
	}
	if c.durable != nil {
		errs = append(errs, c.durable.Close())
	}
	return errors.Join(errs...)
}

// checkReplicated refuses tables that need a replica where there is none.
func (l *Launch) checkReplicated(roles []Role) {
	if r := l.Tables.Redis; r == nil || !r.KeepsAll {
		return
	}
	for _, t := range specs(roles) {
		if t.Durability == table.Replicated {
			l.say("/tables/redis/keeps_all", "tables.redis.keeps_all says that no replica takes the place of Redis, and the table %q is REPLICATED", t.Name)
		}
	}
}

var namespaceText = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,64}$`)

// checkCached holds what the launch file says of Redis and MySQL against what there is to say.
func (l *Launch) checkCached() {
	t := l.Tables
	if t.Namespace = l.namespace(); !namespaceText.MatchString(t.Namespace) {
		l.say("/tables/namespace", "tables.namespace %q: write letters, digits, '_', '-' and '.', at most 64", t.Namespace)
	}
	if _, given := l.at["/tables/shards"]; t.Shards == 0 && !given {
		t.Shards = 256
	}
	if t.Shards < 1 || t.Shards > 16384 {
		l.say("/tables/shards", "tables.shards is %d; there are 1 to 16384", t.Shards)
	}
	if r := t.Redis; r == nil || len(r.Addresses) == 0 && !watched(r) {
		l.say("/tables/redis", "tables.store %q needs tables.redis.addresses", storeCached)
	} else {
		l.checkRedis("/tables/redis", "tables.redis", r)
	}
	m := t.MySQL
	if m == nil {
		l.say("/tables", "tables.store %q needs tables.mysql with address, database and user", storeCached)
		return
	}
	if _, _, err := net.SplitHostPort(m.Address); err != nil {
		l.say("/tables/mysql/address", "tables.mysql.address: %q is not host:port", m.Address)
	}
	if m.Database == "" || m.User == "" {
		l.say("/tables/mysql", "tables.mysql needs database and user; the password comes from %s_%s", envName(l.Game), envMySQLPassword)
	}
}
