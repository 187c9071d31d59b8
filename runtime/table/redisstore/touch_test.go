package redisstore

import (
	"fmt"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/firefly-go/firefly/runtime/table"
	"github.com/firefly-go/firefly/runtime/table/tabletest"
	"github.com/firefly-go/firefly/runtime/table/tabletest/servers"
)

// A row is prolonged once in a while, also when others share its place in memory.
func TestUsed(t *testing.T) {
	u := &used{begin: time.Now()}
	if !u.due("a", time.Hour) {
		t.Error("a row that was never read is not prolonged")
	}
	if u.due("a", time.Hour) {
		t.Error("a row is prolonged by every read")
	}
	u.begin = u.begin.Add(-20 * time.Minute)
	if !u.due("a", time.Hour) {
		t.Error("a row is not prolonged after a third of its time")
	}
	// A tenth of all cells are in use; few of them push each other out.
	const keys = 6000
	u = &used{begin: time.Now()}
	again := 0
	for round := range 2 {
		for i := range keys {
			if u.due(fmt.Sprint("row:", i), time.Hour) && round > 0 {
				again++
			}
		}
	}
	if again > keys/100 {
		t.Errorf("%d of %d rows are prolonged again at once", again, keys)
	}
}

// Reads prolong a row that is stored, one by one and many at once; a row that does not exist is remembered
// as short as it was said, and one that is not stored has no time to live.
func TestReadsProlong(t *testing.T) {
	server := servers.NewRedis(t, "everysec")
	ctx := t.Context()
	raw := redis.NewClient(&redis.Options{Addr: server.Addr()})
	defer func() { _ = raw.Close() }()
	tables := tabletest.NewTables("")
	tables.Player.Spec.Idle = time.Hour
	ok := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	open := func() *Cache {
		c, err := Open(Options{URL: "redis://" + server.Addr(), Shards: 1})
		ok(err)
		t.Cleanup(func() { _ = c.Close() })
		ok(c.Start(ctx, tables.Specs()))
		return c
	}
	c := open()
	live, other, gone, dirty := tables.Player.Ref(1), tables.Player.Ref(2), tables.Player.Ref(3), tables.Player.Ref(4)
	refs := []table.Ref{live, other, gone}
	out := make([]table.Cached, len(refs))
	ok(c.Lease(ctx, refs, "l", out))
	rows := make([]table.Row, len(refs))
	for i, r := range refs {
		rows[i].Ref = r
		if r == gone {
			continue
		}
		values, err := tables.Player.Values(&tabletest.Player{ID: int64(i + 1)}, nil)
		ok(err)
		rows[i].Version, rows[i].Values = 5, values
	}
	ok(c.Fill(ctx, rows, "l", out))
	values, err := tables.Player.Values(&tabletest.Player{ID: 4}, nil)
	ok(err)
	op := table.Op{Kind: table.Insert, Fresh: true, Ref: dirty}
	for i, v := range values {
		op.Set = append(op.Set, table.Assign{Column: i, Value: v})
	}
	if refused, err := c.Commit(ctx, &table.Commit{Ops: []table.Op{op}}); err != nil || refused != nil {
		t.Fatal(refused, err)
	}
	const short = 10 * time.Minute
	for name, read := range map[string]func(*Cache){
		"one by one": func(c *Cache) {
			for _, r := range []table.Ref{gone, dirty, live, other} {
				ok(c.Read(ctx, []table.Ref{r}, make([]table.Cached, 1)))
			}
		},
		"many at once": func(c *Cache) {
			ok(c.Read(ctx, []table.Ref{gone, dirty, live, other}, make([]table.Cached, 4)))
		},
	} {
		for _, r := range refs {
			ok(raw.PExpire(ctx, c.rowKey(r), short).Err())
		}
		read(open())
		prolonged := func(r table.Ref) bool { return raw.PTTL(ctx, c.rowKey(r)).Val() > 2*short }
		for deadline := time.Now().Add(20 * time.Second); !prolonged(live) || !prolonged(other); time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%s: not prolonged", name)
			}
		}
		// These would have been prolonged before.
		if prolonged(gone) {
			t.Errorf("%s: a row that does not exist is remembered longer", name)
		}
		if raw.PTTL(ctx, c.rowKey(dirty)).Val() >= 0 {
			t.Errorf("%s: a row that is not stored has a time to live", name)
		}
	}
}
