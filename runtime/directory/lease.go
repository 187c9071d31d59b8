package directory

import (
	"context"
	"sync"
	"time"

	"github.com/firefly-go/firefly"
)

// Lease is a name that this process holds: for a role of which only one node may serve.
type Lease struct {
	d     Directory
	name  string
	owner firefly.Incarnation

	epoch uint64
	lost  chan struct{}
	stop  context.CancelFunc
	ended sync.WaitGroup // the goroutine that prolongs
}

// How often a name is asked for that another holds, or while the directory is away, and how
// often one that is held is prolonged.
const (
	askEvery     = 500 * time.Millisecond
	prolongEvery = TTL / 4
)

// Keep takes a name for owner, waiting until it is free and the directory is there, and then
// prolongs it until Release. It gives up when ctx ends, or with ErrDead.
func Keep(ctx context.Context, d Directory, name string, owner firefly.Incarnation) (*Lease, error) {
	for {
		asked := time.Now()
		epoch, ttl, err := hold(ctx, d, name, owner, TTL)
		switch err {
		case nil:
			run, stop := context.WithCancel(context.WithoutCancel(ctx))
			l := &Lease{d: d, name: name, owner: owner, epoch: epoch, lost: make(chan struct{}), stop: stop}
			l.ended.Go(func() { l.prolong(run, asked.Add(ttl)) })
			return l, nil
		case ErrDead:
			return nil, err
		}
		if err := pause(ctx, askEvery); err != nil {
			return nil, err
		}
	}
}

// hold asks once, for at most limit.
func hold(ctx context.Context, d Directory, name string, owner firefly.Incarnation, limit time.Duration) (uint64, time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return d.Hold(ctx, name, owner)
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Epoch is higher for every owner of the name.
func (l *Lease) Epoch() uint64 { return l.epoch }

// Lost is closed when the name could not be prolonged in time, or is another's: from then on
// somebody else may hold it. It is not closed by Release.
func (l *Lease) Lost() <-chan struct{} { return l.lost }

// Release gives the name back; it asks the directory once and waits for that.
func (l *Lease) Release(ctx context.Context) error {
	l.stop()
	l.ended.Wait()
	return l.d.Drop(ctx, l.name, l.owner)
}

// prolong holds the name until it is stopped, or cannot any more. What counts is when it
// asked, not when the answer came.
func (l *Lease) prolong(ctx context.Context, until time.Time) {
	for {
		if pause(ctx, min(prolongEvery, time.Until(until))) != nil {
			return
		}
		for {
			left := time.Until(until)
			if left <= 0 {
				close(l.lost)
				return
			}
			asked := time.Now()
			epoch, ttl, err := hold(ctx, l.d, l.name, l.owner, left)
			if ctx.Err() != nil {
				return
			}
			if err == nil && epoch == l.epoch {
				until = asked.Add(ttl)
				break
			}
			if err == nil || err == ErrHeld || err == ErrDead {
				// Another epoch of our own: somebody may have held it in between.
				close(l.lost)
				return
			}
			if pause(ctx, min(askEvery, max(0, time.Until(until)))) != nil {
				return
			}
		}
	}
}
