package writeback

import (
	"context"
	"math"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/table"
	"github.com/firefly-go/firefly/runtime/table/tabletest"
	"github.com/firefly-go/firefly/runtime/table/tabletest/servers"
)

// few keeps the items of the database below 100, which the declaration does not say.
const few = "ALTER TABLE item ADD CONSTRAINT few CHECK (`count` < 100)"

// put inserts items of owner 1, each alone and many at once.
func (w *world) put(from, to int64, n func(id int64) int64) {
	w.Helper()
	ids := make(chan int64)
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for id := range ids {
				op := w.item(1, id, n(id))
				op.Fresh = true
				if err := w.commit(w.ctx, op); err != nil {
					w.Error(err)
				}
			}
		})
	}
	for id := from; id < to; id++ {
		ids <- id
	}
	close(ids)
	wg.Wait()
}

// aside are the rows of owner 1's shard that are put aside.
func (w *world) aside() []table.Poisoned {
	w.Helper()
	p, err := w.cache.Poisoned(w.ctx, w.itemRef(1).Place.Shard(worldShards))
	w.ok(err)
	return p
}

// A row that violates a constraint is put aside and reported while 10,000 others flow.
func TestPoisonAmongTenThousand(t *testing.T) {
	w := newWorldWith(t, maria.Get(t), tabletest.NewTables(""), "everysec")
	w.maria.Exec(t, w.name, few)
	const rows, bad = 10_001, 4711
	w.put(1, rows+1, func(id int64) int64 {
		if id == bad {
			return 100
		}
		return id % 100
	})
	var told atomic.Int32
	o := quickOptions()
	o.Retry = time.Hour
	o.Poisoned = func(p table.Poisoned) {
		if p.Ref == w.itemRef(bad) && strings.Contains(p.Error, "few") {
			told.Add(1)
		}
	}
	f := w.flusher(o)
	w.clean()
	await(t, "it is told", func() bool { return told.Load() > 0 })
	if p := w.aside(); len(p) != 1 || p[0].Ref != w.itemRef(bad) || p[0].Attempts != 1 || !strings.Contains(p[0].Error, "few") || told.Load() != 1 {
		t.Errorf("put aside: %v, told %d times", p, told.Load())
	}
	await(t, "all is counted", func() bool { return f.Stats().Rows >= rows-1 && f.Stats().Poisoned == 1 }) // a slow cache has some stored twice
	var n int
	w.ok(w.maria.Open(t, w.name).QueryRow("SELECT COUNT(*) FROM item").Scan(&n))
	if n != rows-1 {
		t.Errorf("%d rows are stored", n)
	}
	if v := w.read(t, w.itemRef(bad)).Values[tabletest.ItemCount].Int(); v != 100 {
		t.Errorf("the cache has %d", v)
	}
}

// 13. Rows that are refused, and everything that is no reason to put rows aside.
func TestCase13(t *testing.T) {
	setup := func(t *testing.T) (*world, *Flusher) {
		w := newWorld(t)
		w.maria.Exec(t, w.name, few)
		w.put(1, 501, func(id int64) int64 { return []int64{5, 100}[id/500] }) // the last one is bad
		o := quickOptions()
		o.Retry = time.Hour
		f := w.flusher(o)
		w.clean()
		await(t, "one row is put aside", func() bool { return f.Stats().Quarantined == 1 && len(w.aside()) == 1 })
		return w, f
	}
	bad := func(w *world) table.Ref { return w.itemRef(500) }
	stored := func(w *world, n int64) {
		w.Helper()
		await(w.T, "the row is stored", func() bool { return w.count(500) == n && len(w.aside()) == 0 })
		w.same(bad(w))
	}
	t.Run("repaired by a write", func(t *testing.T) {
		w, _ := setup(t)
		w.ok(w.commit(w.ctx, add(bad(w), tabletest.ItemCount, -1)))
		stored(w, 99)
	})
	t.Run("a write that does not repair it", func(t *testing.T) {
		w, f := setup(t)
		w.ok(w.commit(w.ctx, add(bad(w), tabletest.ItemCount, 1)))
		await(t, "it is put aside again", func() bool { return f.Stats().Quarantined == 2 })
		w.ok(w.commit(w.ctx, add(bad(w), tabletest.ItemCount, -50)))
		stored(w, 51)
	})
	t.Run("retry", func(t *testing.T) {
		w, _ := setup(t)
		w.maria.Exec(t, w.name, "ALTER TABLE item DROP CONSTRAINT few")
		found, err := w.cache.Retry(w.ctx, bad(w))
		w.ok(err)
		if !found {
			t.Error("the row is not put aside")
		}
		stored(w, 100)
	})
	t.Run("discard", func(t *testing.T) {
		w, _ := setup(t)
		lost, found, err := w.cache.Discard(w.ctx, bad(w))
		w.ok(err)
		if !found || len(lost) != 4 || lost[tabletest.ItemCount].Int() != 100 {
			t.Errorf("found %v, lost %v", found, lost)
		}
		stored(w, -1)
		w.ok(w.commit(w.ctx, w.item(1, 500, 7)))
		stored(w, 7)
	})
	t.Run("a second unique index", func(t *testing.T) {
		w := newWorld(t)
		w.maria.Exec(t, w.name, "CREATE UNIQUE INDEX odd ON item (`count`)") // which the declaration does not have
		w.put(1, 301, func(id int64) int64 { return id })
		o := quickOptions()
		o.Retry = time.Hour
		f := w.flusher(o)
		w.ok(w.commit(w.ctx, w.item(1, 400, 7)))
		w.clean()
		p := w.aside()
		if len(p) != 1 || p[0].Ref != w.itemRef(7) && p[0].Ref != w.itemRef(400) || !strings.Contains(p[0].Error, "that only the database has") || f.Stats().Quarantined != 1 {
			t.Errorf("put aside: %+v; %+v", p, f.Stats())
		}
		var n int
		w.ok(w.maria.Open(t, w.name).QueryRow("SELECT COUNT(*) FROM item").Scan(&n))
		if n != 300 {
			t.Errorf("%d rows are stored", n)
		}
	})
	t.Run("in a transaction", func(t *testing.T) {
		w, f := setup(t)
		w.ok(w.commit(w.ctx, w.item(1, 600, 1), w.item(1, 601, 100), w.item(1, 602, 2)))
		await(t, "the others are stored", func() bool { return w.count(600) == 1 && w.count(602) == 2 })
		await(t, "the bad one is put aside", func() bool { return len(w.aside()) == 2 })
		if s := f.Stats(); s.Torn == 0 || w.count(601) != -1 {
			t.Errorf("%+v", s)
		}
	})
	// What goes wrong for all rows, and goes away: nothing is put aside, and everything is stored in the end.
	for name, c := range map[string]struct{ breaks, mends string }{
		"the table is missing": {"RENAME TABLE item TO elsewhere", "RENAME TABLE elsewhere TO item"},
		"a column is missing":  {"ALTER TABLE item RENAME COLUMN count TO elsewhere", "ALTER TABLE item RENAME COLUMN elsewhere TO count"},
		"no right to write":    {"REVOKE INSERT ON *.* FROM game@'%'", "GRANT INSERT ON *.* TO game@'%'"},
		"a read-only server":   {"SET GLOBAL read_only = 1", "SET GLOBAL read_only = 0"},
		"a column that is new": {"ALTER TABLE item ADD COLUMN more INT NOT NULL", "ALTER TABLE item DROP COLUMN more"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.ok(w.commit(w.ctx, w.item(1, 1, 1)))
			f := w.flusher(quickOptions())
			w.clean()
			admin := w.maria.Open(t, w.name)
			do := func(s string) {
				if _, err := admin.Exec(s); err != nil {
					t.Fatal(err)
				}
			}
			do(c.breaks)
			mended := false
			defer func() {
				if !mended {
					do(c.mends)
				}
			}()
			// Connections keep the rights that they began with.
			w.db.Forget()
			w.put(2, 300, func(id int64) int64 { return id })
			mail := insert(w.Mail, &tabletest.Mail{ID: 1, To: 1, Text: "hello"})
			mail.Fresh = true // it does not need the database now
			w.ok(w.commit(w.ctx, mail))
			next := int64(1000)
			await(t, "it is noticed", func() bool {
				// A connection that was in use meanwhile has stored what was there.
				w.db.Forget()
				w.put(next, next+1, func(id int64) int64 { return id })
				next++
				s := f.Stats()
				return len(s.Stalled) > 0 || s.Away > 0
			})
			if s := f.Stats(); len(s.Stalled) > 0 && !strings.HasPrefix(c.breaks, "REVOKE") {
				await(t, "other tables are stored", func() bool { return w.stored(mail.Ref).Version != 0 })
			}
			do(c.mends)
			mended = true
			await(t, "what waited is stored", func() bool { w.db.Forget(); return w.count(299) == 299 && w.stored(mail.Ref).Version != 0 })
			w.clean()
			if s := f.Stats(); s.Quarantined != 0 || w.count(299) != 299 || w.stored(mail.Ref).Version == 0 {
				t.Errorf("%+v, stored %d", s, w.count(299))
			}
		})
	}
}

// nightly reports whether tests have their long form: quiet machine, and time.
func nightly() bool { return os.Getenv("FIREFLY_NIGHTLY") != "" }

// outage is how long the database is away in TestCase20.
func outage() time.Duration {
	if nightly() {
		return 60 * time.Second
	}
	return 3 * time.Second
}

// 20. The database is away under load: rows that are cached are written and read as if it were there, in every
// second, all others are refused soon, numbers for new rows go on for a while, and everything is stored
// afterwards. In the long form it is away for 60 seconds; there times count, too.
func TestCase20(t *testing.T) {
	for name, c := range map[string]struct{ away, back func(m *servers.MariaDB) }{
		"stopped": {func(m *servers.MariaDB) { m.Stop() }, nil},
		"killed":  {func(m *servers.MariaDB) { m.Kill() }, nil},
		"hangs":   {func(m *servers.MariaDB) { m.Pause() }, func(m *servers.MariaDB) { m.Resume() }},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			defer func() { w.maria.Resume(); w.ok(w.maria.Start()) }()
			const rows = 400
			w.put(1, rows+1, func(int64) int64 { return 0 })
			o := quickOptions()
			o.Timeout = 2 * time.Second
			f := w.flusher(o)
			w.clean()
			first, err := w.store.Reserve(w.ctx, w.Item.Spec, 10)
			w.ok(err)
			var writes, slow atomic.Int64
			var down atomic.Bool
			stop := make(chan struct{})
			var wg sync.WaitGroup
			var sums [rows + 1]atomic.Int64
			for n := range 4 {
				wg.Go(func() {
					for id := int64(n + 1); ; id += 4 {
						if id > rows {
							id = int64(n + 1)
						}
						select {
						case <-stop:
							return
						default:
						}
						began := time.Now()
						if err := w.commit(w.ctx, add(w.itemRef(id), tabletest.ItemCount, 1)); err != nil {
							t.Error(err)
							return
						}
						sums[id].Add(1)
						if down.Load() {
							writes.Add(1)
							if time.Since(began) > 2*time.Second {
								slow.Add(1)
							}
						}
					}
				})
			}
			c.away(w.maria)
			down.Store(true)
			seconds := int(outage() / time.Second)
			// What is not cached cannot be known.
			ctx, cancel := context.WithTimeout(w.ctx, time.Second)
			began := time.Now()
			err = w.commit(ctx, add(w.Item.Ref(tabletest.ItemKey{OwnerID: 77, ID: 1}), tabletest.ItemCount, 1))
			cancel()
			w.code(err, firefly.Unavailable)
			if nightly() && time.Since(began) > 10*time.Second {
				t.Errorf("it took %v to say so", time.Since(began))
			}
			ctx, cancel = context.WithTimeout(w.ctx, 10*time.Second)
			if next, err := w.store.Reserve(ctx, w.Item.Spec, 10); err != nil || next < first+10 {
				t.Errorf("numbers while it is away: %d, %v", next, err)
			}
			cancel()
			least, reads := int64(math.MaxInt64), int64(0)
			for range seconds {
				before := writes.Load()
				for ends := time.Now().Add(time.Second); time.Now().Before(ends); time.Sleep(10 * time.Millisecond) {
					w.read(t, w.itemRef(1+reads%rows))
					reads++
				}
				least = min(least, writes.Load()-before)
				await(t, "a row is written in this second", func() bool { return writes.Load() > before })
			}
			await(t, "the flusher knows", func() bool { return f.Stats().Away > 0 })
			down.Store(false)
			close(stop)
			wg.Wait()
			if c.back != nil {
				c.back(w.maria)
			}
			w.ok(w.maria.Start())
			w.clean()
			t.Logf("%d writes and %d reads while it was away for %v, at least %d writes in a second, %d slow ones, none refused; %+v", writes.Load(), reads, outage(), least, slow.Load(), f.Stats())
			if nightly() && (least == 0 || slow.Load() > 0) {
				t.Errorf("%d writes in a second, %d slow ones", least, slow.Load())
			}
			for id := int64(1); id <= rows; id++ {
				if got := w.count(id); got != sums[id].Load() {
					t.Fatalf("item %d is stored with %d of %d", id, got, sums[id].Load())
				}
			}
			if s := f.Stats(); s.Quarantined+s.Torn+s.Ahead != 0 {
				t.Errorf("%+v", s)
			}
		})
	}
}
