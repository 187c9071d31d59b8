package writeback_test

import (
	"context"
	"slices"
	"testing"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/table"
	"github.com/firefly-go/firefly/runtime/table/tabletest"
)

// A row goes through everything: inserted, changed, stored, evicted, loaded, removed.
func TestLifeOfARow(t *testing.T) {
	r := newRig(t, "everysec")
	ref := itemRef(r, 7, 1)
	r.ok(r.commit(insertItem(r, 7, 1, 2, 10, true)))
	if row := r.read(ref); row.Version == 0 || row.Values[tabletest.ItemCount].Int() != 10 {
		t.Fatalf("read %+v", row)
	}
	r.ok(r.commit(addCount(ref, 5)))
	r.code(r.commit(addCount(ref, -16)), firefly.OutOfRange)
	if got := r.items(tabletest.ByOwner, 7); !slices.Equal(got, []int64{1}) {
		t.Fatal(got)
	}
	if got := r.items(tabletest.ByKind, 7, 2); !slices.Equal(got, []int64{1}) {
		t.Fatal(got)
	}
	r.flush(ref.Place)
	if row := r.db.row(ref); row.Values == nil || row.Values[tabletest.ItemCount].Int() != 15 {
		t.Fatalf("stored %+v", row)
	}
	r.evict(ref)
	if row := r.read(ref); row.Values[tabletest.ItemCount].Int() != 15 {
		t.Fatalf("loaded %+v", row)
	}
	r.ok(r.commit(setKind(ref, 3)))
	if got := r.items(tabletest.ByKind, 7, 2); len(got) != 0 {
		t.Fatal(got)
	}
	if got := r.items(tabletest.ByKind, 7, 3); !slices.Equal(got, []int64{1}) {
		t.Fatal(got)
	}
	r.ok(r.commit(remove(ref)))
	if row := r.read(ref); row.Version != 0 {
		t.Fatalf("read %+v", row)
	}
	r.flush(ref.Place)
	if row := r.db.row(ref); row.Version != 0 {
		t.Fatalf("stored %+v", row)
	}
	r.code(r.commit(remove(ref)), firefly.NotFound)
	r.ok(r.commit(insertItem(r, 7, 1, 2, 1, false)))
	r.code(r.commit(insertItem(r, 7, 1, 2, 1, false)), firefly.AlreadyExists)
	if got := r.items(tabletest.ByOwner, 7); !slices.Equal(got, []int64{1}) {
		t.Fatal(got)
	}
}

// Who gives up waiting for a load takes nothing from others: they get the row of the same load.
func TestGiveUp(t *testing.T) {
	r := newRig(t, "everysec")
	ref := r.stored(7, 1, 0, 5, 5)
	reached, release := make(chan struct{}), make(chan struct{})
	r.db.set(func() { r.db.onLoad = func() { close(reached); <-release } })
	hasty, giveUp := context.WithCancel(r.ctx)
	first, second := make(chan error), make(chan error)
	rows := make([]table.Row, 1)
	go func() { first <- r.store.Read(hasty, []table.Ref{ref}, make([]table.Row, 1)) }()
	<-reached
	go func() { second <- r.store.Read(r.ctx, []table.Ref{ref}, rows) }()
	giveUp()
	r.code(<-first, firefly.DeadlineExceeded)
	close(release)
	r.ok(<-second)
	if rows[0].Values[tabletest.ItemCount].Int() != 5 {
		t.Fatalf("read %+v", rows[0])
	}
	if r.db.loads != 1 {
		t.Errorf("the row was loaded %d times", r.db.loads)
	}
	// The same with a list.
	reached, release = make(chan struct{}), make(chan struct{})
	r.db.set(func() { r.db.onLoad, r.db.onFind = nil, func() { close(reached); <-release } })
	hasty, giveUp = context.WithCancel(r.ctx)
	find := func(ctx context.Context) (n int, err error) {
		all, err := r.store.Find(ctx, &table.Query{Table: r.Item.Spec, Index: tabletest.ByOwner, By: []table.Value{table.IntOf(7)}})
		return len(all), err
	}
	n := 0
	go func() { _, err := find(hasty); first <- err }()
	<-reached
	go func() { var err error; n, err = find(r.ctx); second <- err }()
	giveUp()
	r.code(<-first, firefly.DeadlineExceeded)
	close(release)
	r.ok(<-second)
	if n != 1 {
		t.Errorf("%d rows", n)
	}
}
