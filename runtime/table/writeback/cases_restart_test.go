package writeback_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/table"
	"github.com/firefly-go/firefly/runtime/table/redisstore"
	"github.com/firefly-go/firefly/runtime/table/tabletest"
	"github.com/firefly-go/firefly/runtime/table/tabletest/servers"
	"github.com/firefly-go/firefly/runtime/table/writeback"
)

// mark is how long the append-only file is, after all that was written before is in it.
func (r *rig) mark() int64 {
	r.Helper()
	var size int64
	for last := int64(-1); size != last; {
		last = size
		r.ok(r.raw.Do(r.ctx, "ping").Err())
		time.Sleep(20 * time.Millisecond)
		_, n, err := r.redis.AOF()
		r.ok(err)
		size = n
	}
	return size
}

// crash ends Redis as a crash of its host does: what it wrote behind the mark is forgotten.
func (r *rig) crash(mark int64) {
	r.Helper()
	r.mark() // all that was written is in the file, or nothing would be forgotten
	r.ok(r.redis.GoBack(mark))
}

// count is what the game sees of an item; -1: none.
func (r *rig) count(ref table.Ref) int64 {
	r.Helper()
	row := r.read(ref)
	if row.Version == 0 {
		return -1
	}
	return row.Values[tabletest.ItemCount].Int()
}

func (r *rig) storedCount(ref table.Ref) int64 {
	row := r.db.row(ref)
	if row.Version == 0 {
		return -1
	}
	return row.Values[tabletest.ItemCount].Int()
}

// trade moves count from one item to another, in one commit.
func (r *rig) trade(from, to table.Ref, n int64) {
	r.Helper()
	r.ok(r.commit(addCount(from, -n), addCount(to, n)))
}

// 14. Redis is killed and forgets nothing (always), or what it wrote last (everysec).
func TestCase14(t *testing.T) {
	t.Run("always", func(t *testing.T) {
		r := newRig(t, "always")
		a, b := r.stored(7, 1, 1, 10, 5), r.stored(7, 2, 1, 10, 5)
		r.ok(r.commit(addCount(a, 1)))
		r.flush("7")
		r.trade(a, b, 3)
		r.ok(r.commit(insertItem(r, 7, 3, 2, 1, true)))
		r.redis.Kill()
		r.ok(r.redis.Start())
		// What is not stored waits for the flusher; nobody sees anything older meanwhile.
		r.store = r.over(r.cache, writeback.Options{Patience: 50 * time.Millisecond, Log: quiet()})
		r.code(r.commit(addCount(a, 1)), firefly.Unavailable)
		r.flush("7")
		if r.count(a) != 8 || r.count(b) != 13 || r.count(itemRef(r, 7, 3)) != 1 {
			t.Fatalf("%d, %d, %d", r.count(a), r.count(b), r.count(itemRef(r, 7, 3)))
		}
		if got := r.items(tabletest.ByKind, 7, 2); !slices.Equal(got, []int64{3}) {
			t.Errorf("the list is %v", got)
		}
		r.ok(r.commit(addCount(a, 1)))
		r.flush("7")
		if r.storedCount(a) != 9 || r.storedCount(b) != 13 {
			t.Errorf("stored %d, %d", r.storedCount(a), r.storedCount(b))
		}
	})
	t.Run("always, one generation", func(t *testing.T) {
		r := newRig(t, "always")
		r.cache = r.open(redisstore.Options{KeepsAll: true})
		r.store = r.over(r.cache, writeback.Options{Log: quiet()})
		a := r.stored(7, 1, 1, 10, 5)
		r.ok(r.commit(addCount(a, 1)))
		r.redis.Kill()
		r.ok(r.redis.Start())
		r.db.set(func() { r.db.away = true }) // nothing needs the database
		r.ok(r.commit(addCount(a, 1)))
		if n := r.count(a); n != 12 {
			t.Errorf("count is %d", n)
		}
		r.db.set(func() { r.db.away = false })
	})
	t.Run("insert, update and delete are forgotten after they were stored", func(t *testing.T) {
		r := newRig(t, "everysec")
		upd, del, ins := r.stored(7, 1, 1, 10, 5), r.stored(7, 2, 1, 20, 5), itemRef(r, 7, 3)
		r.ok(r.commit(addCount(upd, 1)))
		r.ok(r.commit(addCount(del, 1)))
		r.items(tabletest.ByKind, 7, 1)
		mark := r.mark()
		r.ok(r.commit(addCount(upd, 1)))
		r.ok(r.commit(remove(del)))
		r.ok(r.commit(insertItem(r, 7, 3, 1, 30, true)))
		r.flush("7")
		r.crash(mark)
		r.flush("7") // older images meet what is stored
		if r.count(upd) != 12 || r.count(del) != -1 || r.count(ins) != 30 {
			t.Errorf("the game sees %d, %d, %d", r.count(upd), r.count(del), r.count(ins))
		}
		if got := r.items(tabletest.ByKind, 7, 1); !slices.Equal(got, []int64{1, 3}) {
			t.Errorf("the list is %v", got)
		}
		r.ok(r.commit(addCount(upd, 1)))
		r.flush("7")
		if r.storedCount(upd) != 13 || r.storedCount(del) != -1 || r.storedCount(ins) != 30 {
			t.Errorf("stored are %d, %d, %d", r.storedCount(upd), r.storedCount(del), r.storedCount(ins))
		}
	})
	t.Run("a flush is forgotten half", func(t *testing.T) {
		r := newRig(t, "everysec")
		a, b := r.stored(7, 1, 1, 10, 5), r.stored(7, 2, 1, 20, 5)
		r.ok(r.commit(addCount(a, 1)))
		r.ok(r.commit(addCount(b, 1)))
		images := r.images("7")
		r.put("7", images)
		r.ok(r.cache.Ack(r.ctx, table.Place("7").Shard(shards), images[:1]))
		mark := r.mark()
		r.ok(r.cache.Ack(r.ctx, table.Place("7").Shard(shards), images[1:]))
		r.crash(mark)
		r.flush("7")
		r.ok(r.commit(addCount(a, 1)))
		r.ok(r.commit(addCount(b, 1)))
		r.flush("7")
		if r.storedCount(a) != 12 || r.storedCount(b) != 22 {
			t.Errorf("stored are %d, %d", r.storedCount(a), r.storedCount(b))
		}
	})
	t.Run("an acknowledgement from before comes late", func(t *testing.T) {
		r := newRig(t, "everysec")
		a := r.stored(7, 1, 1, 10, 5)
		r.ok(r.commit(addCount(a, 1)))
		mark := r.mark()
		old := r.images("7")
		r.put("7", old)
		r.ok(r.commit(addCount(a, 1)))
		r.put("7", r.images("7"))
		r.crash(mark)
		// Redis has the row as it was taken first, and the database a newer one.
		r.ok(r.cache.Ack(r.ctx, table.Place("7").Shard(shards), old))
		r.flush("7")
		if n := r.count(a); n != 12 {
			t.Errorf("the game sees %d", n)
		}
		r.ok(r.commit(addCount(a, 1)))
		r.flush("7")
		if n := r.storedCount(a); n != 13 {
			t.Errorf("stored is %d", n)
		}
	})
	t.Run("a trade is forgotten after it was stored", func(t *testing.T) {
		r := newRig(t, "everysec")
		a, b := r.stored(7, 1, 1, 10, 5), r.stored(7, 2, 1, 10, 5)
		r.ok(r.commit(addCount(a, 0)))
		r.ok(r.commit(addCount(b, 0)))
		mark := r.mark()
		r.trade(a, b, 5)
		r.flush("7")
		r.crash(mark)
		// One side is written again. With the old row below it, money would be made.
		r.store = r.over(r.cache, writeback.Options{Patience: 50 * time.Millisecond, Log: quiet()})
		if err := r.commit(addCount(a, 1)); firefly.CodeOf(err) != firefly.Unavailable {
			t.Fatalf("a row that was not compared with the database was written: %v", err)
		}
		r.flush("7")
		r.ok(r.commit(addCount(a, 1)))
		r.flush("7")
		if r.storedCount(a) != 6 || r.storedCount(b) != 15 || r.count(a) != 6 || r.count(b) != 15 {
			t.Errorf("stored are %d and %d, the game sees %d and %d", r.storedCount(a), r.storedCount(b), r.count(a), r.count(b))
		}
	})
	t.Run("a trade of clean rows", func(t *testing.T) {
		r := newRig(t, "everysec")
		a, b := r.stored(7, 1, 1, 10, 5), r.stored(7, 2, 1, 10, 5)
		r.read(a)
		r.read(b)
		mark := r.mark()
		r.trade(a, b, 5)
		r.flush("7")
		r.crash(mark)
		r.ok(r.commit(addCount(a, 1))) // the rows of before are dropped, and loaded
		r.flush("7")
		if r.storedCount(a) != 6 || r.storedCount(b) != 15 || r.count(b) != 15 {
			t.Errorf("stored are %d and %d, the game sees %d", r.storedCount(a), r.storedCount(b), r.count(b))
		}
	})
}

// 15. The generation changes while something is under way; time stands 10 s behind; an old backup is started.
func TestCase15(t *testing.T) {
	t.Run("while a row and a list are loaded", func(t *testing.T) {
		r := newRig(t, "always")
		ref := r.stored(7, 1, 1, 10, 5)
		l := table.List{Table: r.Item.Spec, Index: tabletest.ByOwner, By: []table.Value{table.IntOf(7)}, Place: "7"}
		out := make([]table.Cached, 1)
		c := r.open(redisstore.Options{Lease: time.Hour})
		r.ok(c.Lease(r.ctx, []table.Ref{ref}, "slow", out))
		_, _, err := c.LeaseList(r.ctx, l, "slow")
		r.ok(err)
		r.redis.Kill()
		r.ok(r.redis.Start())
		// The lease outlived the restart, but not its worth: who knows what was written and stored and forgotten.
		r.ok(c.Fill(r.ctx, []table.Row{{Ref: ref}}, "slow", out))
		if out[0].State != table.Absent {
			t.Errorf("filled in %+v", out[0])
		}
		if _, s, err := c.FillList(r.ctx, l, "slow", nil); err != nil || s != table.Absent {
			t.Errorf("filled in a list: %v, %v", s, err)
		}
	})
	t.Run("while a flush is under way", func(t *testing.T) {
		r := newRig(t, "everysec")
		a := r.stored(7, 1, 1, 10, 5)
		r.ok(r.commit(addCount(a, 1)))
		mark := r.mark()
		r.ok(r.commit(addCount(a, 1)))
		images := r.images("7")
		r.crash(mark)
		r.put("7", images)
		r.ok(r.cache.Ack(r.ctx, table.Place("7").Shard(shards), images)) // of a version that Redis has forgotten
		r.flush("7")
		if r.count(a) != 12 {
			t.Errorf("count is %d", r.count(a))
		}
		r.ok(r.commit(addCount(a, 1)))
		r.flush("7")
		if r.storedCount(a) != 13 {
			t.Errorf("stored is %d", r.storedCount(a))
		}
	})
	t.Run("while a durable commit is under way", func(t *testing.T) {
		for _, committed := range []bool{true, false} {
			r := newRig(t, "always")
			a := r.stored(7, 1, 1, 10, 5)
			r.read(a)
			op := addCount(a, 5)
			images := make([]table.Image, 1)
			refused, err := r.cache.Lock(r.ctx, table.Place("7").Shard(shards), []*table.Op{&op}, "tok", time.Hour, images)
			if err != nil || refused != nil {
				t.Fatal(refused, err)
			}
			r.redis.Kill()
			r.ok(r.redis.Start())
			// The lock is still there, so nobody writes below the commit.
			refused, err = r.cache.Commit(r.ctx, &table.Commit{Ops: []table.Op{addCount(a, 1)}})
			if err != nil || refused == nil || refused.State != table.Locked || refused.Lock != "tok" {
				t.Fatalf("%+v, %v", refused, err)
			}
			want := int64(10)
			if committed {
				want = 15
				r.ok(r.db.CommitDurably(r.ctx, "tok", nil, nil, images, nil))
				for range 2 { // twice does no harm
					r.ok(r.cache.Apply(r.ctx, table.Place("7").Shard(shards), "tok", images))
				}
			} else {
				r.ok(r.cache.Unlock(r.ctx, table.Place("7").Shard(shards), "tok", []table.Ref{a}))
			}
			if n := r.count(a); n != want {
				t.Errorf("count is %d, want %d", n, want)
			}
			r.ok(r.commit(addCount(a, 1)))
			r.flush("7")
			if n := r.storedCount(a); n != want+1 {
				t.Errorf("stored is %d, want %d", n, want+1)
			}
		}
	})
	t.Run("the lock is forgotten", func(t *testing.T) {
		r := newRig(t, "everysec")
		a := r.stored(7, 1, 1, 10, 5)
		r.read(a)
		r.items(tabletest.ByKind, 7, 4)
		mark := r.mark()
		op := setKind(a, 4)
		images := make([]table.Image, 1)
		refused, err := r.cache.Lock(r.ctx, table.Place("7").Shard(shards), []*table.Op{&op}, "tok", time.Hour, images)
		if err != nil || refused != nil {
			t.Fatal(refused, err)
		}
		r.crash(mark)
		r.read(a) // somebody loads it again before the commit is decided
		r.items(tabletest.ByKind, 7, 4)
		r.ok(r.db.CommitDurably(r.ctx, "tok", nil, nil, images, nil))
		r.ok(r.cache.Apply(r.ctx, table.Place("7").Shard(shards), "tok", images))
		if row := r.read(a); row.Values[tabletest.ItemKind].Int() != 4 {
			t.Errorf("kind is %d", row.Values[tabletest.ItemKind].Int())
		}
		if got := r.items(tabletest.ByKind, 7, 4); !slices.Equal(got, []int64{1}) {
			t.Errorf("the list is %v", got)
		}
	})
	t.Run("a commit is shown before an older image is acknowledged", func(t *testing.T) {
		r := newRig(t, "always")
		a, shard := r.stored(7, 1, 1, 10, 5), table.Place("7").Shard(shards)
		r.ok(r.commit(addCount(a, 1)))
		op := addCount(a, 5)
		images := make([]table.Image, 1)
		if refused, err := r.cache.Lock(r.ctx, shard, []*table.Op{&op}, "tok", time.Hour, images); err != nil || refused != nil {
			t.Fatal(refused, err)
		}
		r.redis.Kill()
		r.ok(r.redis.Start())
		old := r.images("7") // compared, and stored, before the commit is made
		r.put("7", old)
		r.ok(r.db.CommitDurably(r.ctx, "tok", nil, nil, images, nil))
		r.ok(r.cache.Apply(r.ctx, shard, "tok", images))
		r.ok(r.cache.Ack(r.ctx, shard, old))
		r.flush("7")
		r.ok(r.commit(addCount(a, 1)))
		r.flush("7")
		if n, stored := r.count(a), r.storedCount(a); n != 17 || stored != 17 {
			t.Errorf("the game sees %d, and stored is %d", n, stored)
		}
	})
	t.Run("a commit is shown that others went on from", func(t *testing.T) {
		for _, locked := range []bool{false, true} {
			r := newRig(t, "everysec")
			a, shard := r.stored(7, 1, 1, 10, 5), table.Place("7").Shard(shards)
			r.read(a)
			r.items(tabletest.ByKind, 7, 4)
			mark := r.mark()
			op := setKind(a, 4)
			images := make([]table.Image, 1)
			if refused, err := r.cache.Lock(r.ctx, shard, []*table.Op{&op}, "tok", time.Hour, images); err != nil || refused != nil {
				t.Fatal(refused, err)
			}
			if locked {
				mark = r.mark()
			}
			r.ok(r.db.CommitDurably(r.ctx, "tok", nil, nil, images, nil))
			r.ok(r.cache.Apply(r.ctx, shard, "tok", images)) // by somebody who met the lock
			r.ok(r.commit(setKind(a, 5)))
			r.flush("7")
			r.crash(mark)
			r.ok(r.cache.Apply(r.ctx, shard, "tok", images)) // by who made it
			if row := r.read(a); row.Values[tabletest.ItemKind].Int() != 5 {
				t.Errorf("locked %v: kind is %d", locked, row.Values[tabletest.ItemKind].Int())
			}
			if got := r.items(tabletest.ByKind, 7, 5); !slices.Equal(got, []int64{1}) {
				t.Errorf("locked %v: the list is %v", locked, got)
			}
			if got := r.items(tabletest.ByKind, 7, 4); len(got) != 0 {
				t.Errorf("locked %v: the former list is %v", locked, got)
			}
		}
	})
	t.Run("time of the new master is behind", func(t *testing.T) {
		r := newRig(t, "everysec")
		a := r.stored(7, 1, 1, 10, 5)
		r.ok(r.commit(addCount(a, 1)))
		// A version of a clock that is 10 s ahead: the next one is higher all the same.
		ahead := uint64(time.Now().Add(10 * time.Second).UnixMicro())
		r.ok(r.raw.HSet(r.ctx, r.key("item:7:1", "7"), "_v", ahead).Err())
		r.flush("7")
		r.ok(r.commit(addCount(a, 1)))
		if v := r.read(a).Version; v <= ahead {
			t.Errorf("version %d after %d", v, ahead)
		}
		r.flush("7")
		if r.storedCount(a) != 12 {
			t.Errorf("stored is %d", r.storedCount(a))
		}
	})
	t.Run("an old backup is started", func(t *testing.T) {
		r := newRig(t, "everysec")
		a, b, gone := r.stored(7, 1, 1, 10, 5), r.stored(7, 2, 1, 10, 5), r.stored(7, 3, 1, 10, 5)
		r.ok(r.commit(addCount(a, 1)))
		r.ok(r.commit(addCount(gone, 1)))
		r.read(b)
		mark := r.mark()
		for range 3 {
			r.trade(a, b, 1)
			r.flush("7")
		}
		r.ok(r.commit(remove(gone)))
		r.ok(r.commit(insertItem(r, 7, 4, 1, 1, true)))
		r.flush("7")
		r.crash(mark)
		r.flush("7")
		for ref, want := range map[table.Ref]int64{a: 8, b: 13, gone: -1, itemRef(r, 7, 4): 1} {
			if r.count(ref) != want || r.storedCount(ref) != want {
				t.Errorf("%s: the game sees %d, stored is %d, want %d", ref, r.count(ref), r.storedCount(ref), want)
			}
		}
		if got := r.items(tabletest.ByOwner, 7); !slices.Equal(got, []int64{1, 2, 4}) {
			t.Errorf("the list is %v", got)
		}
	})
}

// A replica that lags takes over: its rows are dropped, or compared with the database.
func TestCase15Failover(t *testing.T) {
	r := newRig(t, "everysec")
	replica := servers.NewRedis(t, "everysec", "--replicaof", "127.0.0.1 "+fmt.Sprint(r.redis.Port), "--min-replicas-to-write", "0")
	second := r.client(replica.Addr())
	defer func() { _ = second.Close() }()
	inSync := func() bool {
		a, err := r.raw.Info(r.ctx, "replication").Result()
		r.ok(err)
		b, err := second.Info(r.ctx, "replication").Result()
		return err == nil && strings.Contains(b, "master_link_status:up") && infoOf(a, "master_repl_offset") == infoOf(b, "slave_repl_offset")
	}
	a, b := r.stored(7, 1, 1, 10, 5), r.stored(7, 2, 1, 10, 5)
	r.ok(r.commit(addCount(a, 1)))
	r.read(b)
	r.until(inSync)
	// From here on the replica hears nothing.
	replica.Pause()
	r.trade(a, b, 5)
	r.flush("7")
	r.redis.Kill()
	replica.Resume()
	r.ok(second.Do(r.ctx, "replicaof", "no", "one").Err())
	c, err := redisstore.Open(redisstore.Options{URL: "redis://" + replica.Addr(), Shards: shards, Log: quiet()})
	r.ok(err)
	defer func() { _ = c.Close() }()
	r.ok(c.Start(r.ctx, r.Specs()))
	r.cache, r.store = c, r.over(c, writeback.Options{Log: quiet()})
	r.flush("7")
	if r.count(a) != 6 || r.count(b) != 15 {
		t.Fatalf("the game sees %d and %d", r.count(a), r.count(b))
	}
	r.ok(r.commit(addCount(a, 1)))
	r.flush("7")
	if r.storedCount(a) != 7 || r.storedCount(b) != 15 {
		t.Errorf("stored are %d and %d", r.storedCount(a), r.storedCount(b))
	}
}

// 16. What surely was not executed is tried again; what may have been is not.
func TestCase16(t *testing.T) {
	r := newRig(t, "everysec")
	a := r.stored(7, 1, 1, 0, 5)
	for i := range int64(5) {
		r.ok(r.raw.ScriptFlush(r.ctx).Err())
		r.ok(r.commit(addCount(a, 1)))
		r.ok(r.raw.ScriptFlush(r.ctx).Err())
		if n := r.count(a); n != i+1 {
			t.Fatalf("count is %d after %d", n, i+1)
		}
	}
	// The connection is cut before the request, and before the answer. In both cases nobody knows.
	front := servers.NewProxy(t, r.redis.Addr())
	c, err := redisstore.Open(redisstore.Options{URL: "redis://" + front.Addr(), Shards: shards, Log: quiet()})
	r.ok(err)
	defer func() { _ = c.Close() }()
	r.ok(c.Start(r.ctx, r.Specs()))
	store := r.over(c, writeback.Options{Log: quiet()})
	n := int64(5)
	for _, loss := range []servers.Loss{servers.LoseRequest, servers.LoseReply} {
		r.ok(store.Commit(r.ctx, &table.Commit{Ops: []table.Op{addCount(a, 1)}})) // a connection is there
		n++
		lost := front.Lose("item:7:1", loss)
		r.code(store.Commit(r.ctx, &table.Commit{Ops: []table.Op{addCount(a, 1)}}), firefly.Unknown)
		<-lost
		if loss == servers.LoseReply {
			n++
		}
		if got := r.count(a); got != n {
			t.Fatalf("count is %d, want %d", got, n)
		}
	}
	// With a key of Once the same commit is sent again, and done once.
	once := &table.Commit{Once: "k", Token: 77, Ops: []table.Op{addCount(a, 1)}}
	r.ok(store.Commit(r.ctx, &table.Commit{Ops: []table.Op{addCount(a, 0)}}))
	lost := front.Lose("ff_once:7:k\r\n", servers.LoseReply)
	for {
		err := store.Commit(r.ctx, once)
		if err == nil {
			break
		}
		r.code(err, firefly.Unknown)
	}
	<-lost
	if got := r.count(a); got != n+1 {
		t.Fatalf("count is %d, want %d", got, n+1)
	}
	if err := store.Commit(r.ctx, &table.Commit{Once: "k", Token: 78, Ops: []table.Op{addCount(a, 1)}}); !errors.Is(err, table.ErrOnce) {
		t.Error(err)
	}
	// Nobody listens: surely not executed.
	r.redis.Kill()
	c2, err := redisstore.Open(redisstore.Options{URL: "redis://" + r.redis.Addr(), Shards: shards, Patience: 50 * time.Millisecond, Log: quiet()})
	r.ok(err)
	defer func() { _ = c2.Close() }()
	_, err = c2.Commit(r.ctx, &table.Commit{Ops: []table.Op{addCount(a, 1)}})
	r.code(err, firefly.Unavailable)
	r.ok(r.redis.Start())
}

// Servers that say that they did not execute something are asked again, others are not.
func TestCase16Answers(t *testing.T) {
	for answer, again := range map[string]bool{
		"LOADING Redis is loading the dataset in memory": true, "TRYAGAIN Multiple keys request during rehashing of slot": true,
		"CLUSTERDOWN The cluster is down": true, "MASTERDOWN Link with MASTER is down": true, "READONLY You can't write against a read only replica.": true,
		"BUSY Redis is busy running a script.": true, "MOVED 1 127.0.0.1:1": true, "NOREPLICAS Not enough good replicas to write.": true,
		"MISCONF Errors writing to the AOF file": true, "ERR max number of clients reached": true,
		"ERR something else": false,
	} {
		s := newAnswers(t, answer)
		c, err := redisstore.Open(redisstore.Options{URL: "redis://" + s.addr(), Shards: 1, Log: quiet()})
		if err != nil {
			t.Fatal(err)
		}
		tables := tabletest.NewTables("")
		_, err = c.Commit(t.Context(), &table.Commit{Ops: []table.Op{{Kind: table.Delete, Ref: tables.Account.Ref(1)}}})
		// The second answer is that there is no such row.
		want := firefly.Unknown
		if again {
			want = firefly.NotFound
		}
		if firefly.CodeOf(err) != want {
			t.Errorf("after %q: %v, want %s", answer, err, want)
		}
		_ = c.Close()
	}
	// A server that hangs is not asked again either.
	s := newAnswers(t, "")
	c, err := redisstore.Open(redisstore.Options{URL: "redis://" + s.addr() + "?read_timeout=100ms", Shards: 1, Log: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	_, err = c.Commit(t.Context(), &table.Commit{Ops: []table.Op{{Kind: table.Delete, Ref: tabletest.NewTables("").Account.Ref(1)}}})
	if firefly.CodeOf(err) != firefly.Unknown {
		t.Errorf("%v", err)
	}
	if n := s.commits(); n != 1 {
		t.Errorf("sent %d times", n)
	}
}

// 12. Memory is full.
func TestCase12(t *testing.T) {
	r := newRig(t, "everysec", "--maxmemory", "8mb", "--maxmemory-policy", "volatile-lru")
	clean, dirty := r.stored(7, 1, 1, 10, 5), r.stored(7, 2, 1, 10, 5)
	r.read(clean)
	r.ok(r.commit(addCount(dirty, 1)))
	// Rows that are not stored fill the memory; nothing of them may go.
	text := strings.Repeat("x", 4000)
	var kept []table.Ref
	full := false
	for id := int64(1); id < 5000 && !full; id++ {
		m := &tabletest.Mail{ID: id, To: id % 5, Text: text}
		values, err := r.Mail.Values(m, nil)
		r.ok(err)
		op := table.Op{Kind: table.Insert, Ref: r.Mail.Spec.RefOf(values), Fresh: true}
		for i, v := range values {
			op.Set = append(op.Set, table.Assign{Column: i, Value: v})
		}
		switch err := r.commit(op); firefly.CodeOf(err) {
		case firefly.OK:
			kept = append(kept, op.Ref)
		case firefly.Overloaded:
			full = true
		default:
			t.Fatal(err)
		}
	}
	if !full {
		t.Fatal("the memory never was full")
	}
	// Less than is there now, so that there is no room for anything.
	r.ok(r.raw.ConfigSet(r.ctx, "maxmemory", "1mb").Err())
	r.code(r.commit(addCount(dirty, 1)), firefly.Overloaded)
	// A flusher takes shards, stores and acknowledges all the same.
	r.flushAll()
	for _, ref := range append(kept, dirty) {
		if r.db.row(ref).Version == 0 {
			t.Fatalf("%s was acknowledged, and is not stored", ref)
		}
	}
	r.ok(r.raw.ConfigSet(r.ctx, "maxmemory", "8mb").Err())
	r.ok(r.commit(addCount(dirty, 1)))
	if n := r.count(dirty); n != 12 {
		t.Errorf("count is %d", n)
	}
}

// What would lose rows, or is not what the launch file says, is refused at the start.
func TestStartRefuses(t *testing.T) {
	for _, c := range []struct {
		args []string
		sync string
		all  bool
		want string
	}{
		{[]string{"--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"}, "always", false, "maxmemory-policy allkeys-lru"},
		{[]string{"--maxmemory-policy", "volatile-ttl"}, "everysec", true, "appendfsync everysec"},
		{[]string{"--appendonly", "no"}, "always", true, "append-only"},
		{[]string{"--maxmemory-policy", "volatile-ttl"}, "always", true, ""},
		{nil, "everysec", false, ""},
	} {
		s := servers.NewRedis(t, c.sync, c.args...)
		cache, err := redisstore.Open(redisstore.Options{URL: "redis://" + s.Addr(), Shards: 4, KeepsAll: c.all, Log: quiet()})
		if err != nil {
			t.Fatal(err)
		}
		err = cache.Start(t.Context(), nil)
		if c.want == "" && err != nil || c.want != "" && (firefly.CodeOf(err) != firefly.FailedPrecondition || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%v, appendfsync %s: %v, want %q", c.args, c.sync, err, c.want)
		}
		_ = cache.Close()
	}
}
