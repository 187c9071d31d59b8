package router

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/robfig/cron/v3"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/mailbox"
)

// timers are the timers of a Host. They begin to run with it.
type timers struct {
	host *Host

	mu   sync.Mutex
	on   bool
	over bool
	all  map[*timer]struct{}
}

// timer is one timer of a game. Between its ticks it is one timer of the Go runtime; a tick
// is a job on the loop, and the next one is set when that has returned.
type timer struct {
	host *Host
	name string
	f    func(context.Context)
	next func(now time.Time) time.Time // zero: never again
	once bool                          // its tick waits for a role that is paused

	mu      sync.Mutex
	due     time.Time
	t       *time.Timer
	stopped bool
}

// Every implements firefly.Node.
func (n nodeView) Every(d time.Duration, name string, f func(context.Context)) firefly.Timer {
	if d <= 0 {
		panic(fmt.Sprintf("firefly: timer %q every %v", name, d))
	}
	var base time.Time
	return n.h.timers.add(name, f, false, func(now time.Time) time.Time {
		if base.IsZero() {
			base = now
		}
		return base.Add((now.Sub(base)/d + 1) * d)
	})
}

// After implements firefly.Node.
func (n nodeView) After(d time.Duration, name string, f func(context.Context)) firefly.Timer {
	set := false
	return n.h.timers.add(name, f, true, func(now time.Time) time.Time {
		if set {
			return time.Time{}
		}
		set = true
		return now.Add(max(d, 0))
	})
}

// Cron implements firefly.Node.
func (n nodeView) Cron(spec, name string, f func(context.Context)) firefly.Timer {
	s, err := cron.NewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow).Parse(spec)
	if err != nil {
		panic(fmt.Sprintf("firefly: timer %q: cron expression %q: %v", name, spec, err))
	}
	return n.h.timers.add(name, f, false, func(now time.Time) time.Time { return s.Next(now.Round(0)) })
}

func (ts *timers) add(name string, f func(context.Context), once bool, next func(time.Time) time.Time) *timer {
	t := &timer{host: ts.host, name: name, f: f, once: once, next: next}
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if ts.over {
		t.stopped = true
		return t
	}
	if ts.all == nil {
		ts.all = map[*timer]struct{}{}
	}
	if !ts.on || t.set() {
		ts.all[t] = struct{}{}
	}
	return t
}

func (ts *timers) start() {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if ts.over {
		return
	}
	ts.on = true
	for t := range ts.all {
		if !t.set() {
			delete(ts.all, t)
		}
	}
}

func (ts *timers) stop() {
	ts.mu.Lock()
	ts.over = true
	all := ts.all
	ts.all = nil
	ts.mu.Unlock()
	for t := range all {
		t.halt()
	}
}

// Stop implements firefly.Timer.
func (t *timer) Stop() {
	t.halt()
	ts := &t.host.timers
	ts.mu.Lock()
	delete(ts.all, t)
	ts.mu.Unlock()
}

func (t *timer) halt() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stopped = true
	if t.t != nil {
		t.t.Stop()
	}
}

// set begins to wait for the next tick; false: there is none.
func (t *timer) set() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.stopped {
		return false
	}
	now := time.Now()
	t.due = t.next(now)
	if t.due.IsZero() {
		return false
	}
	t.arm(now)
	return true
}

// again sets the next tick when one has returned.
func (t *timer) again() {
	if !t.set() {
		t.Stop()
	}
}

// arm sets the runtime's timer; t.mu is held. What is far away is looked at again every hour,
// since the clock of the wall may be put.
func (t *timer) arm(now time.Time) {
	d := min(max(t.due.Sub(now), 0), time.Hour)
	if t.t == nil {
		t.t = time.AfterFunc(d, t.fire)
	} else {
		t.t.Reset(d)
	}
}

// fire queues a tick; on a goroutine of the runtime's timer.
func (t *timer) fire() {
	t.mu.Lock()
	now := time.Now()
	if t.stopped {
		t.mu.Unlock()
		return
	}
	if now.Before(t.due) {
		t.arm(now)
		t.mu.Unlock()
		return
	}
	if t.host.life.Load() == paused {
		// Whoever has the lease runs what is due now; a tick of this node alone waits.
		if t.once {
			t.due = now.Add(time.Second)
		} else {
			t.due = t.next(now)
		}
		t.arm(now)
		t.mu.Unlock()
		return
	}
	t.mu.Unlock()
	t.host.queue(t.host.newJob(t.name, nil, nil, func(c *mailbox.Context) {
		t.mu.Lock()
		stopped := t.stopped
		t.mu.Unlock()
		if !stopped {
			t.f(c)
		}
	}, t.again))
}
