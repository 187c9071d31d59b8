package writeback_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/table"
	"github.com/firefly-go/firefly/runtime/table/redisstore"
	"github.com/firefly-go/firefly/runtime/table/tabletest"
	"github.com/firefly-go/firefly/runtime/table/writeback"
)

// slow is a process that reads a row from the database under a lease and then stands still for longer than
// the lease lasts; go on says what its Fill gives.
func slow(r *rig, ref table.Ref) (goOn func() table.Cached) {
	c := r.open(redisstore.Options{Lease: 30 * time.Millisecond})
	out := make([]table.Cached, 1)
	r.ok(c.Lease(r.ctx, []table.Ref{ref}, "slow", out))
	if out[0].State != table.Absent {
		r.Fatalf("the lease is %+v", out[0])
	}
	rows := make([]table.Row, 1)
	r.ok(r.db.Load(r.ctx, []table.Ref{ref}, rows, false))
	return func() table.Cached {
		r.Helper()
		r.ok(c.Fill(r.ctx, rows, "slow", out))
		return out[0]
	}
}

// stored puts an item into the database alone.
func (r *rig) stored(owner, id int64, kind int32, count int64, version uint64) table.Ref {
	r.Helper()
	ref := itemRef(r, owner, id)
	values, err := r.Item.Values(&tabletest.Item{OwnerID: owner, ID: id, Kind: kind, Count: count}, nil)
	r.ok(err)
	r.db.set(func() { r.db.rows[id0(ref)] = table.Row{Ref: ref, Version: version, Values: values} })
	return ref
}

// 1. A process reads an old row from the database and fills it in when another one has changed, stored and
// evicted it: it is too late.
func TestCase01(t *testing.T) {
	r := newRig(t, "everysec")
	ref := r.stored(7, 1, 0, 5, 5)
	goOn := slow(r, ref)
	r.ok(r.commit(addCount(ref, 1)))
	r.flush(ref.Place)
	r.evict(ref)
	if c := goOn(); c.State != table.Absent {
		t.Fatalf("what was read before the change was filled in: %+v", c)
	}
	if n := r.read(ref).Values[tabletest.ItemCount].Int(); n != 6 {
		t.Fatalf("count is %d", n)
	}
	// The same with nothing in between is filled in.
	r.evict(ref)
	if c := slow(r, ref)(); c.State != table.Live || c.Values[tabletest.ItemCount].Int() != 6 {
		t.Fatalf("filled %+v", c)
	}
}

// 2. The same, and the other one removes the row, or removes it and makes it again.
func TestCase02(t *testing.T) {
	for _, again := range []bool{false, true} {
		r := newRig(t, "everysec")
		ref := r.stored(7, 1, 0, 5, 5)
		goOn := slow(r, ref)
		r.ok(r.commit(remove(ref)))
		want := int64(0)
		if again {
			r.ok(r.commit(insertItem(r, 7, 1, 0, 77, false)))
			want = 77
		}
		r.flush(ref.Place)
		r.evict(ref)
		if c := goOn(); c.State != table.Absent {
			t.Fatalf("what was read before the removal was filled in: %+v", c)
		}
		row := r.read(ref)
		if (row.Version != 0) != again || again && row.Values[tabletest.ItemCount].Int() != want {
			t.Fatalf("read %+v", row)
		}
		// While it still is in the cache, its Fill gives what is there.
		r.evict(ref)
		goOn = slow(r, ref)
		if again {
			r.ok(r.commit(addCount(ref, 1)))
		} else {
			r.ok(r.commit(insertItem(r, 7, 1, 0, 1, false)))
		}
		if c := goOn(); c.State != table.Live || c.Values[tabletest.ItemCount].Int() != want+1 {
			t.Fatalf("filled over a row that is there: %+v", c)
		}
	}
}

// 9. An insert with a key of its own finds a row that only the database has, that is known not to exist,
// that was removed and not stored.
func TestCase09(t *testing.T) {
	r := newRig(t, "everysec")
	ref := r.stored(7, 1, 0, 5, 5)
	r.code(r.commit(insertItem(r, 7, 1, 0, 1, false)), firefly.AlreadyExists)
	if n := r.read(ref).Values[tabletest.ItemCount].Int(); n != 5 {
		t.Fatalf("count is %d", n)
	}
	ref = itemRef(r, 7, 2)
	if row := r.read(ref); row.Version != 0 {
		t.Fatalf("read %+v", row)
	}
	loads := r.db.loads
	r.ok(r.commit(insertItem(r, 7, 2, 0, 2, false)))
	if r.db.loads != loads {
		t.Error("a row that is known not to exist was asked for again")
	}
	r.flush(ref.Place)
	r.ok(r.commit(remove(ref)))
	r.ok(r.commit(insertItem(r, 7, 2, 0, 3, false)))
	r.flush(ref.Place)
	if row := r.db.row(ref); row.Values == nil || row.Values[tabletest.ItemCount].Int() != 3 {
		t.Fatalf("stored %+v", row)
	}
	// A fresh id is inserted without asking for it.
	loads = r.db.loads
	r.ok(r.commit(insertItem(r, 7, 3, 0, 1, true)))
	if r.db.loads != loads {
		t.Error("a fresh id was asked for")
	}
	// Somebody who began to load it before does not bring back that there is none.
	c := r.open(redisstore.Options{})
	fresh := itemRef(r, 7, 4)
	out := make([]table.Cached, 1)
	r.ok(c.Lease(r.ctx, []table.Ref{fresh}, "early", out))
	r.ok(r.commit(insertItem(r, 7, 4, 0, 1, true)))
	r.flush(fresh.Place)
	r.evict(fresh)
	r.ok(c.Fill(r.ctx, []table.Row{{Ref: fresh}}, "early", out))
	if out[0].State != table.Absent {
		t.Fatalf("filled %+v", out[0])
	}
	if row := r.read(fresh); row.Version == 0 {
		t.Fatal("an acknowledged row is not there")
	}
}

// 10. Lists.
func TestCase10(t *testing.T) {
	t.Run("absent and present", func(t *testing.T) {
		r := newRig(t, "everysec")
		r.stored(7, 1, 1, 0, 5)
		r.stored(7, 2, 2, 0, 5)
		r.ok(r.commit(insertItem(r, 7, 3, 1, 0, true)))  // by lists that are absent
		r.ok(r.commit(insertItem(r, 7, 4, 1, 0, false))) // and there
		r.ok(r.commit(setKind(itemRef(r, 7, 2), 1)))
		r.ok(r.commit(setKind(itemRef(r, 7, 1), 3)))
		r.ok(r.commit(remove(itemRef(r, 7, 3))))
		check := func() {
			t.Helper()
			for kind, want := range [][]int64{{}, {2, 4}, {}, {1}} {
				if got := r.items(tabletest.ByKind, 7, int64(kind)); !slices.Equal(got, want) {
					t.Errorf("kind %d: %v, want %v", kind, got, want)
				}
			}
			if got := r.items(tabletest.ByOwner, 7); !slices.Equal(got, []int64{1, 2, 4}) {
				t.Errorf("all: %v", got)
			}
		}
		check()
		r.flush("7")
		check()
		r.dropLists()
		check()
		// An op that changes the columns of an index to what they are compares, and changes nothing.
		r.ok(r.commit(setKind(itemRef(r, 7, 1), 3)))
		check()
		// A counter that is in an index: the sum decides.
		add := table.Op{Kind: table.Update, Ref: itemRef(r, 7, 1), Add: []table.AddTo{{Column: tabletest.ItemKind, Delta: -1}}}
		r.ok(r.commit(add))
		if got := r.items(tabletest.ByKind, 7, 2); !slices.Equal(got, []int64{1}) {
			t.Errorf("kind 2: %v", got)
		}
		// What the caller believes the row to be may be old.
		stale := setKind(itemRef(r, 7, 1), 3)
		stale.Before = []table.Value{table.IntOf(7), table.IntOf(1), table.IntOf(9), table.IntOf(0)}
		r.ok(r.commit(stale))
		check()
	})
	t.Run("expires between attempts", func(t *testing.T) {
		r := newRig(t, "everysec")
		// Lists that live for so short a time that they are gone when the commit comes back.
		r.Item.Spec.Idle = time.Millisecond
		for id := range int64(20) {
			r.ok(r.commit(insertItem(r, 7, id+1, int32(id%2), 0, true)))
			if id%3 == 0 {
				r.flush("7")
			}
		}
		if got := r.items(tabletest.ByOwner, 7); len(got) != 20 {
			t.Errorf("%v", got)
		}
		if got := r.items(tabletest.ByKind, 7, 1); len(got) != 10 {
			t.Errorf("%v", got)
		}
	})
	t.Run("load races with insert, flush and unpin", func(t *testing.T) {
		r := newRig(t, "everysec")
		r.stored(7, 1, 1, 0, 5)
		c := r.open(redisstore.Options{Lease: 30 * time.Millisecond})
		l := table.List{Table: r.Item.Spec, Index: tabletest.ByOwner, By: []table.Value{table.IntOf(7)}, Place: "7"}
		_, s, err := c.LeaseList(r.ctx, l, "slow")
		r.ok(err)
		if s != table.Absent {
			t.Fatalf("the lease is %v", s)
		}
		old := []table.Key{"7:1"} // what the database has now
		r.ok(r.commit(insertItem(r, 7, 2, 1, 0, true)))
		r.flush("7")
		r.dropLists()
		if _, s, err := c.FillList(r.ctx, l, "slow", old); err != nil || s != table.Absent {
			t.Fatalf("an old list was filled in: %v, %v", s, err)
		}
		if got := r.items(tabletest.ByOwner, 7); !slices.Equal(got, []int64{1, 2}) {
			t.Errorf("%v", got)
		}
	})
	t.Run("empty", func(t *testing.T) {
		r := newRig(t, "everysec")
		for range 2 {
			if got := r.items(tabletest.ByOwner, 7); len(got) != 0 {
				t.Fatal(got)
			}
		}
		r.db.set(func() { r.db.away = true })
		if got := r.items(tabletest.ByOwner, 7); len(got) != 0 {
			t.Fatal(got) // an empty list is there, so nobody asks
		}
		r.code(r.commit(insertItem(r, 8, 1, 0, 0, true)), firefly.Unavailable)
		r.db.set(func() { r.db.away = false })
	})
	t.Run("two rows pin one list", func(t *testing.T) {
		r := newRig(t, "everysec")
		r.ok(r.commit(insertItem(r, 7, 1, 1, 0, true)))
		images := r.images("7")
		r.ok(r.commit(insertItem(r, 7, 2, 1, 0, true)))
		r.put("7", images)
		r.ok(r.cache.Ack(r.ctx, table.Place("7").Shard(shards), images))
		r.dropLists() // what may be evicted now
		if got := r.items(tabletest.ByOwner, 7); !slices.Equal(got, []int64{1, 2}) {
			t.Fatalf("the list of a row that is not stored went: %v", got)
		}
		r.flush("7")
		r.dropLists()
		if got := r.items(tabletest.ByOwner, 7); !slices.Equal(got, []int64{1, 2}) {
			t.Fatalf("%v", got)
		}
		if n := r.raw.Exists(r.ctx, r.key("#p", "7")).Val(); n != 0 {
			t.Errorf("lists are pinned by nothing: %v", r.raw.HGetAll(r.ctx, r.key("#p", "7")).Val())
		}
	})
}

// 11. When one op of several fails, none has an effect.
func TestCase11(t *testing.T) {
	r := newRig(t, "everysec")
	a, b := r.stored(7, 1, 0, 10, 5), r.stored(7, 2, 0, 10, 5)
	far := setKind(b, 4) // its list is not there
	cas := addCount(b, 1)
	cas.If = 3
	missing := addCount(itemRef(r, 7, 99), 1)
	for what, second := range map[string]struct {
		op   table.Op
		code firefly.Code
	}{
		"range":        {addCount(b, -11), firefly.OutOfRange},
		"cas":          {cas, firefly.Conflict},
		"not found":    {missing, firefly.NotFound},
		"exists":       {insertItem(r, 7, 2, 0, 1, false), firefly.AlreadyExists},
		"check":        {table.Op{Kind: table.Check, Ref: b, If: 77}, firefly.Conflict},
		"check absent": {table.Op{Kind: table.CheckAbsent, Ref: b}, firefly.AlreadyExists},
	} {
		err := r.commit(addCount(a, 1), second.op)
		if firefly.CodeOf(err) != second.code {
			t.Errorf("%s: %v, want %s", what, err, second.code)
		}
		if n := r.read(a).Values[tabletest.ItemCount].Int(); n != 10 {
			t.Fatalf("%s: the first op was done all the same: %d", what, n)
		}
	}
	// What is missing is filled in between, and then all is done once.
	r.evict(a)
	r.evict(b)
	c := table.Commit{Ops: []table.Op{addCount(a, 1), far}}
	if refused, err := r.cache.Commit(r.ctx, &c); err != nil || refused == nil || refused.State != table.Absent {
		t.Fatalf("%+v, %v", refused, err)
	}
	r.ok(r.commit(addCount(a, 1), far))
	if n := r.read(a).Values[tabletest.ItemCount].Int(); n != 11 {
		t.Fatalf("count is %d", n)
	}
	// Transactions reach the database whole.
	images := r.images("7")
	if len(images) != 2 || !images[0].Tx || !images[1].Tx || images[0].Version != images[1].Version {
		t.Fatalf("%+v", images)
	}
	// Additions at the bounds of the column and of 64 bits.
	const most = 1<<63 - 1
	for _, step := range []struct {
		n    int64
		want firefly.Code
		now  int64
	}{
		{most - 11, firefly.OK, most}, {1, firefly.OutOfRange, most}, {most, firefly.OutOfRange, most}, {-most, firefly.OK, 0},
		{-1, firefly.OutOfRange, 0}, {-1 << 63, firefly.OutOfRange, 0}, {1 << 53, firefly.OK, 1 << 53}, {1, firefly.OK, 1<<53 + 1},
		{-1 << 53, firefly.OK, 1}, {1<<62 + 1, firefly.OK, 1<<62 + 2}, {0, firefly.OK, 1<<62 + 2},
	} {
		op := table.Commit{Ops: []table.Op{addCount(a, step.n)}}
		err := r.store.Commit(r.ctx, &op)
		if firefly.CodeOf(err) != step.want {
			t.Fatalf("%+d: %v, want %v", step.n, err, step.want)
		}
		if err == nil && op.Ops[0].Sums[0] != step.now {
			t.Errorf("%+d gave %d, want %d", step.n, op.Ops[0].Sums[0], step.now)
		}
		if n := r.read(a).Values[tabletest.ItemCount].Int(); n != step.now {
			t.Fatalf("%+d: count is %d, want %d", step.n, n, step.now)
		}
	}
	// Several additions to one column, and one to a column that is set.
	op := table.Commit{Ops: []table.Op{{Kind: table.Update, Ref: b,
		Set: []table.Assign{{Column: tabletest.ItemKind, Value: table.IntOf(3)}},
		Add: []table.AddTo{{Column: tabletest.ItemCount, Delta: 5}, {Column: tabletest.ItemKind, Delta: 2}, {Column: tabletest.ItemCount, Delta: -3}}}}}
	r.ok(r.store.Commit(r.ctx, &op))
	if !slices.Equal(op.Ops[0].Sums, []int64{15, 5, 12}) {
		t.Errorf("sums %v", op.Ops[0].Sums)
	}
}

// 18. Two games on one Redis do not see each other.
func TestCase18(t *testing.T) {
	r := newRig(t, "everysec")
	other := r.open(redisstore.Options{Namespace: "other"})
	db := newMemoryDurable()
	store := writeback.New(other, db, r.Specs(), writeback.Options{Log: quiet()})
	defer func() { _ = store.Close() }()
	r.ok(r.commit(insertItem(r, 7, 1, 0, 1, true)))
	out := make([]table.Row, 1)
	r.ok(store.Read(r.ctx, []table.Ref{itemRef(r, 7, 1)}, out))
	if out[0].Version != 0 {
		t.Fatal("a row of another game")
	}
	r.ok(store.Commit(r.ctx, &table.Commit{Ops: []table.Op{insertItem(r, 7, 1, 0, 2, false)}}))
	if n := r.read(itemRef(r, 7, 1)).Values[tabletest.ItemCount].Int(); n != 1 {
		t.Fatalf("count is %d", n)
	}
	for s := range shards {
		if held, err := other.Hold(r.ctx, s, "f", time.Minute); err != nil || !held {
			t.Fatal(held, err)
		}
		images, _, err := other.Take(r.ctx, s, "f", 100, true)
		r.ok(err)
		if s == table.Place("7").Shard(shards) && (len(images) != 1 || images[0].Values[tabletest.ItemCount].Int() != 2) {
			t.Fatalf("%+v", images)
		}
	}
	// The number of shards is the same for all of a game.
	c, err := redisstore.Open(redisstore.Options{URL: "redis://" + r.redis.Addr(), Shards: 9, Log: quiet()})
	r.ok(err)
	defer func() { _ = c.Close() }()
	if err := c.Start(r.ctx, r.Specs()); firefly.CodeOf(err) != firefly.FailedPrecondition {
		t.Errorf("another number of shards: %v", err)
	}
}

// A lease that nobody uses holds nobody up for longer than the patience: then the database answers, and
// nothing is filled in.
func TestLeaseOfSomebodyDead(t *testing.T) {
	r := newRig(t, "everysec")
	ref := r.stored(7, 1, 0, 5, 5)
	dead := r.open(redisstore.Options{Lease: time.Hour})
	out := make([]table.Cached, 1)
	r.ok(dead.Lease(r.ctx, []table.Ref{ref}, "dead", out))
	l := table.List{Table: r.Item.Spec, Index: tabletest.ByOwner, By: []table.Value{table.IntOf(7)}, Place: "7"}
	_, _, err := dead.LeaseList(r.ctx, l, "dead")
	r.ok(err)
	r.store = r.over(r.cache, writeback.Options{Patience: time.Second, Log: quiet()})
	if row := r.read(ref); row.Version != 5 {
		t.Errorf("read %+v", row)
	}
	if got := r.items(tabletest.ByOwner, 7); !slices.Equal(got, []int64{1}) {
		t.Error(got)
	}
	err = r.commit(addCount(ref, 1))
	r.code(err, firefly.Unavailable)
	var fe *firefly.Error
	if !errors.As(err, &fe) || fe.Message == "" {
		t.Error(err)
	}
}

// Who misses the same row at once has it loaded once.
func TestOneLoadForMany(t *testing.T) {
	r := newRig(t, "everysec")
	ref := r.stored(7, 1, 0, 5, 5)
	hold := make(chan struct{})
	entered := make(chan struct{}, 100)
	r.db.onLoad = func() { entered <- struct{}{}; <-hold }
	done := make(chan table.Row, 20)
	for range 20 {
		go func() {
			out := make([]table.Row, 2)
			if err := r.store.Read(r.ctx, []table.Ref{ref, ref}, out); err != nil {
				t.Error(err)
			}
			done <- out[1]
		}()
	}
	<-entered
	close(hold)
	for range 20 {
		if row := <-done; row.Version != 5 {
			t.Errorf("read %+v", row)
		}
	}
	if r.db.loads != 1 {
		t.Errorf("loaded %d times", r.db.loads)
	}
}
