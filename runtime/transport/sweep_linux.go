package transport

import (
	"sync"
	"time"
)

// warm are the connections that hold an input buffer of netpoll. A sweep gives back those of
// connections that have been quiet for a period: a buffer that is given back at each event
// and taken again at the next costs more than it saves.
type warm struct {
	mu   sync.Mutex
	list []*tcpConn
	on   bool // a sweep will come
}

const sweepPeriod = time.Second

func (w *warm) add(c *tcpConn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.list = append(w.list, c)
	if !w.on {
		w.on = true
		time.AfterFunc(sweepPeriod, w.sweep)
	}
}

func (w *warm) sweep() {
	w.mu.Lock()
	list := w.list
	w.list = nil
	w.mu.Unlock()
	kept := list[:0]
	for _, c := range list {
		if c.cool() {
			kept = append(kept, c)
		}
	}
	clear(list[len(kept):])
	w.mu.Lock()
	defer w.mu.Unlock()
	w.list = append(kept, w.list...)
	if w.on = len(w.list) > 0; w.on {
		time.AfterFunc(sweepPeriod, w.sweep)
	} else {
		w.list = nil
	}
}

// cool gives netpoll's buffer back if the connection has been quiet since the last sweep, and
// says whether it needs another look.
func (c *tcpConn) cool() (again bool) {
	if !c.in.TryLock() {
		return true
	}
	defer c.in.Unlock()
	if c.gone {
		return false
	}
	if c.touched {
		c.touched = false
		return true
	}
	c.warm = false
	_ = c.np.Reader().Release()
	return false
}
