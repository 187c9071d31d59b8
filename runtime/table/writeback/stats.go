package writeback

import (
	"sync"
	"time"
)

// FlusherStats is a glance at a Flusher. Counts are since it was made.
type FlusherStats struct {
	Shards int // that it has
	// Dirty rows are not stored yet, Poisoned ones are put aside, in the flusher's shards, when they were last
	// counted; Oldest is how long the oldest dirty one waits.
	Dirty, Poisoned int
	Oldest          time.Duration
	Lag             time.Duration // between write and store, of the oldest row of the last batch
	Batch           int           // rows of the last batch
	Batches         uint64        // transactions
	Rows            uint64        // stored
	Rate            float64       // rows a second, over the last few seconds
	Failed          uint64        // transactions that were refused or not answered
	Quarantined     uint64        // rows put aside, each attempt counts
	Fenced          uint64        // shards that another flusher had taken over while this one still wrote
	Ahead           uint64        // rows of which the durable store had something newer
	Torn            uint64        // transactions that did not reach the durable store as one, because a row of them was put aside
	Away            time.Duration // how long the durable store has not taken anything that it was given; 0: it does
	Stalled         []string      // tables that cannot be written
}

// flusherStats are counted under Flusher.mu, but the rate.
type flusherStats struct {
	FlusherStats
	away time.Time // since when the durable store refuses everything
	rate rate
}

// rate counts events of the last seconds.
type rate struct {
	mu      sync.Mutex
	seconds [8]struct {
		at int64
		n  uint64
	}
}

func (r *rate) add(now time.Time, n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := &r.seconds[now.Unix()%int64(len(r.seconds))]
	if s.at != now.Unix() {
		s.at, s.n = now.Unix(), 0
	}
	s.n += uint64(n)
}

// perSecond is over the whole seconds before the current one.
func (r *rate) perSecond(now time.Time) float64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	const over = 5
	n := uint64(0)
	for _, s := range r.seconds {
		if age := now.Unix() - s.at; age >= 1 && age <= over {
			n += s.n
		}
	}
	return float64(n) / over
}

// Stats may be called at any time.
func (f *Flusher) Stats() FlusherStats {
	now := time.Now()
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.stats.FlusherStats
	s.Shards = len(f.owned)
	s.Stalled = append([]string(nil), s.Stalled...)
	if !f.stats.away.IsZero() {
		s.Away = now.Sub(f.stats.away)
	}
	s.Rate = f.stats.rate.perSecond(now)
	for _, c := range f.counts {
		s.Dirty += c.Plain + c.Tx
		s.Poisoned += c.Poisoned
		if !c.Oldest.IsZero() {
			s.Oldest = max(s.Oldest, now.Sub(c.Oldest))
		}
	}
	return s
}

// count counts what waits in the flusher's shards.
func (f *Flusher) count() {
	ctx, cancel := f.call()
	defer cancel()
	each(f.shards(), func(s int) {
		c, err := f.cache.Count(ctx, s)
		if err != nil {
			return
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.owned[s] != nil {
			f.counts[s] = c
		}
	})
}
