package gate

import (
	"sync"
	"time"
)

// tick is how coarse deadlines are.
const tick = 50 * time.Millisecond

// slots is how far the wheel reaches: 51 s. What is due later is looked at early and put back.
const slots = 1024

// watched is what the wheel looks after. due runs on the sweeper, without locks of the wheel;
// it gives the tick at which to look again, 0 for never.
type watched interface{ due(now int64) (again int64) }

// wheel calls due of what was put into it. It has no entry for a single command: a session
// with something unfinished stands in it once.
type wheel struct {
	mu    sync.Mutex
	now   int64 // the last tick that was swept
	slots [slots][]watched
	spare []watched
}

// add has w looked at in tick at, or sooner when that is far away; it gives the tick in which
// it really will be. A tick that has passed means the next one.
func (w *wheel) add(x watched, at int64) int64 {
	w.mu.Lock()
	at = min(max(at, w.now+1), w.now+slots-1)
	w.slots[at%slots] = append(w.slots[at%slots], x)
	w.mu.Unlock()
	return at
}

// sweep looks at all that is due up to tick now.
func (w *wheel) sweep(now int64) {
	for {
		w.mu.Lock()
		if w.now >= now {
			w.mu.Unlock()
			return
		}
		w.now++
		t := w.now
		list := w.slots[t%slots]
		w.slots[t%slots] = w.spare
		w.spare = nil
		w.mu.Unlock()
		for _, x := range list {
			if again := x.due(t); again != 0 {
				w.add(x, again)
			}
		}
		clear(list)
		if cap(list) <= 4096 {
			w.mu.Lock()
			w.spare = list[:0]
			w.mu.Unlock()
		}
	}
}
