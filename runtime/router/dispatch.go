package router

import (
	"encoding/binary"
	"fmt"
	"sync"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/cluster"
	"github.com/firefly-go/firefly/runtime/rpc"
	"github.com/firefly-go/firefly/runtime/transport"
)

// Gate is what a Dispatcher knows of the gate in its process. runtime/gate implements it.
// The methods are called on readers of links and, for the roles of the same process, on their
// logic loops: for one role of one peer one at a time and in order, beside each other
// otherwise. None may block. What they are given is valid until they return, reply excepted.
type Gate interface {
	// Push delivers a push (ParsePush) to those receivers that are this gate's.
	Push(h *rpc.Header, body []byte, batch *transport.Batch)
	// Missed closes, with PushLost, those of this gate's sessions that the envelope of a push
	// names: they miss one. An empty body names all sessions.
	Missed(body []byte, batch *transport.Batch)
	// Control answers OpBind, OpClose, OpJoin, OpLeave, OpPin and OpKick. reply is answered
	// once, on any goroutine; h.Target is the role that asks.
	Control(h *rpc.Header, body []byte, reply rpc.Reply, batch *transport.Batch)
}

// Dispatcher gives what arrives on the links of one node to the roles and the gate that the
// node plays. It is the cluster.Handler of the node. Hosts and the gate are added before the
// first link is made.
type Dispatcher struct {
	gate     Gate
	hosts    []*Host
	byRole   map[string]*Host
	commands map[uint64]*handler
	calls    map[uint64]*handler
	out      *outboxes // for the gates of other processes

	mu sync.Mutex
	in map[firefly.Incarnation]*inbox // of other processes, when there is a gate here
}

// NewDispatcher makes a Dispatcher for a node that plays nothing yet.
func NewDispatcher() *Dispatcher {
	return &Dispatcher{
		byRole: map[string]*Host{}, commands: map[uint64]*handler{}, calls: map[uint64]*handler{},
		out: &outboxes{}, in: map[firefly.Incarnation]*inbox{},
	}
}

// AddHost adds a role whose handlers are all registered. Two roles that serve one command or
// call, or have one name, are an error.
func (d *Dispatcher) AddHost(h *Host) error {
	if d.byRole[h.role] != nil {
		return fmt.Errorf("role %q is played twice by one node", h.role)
	}
	for id, e := range h.commands {
		if old := d.commands[uint64(id)]; old != nil {
			return fmt.Errorf("command %d is served as %s by role %q and as %s by role %q", id, old.name, old.host.role, e.name, h.role)
		}
		d.commands[uint64(id)] = e
	}
	for id, e := range h.calls {
		if old := d.calls[id]; old != nil {
			return fmt.Errorf("call %s is served by the roles %q and %q", e.name, old.host.role, h.role)
		}
		d.calls[id] = e
	}
	h.seal()
	h.router.out = d.out
	d.hosts = append(d.hosts, h)
	d.byRole[h.role] = h
	return nil
}

// SetGate adds the gate.
func (d *Dispatcher) SetGate(g Gate) { d.gate = g }

// GateLost closes, at every role of this node, all sessions of a gate whose incarnation is
// gone; their reason is GateLost. To be called for every process that is gone, gate or not: what
// is kept for it and of it is forgotten. Any goroutine.
func (d *Dispatcher) GateLost(gate firefly.Incarnation) {
	d.out.drop(gate)
	d.mu.Lock()
	delete(d.in, gate)
	d.mu.Unlock()
	for _, h := range d.hosts {
		h.GateLost(gate)
	}
}

// Back is to be called when a link that had broken is there again. Any goroutine.
func (d *Dispatcher) Back(peer firefly.Incarnation) { d.out.back(peer) }

// Serve implements cluster.Handler.
func (d *Dispatcher) Serve(from *cluster.Peer, h *rpc.Header, body []byte, reply rpc.Reply, batch *transport.Batch) {
	switch h.Kind {
	case KindCommand:
		if e := d.commands[h.ID]; e != nil {
			e.host.command(from, e, h, body, reply, batch)
			return
		}
		reply.Fail(batch, &firefly.Error{Code: firefly.Unimplemented, Message: "no role of this node serves the command"})
	case KindCall:
		if e := d.calls[h.ID]; e != nil {
			e.host.serveCall(e, h, body, reply, batch)
			return
		}
		reply.Fail(batch, &firefly.Error{Code: firefly.Unimplemented, Message: "no role of this node serves the call"})
	case KindPush:
		if d.gate != nil {
			d.gate.Push(h, body, batch)
		}
		reply.Send(batch, rpc.Payload{}) // pushes are sent one way, so this is nothing
	case KindNumbered:
		d.numbered(from, h, body, batch)
		reply.Send(batch, rpc.Payload{})
	case KindControl:
		if h.ID == OpNumber {
			d.acknowledged(from, body)
			return
		}
		d.control(h, body, reply, batch)
	default:
		reply.Fail(batch, &firefly.Error{Code: firefly.Unimplemented, Message: "unknown kind of message"})
	}
}

// numbered serves a message that its sender keeps until it is acknowledged.
func (d *Dispatcher) numbered(from *cluster.Peer, h *rpc.Header, body []byte, batch *transport.Batch) {
	v, n := binary.Uvarint(body)
	if n <= 0 || d.gate == nil {
		return // no such message is made, or not for this node
	}
	fresh, gap, ack := d.inbox(from.Incarnation).take(v>>2, len(body))
	switch body = body[n:]; {
	case gap: // cannot be: what is not acknowledged is sent again, in order
		d.gate.Missed(nil, batch)
	case !fresh:
	case v&3 == numberedPush:
		d.gate.Push(h, body, batch)
	case v&3 == numberedClose:
		d.gate.Control(&rpc.Header{Kind: KindControl, ID: OpClose}, body, rpc.Reply{}, batch)
	case v&3 == numberedMissed:
		d.gate.Missed(body, batch)
	default:
		d.gate.Missed(nil, batch)
	}
	if !ack {
		return
	}
	if link, err := from.Link(); err == nil {
		// One that does not leave is made up for by the next.
		_ = link.Send(batch, &rpc.Header{Kind: KindControl, ID: OpNumber}, rpc.Payload{Raw: binary.AppendUvarint(nil, v>>2)})
	}
}

func (d *Dispatcher) inbox(from firefly.Incarnation) *inbox {
	d.mu.Lock()
	defer d.mu.Unlock()
	in := d.in[from]
	if in == nil {
		in = &inbox{}
		d.in[from] = in
	}
	return in
}

// acknowledged hears from a gate up to which number it has everything.
func (d *Dispatcher) acknowledged(gate *cluster.Peer, body []byte) {
	if number, n := binary.Uvarint(body); n > 0 {
		if o := d.out.find(gate.Incarnation); o != nil {
			o.acknowledge(number)
		}
	}
}

func (d *Dispatcher) control(h *rpc.Header, body []byte, reply rpc.Reply, batch *transport.Batch) {
	var err error
	switch h.ID {
	case OpBind, OpClose, OpJoin, OpLeave, OpPin, OpKick:
		if d.gate != nil {
			d.gate.Control(h, body, reply, batch)
			return
		}
		reply.Fail(batch, &firefly.Error{Code: firefly.Unimplemented, Message: "this node is no gate"})
		return
	case OpClosed:
		var m Close
		if m, err = ParseClose(body); err == nil {
			d.closed(h.Target, m, reply, batch)
			return
		}
	case OpBound:
		var m Bound
		if m, err = ParseBound(body); err == nil {
			d.each(h.Target, func(h *Host) { h.bound(m) })
		}
	case OpDropped, OpResumed:
		var m Ref
		if m, err = ParseRef(body); err == nil {
			d.each(h.Target, func(host *Host) { host.dropped(m.Session, h.ID == OpResumed) })
		}
	default:
		err = ErrMessage
	}
	if err != nil {
		reply.Fail(batch, &firefly.Error{Code: firefly.InvalidArgument, Message: "malformed control message"})
		return
	}
	reply.Send(batch, rpc.Payload{})
}

// each calls f for the role named, for every role when none is named.
func (d *Dispatcher) each(role string, f func(*Host)) {
	if role != "" {
		if h := d.byRole[role]; h != nil {
			f(h)
		}
		return
	}
	for _, h := range d.hosts {
		f(h)
	}
}

// closed closes the session at the role, or the roles, and answers when the hooks of all of
// them have returned.
func (d *Dispatcher) closed(role string, m Close, reply rpc.Reply, batch *transport.Batch) {
	all := newCountdown(func(batch *transport.Batch) { reply.Send(batch, rpc.Payload{}) })
	d.each(role, func(h *Host) { h.closed(m.Session, m.Reason, all) })
	all.done(batch)
}
