package mailbox

import (
	"bytes"
	"runtime"
	"strconv"
	"time"
)

// SlowReport tells of a handler that holds the loop.
type SlowReport struct {
	Loop  string        // Options.Name
	Task  string        // name of the task
	Held  time.Duration // how long so far, at least
	Stack []byte        // of the goroutine that holds the loop; nil when dumps are backed off
}

// watch looks four times per Options.Slow whether the loop goes on. It looks only while
// somebody holds the loop, so that nothing ticks while it is idle. Loop.mu guards it.
type watch struct {
	on        bool
	timer     *time.Timer
	seen      sample
	since     int64 // when it was seen first
	incidents int64

	// A dump stops the world, for 54 ms with 10,000 parked handlers, so dumps keep a
	// distance that doubles while they go on.
	nextDump int64
	gap      time.Duration
}

const (
	minDumpGap = time.Second
	maxDumpGap = time.Minute
)

// sample is the state of a loop; as long as it is equal, one handler holds the loop.
type sample struct {
	w        *worker
	c        *Context
	switches uint64
	done     uint64
}

// watchLocked begins to look, unless it does. With mu.
func (l *Loop) watchLocked() {
	w := &l.watch
	if w.on || l.o.Slow < 0 {
		return
	}
	w.on = true
	w.seen = sample{}
	if w.timer == nil {
		w.timer = time.AfterFunc(l.o.Slow/4, l.look)
	} else {
		w.timer.Reset(l.o.Slow / 4)
	}
}

// look is the call of watch's timer.
func (l *Loop) look() {
	w := &l.watch
	l.mu.Lock()
	now := l.clock()
	s := sample{w: l.holder.Load(), switches: l.switches.Load(), done: l.out.Load() + l.freeOut.Load()}
	if s.w != nil {
		s.c = s.w.cur.Load()
	}
	switch same := s == w.seen; {
	case same && !l.held:
		w.on = false
		w.seen = sample{}
		l.mu.Unlock()
		return
	case !same || s.c == nil:
		w.seen, w.since = s, now
		fallthrough
	case now-w.since < int64(l.o.Slow):
		w.timer.Reset(l.o.Slow / 4)
		l.mu.Unlock()
		return
	}
	// The next look at this handler would tell nothing new; who holds the loop after it
	// begins the watch anew.
	w.on = false
	l.alert.Store(true)
	w.seen = sample{}
	w.incidents++
	report := SlowReport{Loop: l.o.Name, Task: s.c.name, Held: time.Duration(now - w.since)}
	dump := l.o.OnSlow != nil && now >= w.nextDump
	l.mu.Unlock()

	if dump {
		report.Stack = stackOf(s.w.id)
		took := l.clock() - now
		l.mu.Lock()
		if w.gap == 0 || now > w.nextDump+int64(10*w.gap) {
			w.gap = minDumpGap
		} else {
			w.gap = min(2*w.gap, maxDumpGap)
		}
		w.nextDump = now + max(int64(w.gap), 100*took)
		l.mu.Unlock()
	}
	if l.o.OnSlow != nil {
		l.o.OnSlow(report)
	}
}

// stackOf is the stack of one goroutine, cut from a dump of all: the runtime gives a
// goroutine only its own or everybody's.
func stackOf(id uint64) []byte {
	head := []byte("goroutine " + strconv.FormatUint(id, 10) + " ")
	for size := 1 << 20; ; size *= 8 {
		buf := make([]byte, size)
		n := runtime.Stack(buf, true)
		b := buf[:n]
		for len(b) > 0 {
			one, rest, whole := bytes.Cut(b, []byte("\n\n"))
			if bytes.HasPrefix(one, head) && (whole || n < size) {
				return bytes.Clone(one)
			}
			b = rest
		}
		if n < size || size >= 64<<20 {
			return nil
		}
	}
}
