package writeback_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/table"
	"github.com/firefly-go/firefly/runtime/table/redisstore"
	"github.com/firefly-go/firefly/runtime/table/tabletest"
	"github.com/firefly-go/firefly/runtime/table/tabletest/servers"
	"github.com/firefly-go/firefly/runtime/table/writeback"
)

// rig is a real Redis with a cache over it, a durable store in memory, and a flusher that does one step when
// it is told to.
type rig struct {
	*testing.T
	*tabletest.Tables
	ctx   context.Context
	redis *servers.Redis
	raw   *redis.Client
	cache *redisstore.Cache
	db    *memoryDurable
	store *writeback.Store
	epoch map[int]uint64
}

const shards = 8

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// newRig makes tables whose rows are due at once.
func newRig(t *testing.T, fsync string, args ...string) *rig {
	t.Helper()
	r := &rig{T: t, Tables: tabletest.NewTables(""), ctx: t.Context(), redis: servers.NewRedis(t, fsync, args...), db: newMemoryDurable(), epoch: map[int]uint64{}}
	for _, s := range r.Specs() {
		s.Flush = 0
	}
	r.raw = redis.NewClient(&redis.Options{Addr: r.redis.Addr(), MaxRetries: -1})
	t.Cleanup(func() { _ = r.raw.Close() })
	r.cache = r.open(redisstore.Options{})
	r.store = r.over(r.cache, writeback.Options{})
	return r
}

// open is another process's view of the same cache.
func (r *rig) open(o redisstore.Options) *redisstore.Cache {
	r.Helper()
	o.URL, o.Shards, o.Log = "redis://"+r.redis.Addr(), shards, quiet()
	c, err := redisstore.Open(o)
	r.ok(err)
	r.Cleanup(func() { _ = c.Close() })
	r.ok(c.Start(r.ctx, r.Specs()))
	return c
}

func (r *rig) over(c table.Cache, o writeback.Options) *writeback.Store {
	s := writeback.New(c, r.db, r.Specs(), o)
	r.Cleanup(func() { _ = s.Close() })
	return s
}

func (r *rig) ok(err error) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
}

func (r *rig) code(err error, want firefly.Code) {
	r.Helper()
	if firefly.CodeOf(err) != want {
		r.Fatalf("%v, want %s", err, want)
	}
}

// images takes what is due at the shard of a place, without storing it.
func (r *rig) images(p table.Place) []table.Image {
	r.Helper()
	shard := p.Shard(shards)
	held, err := r.cache.Hold(r.ctx, shard, "f", time.Minute)
	r.ok(err)
	images, still, err := r.cache.Take(r.ctx, shard, "f", 1000, true)
	r.ok(err)
	if !held || !still {
		r.Fatal("the flusher lost its lease")
	}
	return images
}

// put stores images.
func (r *rig) put(p table.Place, images []table.Image) (ahead []table.Image) {
	r.Helper()
	shard := p.Shard(shards)
	if r.epoch[shard] == 0 {
		e, err := r.db.Fence(r.ctx, []int{shard}, "f")
		r.ok(err)
		r.epoch[shard] = e[0]
	}
	fenced, ahead, err := r.db.Flush(r.ctx, []table.ShardBatch{{Shard: shard, Epoch: r.epoch[shard], Images: images}}, nil)
	r.ok(err)
	if fenced != nil {
		r.Fatal("fenced")
	}
	return ahead
}

// flush takes, stores and acknowledges everything of the shard of a place.
func (r *rig) flush(p table.Place) {
	r.Helper()
	images := r.images(p)
	ahead := r.put(p, images)
	newer := map[table.Ref]bool{}
	for _, a := range ahead {
		newer[a.Ref] = true
	}
	var stored []table.Image
	for _, img := range images {
		if !newer[img.Ref] {
			stored = append(stored, img)
		}
	}
	if stored != nil {
		r.ok(r.cache.Ack(r.ctx, p.Shard(shards), stored))
	}
	if ahead != nil {
		r.ok(r.cache.Yield(r.ctx, p.Shard(shards), ahead))
	}
}

// flushAll does so for every shard.
func (r *rig) flushAll() {
	r.Helper()
	for s := range shards {
		for n := 0; ; n++ {
			if p := table.PlaceOf(table.IntOf(int64(n))); p.Shard(shards) == s {
				r.flush(p)
				break
			}
		}
	}
}

// evict drops a row as Redis does when its time is over or memory is short: only what is stored may go.
func (r *rig) evict(ref table.Ref) {
	r.Helper()
	r.ok(r.cache.Forget(r.ctx, []table.Ref{ref}))
}

func (r *rig) read(ref table.Ref) table.Row {
	r.Helper()
	out := make([]table.Row, 1)
	r.ok(r.store.Read(r.ctx, []table.Ref{ref}, out))
	return out[0]
}

func (r *rig) commit(ops ...table.Op) error { return r.store.Commit(r.ctx, &table.Commit{Ops: ops}) }

func itemRef(r *rig, owner, id int64) table.Ref {
	return r.Item.Ref(tabletest.ItemKey{OwnerID: owner, ID: id})
}

// insertItem is an Insert of an item; fresh as an auto id.
func insertItem(r *rig, owner, id int64, kind int32, count int64, fresh bool) table.Op {
	values, err := r.Item.Values(&tabletest.Item{OwnerID: owner, ID: id, Kind: kind, Count: count}, nil)
	r.ok(err)
	op := table.Op{Kind: table.Insert, Ref: itemRef(r, owner, id), Fresh: fresh}
	for i, v := range values {
		op.Set = append(op.Set, table.Assign{Column: i, Value: v})
	}
	return op
}

func addCount(ref table.Ref, n int64) table.Op {
	return table.Op{Kind: table.Update, Ref: ref, Add: []table.AddTo{{Column: tabletest.ItemCount, Delta: n}}}
}

func setKind(ref table.Ref, kind int64) table.Op {
	return table.Op{Kind: table.Update, Ref: ref, Set: []table.Assign{{Column: tabletest.ItemKind, Value: table.IntOf(kind)}}}
}

func remove(ref table.Ref) table.Op { return table.Op{Kind: table.Delete, Ref: ref} }

// items are the ids of an owner's items.
func (r *rig) items(index int, by ...int64) []int64 {
	r.Helper()
	q := &table.Query{Table: r.Item.Spec, Index: index}
	for _, v := range by {
		q.By = append(q.By, table.IntOf(v))
	}
	rows, err := r.store.Find(r.ctx, q)
	r.ok(err)
	ids := []int64{}
	for _, row := range rows {
		ids = append(ids, row.Values[1].Int())
	}
	return ids
}

// key is the name of something of the shard of a place, in Redis.
func (r *rig) key(of string, p table.Place) string {
	r.Helper()
	keys := r.raw.Keys(r.ctx, "ff:{*"+of).Val()
	for _, k := range keys {
		if strings.HasPrefix(k, fmt.Sprintf("ff:{%d", p.Shard(shards))) {
			return k
		}
	}
	return "none"
}

// dropLists drops all lists as Redis does when their time is over: those that have a time.
func (r *rig) dropLists() {
	r.Helper()
	for _, k := range r.raw.Keys(r.ctx, "ff:{*}:@*").Val() {
		if r.raw.PTTL(r.ctx, k).Val() > 0 {
			r.ok(r.raw.Del(r.ctx, k).Err())
		}
	}
}
