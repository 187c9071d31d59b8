package rpc

import (
	"sync"
	"sync/atomic"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/transport"
)

// local is what is behind a link of a process to itself: no queue, no table, no bytes on a
// wire. Bodies are encoded all the same, so that roles in one process share no messages.
type local struct {
	handler Handler
	closed  atomic.Bool
	calls   sync.Pool // *LocalCall
	scratch sync.Pool // *scratch
}

// LocalCall is the place of one call of a Local link. It is used again; use counts its uses, so
// that a second reply to the same call finds that it has moved on. The zero value is ready.
type LocalCall struct {
	use atomic.Uint64
	c   Completion
	own Forwarded // whose field this is; set once. nil: the place comes from the pool, and c is set
}

// scratch is what a message stands in while it is served.
type scratch struct {
	hdr Header
	buf []byte
}

// maxScratch is the largest buffer that is kept.
const maxScratch = 64 << 10

// Local is the link of a process to itself: Start calls h.Serve at once on the same
// goroutine, and a Reply calls the Completion on its own. So the caller must hold no lock
// that either takes. There is no limit but that of a frame.
func Local(self Identity, h Handler) *Link {
	l := &Link{o: Options{Self: self}.withDefaults(), peer: self, local: &local{handler: h}}
	l.phase.Store(up)
	return l
}

// start serves a message; c is nil for a one-way message.
func (o *local) start(l *Link, batch *transport.Batch, h *Header, p Payload, c Completion) *firefly.Error {
	if o.closed.Load() {
		return errUnavailable
	}
	if len(h.Target) > maxTarget {
		return errTarget
	}
	s := o.take()
	defer o.put(s)
	body, err := s.encode(p, l.o.MaxFrame)
	if err != nil {
		return err
	}
	s.hdr = *h
	var reply Reply
	if c != nil {
		call, _ := o.calls.Get().(*LocalCall)
		if call == nil {
			call = &LocalCall{}
		}
		call.c = c
		reply = Reply{link: l, id: call.use.Load(), local: call}
	}
	l.serveLocal(&s.hdr, body, reply, batch)
	return nil
}

// forward serves a message where it stands.
func (o *local) forward(l *Link, batch *transport.Batch, h *Header, body []byte, c Forwarded) *firefly.Error {
	if o.closed.Load() {
		return errUnavailable
	}
	if len(h.Target) > maxTarget {
		return errTarget
	}
	if limit := l.o.MaxFrame - maxHeader; len(body) > limit {
		return tooLarge(len(body), limit)
	}
	call := c.Place()
	if call.own == nil {
		call.own = c
	}
	l.serveLocal(h, body, Reply{link: l, id: call.use.Load(), local: call}, batch)
	return nil
}

// serveLocal is serve with the header that a panic is reported with.
func (l *Link) serveLocal(h *Header, body []byte, reply Reply, batch *transport.Batch) {
	defer func() {
		if v := recover(); v != nil {
			l.panicked("Serve", h, v)
			reply.Fail(batch, errPanicked)
		}
	}()
	l.local.handler.Serve(l, h, body, reply, batch)
}

func (o *local) take() *scratch {
	s, _ := o.scratch.Get().(*scratch)
	if s == nil {
		s = &scratch{}
	}
	return s
}

func (o *local) put(s *scratch) {
	if cap(s.buf) > maxScratch {
		s.buf = nil
	}
	s.hdr = Header{}
	o.scratch.Put(s)
}

func (s *scratch) encode(p Payload, maxFrame int) (body []byte, err *firefly.Error) {
	if p.Msg == nil {
		if limit := maxFrame - maxHeader; len(p.Raw) > limit {
			return nil, tooLarge(len(p.Raw), limit)
		}
		return p.Raw, nil
	}
	defer func() {
		if v := recover(); v != nil {
			err = notEncoded(v)
		}
	}()
	body, err = appendBody(s.buf[:0], p, maxFrame-maxHeader)
	if err == nil {
		s.buf = body
	}
	return body, err
}

// finish gives the Completion of the call, if this reply is its first.
func (call *LocalCall) finish(r Reply) Completion {
	if !call.use.CompareAndSwap(r.id, r.id+1) {
		return nil
	}
	if call.own != nil {
		return call.own
	}
	c := call.c
	call.c = nil
	r.link.local.calls.Put(call)
	return c
}

func (call *LocalCall) send(r Reply, batch *transport.Batch, p Payload) {
	if c := call.own; c != nil && p.Msg != nil {
		if call.finish(r) != nil {
			r.link.completeMessage(c, p.Msg, batch)
		}
		return
	}
	o := r.link.local
	s := o.take()
	defer o.put(s)
	body, err := s.encode(p, r.link.o.MaxFrame)
	if err != nil {
		r.link.o.Log.Error("a reply cannot be sent", "error", err)
		call.fail(r, batch, errBadReply)
		return
	}
	if c := call.finish(r); c != nil {
		r.link.complete(c, Result{Body: body}, batch)
	}
}

func (call *LocalCall) fail(r Reply, batch *transport.Batch, e *firefly.Error) {
	if e.Cause != nil { // it never travels
		e = &firefly.Error{Code: e.Code, Message: e.Message}
	}
	if c := call.finish(r); c != nil {
		r.link.complete(c, Result{Err: e}, batch)
	}
}

func (o *local) close(l *Link, err error) {
	if !o.closed.CompareAndSwap(false, true) {
		return
	}
	if err == nil {
		err = ErrClosed
	}
	l.mu.Lock()
	l.cause = err
	l.mu.Unlock()
	defer l.recovered("Down", nil)
	o.handler.Down(l, err)
}
