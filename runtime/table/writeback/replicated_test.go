package writeback_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/table"
	"github.com/firefly-go/firefly/runtime/table/redisstore"
	"github.com/firefly-go/firefly/runtime/table/tabletest/servers"
	"github.com/firefly-go/firefly/runtime/table/writeback"
)

// newReplicated is a rig whose items are REPLICATED, and a replica of its Redis that is connected.
func newReplicated(t *testing.T, args ...string) (*rig, *servers.Redis) {
	t.Helper()
	r := newRig(t, "everysec", append(args, "--repl-diskless-sync-delay", "0")...)
	r.Item.Spec.Durability = table.Replicated
	replica := servers.NewRedis(t, "everysec", "--replicaof", "127.0.0.1 "+fmt.Sprint(r.redis.Port))
	r.follows(replica)
	return r, replica
}

// follows waits until a replica has all that its master sends.
func (r *rig) follows(replica *servers.Redis) {
	r.Helper()
	raw := r.client(replica.Addr())
	defer func() { _ = raw.Close() }()
	r.until(func() bool {
		info, err := raw.Info(r.ctx, "replication").Result()
		return err == nil && infoOf(info, "master_link_status") == "up" && infoOf(info, "master_sync_in_progress") == "0"
	})
}

// at is another process's view of the cache in another server.
func (r *rig) at(addr string, o redisstore.Options) *redisstore.Cache {
	r.Helper()
	o.URL, o.Shards, o.Log = "redis://"+addr+"?read_timeout=2m", shards, quiet()
	c, err := redisstore.Open(o)
	r.ok(err)
	r.Cleanup(func() { _ = c.Close() })
	r.ok(c.Start(r.ctx, r.Specs()))
	return c
}

// What a REPLICATED table acknowledged is in the replica: the master may be lost for good.
func TestReplicated(t *testing.T) {
	r, replica := newReplicated(t)
	r.cache = r.at(r.redis.Addr(), redisstore.Options{Copied: time.Minute})
	r.store = r.over(r.cache, writeback.Options{Log: quiet()})
	for id := int64(1); id <= 20; id++ {
		r.ok(r.commit(insertItem(r, 7, id, 1, 10, true)))
		if id > 1 {
			r.trade(itemRef(r, 7, id), itemRef(r, 7, 1), 3)
		}
	}
	r.redis.Kill()
	raw := r.client(replica.Addr())
	defer func() { _ = raw.Close() }()
	r.ok(raw.ReplicaOf(r.ctx, "no", "one").Err())
	r.cache = r.at(replica.Addr(), redisstore.Options{})
	r.store = r.over(r.cache, writeback.Options{Log: quiet()})
	r.flush("7") // nothing of it was stored: it is another generation, and compared with the database first
	for id := int64(2); id <= 20; id++ {
		if n := r.count(itemRef(r, 7, id)); n != 7 {
			t.Fatalf("item %d has %d", id, n)
		}
	}
	if n, stored := r.count(itemRef(r, 7, 1)), r.storedCount(itemRef(r, 7, 1)); n != 10+19*3 || stored != n {
		t.Errorf("the first has %d, stored is %d", n, stored)
	}
}

// A replica that does not hear: the commit is done, and its outcome unknown.
func TestReplicatedAlone(t *testing.T) {
	r, replica := newReplicated(t)
	a, b := r.stored(7, 1, 1, 10, 5), r.stored(8, 1, 1, 10, 5)
	slow := r.over(r.at(r.redis.Addr(), redisstore.Options{Copied: time.Minute}), writeback.Options{Log: quiet()})
	r.cache = r.at(r.redis.Addr(), redisstore.Options{Copied: 50 * time.Millisecond})
	r.store = r.over(r.cache, writeback.Options{Log: quiet()})
	commit := func(s *writeback.Store, c *table.Commit) error { return s.Commit(r.ctx, c) }
	r.ok(commit(slow, &table.Commit{Ops: []table.Op{addCount(a, 1)}}))
	r.ok(commit(slow, &table.Commit{Ops: []table.Op{addCount(b, 0)}}))

	replica.Pause()
	c := &table.Commit{Ops: []table.Op{addCount(a, 1)}}
	err := commit(r.store, c)
	r.code(err, firefly.Unknown)
	if !errors.Is(err, table.ErrNotReplicated) {
		t.Errorf("%v is not ErrNotReplicated", err)
	}
	if n := r.count(a); n != 12 || c.Ops[0].Sums[0] != 12 {
		t.Errorf("others see %d, and the sum is %v", n, c.Ops[0].Sums)
	}
	// What the cache refuses is refused as ever, and what a table of another durability wants is not held up.
	r.code(commit(r.store, &table.Commit{Ops: []table.Op{addCount(itemRef(r, 7, 99), 1)}}), firefly.NotFound)
	r.Item.Spec.Durability = table.WriteBehind
	r.ok(commit(r.store, &table.Commit{Ops: []table.Op{addCount(a, 1)}}))
	r.Item.Spec.Durability = table.Replicated
	// A commit that the database decides needs no replica.
	r.ok(commit(r.store, &table.Commit{Ops: []table.Op{addCount(a, -1), addCount(b, 1)}}))

	// With a key the commit is repeated until it is known to be in the replica, and is done once.
	once := &table.Commit{Once: "k", Token: 77, Ops: []table.Op{addCount(a, 1)}}
	for range 2 {
		if err := commit(r.store, once); firefly.CodeOf(err) != firefly.Unknown || !errors.Is(err, table.ErrNotReplicated) {
			t.Fatal(err)
		}
	}
	replica.Resume()
	r.ok(commit(slow, once))
	if n := r.count(a); n != 13 {
		t.Errorf("count is %d", n)
	}
	r.ok(commit(slow, &table.Commit{Ops: []table.Op{addCount(a, 1)}}))
	r.flush("7")
	if n := r.storedCount(a); n != 14 {
		t.Errorf("stored is %d", n)
	}

	// A server that insists on a replica does not execute anything without one.
	r.ok(r.raw.ConfigSet(r.ctx, "min-replicas-to-write", "1").Err())
	replica.Kill()
	r.until(func() bool {
		info, err := r.raw.Info(r.ctx, "replication").Result()
		return err == nil && infoOf(info, "connected_slaves") == "0"
	})
	impatient := r.over(r.unstarted(redisstore.Options{Patience: 50 * time.Millisecond}), writeback.Options{Log: quiet()})
	r.code(commit(impatient, &table.Commit{Ops: []table.Op{addCount(a, 1)}}), firefly.Unavailable)
	r.ok(r.raw.ConfigSet(r.ctx, "min-replicas-to-write", "0").Err())
	if n := r.count(a); n != 14 {
		t.Errorf("count is %d after a commit that was refused", n)
	}
}

// unstarted is another process, which does not start: that needs a server that takes writes.
func (r *rig) unstarted(o redisstore.Options) *redisstore.Cache {
	r.Helper()
	o.URL, o.Shards, o.Log = "redis://"+r.redis.Addr(), shards, quiet()
	c, err := redisstore.Open(o)
	r.ok(err)
	r.Cleanup(func() { _ = c.Close() })
	return c
}

// The launch file cannot say that no replica takes over, and a table that it needs one.
func TestReplicatedRefused(t *testing.T) {
	r := newRig(t, "always")
	r.Item.Spec.Durability = table.Replicated
	c, err := redisstore.Open(redisstore.Options{URL: "redis://" + r.redis.Addr(), Shards: shards, KeepsAll: true, Log: quiet()})
	r.ok(err)
	defer func() { _ = c.Close() }()
	r.code(c.Start(r.ctx, r.Specs()), firefly.FailedPrecondition)
}
