package writeback

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// callAtOnce is how many calls to the cache a flusher has under way at once.
const callAtOnce = 16

// each calls g for every one of shards, several at once, and waits for all.
func each(shards []int, g func(shard int)) {
	next := make(chan int)
	var wg sync.WaitGroup
	for range min(callAtOnce, len(shards)) {
		wg.Go(func() {
			for s := range next {
				g(s)
			}
		})
	}
	for _, s := range shards {
		next <- s
	}
	close(next)
	wg.Wait()
}

// keep holds the leases of the flusher's shards, gives up what is more than its share, and takes what
// nobody has. It is not held up by the durable store, so that a slow one does not cost the leases.
func (f *Flusher) keep() {
	every := f.o.Lease / 4
	tick := time.NewTimer(0)
	defer tick.Stop()
	for first := true; ; first = false {
		select {
		case <-f.ctx.Done():
			return
		case <-tick.C:
		}
		f.balance()
		if first {
			close(f.shared)
		}
		f.count()
		// Shards of a flusher that has ended are taken soon.
		tick.Reset(every*3/4 + rand.N(every/2))
	}
}

// call bounds one call to the cache.
func (f *Flusher) call() (context.Context, context.CancelFunc) {
	return context.WithTimeout(f.ctx, f.o.Lease/2)
}

// balance brings the flusher to its share of the shards.
func (f *Flusher) balance() {
	ctx, cancel := f.call()
	defer cancel()
	living, err := f.cache.Living(ctx, f.o.Owner, f.o.Lease)
	if err != nil {
		f.warn("The cache does not answer the flusher", err)
		living = 0
	}
	all := f.cache.Shards()
	share := all
	if living > 0 {
		share = (all + living - 1) / living
	}
	if f.o.Shards > 0 {
		share = min(share, f.o.Shards)
	}
	mine := f.shards()
	each(mine, func(s int) {
		// An error says nothing of the lease: the epoch is what keeps it safe.
		if held, err := f.cache.Hold(ctx, s, f.o.Owner, f.o.Lease); err == nil && !held {
			f.lose(s)
		}
	})
	mine = f.shards()
	slices.Sort(mine)
	for len(mine) > share && living > 0 {
		s := mine[len(mine)-1]
		mine = mine[:len(mine)-1]
		f.giveUp(ctx, s)
	}
	f.mu.Lock()
	ending := f.ending
	f.mu.Unlock()
	if !ending && err == nil && len(mine) < share {
		f.take(ctx, mine, share-len(mine))
	}
}

// take looks for n shards that nobody has, beside mine, which are sorted, until it has them or all were asked
// for. It begins anywhere, so that flushers do not run after the same ones.
func (f *Flusher) take(ctx context.Context, mine []int, n int) {
	all := f.cache.Shards()
	var others []int
	for i, at := 0, rand.N(all); i < all; i++ {
		s := (at + i) % all
		if _, has := slices.BinarySearch(mine, s); !has {
			others = append(others, s)
		}
	}
	for len(others) > 0 && n > 0 && ctx.Err() == nil {
		now := others[:min(max(n, callAtOnce), len(others))]
		others = others[len(now):]
		var mu sync.Mutex
		var got []int
		each(now, func(s int) {
			if held, err := f.cache.Hold(ctx, s, f.o.Owner, f.o.Lease); err == nil && held {
				mu.Lock()
				defer mu.Unlock()
				got = append(got, s)
			}
		})
		keep := min(n, len(got))
		n -= keep
		f.mu.Lock()
		for _, s := range got[:keep] {
			f.owned[s] = &shard{}
		}
		f.mu.Unlock()
		for _, s := range got[keep:] {
			f.giveUp(ctx, s)
		}
	}
	f.poke()
}

// giveUp lets others have a shard. They get it later, when its lease ends, if the cache does not answer.
func (f *Flusher) giveUp(ctx context.Context, s int) {
	f.lose(s)
	_, _ = f.cache.Hold(ctx, s, f.o.Owner, 0)
}

func (f *Flusher) lose(s int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.owned, s)
	delete(f.counts, s)
}

// poke wants a round at once.
func (f *Flusher) poke() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// fence makes this flusher the only one that writes its new shards, and gives all that are fenced.
func (f *Flusher) fence(ctx context.Context) (map[int]uint64, error) {
	out := map[int]uint64{}
	var fresh []int
	f.mu.Lock()
	for s, o := range f.owned {
		if o.epoch == 0 {
			fresh = append(fresh, s)
		} else {
			out[s] = o.epoch
		}
	}
	f.mu.Unlock()
	if len(fresh) == 0 {
		return out, nil
	}
	slices.Sort(fresh)
	epochs, err := f.durable.Fence(ctx, fresh, f.o.Owner)
	if err != nil {
		return out, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, s := range fresh {
		if o := f.owned[s]; o != nil {
			o.epoch = epochs[i]
			out[s] = epochs[i]
		}
	}
	return out, nil
}

// fencedOff notes that somebody else writes a shard now. While the lease is still this flusher's it is
// fenced anew.
func (f *Flusher) fencedOff(s int, epoch uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stats.Fenced++
	if o := f.owned[s]; o != nil && o.epoch == epoch {
		o.epoch = 0
	}
}

// leave gives up what the flusher has, so that others need not wait for its leases to end.
func (f *Flusher) leave() {
	ctx, cancel := context.WithTimeout(context.Background(), f.o.Lease/2)
	defer cancel()
	each(f.shards(), func(s int) { f.giveUp(ctx, s) })
	_, _ = f.cache.Living(ctx, f.o.Owner, 0)
}
