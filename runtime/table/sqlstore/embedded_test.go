package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/firefly-go/firefly"

	"github.com/firefly-go/firefly/runtime/table"
	"github.com/firefly-go/firefly/runtime/table/tabletest"
)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func TestEmbedded(t *testing.T) {
	tabletest.Run(t, tabletest.Options{}, func(t *testing.T, specs []*table.Spec) table.Store {
		e, err := OpenEmbedded(t.Context(), filepath.Join(t.TempDir(), "game.db"), specs, EmbeddedOptions{Log: quiet()})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := e.Close(); err != nil {
				t.Error(err)
			}
		})
		return e
	})
}

// blocked opens a store whose writer waits until go on is called, at the latest when the test ends.
func blocked(t *testing.T, specs []*table.Spec, o EmbeddedOptions) (e *Embedded, goOn func()) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "game.db")
	o.Log = quiet()
	e, err := OpenEmbedded(t.Context(), file, specs, o)
	if err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", sqliteURL(file))
	if err != nil {
		t.Fatal(err)
	}
	c, err := db.Conn(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.ExecContext(t.Context(), "BEGIN IMMEDIATE"); err != nil {
		t.Fatal(err)
	}
	goOn = sync.OnceFunc(func() {
		if _, err := c.ExecContext(context.Background(), "ROLLBACK"); err != nil {
			t.Error(err)
		}
		if err := errors.Join(c.Close(), db.Close()); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		goOn()
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e, goOn
}

// waiting waits until n commits stand in the queue.
func waiting(t *testing.T, e *Embedded, n int) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); e.Stats().Waiting != n; time.Sleep(100 * time.Microsecond) {
		if time.Now().After(end) {
			t.Fatalf("%d commits wait, not %d", e.Stats().Waiting, n)
		}
	}
}

// Commits that come while one is written share the next write, in the order in which they came; those that are
// refused leave no trace, and do no harm to the others.
func TestGroup(t *testing.T) {
	tables := tabletest.NewTables("")
	e, goOn := blocked(t, tables.Specs(), EmbeddedOptions{})
	account := func(id int64) table.Op {
		return table.Op{Kind: table.Insert, Ref: tables.Account.Ref(id), Set: []table.Assign{{Column: 0, Value: table.IntOf(id)}}}
	}
	var wg sync.WaitGroup
	submit := func(c *table.Commit, check func(err error)) {
		wg.Go(func() { check(e.Commit(context.Background(), c)) })
	}
	// The first is taken out of the queue at once, and waits for the file.
	submit(&table.Commit{Ops: []table.Op{account(1)}}, func(err error) {
		if err != nil {
			t.Error(err)
		}
	})
	waiting(t, e, 0)
	for e.stats.taken.Load() == 0 {
		time.Sleep(100 * time.Microsecond)
	}
	const n = 60
	for i := range int64(n) {
		if i%3 == 2 {
			// A row that is there, behind one that is not.
			submit(&table.Commit{Ops: []table.Op{account(1000 + i), account(1)}}, func(err error) {
				if firefly.CodeOf(err) != firefly.AlreadyExists {
					t.Errorf("commit %d: %v", i, err)
				}
			})
		} else {
			c := &table.Commit{Ops: []table.Op{{Kind: table.Update, Ref: tables.Account.Ref(1), Add: []table.AddTo{{Column: tabletest.AccountBalance, Delta: 1}}}}}
			want := i - i/3 + 1 - min(i%3/2, 1)
			submit(c, func(err error) {
				if err != nil || c.Ops[0].Sums[0] != want {
					t.Errorf("commit %d: %v %v, want %d", i, c.Ops[0].Sums, err, want)
				}
			})
		}
		waiting(t, e, int(i)+1)
	}
	goOn()
	wg.Wait()
	s := e.Stats()
	if s.Batches != 2 || s.Commits != 1+n*2/3 || s.Refused != n/3 || s.Waiting != 0 {
		t.Errorf("%+v", s)
	}
	for i := range int64(n) {
		var row [1]table.Row
		if err := e.Read(t.Context(), []table.Ref{tables.Account.Ref(1000 + i)}, row[:]); err != nil || row[0].Version != 0 {
			t.Errorf("a commit that was refused left row %d: %v", 1000+i, err)
		}
	}
}

// A full queue refuses at once, and a commit that nobody waits for any more is not executed.
func TestQueue(t *testing.T) {
	tables := tabletest.NewTables("")
	e, goOn := blocked(t, tables.Specs(), EmbeddedOptions{Queue: 3})
	add := func(ctx context.Context, id int64) error {
		return e.Commit(ctx, &table.Commit{Ops: []table.Op{{Kind: table.Insert, Ref: tables.Account.Ref(id), Set: []table.Assign{{Column: 0, Value: table.IntOf(id)}}}}})
	}
	ctx, cancel := context.WithCancel(t.Context())
	errs := make(chan error, 4)
	go func() { errs <- add(t.Context(), 1) }()
	for e.stats.taken.Load() == 0 {
		time.Sleep(100 * time.Microsecond)
	}
	for i := range int64(3) {
		go func() { errs <- add(ctx, 2+i) }()
		waiting(t, e, int(i)+1)
	}
	if err := add(t.Context(), 5); firefly.CodeOf(err) != firefly.Overloaded {
		t.Errorf("one more than the queue holds: %v", err)
	}
	cancel()
	for range 3 {
		if err := <-errs; firefly.CodeOf(err) != firefly.Unavailable {
			t.Errorf("who gave up hears %v", err)
		}
	}
	goOn()
	if err := <-errs; err != nil {
		t.Error(err)
	}
	waiting(t, e, 0) // what nobody waits for is taken out of the queue
	if err := add(t.Context(), 6); err != nil {
		t.Error(err)
	}
	for id := range int64(7) {
		var row [1]table.Row
		if err := e.Read(t.Context(), []table.Ref{tables.Account.Ref(id)}, row[:]); err != nil || (row[0].Version != 0) != (id == 1 || id == 6) {
			t.Errorf("account %d is %v: %v", id, row[0], err)
		}
	}
}
