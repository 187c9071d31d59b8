package gate

import (
	"slices"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/cluster"
	"github.com/firefly-go/firefly/runtime/rpc"
	"github.com/firefly-go/firefly/runtime/transport"
	"github.com/firefly-go/firefly/runtime/wire"
)

// place is where a command goes: a role of one life of a node.
type place struct {
	peer *cluster.Peer
	role int
}

func pinTo(role string, p *cluster.Peer) Pin {
	return Pin{Role: role, Node: p.Name, Incarnation: p.Incarnation}
}

// home is the node of a command that names no key, when the session is pinned there and has
// been there before.
func (s *session) home(cmd *command) *cluster.Peer {
	if !cmd.sticks || cmd.keyed || s.homes == nil {
		return nil
	}
	if p := s.homes[cmd.role]; p != nil && !p.Gone() {
		return p
	}
	return nil
}

// enterNode notes that the session goes to a node, and sees that it leaves the one where it
// was. fresh: it was pinned now. waits: the former node has been asked to let go.
func (s *session) enterNode(cmd *command, peer *cluster.Peer, batch *transport.Batch) (fresh, waits bool, ferr *firefly.Error) {
	at := pinTo(cmd.Role, peer)
	if cmd.sticks {
		if old := s.pin(at.Role); old != nil && *old != at {
			former := *old
			if waits, ferr = s.move(former, batch); waits || ferr != nil {
				return false, waits, ferr
			}
			s.forget(former)
		}
		if s.pin(at.Role) == nil {
			s.rec.Pins = append(s.rec.Pins, at)
			fresh = true
		}
		if s.homes == nil {
			s.homes = make([]*cluster.Peer, len(s.gate.declared.roles))
		}
		if !slices.Contains(s.rec.Lost, at.Role) { // else the next command has something to hear
			s.homes[cmd.role] = peer
		}
	}
	if !slices.Contains(s.rec.Touched, at) {
		if cmd.routing == firefly.LeastLoaded { // what is lost there, nobody asks for
			s.rec.Touched = slices.DeleteFunc(s.rec.Touched, func(p Pin) bool { return p.Role == at.Role && s.gate.gone(p) })
		}
		s.rec.Touched = append(s.rec.Touched, at)
	}
	return fresh, false, nil
}

// route finds the node for e.
func (s *session) route(e *exchange, body []byte) (*cluster.Peer, *firefly.Error) {
	c := s.gate.o.Cluster
	role, routing := e.cmd.Role, e.cmd.routing
	if e.cmd.keyed {
		key, _, err := wire.Field(body, e.cmd.Key.Number, wire.KeyKind(e.cmd.Key.Kind))
		if err != nil {
			return nil, &firefly.Error{Code: firefly.InvalidArgument, Message: "the body is no protobuf message"}
		}
		if e.cmd.Key.Kind == firefly.KeyString {
			e.key = hashBytes(key.Bytes)
		} else {
			e.key = hashInt(key.Int)
		}
	}
	switch {
	case routing == firefly.Hash && !e.cmd.keyed:
		e.key = hashInt(uint64(s.rec.Player))
		if s.rec.Player == 0 {
			e.key = hashInt(uint64(s.rec.ID.Gate) + uint64(s.rec.ID.Seq))
		}
		fallthrough
	case e.cmd.keyed:
		peer := c.Peer(c.Owner(role, e.key))
		if peer == nil {
			return nil, unavailable(role)
		}
		s.restarted(role, peer)
		if !e.unknown && s.tellLost(role, e.wants || e.cmd.keyed) && !e.cmd.keyed {
			return nil, stateLost(role)
		}
		return peer, nil
	case routing == firefly.LeastLoaded:
		return s.pick(role)
	}
	var peer *cluster.Peer
	if pin := s.pin(role); pin != nil {
		if peer = s.gate.life(*pin); peer == nil {
			s.lose(*pin)
		}
	}
	// What goes out a second time is not the next command, and may have been executed already.
	if !e.unknown && s.tellLost(role, e.wants) {
		return nil, stateLost(role)
	}
	if peer != nil {
		return peer, nil
	}
	return s.pick(role)
}

// lose drops an instance that is gone, and remembers that the client has not been told.
func (s *session) lose(p Pin) {
	s.forget(p)
	if !slices.Contains(s.rec.Lost, p.Role) {
		s.rec.Lost = append(s.rec.Lost, p.Role)
	}
}

// tellLost reports that the session's state in the role was lost: once, to a command whose
// client hears of it. A command without a reply is dropped and tells nobody.
func (s *session) tellLost(role string, hears bool) bool {
	i := slices.Index(s.rec.Lost, role)
	if i < 0 {
		return false
	}
	if hears {
		s.rec.Lost = slices.Delete(s.rec.Lost, i, i+1)
	}
	return true
}

func unavailable(role string) *firefly.Error {
	return &firefly.Error{Code: firefly.Unavailable, Message: "no node serves role " + role + " now"}
}

func stateLost(role string) *firefly.Error {
	return &firefly.Error{Code: firefly.StateLost, Message: "the node of role " + role + " that kept this session is gone"}
}

// pick chooses a node by load; the own process goes first when it plays the role.
func (s *session) pick(role string) (*cluster.Peer, *firefly.Error) {
	if p := s.gate.self(role); p != nil {
		return p, nil
	}
	p, err := s.gate.o.Cluster.Pick(role)
	if err != nil || p == nil {
		return nil, unavailable(role)
	}
	return p, nil
}

// sticks reports whether sessions are pinned to nodes of the role.
func (s *session) sticks(role string) bool {
	r := s.gate.o.Roles[role]
	return r == firefly.Sticky || r == firefly.Single
}

func (s *session) pin(role string) *Pin {
	for i := range s.rec.Pins {
		if s.rec.Pins[i].Role == role {
			return &s.rec.Pins[i]
		}
	}
	return nil
}

func (s *session) unpin(p Pin) {
	s.rec.Pins = slices.DeleteFunc(s.rec.Pins, func(q Pin) bool { return p == q })
	if i := slices.Index(s.gate.declared.roles, p.Role); i >= 0 && s.homes != nil {
		s.homes[i] = nil
	}
}

// forget drops an instance that is gone, or has let go of the session.
func (s *session) forget(p Pin) {
	s.unpin(p)
	s.rec.Touched = slices.DeleteFunc(s.rec.Touched, func(q Pin) bool { return p == q })
}

// restarted notes when the session had state at an earlier life of the node.
func (s *session) restarted(role string, peer *cluster.Peer) {
	for _, t := range s.rec.Touched {
		if t.Role == role && t.Node == peer.Name && t.Incarnation != peer.Incarnation {
			s.lose(t)
			return
		}
	}
}

// life is the peer that a pin names, nil when that life is over.
func (g *Gate) life(p Pin) *cluster.Peer {
	peer := g.o.Cluster.Peer(p.Node)
	if peer == nil || peer.Incarnation != p.Incarnation {
		return nil
	}
	return peer
}

// link is the link to it, nil when it is over or cannot be reached now.
func (g *Gate) link(p Pin) *rpc.Link {
	peer := g.life(p)
	if peer == nil {
		return nil
	}
	l, err := peer.Link()
	if err != nil {
		return nil
	}
	return l
}

func (g *Gate) gone(p Pin) bool { return g.life(p) == nil }

// self is this process as a node of the role, nil when it does not play it.
func (g *Gate) self(role string) *cluster.Peer {
	for _, r := range g.o.Plays {
		if r == role {
			return g.o.Cluster.Peer(g.o.Node)
		}
	}
	return nil
}

// hashBytes and hashInt are the hash of a routing key: FNV-1a of its bytes, or of the eight
// big-endian bytes of a number. They never give 0, which stands for no key.
func hashBytes(b []byte) uint64 {
	h := uint64(fnvOffset)
	for _, c := range b {
		h = (h ^ uint64(c)) * fnvPrime
	}
	return max(1, h)
}

func hashInt(v uint64) uint64 {
	h := uint64(fnvOffset)
	for shift := 56; shift >= 0; shift -= 8 {
		h = (h ^ v>>shift&255) * fnvPrime
	}
	return max(1, h)
}

const (
	fnvOffset = 14695981039346656037
	fnvPrime  = 1099511628211
)
