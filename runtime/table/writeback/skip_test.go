package writeback

import (
	"context"
	"testing"

	"github.com/firefly-go/firefly/runtime/table"
	"github.com/firefly-go/firefly/runtime/table/tabletest"
)

// A row whose id a game brings along is not overwritten by one that gets a number later.
func TestSkip(t *testing.T) {
	w := newWorld(t)
	first, err := w.store.Reserve(w.ctx, w.Item.Spec, 1)
	w.ok(err)
	var brought []table.Ref
	for _, id := range []int64{first + 1, first + 500} { // of what this process has taken, and behind it
		op := w.item(7, id, 10)
		w.ok(w.commit(w.ctx, op))
		brought = append(brought, op.Ref)
	}
	w.drainOnce()
	w.ok(w.cache.Forget(w.ctx, brought))
	other := w.open(w.redis.Addr(), w.maria.DSN(w.name), Options{})
	for _, p := range []*process{w.process, other} {
		for range 600 {
			id, err := p.store.Reserve(w.ctx, w.Item.Spec, 1)
			w.ok(err)
			op := w.item(7, id, 1)
			op.Fresh = true
			w.ok(p.commit(w.ctx, op))
		}
	}
	for _, ref := range brought {
		if n := w.read(t, ref).Values[tabletest.ItemCount].Int(); n != 10 {
			t.Errorf("%s has %d", ref, n)
		}
	}
}

// One that is brought along while no number was ever given counts too.
func TestSkipFirst(t *testing.T) {
	w := newWorld(t)
	next, err := w.db.Skip(context.Background(), w.Item.Spec, 41)
	w.ok(err)
	if again, err := w.db.Skip(context.Background(), w.Item.Spec, 7); next != 42 || again != 42 || err != nil {
		t.Errorf("next is %d, then %d: %v", next, again, err)
	}
	if id, err := w.db.Reserve(context.Background(), w.Item.Spec, 1); id != 42 || err != nil {
		t.Errorf("reserved %d: %v", id, err)
	}
}
