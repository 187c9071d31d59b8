package mailbox_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/firefly-go/firefly/runtime/mailbox"
)

// rig is a loop under test with a log of what happened on it.

type rig struct {
	t *testing.T
	*mailbox.Loop

	inside  int // handlers inside, by the loop's promise 0 or 1; a plain int, so -race watches it
	log     []string
	panics  []string
	refused map[string]error
}

func newRig(t *testing.T, o mailbox.Options) *rig {
	r := &rig{t: t, refused: map[string]error{}}
	if o.OnPanic == nil {
		o.OnPanic = func(task *mailbox.Task, v any, stack []byte) {
			name := "-"
			if task != nil {
				name = task.Name()
			}
			r.panics = append(r.panics, fmt.Sprintf("%s: %v", name, v))
			if len(stack) == 0 {
				t.Error("a panic without its stack")
			}
		}
	}
	r.Loop = mailbox.New(o)
	return r
}

func (r *rig) say(format string, args ...any) { r.log = append(r.log, fmt.Sprintf(format, args...)) }

// enter and leave stand around every stretch of a handler that is on the loop.

func (r *rig) enter() {
	if r.inside++; r.inside != 1 {
		r.t.Errorf("%d handlers are inside at once", r.inside)
	}
}

func (r *rig) leave() { r.inside-- }

// end closes the loop and waits for all of it.

func (r *rig) end() {
	r.t.Helper()
	r.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := r.Drain(ctx); err != nil {
		r.t.Errorf("the closed loop does not end: %v; %+v", err, r.Stats())
	}
	if s := r.Stats(); s.Goroutines != 0 || s.Queued != 0 || s.Parked != 0 {
		r.t.Errorf("after Close: %+v", s)
	}
}

// job is a task of a rig.

type job struct {
	mailbox.Task
	r        *rig
	f        func(ctx *mailbox.Context)
	panicked func(v any)
	refuse   func(err error)
}

func (j *job) Run(ctx *mailbox.Context) {
	j.r.enter()
	defer j.r.leave()
	j.f(ctx)
}

func (j *job) Refused(err error) {
	j.r.refused[j.Name()] = err
	if j.refuse != nil {
		j.refuse(err)
	}
}

func (j *job) Panicked(v any) {
	if j.panicked != nil {
		j.panicked(v)
	}
}

func (j *job) Value(key any) any { return nil }

func (j *job) Fork() mailbox.Values { return nil }

func (r *rig) job(name string, lane *mailbox.Lane, timeout time.Duration, f func(ctx *mailbox.Context)) *job {
	j := &job{r: r, f: f}
	var deadline time.Time
	if timeout != 0 {
		deadline = time.Now().Add(timeout)
	}
	j.Init(j, name, lane, deadline)
	return j
}

func (r *rig) submit(name string, lane *mailbox.Lane, timeout time.Duration, f func(ctx *mailbox.Context)) {
	r.t.Helper()
	if err := r.Submit(&r.job(name, lane, timeout, f).Task); err != nil {
		r.t.Errorf("submit %s: %v", name, err)
	}
}

// wait, sleep and await are yields that keep the count of who is inside.

func (r *rig) wait(c *mailbox.Context, w *mailbox.Wait) error {
	r.leave()
	defer r.enter()
	return c.Wait(w)
}

func (r *rig) sleep(c *mailbox.Context, d time.Duration) error {
	r.leave()
	defer r.enter()
	return c.Sleep(d)
}

func (r *rig) await(c *mailbox.Context, f func(context.Context)) {
	r.leave()
	defer r.enter()
	c.Await(f)
}

func expect(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("got  %s\nwant %s", strings.Join(got, ", "), strings.Join(want, ", "))
	}
}

// bubble runs f under fake time and requires that the rig ends clean.

func bubble(t *testing.T, o mailbox.Options, f func(t *testing.T, r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, o)
		defer r.end()
		f(t, r)
	})
}

// Under load beyond what it can do, a loop finishes what it has begun instead of beginning

// everything and finishing nothing in time.

// A handler of loop a calls b, whose handler calls a, and so on. No handler holds a loop

// while it waits, so a circle ends.

// What FailNow does inside a callback: the goroutine is gone, the loop is not.

// Eight producers, each with handlers of no to three yields that end early, late, by

// another goroutine, by time and by another handler.

// Close in the middle of everything: nothing hangs, and each task is run or refused.
