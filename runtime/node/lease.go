package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/directory"
)

// lease is the right of a SINGLE role to serve: a name in the directory that one process
// holds. While it cannot be renewed the role does not serve, whatever the reason; another
// process may hold it by now.
type lease struct {
	dir   directory.Directory
	name  string
	owner firefly.Incarnation
	log   *slog.Logger

	epoch uint64       // of the first hold
	until atomic.Int64 // nanoseconds since began; the right ends then
	began time.Time
}

func newLease(dir directory.Directory, role string, owner firefly.Incarnation, log *slog.Logger) *lease {
	return &lease{dir: dir, name: "role/" + role, owner: owner, log: log, began: time.Now()}
}

// leaseMargin is taken off each lease, so that the holder stops before another may begin.
const leaseMargin = 500 * time.Millisecond

// hold asks for the name once. The right is counted from before the question was sent.
func (l *lease) hold(ctx context.Context) (epoch uint64, ttl time.Duration, err error) {
	asked := time.Since(l.began)
	ctx, cancel := context.WithTimeout(ctx, directory.TTL/3)
	defer cancel()
	epoch, ttl, err = l.dir.Hold(ctx, l.name, l.owner)
	if err == nil {
		l.until.Store(int64(asked + max(0, ttl-leaseMargin)))
	}
	return epoch, ttl, err
}

// valid reports whether the role may serve at this moment. Any goroutine.
func (l *lease) valid() bool { return int64(time.Since(l.began)) < l.until.Load() }

// acquire waits until the name is ours.
func (l *lease) acquire(ctx context.Context) error {
	said := false
	for {
		epoch, ttl, err := l.hold(ctx)
		if err == nil {
			l.epoch = epoch
			return nil
		}
		if !said {
			l.log.Info("waits for its lease", "name", l.name, "err", err)
			said = true
		}
		wait := 200 * time.Millisecond
		if errors.Is(err, directory.ErrHeld) && ttl > 0 {
			wait = min(ttl, time.Second)
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return fmt.Errorf("no lease %s: %w", l.name, err)
		}
	}
}

// errLeaseLost: somebody else may have served meanwhile, so what this role remembers may be
// wrong.
var errLeaseLost = errors.New("the lease was lost, and was another's meanwhile")

// keep renews the name until ctx ends. serve is told when the role has to stop serving, and
// when it may go on. An error says that the role must not go on with what it remembers.
func (l *lease) keep(ctx context.Context, serve func(bool)) error {
	serving := true
	for {
		left := time.Duration(l.until.Load()) - time.Since(l.began)
		wait := min(directory.TTL/3, max(left, 50*time.Millisecond))
		if !serving {
			wait = 200 * time.Millisecond
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil
		}
		lapsed := !l.valid()
		if lapsed && serving {
			l.log.Warn("stops serving: the lease could not be renewed", "name", l.name)
			serve(false)
			serving = false
		}
		epoch, _, err := l.hold(ctx)
		switch {
		case err == nil && lapsed && epoch != l.epoch:
			return fmt.Errorf("%s: %w", l.name, errLeaseLost)
		case err == nil:
			l.epoch = epoch
			if !serving {
				l.log.Info("serves again", "name", l.name)
				serve(true)
				serving = true
			}
		case errors.Is(err, directory.ErrHeld):
			return fmt.Errorf("%s: %w", l.name, errLeaseLost)
		}
	}
}

// drop gives the name back.
func (l *lease) drop(ctx context.Context) {
	l.until.Store(0)
	if err := l.dir.Drop(ctx, l.name, l.owner); err != nil {
		l.log.Debug("the lease ends by itself", "name", l.name, "err", err)
	}
}

// guard refuses what a role without its lease would serve: it looks at the clock for every
// handler, since a process that was halted goes on before any timer of it fires.
func (l *lease) guard(ctx context.Context, _ any, next func(context.Context) (Body, error)) (Body, error) {
	if !l.valid() {
		return Body{}, firefly.Unavailable.Errorf("the node does not hold the lease of its role now")
	}
	return next(ctx)
}
