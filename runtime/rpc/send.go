package rpc

import (
	"encoding/binary"
	"fmt"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/transport"
)

// Errors that every call may meet. They are shared, so nobody changes them.
var (
	errUnknown     = &firefly.Error{Code: firefly.Unknown, Message: "the node was lost before it answered"}
	errUnavailable = &firefly.Error{Code: firefly.Unavailable, Message: "the link is down"}
	errOverloaded  = &firefly.Error{Code: firefly.Overloaded, Message: "too much waits for the node"}
	errPanicked    = &firefly.Error{Code: firefly.Internal, Message: "the handler panicked"}
	errTarget      = &firefly.Error{Code: firefly.InvalidArgument, Message: "the target is longer than 255 bytes"}
	errBadReply    = &firefly.Error{Code: firefly.Internal, Message: "the reply cannot be sent"}
)

// Start sends a request; c gets the answer. An error (a *firefly.Error) says that it was
// surely not sent and that c will not be called: Overloaded (too much waits for the peer),
// Unavailable (the link is down), InvalidArgument (too large, or it does not encode). The
// link does not watch h.Timeout. When the link is lost, c gets Unknown. A nil batch sends now.
// On a Local link the Handler has been called when Start returns, and maybe c too.
func (l *Link) Start(batch *transport.Batch, h *Header, p Payload, c Completion) error {
	if err := l.start(batch, h, p, c, nil); err != nil {
		return err
	}
	return nil
}

// start is Start; id gets the name of the call, for calls.take.
func (l *Link) start(batch *transport.Batch, h *Header, p Payload, c Completion, id *uint64) *firefly.Error {
	if l.local != nil {
		return l.local.start(l, batch, h, p, c)
	}
	if l.phase.Load() != up {
		return errUnavailable
	}
	if err := l.room(); err != nil {
		return err
	}
	call, ok := l.calls.add(c)
	if !ok {
		if l.phase.Load() != up {
			return errUnavailable
		}
		return errOverloaded
	}
	if id != nil {
		*id = call
	}
	if err := l.put(batch, frameRequest, call, h, p); err != nil && l.calls.take(call) != nil {
		return err
	}
	return nil // an error that came with the loss of the link has been given to c
}

// Forward is Start for a body that stands in a buffer of the caller's. On a Local link header
// and body are served where they stand and the call stands in c, so nothing is copied or taken
// from a pool. Neither may change before Forward has returned, though c may have been called.
func (l *Link) Forward(batch *transport.Batch, h *Header, body []byte, c Forwarded) error {
	var err *firefly.Error
	if l.local != nil {
		err = l.local.forward(l, batch, h, body, c)
	} else {
		err = l.start(batch, h, Payload{Raw: body}, c, nil)
	}
	if err != nil {
		return err
	}
	return nil
}

// Send sends a one-way message; errors are as of Start. Without an error it was queued, no
// more.
func (l *Link) Send(batch *transport.Batch, h *Header, p Payload) error {
	var err *firefly.Error
	if l.local != nil {
		err = l.local.start(l, batch, h, p, nil)
	} else if l.phase.Load() != up {
		err = errUnavailable
	} else if err = l.room(); err == nil {
		err = l.put(batch, frameOneWay, 0, h, p)
	}
	if err != nil {
		return err
	}
	return nil
}

// room says whether less than the limits waits for the peer. Several senders at once may go
// over them by a frame each.
func (l *Link) room() *firefly.Error {
	if bytes, frames := l.q.Pending(); bytes < l.o.MaxBytes && frames < l.o.MaxFrames {
		return nil
	}
	l.q.Flush()
	if bytes, frames := l.q.Pending(); bytes < l.o.MaxBytes && frames < l.o.MaxFrames {
		return nil
	}
	return errOverloaded
}

// put encodes a frame into the queue.
func (l *Link) put(batch *transport.Batch, typ byte, call uint64, h *Header, p Payload) *firefly.Error {
	if h != nil && len(h.Target) > maxTarget {
		return errTarget
	}
	buf, err := l.q.Begin()
	switch err {
	case nil:
	case transport.ErrFull:
		return errOverloaded
	default:
		return errUnavailable
	}
	out, bad := encode(buf, typ, call, h, p, l.o.MaxFrame)
	if bad != nil {
		l.q.Commit(buf, batch)
		return bad
	}
	l.q.Commit(out, batch)
	return nil
}

// encode appends a frame to buf. It runs under the queue's lock, so that a message is written
// once, where it leaves from; a message that panics must not keep that lock.
func encode(buf []byte, typ byte, call uint64, h *Header, p Payload, maxFrame int) (out []byte, err *firefly.Error) {
	defer func() {
		if v := recover(); v != nil {
			err = notEncoded(v)
		}
	}()
	at := len(buf)
	out = begin(buf, typ)
	if typ != frameOneWay {
		out = binary.BigEndian.AppendUint64(out, call)
	}
	if h != nil {
		out = appendHeader(out, h)
	}
	if out, err = appendBody(out, p, maxFrame-maxHeader); err != nil {
		return nil, err
	}
	end(out, at)
	return out, nil
}

func appendBody(out []byte, p Payload, limit int) ([]byte, *firefly.Error) {
	if p.Msg == nil {
		if len(p.Raw) > limit {
			return nil, tooLarge(len(p.Raw), limit)
		}
		return append(out, p.Raw...), nil
	}
	size := p.Msg.SizeVT()
	if size > limit {
		return nil, tooLarge(size, limit)
	}
	n := len(out)
	out = grow(out, size)
	wrote, err := p.Msg.MarshalToSizedBufferVT(out[n : n+size])
	if err != nil || wrote != size {
		return nil, &firefly.Error{Code: firefly.InvalidArgument, Message: "the message does not encode", Cause: err}
	}
	return out, nil
}

// grow makes b longer by n bytes of any content.
func grow(b []byte, n int) []byte {
	if cap(b)-len(b) >= n {
		return b[:len(b)+n]
	}
	return append(b, make([]byte, n)...)
}

func notEncoded(v any) *firefly.Error {
	return &firefly.Error{Code: firefly.InvalidArgument, Message: fmt.Sprintf("the message does not encode: %v", v)}
}

func tooLarge(size, limit int) *firefly.Error {
	return &firefly.Error{Code: firefly.InvalidArgument,
		Message: fmt.Sprintf("a message of %d bytes; at most %d go between nodes", size, limit)}
}

// Reply answers one request: Send or Fail, once, on any goroutine, at any time; what comes
// after the first is dropped by the peer. It is a value to keep; the zero Reply belongs to a
// one-way message and does nothing. An answer for a link that is gone is dropped.
type Reply struct {
	link  *Link
	id    uint64     // the peer's name of the call, or the use of local
	local *LocalCall // of a Local link
}

// OneWay reports whether nobody waits for an answer.
func (r Reply) OneWay() bool { return r.link == nil }

// Send answers with a body. One that cannot be sent (too large, does not encode) becomes
// Internal at the caller and an error in the log here.
func (r Reply) Send(batch *transport.Batch, p Payload) {
	switch {
	case r.link == nil:
	case r.local != nil:
		r.local.send(r, batch, p)
	default:
		if err := r.link.put(batch, frameReply, r.id, nil, p); err != nil {
			r.unsent(batch, err)
		}
	}
}

// unsent sees to it that the caller is not left without an answer.
func (r Reply) unsent(batch *transport.Batch, err *firefly.Error) {
	switch err {
	case errUnavailable: // the caller knows by itself
	case errOverloaded:
		r.link.fail(ErrStalled)
	default:
		r.link.o.Log.Error("a reply cannot be sent", "peer", r.link.peer.Node, "error", err)
		r.Fail(batch, errBadReply)
	}
}

// Fail answers with an error; its Cause stays here.
func (r Reply) Fail(batch *transport.Batch, e *firefly.Error) {
	if r.link == nil {
		return
	}
	if e == nil || e.Code == firefly.OK {
		e = &firefly.Error{Code: firefly.Internal, Message: "failed without a code"}
	}
	if r.local != nil {
		r.local.fail(r, batch, e)
		return
	}
	buf, err := r.link.q.Begin()
	if err != nil {
		if err == transport.ErrFull {
			r.link.fail(ErrStalled)
		}
		return
	}
	at := len(buf)
	out := begin(buf, frameFailure)
	out = binary.BigEndian.AppendUint64(out, r.id)
	out = appendFailure(out, e)
	end(out, at)
	r.link.q.Commit(out, batch)
}
