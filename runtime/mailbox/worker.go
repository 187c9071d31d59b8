package mailbox

import (
	"errors"
	"runtime/debug"
	"sync/atomic"
	"time"
)

// ErrGoexit is what Job.Panicked is told when a handler ended its goroutine by
// runtime.Goexit, as testing.T.FailNow does.
var ErrGoexit = errors.New("mailbox: the handler ended its goroutine")

const (
	keepIdle    = 2 // idle workers that are never given back before Close
	decayPeriod = 10 * time.Second
)

// worker is one goroutine that can hold the loop. It is in one of three places: it holds
// the loop, it runs a handler that has yielded, or it stands in the idle stack. The role of
// the holder comes over ch, which nobody sends to twice before it was read, so a send never
// blocks.
type worker struct {
	l    *Loop
	ch   chan bool               // true: you hold the loop; false: leave
	g    uintptr                 // the goroutine, as goroutine() tells it
	id   uint64                  // the goroutine, as stack dumps name it
	cur  atomic.Pointer[Context] // the handler that it runs, or ran last while it holds the loop
	off  bool                    // its handler has yielded; its own goroutine only
	has  bool                    // it got the loop and did not rest since; its own goroutine only
	quit bool                    // the loop is closed; its own goroutine only
	next *worker                 // in the idle stack; under Loop.mu
}

// hand gives the loop to w, which may be nil: nobody needs it.
func (w *worker) hand() {
	if w != nil {
		w.ch <- true
	}
}

// worker takes an idle worker or makes one. With mu.
func (l *Loop) worker() *worker {
	if l.idle != nil {
		return l.popIdle()
	}
	l.workers++
	w := &worker{l: l, ch: make(chan bool, 1)}
	go w.main()
	return w
}

func (l *Loop) popIdle() *worker {
	w := l.idle
	l.idle, w.next = w.next, nil
	l.idleN--
	l.idleLow = min(l.idleLow, l.idleN)
	return w
}

// rest puts w, which goes off the loop, on the idle stack, or sends it home. With mu.
func (l *Loop) rest(w *worker) {
	w.has = false
	w.cur.Store(nil)
	if l.closed {
		w.quit = true
		return
	}
	w.next, l.idle = l.idle, w
	l.idleN++
	if l.idleN > keepIdle && !l.decaying {
		l.decaying = true
		l.idleLow = l.idleN
		if l.decay == nil {
			l.decay = time.AfterFunc(decayPeriod, l.shrink)
		} else {
			l.decay.Reset(decayPeriod)
		}
	}
}

// shrink gives back a quarter of the workers that were idle for a whole period, so that the
// stack stays as large as the recent peak of parked handlers: a new goroutine costs twice
// what a parked one does.
func (l *Loop) shrink() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return
	}
	if surplus := l.idleLow - keepIdle; surplus > 0 {
		for range (surplus + 3) / 4 {
			w := l.popIdle()
			w.ch <- false
		}
	}
	l.idleLow = l.idleN
	if l.decaying = l.idleN > keepIdle; l.decaying {
		l.decay.Reset(decayPeriod)
	}
}

// pass picks who holds the loop after the caller, which holds it: a resumed handler, else a
// worker for what is queued, else nobody. With mu; hand is called on the result without.
func (l *Loop) pass() *worker {
	if c := l.popReady(); c != nil {
		l.watchLocked()
		return c.w
	}
	if !l.heirs.empty() || !l.local.empty() || !l.inbox.empty() {
		l.watchLocked()
		return l.worker()
	}
	l.held = false
	l.settle()
	return nil
}

// resume makes a parked handler go on: at once when nobody holds the loop, in its turn
// otherwise. With mu; hand is called on the result without.
func (l *Loop) resume(c *Context) *worker {
	if !l.held {
		l.held = true
		l.parked--
		l.watchLocked()
		return c.w
	}
	l.ready.push(c)
	l.alert.Store(true)
	return nil
}

func (l *Loop) popReady() *Context {
	c := l.ready.pop()
	if c != nil {
		l.parked--
		if l.ready.empty() {
			l.alert.Store(false)
		}
	}
	return c
}

// taken is what a goroutine does first when it has got the loop.
func (l *Loop) taken(w *worker) {
	l.holder.Store(w)
	l.switches.Add(1)
	l.clockIn = 0
}

func (w *worker) main() {
	w.g = goroutine()
	w.id = goroutineID()
	defer w.left()
	for <-w.ch {
		w.has = true
		w.l.taken(w)
		for !w.serve() {
		}
		if w.quit {
			return
		}
	}
}

// left runs when the goroutine ends, also when a handler ended it with the loop in hand.
func (w *worker) left() {
	l := w.l
	l.mu.Lock()
	l.workers--
	var next *worker
	if w.has {
		if l.turn > 0 {
			next = l.worker() // it ends the turn, if nothing else
		} else {
			next = l.pass()
		}
	}
	l.settle()
	l.mu.Unlock()
	next.hand()
}

// serve runs tasks until the loop has gone to somebody else or there is nothing to do. It
// gives false, with the loop still in hand, after it has contained a panic: the recover
// stands around the loop and not around each task, which would cost every task.
func (w *worker) serve() (gone bool) {
	l := w.l
	defer w.contain(&gone)
	for {
		if l.alert.Load() && w.yieldToReady() {
			return true
		}
		if l.clockIn--; l.clockIn <= 0 {
			l.readClock()
		}
		c := l.heirs.pop()
		if c == nil {
			c = l.local.pop()
			if c == nil {
				if w.refill() {
					continue
				}
				return true
			}
			if lane := c.lane; lane != nil {
				if lane.busy {
					lane.waiting.push(c)
					continue
				}
				lane.busy = true
			}
		}
		if l.stopAt.Load() != 0 {
			l.refuse(c, ErrStopped)
			continue
		}
		if c.due == 0 {
			if l.o.Timeout > 0 {
				c.due = l.now + int64(l.o.Timeout)
			}
		} else if c.due <= l.now {
			l.refuse(c, ErrExpired)
			continue
		}
		c.w = w
		w.cur.Store(c)
		c.job.Run(c)
		l.finish(c)
		if l.turn++; l.turn >= turnTasks {
			l.endTurn()
		}
	}
}

// yieldToReady hands the loop to the first resumed handler, if that is why there was an
// alert, and gives false otherwise.
func (w *worker) yieldToReady() bool {
	l := w.l
	if l.turn >= turnTasks {
		l.endTurn()
	}
	l.mu.Lock()
	l.watchLocked()
	c := l.popReady()
	if c == nil {
		l.alert.Store(false)
		l.mu.Unlock()
		return false
	}
	l.rest(w)
	l.mu.Unlock()
	c.w.hand()
	return true
}

// refill takes the inbox as a whole. When there is nothing in it, it ends the turn, and when
// there is still nothing it lets the loop go and gives false.
func (w *worker) refill() bool {
	l := w.l
	l.mu.Lock()
	if l.inbox.empty() && l.ready.empty() {
		if l.turn > 0 {
			l.mu.Unlock()
			l.endTurn()
			return true
		}
		l.held = false
		l.rest(w)
		l.settle()
		l.mu.Unlock()
		return false
	}
	l.local, l.inbox = l.inbox, list{}
	l.mu.Unlock()
	l.clockIn, l.stride = 0, 1
	return true
}

// readClock reads the clock after every handler while they are slow, and after 8 while
// they are quick, since reading it costs as much as running an empty one.
func (l *Loop) readClock() {
	now := l.clock()
	if now-l.now > int64(20*time.Microsecond) {
		l.stride = 1
	} else {
		l.stride = min(l.stride*2, 8)
	}
	l.now = now
	l.clockIn = l.stride
	switch {
	case l.turn == 0:
		l.turnStart = l.now
	case l.now-l.turnStart >= turnTime:
		l.endTurn()
	}
}

func (l *Loop) endTurn() {
	l.turn = 0
	l.turns.Store(l.turns.Load() + 1)
	if l.o.Turn != nil {
		l.guard(l.o.Turn)
		l.now = l.clock()
	}
	l.turnStart = l.now
}

// beforeYield ends the turn when it is long enough, or when nothing but the caller would
// have been in it: what the caller is going to wait for may have to be flushed first.
func (l *Loop) beforeYield() {
	l.turn++
	l.now = l.clock()
	due := l.turn >= turnTasks || l.now-l.turnStart >= turnTime
	if !due && l.heirs.empty() && l.local.empty() {
		// Only the holder takes away from these, so what is seen here stays.
		l.mu.Lock()
		due = l.ready.empty() && l.inbox.empty()
		l.mu.Unlock()
	}
	if due {
		l.endTurn()
	}
}

// finish is the end of a task that ran or was refused, on the loop.
func (l *Loop) finish(c *Context) {
	c.over = true
	if c.end.Load() != nil {
		c.returned()
	}
	if lane := c.lane; lane != nil {
		if heir := lane.waiting.pop(); heir != nil {
			l.heirs.push(heir)
		} else {
			lane.busy = false
		}
		lane.n.Add(-1)
	}
	if c.free {
		l.freeOut.Add(1)
	} else {
		l.out.Store(l.out.Load() + 1) // one writer, cheaper than Add
	}
}

func (l *Loop) refuse(c *Context, err error) {
	if err == ErrExpired {
		l.expired.Add(1)
	} else {
		l.stopped.Add(1)
	}
	l.turn++
	defer l.finish(c)
	l.guard(func() { c.job.Refused(err) })
}

// contain ends the task whose handler panicked or left its goroutine. The goroutine holds
// the loop: whatever a handler does off the loop takes it back before the panic goes on.
func (w *worker) contain(gone *bool) {
	if *gone {
		return
	}
	l, c := w.l, w.cur.Load()
	v := recover()
	if v == nil {
		v = ErrGoexit
	}
	if c == nil || c.over {
		return // it was not a handler that left the goroutine, but a call to the layers above
	}
	l.panics.Add(1)
	l.turn++
	defer l.finish(c)
	stack := debug.Stack()
	l.guard(func() {
		if l.o.OnPanic != nil {
			l.o.OnPanic(c.task, v, stack)
		}
	})
	l.guard(func() { c.job.Panicked(v) })
}

// guard calls code of the layers above that must not take the loop down. When that code
// ends the goroutine, left hands the loop on.
func (l *Loop) guard(f func()) {
	defer func() {
		if v := recover(); v != nil {
			l.panics.Add(1)
			if l.o.OnPanic != nil {
				defer func() { _ = recover() }() // a report that cannot be made has nowhere to go
				l.o.OnPanic(nil, v, debug.Stack())
			}
		}
	}()
	f()
}
