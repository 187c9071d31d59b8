package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/rpc"
	"github.com/firefly-go/firefly/runtime/transport"
)

// RegistryOptions are those of a Registry.
type RegistryOptions struct {
	Self     Member // the master itself
	Network  transport.Network
	Secret   []byte
	Game     string
	Declared Declared
	// Grace is how long a member whose link is down may come back; 10 s.
	Grace time.Duration
	// Silence is as in Options.
	Silence time.Duration
	// OnChange is called with every new view, in order; it must not block.
	OnChange func(View)
	Log      *slog.Logger
}

// Registry is the member table of the master. It is not on the way of any player's bytes:
// nodes go on with the last view while there is none.
type Registry struct {
	o   RegistryOptions
	log *slog.Logger

	mu      sync.Mutex
	ln      *rpc.Listener
	view    View
	entries map[string]*entry
	dead    map[string]firefly.Incarnation
	closed  bool
	links   map[*rpc.Link]struct{}
	downs   sync.WaitGroup // links that are not down yet
	later   *time.Timer    // a view with new loads goes out then
}

// entry is a member with its link.
type entry struct {
	member Member
	link   *rpc.Link // nil: lost
	grace  *time.Timer
}

var errMissed = errors.New("registry: the node does not read its views")

// spread is how long new loads wait to be told together; changes of membership do not wait.
const spread = 500 * time.Millisecond

// NewRegistry makes an empty one.
func NewRegistry(o RegistryOptions) *Registry {
	if o.Grace == 0 {
		o.Grace = 10 * time.Second
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	return &Registry{
		o: o, log: o.Log, entries: map[string]*entry{}, dead: map[string]firefly.Incarnation{}, links: map[*rpc.Link]struct{}{},
		view: View{Version: uint64(time.Now().UnixMicro()), Declared: o.Declared},
	}
}

// Listen accepts nodes at addr.
func (r *Registry) Listen(addr string) (net.Addr, error) {
	self := rpc.Identity{Node: r.o.Self.Name, Incarnation: r.o.Self.Incarnation, Game: r.o.Game}
	ln, err := rpc.Listen(r.o.Network, addr, rpc.Options{Self: self, Secret: r.o.Secret, Silence: r.o.Silence, Log: r.log}, func(l *rpc.Link) rpc.Handler {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.closed {
			return nil
		}
		r.links[l] = struct{}{}
		r.downs.Add(1)
		return (*fromNode)(r)
	})
	if err != nil {
		return nil, fmt.Errorf("registry: %w", err)
	}
	r.mu.Lock()
	r.ln = ln
	r.mu.Unlock()
	return ln.Addr(), nil
}

// View is the table.
func (r *Registry) View() View {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.current()
}

// current is the view as it stands; the lock is held.
func (r *Registry) current() View {
	v := r.view
	v.Members = make([]Member, 0, len(r.entries))
	for _, e := range r.entries {
		v.Members = append(v.Members, e.member)
	}
	slices.SortFunc(v.Members, byName)
	v.Dead = make([]Dead, 0, len(r.dead))
	for name, i := range r.dead {
		v.Dead = append(v.Dead, Dead{name, i})
	}
	slices.SortFunc(v.Dead, func(a, b Dead) int { return strings.Compare(a.Name, b.Name) })
	return v
}

// changed sends a new view to everyone; the lock is held, so that views go out in order.
func (r *Registry) changed() {
	if r.later != nil {
		r.later.Stop()
		r.later = nil
	}
	r.view.Version = max(r.view.Version+1, uint64(time.Now().UnixMicro()))
	v := r.current()
	body, err := json.Marshal(v)
	if err != nil {
		r.log.Error("a view does not encode", "error", err)
		return
	}
	for _, e := range r.entries {
		if e.link == nil {
			continue
		}
		if err := e.link.Send(nil, &rpc.Header{Kind: KindRegistry, ID: opView}, rpc.Payload{Raw: body}); err != nil {
			e.link.Close(errMissed) // it registers again and gets the whole
		}
	}
	if r.o.OnChange != nil {
		r.o.OnChange(v)
	}
}

// Gone says that a process is surely dead: it came from the supervisor. Incarnation 0 means
// whichever life of the name is in the table.
func (r *Registry) Gone(name string, i firefly.Incarnation) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.entries[name]
	if i == 0 {
		if e == nil {
			return
		}
		i = e.member.Incarnation
	}
	r.bury(name, i)
}

// bury takes a life out of the table; the lock is held.
func (r *Registry) bury(name string, i firefly.Incarnation) {
	if r.closed || i <= r.dead[name] {
		return
	}
	r.dead[name] = i
	if e := r.entries[name]; e != nil && e.member.Incarnation <= i {
		r.drop(e)
		delete(r.entries, name)
	}
	r.log.Info("member gone", "node", name, "incarnation", i.String())
	r.changed()
}

// drop ends what belongs to an entry; the lock is held.
func (r *Registry) drop(e *entry) {
	if e.grace != nil {
		e.grace.Stop()
	}
	if e.link != nil {
		e.link.Close(errDead)
		e.link = nil
	}
}

// Declare raises the declared nodes; a version that is not higher is ignored.
func (r *Registry) Declare(d Declared) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if d.Version > r.view.Declared.Version {
		r.view.Declared = d
		r.changed()
	}
}

// Control asks something of a node; its Options.Control answers.
func (r *Registry) Control(ctx context.Context, node, op string, body []byte) ([]byte, error) {
	r.mu.Lock()
	e := r.entries[node]
	var l *rpc.Link
	if e != nil {
		l = e.link
	}
	r.mu.Unlock()
	if l == nil {
		return nil, firefly.Unavailable.Errorf("%s is not connected to the master", node)
	}
	ask, err := json.Marshal(control{Op: op, Body: body})
	if err != nil {
		return nil, err
	}
	var out []byte
	err = l.Call(ctx, &rpc.Header{Kind: KindRegistry, ID: opControl}, rpc.Payload{Raw: ask}, func(b []byte) error {
		out = slices.Clone(b)
		return nil
	})
	return out, err
}

// Close ends all links and waits for them; nodes live on.
func (r *Registry) Close() {
	r.mu.Lock()
	r.closed = true
	ln := r.ln
	for _, e := range r.entries {
		if e.grace != nil {
			e.grace.Stop()
		}
	}
	if r.later != nil {
		r.later.Stop()
	}
	var links []*rpc.Link
	for l := range r.links {
		links = append(links, l)
	}
	r.mu.Unlock()
	if ln != nil {
		_ = ln.Close()
	}
	for _, l := range links {
		l.Close(nil)
	}
	r.downs.Wait()
}

// fromNode is the Registry as the Handler of its links.
type fromNode Registry

func (f *fromNode) Serve(l *rpc.Link, h *rpc.Header, body []byte, reply rpc.Reply, batch *transport.Batch) {
	r := (*Registry)(f)
	if h.Kind != KindRegistry {
		reply.Fail(batch, &firefly.Error{Code: firefly.Unimplemented, Message: "the master serves nodes only"})
		return
	}
	switch h.ID {
	case opRegister:
		var reg registration
		if err := json.Unmarshal(body, &reg); err != nil {
			reply.Fail(batch, &firefly.Error{Code: firefly.InvalidArgument, Message: err.Error()})
			return
		}
		v, err := r.register(l, &reg)
		if err != nil {
			reply.Fail(batch, asError(err))
			return
		}
		b, err := json.Marshal(v)
		if err != nil {
			reply.Fail(batch, asError(err))
			return
		}
		reply.Send(batch, rpc.Payload{Raw: b})
	case opLeave:
		// The answer goes first: the end of a life ends its link.
		reply.Send(nil, rpc.Payload{})
		r.leave(l)
	case opReport:
		var rep report
		if err := json.Unmarshal(body, &rep); err == nil {
			r.report(l, &rep)
		}
	default:
		reply.Fail(batch, &firefly.Error{Code: firefly.Unimplemented, Message: fmt.Sprintf("registry operation %d", h.ID)})
	}
}

// register takes a life into the table, or says why not.
func (r *Registry) register(l *rpc.Link, reg *registration) (View, error) {
	m := reg.Member
	id := l.Peer()
	if m.Name != id.Node || m.Incarnation != id.Incarnation || m.Name == "" || m.Name == r.o.Self.Name {
		return View{}, firefly.InvalidArgument.Errorf("a link of %q registers as %q", id.Node, m.Name)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return View{}, firefly.Unavailable.Errorf("the master stops")
	}
	if m.Incarnation <= r.dead[m.Name] {
		return View{}, firefly.FailedPrecondition.Errorf("this life of %s was declared dead", m.Name)
	}
	old := r.entries[m.Name]
	if old != nil && old.member.Incarnation != m.Incarnation {
		if old.link != nil {
			return View{}, firefly.AlreadyExists.Errorf("%s runs already, as process %d on %s", m.Name, old.member.PID, old.member.Host)
		}
		if old.member.Incarnation > m.Incarnation {
			return View{}, firefly.AlreadyExists.Errorf("a later life of %s is expected back", m.Name)
		}
		r.dead[m.Name] = max(r.dead[m.Name], old.member.Incarnation)
		r.drop(old)
		old = nil
	}
	if old == nil {
		old = &entry{}
		r.entries[m.Name] = old
	}
	if old.grace != nil {
		old.grace.Stop()
	}
	if old.link != nil && old.link != l {
		old.link.Close(nil)
	}
	old.member, old.link = m, l
	if reg.Declared.Version > r.view.Declared.Version {
		r.view.Declared = reg.Declared
	}
	r.log.Info("member registered", "node", m.Name, "incarnation", m.Incarnation.String(), "pid", m.PID)
	r.changed()
	return r.current(), nil
}

// leave is the orderly end of the life that is registered over the link.
func (r *Registry) leave(l *rpc.Link) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e := r.entries[l.Peer().Node]; e != nil && e.link == l {
		r.bury(e.member.Name, e.member.Incarnation)
	}
}

func (r *Registry) report(l *rpc.Link, rep *report) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.entries[l.Peer().Node]
	if e == nil || e.link != l || r.closed {
		return
	}
	was := e.member
	e.member.State, e.member.Sessions, e.member.Load, e.member.Detail = rep.State, rep.Sessions, rep.Load, rep.Detail
	e.member.Vitals = rep.Vitals // for who asks; no view goes out for them
	switch {
	case was.State != rep.State:
		r.changed()
	case was.Load != rep.Load || was.Sessions != rep.Sessions || was.Detail != rep.Detail:
		if r.later == nil {
			r.later = time.AfterFunc(spread, func() {
				r.mu.Lock()
				defer r.mu.Unlock()
				if r.later != nil && !r.closed {
					r.changed()
				}
			})
		}
	}
}

// Down is the end of a node's link: it may come back within the grace time.
func (f *fromNode) Down(l *rpc.Link, err error) {
	r := (*Registry)(f)
	defer r.downs.Done()
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.links, l)
	name := l.Peer().Node
	e := r.entries[name]
	if e == nil || e.link != l || r.closed {
		return
	}
	e.link = nil
	e.member.State = Lost
	life := e.member.Incarnation
	r.log.Warn("member lost", "node", name, "error", err)
	e.grace = time.AfterFunc(r.o.Grace, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if e := r.entries[name]; e != nil && e.member.Incarnation == life && e.link == nil {
			r.bury(name, life)
		}
	})
	r.changed()
}
