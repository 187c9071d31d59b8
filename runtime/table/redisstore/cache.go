package redisstore

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/redisconn"
	"github.com/firefly-go/firefly/runtime/table"
)

// Options are the settings of a Cache. URL is needed; everything else works when it is zero.
type Options struct {
	// URL is where Redis is: redis://user:password@host:6379/0, rediss:// with TLS; with Cluster a first node,
	// and others as ?addr=host:port.
	URL     string
	Cluster bool
	// Sentinels, Master and SentinelPassword are those of redisconn.Options.
	Sentinels        []string
	Master           string
	SentinelPassword string
	// Namespace begins every key, so that several games can share a server; "ff" when empty.
	Namespace string
	// Shards is how many shards there are, 256 when 0. It cannot change while anything is cached.
	Shards int
	// KeepsAll says that the server never forgets what it has acknowledged: appendfsync is always, and no
	// replica ever takes its place. Then rows are good after a restart without a look at the database. Start
	// refuses when it is not so.
	KeepsAll bool
	// Patience is how long a command that surely was not executed is tried again; 2 seconds when 0.
	Patience time.Duration
	// Lease is how long a process may take to load a row or a list; 5 seconds when 0.
	Lease time.Duration
	// ListIdle is how long an unused list stays that was just stored; 30 minutes when 0. Tables say it of
	// lists that are loaded.
	ListIdle time.Duration
	// Negative is how long it is remembered at most that a row does not exist; 1 minute when 0.
	Negative time.Duration
	// Copied is how long a commit to a table that is Replicated waits for a replica; 1 second when 0.
	Copied time.Duration
	// Heartbeat is how often it is looked whether writes to tables with copies are heard, 1 second when 0; copies
	// are used for 3 heartbeats without one.
	Heartbeat time.Duration
	Log       *slog.Logger
}

// Cache is a table.Cache in Redis.
type Cache struct {
	o        Options
	conn     *redisconn.Conn
	prefixes []string // of the keys of each shard
	layouts  layouts
	used     used
	warn     warnings
	news     newsroom
	lost     atomic.Int64
	named    func() // for tests: called in Take between the naming and the reading of rows; nil: not
}

var _ table.Cache = (*Cache)(nil)

// Open makes a Cache; it connects with its first command.
func Open(o Options) (*Cache, error) {
	set := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	set(&o.Lease, 5*time.Second)
	set(&o.ListIdle, 30*time.Minute)
	set(&o.Negative, time.Minute)
	set(&o.Copied, time.Second)
	set(&o.Heartbeat, time.Second)
	if o.Shards == 0 {
		o.Shards = 256
	}
	if o.Shards < 1 || o.Shards > slots {
		return nil, firefly.InvalidArgument.Errorf("redisstore: %d shards; there may be 1 to %d", o.Shards, slots)
	}
	if o.Namespace == "" {
		o.Namespace = "ff"
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	conn, err := redisconn.Open(redisconn.Options{URL: o.URL, Cluster: o.Cluster,
		Sentinels: o.Sentinels, Master: o.Master, SentinelPassword: o.SentinelPassword, KeepsAll: o.KeepsAll, Patience: o.Patience}, scripts())
	if err != nil {
		return nil, firefly.InvalidArgument.Errorf("%w", err)
	}
	c := &Cache{o: o, conn: conn, prefixes: make([]string, o.Shards)}
	c.used.begin = time.Now()
	c.warn.log = o.Log
	c.news.run, c.news.stop = context.WithCancel(context.Background())
	for i, tag := range tags(o.Shards) {
		c.prefixes[i] = o.Namespace + ":{" + tag + "}:"
	}
	c.layouts.add(table.Once, 1, nil)
	return c, nil
}

// Shards implements table.Cache.
func (c *Cache) Shards() int { return len(c.prefixes) }

// Forgets implements table.Cache.
func (c *Cache) Forgets() bool { return !c.o.KeepsAll }

// Vanished is how many rows were to be stored and were not there. It is 0 unless somebody deletes keys.
func (c *Cache) Vanished() int64 { return c.lost.Load() }

// Close implements table.Cache.
func (c *Cache) Close() error {
	c.news.mu.Lock() // nobody begins to listen behind this
	c.news.stop()
	c.news.mu.Unlock()
	c.news.wg.Wait()
	return c.conn.Close()
}

// warnings says something once.
type warnings struct {
	log  *slog.Logger
	mu   sync.Mutex
	said map[string]bool
}

func (w *warnings) once(key, text string, args ...any) {
	w.mu.Lock()
	again := w.said[key]
	if w.said == nil {
		w.said = map[string]bool{}
	}
	w.said[key] = true
	w.mu.Unlock()
	if !again {
		w.log.Warn(text, args...)
	}
}
