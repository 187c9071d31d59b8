package redisstore

import (
	"testing"
	"time"

	"github.com/firefly-go/firefly/runtime/table"
	"github.com/firefly-go/firefly/runtime/table/tabletest"
	"github.com/firefly-go/firefly/runtime/table/tabletest/servers"
)

// What is written between the naming and the reading of what waits is taken whole or not at all: a row that
// was named alone and is a part of a transaction now, and transactions that come again and again.
func TestTakeBetween(t *testing.T) {
	tables := tabletest.NewTables("")
	for _, s := range tables.Specs() {
		s.Flush = 0
	}
	c, err := Open(Options{URL: "redis://" + servers.NewRedis(t, "everysec").Addr(), Shards: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	ok := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	ctx := t.Context()
	ok(c.Start(ctx, tables.Specs()))
	insert := func(id int64) table.Op {
		values, err := tables.Item.Values(&tabletest.Item{OwnerID: 7, ID: id}, nil)
		ok(err)
		op := table.Op{Kind: table.Insert, Fresh: true, Ref: tables.Item.Ref(tabletest.ItemKey{OwnerID: 7, ID: id})}
		for i, v := range values {
			op.Set = append(op.Set, table.Assign{Column: i, Value: v})
		}
		return op
	}
	add := func(id int64) table.Op {
		return table.Op{Kind: table.Update, Ref: tables.Item.Ref(tabletest.ItemKey{OwnerID: 7, ID: id}), Add: []table.AddTo{{Column: tabletest.ItemCount, Delta: 1}}}
	}
	commit := func(ops ...table.Op) {
		t.Helper()
		for {
			refused, err := c.Commit(ctx, &table.Commit{Ops: ops})
			ok(err)
			if refused == nil {
				return
			}
			if refused.List == nil {
				t.Fatalf("refused: %+v", refused)
			}
			_, _, err = c.LeaseList(ctx, *refused.List, "l")
			ok(err)
			_, _, err = c.FillList(ctx, *refused.List, "l", nil)
			ok(err)
		}
	}
	held, err := c.Hold(ctx, 0, "f", time.Minute)
	if err != nil || !held {
		t.Fatal(held, err)
	}
	take := func() []table.Image {
		t.Helper()
		images, held, err := c.Take(ctx, 0, "f", 100, true)
		if err != nil || !held {
			t.Fatal(held, err)
		}
		return images
	}
	commit(insert(1))
	c.named = func() { c.named = nil; commit(add(1), insert(2)) }
	if images := take(); len(images) != 0 {
		t.Errorf("half a transaction was taken: %+v", images)
	}
	if images := take(); len(images) != 2 || !images[0].Tx || !images[1].Tx {
		t.Errorf("taken: %+v", images)
	}
	// Others come each time.
	id := int64(10)
	c.named = func() { id++; commit(add(1), insert(id)) }
	images := take()
	c.named = nil
	if len(images) != int(id-10)+2 {
		t.Errorf("%d rows of %d transactions were taken", len(images), id-10)
	}
	for _, img := range images {
		if !img.Tx {
			t.Errorf("alone: %+v", img)
		}
	}
}
