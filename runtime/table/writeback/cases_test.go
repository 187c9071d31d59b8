package writeback

import (
	"testing"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/table"
	"github.com/firefly-go/firefly/runtime/table/tabletest"
)

// The orders of events in which a cache that is written back can lose something, each made by hand on a
// real Redis and a real MariaDB. All rows of these tests lie with owner 1.

func (w *world) itemRef(id int64) table.Ref {
	return w.Item.Ref(tabletest.ItemKey{OwnerID: 1, ID: id})
}

func (w *world) count(id int64) int64 {
	w.Helper()
	r := w.stored(w.itemRef(id))
	if r.Version == 0 {
		return -1
	}
	return r.Values[tabletest.ItemCount].Int()
}

// 3. A flusher that was paused with an older image does not bring back what its successor has deleted.
func TestCase03(t *testing.T) {
	w := newWorld(t)
	ref := w.itemRef(1)
	w.ok(w.commit(w.ctx, w.item(1, 1, 5)))
	a := w.hand("a", ref.Place)
	old := a.take()
	a.die()
	b := w.hand("b", ref.Place)
	w.ok(w.commit(w.ctx, gone(ref)))
	b.all()
	if fenced, _ := a.flush(old); !fenced {
		t.Error("the first flusher may still write")
	}
	if n := w.count(1); n != -1 {
		t.Errorf("the row is there again, with %d", n)
	}
	// Fenced or not, a deleted row does not come back by an older image.
	a.epoch = b.epoch
	if fenced, ahead := a.flush(old); fenced || len(ahead) != 1 || w.count(1) != -1 {
		t.Errorf("fenced %v, ahead %v, count %d", fenced, ahead, w.count(1))
	}
	w.same(ref)
}

// 5. A flusher dies between the database and the cache: the next one stores the same again, which does no
// harm.
func TestCase05(t *testing.T) {
	w := newWorld(t)
	ref := w.itemRef(1)
	w.ok(w.commit(w.ctx, w.item(1, 1, 5), w.item(1, 2, 6)))
	a := w.hand("a", ref.Place)
	a.flush(a.take())
	before := w.stored(ref)
	a.die()
	b := w.hand("b", ref.Place)
	if n := b.waiting(); n.Tx != 2 {
		t.Errorf("%+v", n)
	}
	b.all()
	if after := w.stored(ref); after.Version != before.Version || b.waiting().Tx+b.waiting().Plain != 0 {
		t.Errorf("version %d, then %d; %+v", before.Version, after.Version, b.waiting())
	}
	w.same(ref, w.itemRef(2))
}

// 6. What is written between Take and Ack waits for the next time.
func TestCase06(t *testing.T) {
	w := newWorld(t)
	ref := w.itemRef(1)
	h := w.hand("a", ref.Place)
	w.ok(w.commit(w.ctx, w.item(1, 1, 5)))
	images := h.take()
	w.ok(w.commit(w.ctx, add(ref, tabletest.ItemCount, 1)))
	h.flush(images)
	h.ack(images)
	if n := h.waiting(); n.Plain != 1 || w.count(1) != 5 {
		t.Errorf("%+v, stored %d", n, w.count(1))
	}
	h.all()
	if n := h.waiting(); n.Plain != 0 || w.count(1) != 6 {
		t.Errorf("%+v, stored %d", n, w.count(1))
	}
}

// 7. What is written between Take and Ack to a row of a transaction: by another transaction, it waits with the
// rows of that; alone, it waits alone.
func TestCase07(t *testing.T) {
	w := newWorld(t)
	h := w.hand("a", w.itemRef(1).Place)
	one, two, three := w.itemRef(1), w.itemRef(2), w.itemRef(3)
	give := func(from, to table.Ref, n int64) {
		t.Helper()
		w.ok(w.commit(w.ctx, add(from, tabletest.ItemCount, -n), add(to, tabletest.ItemCount, n)))
	}
	w.ok(w.commit(w.ctx, w.item(1, 1, 100), w.item(1, 2, 100), w.item(1, 3, 100)))
	h.all()

	give(one, two, 1)
	images := h.take()
	give(two, three, 2)
	h.flush(images)
	h.ack(images)
	if n := h.waiting(); n.Tx != 2 || n.Plain != 0 {
		t.Errorf("after another transaction: %+v", n)
	}
	if w.count(1) != 99 || w.count(2) != 101 || w.count(3) != 100 {
		t.Errorf("stored %d, %d, %d", w.count(1), w.count(2), w.count(3))
	}
	h.all()
	if w.count(1) != 99 || w.count(2) != 99 || w.count(3) != 102 {
		t.Errorf("stored %d, %d, %d", w.count(1), w.count(2), w.count(3))
	}

	give(one, two, 1)
	images = h.take()
	w.ok(w.commit(w.ctx, add(one, tabletest.ItemCount, 1000)))
	h.flush(images)
	h.ack(images)
	if n := h.waiting(); n.Tx != 0 || n.Plain != 1 {
		t.Errorf("after a write alone: %+v", n)
	}
	h.all()
	if w.count(1) != 1098 || w.count(2) != 100 {
		t.Errorf("stored %d, %d", w.count(1), w.count(2))
	}

	// A row of a transaction that is not stored yet and is then written alone is stored with its transaction.
	give(one, two, 1)
	w.ok(w.commit(w.ctx, add(one, tabletest.ItemCount, 1)))
	if n := h.waiting(); n.Tx != 2 || n.Plain != 0 {
		t.Errorf("before the transaction is stored: %+v", n)
	}
	h.all()
	w.same(one, two, three)
}

// 8. A key that is deleted and given again before, while and after it is stored; one that was never stored.
func TestCase08(t *testing.T) {
	w := newWorld(t)
	ref := w.itemRef(1)
	h := w.hand("a", ref.Place)
	again := func(n int64) {
		t.Helper()
		w.ok(w.commit(w.ctx, gone(ref)))
		w.ok(w.commit(w.ctx, w.item(1, 1, n)))
	}
	w.ok(w.commit(w.ctx, w.item(1, 1, 1)))
	again(2) // before
	h.all()
	if w.count(1) != 2 {
		t.Errorf("stored %d", w.count(1))
	}
	w.ok(w.commit(w.ctx, gone(ref)))
	images := h.take()
	w.ok(w.commit(w.ctx, w.item(1, 1, 3))) // while the removal is stored
	h.flush(images)
	h.ack(images)
	if w.count(1) != -1 || h.waiting().Plain != 1 {
		t.Errorf("stored %d, %+v", w.count(1), h.waiting())
	}
	h.all()
	if w.count(1) != 3 {
		t.Errorf("stored %d", w.count(1))
	}
	w.ok(w.commit(w.ctx, gone(ref)))
	h.all()
	w.ok(w.commit(w.ctx, w.item(1, 1, 4))) // after
	h.all()
	if w.count(1) != 4 {
		t.Errorf("stored %d", w.count(1))
	}
	w.ok(w.commit(w.ctx, w.item(1, 2, 1)))
	w.ok(w.commit(w.ctx, gone(w.itemRef(2))))
	h.all()
	w.same(ref, w.itemRef(2))
	w.code(w.commit(w.ctx, gone(w.itemRef(2))), firefly.NotFound)
}
