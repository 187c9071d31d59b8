package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/directory"
	"github.com/firefly-go/firefly/runtime/rpc"
	"github.com/firefly-go/firefly/runtime/table/remote"
	"github.com/firefly-go/firefly/runtime/transport"
)

// Handler gets what other processes, and this one, send. Calls of one peer come one at a time
// and in order; they must not block. h and body are valid until return.
type Handler interface {
	Serve(p *Peer, h *rpc.Header, body []byte, reply rpc.Reply, batch *transport.Batch)
}

// Options are those of a Cluster.
type Options struct {
	Self      Member // Name, Incarnation and Roles are needed; Address is filled in by Start
	Listen    string // for links; "127.0.0.1:0"
	Advertise string // the address that others dial; default is where it listens
	Network   transport.Network
	Secret    []byte
	Game      string
	Declared  Declared
	Schemas   []*firefly.Schema // what this build understands; compared with every peer
	Handler   Handler
	// Directory is served to other nodes by a process with the role store.
	Directory *directory.Server
	// Tables is the embedded store, served to other nodes by the same process; each request runs on a
	// goroutine of its own.
	Tables *remote.Server
	// Load is asked every second while there is a master.
	Load func() (sessions, load int)
	// TablesStatus is asked as Load is, for Vitals; nil: the process keeps no tables.
	TablesStatus func() json.RawMessage
	// Control answers what the master asks of this node, on a goroutine of its own.
	Control func(ctx context.Context, op string, body []byte) ([]byte, error)
	// OnRefused is called once, when this life is over as far as the cluster is concerned: it
	// was declared dead, or another process has its name. The process should end.
	OnRefused func(err error)
	// OnDeclared is called with a higher version of the declared nodes, to be kept.
	OnDeclared func(Declared)
	// Lease is how long a peer that the master does not know may be unreachable before its
	// life counts as over; 5 s.
	Lease time.Duration
	// Silence is how long a link may bring nothing before it is taken for dead; 5 s.
	Silence time.Duration
	Log     *slog.Logger
}

// Cluster is what one process knows of the others. Its goroutines - one per peer that is
// being dialed, one for the master, one while observers are told - end with Close.
type Cluster struct {
	o      Options
	log    *slog.Logger
	shapes []rpc.Shape // ours
	hashes map[string]rpc.Shape
	me     *Peer
	now    atomic.Pointer[table] // what readers see, without the lock

	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup // all goroutines
	links  sync.WaitGroup // all links that are not down yet
	refuse sync.Once
	asked  atomic.Bool // Join was called: there should be a master
	joined atomic.Bool // the master listens to us

	mu       sync.Mutex
	ln       *rpc.Listener
	self     Member
	view     View
	declared Declared
	living   map[string]*Peer
	ending   map[string]*Peer               // lives that are over, but whose link is not down yet
	dead     map[string]firefly.Incarnation // and all before it
	master   *rpc.Link                      // nil: away
	closed   bool
	changed  chan struct{} // closed and made anew at every change

	events    []event // for observers, in order
	observers []func(m Member, e Event)
	telling   bool
	report    chan struct{} // state or load is worth telling the master now
}

// Event is what happened to one life of a process.
type Event uint8

// The events of a life, each but Back at most once and in this order.
const (
	// Linked: it is reachable for the first time. It may still start, and refuse what it gets.
	Linked Event = iota
	// Serving: the master has heard that it serves, and it is linked. A process that dies while it
	// starts never comes to this.
	Serving
	// Over: its link is down, every call to it has been completed, and nothing of it is served any
	// more. A link that only broke is no event.
	Over
	// Back: a link follows one that broke, any time between Linked and Over.
	Back
)

func (e Event) String() string { return [...]string{"linked", "serving", "over", "back"}[e] }

// event is an Event of a life, on its way to the observers.
type event struct {
	p    *Peer
	what Event
	only func(m Member, e Event) // nil: all observers
}

// New makes a cluster of one; nothing runs before Start.
func New(o Options) *Cluster {
	if o.Listen == "" {
		o.Listen = "127.0.0.1:0"
	}
	if o.Lease == 0 {
		o.Lease = 5 * time.Second
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Self.State == "" {
		o.Self.State = Starting
	}
	c := &Cluster{
		o: o, log: o.Log, self: o.Self, declared: o.Declared, hashes: map[string]rpc.Shape{},
		living: map[string]*Peer{}, ending: map[string]*Peer{}, dead: map[string]firefly.Incarnation{},
		changed: make(chan struct{}), report: make(chan struct{}, 1),
	}
	c.shapes = shapesOf(o.Schemas)
	for _, s := range c.shapes {
		c.hashes[s.Name] = s
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.me = &Peer{Name: o.Self.Name, Incarnation: o.Self.Incarnation, c: c}
	c.me.member.Store(&o.Self)
	c.me.link.Store(rpc.Local(c.identity(), &inbound{c, c.me}))
	c.living[c.me.Name] = c.me
	c.publish()
	return c
}

// shapesOf lists what schemas declare, by full name.
func shapesOf(schemas []*firefly.Schema) []rpc.Shape {
	var all []rpc.Shape
	for _, s := range schemas {
		for i := range s.Commands {
			all = append(all, rpc.Shape{Name: s.Commands[i].Name, Hash: s.Commands[i].Shape, Accepts: s.Commands[i].Accepts})
		}
		for i := range s.Calls {
			all = append(all, rpc.Shape{Name: s.Calls[i].Name, Hash: s.Calls[i].Shape, Accepts: s.Calls[i].Accepts})
		}
		for i := range s.Pushes {
			all = append(all, rpc.Shape{Name: s.Pushes[i].Name, Hash: s.Pushes[i].Shape, Accepts: s.Pushes[i].Accepts})
		}
	}
	return all
}

func (c *Cluster) identity() rpc.Identity {
	return rpc.Identity{
		Node: c.self.Name, Incarnation: c.self.Incarnation, Game: c.o.Game,
		Address: c.self.Address, Roles: c.self.Roles, Shapes: c.shapes,
	}
}

func (c *Cluster) linkOptions() rpc.Options {
	return rpc.Options{Self: c.identity(), Secret: c.o.Secret, Silence: c.o.Silence, Log: c.log}
}

// Start listens for links and begins to connect. The context bounds only the start.
func (c *Cluster) Start(context.Context) error {
	// Whoever dials must learn the address that others use, which is known only after
	// listening; a link that comes in between is accepted all the same.
	ln, err := rpc.Listen(c.o.Network, c.o.Listen, c.linkOptions(), c.accept)
	if err != nil {
		return fmt.Errorf("cluster: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ln = ln
	c.self.Address = c.o.Advertise
	if c.self.Address == "" {
		c.self.Address = ln.Addr().String()
	}
	self := c.self
	c.me.member.Store(&self)
	for _, p := range c.living {
		c.dial(p)
	}
	c.publish()
	return nil
}

// SetState changes what the registry shows as this node's state.
func (c *Cluster) SetState(state string) {
	c.mu.Lock()
	c.self.State = state
	self := c.self
	c.me.member.Store(&self)
	c.notify()
	c.mu.Unlock()
	select {
	case c.report <- struct{}{}:
	default:
	}
}

// View is what this process believes.
func (c *Cluster) View() View {
	c.mu.Lock()
	defer c.mu.Unlock()
	v := c.view
	v.Declared = c.declared
	v.Members = nil
	for _, p := range c.living {
		v.Members = append(v.Members, p.Member())
	}
	slices.SortFunc(v.Members, byName)
	return v
}

// Self is this process.
func (c *Cluster) Self() Member {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.self
}

// Me is this process as a Peer; its link is local.
func (c *Cluster) Me() *Peer { return c.me }

// OnPeer adds an observer, which is called for every Event of every other life. What has
// happened to those that are not over is told first. Calls come one at a time, in order, on a
// goroutine of the cluster; a slow observer delays only the others.
func (c *Cluster) OnPeer(f func(m Member, e Event)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.observers = append(c.observers, f)
	for _, p := range c.living {
		if p.told && p != c.me {
			c.events = append(c.events, event{p, Linked, f})
		}
		if p.serves && p != c.me {
			c.events = append(c.events, event{p, Serving, f})
		}
	}
	c.tell()
}

// announce queues an event for the observers, and Serving behind Linked when that holds as
// well; the lock is held.
func (c *Cluster) announce(p *Peer, e Event) {
	if p.told == (e != Over) {
		return
	}
	p.told = e != Over
	c.events = append(c.events, event{p, e, nil})
	c.serving(p)
	c.tell()
}

// serving tells the observers of a life that serves and is linked; the lock is held.
func (c *Cluster) serving(p *Peer) {
	if p.serves || !p.told || p.gone.Load() || p.link.Load() == nil || p.member.Load().State != Ready {
		return
	}
	p.serves = true
	c.events = append(c.events, event{p, Serving, nil})
	c.tell()
}

// tell starts the goroutine that calls the observers; the lock is held.
func (c *Cluster) tell() {
	if c.telling || c.closed || len(c.events) == 0 {
		return
	}
	c.telling = true
	c.wg.Go(func() {
		for {
			c.mu.Lock()
			if len(c.events) == 0 {
				c.telling = false
				c.mu.Unlock()
				return
			}
			e := c.events[0]
			c.events = c.events[1:]
			to := slices.Clone(c.observers)
			if e.only != nil {
				to = []func(Member, Event){e.only}
			}
			c.mu.Unlock()
			for _, f := range to {
				f(e.p.Member(), e.what)
			}
		}
	})
}

// notify wakes who waits for a change; the lock is held.
func (c *Cluster) notify() {
	close(c.changed)
	c.changed = make(chan struct{})
}

// Connected waits until every declared role is played by a peer that is linked, and all
// members of the view are. When ctx ends first, the error names what is missing.
func (c *Cluster) Connected(ctx context.Context) error {
	for {
		c.mu.Lock()
		missing := c.missing()
		changed := c.changed
		c.mu.Unlock()
		if len(missing) == 0 {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("cluster: not connected to %v: %w", missing, ctx.Err())
		case <-c.ctx.Done():
			return errors.New("cluster: closed")
		}
	}
}

// missing names roles without a linked node and members without a link; the lock is held.
func (c *Cluster) missing() []string {
	var out []string
	linked := map[string]bool{}
	for _, p := range c.living {
		if _, err := p.Link(); err != nil {
			out = append(out, p.Name)
			continue
		}
		for _, r := range p.Member().Roles {
			linked[r] = true
		}
	}
	for r := range c.declared.Roles {
		if !linked[r] {
			out = append(out, "role "+r)
		}
	}
	slices.Sort(out)
	return out
}

// leaveTime is how long the master may take to hear that this life ends.
const leaveTime = 300 * time.Millisecond

// Close sends what was queued, closes all links, tells the master that this life is over, and
// waits for everything that runs here: about a second at most. Nothing is served afterwards,
// and observers hear nothing of it. Neither they nor handlers may call it.
func (c *Cluster) Close() {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return
	}
	c.closed = true
	c.events = nil
	ln := c.ln
	var links []*rpc.Link
	for _, p := range c.living {
		if l := p.link.Load(); l != nil {
			links = append(links, l)
		}
		if p.lease != nil {
			p.lease.Stop()
		}
	}
	master := c.master
	c.notify()
	c.mu.Unlock()
	if ln != nil {
		_ = ln.Close()
	}
	for _, l := range links {
		l.Close(nil)
	}
	c.links.Wait()
	if master != nil {
		// After the links, so that nobody drops what this process still had to say.
		ctx, cancel := context.WithTimeout(c.ctx, leaveTime)
		if err := master.Call(ctx, &rpc.Header{Kind: KindRegistry, ID: opLeave}, rpc.Payload{}, nil); err != nil {
			c.log.Debug("the master did not hear that this node leaves", "error", err)
		}
		cancel()
	}
	c.cancel()
	c.wg.Wait()
}

// over ends this life once: the cluster does not want it any more. It runs on a goroutine of
// its own, since who is told may close the cluster.
func (c *Cluster) over(err error) {
	c.refuse.Do(func() {
		c.log.Error("this process is no longer part of the cluster", "error", err)
		if c.o.OnRefused != nil {
			c.o.OnRefused(err)
		}
	})
}
