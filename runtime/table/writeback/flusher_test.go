package writeback

import (
	"context"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/table"
)

// What is written is stored, in batches, and a row that is written often is stored seldom.
func TestFlusherStores(t *testing.T) {
	c, d, player := newMemCache(8), newMemDurable(), memSpec("player")
	for id := range 5000 {
		for range 3 {
			c.write(refOf(player, id))
		}
	}
	f := startFlusher(t, c, d, quickOptions())
	stored(t, c, f, 5000)
	for id := range 5000 {
		if ref := refOf(player, id); d.version(ref) != c.rows[ref].image.Version {
			t.Fatalf("%s is stored as %d", ref, d.version(ref))
		}
	}
	s := f.Stats()
	if s.Batches > 20 || d.most > 2500 || s.Shards != 8 || s.Lag <= 0 {
		t.Errorf("%+v, the longest batch %d", s, d.most)
	}
}

// A row that is written between Take and Ack is stored again.
func TestFlusherWriteMeanwhile(t *testing.T) {
	c, d, player := newMemCache(2), newMemDurable(), memSpec("player")
	ref := refOf(player, 1)
	var once atomic.Bool
	c.taken = func() {
		if once.CompareAndSwap(false, true) {
			c.write(ref)
		}
	}
	c.write(ref)
	f := startFlusher(t, c, d, quickOptions())
	stored(t, c, f, 2)
	if d.version(ref) != c.rows[ref].image.Version {
		t.Errorf("%+v; stored %d of %d", f.Stats(), d.version(ref), c.rows[ref].image.Version)
	}
}

// Flushers share the shards; those of one that ends, in order or not, go to the others.
func TestFlusherShares(t *testing.T) {
	c, d, player := newMemCache(16), newMemDurable(), memSpec("player")
	var fs []*Flusher
	for range 4 {
		fs = append(fs, startFlusher(t, c, d, quickOptions()))
	}
	share := func(n int, of ...*Flusher) bool {
		return !slices.ContainsFunc(of, func(f *Flusher) bool { return f.Stats().Shards != n })
	}
	await(t, "each has four shards", func() bool { return share(4, fs...) })
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := fs[0].Close(ctx); err != nil {
		t.Fatal(err)
	}
	if err := fs[1].Close(ctx); err != nil {
		t.Fatal(err)
	}
	await(t, "each has eight", func() bool { return share(8, fs[2:]...) })
	c.mu.Lock()
	c.deaf[fs[2].Owner()] = true
	c.mu.Unlock()
	await(t, "the last has all", func() bool { return share(16, fs[3]) && share(0, fs[2]) })
	for id := range 100 {
		c.write(refOf(player, id))
	}
	stored(t, c, fs[3], 100)
}

// slowHold is a cache whose answers take some time, as those of a real one do.
type slowHold struct{ *memCache }

func (c slowHold) Hold(ctx context.Context, shard int, owner string, ttl time.Duration) (bool, error) {
	time.Sleep(time.Millisecond)
	return c.memCache.Hold(ctx, shard, owner, ttl)
}

// The shards that nobody has are found among all the others at once, and no more are kept than are wanted.
func TestFlusherFindsFreeShards(t *testing.T) {
	for _, free := range [][]int{{40}, {7, 8, 9, 10, 11, 12}} {
		c, d := newMemCache(64), newMemDurable()
		for s := range 64 {
			if slices.Contains(free, s) {
				continue
			}
			if held, err := c.Hold(t.Context(), s, "another", time.Hour); err != nil || !held {
				t.Fatal(held, err)
			}
		}
		o := quickOptions()
		o.Shards, o.Lease = min(2, len(free)), time.Hour // it looks once
		f := startFlusher(t, slowHold{c}, d, o)
		<-f.shared
		got := f.shards()
		if len(got) != o.Shards || slices.ContainsFunc(got, func(s int) bool { return !slices.Contains(free, s) }) {
			t.Errorf("it has the shards %v, of %v wanted %d", got, free, o.Shards)
		}
		for _, s := range free {
			if held, _ := c.Hold(t.Context(), s, "another", time.Hour); held == slices.Contains(got, s) {
				t.Errorf("it has %v, and another gets %d: %v", got, s, held)
			}
		}
	}
}

// A flusher that was taken for dead stores nothing of what its successor has.
func TestFlusherZombie(t *testing.T) {
	c, d, player := newMemCache(1), newMemDurable(), memSpec("player")
	ref := refOf(player, 1)
	c.write(ref)
	paused, resume := make(chan struct{}), make(chan struct{})
	var first atomic.Bool
	c.taken = func() {
		if first.CompareAndSwap(false, true) {
			close(paused)
			<-resume
		}
	}
	a := startFlusher(t, c, d, quickOptions())
	<-paused
	c.mu.Lock()
	c.deaf[a.Owner()] = true
	c.mu.Unlock()
	b := startFlusher(t, c, d, quickOptions())
	await(t, "the successor has stored the row", func() bool { return b.Stats().Rows == 1 })
	c.mu.Lock()
	delete(d.rows, ref) // somebody has deleted it since
	c.mu.Unlock()
	close(resume)
	await(t, "the first one is fenced off", func() bool { return a.Stats().Fenced == 1 })
	if v := d.version(ref); v != 0 || a.Stats().Rows != 0 {
		t.Errorf("the row is there again in version %d: %+v", v, a.Stats())
	}
}

// 13. What is refused is found and put aside, and nothing else is.
func TestCase13Memory(t *testing.T) {
	player, item := memSpec("player"), memSpec("item")
	t.Run("one among 500", func(t *testing.T) {
		c, d := newMemCache(4), newMemDurable()
		bad := refOf(player, 77)
		d.refuse = func(b []table.ShardBatch) error {
			if has(b, func(r table.Ref) bool { return r == bad }) {
				return refusal(table.OfRow, player)
			}
			return nil
		}
		for id := range 500 {
			c.write(refOf(player, id))
		}
		var told atomic.Int32
		o := quickOptions()
		o.Retry = time.Minute
		o.Poisoned = func(p table.Poisoned) {
			if p.Ref == bad && p.Attempts == 1 && strings.Contains(p.Error, "refused") {
				told.Add(1)
			}
		}
		f := startFlusher(t, c, d, o)
		stored(t, c, f, 499)
		if got := c.poisoned(); !slices.Equal(got, []table.Ref{bad}) || told.Load() != 1 || f.Stats().Quarantined != 1 {
			t.Errorf("put aside: %v, told %d times", got, told.Load())
		}
		// What is put aside does not keep a drain waiting, and a repair by a write is stored at once.
		drain(t, f)
		d.mu.Lock()
		d.refuse = func([]table.ShardBatch) error { return nil }
		d.mu.Unlock()
		c.write(bad)
		await(t, "the repaired row is stored", func() bool { return d.version(bad) != 0 })
	})
	t.Run("again and again", func(t *testing.T) {
		c, d := newMemCache(4), newMemDurable()
		bad, heals := refOf(player, 1), atomic.Bool{}
		d.refuse = func(b []table.ShardBatch) error {
			if !heals.Load() && has(b, func(r table.Ref) bool { return r == bad }) {
				return refusal(table.OfUnique, player)
			}
			return nil
		}
		c.write(bad)
		f := startFlusher(t, c, d, quickOptions())
		await(t, "three attempts", func() bool { return f.Stats().Quarantined >= 3 })
		heals.Store(true)
		await(t, "the row is stored by itself", func() bool { return d.version(bad) != 0 && len(c.poisoned()) == 0 })
	})
	t.Run("in a transaction", func(t *testing.T) {
		c, d := newMemCache(1), newMemDurable()
		bad := refOf(item, 3)
		d.refuse = func(b []table.ShardBatch) error {
			if has(b, func(r table.Ref) bool { return r == bad }) {
				return refusal(table.OfRow, item)
			}
			return nil
		}
		for id := range 100 {
			c.write(refOf(player, id))
		}
		c.write(refOf(item, 1), refOf(item, 2), bad, refOf(item, 4))
		o := quickOptions()
		o.Retry = time.Minute
		f := startFlusher(t, c, d, o)
		stored(t, c, f, 103)
		if s := f.Stats(); s.Torn != 1 || s.Quarantined != 1 {
			t.Errorf("%+v", s)
		}
	})
	t.Run("the table is missing", func(t *testing.T) {
		c, d := newMemCache(2), newMemDurable()
		var back atomic.Bool
		d.refuse = func(b []table.ShardBatch) error {
			if !back.Load() && has(b, func(r table.Ref) bool { return r.Table == item }) {
				return refusal(table.OfTable, item)
			}
			return nil
		}
		// Of shard 0 a transaction has rows of both tables.
		var zero []int
		for id := 0; len(zero) < 2; id++ {
			if refOf(player, id).Place.Shard(2) == 0 {
				zero = append(zero, id)
			}
		}
		pair := []table.Ref{refOf(player, zero[0]), refOf(item, zero[0])}
		d.pairs[pair[0]], d.pairs[pair[1]] = pair[1], pair[0]
		c.write(pair...)
		for id := 1000; id < 2000; id++ {
			c.write(refOf(player, id))
			c.write(refOf(item, id))
		}
		o := quickOptions()
		o.Batch = 100 // so that rows that wait would fill what is taken
		f := startFlusher(t, c, d, o)
		await(t, "all players are stored", func() bool { return f.Stats().Rows == 1000 })
		s := f.Stats()
		if s.Quarantined != 0 || !slices.Equal(s.Stalled, []string{"item"}) || d.version(pair[0]) != 0 {
			t.Errorf("%+v, version of the pair %d", s, d.version(pair[0]))
		}
		back.Store(true)
		stored(t, c, f, 2002)
		if s := f.Stats(); len(s.Stalled) != 0 || d.torn != 0 {
			t.Errorf("%+v; torn %d", s, d.torn)
		}
	})
	t.Run("all rows", func(t *testing.T) {
		c, d := newMemCache(4), newMemDurable()
		d.refuse = func(b []table.ShardBatch) error {
			if has(b, func(r table.Ref) bool { return r.Table == item }) {
				return refusal(table.OfRow, item)
			}
			return nil
		}
		for id := range 1000 {
			c.write(refOf(item, id))
			c.write(refOf(player, id))
		}
		o := quickOptions()
		o.Retry, o.Parallel = time.Minute, 1
		f := startFlusher(t, c, d, o)
		await(t, "all players are stored", func() bool { return f.Stats().Rows == 1000 })
		await(t, "the items are kept back", func() bool { return slices.Equal(f.Stats().Stalled, []string{"item"}) })
		if n := f.Stats().Quarantined; n > manyPoisoned {
			t.Errorf("%d rows are put aside", n)
		}
	})
	t.Run("the store is away", func(t *testing.T) {
		c, d := newMemCache(4), newMemDurable()
		var away atomic.Bool
		away.Store(true)
		d.refuse = func([]table.ShardBatch) error {
			if away.Load() {
				return errStoreAway
			}
			return nil
		}
		for id := range 100 {
			c.write(refOf(player, id))
		}
		f := startFlusher(t, c, d, quickOptions())
		await(t, "it is known to be away", func() bool { return f.Stats().Away > 100*time.Millisecond })
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if err := f.Drain(ctx); firefly.CodeOf(err) != firefly.DeadlineExceeded {
			t.Errorf("a drain that cannot: %v", err)
		}
		away.Store(false)
		stored(t, c, f, 100)
		if s := f.Stats(); s.Quarantined != 0 || s.Away != 0 {
			t.Errorf("%+v", s)
		}
	})
}

// Transactions reach the store whole, whatever is refused beside them, and in the end all but the refused
// rows is there.
func TestFlusherRandom(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 1))
	c, d, player := newMemCache(3), newMemDurable(), memSpec("player")
	bad := func(r table.Ref) bool { return strings.HasSuffix(string(r.Key), "7") }
	var n atomic.Int64
	d.refuse = func(b []table.ShardBatch) error {
		switch n.Add(1) % 19 {
		case 3:
			return errStoreAway
		case 5:
			if b != nil {
				return &table.WriteError{Class: table.OfUnknown, Err: context.DeadlineExceeded}
			}
		}
		if has(b, bad) {
			return refusal(table.OfRow, player)
		}
		return nil
	}
	// Pairs of rows that are always written together, of the same shard and without a bad one.
	byShard := map[int][]table.Ref{}
	for id := range 400 {
		if ref := refOf(player, id*2); !bad(ref) {
			s := ref.Place.Shard(3)
			byShard[s] = append(byShard[s], ref)
		}
	}
	var pairs [][]table.Ref
	for _, refs := range byShard {
		for p := range slices.Chunk(refs, 2) {
			if len(p) == 2 {
				pairs = append(pairs, p)
				d.pairs[p[0]], d.pairs[p[1]] = p[1], p[0]
			}
		}
	}
	o := quickOptions()
	o.Retry, o.Batch = time.Hour, 64
	f := startFlusher(t, c, d, o)
	for range 2000 {
		if rnd.IntN(2) == 0 {
			c.write(pairs[rnd.IntN(len(pairs))]...)
		} else {
			c.write(refOf(player, rnd.IntN(400)*2+1))
		}
	}
	drain(t, f)
	if d.torn != 0 {
		t.Errorf("%d transactions are torn", d.torn)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for ref, r := range c.rows {
		if r.poisoned != bad(ref) || !bad(ref) && d.version(ref) != r.image.Version {
			t.Errorf("%s: put aside %v, stored %d of %d", ref, r.poisoned, d.version(ref), r.image.Version)
		}
	}
}

// Close stores what waits, and what it cannot store stays for the next flusher.
func TestFlusherClose(t *testing.T) {
	c, d, player := newMemCache(4), newMemDurable(), memSpec("player")
	for id := range 1000 {
		c.write(refOf(player, id))
		c.rows[refOf(player, id)].due = time.Now().Add(time.Hour)
	}
	f := NewFlusher(c, d, quickOptions())
	f.Start()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := f.Close(ctx); err != nil || c.dirty() != 0 {
		t.Errorf("%d rows are left: %v", c.dirty(), err)
	}
	if len(c.holder) != 0 || c.living[f.Owner()] {
		t.Errorf("leases are left: %v", c.holder)
	}
	d.refuse = func([]table.ShardBatch) error { return errStoreAway }
	c.write(refOf(player, 1))
	f = NewFlusher(c, d, quickOptions())
	f.Start()
	short, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := f.Close(short); firefly.CodeOf(err) != firefly.DeadlineExceeded || c.dirty() != 1 {
		t.Errorf("%d rows are left: %v", c.dirty(), err)
	}
}
