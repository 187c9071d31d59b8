package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/redis/go-redis/v9"

	"example.com/bench/benchpb"

	"github.com/firefly-go/firefly/runtime/table"
	"github.com/firefly-go/firefly/runtime/table/redisstore"
	"github.com/firefly-go/firefly/runtime/table/sqlstore"
	"github.com/firefly-go/firefly/runtime/table/tabletest/servers"
	"github.com/firefly-go/firefly/runtime/table/writeback"
)

// The rows of hero: of each of owners as many as one transaction writes. Callers have owners of their own.
const owners, each = 1024, 4

// bed is what is measured on: servers, tables on them, and connections of the rivals.
type bed struct {
	s       settings
	profile string
	dir     string
	maria   *servers.MariaDB
	pids    []int
	// The tables over a Redis that syncs its log with every answer, and over one that does so every second.
	always, everysec *world
	raw              *redis.Client // to the Redis of everysec
	direct           *sql.DB       // to a database of its own, with the same tables
	closes           []func()
}

// world is the tables of a game.
type world struct {
	redis   *servers.Redis
	cache   *redisstore.Cache
	durable *sqlstore.MySQL
	store   *writeback.Store
	flusher *writeback.Flusher
	db      *table.DB
	hero    *benchpb.HeroTable
	hoard   *benchpb.HoardTable
}

func specs() []*table.Spec { return []*table.Spec{benchpb.HeroSpec(), benchpb.HoardSpec()} }

// newBed starts everything and fills the tables.
func newBed(ctx context.Context, s settings) (b *bed, err error) {
	b = &bed{s: s}
	defer func() {
		if err != nil {
			b.close()
		}
	}()
	if b.dir, err = os.MkdirTemp("", "ff-bench-"); err != nil {
		return nil, err
	}
	b.closes = append(b.closes, func() { _ = os.RemoveAll(b.dir) })
	if b.maria, err = servers.StartMariaDB(b.dir, "--innodb-buffer-pool-size=256M"); err != nil {
		return nil, err
	}
	b.closes = append(b.closes, b.maria.Kill)
	b.pids = append(b.pids, b.maria.PID())
	root, err := open(b.maria.RootDSN(""), 1)
	if err != nil {
		return nil, err
	}
	defer func() { _ = root.Close() }()
	for _, name := range []string{"always", "everysec", "direct"} {
		if _, err := root.ExecContext(ctx, "CREATE DATABASE `"+name+"`"); err != nil {
			return nil, err
		}
		if err := b.fill(ctx, name); err != nil {
			return nil, err
		}
	}
	if b.direct, err = open(b.maria.DSN("direct"), 64); err != nil {
		return nil, err
	}
	b.closes = append(b.closes, func() { _ = b.direct.Close() })
	if b.always, err = b.world(ctx, "always"); err != nil {
		return nil, err
	}
	if b.everysec, err = b.world(ctx, "everysec"); err != nil {
		return nil, err
	}
	b.raw = redis.NewClient(&redis.Options{Addr: b.everysec.redis.Addr()})
	b.closes = append(b.closes, func() { _ = b.raw.Close() })
	var version string
	if err := b.direct.QueryRowContext(ctx, "SELECT VERSION()").Scan(&version); err != nil {
		return nil, err
	}
	info, err := b.raw.InfoMap(ctx, "server").Result()
	if err != nil {
		return nil, err
	}
	fmt.Printf("Redis %s, MariaDB %s, innodb_flush_log_at_trx_commit=1; %d rounds of %v\n", info["Server"]["redis_version"], version, s.rounds, s.d)
	return b, nil
}

func (b *bed) close() {
	for i := len(b.closes) - 1; i >= 0; i-- {
		b.closes[i]()
	}
}

// open is a pool that a careful game would have: statements with values in them are one round trip.
func open(dsn string, conns int) (*sql.DB, error) {
	c, err := mysql.ParseDSN(dsn)
	if err != nil {
		return nil, err
	}
	c.InterpolateParams = true
	c.Logger = log.New(io.Discard, "", 0)
	connector, err := mysql.NewConnector(c)
	if err != nil {
		return nil, err
	}
	db := sql.OpenDB(connector)
	db.SetMaxOpenConns(conns)
	db.SetMaxIdleConns(conns)
	return db, nil
}

// world opens the tables over a Redis of their own.
func (b *bed) world(ctx context.Context, fsync string) (*world, error) {
	w := &world{}
	dir := filepath.Join(b.dir, "redis-"+fsync)
	err := os.Mkdir(dir, 0o700)
	if err != nil {
		return nil, err
	}
	if w.redis, err = servers.StartRedis(dir, fsync); err != nil {
		return nil, err
	}
	b.closes = append(b.closes, w.redis.Kill)
	b.pids = append(b.pids, w.redis.PID())
	quiet := slog.New(slog.DiscardHandler)
	if w.durable, err = sqlstore.OpenMySQL(b.maria.DSN(fsync), sqlstore.MySQLOptions{Log: quiet}); err != nil {
		return nil, err
	}
	b.closes = append(b.closes, func() { _ = w.durable.Close() })
	if err := w.durable.Start(ctx, specs()); err != nil {
		return nil, err
	}
	if w.cache, err = redisstore.Open(redisstore.Options{URL: "redis://" + w.redis.Addr(), KeepsAll: fsync == "always", Log: quiet}); err != nil {
		return nil, err
	}
	b.closes = append(b.closes, func() { _ = w.cache.Close() })
	if err := w.cache.Start(ctx, specs()); err != nil {
		return nil, err
	}
	w.store = writeback.New(w.cache, w.durable, specs(), writeback.Options{Log: quiet})
	w.flusher = writeback.NewFlusher(w.cache, w.durable, writeback.FlusherOptions{Log: quiet})
	w.flusher.Start()
	b.closes = append(b.closes, func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		_ = w.flusher.Close(ctx)
		_ = w.store.Close()
	})
	w.db = table.NewDB(w.store, table.DBOptions{})
	w.hero, w.hoard = benchpb.NewHeroTable(w.db), benchpb.NewHoardTable(w.db)
	return w, w.warm(ctx)
}

// warm brings all rows into the cache.
func (w *world) warm(ctx context.Context) error {
	for o := range int64(owners) {
		var keys []benchpb.HeroKey
		for i := range int64(each) {
			keys = append(keys, benchpb.HeroKey{OwnerID: o + 1, ID: i + 1})
		}
		if _, err := w.hero.GetMany(ctx, keys...); err != nil {
			return err
		}
	}
	return nil
}

// drain stores all that waits.
func (w *world) drain() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	return w.flusher.Drain(ctx)
}

// hero is a row.
func hero(owner, id int64) []any {
	return []any{owner, id, fmt.Sprintf("the hero %d of %d", id, owner), 12, 100000 + id, 7, 1502.5, 1790000000000000 + owner, []byte(strings.Repeat("face", 10)), 1}
}

// fill makes the tables in a database, and the rows.
func (b *bed) fill(ctx context.Context, database string) error {
	db, err := open(b.maria.RootDSN(database), 1)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	text := sqlstore.SystemMySQL
	for _, s := range specs() {
		text += s.MySQL.Create
	}
	for s := range strings.SplitSeq(text, ";\n") {
		if s == "" {
			continue
		}
		if _, err := db.ExecContext(ctx, s); err != nil {
			return fmt.Errorf("%w in %s", err, s)
		}
	}
	var rows [][]any
	for o := range int64(owners) {
		for i := range int64(each) {
			rows = append(rows, hero(o+1, i+1))
		}
	}
	if err := insert(ctx, db, benchpb.HeroSpec(), rows); err != nil {
		return err
	}
	rows = rows[:0]
	for i := range int64(b.s.rows) {
		rows = append(rows, hero(i/each+1, i%each+1))
	}
	return insert(ctx, db, benchpb.HoardSpec(), rows)
}

func insert(ctx context.Context, db *sql.DB, s *table.Spec, rows [][]any) error {
	for len(rows) > 0 {
		n := min(len(rows), 500)
		var args []any
		for _, r := range rows[:n] {
			args = append(args, r...)
		}
		text := s.MySQL.Upsert + strings.Repeat(s.MySQL.UpsertRow+", ", n-1) + s.MySQL.UpsertRow
		if _, err := db.ExecContext(ctx, text, args...); err != nil {
			return err
		}
		rows = rows[n:]
	}
	return nil
}

var errNoRow = errors.New("no such row")
