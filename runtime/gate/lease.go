package gate

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/directory"
)

// release is an entry of the directory that is to go.
type release struct {
	player  firefly.PlayerID
	session firefly.SessionID
	epoch   uint64
}

// keepLease renews the lease of this gate's entries. While the directory is away bound
// sessions play on; when it comes back without them, they are claimed again with the epochs
// that they have.
func (g *Gate) keepLease() {
	claimed := true
	for {
		wait := leaseRetry
		ctx, cancel := context.WithTimeout(g.ctx, claimTime)
		ttl, known, err := g.o.Directory.Renew(ctx, g.o.Incarnation)
		if err == nil {
			if !known {
				claimed = false
			}
			if !claimed {
				claimed = g.reclaim()
			}
			wait = ttl / 3
		}
		cancel()
		select {
		case <-time.After(wait):
		case <-g.ctx.Done():
			return
		}
	}
}

// reclaim puts the entries of all bound sessions back. A session whose player is bound
// elsewhere with a higher epoch has lost.
func (g *Gate) reclaim() bool {
	g.mu.RLock()
	list := slices.Clone(g.bound)
	g.mu.RUnlock()
	for _, s := range list {
		s.mu.Lock()
		player, epoch, over := s.rec.Player, s.rec.Epoch, s.state >= closing
		s.mu.Unlock()
		if over {
			continue
		}
		ctx, cancel := context.WithTimeout(g.ctx, claimTime)
		err := g.o.Directory.Reclaim(ctx, player, s.rec.ID, epoch)
		cancel()
		switch {
		case errors.Is(err, directory.ErrSuperseded):
			s.close(firefly.Replaced, "the player logged in elsewhere while the directory was away", nil)
		case err != nil:
			return false
		}
	}
	if len(list) > 0 {
		g.log.Info("sessions claimed again in the directory", "sessions", len(list))
	}
	return true
}

// maxReleases bounds what waits while the directory is away. An entry that is never released
// does no harm: the next Claim finds that its session is gone.
const maxReleases = 100_000

// release has the directory forget an entry, soon. It does not block.
func (g *Gate) release(p firefly.PlayerID, id firefly.SessionID, epoch uint64) {
	g.mu.Lock()
	if len(g.releases) < maxReleases {
		g.releases = append(g.releases, release{p, id, epoch})
	}
	g.mu.Unlock()
	select {
	case g.wake <- struct{}{}:
	default:
	}
}

// releaser sends releases, one after the other; while the directory is away it tries again.
func (g *Gate) releaser() {
	for {
		g.mu.Lock()
		var r release
		left := len(g.releases) > 0
		if left {
			r = g.releases[0]
		}
		g.mu.Unlock()
		if !left {
			select {
			case <-g.wake:
				continue
			case <-g.ctx.Done():
				return
			}
		}
		ctx, cancel := context.WithTimeout(g.ctx, claimTime)
		err := g.o.Directory.Release(ctx, r.player, r.session, r.epoch)
		cancel()
		if err != nil {
			select {
			case <-time.After(leaseRetry):
				continue
			case <-g.ctx.Done():
				return
			}
		}
		g.mu.Lock()
		g.releases = g.releases[1:]
		if len(g.releases) == 0 {
			g.releases = nil
		}
		g.mu.Unlock()
	}
}

// released waits until nothing is left to release.
func (g *Gate) released(ctx context.Context) error {
	t := time.NewTicker(tick / 5)
	defer t.Stop()
	for {
		g.mu.RLock()
		left := len(g.releases)
		g.mu.RUnlock()
		if left == 0 {
			return nil
		}
		select {
		case <-t.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// leaseRetry is how soon a directory that does not answer is asked again.
const leaseRetry = 250 * time.Millisecond
