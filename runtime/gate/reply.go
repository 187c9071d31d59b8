package gate

import (
	"slices"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/rpc"
	"github.com/firefly-go/firefly/runtime/transport"
	"github.com/firefly-go/firefly/runtime/wire"
)

// refuse answers a command that never became unfinished, and frees it.
func (s *session) refuse(e *exchange, err *firefly.Error, batch *transport.Batch) {
	s.answer(e, nil, err, batch)
	s.gate.free(e)
}

// answer sends the reply of e, or its error, to the client.
func (s *session) answer(e *exchange, body []byte, err *firefly.Error, batch *transport.Batch) {
	e.answered = true
	if err != nil {
		s.gate.failed(s, e, err)
	}
	if s.client == nil || s.state != open {
		return
	}
	if !e.wants {
		return
	}
	if err == nil {
		if len(body) > s.gate.limits.maxFrame {
			err = s.tooLarge(e, len(body))
		} else if s.jsonBodies() && !e.cmd.RawReply {
			body, err = s.replyJSON(e, body)
		}
	}
	s.sent += len(body)
	if s.rec.Classic {
		s.answerClassic(e, body, err, batch)
		return
	}
	buf, ok := s.begin(batch)
	if !ok {
		return
	}
	if err == nil {
		buf = wire.AppendReply(buf, e.seq, body)
	} else {
		buf = wire.AppendError(buf, e.seq, s.gate.declared.number(err.Code), string(err.Code), err.Message, nil)
	}
	s.client.queue.Commit(buf, batch)
}

// answerMessage is answer for a reply that is not encoded yet, of n bytes; err: that cannot
// even be told. To a native client it is written once, where it leaves from.
func (s *session) answerMessage(e *exchange, m rpc.Marshaler, n int, err error, batch *transport.Batch) {
	switch {
	case err != nil:
		s.answer(e, nil, s.notEncoded(e, err), batch)
		return
	case s.client == nil || s.state != open || !e.wants:
		s.answer(e, nil, nil, batch)
		return
	case n > s.gate.limits.maxFrame:
		s.answer(e, nil, s.tooLarge(e, n), batch)
		return
	case s.rec.Classic || s.rec.JSON:
		// Nobody needs the request's bytes any more.
		if body, err := e.encode(m, n); err != nil {
			s.answer(e, nil, s.notEncoded(e, err), batch)
		} else {
			s.answer(e, body, nil, batch)
		}
		return
	}
	e.answered = true
	s.sent += n
	buf, ok := s.begin(batch)
	if !ok {
		return
	}
	at := len(buf)
	buf = wire.AppendReplyHeader(buf, e.seq, n)
	buf = slices.Grow(buf, n)[:len(buf)+n]
	if err := encode(m, buf[len(buf)-n:]); err != nil {
		s.client.queue.Commit(buf[:at], batch)
		s.answer(e, nil, s.notEncoded(e, err), batch)
		return
	}
	s.client.queue.Commit(buf, batch)
}

func (s *session) notEncoded(e *exchange, err error) *firefly.Error {
	s.gate.log.Error("reply does not encode", "method", e.cmd.Name, "error", err, "request", e.request.String(), "session", s.rec.ID.String())
	return &firefly.Error{Code: firefly.Internal, Message: "the reply cannot be sent, request " + e.request.String()}
}

func (s *session) tooLarge(e *exchange, size int) *firefly.Error {
	s.gate.log.Error("reply is larger than max_frame", "method", e.cmd.Name, "bytes", size,
		"max_frame", s.gate.limits.maxFrame, "request", e.request.String(), "session", s.rec.ID.String())
	return &firefly.Error{Code: firefly.Internal, Message: "reply too large, request " + e.request.String()}
}

// replyJSON turns a reply into the JSON of the client.
func (s *session) replyJSON(e *exchange, body []byte) ([]byte, *firefly.Error) {
	if e.cmd.Reply == nil {
		return []byte("{}"), nil
	}
	m := e.cmd.Reply()
	err := m.UnmarshalVT(body)
	var text []byte
	if err == nil {
		text, err = appendJSON(nil, m)
	}
	if err != nil {
		s.gate.log.Error("reply does not turn into JSON", "method", e.cmd.Name, "error", err, "request", e.request.String())
		return nil, &firefly.Error{Code: firefly.Internal, Message: "request " + e.request.String()}
	}
	if len(text) > s.gate.limits.maxFrame {
		return nil, s.tooLarge(e, len(text))
	}
	return text, nil
}

// answerClassic puts the reply into its place: what is finished before its turn waits.
func (s *session) answerClassic(e *exchange, body []byte, err *firefly.Error, batch *transport.Batch) {
	c := s.gate.limits.classic
	if err != nil {
		if !c.reply {
			s.replies.silence(e.slot)
			s.flushReplies(batch)
			return
		}
		body = appendJSONError(nil, s.gate.declared.number(err.Code), err.Code, err.Message)
	}
	if !s.replies.next(e.slot) {
		s.replies.keep(e.slot, c.Append(nil, e.id, body))
		if s.replies.bytes > s.gate.limits.maxQueue {
			s.shut(firefly.TooSlow, "too much waits for a reply that comes before it", batch)
		}
		return
	}
	s.replies.silence(e.slot)
	buf, ok := s.begin(batch)
	if !ok {
		return
	}
	s.client.queue.Commit(c.Append(buf, e.id, body), batch)
	s.flushReplies(batch)
}

// flushReplies sends the replies that waited for the one before them.
func (s *session) flushReplies(batch *transport.Batch) {
	for {
		frame, ok := s.replies.pop()
		if !ok {
			return
		}
		if frame == nil {
			continue
		}
		buf, ok := s.begin(batch)
		if !ok {
			return
		}
		s.client.queue.Commit(append(buf, frame...), batch)
	}
}

// replies keeps the order of a classic session's replies: a ring with a place for each
// request that waits for one.
type replies struct {
	ring  []reply
	first uint32 // number of the oldest request without its reply sent
	end   uint32 // number of the next request
	bytes int    // of frames kept
}

type reply struct {
	done  bool
	frame []byte // nil: nothing is sent
}

func (r *replies) len() int { return int(r.end - r.first) }

// reserve gives the next request its number.
func (r *replies) reserve() uint32 {
	if r.len() == len(r.ring) {
		bigger := make([]reply, max(8, 2*len(r.ring)))
		for n := r.first; n != r.end; n++ {
			bigger[int(n)%len(bigger)] = r.ring[int(n)%len(r.ring)]
		}
		r.ring = bigger
	}
	n := r.end
	r.end++
	r.ring[int(n)%len(r.ring)] = reply{}
	return n
}

func (r *replies) next(n uint32) bool { return n == r.first }

func (r *replies) keep(n uint32, frame []byte) {
	r.bytes += len(frame)
	r.ring[int(n)%len(r.ring)] = reply{true, frame}
}

// silence says that request n gets nothing more.
func (r *replies) silence(n uint32) { r.keep(n, nil) }

// pop gives the oldest reply when it is done.
func (r *replies) pop() (frame []byte, ok bool) {
	if r.len() == 0 {
		return nil, false
	}
	k := &r.ring[int(r.first)%len(r.ring)]
	if !k.done {
		return nil, false
	}
	frame = k.frame
	r.bytes -= len(frame)
	*k = reply{}
	r.first++
	return frame, true
}
