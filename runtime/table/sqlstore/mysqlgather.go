package sqlstore

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/firefly-go/firefly/runtime/table"
)

// gatherMost is how many loads are joined in one statement.
const gatherMost = 64

// gatherer joins loads of single rows when there are more of them than connections for them: those that find
// all in use wait for one together and take it with one statement, which costs both sides less than a statement
// each. While there is a connection a load takes it at once. Loads that wait for transactions are not for it:
// one of them would hold up the others.
type gatherer struct {
	m     *MySQL
	limit int // of statements under way

	mu    sync.Mutex
	busy  int         // statements under way; who ends one begins the next for those that wait
	queue []*gathered // the oldest first
}

// gathered is a load that waits. Its fields are its own until done is closed, but for of.
type gathered struct {
	mt   *mysqlTable
	row  table.Row
	err  error
	done chan struct{}
	of   *gathering // guarded by gatherer.mu; nil while it is in the queue
}

// gathering is a statement for several loads. It is cancelled when the last of their callers has gone.
type gathering struct {
	cancel context.CancelFunc
	stay   int // guarded by gatherer.mu
}

// load fills a row. When ctx ends before that, row is as it was.
func (g *gatherer) load(ctx context.Context, mt *mysqlTable, row *table.Row) error {
	g.mu.Lock()
	if g.busy < g.limit {
		g.busy++
		g.mu.Unlock()
		defer g.next()
		return g.m.loadOne(ctx, mt, row, "")
	}
	w := &gathered{mt: mt, row: table.Row{Ref: row.Ref}, done: make(chan struct{})}
	g.queue = append(g.queue, w)
	g.mu.Unlock()
	select {
	case <-w.done:
		if w.err != nil {
			return w.err
		}
		*row = w.row
		return nil
	case <-ctx.Done():
		g.leave(w)
		return ctx.Err()
	}
}

func (g *gatherer) leave(w *gathered) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if w.of == nil {
		g.queue = slices.DeleteFunc(g.queue, func(o *gathered) bool { return o == w })
		return
	}
	if w.of.stay--; w.of.stay == 0 {
		w.of.cancel()
	}
}

// next ends a statement, and begins one for those that wait.
func (g *gatherer) next() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.queue) == 0 {
		g.busy--
		return
	}
	// Those that are for the table of the oldest.
	mt := g.queue[0].mt
	ctx, cancel := context.WithCancel(context.Background())
	of := &gathering{cancel: cancel}
	var some []*gathered
	g.queue = slices.DeleteFunc(g.queue, func(w *gathered) bool {
		if w.mt != mt || len(some) == gatherMost {
			return false
		}
		w.of = of
		some = append(some, w)
		return true
	})
	of.stay = len(some)
	go func() {
		defer g.next()
		defer cancel()
		g.run(ctx, mt, some)
	}()
}

// run fills the rows of loads. A row that cannot be read is the matter of the one who asked for it.
func (g *gatherer) run(ctx context.Context, mt *mysqlTable, some []*gathered) {
	refs, rows := make([]table.Ref, len(some)), make([]table.Row, len(some))
	for i, w := range some {
		refs[i] = w.row.Ref
		rows[i].Ref = w.row.Ref
	}
	err := g.m.loadMany(ctx, mt, refs, rows, "")
	alone := errors.As(err, new(unreadable))
	for i, w := range some {
		if alone {
			w.err = g.m.loadOne(ctx, mt, &w.row, "")
		} else {
			w.row, w.err = rows[i], err
		}
		close(w.done)
	}
}
