package router

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/cluster"
	"github.com/firefly-go/firefly/runtime/rpc"
)

// Push sends msg to a target: one frame to each gate that may have receivers. It does not
// wait; msg is the caller's again when it returns. key tells pushes apart that coalesce.
//
// Made with the ctx of a transaction of tables, it leaves when that is committed, and not at all when it is
// not.
//
// A push to somebody who is not there is dropped. One that may not be lost (slow: DISCONNECT)
// is kept until its gate has it, or the gate closes the session of who misses it; others are
// dropped when a gate cannot be reached or has too much waiting. None of that is an error.
// InvalidArgument: the message does not encode, or is larger than a frame between nodes.
func (r *Router) Push(ctx context.Context, to firefly.Target, spec *firefly.PushSpec, key Key, msg firefly.Message) error {
	if size := msg.SizeVT(); size > maxBody {
		return firefly.InvalidArgument.Errorf("push %s has %d bytes; at most %d fit into a frame", spec.Name, size, maxBody)
	}
	if later, err := r.later(ctx, to, spec, key, msg); later || err != nil {
		return err
	}
	c := callerOf(ctx)
	e := r.scratch.Get().(*envelope)
	defer r.free(e)
	e.msg = msg
	for {
		x, ok := to.(firefly.Excepted)
		if !ok {
			break
		}
		e.except = append(e.except, x.Players...)
		to = x.To
	}
	e.header = rpc.Header{Kind: KindPush, ID: uint64(spec.ID)}
	p := pushing{r: r, c: &c, e: e, spec: spec, key: key.Hash()}
	switch to := to.(type) {
	case nil:
		return firefly.InvalidArgument.Errorf("push %s has no target", spec.Name)
	case firefly.Session:
		return p.session(to)
	case firefly.PlayerID:
		e.players = append(e.players, to)
		return p.players()
	case firefly.Players:
		e.players = append(e.players, to...)
		return p.players()
	case firefly.Group:
		return p.all(ToGroup, to)
	}
	return p.all(ToEveryone, "")
}

// envelope is what one Push needs, kept for the next one. It is the rpc.Marshaler of the
// frame: the head, and the message behind it.
type envelope struct {
	header  rpc.Header
	head    []byte
	msg     firefly.Message
	body    []byte // of msg, when several gates get it
	encoded bool   // body is set
	players []firefly.PlayerID
	except  []firefly.PlayerID
	one     [1]firefly.SessionID
	part    []firefly.PlayerID
	todo    []*Session // of players; nil where the session is not known
}

// SizeVT implements rpc.Marshaler.
func (e *envelope) SizeVT() int {
	if e.encoded {
		return len(e.head) + len(e.body)
	}
	return len(e.head) + e.msg.SizeVT()
}

// MarshalToSizedBufferVT implements rpc.Marshaler: it fills the end of b.
func (e *envelope) MarshalToSizedBufferVT(b []byte) (int, error) {
	n := len(e.body)
	if e.encoded {
		copy(b[len(b)-n:], e.body)
	} else {
		var err error
		if n, err = e.msg.MarshalToSizedBufferVT(b); err != nil {
			return 0, err
		}
	}
	copy(b[len(b)-n-len(e.head):], e.head)
	return n + len(e.head), nil
}

// free keeps an envelope for the next push, unless it has grown large.
func (r *Router) free(e *envelope) {
	clear(e.todo)
	if cap(e.head)+cap(e.body) > 64<<10 || cap(e.players)+cap(e.except)+cap(e.part)+cap(e.todo) > 4096 {
		return
	}
	*e = envelope{head: e.head[:0], body: e.body[:0], players: e.players[:0], except: e.except[:0], part: e.part[:0], todo: e.todo[:0]}
	r.scratch.Put(e)
}

// pushing is one Push under way.
type pushing struct {
	r    *Router
	c    *caller
	e    *envelope
	spec *firefly.PushSpec
	key  uint64
}

func (p *pushing) seal(to To, sessions []firefly.SessionID, players []firefly.PlayerID, g firefly.Group, except []firefly.PlayerID) {
	p.e.head = AppendPush(p.e.head[:0], p.spec.ID, p.spec.Slow, p.key, to, sessions, players, g, except)
}

func (p *pushing) session(s firefly.Session) error {
	if player := s.Player(); player != 0 && slices.Contains(p.e.except, player) {
		return nil
	}
	p.e.one[0] = s.ID()
	p.seal(ToSessions, p.e.one[:], nil, "", nil)
	return p.send(p.r.gate(s))
}

// players sends to the gates of those players whose sessions are known here, and to all gates
// when there are others.
func (p *pushing) players() error {
	e, h := p.e, p.r.host
	if len(e.except) > 0 {
		e.players = slices.DeleteFunc(e.players, func(id firefly.PlayerID) bool { return slices.Contains(e.except, id) })
	}
	if len(e.players) == 0 {
		return nil
	}
	unknown := len(e.players)
	if h != nil {
		e.todo = e.todo[:0]
		h.mu.Lock()
		for _, id := range e.players {
			s := h.players[id]
			if s != nil {
				unknown--
			}
			e.todo = append(e.todo, s)
		}
		h.mu.Unlock()
	}
	if unknown == len(e.players) {
		p.seal(ToPlayers, nil, e.players, "", nil)
		return p.each()
	}
	if len(e.players) == 1 {
		p.seal(ToPlayers, nil, e.players, "", nil)
		return p.send(p.r.gate(e.todo[0]))
	}
	if err := p.encodeOnce(); err != nil {
		return err
	}
	// A gate gets those whose session it has, and those whose session nobody here knows.
	send := func(gate *cluster.Peer) error {
		e.part = e.part[:0]
		for i, id := range e.players {
			if s := e.todo[i]; s == nil || s.id.Gate == gate.Incarnation {
				e.part = append(e.part, id)
			}
		}
		if len(e.part) == 0 {
			return nil
		}
		p.seal(ToPlayers, nil, e.part, "", nil)
		return p.send(gate)
	}
	if unknown > 0 {
		for gate := range p.r.gates() {
			if err := send(gate); err != nil {
				return err
			}
		}
		return nil
	}
	for i, s := range e.todo {
		first := !slices.ContainsFunc(e.todo[:i], func(o *Session) bool { return o.id.Gate == s.id.Gate })
		if gate := p.r.gate(s); first && gate != nil {
			if err := send(gate); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p *pushing) all(to To, g firefly.Group) error {
	p.seal(to, nil, nil, g, p.e.except)
	return p.each()
}

// each sends the sealed frame to every gate.
func (p *pushing) each() error {
	n := 0
	for gate := range p.r.gates() {
		if n++; n == 2 {
			if err := p.encodeOnce(); err != nil {
				return err
			}
		}
		if err := p.send(gate); err != nil {
			return err
		}
	}
	return nil
}

// encodeOnce encodes the message into the envelope, so that it is only copied for each gate.
func (p *pushing) encodeOnce() error {
	e := p.e
	size := e.msg.SizeVT()
	e.body = slices.Grow(e.body[:0], size)[:size]
	n, err := e.msg.MarshalToSizedBufferVT(e.body)
	if err != nil {
		return &firefly.Error{Code: firefly.InvalidArgument, Message: "the push does not encode", Cause: err}
	}
	e.body, e.encoded = e.body[size-n:], true
	return nil
}

// send gives the sealed frame to one gate.
func (p *pushing) send(gate *cluster.Peer) error {
	if gate == nil {
		return nil
	}
	if out := p.r.out; out != nil && !gate.Self() {
		if p.spec.Slow == firefly.SlowDisconnect {
			if o := out.of(gate); o != nil {
				return o.push(p.e, p.c.batch)
			}
			return nil // it is gone, and its sessions with it
		}
		if !out.settled(gate, p.c.batch) {
			p.r.lose(p.spec.Name, gate.Name, errBehind)
			return nil
		}
	}
	link, err := gate.Link()
	if err == nil {
		err = link.Send(p.c.batch, &p.e.header, rpc.Payload{Msg: p.e})
	}
	if err == nil {
		return nil
	}
	if firefly.CodeOf(err) == firefly.InvalidArgument {
		return err
	}
	p.r.lose(p.spec.Name, gate.Name, err)
	return nil
}

var errBehind = &firefly.Error{Code: firefly.Overloaded, Message: "earlier pushes wait for the gate"}

// lose counts a push that a gate did not get, and says so once a second at most.
func (r *Router) lose(push, gate string, err error) {
	n := r.dropped.Add(1)
	now := time.Now().UnixNano()
	last := r.logged.Load()
	if now-last < int64(time.Second) || !r.logged.CompareAndSwap(last, now) {
		return
	}
	log := slog.Default()
	if r.host != nil {
		log = r.host.log
	}
	log.Warn("a gate misses pushes", "gate", gate, "push", push, "lost", n, "err", err)
}

// Dropped is how many pushes some gate did not get.
func (r *Router) Dropped() uint64 { return r.dropped.Load() }

// gate is the gate of a session, nil when it is gone.
func (r *Router) gate(s firefly.Session) *cluster.Peer {
	if own, ok := s.(*Session); ok {
		return own.gate.Load()
	}
	return r.o.Cluster.Incarnation(s.ID().Gate)
}

// gates are all gates.
func (r *Router) gates() func(yield func(*cluster.Peer) bool) {
	return func(yield func(*cluster.Peer) bool) {
		for i, role := range r.o.GateRoles {
			for _, p := range r.o.Cluster.Role(role) {
				// A node that plays two gate roles is one gate.
				if i > 0 && slices.ContainsFunc(r.o.GateRoles[:i], p.Plays) {
					continue
				}
				if !yield(p) {
					return
				}
			}
		}
	}
}

// sessionOf is the session of a player here, nil when there is none.
func (h *Host) sessionOf(p firefly.PlayerID) *Session {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.players[p]
}
