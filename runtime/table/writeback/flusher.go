package writeback

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"sync"
	"time"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/table"
)

// FlusherOptions are the settings of a Flusher; the zero value works.
type FlusherOptions struct {
	// Owner names this flusher among all that ever run; made up when "".
	Owner string
	// Shards is how many of the shards it takes at most; 0: its fair share.
	Shards int
	// Lease is how long a shard stays with a flusher that is not heard of; 10 seconds when 0.
	Lease time.Duration
	// Busy and Calm are how long it waits between rounds after one that stored something, and after one that
	// did not; 30 and 200 milliseconds when 0.
	Busy, Calm time.Duration
	// Batch is how many rows one transaction of the durable store has, about; 2000 when 0. Of one shard at
	// most a quarter of it is taken at once.
	Batch int
	// Parallel is how many transactions it writes at the same time; 4 when 0.
	Parallel int
	// Timeout bounds one transaction; 30 seconds when 0.
	Timeout time.Duration
	// Retry is how long a quarantined row waits for its second attempt, twice as long for the next and so on up to an
	// hour; 10 seconds when 0. A table that cannot be written is tried again after the same time.
	Retry time.Duration
	// Specs are all tables. With them the flusher ends durable commits whose time is over and that hold rows
	// which wait; else these wait until somebody asks for them.
	Specs []*table.Spec
	// Poisoned is called for every row that is put aside, by a goroutine of the flusher; nil: they are logged
	// only.
	Poisoned func(table.Poisoned)
	Log      *slog.Logger // nil: slog.Default
}

// The defaults of FlusherOptions.
func (o *FlusherOptions) fill() {
	if o.Owner == "" {
		host, _ := os.Hostname()
		o.Owner = fmt.Sprintf("%s-%d-%x", host, os.Getpid(), rand.Uint64())
	}
	set := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	set(&o.Lease, 10*time.Second)
	set(&o.Busy, 30*time.Millisecond)
	set(&o.Calm, 200*time.Millisecond)
	set(&o.Timeout, 30*time.Second)
	set(&o.Retry, 10*time.Second)
	if o.Batch <= 0 {
		o.Batch = 2000
	}
	if o.Parallel <= 0 {
		o.Parallel = 4
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
}

// Flusher brings what the cache acknowledged to the durable store. Several of them, in one process or in
// many, share the shards. It owns two goroutines: one keeps its shards, one stores rows; Close ends them.
type Flusher struct {
	cache   table.Cache
	durable table.Durable
	decider *durable // nil: it was not told the tables
	o       FlusherOptions

	ctx    context.Context // ends at Close
	cancel context.CancelFunc
	wg     sync.WaitGroup
	wake   chan struct{} // a round is wanted now
	shared chan struct{} // closed when the flusher has looked for its shards the first time

	mu     sync.Mutex
	owned  map[int]*shard
	ending bool // no shard is taken any more
	drains int  // how many Drains wait: due times do not matter
	rounds uint64
	done   *sync.Cond // a round has ended; with mu
	counts map[int]table.DirtyCount

	stalled map[string]time.Time // tables that cannot be written, until when; of the storing goroutine
	stats   flusherStats
}

// shard is one that the flusher has a lease of.
type shard struct {
	epoch uint64 // 0: not fenced yet
}

// NewFlusher makes a flusher of what the cache has; both are started. The cache has to know all tables
// whose rows it may have.
func NewFlusher(cache table.Cache, durable table.Durable, o FlusherOptions) *Flusher {
	o.fill()
	f := &Flusher{cache: cache, durable: durable, o: o, wake: make(chan struct{}, 1), shared: make(chan struct{}), owned: map[int]*shard{}, counts: map[int]table.DirtyCount{}, stalled: map[string]time.Time{}}
	f.done = sync.NewCond(&f.mu)
	if o.Specs != nil {
		f.decider = newDurable(cache, durable, o.Specs, durableOptions{log: o.Log})
	}
	f.ctx, f.cancel = context.WithCancel(context.Background())
	return f
}

// Start begins. It is called once.
func (f *Flusher) Start() {
	f.wg.Go(f.keep)
	f.wg.Go(f.store)
}

// Owner is the name of the flusher.
func (f *Flusher) Owner() string { return f.o.Owner }

// Drain stores all that waits in the shards of this flusher, whatever its due times, and returns when
// nothing does but quarantined rows. DeadlineExceeded says what is left when ctx ends before.
func (f *Flusher) Drain(ctx context.Context) error {
	f.mu.Lock()
	f.drains++
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		f.drains--
		f.mu.Unlock()
	}()
	select {
	case <-f.shared:
	case <-ctx.Done():
		return firefly.DeadlineExceeded.Errorf("the cache does not answer")
	}
	for {
		if err := f.round(ctx); err != nil {
			return err
		}
		left, err := f.left(ctx)
		if err == nil && left == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			if err != nil {
				return firefly.DeadlineExceeded.Errorf("it is not known what is not stored yet: %w", err)
			}
			return firefly.DeadlineExceeded.Errorf("%d rows are not stored yet", left)
		case <-time.After(f.o.Busy):
		}
	}
}

// round waits for a whole round to begin and end.
func (f *Flusher) round(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.done.Broadcast()
	})
	defer stop()
	f.mu.Lock()
	defer f.mu.Unlock()
	// One that has begun already may have looked too early.
	for until := f.rounds + 2; f.rounds < until; f.done.Wait() {
		if f.ctx.Err() != nil {
			return firefly.Unavailable.Errorf("the flusher has ended")
		}
		if ctx.Err() != nil {
			return firefly.DeadlineExceeded.Errorf("the durable store takes nothing, or not fast enough")
		}
		select {
		case f.wake <- struct{}{}:
		default:
		}
	}
	return nil
}

// left counts what waits in the shards of this flusher.
func (f *Flusher) left(ctx context.Context) (n int, err error) {
	for _, s := range f.shards() {
		c, err := f.cache.Count(ctx, s)
		if err != nil {
			return 0, err
		}
		n += c.Plain + c.Tx
	}
	return n, nil
}

// shards are those that the flusher has.
func (f *Flusher) shards() []int {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := make([]int, 0, len(f.owned))
	for s := range f.owned {
		out = append(out, s)
	}
	return out
}

// Close stores what waits until ctx ends, gives the shards up and ends the flusher. An error says what was
// not stored; it stays in the cache, for the next flusher.
func (f *Flusher) Close(ctx context.Context) error {
	select {
	case <-f.shared:
	case <-ctx.Done():
	}
	f.mu.Lock()
	f.ending = true
	f.mu.Unlock()
	err := f.Drain(ctx)
	f.cancel()
	f.mu.Lock()
	f.done.Broadcast()
	f.mu.Unlock()
	f.wg.Wait()
	f.leave()
	return err
}
