package directory_test

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/directory"
	"github.com/firefly-go/firefly/runtime/table/tabletest/servers"
)

// Redis is started anew, having forgotten something or not: every gate has to put its entries back, and a
// name goes to nobody else before its holder knows that it has lost it.
func TestRedisRestarts(t *testing.T) {
	s := servers.NewRedis(t, "always")
	now := time.Now().Truncate(time.Microsecond)
	d := openRedis(t, s, func() time.Time { return now })
	m, ctx := must{t, d}, t.Context()
	e1, _ := m.claim(1, session(1, 1))
	e2, _ := m.claim(1, session(2, 1))
	held, _, err := d.Hold(ctx, "single", 1)
	if err != nil {
		t.Fatal(err)
	}
	s.Kill()
	if _, _, err := d.Lookup(ctx, 1); firefly.CodeOf(err) != firefly.Unavailable {
		t.Errorf("without Redis: %v", err)
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	m.at(1, firefly.SessionID{})
	m.renew(1, false)
	if err := d.Reclaim(ctx, 1, session(1, 1), e1); err != nil {
		t.Error(err)
	}
	m.renew(2, false)
	if err := d.Reclaim(ctx, 1, session(2, 1), e2); err != nil {
		t.Error(err)
	}
	if err := d.Reclaim(ctx, 1, session(1, 1), e1); err != directory.ErrSuperseded {
		t.Error(err)
	}
	m.at(1, session(2, 1))
	m.renew(2, true)
	// The holder goes on under the same epoch.
	if again, _, err := d.Hold(ctx, "single", 1); err != nil || again != held {
		t.Errorf("epoch %d, want %d: %v", again, held, err)
	}
	// A name that the server may have forgotten is held.
	if _, left, err := d.Hold(ctx, "other", 3); err != directory.ErrHeld || left != directory.TTL {
		t.Errorf("%v, %v", left, err)
	}
	now = now.Add(directory.TTL)
	e3, _, err := d.Hold(ctx, "other", 3)
	if err != nil || e3 <= held {
		t.Errorf("epoch %d after %d: %v", e3, held, err)
	}
}

// Claims of many processes at once, by the clock of the server.
func TestRedisConcurrent(t *testing.T) {
	s := servers.NewRedis(t, "everysec")
	var mu sync.Mutex
	epochs := map[uint64]bool{}
	var wg sync.WaitGroup
	for i := range 4 {
		d := openRedis(t, s, nil)
		wg.Go(func() {
			for j := range 50 {
				e, previous, err := d.Claim(t.Context(), 1, session(i+1, j))
				if err != nil {
					t.Error(err)
					return
				}
				for _, p := range previous {
					if err := d.Release(t.Context(), 1, p.Session, p.Epoch); err != nil {
						t.Error(err)
					}
				}
				mu.Lock()
				if epochs[e] {
					t.Errorf("epoch %d was given twice", e)
				}
				epochs[e] = true
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	d := openRedis(t, s, nil)
	_, previous, err := d.Claim(t.Context(), 1, session(9, 9))
	if err != nil || len(previous) > 1 {
		t.Errorf("%v, %v", previous, err)
	}
}

// A server that may throw the directory away is refused, with what to change.
func TestRedisRefused(t *testing.T) {
	d := openRedis(t, servers.NewRedis(t, "everysec", "--maxmemory-policy", "allkeys-lru"), nil)
	if err := d.Start(t.Context()); firefly.CodeOf(err) != firefly.FailedPrecondition || !strings.Contains(err.Error(), "set volatile-lru, or noeviction") {
		t.Error(err)
	}
	r := servers.NewRedis(t, "everysec")
	d = openRedis(t, r, nil)
	if err := d.Start(t.Context()); err != nil {
		t.Error(err)
	}
	r.Kill()
	d = openRedis(t, r, nil)
	if err := d.Start(t.Context()); firefly.CodeOf(err) != firefly.Unavailable {
		t.Error(err)
	}
}
