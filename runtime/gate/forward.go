package gate

import (
	"slices"
	"time"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/router"
	"github.com/firefly-go/firefly/runtime/rpc"
	"github.com/firefly-go/firefly/runtime/transport"
)

// pump hands to links what the session has for them, one after the other, until nothing more
// may go. Called with the lock, which it gives up meanwhile, and never while pumping.
func (s *session) pump(batch *transport.Batch) {
	for {
		switch {
		case s.state >= closing:
			s.dropHeld()
			if !s.sendClose(batch) {
				return
			}
		case s.moving:
			return
		case s.untold:
			s.untold = false
			s.tell(router.OpBound, batch)
		case s.stirred != 0:
			op := s.stirred
			s.stirred = 0
			s.tell(op, batch)
		default:
			if !s.sendHeld(batch) {
				return
			}
		}
	}
}

// sendHeld sends a command that may go now: the oldest, else the oldest unordered one. It
// reports whether it may be called again.
func (s *session) sendHeld(batch *transport.Batch) bool {
	e := s.held.first
	if e == nil || s.full(e) {
		return false
	}
	if s.sendFromHeld(e, batch) {
		return true
	}
	for e = s.held.first.links[inHeld].next; e != nil && !s.moving; e = e.links[inHeld].next {
		if e.cmd.Unordered {
			return s.sendFromHeld(e, batch)
		}
	}
	return false
}

// sendFromHeld sends one of held. What must wait goes to the front: it is the oldest, or
// unordered.
func (s *session) sendFromHeld(e *exchange, batch *transport.Batch) bool {
	s.dequeue(e)
	if s.start(e, e.body, batch) {
		return true
	}
	s.enqueue(e, true)
	return false
}

// start sends e to its node, or answers it when it has none. false: it must wait. Called
// with the lock, which it gives up meanwhile; afterwards e may be gone.
func (s *session) start(e *exchange, body []byte, batch *transport.Batch) bool {
	if s.moving || s.full(e) {
		return false
	}
	if e.answered { // its time was over while it waited
		s.finish(e)
		return true
	}
	to := place{role: e.cmd.role}
	known, fresh := true, false
	if to.peer = s.home(e.cmd); to.peer == nil {
		var ferr *firefly.Error
		to.peer, ferr = s.route(e, body)
		if ferr != nil && e.unknown && ferr.Code == firefly.Unavailable {
			s.watchFor(s.gate.now() + resendWait)
			return false
		}
		if ferr != nil {
			s.answer(e, nil, ferr, batch)
			s.finish(e)
			return true
		}
		known = false
	}
	if err := to.peer.Fits(e.cmd.Name); err != nil {
		s.answer(e, nil, &firefly.Error{Code: firefly.Incompatible, Message: err.Error()}, batch)
		s.finish(e)
		return true
	}
	if !e.cmd.Unordered && s.fenced > 0 && s.fence != to {
		return false
	}
	if !known {
		var waits bool
		var ferr *firefly.Error
		if fresh, waits, ferr = s.enterNode(e.cmd, to.peer, batch); waits {
			return false
		} else if ferr != nil {
			s.answer(e, nil, ferr, batch)
			s.finish(e)
			return true
		}
	}
	if e.cmd.keep && len(e.body) == 0 {
		e.body = append(e.body, body...)
	}
	s.atNodes++
	s.bytes += e.size
	if !e.cmd.Unordered {
		s.fenced++
		s.fence = to
	}
	if e.request == 0 {
		e.request = s.gate.request()
	}
	timeout := e.cmd.timeout
	if e.waited {
		timeout = max(time.Millisecond, time.Duration(e.deadline-s.gate.now()))
	}
	// Every field, one by one: a literal would be made elsewhere and copied.
	h := &s.header
	h.Kind, h.ID, h.Target = router.KindCommand, uint64(e.cmd.ID), e.cmd.Role
	h.Session, h.Player, h.Epoch = s.rec.ID, s.rec.Player, s.rec.Epoch
	h.Request, h.Timeout, h.Hops = e.request, timeout, 0
	h.Key, h.Topology, h.Flags = e.key, s.gate.o.Cluster.Topology(), 0
	if e.cmd.Unordered {
		h.Flags = router.FlagUnordered
	}
	s.pumping = true
	s.mu.Unlock()
	link, err := to.peer.Link()
	if err == nil {
		err = link.Forward(batch, &s.header, body, e)
	}
	s.mu.Lock()
	s.pumping = false
	if err == nil {
		return true
	}
	// It surely was not sent.
	s.arrived(e)
	if fresh {
		s.unpin(pinTo(e.cmd.Role, to.peer))
	}
	if e.unknown {
		s.watchFor(s.gate.now() + resendWait)
		return false
	}
	s.answer(e, nil, notSent(err), batch)
	s.finish(e)
	return true
}

// full reports that no further command may go to a node now: enough of them are there, or
// the client does not read the replies that it has got. In the first case a reply goes on
// with it, in the second the client's socket when it has room, or the sweeper.
func (s *session) full(e *exchange) bool {
	if s.atNodes >= maxUnfinished || s.atNodes > 0 && s.bytes+e.size > maxUnfinishedBytes {
		return true
	}
	if s.sent < chokeStep {
		return false
	}
	if s.client != nil {
		if waits, _ := s.client.queue.Pending(); waits > max(s.gate.limits.maxQueue/2, 2*chokeStep) {
			// Its socket may take all of that without another word.
			s.watchFor(s.gate.now())
			return true
		}
	}
	s.sent = 0
	return false
}

// chokeStep is how many bytes of replies go out between two looks at the client's queue. It
// is also what a queue may hold without the socket being full.
const chokeStep = 64 << 10

// resendWait is how soon an idempotent command that was lost with its node is tried again,
// until its time is over: a node that died is back in seconds.
const resendWait = int64(2 * tick)

// notSent is the code of a command that could not be handed to a link.
func notSent(err error) *firefly.Error {
	switch firefly.CodeOf(err) {
	case firefly.Overloaded:
		return &firefly.Error{Code: firefly.Overloaded, Message: "the link to the node is full", Cause: err}
	case firefly.InvalidArgument:
		return &firefly.Error{Code: firefly.InvalidArgument, Message: "the body is too large for a link between nodes", Cause: err}
	}
	return &firefly.Error{Code: firefly.Unavailable, Message: "the node cannot be reached", Cause: err}
}

// tell sends a one-way message to every instance that the session touched.
func (s *session) tell(op uint64, batch *transport.Batch) {
	targets := slices.Clone(s.rec.Touched)
	var body []byte
	if op == router.OpBound {
		body = router.Bound{Session: s.rec.ID, Player: s.rec.Player, Epoch: s.rec.Epoch}.Append(nil)
	} else {
		body = router.Ref{Session: s.rec.ID}.Append(nil)
	}
	s.header = rpc.Header{Kind: router.KindControl, ID: op, Session: s.rec.ID, Player: s.rec.Player, Epoch: s.rec.Epoch}
	s.pumping = true
	s.mu.Unlock()
	for _, t := range targets {
		if link := s.gate.link(t); link != nil {
			s.header.Target = t.Role
			_ = link.Send(batch, &s.header, rpc.Payload{Raw: body}) // a node that does not hear it hears it with the next command
		}
	}
	s.mu.Lock()
	s.pumping = false
}
