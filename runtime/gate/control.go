package gate

import (
	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/router"
	"github.com/firefly-go/firefly/runtime/rpc"
	"github.com/firefly-go/firefly/runtime/transport"
)

// Push brings a push (router.KindPush) to its receivers. It runs on the reader of a link, or
// on the loop of a role in this process, and does not block; body is read before it returns.
func (g *Gate) Push(h *rpc.Header, body []byte, batch *transport.Batch) { g.deliver(body, batch) }

// Missed closes the sessions that miss a push (router.KindNumbered): whom its envelope names,
// every session when body is empty. It runs like Push.
func (g *Gate) Missed(body []byte, batch *transport.Batch) {
	var list []*session
	var p router.Push
	if len(body) == 0 {
		g.mu.RLock()
		for _, s := range g.sessions {
			list = append(list, s)
		}
		g.mu.RUnlock()
	} else {
		var err error
		if p, err = router.ParsePush(body); err != nil {
			g.log.Error("push cannot be read", "error", err)
			return
		}
		list = g.receivers(nil, &p)
	}
	for _, s := range list {
		s.mu.Lock()
		if s.rec.Player == 0 || p.Excepts() == 0 || !p.Except(s.rec.Player) {
			s.shut(firefly.PushLost, "a push could not be brought to this gate", batch)
		}
		s.unlock(batch)
	}
}

// Control does what a node or another gate asks for (router.KindControl). It runs like Push;
// the reply may be sent later.
func (g *Gate) Control(h *rpc.Header, body []byte, reply rpc.Reply, batch *transport.Batch) {
	switch h.ID {
	case router.OpBind:
		if m, err := router.ParseBind(body); err == nil {
			g.bind(m, h.Timeout, reply, batch)
			return
		}
	case router.OpClose:
		if m, err := router.ParseClose(body); err == nil {
			if s := g.session(m.Session); s != nil {
				if m.Reason == "" {
					m.Reason = firefly.Kicked
				}
				s.close(m.Reason, "", batch)
			}
			return
		}
	case router.OpJoin, router.OpLeave:
		if m, err := router.ParseMembership(body); err == nil {
			g.member(m, h.ID == router.OpJoin, reply, batch)
			return
		}
	case router.OpPin:
		if m, err := router.ParsePin(body); err == nil {
			g.pinOf(m, reply, batch)
			return
		}
	case router.OpKick:
		if m, err := router.ParseKick(body); err == nil {
			g.kick(m, reply, batch)
			return
		}
	default:
		reply.Fail(batch, &firefly.Error{Code: firefly.Unimplemented, Message: "a gate knows no such operation"})
		return
	}
	reply.Fail(batch, &firefly.Error{Code: firefly.Internal, Message: router.ErrMessage.Error()})
}

var errSession = &firefly.Error{Code: firefly.SessionClosed, Message: "the session has ended"}

func (g *Gate) member(m router.Membership, join bool, reply rpc.Reply, batch *transport.Batch) {
	s := g.session(m.Session)
	if s == nil {
		reply.Fail(batch, errSession)
		return
	}
	s.mu.Lock()
	var err *firefly.Error
	switch {
	case s.state >= closing:
		err = errSession
	case join:
		err = g.groups.join(s, m.Group)
	default:
		g.groups.leave(s, m.Group)
	}
	s.mu.Unlock()
	if err != nil {
		reply.Fail(batch, err)
		return
	}
	reply.Send(batch, rpc.Payload{})
}

// pinOf says where a player is pinned for a role, and pins him when he is nowhere.
func (g *Gate) pinOf(m router.Pin, reply rpc.Reply, batch *transport.Batch) {
	g.mu.RLock()
	s := g.players[m.Player]
	g.mu.RUnlock()
	if s == nil {
		reply.Fail(batch, &firefly.Error{Code: firefly.NotFound, Message: "the player is not at this gate"})
		return
	}
	s.mu.Lock()
	at, err := s.pinned(m.Role)
	s.mu.Unlock()
	if err != nil {
		reply.Fail(batch, err)
		return
	}
	reply.Send(batch, rpc.Payload{Raw: router.PinReply{Node: at.Node, Incarnation: at.Incarnation}.Append(nil)})
}

func (s *session) pinned(role string) (Pin, *firefly.Error) {
	if s.state >= closing {
		return Pin{}, errSession
	}
	if p := s.pin(role); p != nil {
		if !s.gate.gone(*p) {
			return *p, nil
		}
		s.lose(*p)
	}
	peer, err := s.pick(role)
	if err != nil {
		return Pin{}, err
	}
	at := Pin{Role: role, Node: peer.Name, Incarnation: peer.Incarnation}
	if s.sticks(role) {
		s.rec.Pins = append(s.rec.Pins, at)
	}
	return at, nil
}

// kick closes the former session of a player, for another gate.
func (g *Gate) kick(m router.Kick, reply rpc.Reply, batch *transport.Batch) {
	s := g.session(m.Session)
	if s == nil {
		reply.Send(batch, rpc.Payload{})
		return
	}
	switch waits, err := s.replaced(m.Player, m.Epoch, waiter{reply: reply}, batch); {
	case err != nil:
		reply.Fail(batch, &firefly.Error{Code: firefly.FailedPrecondition, Message: err.Message})
	case !waits:
		reply.Send(batch, rpc.Payload{})
	}
}

// replaced closes the session because its player is elsewhere now, claimed with an epoch; w
// hears when that is done. false: there is nothing to wait for, or this session has claimed
// the player later, so that of two that close each other one is left.
func (s *session) replaced(p firefly.PlayerID, epoch uint64, w waiter, batch *transport.Batch) (waits bool, err *firefly.Error) {
	s.mu.Lock()
	claims := s.binding != nil && s.binding.player == p
	if s.state == closed || s.rec.Player != p && !claims {
		s.mu.Unlock()
		return false, nil
	}
	if s.state < closing && (s.rec.Epoch > epoch || claims && s.binding.epoch > epoch) {
		s.mu.Unlock()
		return false, errBehind
	}
	s.waiters = append(s.waiters, w)
	s.shut(firefly.Replaced, "the player logged in elsewhere", batch)
	s.unlock(batch)
	return true, nil
}
