package writeback

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/firefly-go/firefly/runtime/table"
)

// How long a flusher waits after a refusal of the durable store, at first and at most, and how often it
// has old bookkeeping removed.
const (
	backOffFirst = 50 * time.Millisecond
	backOffMost  = 5 * time.Second
	purgeEvery   = 10 * time.Minute
)

// store brings rows to the durable store, round after round.
func (f *Flusher) store() {
	wait := time.NewTimer(f.o.Busy)
	defer wait.Stop()
	wake, backOff := f.wake, time.Duration(0)
	purged := time.Now()
	for {
		select {
		case <-f.ctx.Done():
			return
		case <-wake:
		case <-wait.C:
		}
		r := f.newRound()
		err := r.run()
		f.mu.Lock()
		f.rounds++
		f.done.Broadcast()
		f.mu.Unlock()
		next := f.o.Calm
		switch {
		case f.ctx.Err() != nil:
			return
		case err != nil:
			f.refused(err)
			if r.rows > 0 {
				backOff = 0
			}
			backOff = min(max(backOffFirst, 2*backOff), backOffMost)
			// Nobody hurries a durable store that is away.
			wake, next = nil, backOff/2+rand.N(backOff)
			wait.Reset(next)
			continue
		case r.full:
			next = 0
		case r.rows > 0:
			next = f.o.Busy
		}
		wake, backOff = f.wake, 0
		if time.Since(purged) > purgeEvery && r.epochs[0] != 0 {
			purged = time.Now()
			ctx, cancel := context.WithTimeout(f.ctx, f.o.Timeout)
			if err := f.durable.Purge(ctx); err != nil {
				f.warn("Old bookkeeping stays", err)
			}
			cancel()
		}
		wait.Reset(next)
	}
}

// refused notes that the durable store takes nothing.
func (f *Flusher) refused(err error) {
	f.mu.Lock()
	first := f.stats.away.IsZero()
	if first {
		f.stats.away = time.Now()
	}
	f.mu.Unlock()
	if first {
		f.o.Log.Error("The durable store takes no rows; they wait in the cache", "err", err)
	}
}

func (f *Flusher) warn(text string, err error) {
	if f.ctx.Err() == nil {
		f.o.Log.Warn(text, "err", err)
	}
}

// round is one look at all shards.
type round struct {
	f      *Flusher
	all    bool // due times do not matter
	epochs map[int]uint64

	slots chan struct{} // as many as transactions at once
	wg    sync.WaitGroup

	mu       sync.Mutex
	err      error // of the durable store: what is left waits
	full     bool  // a shard may have more than was taken
	rows     int   // stored
	stored   map[string]int
	poisoned map[string]int // by table
}

func (f *Flusher) newRound() *round {
	f.mu.Lock()
	defer f.mu.Unlock()
	for t, until := range f.stalled {
		if time.Now().After(until) {
			delete(f.stalled, t)
		}
	}
	return &round{f: f, all: f.drains > 0, slots: make(chan struct{}, f.o.Parallel), stored: map[string]int{}, poisoned: map[string]int{}}
}

// run takes what is due and stores it.
func (r *round) run() error {
	f := r.f
	ctx, cancel := context.WithTimeout(f.ctx, f.o.Timeout)
	var err error
	r.epochs, err = f.fence(ctx)
	cancel()
	if err != nil {
		return err
	}
	shards := make([]int, 0, len(r.epochs))
	for s := range r.epochs {
		shards = append(shards, s)
	}
	rand.Shuffle(len(shards), func(i, j int) { shards[i], shards[j] = shards[j], shards[i] })
	var batch, again []table.ShardBatch
	n := 0
	for chunk := range slices.Chunk(shards, 2*callAtOnce) {
		for _, b := range r.take(chunk) {
			b, retried := split(b, func(im *table.Image) bool { return im.Attempts == 0 })
			if len(retried.Images) > 0 {
				again = append(again, retried)
			}
			if len(b.Images) == 0 {
				continue
			}
			batch = append(batch, b)
			if n += len(b.Images); n >= f.o.Batch {
				r.start(batch)
				batch, n = nil, 0
			}
		}
		if r.failed() {
			break
		}
	}
	if len(batch) > 0 {
		r.start(batch)
	}
	// What was refused before may be refused again, and takes nothing along with it.
	for _, b := range again {
		for i := range b.Images {
			r.start([]table.ShardBatch{{Shard: b.Shard, Epoch: b.Epoch, Images: b.Images[i : i+1]}})
		}
	}
	r.wg.Wait()
	return r.err
}

func (r *round) failed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err != nil
}

// take gives what is due of shards.
func (r *round) take(shards []int) []table.ShardBatch {
	f := r.f
	var mu sync.Mutex
	var out []table.ShardBatch
	each(shards, func(s int) {
		ctx, cancel := f.call()
		defer cancel()
		most := max(1, f.o.Batch/4)
		images, held, err := f.cache.Take(ctx, s, f.o.Owner, most, r.all)
		switch {
		case err != nil:
			f.warn("What has to be stored cannot be read from the cache", err)
			return
		case !held:
			f.lose(s)
			return
		case len(images) == 0 || f.settle(ctx, images):
			return
		}
		plain := 0
		for i := range images {
			if !images[i].Tx && images[i].Attempts == 0 {
				plain++
			}
		}
		mu.Lock()
		defer mu.Unlock()
		r.full = r.full || plain >= most
		out = append(out, table.ShardBatch{Shard: s, Epoch: r.epochs[s], Images: images})
	})
	return out
}

// settle ends durable commits that hold rows for too long: what the durable store has of them may be newer, and
// the cache keeps what is held. true: the rows are others now.
func (f *Flusher) settle(ctx context.Context, images []table.Image) (changed bool) {
	if f.decider == nil {
		return false
	}
	for i := range images {
		if images[i].Lock == "" {
			continue
		}
		if err := f.decider.resolve(ctx, images[i].Ref, images[i].Lock); err != nil {
			f.warn("A durable commit is not ended yet whose time is over", err)
			continue
		}
		changed = true
	}
	return changed
}

// start writes a batch, beside others.
func (r *round) start(batch []table.ShardBatch) {
	select {
	case r.slots <- struct{}{}:
	case <-r.f.ctx.Done():
		return
	}
	r.wg.Go(func() {
		defer func() { <-r.slots }()
		if r.failed() {
			return
		}
		if err := r.write(batch); err != nil {
			r.mu.Lock()
			r.err = err
			r.mu.Unlock()
		}
	})
}

// write stores a batch. An error says that the durable store is away.
func (r *round) write(batch []table.ShardBatch) error {
	f := r.f
	if batch = r.writable(batch); len(batch) == 0 {
		return nil
	}
	var sure func(context.Context) error
	if f.cache.Forgets() {
		sure = func(ctx context.Context) error { return f.sure(ctx, batch) }
	}
	ctx, cancel := context.WithTimeout(f.ctx, f.o.Timeout)
	fenced, ahead, err := f.durable.Flush(ctx, batch, sure)
	cancel()
	if errors.Is(err, errForgot) {
		return nil // what is there now is taken anew
	}
	if err == nil {
		r.acknowledge(batch, fenced, ahead)
		return nil
	}
	f.mu.Lock()
	f.stats.Failed++
	f.mu.Unlock()
	var w *table.WriteError
	if !errors.As(err, &w) {
		return err
	}
	switch {
	case w.Class == table.OfTable && w.Table != "":
		f.stall(w.Table, err)
		return r.write(batch)
	case w.Class == table.OfRow || w.Class == table.OfUnique:
		return r.halve(batch, err)
	}
	// Of an outcome that is not known too: what is stored already does no harm the next time.
	return err
}

// errForgot ends a flush of what the cache may have forgotten.
var errForgot = errors.New("the cache was restarted while rows of it were stored")

// sure refuses to store images that the cache may have forgotten: somebody may have loaded their rows since,
// and write what is older than they are. A cache that forgets from now on loads them when they are stored.
func (f *Flusher) sure(ctx context.Context, batch []table.ShardBatch) error {
	same, err := f.cache.Same(ctx, batch)
	switch {
	case err != nil:
		return &table.WriteError{Class: table.Transient, Err: err}
	case !same:
		return &table.WriteError{Class: table.Transient, Err: errForgot}
	}
	return nil
}

// acknowledge tells the cache what is stored.
func (r *round) acknowledge(batch []table.ShardBatch, fenced []int, ahead []table.Image) {
	f := r.f
	late := make(map[table.Ref]uint64, len(ahead))
	for i := range ahead {
		late[ahead[i].Ref] = ahead[i].Version
	}
	if len(ahead) > 0 {
		f.o.Log.Warn("The durable store has newer rows than the cache; they count", "rows", len(ahead), "first", ahead[0].String(), "version", ahead[0].Version)
	}
	now, rows, oldest := time.Now(), 0, uint64(0)
	counts := map[string]int{}
	var mu sync.Mutex // of what is counted
	at := make([]int, len(batch))
	for i := range at {
		at[i] = i
	}
	each(at, func(i int) {
		b := &batch[i]
		if slices.Contains(fenced, b.Shard) {
			f.o.Log.Warn("Another flusher has taken over", "shard", b.Shard)
			f.fencedOff(b.Shard, b.Epoch)
			return
		}
		stored, gone := split(*b, func(im *table.Image) bool {
			v, ok := late[im.Ref]
			return !ok || v != im.Version
		})
		ctx, cancel := f.call()
		defer cancel()
		if len(stored.Images) > 0 {
			if err := f.cache.Ack(ctx, b.Shard, stored.Images); err != nil {
				f.warn("The cache was not told what is stored; it is stored again", err)
			}
		}
		if len(gone.Images) > 0 {
			if err := f.cache.Yield(ctx, b.Shard, gone.Images); err != nil {
				f.warn("The cache was not told what it has to drop", err)
			}
		}
		mu.Lock()
		defer mu.Unlock()
		for j := range stored.Images {
			im := &stored.Images[j]
			rows++
			counts[im.Table.Name]++
			if oldest == 0 || im.Version < oldest {
				oldest = im.Version
			}
		}
	})
	r.mu.Lock()
	r.rows += rows
	for t, n := range counts {
		r.stored[t] += n
	}
	r.mu.Unlock()
	f.stats.rate.add(now, rows)
	f.mu.Lock()
	s := &f.stats
	s.Batches++
	s.Rows += uint64(rows)
	s.Ahead += uint64(len(ahead))
	s.Batch = rows
	if oldest > 0 {
		s.Lag = max(0, now.Sub(time.UnixMicro(int64(oldest)))) // versions are times, as long as clocks agree
	}
	away := s.away
	s.away = time.Time{}
	s.Stalled = slices.DeleteFunc(s.Stalled, func(t string) bool { return counts[t] > 0 })
	f.mu.Unlock()
	if !away.IsZero() {
		f.o.Log.Info("The durable store takes rows again", "after", now.Sub(away).Round(time.Millisecond))
	}
}

// split parts the images of a batch by whether keep says so; the order stays.
func split(b table.ShardBatch, keep func(*table.Image) bool) (yes, no table.ShardBatch) {
	yes, no = b, b
	n := 0
	for i := range b.Images {
		if keep(&b.Images[i]) {
			n++
		}
	}
	if n == len(b.Images) {
		no.Images = nil
		return yes, no
	}
	yes.Images, no.Images = make([]table.Image, 0, n), make([]table.Image, 0, len(b.Images)-n)
	for i := range b.Images {
		if keep(&b.Images[i]) {
			yes.Images = append(yes.Images, b.Images[i])
		} else {
			no.Images = append(no.Images, b.Images[i])
		}
	}
	return yes, no
}
