package writeback

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"log/slog"
	"sync"
	"time"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/table"
)

// Options are the settings of a Store; the zero value works.
type Options struct {
	// Patience is how long a read or a commit waits for what somebody else loads, locks or stores; 5 seconds
	// when 0. Then a read asks the durable store itself, where that has the latest, and anything else is
	// Unavailable.
	Patience time.Duration
	// Lock is how long a durable commit may hold its rows before anybody who meets them ends it; 10 seconds
	// when 0.
	Lock time.Duration
	Log  *slog.Logger
}

// Store is a cache and a durable store as one table.Store. Both outlive it.
type Store struct {
	cache   table.Cache
	durable table.Durable
	o       Options

	decider *durable // makes the commits that the durable store decides
	loads   flights
	recent  recent
	ids     stocks
	copies  *copies // of rows in this process; nil: none

	run  context.Context // ends with Close; what runs behind calls has it
	stop context.CancelFunc
	wg   sync.WaitGroup
}

var _ table.NearStore = (*Store)(nil)

// New makes a Store of a cache and a durable store, which are started with specs and outlive it.
func New(cache table.Cache, durable table.Durable, specs []*table.Spec, o Options) *Store {
	if o.Patience == 0 {
		o.Patience = 5 * time.Second
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	s := &Store{cache: cache, durable: durable, o: o}
	s.decider = newDurable(cache, durable, specs, durableOptions{clear: s.clearing, ttl: o.Lock, log: o.Log})
	s.copies = newCopies(cache, specs)
	s.run, s.stop = context.WithCancel(context.Background())
	return s
}

// Close ends what the Store does by itself. Nobody may be in a call of it.
func (s *Store) Close() error {
	s.stop()
	s.wg.Wait()
	return nil
}

// newToken names a lease or a durable commit.
func newToken() string {
	var b [12]byte
	_, _ = rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// Read implements table.Store.
func (s *Store) Read(ctx context.Context, refs []table.Ref, out []table.Row) error {
	if len(refs) == 1 {
		// The hot path: one row, and it is there.
		c := [1]table.Cached{{Row: table.Row{Values: out[0].Values}}}
		if err := s.cache.Read(ctx, refs, c[:]); err != nil {
			return err
		}
		if c[0].Expired {
			s.settle(&c[0])
		}
		switch c[0].State {
		case table.Live:
			out[0] = c[0].Row
			return nil
		case table.Gone:
			out[0] = table.Row{Ref: refs[0]}
			return nil
		}
		return s.fetch(ctx, refs, out)
	}
	if len(refs) == 0 {
		return nil
	}
	cached := make([]table.Cached, len(refs))
	for i := range out {
		cached[i].Values = out[i].Values
	}
	if err := s.cache.Read(ctx, refs, cached); err != nil {
		return err
	}
	var missing []int
	for i := range refs {
		if cached[i].Expired {
			s.settle(&cached[i])
		}
		if !take(&cached[i], &out[i]) {
			missing = append(missing, i)
		}
	}
	if missing == nil {
		return nil
	}
	if len(missing) == len(refs) {
		return s.fetch(ctx, refs, out)
	}
	mrefs, mout := make([]table.Ref, len(missing)), make([]table.Row, len(missing))
	for j, i := range missing {
		mrefs[j] = refs[i]
	}
	if err := s.fetch(ctx, mrefs, mout); err != nil {
		return err
	}
	for j, i := range missing {
		out[i] = mout[j]
	}
	return nil
}

// settle ends the durable commit of a row that is held for too long, beside whoever met it: what that commit did
// was told to nobody, so the former state is a good answer until then.
func (s *Store) settle(c *table.Cached) {
	id := rowID{t: c.Table, key: c.Lock, list: -1}
	mine, _ := s.loads.claim(id)
	if mine == nil {
		return
	}
	ref, token := c.Ref, c.Lock
	s.beside(func(ctx context.Context) {
		err := s.decider.resolve(ctx, ref, token)
		if err != nil && s.run.Err() == nil {
			s.o.Log.Warn("A durable commit is not ended yet whose time is over", "row", ref.String(), "err", err)
		}
		s.loads.end(id, mine, err)
	})
}

// take gives what is cached as a row; false when the cache does not know it.
func take(c *table.Cached, out *table.Row) bool {
	switch c.State {
	case table.Live:
		*out = c.Row
	case table.Gone:
		*out = table.Row{Ref: c.Ref}
	default:
		return false
	}
	return true
}

// waiting is a bounded wait for somebody else.
type waiting struct {
	until time.Time
	tries int
}

func (s *Store) wait() *waiting { return &waiting{until: time.Now().Add(s.o.Patience)} }

func (w *waiting) over() bool { return time.Now().After(w.until) }

// pause waits a little; DeadlineExceeded when ctx has ended.
func (w *waiting) pause(ctx context.Context) error {
	d := min(2*time.Millisecond<<min(w.tries, 3), 20*time.Millisecond)
	w.tries++
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return firefly.DeadlineExceeded.Errorf("the tables did not answer in time: %w", ctx.Err())
	}
}
