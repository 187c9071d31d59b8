package writeback

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/firefly-go/firefly/runtime/table"
)

// memCache is as much of a cache as a flusher sees, in memory, so that tests can write rows at any
// moment and look at every one.
type memCache struct {
	table.Cache
	shards int

	mu     sync.Mutex
	clock  uint64
	rows   map[table.Ref]*memRow
	living map[string]bool
	holder map[int]string
	deaf   map[string]bool // owners that are not heard: their leases have ended
	taken  func()          // between Take and whatever follows; without mu
}

type memRow struct {
	image     table.Image
	shard     int
	dirty     bool
	poisoned  bool
	due, next time.Time
	reason    string
}

func newMemCache(shards int) *memCache {
	return &memCache{shards: shards, rows: map[table.Ref]*memRow{}, living: map[string]bool{}, holder: map[int]string{}, deaf: map[string]bool{}, taken: func() {}}
}

func (c *memCache) Shards() int { return c.shards }

// write makes rows dirty, together when there are several.
func (c *memCache) write(refs ...table.Ref) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.clock = max(c.clock+1, uint64(time.Now().UnixMicro()))
	for _, ref := range refs {
		r := c.rows[ref]
		if r == nil {
			r = &memRow{}
			c.rows[ref] = r
		}
		tx := len(refs) > 1 || r.dirty && r.image.Tx
		*r = memRow{shard: ref.Place.Shard(c.shards), dirty: true, image: table.Image{Row: table.Row{Ref: ref, Version: c.clock, Values: []table.Value{table.IntOf(int64(c.clock))}}, Tx: tx}}
	}
}

func (c *memCache) dirty() (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range c.rows {
		if r.dirty && !r.poisoned {
			n++
		}
	}
	return n
}

func (c *memCache) poisoned() (out []table.Ref) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for ref, r := range c.rows {
		if r.poisoned {
			out = append(out, ref)
		}
	}
	return out
}

func (c *memCache) Living(_ context.Context, owner string, ttl time.Duration) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.living[owner] = ttl > 0
	n := 0
	for o, lives := range c.living {
		if lives && !c.deaf[o] {
			n++
		}
	}
	return n, nil
}

func (c *memCache) Hold(_ context.Context, shard int, owner string, ttl time.Duration) (bool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if h := c.holder[shard]; h != "" && h != owner && !c.deaf[h] || c.deaf[owner] {
		return false, nil
	}
	c.holder[shard] = owner
	if ttl == 0 {
		delete(c.holder, shard)
	}
	return true, nil
}

func (c *memCache) Take(_ context.Context, shard int, owner string, most int, all bool) ([]table.Image, bool, error) {
	c.mu.Lock()
	now := time.Now()
	if c.holder[shard] != owner {
		c.mu.Unlock()
		return nil, false, nil
	}
	var out []table.Image
	due := false
	for _, r := range c.rows {
		due = due || r.shard == shard && r.dirty && r.image.Tx && (all || !now.Before(r.due))
	}
	for _, r := range c.rows {
		switch {
		case r.shard != shard || !r.dirty:
		case r.poisoned && now.Before(r.next):
		case r.image.Tx && !r.poisoned && due, !r.image.Tx && (all || r.poisoned || !now.Before(r.due)) && len(out) < most:
			out = append(out, r.image)
		}
	}
	c.mu.Unlock()
	if len(out) > 0 {
		c.taken()
	}
	return out, true, nil
}

// same gives the row of an image that was not written meanwhile.
func (c *memCache) same(im *table.Image) *memRow {
	if r := c.rows[im.Ref]; r != nil && r.dirty && r.image.Version == im.Version {
		return r
	}
	return nil
}

func (c *memCache) Forgets() bool { return false }

func (c *memCache) Ack(_ context.Context, _ int, stored []table.Image) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range stored {
		if r := c.same(&stored[i]); r != nil {
			r.dirty, r.poisoned, r.image.Tx = false, false, false
		}
	}
	return nil
}

func (c *memCache) Yield(_ context.Context, _ int, ahead []table.Image) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range ahead {
		if c.same(&ahead[i]) != nil {
			delete(c.rows, ahead[i].Ref)
		}
	}
	return nil
}

func (c *memCache) Delay(_ context.Context, _ int, images []table.Image, until time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range images {
		if r := c.rows[images[i].Ref]; r != nil {
			r.due = until
		}
	}
	return nil
}

func (c *memCache) Poison(_ context.Context, _ int, im table.Image, reason string, next time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r := c.same(&im); r != nil {
		r.poisoned, r.reason, r.next, r.image.Tx = true, reason, next, false
		r.image.Attempts++
	}
	return nil
}

func (c *memCache) Count(_ context.Context, shard int) (table.DirtyCount, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var n table.DirtyCount
	for _, r := range c.rows {
		switch {
		case r.shard != shard || !r.dirty:
		case r.poisoned:
			n.Poisoned++
		case r.image.Tx:
			n.Tx++
		default:
			n.Plain++
		}
	}
	return n, nil
}

// memDurable is a durable store in memory that refuses what a test wants it to.
type memDurable struct {
	table.Durable
	mu     sync.Mutex
	epochs map[int]uint64
	rows   map[table.Ref]uint64
	calls  int
	most   int                                  // images of a call
	refuse func(batch []table.ShardBatch) error // called without mu
	torn   int                                  // calls with some of a pair
	pairs  map[table.Ref]table.Ref
}

func newMemDurable() *memDurable {
	return &memDurable{epochs: map[int]uint64{}, rows: map[table.Ref]uint64{}, pairs: map[table.Ref]table.Ref{}, refuse: func([]table.ShardBatch) error { return nil }}
}

func (d *memDurable) Fence(_ context.Context, shards []int, _ string) ([]uint64, error) {
	if err := d.refuse(nil); err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	out := make([]uint64, len(shards))
	for i, s := range shards {
		d.epochs[s]++
		out[i] = d.epochs[s]
	}
	return out, nil
}

func (d *memDurable) Purge(context.Context) error { return nil }

func (d *memDurable) Flush(_ context.Context, batch []table.ShardBatch, _ func(context.Context) error) (fenced []int, ahead []table.Image, err error) {
	if err := d.refuse(batch); err != nil {
		return nil, nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.calls++
	n, in := 0, map[table.Ref]bool{}
	for _, b := range batch {
		if d.epochs[b.Shard] != b.Epoch {
			fenced = append(fenced, b.Shard)
			continue
		}
		for _, im := range b.Images {
			n++
			in[im.Ref] = im.Tx
			if d.rows[im.Ref] > im.Version {
				ahead = append(ahead, im)
			} else {
				d.rows[im.Ref] = im.Version
			}
		}
	}
	for ref, tx := range in {
		if other, ok := d.pairs[ref]; ok && tx {
			if _, ok := in[other]; !ok {
				d.torn++
			}
		}
	}
	d.most = max(d.most, n)
	return fenced, ahead, nil
}

func (d *memDurable) version(ref table.Ref) uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.rows[ref]
}

// has reports whether a batch has a row that wants says yes to.
func has(batch []table.ShardBatch, want func(table.Ref) bool) bool {
	for _, b := range batch {
		if slices.ContainsFunc(b.Images, func(im table.Image) bool { return want(im.Ref) }) {
			return true
		}
	}
	return false
}

func refusal(class table.WriteClass, t *table.Spec) error {
	return &table.WriteError{Class: class, Table: t.Name, Err: errors.New("refused")}
}

// away is what a durable store says that is not there.
var errStoreAway = &table.WriteError{Class: table.Transient, Err: errors.New("away")}

func memSpec(name string) *table.Spec {
	return &table.Spec{Name: name, Key: []int{0}, Columns: []table.Column{{Name: "id", Kind: table.Int}}, Flush: time.Second}
}

func refOf(t *table.Spec, id int) table.Ref { return t.RefTo(table.KeyOf(table.IntOf(int64(id)))) }

// quickOptions are those of tests: short times, and a log that says nothing.
func quickOptions() FlusherOptions {
	return FlusherOptions{Lease: 200 * time.Millisecond, Busy: time.Millisecond, Calm: 5 * time.Millisecond, Retry: 20 * time.Millisecond, Log: slog.New(slog.DiscardHandler)}
}

func startFlusher(t *testing.T, c table.Cache, d table.Durable, o FlusherOptions) *Flusher {
	t.Helper()
	f := NewFlusher(c, d, o)
	f.Start()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
		defer cancel()
		_ = f.Close(ctx)
	})
	return f
}

// await waits until a condition holds.
func await(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !cond(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("in vain: %s", what)
		}
	}
}

// stored waits until f has counted that it stored that many rows, and nothing else waits.
func stored(t *testing.T, c *memCache, f *Flusher, rows uint64) {
	t.Helper()
	await(t, fmt.Sprintf("%d rows are stored", rows), func() bool { return c.dirty() == 0 && f.Stats().Rows == rows })
}

func drain(t *testing.T, f *Flusher) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := f.Drain(ctx); err != nil {
		t.Fatalf("%v: %s", err, fmt.Sprintf("%+v", f.Stats()))
	}
}
