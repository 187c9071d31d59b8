package node

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"runtime/debug"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/cluster"
	"github.com/firefly-go/firefly/runtime/directory"
	"github.com/firefly-go/firefly/runtime/gate"
	"github.com/firefly-go/firefly/runtime/master"
	"github.com/firefly-go/firefly/runtime/router"
	"github.com/firefly-go/firefly/runtime/table"
	"github.com/firefly-go/firefly/runtime/transport"
)

// nodeOptions say what one node is made of.
type nodeOptions struct {
	launch       *Launch // checked
	roles        []Role  // of the game
	name         string  // of this node in the launch file
	network      transport.Network
	doors        transport.Network // of clients
	secret       []byte
	master       string // where the master's links are
	log          *slog.Logger
	interceptors []Interceptor
	patient      bool // no timeouts
	strict       bool // a yield on a foreign goroutine panics
	supervised   bool
	getenv       func(string) string
	data         string // the data folder
	ephemeral    bool   // nothing in it has to survive a crash of the host
	migrations   fs.FS  // of the game; nil: none
}

// instance is one node: everything that its process holds. It owns one goroutine for each
// lease of a SINGLE role; stop ends everything in the reverse order of start.
type instance struct {
	o        nodeOptions
	config   firefly.NodeConfig
	self     cluster.Member
	cluster  *cluster.Cluster
	dir      directory.Directory
	redis    *redisDirectory   // that is dir; nil: another one is
	memory   *directory.Memory // that this node serves, or has for itself; nil: neither
	tables   tables
	dispatch *router.Dispatcher
	hosts    []*router.Host
	leases   map[*router.Host]*lease
	serving  map[firefly.Incarnation]bool // peers that the roles heard of; onPeer's own
	gate     *gate.Gate
	gateAt   string

	fatal   chan error    // has room for one: the process has to end
	asked   chan struct{} // closed when the master asked this node to stop
	askOnce sync.Once
	started []*router.Host // in their order
	keepers sync.WaitGroup
	cancel  context.CancelFunc // of the keepers
}

func randomBits() uint32 {
	var b [4]byte
	_, _ = rand.Read(b[:]) // never fails
	return binary.BigEndian.Uint32(b[:])
}

// patience is every timeout of a game that runs under a debugger.
const patience = 24 * time.Hour

// patientSchemas are the schemas with that timeout on every command.
func patientSchemas(schemas []*firefly.Schema) []*firefly.Schema {
	out := make([]*firefly.Schema, len(schemas))
	for i, s := range schemas {
		c := *s
		c.Commands = slices.Clone(s.Commands)
		for j := range c.Commands {
			c.Commands[j].Timeout = patience
		}
		out[i] = &c
	}
	return out
}

func stack() []byte { return debug.Stack() }

// connectTime is how long a starting node waits for links to the others before it says that
// it serves.
const connectTime = time.Second

// startNode starts a node and returns when it serves. ctx bounds the start; afterwards it has
// no meaning.
func startNode(ctx context.Context, o nodeOptions) (n *instance, err error) {
	config, ok := o.launch.node(o.name)
	if !ok {
		return nil, fmt.Errorf("%s has no node %q", o.launch.File, o.name)
	}
	host, _ := os.Hostname()
	n = &instance{
		o: o, config: config, leases: map[*router.Host]*lease{}, serving: map[firefly.Incarnation]bool{}, dispatch: router.NewDispatcher(),
		fatal: make(chan error, 1), asked: make(chan struct{}),
		self: cluster.Member{
			Name: o.name, Incarnation: firefly.NewIncarnation(time.Now(), randomBits()), Roles: config.Roles,
			PID: os.Getpid(), Host: host, Build: build(), State: cluster.Starting,
		},
	}
	keepCtx, cancel := context.WithCancel(context.Background())
	n.cancel = cancel
	if o.supervised {
		n.self.Detail = master.Supervised
	}
	if config.Listen != nil && config.Listen.TCP != "" {
		n.self.Clients = []string{config.Listen.TCP}
		n.gateAt = config.Listen.TCP
	}
	for _, open := range []func() error{
		func() error { return n.tables.open(ctx, n) },
		func() error { return n.openDirectory(ctx) },
		n.makeCluster, n.makeRoles,
	} {
		if err := open(); err != nil {
			cancel()
			return nil, errors.Join(err, n.letGo(ctx))
		}
	}
	if l := config.Listen; l != nil && (l.WebSocket != "" || l.HTTP != "") {
		o.log.Warn("this version opens the tcp door only", "websocket", l.WebSocket, "http", l.HTTP)
	}
	defer func() {
		if err != nil {
			stopCtx, stop := context.WithTimeout(context.Background(), nodeStopTime)
			defer stop()
			_ = n.stop(stopCtx) // what failed first is the error
		}
	}()
	n.cluster.OnPeer(n.onPeer)
	if err := n.cluster.Start(ctx); err != nil {
		return n, err
	}
	n.cluster.Join(o.master)
	// Nothing runs before the master has let this life in: another one may have the name.
	if err := n.registered(ctx); err != nil {
		return n, err
	}
	// Roles first, so that nobody waits for them; then the door; SINGLE ones may have to wait
	// for their lease and hold nobody else up.
	for _, h := range n.hosts {
		if n.leases[h] == nil {
			if err := n.startHost(ctx, h); err != nil {
				return n, err
			}
		}
	}
	if n.gate != nil {
		if err := n.gate.Start(ctx); err != nil {
			return n, err
		}
	}
	for _, h := range n.hosts {
		l := n.leases[h]
		if l == nil {
			continue
		}
		if err := l.acquire(ctx); err != nil {
			return n, err
		}
		if err := n.startHost(ctx, h); err != nil {
			return n, err
		}
		n.keepers.Go(func() {
			if err := l.keep(keepCtx, h.SetServing); err != nil {
				n.fail(err)
			}
		})
	}
	connectCtx, done := context.WithTimeout(ctx, connectTime)
	defer done()
	_ = n.cluster.Connected(connectCtx) // who is not there yet will be found when he comes
	select {
	case err := <-n.fatal:
		return n, err
	case <-ctx.Done():
		return n, ctx.Err()
	default:
	}
	n.cluster.SetState(cluster.Ready)
	return n, nil
}

// registered waits until the master knows this node. It may be started later than the node.
func (n *instance) registered(ctx context.Context) error {
	t := time.NewTicker(5 * time.Millisecond)
	defer t.Stop()
	begun, said := time.Now(), false
	for n.cluster.View().Version == 0 {
		if !said && time.Since(begun) > time.Second {
			n.o.log.Info("waits for the master", "address", n.o.master)
			said = true
		}
		select {
		case <-t.C:
		case err := <-n.fatal:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func (n *instance) startHost(ctx context.Context, h *router.Host) error {
	if err := h.Start(ctx); err != nil {
		return fmt.Errorf("role %s: OnStart: %w", h.Role(), err)
	}
	n.started = append(n.started, h)
	return nil
}

// fail says that the process cannot go on; the first reason is kept.
func (n *instance) fail(err error) {
	select {
	case n.fatal <- err:
	default:
	}
}

func (n *instance) makeCluster() error {
	o := n.o
	advertise, err := advertised(n.config.Link, o.master)
	if err != nil {
		return err
	}
	var server *directory.Server
	if o.launch.Directory == "store" && slices.Contains(n.config.Roles, storeRole) {
		n.memory = directory.NewMemory(nil)
		server = directory.NewServer(n.memory)
	}
	var lease, silence time.Duration
	if o.patient {
		lease, silence = patience, patience
	}
	var schemas []*firefly.Schema
	if len(o.roles) > 0 {
		schemas = o.roles[0].Schemas
	}
	n.cluster = cluster.New(cluster.Options{
		Self: n.self, Listen: n.config.Link, Advertise: advertise, Network: o.network, Secret: o.secret, Game: o.launch.Game,
		Declared: cluster.DeclaredOf(&o.launch.Topology), Schemas: schemas, Handler: n.dispatch, Directory: server, Tables: n.tables.server,
		TablesStatus: n.tables.vitals(), Load: n.load, Control: n.control, Lease: lease, Silence: silence, Log: o.log,
		OnRefused: func(err error) { n.fail(fmt.Errorf("the cluster refuses this process: %w", err)) },
	})
	switch {
	case o.launch.Directory == "memory":
		n.memory = directory.NewMemory(nil)
		n.dir = n.memory
	case n.redis != nil:
		n.dir = n.redis
	default:
		n.dir = n.cluster.Directory()
	}
	return nil
}

// advertised is the address that others dial when link is bound to every interface: that by
// which this host reaches the master. "" means link itself.
func advertised(link, masterAddr string) (string, error) {
	host, port, err := net.SplitHostPort(link)
	if err != nil {
		return "", fmt.Errorf("link: %w", err)
	}
	if ip := net.ParseIP(host); host != "" && (ip == nil || !ip.IsUnspecified()) {
		return "", nil
	}
	if port == "0" {
		return "", fmt.Errorf("link %q: an address of every interface needs a port of its own", link)
	}
	c, err := net.Dial("udp", masterAddr) // sends nothing; it only looks for the way
	if err != nil {
		return "", fmt.Errorf("link %q: the way to the master is not known: %w", link, err)
	}
	defer c.Close()
	local, _, err := net.SplitHostPort(c.LocalAddr().String())
	if err != nil {
		return "", err
	}
	return net.JoinHostPort(local, port), nil
}

// makeRoles makes the roles that this node plays, and its gate.
func (n *instance) makeRoles() error {
	var gateRoles []string
	routing := map[string]firefly.Routing{}
	maxReply := 0
	for i := range n.o.roles {
		r := &n.o.roles[i]
		routing[r.Name] = r.Routing
		if r.Listens != nil {
			gateRoles = append(gateRoles, r.Name)
			if f := int(n.limits(r).MaxFrame); f != 0 && (maxReply == 0 || f < maxReply) {
				maxReply = f
			}
		}
	}
	if maxReply == 0 && len(gateRoles) > 0 {
		maxReply = 64 << 10
	}
	for _, name := range n.config.Roles {
		i := slices.IndexFunc(n.o.roles, func(r Role) bool { return r.Name == name })
		if i < 0 {
			continue // the store
		}
		r := &n.o.roles[i]
		ho := router.HostOptions{
			Role: r.Name, Node: n.o.name, Routing: r.Routing, Cluster: n.cluster, Directory: n.dir, GateRoles: gateRoles,
			Logger: n.o.log, MaxReply: maxReply, Strict: n.o.strict, Patient: n.o.patient,
		}
		schemas := r.Schemas
		if n.o.patient {
			ho.Slow = -1
			schemas = patientSchemas(schemas)
		}
		var l *lease
		around := n.o.interceptors
		if r.Routing == firefly.Single {
			l = newLease(n.dir, r.Name, n.self.Incarnation, n.o.log)
			around = slices.Concat([]Interceptor{l.guard}, around)
		}
		h := router.NewHost(ho)
		if err := newBuilder(h, r, n.o.launch, n.o.getenv, around, func() *table.DB { return n.tables.db(n) }).run(); err != nil {
			return err
		}
		if err := n.dispatch.AddHost(h); err != nil {
			return err
		}
		n.hosts = append(n.hosts, h)
		if l != nil {
			n.leases[h] = l
		}
		if r.Listens == nil {
			continue
		}
		g, err := gate.New(gate.Options{
			Node: n.o.name, Incarnation: n.self.Incarnation, Network: n.o.doors, Address: n.gateAt,
			Listens: n.limits(r), Schemas: schemas, Roles: routing, Plays: n.config.Roles, Cluster: n.cluster,
			Directory: n.dir, MinClient: n.o.launch.MinClient, Logger: n.o.log,
		})
		if err != nil {
			return err
		}
		n.gate = g
		n.dispatch.SetGate(g)
	}
	return nil
}

// limits are those of a gate role, as declared and as the launch file has them.
func (n *instance) limits(r *Role) firefly.Listens {
	return mergeListens(r.Listens.Limits, n.o.launch.Roles[r.Name].Listens)
}

func (n *instance) load() (sessions, load int) {
	for _, h := range n.hosts {
		load += h.Load()
		sessions = max(sessions, h.Stats().Sessions)
	}
	if n.gate != nil {
		sessions = n.gate.Sessions()
	}
	return sessions, load
}

// control answers the master, on a goroutine of its own.
func (n *instance) control(ctx context.Context, op string, body []byte) ([]byte, error) {
	switch op {
	case master.OpStop:
		n.askOnce.Do(func() { close(n.asked) })
		return nil, nil
	case master.OpTables:
		return n.tables.ask(ctx, body)
	case master.OpSync:
		want, err := strconv.ParseUint(string(body), 10, 64)
		if err != nil {
			return nil, firefly.InvalidArgument.Errorf("no version: %q", body)
		}
		for n.cluster.View().Version < want {
			if err := firefly.Sleep(ctx, 5*time.Millisecond); err != nil {
				return nil, err
			}
		}
		return nil, nil
	}
	return nil, firefly.Unimplemented.Errorf("this node knows no operation %q", op)
}

// onPeer hears of the other nodes, one event at a time. A game hears of one that it can reach
// and that serves, and of its end.
func (n *instance) onPeer(m cluster.Member, e cluster.Event) {
	switch e {
	case cluster.Linked:
		return
	case cluster.Back:
		n.dispatch.Back(m.Incarnation)
		return
	}
	if e == cluster.Serving || n.serving[m.Incarnation] {
		for _, h := range n.hosts {
			for _, role := range m.Roles {
				h.Peer(role, m.Name, e == cluster.Serving)
			}
		}
	}
	if e == cluster.Serving {
		n.serving[m.Incarnation] = true
		return
	}
	delete(n.serving, m.Incarnation)
	n.dispatch.GateLost(m.Incarnation)
	if n.memory != nil {
		_ = n.memory.Forget(context.Background(), m.Incarnation) // its own memory: it cannot fail
	}
	if n.redis != nil {
		n.redis.over(m.Incarnation)
	}
}

// gateAddr is where the gate's clients come in, nil without one.
func (n *instance) gateAddr() net.Addr {
	if n.gate == nil {
		return nil
	}
	return n.gate.Addr()
}

// stop ends the node in the reverse order of its start: the gate lets go of its clients, the
// roles finish what they began, then the links go. With the end of ctx what is left is
// abandoned. It may be called once, also after a start that failed.
func (n *instance) stop(ctx context.Context) error {
	var errs []error
	n.cluster.SetState(cluster.Draining)
	if n.gate != nil {
		// A node that answers nothing must not use up the time of the roles here.
		gateCtx, cancel := partOf(ctx, 0.6)
		errs = append(errs, n.gate.Stop(gateCtx))
		cancel()
	}
	n.cancel()
	n.keepers.Wait()
	for i := len(n.started) - 1; i >= 0; i-- {
		h := n.started[i]
		errs = append(errs, h.Stop(ctx))
		if l := n.leases[h]; l != nil {
			l.drop(ctx)
		}
	}
	n.tables.drain()
	n.cluster.Close()
	return errors.Join(append(errs, n.letGo(ctx))...)
}

// letGo closes what the node works with outside.
func (n *instance) letGo(ctx context.Context) error {
	err := n.tables.close(ctx)
	if n.redis != nil {
		err = errors.Join(err, n.redis.close())
	}
	return err
}

// partOf is ctx for a part of the time that is left.
func partOf(ctx context.Context, part float64) (context.Context, context.CancelFunc) {
	until, ok := ctx.Deadline()
	if !ok {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, time.Duration(part*float64(time.Until(until))))
}
