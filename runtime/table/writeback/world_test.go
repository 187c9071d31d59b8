package writeback

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/table"
	"github.com/firefly-go/firefly/runtime/table/redisstore"
	"github.com/firefly-go/firefly/runtime/table/sqlstore"
	"github.com/firefly-go/firefly/runtime/table/tabletest"
	"github.com/firefly-go/firefly/runtime/table/tabletest/servers"
)

// maria is the database of the tests that need a real one.
var maria servers.Shared

func TestMain(m *testing.M) {
	if step := os.Getenv(dieAt); step != "" {
		commitAndDie(step)
		return
	}
	if of := os.Getenv(idsOf); of != "" {
		insertForIDs(of)
		return
	}
	code := m.Run()
	maria.Close()
	os.Exit(code)
}

const worldShards = 8

// world is a real Redis and a real MariaDB with the tables of the suite, and one process's view of them.
type world struct {
	*testing.T
	*tabletest.Tables
	ctx   context.Context
	redis *servers.Redis
	maria *servers.MariaDB
	name  string // of the database
	raw   *redis.Client
	*process
}

// process is what a process of a game has open.
type process struct {
	cache *redisstore.Cache
	db    *sqlstore.MySQL
	store *Store
}

func silent() *slog.Logger { return slog.New(slog.DiscardHandler) }

func newWorld(t *testing.T) *world {
	t.Helper()
	return newWorldOn(t, maria.Get(t), tabletest.NewTables(""))
}

func newWorldOn(t *testing.T, m *servers.MariaDB, tables *tabletest.Tables) *world {
	t.Helper()
	return newWorldWith(t, m, tables, "always")
}

// newWorldWith makes a world whose Redis syncs its file as fsync says.
func newWorldWith(t *testing.T, m *servers.MariaDB, tables *tabletest.Tables, fsync string) *world {
	t.Helper()
	w := &world{T: t, Tables: tables, ctx: t.Context(), redis: servers.NewRedis(t, fsync), maria: m}
	w.name = m.Database(t)
	for _, s := range w.Specs() {
		s.Flush = 20 * time.Millisecond
		m.Exec(t, w.name, strings.TrimSuffix(s.MySQL.Create, ";\n"))
	}
	w.raw = redis.NewClient(&redis.Options{Addr: w.redis.Addr(), MaxRetries: -1})
	t.Cleanup(func() { _ = w.raw.Close() })
	w.process = w.open(w.redis.Addr(), m.DSN(w.name), Options{})
	return w
}

// open opens another process's view; addresses may be those of proxies.
func (w *world) open(redisAddr, dsn string, o Options) *process {
	w.Helper()
	p, err := openProcess(w.ctx, redisAddr, dsn, w.Specs(), o)
	w.ok(err)
	w.Cleanup(p.close)
	return p
}

func openProcess(ctx context.Context, redisAddr, dsn string, specs []*table.Spec, o Options) (*process, error) {
	cache, err := redisstore.Open(redisstore.Options{URL: "redis://" + redisAddr, Shards: worldShards, Log: silent()})
	if err != nil {
		return nil, err
	}
	db, err := sqlstore.OpenMySQL(dsn, sqlstore.MySQLOptions{Log: silent()})
	if err != nil {
		return nil, err
	}
	all := append([]*table.Spec{table.Once}, specs...)
	if err := cache.Start(ctx, all); err != nil {
		return nil, err
	}
	if err := db.Start(ctx, specs); err != nil {
		return nil, err
	}
	if o.Log == nil {
		o.Log = silent()
	}
	return &process{cache, db, New(cache, db, specs, o)}, nil
}

func (p *process) close() {
	_ = p.store.Close()
	_ = p.cache.Close()
	_ = p.db.Close()
}

func (w *world) ok(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func (w *world) code(err error, want firefly.Code) {
	w.Helper()
	if firefly.CodeOf(err) != want {
		w.Fatalf("%v, want %s", err, want)
	}
}

// flusher starts one over the process's view.
func (w *world) flusher(o FlusherOptions) *Flusher {
	w.Helper()
	return startFlusher(w.T, w.cache, w.db, o)
}

func (p *process) commit(ctx context.Context, ops ...table.Op) error {
	return p.store.Commit(ctx, &table.Commit{Ops: ops})
}

// insert is an Insert of a row.
func insert[K comparable, R any](c *table.Codec[K, R], row R) table.Op {
	values, err := c.Values(row, nil)
	if err != nil {
		panic(err) // rows of tests encode
	}
	op := table.Op{Kind: table.Insert, Ref: c.Ref(c.KeyOf(row))}
	for i, v := range values {
		op.Set = append(op.Set, table.Assign{Column: i, Value: v})
	}
	return op
}

func (w *world) player(id int64, name string, gold int64) table.Op {
	return insert(w.Player, &tabletest.Player{ID: id, Name: name, Gold: gold})
}

func (w *world) item(owner, id, count int64) table.Op {
	return insert(w.Item, &tabletest.Item{OwnerID: owner, ID: id, Count: count})
}

func add(ref table.Ref, column int, delta int64) table.Op {
	return table.Op{Kind: table.Update, Ref: ref, Add: []table.AddTo{{Column: column, Delta: delta}}}
}

func set(ref table.Ref, column int, v table.Value) table.Op {
	return table.Op{Kind: table.Update, Ref: ref, Set: []table.Assign{{Column: column, Value: v}}}
}

func gone(ref table.Ref) table.Op { return table.Op{Kind: table.Delete, Ref: ref} }

// read is what the store says of a row.
func (p *process) read(t testing.TB, ref table.Ref) table.Row {
	t.Helper()
	out := make([]table.Row, 1)
	if err := p.store.Read(t.Context(), []table.Ref{ref}, out); err != nil {
		t.Fatal(err)
	}
	return out[0]
}

// stored is what the database says of a row.
func (w *world) stored(ref table.Ref) table.Row {
	w.Helper()
	out := make([]table.Row, 1)
	w.ok(w.db.Load(w.ctx, []table.Ref{ref}, out, false))
	return out[0]
}

// clean waits until nothing waits in the cache but quarantined rows.
func (w *world) clean() {
	w.Helper()
	await(w.T, "all is stored", func() bool {
		for s := range worldShards {
			c, err := w.cache.Count(w.ctx, s)
			w.ok(err)
			if c.Plain+c.Tx > 0 {
				return false
			}
		}
		return true
	})
}

// same compares cache and database.
func (w *world) same(refs ...table.Ref) {
	w.Helper()
	for _, ref := range refs {
		c, d := w.read(w.T, ref), w.stored(ref)
		if c.Version != d.Version && (c.Version != 0) == (d.Version != 0) && d.Version != 0 || (c.Version == 0) != (d.Version == 0) || c.Version != 0 && fmt.Sprint(c.Values) != fmt.Sprint(d.Values) {
			w.Errorf("%s: the cache has %d %v, the database %d %v", ref, c.Version, c.Values, d.Version, d.Values)
		}
	}
}

// Redis and MariaDB together do what every store must.
func TestStore(t *testing.T) {
	n := 0
	r := servers.NewRedis(t, "always")
	m := maria.Get(t)
	name := m.Database(t)
	tabletest.Run(t, tabletest.Options{Steps: 1000}, func(t *testing.T, specs []*table.Spec) table.Store {
		n++
		for _, s := range specs {
			s.Flush = 20 * time.Millisecond
			m.Exec(t, name, strings.TrimSuffix(s.MySQL.Create, ";\n"))
		}
		p, err := openProcess(t.Context(), r.Addr(), m.DSN(name), specs, Options{})
		if err != nil {
			t.Fatal(err)
		}
		o := quickOptions()
		o.Lease = time.Minute // what is left of a shard that it lost would be of tables that the next one does not know
		f := NewFlusher(p.cache, p.db, o)
		f.Start()
		t.Cleanup(func() {
			ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
			defer cancel()
			if err := f.Close(ctx); err != nil {
				t.Error(err)
			}
			if s := f.Stats(); s.Quarantined+s.Fenced+s.Torn > 0 {
				t.Errorf("%+v", s)
			}
			p.close()
		})
		return p.store
	})
}
