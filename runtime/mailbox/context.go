package mailbox

import (
	"context"
	"math"
	"slices"
	"sync/atomic"
	"time"
)

// Key is the key under which a ctx on the loop holds its *Context. Any key with a method
// FireflyLoop() is answered likewise.
type Key struct{}

// FireflyLoop marks the key.
func (Key) FireflyLoop() {}

// Context is the context.Context of one handler. Done, Err, Deadline, Value, AfterFunc and
// Go may be used by any goroutine; Await, Sleep and Wait belong to the handler's own.
//
// It ends with the deadline of the task (context.DeadlineExceeded), with the loop
// (ErrStopped), and when the handler returns (context.Canceled).
type Context struct {
	task     *Task
	job      Job
	name     string
	lane     *Lane
	deadline time.Time // as given to Init; due counts once the task is submitted
	l        *Loop     // set by Submit
	free     bool      // exempt from the Limit
	over     bool      // returned or refused; the holder's

	due  int64    // on the loop's clock, 0 never; written before the handler starts
	next *Context // in the list that the task stands in
	w    *worker  // the goroutine that runs the handler

	end atomic.Pointer[ending] // made when somebody asks for Done

	// While the handler is parked; under Loop.mu.
	at      place // in the wheel, also when Done was asked for
	wait    *Wait
	asleep  bool
	wakeAt  int64
	waitErr error // what the wait ended with; read by the handler when it has the loop again
}

// ending is what a ctx needs when somebody watches its end. Under Loop.mu, but done, which
// does not change.
type ending struct {
	done  chan struct{}
	err   error
	hooks []*hook
}

type hook struct{ f func() }

// From is the Context that ctx is or derives from; nil when it has none or is marked off-loop.
func From(ctx context.Context) *Context {
	if c, ok := ctx.(*Context); ok {
		return c
	}
	c, _ := ctx.Value(Key{}).(*Context)
	return c
}

// Loop is the loop that runs the handler.
func (c *Context) Loop() *Loop { return c.l }

// Hold is Loop.
func (c *Context) Hold() *Loop { return c.l }

// OffLoop is the same ctx, marked off-loop: it has the end and the values, and no loop.
func (c *Context) OffLoop() context.Context { return (*offLoop)(c) }

// Task is the task whose handler c belongs to.
func (c *Context) Task() *Task { return c.task }

// Deadline is that of the task.
func (c *Context) Deadline() (time.Time, bool) {
	if c.l == nil {
		return c.deadline, !c.deadline.IsZero()
	}
	if c.due == 0 {
		return time.Time{}, false
	}
	return c.l.base.Add(time.Duration(c.due)), true
}

// Done is made on first use.
func (c *Context) Done() <-chan struct{} {
	if e := c.end.Load(); e != nil {
		return e.done
	}
	l := c.l
	if l == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return c.watched().done
}

// watched makes the ending, if it is not there. With mu.
func (c *Context) watched() *ending {
	if e := c.end.Load(); e != nil {
		return e
	}
	e := &ending{done: make(chan struct{})}
	c.end.Store(e)
	now := c.l.clock()
	if err := c.ended(now); err != nil {
		c.finishWith(err)
	} else if c.at.level == 0 {
		c.arm(c.due, now)
	}
	return e
}

// ended tells from the clock whether c has ended, when no ending was made that knows it.
func (c *Context) ended(now int64) error {
	stop := c.l.stopAt.Load()
	switch {
	case c.due != 0 && c.due <= now && (stop == 0 || c.due <= stop):
		return context.DeadlineExceeded
	case stop != 0:
		return ErrStopped
	case c.w != nil && c.w.cur.Load() != c:
		return context.Canceled // that goroutine went on to another task
	}
	return nil
}

// finishWith ends c for those who watch it, once. With mu.
func (c *Context) finishWith(err error) {
	e := c.end.Load()
	if e == nil || e.err != nil {
		return
	}
	e.err = err
	close(e.done)
	for _, h := range e.hooks {
		go h.f()
	}
	e.hooks = nil
}

// returned ends a watched ctx whose handler has returned.
func (c *Context) returned() {
	c.l.mu.Lock()
	c.finishWith(context.Canceled)
	c.l.wheel.remove(c)
	c.l.mu.Unlock()
}

// Err is nil until the ctx has ended.
func (c *Context) Err() error {
	l := c.l
	if l == nil {
		return nil
	}
	e := c.end.Load()
	if e == nil {
		if c.due == 0 {
			return c.ended(0)
		}
		return c.ended(l.clock())
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if e.err == nil {
		// The wheel is a little late; whoever asks need not wait for it.
		if err := c.ended(l.clock()); err != nil {
			c.finishWith(err)
		}
	}
	return e.err
}

// Value answers loop keys with c and passes others to the job.
func (c *Context) Value(key any) any {
	if _, ok := key.(interface{ FireflyLoop() }); ok {
		return c
	}
	return c.job.Value(key)
}

// AfterFunc calls f on a goroutine of its own when c has ended. It spares derived contexts
// the goroutine that they would watch c with. stop is that of context.AfterFunc.
func (c *Context) AfterFunc(f func()) (stop func() bool) {
	l := c.l
	if l == nil {
		return func() bool { return true }
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	e := c.watched()
	if e.err != nil {
		go f()
		return func() bool { return false }
	}
	h := &hook{f}
	e.hooks = append(e.hooks, h)
	return func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		i := slices.Index(e.hooks, h)
		if i < 0 {
			return false
		}
		e.hooks = slices.Delete(e.hooks, i, i+1)
		return true
	}
}

// Go queues f as a task of its own, without a lane, exempt from the Limit. Any goroutine may
// call it. A closed loop drops f.
func (c *Context) Go(name string, f func(context.Context)) {
	if wake, _ := c.l.queue(&c.l.Func(name, c.job.Fork(), f).ctx, true, true); wake {
		c.l.Flush()
	}
}

// Await yields, runs f on this goroutine with a ctx that is marked off-loop, and takes the
// loop back. A panic of f goes on in the handler, on the loop.
func (c *Context) Await(f func(context.Context)) {
	if !c.mine() {
		c.foreign("Await")
		f((*offLoop)(c))
		return
	}
	c.yield()
	defer c.retake()
	f((*offLoop)(c))
}

// yield gives the loop up without a wait that would take it back.
func (c *Context) yield() {
	l := c.l
	l.beforeYield()
	c.w.off = true
	l.mu.Lock()
	l.parked++
	next := l.pass()
	l.mu.Unlock()
	next.hand()
}

// retake ends what yield began.
func (c *Context) retake() {
	l := c.l
	l.mu.Lock()
	next := l.resume(c)
	l.mu.Unlock()
	if next == nil {
		<-c.w.ch
	}
	c.back()
}

// back is what a handler does first when it has the loop again.
func (c *Context) back() {
	c.w.off = false
	c.l.taken(c.w)
}

// Sleep yields for d or until the ctx ends, whose error it gives. With d of 0 or less it
// lets those run who are ready, and goes on.
func (c *Context) Sleep(d time.Duration) error {
	if !c.mine() {
		c.foreign("Sleep")
		return c.sleepForeign(d)
	}
	if d <= 0 {
		c.yield()
		c.retake()
		return c.Err()
	}
	l := c.l
	l.beforeYield()
	l.mu.Lock()
	if err := c.ended(l.now); err != nil {
		l.mu.Unlock()
		return err
	}
	c.asleep = true
	c.wakeAt = l.now + min(int64(d), math.MaxInt64-l.now)
	return c.park()
}

// Wait yields until w is woken: nil, or the error that the ctx ended with before. When w was
// woken already it returns at once, without yielding.
func (c *Context) Wait(w *Wait) error {
	if !c.mine() {
		c.foreign("Wait")
		return c.waitForeign(w)
	}
	if s := w.state.Load(); s != waitFresh {
		return w.result(s)
	}
	l := c.l
	l.beforeYield()
	l.mu.Lock()
	if err := c.ended(l.now); err != nil && w.state.Load() == waitFresh {
		l.mu.Unlock()
		return err
	}
	w.c = c
	if !w.state.CompareAndSwap(waitFresh, waitParked) {
		l.mu.Unlock()
		return w.result(w.state.Load())
	}
	c.wait = w
	return c.park()
}

// park hands the loop on and comes back with it when the wait is over. It is called with mu,
// which it unlocks.
func (c *Context) park() error {
	l := c.l
	c.waitErr = nil
	if c.asleep || c.at.level == 0 {
		l.wheel.remove(c)
		c.arm(c.nextDue(), l.now)
	}
	c.w.off = true
	l.parked++
	next := l.pass()
	l.mu.Unlock()
	next.hand()
	<-c.w.ch
	c.back()
	return c.waitErr
}

// nextDue is when the wheel has to look at c again. With mu.
func (c *Context) nextDue() int64 {
	if c.asleep && (c.due == 0 || c.wakeAt < c.due) {
		return c.wakeAt
	}
	return c.due
}

// arm puts c into the wheel, and the wheel's timer to work. With mu.
func (c *Context) arm(due, now int64) {
	l := c.l
	l.wheel.add(c, due, now)
	if due != 0 && (l.armed == 0 || c.at.tick < l.armed) {
		l.setTimer(c.at.tick, now)
	}
}

// unpark takes back what park had made, when the wait is over. With mu.
func (c *Context) unpark(err error) {
	slept := c.asleep
	c.asleep, c.wait, c.waitErr = false, nil, err
	e := c.end.Load()
	if e == nil || e.err != nil {
		c.l.wheel.remove(c)
	} else if slept || c.at.level == 0 {
		c.l.wheel.remove(c)
		c.arm(c.due, c.l.clock())
	}
}

// fire is the wheel's call when a time of c has come. With mu; the handler is resumed.
func (c *Context) fire(now int64) (next *worker) {
	slept := c.asleep && c.wakeAt <= now
	over := c.due != 0 && c.due <= now
	if over {
		c.finishWith(context.DeadlineExceeded)
	}
	switch {
	case slept && (!over || c.wakeAt <= c.due):
		c.unpark(nil)
		next = c.l.resume(c)
	case over && (c.asleep || c.wait != nil && c.wait.state.CompareAndSwap(waitParked, waitGone)):
		c.unpark(context.DeadlineExceeded)
		next = c.l.resume(c)
	case !over && (c.asleep || c.wait != nil || c.end.Load() != nil):
		c.arm(c.nextDue(), now)
	}
	return next
}

// stop is Close for one ctx that the wheel knew. With mu; it is out of the wheel.
func (c *Context) stop() {
	c.finishWith(ErrStopped)
	if c.asleep || c.wait != nil && c.wait.state.CompareAndSwap(waitParked, waitGone) {
		c.unpark(ErrStopped)
		c.l.ready.push(c)
		c.l.alert.Store(true)
	}
}

func (l *Loop) setTimer(tick uint64, now int64) {
	d := time.Duration(math.MaxInt64)
	if tick < uint64(math.MaxInt64)/tickNanos {
		d = time.Duration(int64(tick)*tickNanos - now)
	}
	l.armed = tick
	if l.timer == nil {
		l.timer = time.AfterFunc(d, l.ring)
	} else {
		l.timer.Reset(d)
	}
}

// ring is the timer's call.
func (l *Loop) ring() {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return
	}
	now := l.clock()
	var next *worker
	l.armed = 1 // no tick is earlier, so nobody sets the timer from inside
	l.wheel.advance(uint64(now/tickNanos), func(c *Context) {
		if w := c.fire(now); w != nil {
			next = w
		}
	})
	if l.armed = 0; l.wheel.n > 0 {
		l.setTimer(l.wheel.next(), now)
	}
	l.mu.Unlock()
	next.hand()
}

// offLoop is the same ctx for code that does not hold the loop: it has the end and the
// values, and no loop.
type offLoop Context

func (o *offLoop) Deadline() (time.Time, bool)           { return (*Context)(o).Deadline() }
func (o *offLoop) Done() <-chan struct{}                 { return (*Context)(o).Done() }
func (o *offLoop) Err() error                            { return (*Context)(o).Err() }
func (o *offLoop) AfterFunc(f func()) (stop func() bool) { return (*Context)(o).AfterFunc(f) }

func (o *offLoop) Value(key any) any {
	if _, ok := key.(interface{ FireflyLoop() }); ok {
		return nil
	}
	return o.job.Value(key)
}
