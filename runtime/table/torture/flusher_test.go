//go:build unix

package torture

import (
	"context"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/firefly-go/firefly/runtime/table"
	"github.com/firefly-go/firefly/runtime/table/writeback"
)

// flushLog is a Durable and a Cache that write down when a batch is under way: "B" when the durable store
// is given it, "D" when the cache was told of it.
type flushLog struct {
	dice *dice // makes some calls late
	mu   sync.Mutex
	f    *os.File
	open int
}

func (l *flushLog) count(d int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	before := l.open
	l.open = max(0, l.open+d)
	if (before == 0) != (l.open == 0) {
		fmt.Fprintf(l.f, "%d %d\n", time.Now().UnixMicro(), l.open)
	}
}

type loggedDurable struct {
	table.Durable
	l *flushLog
}

// Flush begins a batch of as many parts as it has shards: each is acknowledged by itself.
func (d *loggedDurable) Flush(ctx context.Context, batch []table.ShardBatch, sure func(context.Context) error) ([]int, []table.Image, error) {
	d.l.count(len(batch))
	d.l.dice.wait(50*time.Millisecond, lease*3/2)
	fenced, ahead, err := d.Durable.Flush(ctx, batch, sure)
	if err != nil {
		d.l.count(-len(batch))
	} else if len(fenced) > 0 {
		d.l.count(-len(fenced))
	}
	return fenced, ahead, err
}

type loggedCache struct {
	table.Cache
	l *flushLog
}

func (c *loggedCache) Ack(ctx context.Context, shard int, stored []table.Image) error {
	c.l.dice.wait(20*time.Millisecond, lease*3/2)
	err := c.Cache.Ack(ctx, shard, stored)
	c.l.count(-1)
	return err
}

func runFlusher(r *role) error {
	f, err := os.OpenFile(r.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	fmt.Fprintf(f, "%d 0\n", time.Now().UnixMicro())
	s, err := open(context.Background(), r.Redis, r.MySQL, r.KeepsAll, nil)
	if err != nil {
		return err
	}
	l := &flushLog{f: f, dice: newDice(r.Seed)}
	fl := writeback.NewFlusher(&loggedCache{s.cache, l}, &loggedDurable{s.mysql, l}, writeback.FlusherOptions{
		Owner: fmt.Sprintf("flusher-%d-%d", r.N, os.Getpid()), Lease: lease, Busy: time.Millisecond, Calm: 5 * time.Millisecond,
		Specs: s.tables.Specs(), Batch: 200, Timeout: 5 * time.Second, Retry: time.Second, Log: quiet()})
	fl.Start()
	select {}
}

// inHand reports whether a flusher was at work when its log ended.
func inHand(name string) bool {
	b, err := os.ReadFile(name)
	if err != nil || len(b) == 0 {
		return false
	}
	i := len(b) - 1
	for i > 0 && b[i-1] != '\n' {
		i--
	}
	var at int64
	var n int
	_, err = fmt.Sscanf(string(b[i:]), "%d %d", &at, &n)
	return err == nil && n > 0
}
