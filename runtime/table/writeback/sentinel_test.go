package writeback_test

import (
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/table"
	"github.com/firefly-go/firefly/runtime/table/redisstore"
	"github.com/firefly-go/firefly/runtime/table/tabletest/servers"
	"github.com/firefly-go/firefly/runtime/table/writeback"
)

// The master is killed under load, a sentinel makes its replica the master, and the tables go on there: nothing
// that a REPLICATED table acknowledged is lost.
func TestSentinel(t *testing.T) {
	r, replica := newReplicated(t)
	watch := servers.NewSentinel(t, "arena", r.redis.Port, 3_600_000) // it judges when the test says so
	ask := redis.NewSentinelClient(&redis.Options{Addr: watch.Addr()})
	defer func() { _ = ask.Close() }()
	r.until(func() bool {
		rs, err := ask.Replicas(r.ctx, "arena").Result()
		return err == nil && len(rs) == 1 && rs[0]["master-link-status"] == "ok"
	})
	nobody := net.JoinHostPort("127.0.0.1", "1")
	open := func() *redisstore.Cache {
		c, err := redisstore.Open(redisstore.Options{URL: "redis://" + watch.Addr() + "?read_timeout=20s", Sentinels: []string{nobody, watch.Addr()},
			Master: "arena", Shards: shards, Copied: 10 * time.Second, Log: quiet()})
		r.ok(err)
		t.Cleanup(func() { _ = c.Close() })
		r.ok(c.Start(r.ctx, r.Specs()))
		return c
	}
	r.cache = open()
	r.store = r.over(r.cache, writeback.Options{Log: quiet()})
	var refs []table.Ref
	for id := range int64(4) {
		r.ok(r.commit(insertItem(r, 7, id+1, 1, 0, true)))
		refs = append(refs, itemRef(r, 7, id+1))
	}
	var acked, unknown [4]atomic.Int64
	var total atomic.Int64
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for i, ref := range refs {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				switch err := r.store.Commit(r.ctx, &table.Commit{Ops: []table.Op{addCount(ref, 1)}}); firefly.CodeOf(err) {
				case firefly.OK:
					acked[i].Add(1)
					total.Add(1)
				case firefly.Unknown:
					unknown[i].Add(1)
				case firefly.Unavailable: // surely not executed
				default:
					t.Error(err)
				}
			}
		})
	}
	r.until(func() bool { return total.Load() > 50 })
	r.redis.Kill()
	r.ok(ask.Set(r.ctx, "arena", "down-after-milliseconds", "100").Err())
	r.until(func() bool {
		at, err := ask.GetMasterAddrByName(r.ctx, "arena").Result()
		return err == nil && at[1] == fmt.Sprint(replica.Port)
	})
	// The new master has no replica: what is written now is not replicated, so the others wait for one.
	second := servers.NewRedis(t, "everysec", "--replicaof", "127.0.0.1 "+fmt.Sprint(replica.Port))
	close(stop)
	wg.Wait()
	r.follows(second)
	before := total.Load()
	r.until(func() bool { // what was there before is compared with the database first
		r.flushSome("7")
		err := r.store.Commit(r.ctx, &table.Commit{Ops: []table.Op{addCount(refs[0], 1)}})
		switch firefly.CodeOf(err) {
		case firefly.OK:
			acked[0].Add(1)
			return true
		case firefly.Unknown:
			unknown[0].Add(1)
		}
		return false
	})
	r.flush("7")
	for i, ref := range refs {
		low, high := acked[i].Load(), acked[i].Load()+unknown[i].Load()
		if n := r.count(ref); n < low || n > high || r.storedCount(ref) != n {
			t.Errorf("%s: acknowledged %d, at most %d, the game sees %d, stored %d", ref, low, high, n, r.storedCount(ref))
		}
	}
	t.Logf("%d commits were acknowledged before the failover", before)
}

// flushSome is flush while a server may be away.
func (r *rig) flushSome(p table.Place) {
	r.Helper()
	shard := p.Shard(shards)
	if held, err := r.cache.Hold(r.ctx, shard, "f", time.Minute); err != nil || !held {
		return
	}
	r.flush(p)
}
