package router

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/cluster"
	"github.com/firefly-go/firefly/runtime/directory"
	"github.com/firefly-go/firefly/runtime/mailbox"
	"github.com/firefly-go/firefly/runtime/rpc"
	"github.com/firefly-go/firefly/runtime/transport"
)

// defaultTimeout is that of a call which declares none, when its caller has more time left.
const defaultTimeout = 10 * time.Second

// Cluster is what roles know of the other nodes; *cluster.Cluster implements it.
type Cluster interface {
	Me() *cluster.Peer
	Peer(name string) *cluster.Peer
	Incarnation(i firefly.Incarnation) *cluster.Peer
	Role(role string) []*cluster.Peer
	Nodes(role string) []string
	Owner(role string, key uint64) string
	Pick(role string) (*cluster.Peer, error)
	Topology() uint64
}

// RouterOptions are those of a Router. Cluster is needed.
type RouterOptions struct {
	Node, Role string // in whose name it speaks
	Cluster    Cluster
	// Directory knows where players are; nil: only those of the Host's sessions are known.
	Directory directory.Directory
	// GateRoles are the roles whose nodes have sessions.
	GateRoles []string
}

// Router makes the calls and sends the pushes of one role. Its methods may be called by any
// goroutine. With the ctx of a handler they yield the logic loop; with another ctx, as in
// tests, they block.
type Router struct {
	o       RouterOptions
	host    *Host     // nil: a Router of its own
	out     *outboxes // of the node; nil: nothing is kept
	scratch sync.Pool
	dropped atomic.Uint64
	logged  atomic.Int64
}

// NewRouter makes a Router without a role, for tests and tools. Hosts have their own.
func NewRouter(o RouterOptions) *Router { return newRouter(nil, o) }

func newRouter(h *Host, o RouterOptions) *Router {
	r := &Router{o: o, host: h}
	r.scratch.New = func() any { return new(envelope) }
	return r
}

// caller is what a Router knows of the one who calls it.
type caller struct {
	env   *env             // nil outside of the runtime
	loop  *mailbox.Context // nil off the loop
	batch *transport.Batch // that of the loop; nil: what is sent leaves at once
}

func callerOf(ctx context.Context) caller {
	c := caller{env: envOf(ctx), loop: mailbox.From(ctx)}
	// A goroutine that was started with the ctx of a handler must not touch the loop's batch.
	if c.loop != nil && c.env != nil && c.loop.Own() {
		c.batch = &c.env.host.batch
	}
	return c
}

// header makes the header of what the caller sends.
func (c *caller) header(kind rpc.Kind, id uint64, role string) rpc.Header {
	h := rpc.Header{Kind: kind, ID: id, Target: role}
	if c.env == nil {
		h.Request = newRequest()
		return h
	}
	h.Request, h.Player, h.Hops, h.Session = c.env.call.Request, c.env.call.Player, c.env.call.Hops, c.env.sid
	return h
}

// Call makes a call and gives the body of the reply to reply (nil: dropped), which may use it
// until it returns and may run on another goroutine while the caller waits. When spec.NoReply
// is set it returns as soon as the message is queued; it yields then only when it must ask
// where a player is.
//
// Codes beside those of the handler: Unavailable and Overloaded (surely not executed),
// Unknown (the node was lost meanwhile), DeadlineExceeded, TooManyHops.
func (r *Router) Call(ctx context.Context, spec *firefly.CallSpec, key Key, req Body, reply func(body []byte) error) error {
	return r.call(ctx, spec, key, "", req, reply)
}

// CallAt is Call to a node by its name, whatever a key would say; Unavailable when no living
// node of that name plays the role.
func (r *Router) CallAt(ctx context.Context, node string, spec *firefly.CallSpec, req Body, reply func(body []byte) error) error {
	if node == "" {
		return noNode(spec.Role)
	}
	return r.call(ctx, spec, NoKey(), node, req, reply)
}

func (r *Router) call(ctx context.Context, spec *firefly.CallSpec, key Key, node string, req Body, reply func([]byte) error) error {
	c := callerOf(ctx)
	h := c.header(KindCall, spec.ID, spec.Role)
	if c.env != nil {
		h.Hops++
		if h.Hops > maxHops {
			return errLoop
		}
	}
	until := time.Now().Add(r.timeoutOf(spec))
	if d, ok := ctx.Deadline(); ok && d.Before(until) {
		until = d
	}
	e := r.plainly(&c, spec, key, node)
	if err := r.joins(ctx, &c, spec, key, e != nil); err != nil {
		return err
	}
	if e != nil {
		return r.plain(ctx, &c, e, spec, until, req, reply)
	}
	var sent, moved bool
	for {
		err := r.try(ctx, &c, &h, spec, key, node, until, req, reply)
		switch {
		case err == nil:
			return nil
		case err.Code == firefly.MovedAway && !moved:
			moved = true
			continue
		case err.Code == firefly.MovedAway:
			// Both sides believe in different topologies. MOVED is no word for handlers.
			err = &firefly.Error{Code: firefly.Unavailable, Message: "the nodes do not agree yet on who owns the key"}
		case err.Code == firefly.Unknown && spec.Idempotent && !sent:
			sent = true
			continue
		}
		if sent && (err.Code == firefly.Unavailable || err.Code == firefly.Overloaded) {
			// That is true of the second time only.
			return &firefly.Error{Code: firefly.Unknown, Message: "the node was lost before it answered", Cause: err}
		}
		return err
	}
}

func (r *Router) timeoutOf(spec *firefly.CallSpec) time.Duration {
	if r.host != nil && r.host.o.Patient {
		return r.host.longest()
	}
	if spec.Timeout > 0 {
		return min(spec.Timeout, maxRun)
	}
	return defaultTimeout
}

// try finds the node and sends once.
func (r *Router) try(ctx context.Context, c *caller, h *rpc.Header, spec *firefly.CallSpec, key Key, node string, until time.Time, req Body, reply func([]byte) error) *firefly.Error {
	h.Key = 0
	to, err := r.place(ctx, c, h, spec, key, node)
	if err != nil {
		return coded(err)
	}
	if err := to.Fits(spec.Name); err != nil {
		return coded(err)
	}
	link, err := to.Link()
	if err != nil {
		return coded(err)
	}
	h.Topology = r.o.Cluster.Topology()
	if h.Timeout = time.Until(until); h.Timeout <= 0 {
		return errDeadline
	}
	p := rpc.Payload{Msg: req.Msg, Raw: req.Raw}
	if spec.NoReply {
		return coded(link.Send(c.batch, h, p))
	}
	return coded(link.Call(ctx, h, p, reply))
}

var errDeadline = &firefly.Error{Code: firefly.DeadlineExceeded, Message: "no answer in time"}

// coded makes an error of one that carries no code, too.
func coded(err error) *firefly.Error {
	if err == nil {
		return nil
	}
	var e *firefly.Error
	switch {
	case errors.As(err, &e):
		return e
	case errors.Is(err, context.DeadlineExceeded):
		return errDeadline
	case errors.Is(err, mailbox.ErrStopped), errors.Is(err, context.Canceled):
		return &firefly.Error{Code: firefly.Canceled, Message: "the caller stops", Cause: err}
	}
	return &firefly.Error{Code: firefly.Unavailable, Message: "the node cannot be reached", Cause: err}
}

// place finds the node that a call goes to, and sets h.Key when a key has picked it.
func (r *Router) place(ctx context.Context, c *caller, h *rpc.Header, spec *firefly.CallSpec, key Key, node string) (*cluster.Peer, error) {
	player, own := firefly.PlayerID(0), false
	switch {
	case node != "":
		p, err := r.named(node, spec.Role)
		if err == nil && !p.Plays(spec.Role) {
			return nil, noNode(spec.Role)
		}
		return p, err
	case spec.Routing == firefly.LeastLoaded || spec.Routing == firefly.Single:
		return r.o.Cluster.Pick(spec.Role)
	case key.kind == hashKey:
		return r.owner(h, spec.Role, key)
	case key.kind == playerKey:
		player = firefly.PlayerID(key.value)
	case h.Player != 0:
		player, own = h.Player, true
	default:
		return r.o.Cluster.Pick(spec.Role)
	}
	if spec.Routing == firefly.Hash {
		return r.owner(h, spec.Role, IntKey(int64(player)))
	}
	if nodes := r.o.Cluster.Nodes(spec.Role); len(nodes) == 1 {
		return r.named(nodes[0], spec.Role)
	}
	gate, online, err := r.gateOf(ctx, c, player)
	switch {
	case err != nil:
		return nil, err
	case !online && own:
		return r.o.Cluster.Pick(spec.Role)
	case !online:
		// He is pinned nowhere and nobody can pin him; the same node each time is the next best.
		return r.named(r.o.Cluster.Owner(spec.Role, IntKey(int64(player)).value), spec.Role)
	}
	return r.pinned(ctx, c, gate, player, spec.Role)
}

func (r *Router) named(node, role string) (*cluster.Peer, error) {
	if node != "" {
		if p := r.o.Cluster.Peer(node); p != nil {
			return p, nil
		}
	}
	return nil, noNode(role)
}

func noNode(role string) *firefly.Error {
	return &firefly.Error{Code: firefly.Unavailable, Message: fmt.Sprintf("no node of role %q serves this now", role)}
}

func (r *Router) owner(h *rpc.Header, role string, key Key) (*cluster.Peer, error) {
	h.Key = key.value
	return r.named(r.o.Cluster.Owner(role, key.value), role)
}

// gateOf finds the gate of a player; false: he is not online.
func (r *Router) gateOf(ctx context.Context, c *caller, p firefly.PlayerID) (firefly.Incarnation, bool, error) {
	if c.env != nil && c.env.call.Player == p {
		if s := c.env.call.Session; s != nil && s.Player() == p {
			return s.ID().Gate, true, nil
		}
	}
	if r.host != nil {
		if s := r.host.sessionOf(p); s != nil {
			return s.id.Gate, true, nil
		}
	}
	if r.o.Directory == nil {
		return 0, false, nil
	}
	e, ok, err := r.o.Directory.Lookup(ctx, p)
	if err != nil {
		return 0, false, &firefly.Error{Code: firefly.Unavailable, Message: "the directory is away", Cause: err}
	}
	return e.Session.Gate, ok, nil
}

// pinned asks the player's gate where he is pinned.
func (r *Router) pinned(ctx context.Context, c *caller, gate firefly.Incarnation, p firefly.PlayerID, role string) (*cluster.Peer, error) {
	g := r.o.Cluster.Incarnation(gate)
	if g == nil {
		return nil, &firefly.Error{Code: firefly.Unavailable, Message: "the player's gate is lost"}
	}
	var at PinReply
	err := r.ask(ctx, c, g, OpPin, firefly.SessionID{}, Pin{Player: p, Role: role}.Append(nil), func(b []byte) (err error) {
		at, err = ParsePinReply(b)
		return err
	})
	if err != nil {
		if err.Code == firefly.Unknown { // only the question is lost
			return nil, &firefly.Error{Code: firefly.Unavailable, Message: "the player's gate was lost", Cause: err}
		}
		return nil, err
	}
	if n := r.o.Cluster.Peer(at.Node); n != nil && n.Incarnation == at.Incarnation {
		return n, nil
	}
	return nil, noNode(role)
}

// control sends a control message of a session to its gate and waits for the answer.
func (r *Router) control(ctx context.Context, s *Session, op uint64, body []byte, reply func([]byte) error) error {
	c := callerOf(ctx)
	if err := r.ask(ctx, &c, s.gate.Load(), op, s.id, body, reply); err != nil {
		return err
	}
	return nil
}

func (r *Router) ask(ctx context.Context, c *caller, gate *cluster.Peer, op uint64, s firefly.SessionID, body []byte, reply func([]byte) error) *firefly.Error {
	link, err := gate.Link()
	if err != nil {
		return coded(err)
	}
	h := c.header(KindControl, op, r.o.Role)
	h.Timeout = maxRun // or what is left of ctx
	if !s.IsZero() {
		h.Session = s
	}
	return coded(link.Call(ctx, &h, rpc.Payload{Raw: body}, reply))
}

// plainly gives the handler when a call is a plain function call: to the own role on the own
// node, where nothing else decides, or the key that brought the caller here does.
func (r *Router) plainly(c *caller, spec *firefly.CallSpec, key Key, node string) *handler {
	h := r.host
	if h == nil || c.batch == nil || c.env.host != h || spec.Role != h.role || spec.NoReply || node != "" {
		return nil
	}
	switch key.kind {
	case hashKey:
		if key.value != c.env.key {
			return nil
		}
	case playerKey:
		if spec.Routing == firefly.Hash {
			if key.Hash() != c.env.key {
				return nil
			}
		} else if s := c.env.call.Session; s == nil || s.Player() != firefly.PlayerID(key.value) {
			return nil
		}
	}
	return h.calls[spec.ID]
}

// plainCtx is the ctx of a plain function call: the caller's, with the callee's name.
type plainCtx struct {
	context.Context
	inner env
}

func (p *plainCtx) Value(key any) any {
	if v := p.inner.Value(key); v != nil {
		return v
	}
	return p.Context.Value(key)
}

// plain runs a handler in place. Request and reply are cloned by their codec, as they would
// be on the way to another node.
func (r *Router) plain(ctx context.Context, c *caller, e *handler, spec *firefly.CallSpec, until time.Time, req Body, reply func([]byte) error) (err error) {
	body, err := encode(req)
	if err != nil {
		return err
	}
	t := task{e: e}
	if err := t.decode(body); err != nil {
		return err
	}
	p := &plainCtx{Context: ctx, inner: *c.env}
	p.inner.call.Name = spec.Name
	p.inner.call.Hops++
	if d, ok := ctx.Deadline(); !ok || until.Before(d) {
		shorter, cancel := context.WithDeadline(ctx, until)
		defer cancel()
		p.Context = shorter
	}
	normal := false
	defer func() {
		if normal {
			return
		}
		if v := recover(); v != nil {
			err = r.host.inner(&p.inner.call, fmt.Errorf("panic: %v", v), stackHere())
		}
	}()
	out, err := e.call(p, t.req)
	normal = true
	if err != nil {
		return r.host.travel(&p.inner.call, err)
	}
	if body, err = encode(out); err != nil || reply == nil {
		return err
	}
	return reply(body)
}

func encode(b Body) ([]byte, error) {
	if b.Msg == nil {
		return b.Raw, nil
	}
	buf := make([]byte, b.Msg.SizeVT())
	n, err := b.Msg.MarshalToSizedBufferVT(buf)
	if err != nil {
		return nil, &firefly.Error{Code: firefly.InvalidArgument, Message: "the message does not encode", Cause: err}
	}
	return buf[len(buf)-n:], nil
}

// Each makes a call to every living node that plays the role, beside each other, and gives the
// replies to reply one at a time, in the order of the nodes' names. The first error of reply
// ends it. When spec.NoReply is set it does not yield, so that what goes to a node keeps the
// order in which it was sent, and reply hears which messages were not queued.
func (r *Router) Each(ctx context.Context, spec *firefly.CallSpec, req Body, reply func(node string, body []byte, err error) error) error {
	c := callerOf(ctx)
	peers := slices.Clone(r.o.Cluster.Role(spec.Role))
	if spec.NoReply {
		var first error
		for _, p := range peers {
			err := r.CallAt(ctx, p.Name, spec, req, nil)
			if first == nil {
				first = reply(p.Name, nil, err)
			}
		}
		return first
	}
	type answer struct {
		body []byte
		err  error
	}
	answers := make([]answer, len(peers))
	one := func(ctx context.Context, i int) {
		answers[i].err = r.CallAt(ctx, peers[i].Name, spec, req, func(b []byte) error {
			answers[i].body = slices.Clone(b)
			return nil
		})
	}
	all := func(ctx context.Context) {
		var wg sync.WaitGroup
		for i := range peers {
			wg.Go(func() { one(ctx, i) })
		}
		wg.Wait()
	}
	if c.loop != nil {
		c.loop.Await(all)
	} else {
		all(ctx)
	}
	for i, a := range answers {
		if err := reply(peers[i].Name, a.body, a.err); err != nil {
			return err
		}
	}
	return nil
}
