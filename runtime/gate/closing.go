package gate

import (
	"slices"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/router"
	"github.com/firefly-go/firefly/runtime/rpc"
	"github.com/firefly-go/firefly/runtime/transport"
)

// retryTold is how soon a node that could not be told of the end of a session is tried again.
const retryTold = int64(5 * tick)

// close ends the session. Any goroutine; it does not wait.
func (s *session) close(reason firefly.Reason, text string, batch *transport.Batch) {
	s.mu.Lock()
	s.shut(reason, text, batch)
	s.unlock(batch)
}

// shut begins the end: the client is told and let go, groups and player are given up, and
// nothing new starts. Whoever holds the lock ends with unlock, which tells the nodes.
func (s *session) shut(reason firefly.Reason, text string, batch *transport.Batch) {
	if s.state >= closing {
		return
	}
	s.state, s.reason = closing, reason
	g := s.gate
	g.count(reason)
	g.log.Info("session closed", "reason", reason, "why", text, "session", s.rec.ID.String(),
		"player", int64(s.rec.Player), "address", s.rec.Address, "unfinished", s.count)
	if c := s.client; c != nil {
		s.client = nil
		c.goodbye(reason, text, batch)
	}
	g.leaveAll(s)
	s.missed = missed{}
	s.replies = replies{}
}

// dropHeld forgets the commands that have not left.
func (s *session) dropHeld() {
	for e := s.held.first; e != nil; e = s.held.first {
		s.dequeue(e)
		s.finish(e)
	}
}

// parting is one instance that is told of the end of a session. It is the completion of that
// message.
type parting struct {
	s    *session
	at   Pin
	sent bool
	done bool
}

// sendClose tells the next instance that the session touched; when all have let go the
// session is closed. It reports whether it may be called again.
func (s *session) sendClose(batch *transport.Batch) bool {
	if s.state == closed {
		return false
	}
	if s.partings == nil {
		s.partings = make([]*parting, 0, len(s.rec.Touched))
		for _, at := range s.rec.Touched {
			s.partings = append(s.partings, &parting{s: s, at: at})
		}
	}
	left := false
	for _, p := range s.partings {
		if p.done {
			continue
		}
		if s.gate.gone(p.at) {
			p.done = true
			continue
		}
		left = true
		if p.sent {
			continue
		}
		if s.sendParting(p, batch) {
			return true
		}
		s.watchFor(s.gate.now() + retryTold)
	}
	if left {
		// A node may be gone before it answers without its link telling: look again.
		s.watchFor(s.gate.now() + 4*retryTold)
		return false
	}
	s.closed()
	return false
}

func (s *session) sendParting(p *parting, batch *transport.Batch) bool {
	link := s.gate.link(p.at)
	if link == nil {
		return false
	}
	p.sent = true
	s.header = rpc.Header{
		Kind: router.KindControl, ID: router.OpClosed, Session: s.rec.ID, Player: s.rec.Player, Epoch: s.rec.Epoch, Target: p.at.Role,
	}
	body := router.Close{Session: s.rec.ID, Reason: s.reason}.Append(nil)
	s.pumping = true
	s.mu.Unlock()
	err := link.Start(batch, &s.header, rpc.Payload{Raw: body}, p)
	s.mu.Lock()
	s.pumping = false
	if err != nil {
		p.sent = false
	}
	return err == nil
}

// Complete implements rpc.Completion: the OnClose hooks of one instance have returned, or the
// link is lost and the instance is told again.
func (p *parting) Complete(r rpc.Result, batch *transport.Batch) {
	s := p.s
	s.mu.Lock()
	if r.Err != nil && lostOnTheWay(r.Err.Code) {
		p.sent = false
		s.watchFor(s.gate.now() + retryTold)
		// Not from here: the link is ending.
		s.mu.Unlock()
		return
	}
	if r.Err != nil {
		s.gate.log.Error("node refused the end of a session", "node", p.at.Node, "role", p.at.Role, "session", s.rec.ID.String(), "error", r.Err)
	}
	p.done = true
	s.unlock(batch)
}

func lostOnTheWay(c firefly.Code) bool {
	return c == firefly.Unknown || c == firefly.Unavailable || c == firefly.Overloaded
}

// closed is the end: nothing of the session is at any node.
func (s *session) closed() {
	s.state = closed
	g := s.gate
	g.mu.Lock()
	delete(g.sessions, s.rec.ID.Seq)
	left := len(g.sessions)
	g.mu.Unlock()
	if s.rec.Epoch != 0 {
		g.release(s.rec.Player, s.rec.ID, s.rec.Epoch)
	}
	for _, p := range s.claimed {
		if p != s.rec.Player {
			g.release(p, s.rec.ID, 0)
		}
	}
	for _, w := range s.waiters {
		w.over()
	}
	s.waiters, s.partings = nil, nil
	if left == 0 {
		g.emptied()
	}
}

// waiter waits for the end of a session: a kick from here, or from another gate.
type waiter struct {
	done  chan struct{}
	reply rpc.Reply
}

func (w waiter) over() {
	if w.done != nil {
		close(w.done)
		return
	}
	w.reply.Send(nil, rpc.Payload{})
}

// mover closes a session at the instance that a key moves it away from.
type mover struct {
	s   *session
	old Pin
}

// move sees that the old instance lets go of the session before another gets its next
// command. waits: it was asked to. Called with the lock, which it gives up meanwhile.
func (s *session) move(old Pin, batch *transport.Batch) (waits bool, ferr *firefly.Error) {
	if !slices.Contains(s.rec.Touched, old) || s.gate.gone(old) {
		return false, nil
	}
	link := s.gate.link(old)
	if link == nil {
		return false, &firefly.Error{Code: firefly.Unavailable, Message: "the node that keeps the session cannot be reached"}
	}
	s.header = rpc.Header{
		Kind: router.KindControl, ID: router.OpClosed, Session: s.rec.ID, Player: s.rec.Player, Epoch: s.rec.Epoch, Target: old.Role,
	}
	body := router.Close{Session: s.rec.ID, Reason: firefly.Moved}.Append(nil)
	s.moving, s.pumping = true, true
	s.mu.Unlock()
	err := link.Start(batch, &s.header, rpc.Payload{Raw: body}, &mover{s, old})
	s.mu.Lock()
	s.pumping = false
	if err != nil {
		s.moving = false
		return false, notSent(err)
	}
	return true, nil
}

// Complete implements rpc.Completion.
func (m *mover) Complete(r rpc.Result, batch *transport.Batch) {
	s := m.s
	s.mu.Lock()
	s.moving = false
	if r.Err == nil || !lostOnTheWay(r.Err.Code) {
		s.forget(m.old)
	}
	s.unlock(batch)
}
