package writeback_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/firefly-go/firefly/runtime/table"
	"github.com/firefly-go/firefly/runtime/table/redisstore"
	"github.com/firefly-go/firefly/runtime/table/tabletest"
	"github.com/firefly-go/firefly/runtime/table/tabletest/servers"
	"github.com/firefly-go/firefly/runtime/table/writeback"
)

// hooked is a cache that can be held up behind a read, and that can be deaf.
type hooked struct {
	*redisstore.Cache
	behind atomic.Pointer[func()] // runs when the cache has answered a read, before the caller has it
	deaf   atomic.Bool
	words  atomic.Int64 // of writes, that came
}

func (h *hooked) Read(ctx context.Context, refs []table.Ref, out []table.Cached) error {
	err := h.Cache.Read(ctx, refs, out)
	if f := h.behind.Load(); f != nil {
		(*f)()
	}
	return err
}

func (h *hooked) Hear(f func(table.Ref, uint64)) {
	h.Cache.Hear(func(ref table.Ref, version uint64) {
		if !h.deaf.Load() {
			f(ref, version)
		}
		h.words.Add(1)
	})
}

// reader is a process that keeps copies.
type reader struct {
	*rig
	cache *hooked
	store *writeback.Store
}

// newNear is a rig with copies of items. Writes through it are those of another process.
func newNear(t *testing.T, fsync string, args ...string) *rig {
	t.Helper()
	r := newRig(t, fsync, args...)
	r.Item.Spec.Near = table.Near{Rows: 100, TTL: time.Hour}
	return r
}

// Tests of what happens without heartbeats have them often, others so rarely that none is late.
const (
	often  = 200 * time.Millisecond
	rarely = time.Minute
)

// reader begins a process at an address.
func (r *rig) reader(addr string, heartbeat time.Duration) *reader {
	r.Helper()
	p := &reader{rig: r, cache: &hooked{Cache: r.at(addr, redisstore.Options{Heartbeat: heartbeat})}}
	p.store = r.over(p.cache, writeback.Options{Log: quiet()})
	return p
}

// look is what the process sees.
func (p *reader) look(ref table.Ref) int64 {
	p.Helper()
	row, ok := p.store.Near(ref)
	if !ok {
		out := make([]table.Row, 1)
		p.ok(p.store.ReadNear(p.ctx, []table.Ref{ref}, out))
		row = out[0]
	}
	if row.Version == 0 {
		return -1
	}
	return row.Values[tabletest.ItemCount].Int()
}

func (p *reader) has(ref table.Ref) bool {
	_, ok := p.store.Near(ref)
	return ok
}

// copies waits until the process has a copy of a row.
func (p *reader) copies(ref table.Ref) {
	p.Helper()
	p.until(func() bool {
		p.look(ref)
		return p.has(ref)
	})
}

// 24. Copies of rows in the process.
func TestCase24(t *testing.T) {
	t.Run("a reply that comes after the word of a write", func(t *testing.T) {
		r := newNear(t, "always")
		a, other := r.stored(7, 1, 1, 10, 5), r.stored(7, 2, 1, 10, 5)
		p := r.reader(r.redis.Addr(), rarely)
		p.copies(other)
		r.read(a) // the cache has it
		at, free := make(chan struct{}), make(chan struct{})
		hold := func() {
			p.cache.behind.Store(nil)
			close(at)
			<-free
		}
		p.cache.behind.Store(&hold)
		out := make([]table.Row, 1)
		done := make(chan error)
		go func() { done <- p.store.ReadNear(r.ctx, []table.Ref{a}, out) }()
		<-at
		r.ok(r.commit(addCount(a, 1)))
		p.until(func() bool { return p.cache.words.Load() > 0 })
		close(free)
		r.ok(<-done)
		if out[0].Values[tabletest.ItemCount].Int() != 10 {
			t.Fatalf("the read that began before the write gives %+v", out[0]) // the test would show nothing
		}
		if p.has(a) {
			t.Error("what was read before the write became a copy after it")
		}
		if n := p.look(a); n != 11 {
			t.Errorf("count is %d", n)
		}
	})
	t.Run("the subscriber is cut off", func(t *testing.T) {
		r := newNear(t, "always")
		a := r.stored(7, 1, 1, 10, 5)
		front := servers.NewProxy(t, r.redis.Addr())
		p := r.reader(front.Addr(), often)
		p.copies(a)
		front.Silence("subscribe")
		r.ok(r.commit(addCount(a, 1)))
		p.until(func() bool { return p.look(a) == 11 })
		// As long as nothing is heard there are no copies, though rows can be read.
		for i := range int64(5) {
			if p.has(a) {
				t.Fatal("a copy was kept though nothing is heard")
			}
			r.ok(r.commit(addCount(a, 1)))
			if n := p.look(a); n != 12+i {
				t.Fatalf("count is %d", n)
			}
		}
		front.Silence("")
		p.until(func() bool { // a read whose connection was cut gives an error, and is made again
			return p.store.ReadNear(r.ctx, []table.Ref{a}, make([]table.Row, 1)) == nil && p.has(a)
		})
		if n := p.look(a); n != 16 {
			t.Errorf("count is %d", n)
		}
		r.ok(r.commit(addCount(a, 1)))
		p.until(func() bool { return p.look(a) == 17 })
	})
	t.Run("no heartbeat", func(t *testing.T) {
		r := newNear(t, "always")
		a := r.stored(7, 1, 1, 10, 5)
		p := r.reader(r.redis.Addr(), often)
		p.copies(a)
		r.redis.Pause()
		p.until(func() bool { return !p.has(a) })
		r.redis.Resume()
		r.ok(r.commit(addCount(a, 1)))
		if n := p.look(a); n != 11 {
			t.Errorf("count is %d", n)
		}
		p.copies(a)
	})
	t.Run("a new generation", func(t *testing.T) {
		r := newNear(t, "everysec")
		a := r.stored(7, 1, 1, 10, 5)
		p := r.reader(r.redis.Addr(), rarely)
		p.copies(a)
		mark := r.mark()
		r.ok(r.commit(addCount(a, 1)))
		p.until(func() bool { return p.look(a) == 11 && p.has(a) })
		r.crash(mark) // the write is forgotten, and so must its copy be
		p.until(func() bool { return p.look(a) == 10 })
		p.copies(a)
		r.ok(r.commit(addCount(a, 5)))
		p.until(func() bool { return p.look(a) == 15 })
	})
}

// Whatever changes what a row is, in whatever process, is heard.
func TestNearHears(t *testing.T) {
	r := newNear(t, "always")
	p := r.reader(r.redis.Addr(), rarely)
	id := int64(0)
	fresh := func() table.Ref {
		id++
		ref := r.stored(7, id, 1, 10, 5)
		p.copies(ref)
		return ref
	}
	far := r.stored(8, 1, 1, 10, 5)
	shard := table.Place("7").Shard(shards)
	for _, c := range []struct {
		name string
		do   func(ref table.Ref)
		want int64
	}{
		{"an addition", func(ref table.Ref) { r.ok(r.commit(addCount(ref, 1))) }, 11},
		{"a value", func(ref table.Ref) { r.ok(r.commit(setKind(ref, 5))) }, 10},
		{"a removal", func(ref table.Ref) { r.ok(r.commit(remove(ref))) }, -1},
		{"a trade", func(ref table.Ref) { r.trade(fresh(), ref, 3) }, 13},
		{"a durable commit", func(ref table.Ref) { r.trade(far, ref, 1) }, 11},
		{"a durable commit to a row that is not cached", func(ref table.Ref) {
			op := addCount(ref, 7)
			images := make([]table.Image, 1)
			refused, err := r.cache.Lock(r.ctx, shard, []*table.Op{&op}, "tok", time.Hour, images)
			if refused != nil || err != nil {
				t.Fatal(refused, err)
			}
			r.ok(r.db.CommitDurably(r.ctx, "tok", nil, nil, images, nil))
			if n := r.raw.Del(r.ctx, r.raw.Keys(r.ctx, fmt.Sprintf("ff:{*}:item:7:%d", id)).Val()...).Val(); n != 1 {
				t.Fatalf("%d rows were dropped", n)
			}
			r.ok(r.cache.Apply(r.ctx, shard, "tok", images))
		}, 17},
		{"a row that the database has newer", func(ref table.Ref) {
			r.ok(r.commit(addCount(ref, 1)))
			p.until(func() bool { return p.look(ref) == 11 && p.has(ref) })
			r.ok(r.cache.Yield(r.ctx, shard, r.images("7")))
		}, 10},
		{"a row that is to be read anew", func(ref table.Ref) {
			r.flush("7")
			r.db.set(func() {
				row := r.db.rows[id0(ref)]
				row.Values[tabletest.ItemCount], row.Version = table.IntOf(99), row.Version+1
				r.db.rows[id0(ref)] = row
			})
			r.evict(ref)
		}, 99},
	} {
		t.Run(c.name, func(t *testing.T) {
			ref := fresh()
			before, _ := p.store.Near(ref)
			c.do(ref)
			p.until(func() bool {
				now, ok := p.store.Near(ref)
				return (!ok || now.Version != before.Version) && p.look(ref) == c.want
			})
		})
	}
}

// A process sees its own writes at once, and neither a transaction nor a compare-and-set begins with a copy.
func TestNearOwnWrites(t *testing.T) {
	r := newNear(t, "always")
	r.Item.Spec.Near.Rows = 3
	a := r.stored(7, 1, 1, 10, 5)
	p := r.reader(r.redis.Addr(), rarely)
	p.copies(a)
	p.cache.deaf.Store(true)
	r.ok(p.store.Commit(r.ctx, &table.Commit{Ops: []table.Op{addCount(a, 1)}}))
	if n := p.look(a); n != 11 {
		t.Errorf("count is %d after the process itself wrote", n)
	}
	p.copies(a)
	words := p.cache.words.Load()
	r.ok(r.commit(addCount(a, 10)))
	p.until(func() bool { return p.cache.words.Load() > words })

	db := table.NewDB(p.store, table.DBOptions{})
	items, key := table.New(db, r.Item), tabletest.ItemKey{OwnerID: 7, ID: 1}
	count := func(it *tabletest.Item, err error) int64 {
		t.Helper()
		r.ok(err)
		return it.Count
	}
	if n := count(items.Get(r.ctx, key)); n != 11 {
		t.Errorf("a copy has %d", n) // else the rest shows nothing
	}
	err := db.Tx(r.ctx, func(ctx context.Context, tx *table.Tx) error {
		writes := table.WritesOf(tx, r.Item)
		if n := count(items.Get(ctx, key)); n != 21 {
			t.Errorf("in a transaction there are %d", n)
		}
		if n := count(writes.Get(ctx, key)); n != 21 {
			t.Errorf("the transaction reads %d", n)
		}
		return nil
	})
	r.ok(err)
	add := func(it *tabletest.Item) error { it.Count++; return nil }
	if n := count(items.Update(r.ctx, key, add)); n != 22 {
		t.Errorf("after an update there are %d", n)
	}
	many, err := items.GetMany(r.ctx, key, tabletest.ItemKey{OwnerID: 7, ID: 99})
	if r.ok(err); many[0].Count != 22 || many[1] != nil {
		t.Errorf("%+v", many)
	}

	// There are never more copies than the table says, and those used last stay.
	p.cache.deaf.Store(false)
	refs := []table.Ref{a}
	for id := int64(2); id <= 6; id++ {
		refs = append(refs, r.stored(7, id, 1, 10, 5))
	}
	for range 3 {
		kept := 0
		for _, ref := range refs {
			p.look(ref)
		}
		for _, ref := range refs {
			if p.has(ref) {
				kept++
			}
		}
		if kept > 3 {
			t.Fatalf("%d copies are kept", kept)
		}
	}
	p.until(func() bool {
		for _, ref := range refs {
			p.look(ref)
		}
		return p.has(refs[5]) && !p.has(refs[0])
	})
}

// A copy is not used for longer than the table says, though nobody writes the row.
func TestNearAge(t *testing.T) {
	r := newNear(t, "always")
	a := r.stored(7, 1, 1, 10, 5)
	r.Item.Spec.Near.TTL = 300 * time.Millisecond
	p := r.reader(r.redis.Addr(), rarely)
	p.copies(a)
	p.until(func() bool { return !p.has(a) })
}

// On a cluster every server is listened to.
func TestNearCluster(t *testing.T) {
	c := newCluster(t)
	c.Item.Spec.Near = table.Near{Rows: 100, TTL: time.Hour}
	p := &reader{rig: c.rig, cache: &hooked{Cache: c.openCluster()}}
	p.store = c.over(p.cache, writeback.Options{Patience: 20 * time.Second, Log: quiet()})
	var refs []table.Ref
	for owner := range int64(12) {
		ref := c.stored(owner, 1, 1, 10, 5)
		refs = append(refs, ref)
		p.copies(ref)
	}
	for _, ref := range refs {
		c.ok(c.commit(addCount(ref, 1)))
	}
	for _, ref := range refs {
		p.until(func() bool { return p.look(ref) == 11 })
	}
	slot, from := c.slotOf("7")
	c.move(slot, from, (from+1)%3)
	c.flush("7") // what the row was before is of another server
	c.ok(c.commit(addCount(refs[7], 1)))
	p.until(func() bool { return p.look(refs[7]) == 12 })
	p.copies(refs[7])
	c.ok(c.commit(addCount(refs[7], 1)))
	p.until(func() bool { return p.look(refs[7]) == 13 })
}
