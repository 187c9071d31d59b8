package mailbox

import (
	"context"
	"errors"
	"sync/atomic"
)

const (
	waitFresh   uint32 = iota
	waitParked         // a handler is parked on it
	waitForeign        // a goroutine that does not hold the loop blocks on it
	waitGone           // the ctx ended before
	waitLeft           // the derived ctx of WaitIn ended before
	waitWoken
)

// Wait is one completion that a handler waits for. The zero value is ready; it serves once
// and is embedded in the struct that describes the call.
type Wait struct {
	state atomic.Uint32
	c     *Context      // who is parked
	ch    chan struct{} // who blocks
}

// Wake completes w. Any goroutine may call it, before Wait, during it or after it has given
// up, and more than once. It never blocks.
func (w *Wait) Wake() {
	if s := w.state.Swap(waitWoken); s == waitParked || s == waitForeign {
		w.release(s, nil)
	}
}

// leave ends w with errLeft, unless it has ended.
func (w *Wait) leave() {
	for {
		s := w.state.Load()
		if s > waitForeign {
			return
		}
		if w.state.CompareAndSwap(s, waitLeft) {
			w.release(s, errLeft)
			return
		}
	}
}

// release lets the one go on who waits in state s. Only who has moved w on from s calls it.
func (w *Wait) release(s uint32, err error) {
	switch s {
	case waitParked:
		c := w.c
		l := c.l
		l.mu.Lock()
		c.unpark(err)
		next := l.resume(c)
		l.mu.Unlock()
		next.hand()
	case waitForeign:
		close(w.ch)
	}
}

// errLeft is what a Wait ends with when WaitIn knows the true error.
var errLeft = errors.New("mailbox: the derived ctx has ended")

// result is what Wait gives when w has ended in state s.
func (w *Wait) result(s uint32) error {
	if s == waitLeft {
		return errLeft
	}
	return nil
}

// WaitIn is Wait which also ends with ctx, for a ctx that was derived from c.
func (c *Context) WaitIn(ctx context.Context, w *Wait) error {
	if ctx == context.Context(c) {
		return c.Wait(w)
	}
	if done := ctx.Done(); done == nil || done == c.Done() {
		return c.Wait(w)
	}
	defer context.AfterFunc(ctx, w.leave)()
	err := c.Wait(w)
	if err == errLeft {
		return ctx.Err()
	}
	return err
}
