package node

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/directory"
)

// flakyDirectory is away when it is told to be.
type flakyDirectory struct {
	directory.Directory
	mu   sync.Mutex
	away bool
}

func (f *flakyDirectory) set(away bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.away = away
}

func (f *flakyDirectory) Hold(ctx context.Context, name string, owner firefly.Incarnation) (uint64, time.Duration, error) {
	f.mu.Lock()
	away := f.away
	f.mu.Unlock()
	if away {
		<-ctx.Done()
		return 0, 0, ctx.Err()
	}
	return f.Directory.Hold(ctx, name, owner)
}

type leaseRig struct {
	dir     *flakyDirectory
	l       *lease
	mu      sync.Mutex
	serving bool
	end     context.CancelFunc
	result  chan error
}

func startLease(t *testing.T) *leaseRig {
	t.Helper()
	r := &leaseRig{dir: &flakyDirectory{Directory: directory.NewMemory(nil)}, serving: true, result: make(chan error, 1)}
	r.l = newLease(r.dir, "clock", 5, slog.New(slog.DiscardHandler))
	if err := r.l.acquire(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r.end = cancel
	go func() {
		r.result <- r.l.keep(ctx, func(on bool) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.serving = on
		})
	}()
	return r
}

func (r *leaseRig) serves() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.serving
}

func (r *leaseRig) guarded() error {
	_, err := r.l.guard(context.Background(), nil, func(context.Context) (Body, error) { return Body{}, nil })
	return err
}

// TestLeaseStopsInTime: before another process may begin, this one has stopped; when the
// directory is back and nobody else was there, it goes on.
func TestLeaseStopsInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startLease(t)
		time.Sleep(time.Minute)
		if !r.serves() || r.guarded() != nil {
			t.Error("a renewed lease does not serve")
		}
		r.dir.set(true)
		gone := time.Now()
		for {
			_, _, err := r.dir.Directory.Hold(context.Background(), "role/clock", 6)
			if err == nil {
				break // another process has it from now on
			}
			time.Sleep(10 * time.Millisecond)
		}
		if r.guarded() == nil {
			t.Error("two processes serve")
		}
		if d := time.Since(gone); d > directory.TTL {
			t.Errorf("the lease lasted %v", d)
		}
		synctest.Wait()
		r.dir.set(false)
		if err := <-r.result; !errors.Is(err, errLeaseLost) {
			t.Errorf("it was another's meanwhile: %v", err)
		}
		if r.guarded() == nil || r.serves() {
			t.Error("it serves though the lease is another's")
		}
		r.end()
	})
}

func TestLeaseGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startLease(t)
		r.dir.set(true)
		time.Sleep(directory.TTL - leaseMargin)
		if r.guarded() == nil {
			t.Error("the clock is not looked at")
		}
		time.Sleep(3 * time.Second)
		if r.serves() {
			t.Error("it serves without a lease")
		}
		r.dir.set(false)
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if !r.serves() || r.guarded() != nil {
			t.Error("it does not go on, though nobody else was there")
		}
		r.end()
		if err := <-r.result; err != nil {
			t.Error(err)
		}
		r.l.drop(context.Background())
		if _, _, err := r.dir.Hold(context.Background(), "role/clock", 6); err != nil {
			t.Errorf("the name was not given back: %v", err)
		}
	})
}
