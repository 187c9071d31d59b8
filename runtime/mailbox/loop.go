package mailbox

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// ErrOverloaded: the loop holds as many tasks as its Limit; nothing was executed.
var ErrOverloaded = errors.New("mailbox: overloaded")

// ErrClosed: the loop drains or is closed; the task was not touched and will not be.
var ErrClosed = errors.New("mailbox: closed")

// ErrExpired: the deadline of a task passed before it could be started.
var ErrExpired = errors.New("mailbox: deadline passed before the handler was started")

// ErrStopped: the loop was closed. It is what every ctx of it ends with.
var ErrStopped = errors.New("mailbox: the loop has stopped")

// Options of a Loop; the zero value works.
type Options struct {
	// Name of the loop in reports.
	Name string
	// Limit of tasks that have not returned, be they queued, running or parked; default
	// 10000, below 0 none. SubmitFree and Context.Go are exempt.
	Limit int
	// Timeout is the deadline, counted from its start, of a task that has none of its own.
	// Zero: none.
	Timeout time.Duration
	// Slow is how long a handler may hold the loop before it is reported; default 200 ms,
	// below 0 never.
	Slow time.Duration
	// OnSlow is told once of each handler that holds the loop too long, on a goroutine of
	// its own while the handler still holds it.
	OnSlow func(SlowReport)
	// Strict makes a yield from a goroutine that does not hold the loop panic, naming the
	// line. Otherwise it runs off the loop and is counted.
	Strict bool
	// Turn is called on the loop when a turn ends: nothing is left to run, or 64 handlers
	// or 200 us have passed. It must not block; links flush there.
	Turn func()
	// OnPanic is told, on the loop, of a panic that was contained. t is nil when it was not
	// a handler's.
	OnPanic func(t *Task, v any, stack []byte)
}

const (
	defaultLimit = 10000
	defaultSlow  = 200 * time.Millisecond

	turnTasks = 64
	turnTime  = int64(200 * time.Microsecond)
)

// Stats is a glance at a Loop.
type Stats struct {
	Queued        int   // submitted, not yet started
	Parked        int   // started and waiting, off the loop
	Done          int64 // returned, panicked ones among them
	Expired       int64 // refused with ErrExpired
	Stopped       int64 // refused with ErrStopped
	Overloaded    int64 // Submit said ErrOverloaded
	Panics        int64 // contained
	ForeignYields int64 // yields from goroutines that did not hold the loop
	Slow          int64 // handlers that held the loop too long
	Turns         int64 // ended turns
	Goroutines    int   // alive, idle ones among them
	Idle          int   // goroutines that wait for work
}

// Loop runs tasks one at a time. It is made by New and ended by Close.
type Loop struct {
	o    Options
	base time.Time // the loop counts nanoseconds from here

	// Whoever holds the loop has these; handing the loop over orders them.
	local     list  // the batch that was taken from inbox
	heirs     list  // first of their lane since the former has returned
	now       int64 // the clock as last read; it lags by 8 quick handlers at most
	clockIn   int   // handlers until it is read again
	stride    int   // and from then on
	turn      int   // handlers run, begun or resumed, since the last turn ended
	turnStart int64

	_ [64]byte // what producers write stands on other cache lines

	// Written under mu or by the holder, read by anybody.
	alert    atomic.Bool  // ready is not empty, or the watch has ended
	stopAt   atomic.Int64 // when Close was called; 0 before
	holder   atomic.Pointer[worker]
	switches atomic.Uint64 // times the loop changed hands
	out      atomic.Uint64 // tasks under the Limit that were done with
	freeOut  atomic.Uint64 // those exempt from it
	expired  atomic.Int64
	stopped  atomic.Int64
	panics   atomic.Int64
	foreigns atomic.Int64
	turns    atomic.Int64

	_ [64]byte

	mu         sync.Mutex
	held       bool // somebody holds the loop, or it is on its way to somebody
	closed     bool
	draining   bool
	inbox      list
	ready      list   // parked handlers whose wait is over
	in         uint64 // tasks under the Limit that were taken
	freeIn     uint64 // those exempt from it
	overloaded int64
	parked     int
	drains     []chan struct{} // closed when all have returned

	wheel wheel
	timer *time.Timer // fires the wheel; made on first use, stopped by Close
	armed uint64      // tick that timer stands at, 0 none

	workers  int
	idle     *worker // stack, the warmest on top
	idleN    int
	idleLow  int // fewest idle workers in this period of decay
	decay    *time.Timer
	decaying bool

	watch watch
}

// New makes a loop; it has no goroutine until something is submitted.
func New(o Options) *Loop {
	if o.Limit == 0 {
		o.Limit = defaultLimit
	}
	if o.Slow == 0 {
		o.Slow = defaultSlow
	}
	// The clock begins at one tick, so that 0 can mean never.
	return &Loop{o: o, base: time.Now().Add(-tickNanos), stride: 1}
}

// clock is the time in nanoseconds on the loop's own scale.
func (l *Loop) clock() int64 { return int64(time.Since(l.base)) }

// Submit queues t. Any goroutine may call it; it never blocks. ErrOverloaded or ErrClosed:
// t was not touched and will not be.
func (l *Loop) Submit(t *Task) error {
	wake, err := l.queue(&t.ctx, false, false)
	if wake {
		l.Flush()
	}
	return err
}

// SubmitFree is Submit for what must run whatever the load: hooks and timers. Such tasks do
// not count towards the Limit.
func (l *Loop) SubmitFree(t *Task) error {
	wake, err := l.queue(&t.ctx, true, false)
	if wake {
		l.Flush()
	}
	return err
}

// Post is Submit that leaves it to the caller to wake the loop: after true, Flush must be
// called soon. A reader that posts all requests of one readable event and flushes once wakes
// one goroutine instead of one per request, and the replies leave in one turn.
func (l *Loop) Post(t *Task) (wake bool, err error) { return l.queue(&t.ctx, false, false) }

// Flush wakes the loop if it has work and nobody does it. Any goroutine may call it.
func (l *Loop) Flush() {
	var w *worker
	l.mu.Lock()
	if !l.held && !l.inbox.empty() {
		l.held = true
		l.watchLocked()
		w = l.worker()
	}
	l.mu.Unlock()
	w.hand()
}

// queue puts c into the inbox and tells whether nobody is there to see it.
func (l *Loop) queue(c *Context, free, drainToo bool) (wake bool, err error) {
	if c.job == nil || c.l != nil {
		panic("mailbox: a task was submitted without Init, or twice")
	}
	var due int64
	if !c.deadline.IsZero() {
		due = max(int64(c.deadline.Sub(l.base)), 1)
	}
	l.mu.Lock()
	if l.closed || (l.draining && !drainToo) {
		l.mu.Unlock()
		return false, ErrClosed
	}
	if free {
		l.freeIn++
	} else {
		if l.o.Limit > 0 && l.in-l.out.Load() >= uint64(l.o.Limit) {
			l.overloaded++
			l.mu.Unlock()
			return false, ErrOverloaded
		}
		l.in++
	}
	c.l = l
	c.due = due
	c.free = free
	if c.lane != nil {
		c.lane.n.Add(1)
	}
	l.inbox.push(c)
	wake = !l.held
	l.mu.Unlock()
	return wake, nil
}

// outstanding is how many tasks have not returned. With mu.
func (l *Loop) outstanding() int {
	return int(l.in - l.out.Load() + l.freeIn - l.freeOut.Load())
}

// Drain refuses new tasks, but those that handlers begin by Context.Go, and waits until all
// have returned. After Close it also waits for the loop's goroutines. The error is ctx's.
// A handler must not call it on its own loop.
func (l *Loop) Drain(ctx context.Context) error {
	drained := make(chan struct{})
	l.mu.Lock()
	l.draining = true
	l.drains = append(l.drains, drained)
	l.settle()
	l.mu.Unlock()
	select {
	case <-drained:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// settle answers Drain when nothing is left. With mu.
func (l *Loop) settle() {
	if len(l.drains) == 0 || l.held || l.outstanding() > 0 || (l.closed && l.workers > 0) {
		return
	}
	for _, d := range l.drains {
		close(d)
	}
	l.drains = nil
}

// Close ends the ctx of every task with ErrStopped, wakes parked handlers and refuses what
// has not started. It does not wait; Drain does. Any goroutine may call it, also twice.
func (l *Loop) Close() {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return
	}
	l.closed = true
	l.stopAt.Store(l.clock())
	if l.timer != nil {
		l.timer.Stop()
	}
	if l.decay != nil {
		l.decay.Stop()
	}
	l.wheel.drain(func(c *Context) { c.stop() })
	for l.idle != nil {
		w := l.popIdle()
		w.ch <- false
	}
	var next *worker
	if !l.held {
		l.held = true
		next = l.pass()
	}
	l.mu.Unlock()
	next.hand()
}

// Stats may be called by any goroutine.
func (l *Loop) Stats() Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := Stats{
		Parked:        l.parked,
		Expired:       l.expired.Load(),
		Stopped:       l.stopped.Load(),
		Overloaded:    l.overloaded,
		Panics:        l.panics.Load(),
		ForeignYields: l.foreigns.Load(),
		Slow:          l.watch.incidents,
		Turns:         l.turns.Load(),
		Goroutines:    l.workers,
		Idle:          l.idleN,
	}
	s.Done = int64(l.out.Load()+l.freeOut.Load()) - s.Expired - s.Stopped
	s.Queued = l.outstanding() - l.parked
	if w := l.holder.Load(); l.held && w != nil && w.cur.Load() != nil {
		s.Queued--
	}
	s.Queued = max(s.Queued, 0)
	return s
}
