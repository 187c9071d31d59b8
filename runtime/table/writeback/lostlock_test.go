package writeback

import (
	"context"
	"sync"
	"testing"

	"github.com/firefly-go/firefly/runtime/table"
	"github.com/firefly-go/firefly/runtime/table/tabletest"
)

// mark is how long the append-only file is; with appendfsync always all that was answered is in it.
func (w *world) mark() int64 {
	w.Helper()
	_, n, err := w.redis.AOF()
	w.ok(err)
	return n
}

// Redis forgets the locks of a durable commit while that is under way, and somebody else loads its rows and
// writes one: both writes count, and lists have what the commit did.
func TestLostLock(t *testing.T) {
	for _, step := range []string{"locked 1", "sure"} {
		t.Run(step, func(t *testing.T) {
			w := newWorld(t)
			a, b := apart()
			ann, bob := w.Player.Ref(a), w.Player.Ref(b)
			sword, given := w.Item.Ref(tabletest.ItemKey{OwnerID: a, ID: 7}), w.Item.Ref(tabletest.ItemKey{OwnerID: b, ID: 7})
			w.ok(w.commit(w.ctx, w.player(a, "Ann", 100), w.player(b, "Bob", 100)))
			w.ok(w.commit(w.ctx, w.item(a, 7, 1)))
			w.drainOnce()
			mark := w.mark()
			slow := w.open(w.redis.Addr(), w.maria.DSN(w.name), Options{})
			paused, resume := make(chan struct{}), make(chan struct{})
			var once sync.Once
			slow.store.decider.o.step = func(s string) {
				if s == step {
					once.Do(func() { close(paused); <-resume })
				}
			}
			done, other := make(chan error, 1), make(chan error, 1)
			go func() { done <- slow.commit(t.Context(), trade(w.Tables, a, b)...) }()
			<-paused
			w.ok(w.redis.GoBack(mark))
			list := func(owner int64) int {
				rows, err := w.store.Find(t.Context(), &table.Query{Table: w.Item.Spec, Index: tabletest.ByOwner, By: []table.Value{table.IntOf(owner)}})
				if err != nil {
					t.Error(err)
				}
				return len(rows)
			}
			go func() {
				err := w.commit(t.Context(), add(ann, tabletest.PlayerGold, 1))
				list(a)
				list(b)
				other <- err
			}()
			if step == "locked 1" {
				w.ok(<-other)
				other <- nil
			} else {
				db := w.maria.Open(t, w.name)
				await(t, "somebody waits for the commit", func() bool {
					var n int
					w.ok(db.QueryRow("SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE INFO LIKE '%player%" + "LOCK IN SHARE MODE'").Scan(&n))
					return n > 0 || len(other) > 0
				})
			}
			close(resume)
			w.ok(<-done)
			w.ok(<-other)
			w.flusher(quickOptions())
			if list(a) != 0 || list(b) != 1 {
				t.Errorf("they have %d and %d items", list(a), list(b))
			}
			w.clean()
			ra, rb := w.read(t, ann).Values[tabletest.PlayerGold].Int(), w.read(t, bob).Values[tabletest.PlayerGold].Int()
			if ra != 106 || rb != 95 {
				t.Errorf("they have %d and %d gold", ra, rb)
			}
			w.same(ann, bob, sword, given)
		})
	}
}

// lateFlush is a database that stores late.
type lateFlush struct {
	table.Durable
	once          sync.Once
	reached, goOn chan struct{}
}

func (l *lateFlush) Flush(ctx context.Context, batch []table.ShardBatch, sure func(context.Context) error) ([]int, []table.Image, error) {
	l.once.Do(func() { close(l.reached); <-l.goOn })
	return l.Durable.Flush(ctx, batch, sure)
}

// Redis forgets a write while a flusher stores it, and somebody else loads the row as the database had it
// before: it is not stored behind his back.
func TestLateFlush(t *testing.T) {
	w := newWorld(t)
	ann := w.Player.Ref(1)
	w.ok(w.commit(w.ctx, w.player(1, "Ann", 100)))
	mark := w.mark()
	w.ok(w.commit(w.ctx, add(ann, tabletest.PlayerGold, 1)))
	late := &lateFlush{Durable: w.db, reached: make(chan struct{}), goOn: make(chan struct{})}
	f := startFlusher(t, w.cache, late, quickOptions())
	<-late.reached
	w.ok(w.redis.GoBack(mark))
	if gold := w.read(t, ann).Values[tabletest.PlayerGold].Int(); gold != 100 {
		t.Fatalf("she has %d after Redis went back", gold)
	}
	close(late.goOn)
	w.ok(f.Drain(w.ctx)) // which is at least the end of that flush
	w.same(ann)
	w.ok(w.commit(w.ctx, add(ann, tabletest.PlayerGold, 10)))
	w.clean()
	w.same(ann)
}
