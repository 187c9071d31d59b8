//go:build unix

package torture

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/firefly-go/firefly/runtime/table"
)

// dice makes some calls late, so that what may happen meanwhile happens.
type dice struct {
	mu  sync.Mutex
	rnd *rand.Rand
}

func newDice(seed uint64) *dice { return &dice{rnd: rand.New(rand.NewPCG(seed, 77))} }

// wait is short for a part of the calls, and for a few of them longer than a lease or a lock lasts. Nobody who
// waits looks at ctx, as a process that stands still does not.
func (d *dice) wait(short, long time.Duration) {
	d.mu.Lock()
	var t time.Duration
	switch k := d.rnd.IntN(100); {
	case k < 25:
		t = time.Duration(d.rnd.Int64N(int64(short)))
	case k < 27:
		t = time.Duration(d.rnd.Int64N(int64(long)))
	}
	d.mu.Unlock()
	time.Sleep(t)
}

// lateCache and lateDurable are the ports of a writer.
type lateCache struct {
	table.Cache
	d *dice
}

func (c *lateCache) Fill(ctx context.Context, rows []table.Row, token string, out []table.Cached) error {
	c.d.wait(50*time.Millisecond, lease*3/2)
	return c.Cache.Fill(ctx, rows, token, out)
}

func (c *lateCache) FillList(ctx context.Context, l table.List, token string, keys []table.Key) ([]table.Key, table.State, error) {
	c.d.wait(50*time.Millisecond, lease*3/2)
	return c.Cache.FillList(ctx, l, token, keys)
}

func (c *lateCache) Apply(ctx context.Context, shard int, token string, after []table.Image) error {
	c.d.wait(50*time.Millisecond, holding*3/2)
	return c.Cache.Apply(ctx, shard, token, after)
}

type lateDurable struct {
	table.Durable
	d *dice
}

func (l *lateDurable) CommitDurably(ctx context.Context, token string, payload []byte, shards []int, images []table.Image, check func(context.Context) error) error {
	l.d.wait(50*time.Millisecond, holding*3/2)
	return l.Durable.CommitDurably(ctx, token, payload, shards, images, check)
}
