package writeback_test

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
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

// cluster are three masters that share the slots.
type cluster struct {
	*rig
	nodes []*servers.Redis
	raws  []*redis.Client
	ids   []string
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	c := &cluster{rig: &rig{T: t, Tables: tabletest.NewTables(""), ctx: t.Context(), db: newMemoryDurable(), epoch: map[int]uint64{}}}
	for _, s := range c.Specs() {
		s.Flush = 0
	}
	var buses []int
	for range 3 {
		bus, err := servers.FreePort()
		c.ok(err)
		n := servers.NewRedis(t, "everysec", "--cluster-enabled", "yes", "--cluster-port", fmt.Sprint(bus), "--cluster-node-timeout", "15000")
		raw := c.client(n.Addr())
		t.Cleanup(func() { _ = raw.Close() })
		c.nodes, c.raws, buses = append(c.nodes, n), append(c.raws, raw), append(buses, bus)
	}
	const slots = 16384
	for i, raw := range c.raws {
		c.ok(raw.Do(c.ctx, "cluster", "addslotsrange", i*slots/3, (i+1)*slots/3-1).Err())
		c.ok(raw.Do(c.ctx, "cluster", "set-config-epoch", i+1).Err())
		id, err := raw.ClusterMyID(c.ctx).Result()
		c.ok(err)
		c.ids = append(c.ids, id)
	}
	for i := range 2 {
		c.ok(c.raws[2].Do(c.ctx, "cluster", "meet", "127.0.0.1", c.nodes[i].Port, buses[i]).Err())
	}
	for _, raw := range c.raws {
		c.until(func() bool {
			info, err := raw.ClusterInfo(c.ctx).Result()
			return err == nil && strings.Contains(info, "cluster_state:ok") && strings.Contains(info, "cluster_known_nodes:3")
		})
	}
	c.cache = c.openCluster()
	c.store = c.over(c.cache, writeback.Options{Log: quiet()})
	return c
}

func (c *cluster) openCluster() *redisstore.Cache {
	c.Helper()
	url := "redis://" + c.nodes[0].Addr() + "?addr=" + c.nodes[1].Addr() + "&addr=" + c.nodes[2].Addr()
	cache, err := redisstore.Open(redisstore.Options{URL: url, Cluster: true, Shards: shards, Patience: 20 * time.Second, Log: quiet()})
	c.ok(err)
	c.Cleanup(func() { _ = cache.Close() })
	c.ok(cache.Start(c.ctx, c.Specs()))
	return cache
}

// On a cluster everything is as on one server, and the shards lie on all of them.
func TestCluster(t *testing.T) {
	c := newCluster(t)
	var refs []table.Ref
	for owner := range int64(40) {
		c.ok(c.commit(insertItem(c.rig, owner, 1, 1, 10, true), insertItem(c.rig, owner, 2, 1, 10, false)))
		a, b := itemRef(c.rig, owner, 1), itemRef(c.rig, owner, 2)
		c.trade(a, b, 3)
		refs = append(refs, a, b)
	}
	rows := make([]table.Row, len(refs))
	c.ok(c.store.Read(c.ctx, refs, rows))
	for i, row := range rows {
		if want := []int64{7, 13}[i%2]; row.Version == 0 || row.Values[tabletest.ItemCount].Int() != want {
			t.Fatalf("%s is %+v", refs[i], row)
		}
	}
	for i, raw := range c.raws {
		if n := raw.DBSize(c.ctx).Val(); n < 20 {
			t.Errorf("node %d has %d keys", i, n)
		}
	}
	c.flushAll()
	for _, ref := range refs {
		c.evict(ref)
	}
	c.ok(c.store.Read(c.ctx, refs, rows))
	for i, row := range rows {
		if want := []int64{7, 13}[i%2]; c.storedCount(refs[i]) != want || row.Values[tabletest.ItemCount].Int() != want {
			t.Fatalf("%s is %+v", refs[i], row)
		}
	}
	if got := c.items(tabletest.ByOwner, 5); len(got) != 2 {
		t.Errorf("%v", got)
	}
	// A node is started anew: its rows of before are not used as they are.
	c.trade(refs[0], refs[1], 1)
	c.nodes[0].Kill()
	c.ok(c.nodes[0].Start())
	c.nodes[1].Kill()
	c.ok(c.nodes[1].Start())
	c.flushAll()
	c.trade(refs[0], refs[1], 1)
	if c.count(refs[0]) != 5 || c.count(refs[1]) != 15 {
		t.Errorf("%d and %d", c.count(refs[0]), c.count(refs[1]))
	}
	// One server of a cluster is no server of its own.
	one, err := redisstore.Open(redisstore.Options{URL: "redis://" + c.nodes[0].Addr(), Log: quiet()})
	c.ok(err)
	defer func() { _ = one.Close() }()
	c.code(one.Start(c.ctx, c.Specs()), firefly.FailedPrecondition)
}

// slotOf is the slot of the shard of a place, and which node has it.
func (c *cluster) slotOf(p table.Place) (slot int64, node int) {
	c.Helper()
	for i, raw := range c.raws {
		for _, k := range raw.Keys(c.ctx, "*").Val() {
			if strings.HasPrefix(k, fmt.Sprintf("ff:{%d", p.Shard(shards))) {
				return raw.ClusterKeySlot(c.ctx, k).Val(), i
			}
		}
	}
	c.Fatal("the shard is nowhere")
	return 0, 0
}

// move moves a slot to another node, as an operator's tool does.
func (c *cluster) move(slot int64, from, to int) {
	c.Helper()
	set := func(n int, args ...any) {
		c.ok(c.raws[n].Do(c.ctx, append([]any{"cluster", "setslot", slot}, args...)...).Err())
	}
	set(to, "importing", c.ids[from])
	set(from, "migrating", c.ids[to])
	for {
		keys := c.raws[from].ClusterGetKeysInSlot(c.ctx, int(slot), 3).Val()
		if len(keys) == 0 {
			break
		}
		args := []any{"migrate", "127.0.0.1", c.nodes[to].Port, "", 0, 5000, "keys"}
		for _, k := range keys {
			args = append(args, k)
		}
		if err := c.raws[from].Do(c.ctx, args...).Err(); err != nil && !strings.Contains(err.Error(), "NOKEY") {
			c.Fatal(err)
		}
	}
	for _, n := range []int{to, from, 3 - to - from} {
		set(n, "node", c.ids[to])
	}
}

// 17. A shard moves to another node and back while it is written and stored.
func TestCase17(t *testing.T) {
	c := newCluster(t)
	var refs []table.Ref
	for id := range int64(30) {
		c.ok(c.commit(insertItem(c.rig, 7, id+1, 1, 0, true)))
		refs = append(refs, itemRef(c.rig, 7, id+1))
	}
	var acked [30]atomic.Int64
	var unknown, writes atomic.Int64
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for w := range 4 {
		store := c.store
		if w%2 == 1 {
			store = c.over(c.openCluster(), writeback.Options{Patience: 20 * time.Second, Log: quiet()})
		}
		wg.Go(func() {
			for i := w; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				a, b := i*7%30, (i*11+1)%30
				if a == b {
					continue
				}
				err := store.Commit(c.ctx, &table.Commit{Ops: []table.Op{addCount(refs[a], 1), addCount(refs[b], 1)}})
				switch firefly.CodeOf(err) {
				case firefly.OK:
					acked[a].Add(1)
					acked[b].Add(1)
					writes.Add(1)
				case firefly.Unknown:
					unknown.Add(1)
				default:
					t.Error(err)
				}
			}
		})
	}
	var flushes sync.WaitGroup
	flushes.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				c.flush("7")
			}
		}
	})
	slot, from := c.slotOf("7")
	for i := range 4 {
		at := writes.Load()
		c.until(func() bool { return writes.Load() > at+50 }) // every home of the shard is written to
		to := (from + 1 + i%2) % 3
		c.move(slot, from, to)
		from = to
	}
	at := writes.Load()
	c.until(func() bool { return writes.Load() > at+50 })
	close(stop)
	wg.Wait()
	flushes.Wait()
	c.flush("7")
	if n := unknown.Load(); n > 0 {
		t.Errorf("of %d commits nobody knows whether they were done", n)
	}
	for i, ref := range refs {
		if got, want := c.storedCount(ref), acked[i].Load(); got != want || c.count(ref) != want {
			t.Errorf("%s: acknowledged %d, stored %d, the game sees %d", ref, want, got, c.count(ref))
		}
	}
}
