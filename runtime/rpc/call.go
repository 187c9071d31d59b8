package rpc

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/mailbox"
	"github.com/firefly-go/firefly/runtime/transport"
)

// BatchKey is the key under which the ctx of a handler holds the *transport.Batch of its
// logic loop: with it a Call leaves at the end of the loop's turn, without it at once.
type BatchKey struct{}

var batchKey any = BatchKey{}

// call is a Call that waits. Who waits and the link's reader meet under mu.
type call struct {
	mu     sync.Mutex
	decode func([]byte) error
	err    error
	done   bool // the answer is there
	late   bool // h.Timeout passed
	gone   bool // nobody waits any more

	onLoop bool
	wait   mailbox.Wait    // of a handler
	ch     chan struct{}   // of a goroutine; holds one
	batch  transport.Batch // of a goroutine
	timer  *time.Timer     // of a Timeout shorter than the ctx's
}

// Complete implements Completion.
func (c *call) Complete(r Result, _ *transport.Batch) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gone {
		return
	}
	if r.Err != nil {
		c.err = r.Err
	} else if c.decode != nil {
		c.err = decoded(c.decode, r.Body)
	}
	c.done = true
	c.wake()
}

func decoded(decode func([]byte) error, body []byte) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &firefly.Error{Code: firefly.Internal, Message: fmt.Sprintf("decoding the reply panicked: %v", v)}
		}
	}()
	if err := decode(body); err != nil {
		return &firefly.Error{Code: firefly.Internal, Message: "the reply does not decode", Cause: err}
	}
	return nil
}

func (c *call) expire() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.done && !c.gone {
		c.late = true
		c.wake()
	}
}

// wake wakes who waits; mu is held, so that the call cannot have been used again.
func (c *call) wake() {
	if c.onLoop {
		c.wait.Wake()
		return
	}
	select {
	case c.ch <- struct{}{}:
	default:
	}
}

// Call sends a request and waits for its answer: it yields the logic loop when ctx has one,
// and blocks otherwise. decode, which may be nil, gets the body of the reply on the link's
// reader while the caller waits, or is not called at all. What is left until the deadline of
// ctx travels as h.Timeout, unless that is shorter; h is not changed.
//
// Every error is a *firefly.Error: those of Start, what the peer answered, Unknown (the link
// was lost), DeadlineExceeded, Canceled (ctx was cancelled, the loop stops).
func (l *Link) Call(ctx context.Context, h *Header, p Payload, decode func(body []byte) error) error {
	hdr := *h
	cut := false // h.Timeout ends the call before ctx does
	if at, ok := ctx.Deadline(); ok {
		left := time.Until(at)
		if left <= 0 {
			return l.ended(context.DeadlineExceeded)
		}
		cut = hdr.Timeout > 0 && hdr.Timeout < left
		if !cut {
			hdr.Timeout = left
		}
	} else {
		cut = hdr.Timeout > 0
	}
	if err := ctx.Err(); err != nil {
		return l.ended(err)
	}

	c, _ := l.pool.Get().(*call)
	if c == nil {
		c = &call{ch: make(chan struct{}, 1)}
	}
	c.decode, c.err, c.done, c.late, c.gone = decode, nil, false, false, false
	c.wait = mailbox.Wait{}
	loop := mailbox.From(ctx)
	c.onLoop = loop != nil

	var batch *transport.Batch
	if !c.onLoop {
		batch = &c.batch
	} else if loop.Own() {
		batch, _ = ctx.Value(batchKey).(*transport.Batch)
	}
	var id uint64
	if err := l.start(batch, &hdr, p, c, &id); err != nil {
		c.decode = nil
		l.pool.Put(c)
		return err
	}
	if cut {
		if c.timer == nil {
			c.timer = time.AfterFunc(hdr.Timeout, c.expire)
		} else {
			c.timer.Reset(hdr.Timeout)
		}
	}
	var err error
	if c.onLoop {
		err = loop.WaitIn(ctx, &c.wait)
	} else {
		if c.batch.Len() > 0 {
			// Others that are ready to call get to do it first, and all leave in one write.
			runtime.Gosched()
			c.batch.Flush()
		}
		select {
		case <-c.ch:
		default:
			select {
			case <-c.ch:
			case <-ctx.Done():
				err = ctx.Err()
			}
		}
	}
	return l.finish(c, id, err, cut)
}

// finish ends a call that was woken, or whose ctx ended with err.
func (l *Link) finish(c *call, id uint64, err error, timed bool) error {
	reuse := !timed || c.timer.Stop()
	c.mu.Lock()
	if c.done { // even when ctx ended meanwhile
		err = c.err
	} else {
		c.gone = true
		if c.late {
			err = context.DeadlineExceeded
		}
		err = l.ended(err)
		// Who is not forgotten here is being completed right now by the reader. Calls of a
		// Local link cannot be forgotten.
		reuse = reuse && l.local == nil && l.calls.take(id) != nil
	}
	c.decode = nil
	c.mu.Unlock()
	if reuse {
		select {
		case <-c.ch:
		default:
		}
		l.pool.Put(c)
	}
	return err
}

// ended is the error for a ctx that ended.
func (l *Link) ended(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return &firefly.Error{Code: firefly.DeadlineExceeded, Message: "no answer in time from " + l.peer.Node}
	}
	return &firefly.Error{Code: firefly.Canceled, Message: "the caller stopped waiting for " + l.peer.Node, Cause: err}
}
