package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"slices"
	"sync"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/cluster"
	"github.com/firefly-go/firefly/runtime/transport"
)

// LocalOptions say what a Local is made of. Launch, Roles, Network, Doors and Secret are
// needed.
type LocalOptions struct {
	Launch  *Launch // checked
	Roles   []Role
	Network transport.Network // of links
	Doors   transport.Network // of clients
	// From gives a node its own view of Network and Doors instead; nil: all share them.
	From   func(node string) transport.Network
	Secret []byte
	// Master is where a master's links are; "" makes a registry of the Local's own.
	Master       string
	Log          *slog.Logger
	Interceptors []Interceptor
	NoTimeouts   bool
	Getenv       func(string) string // of role configs; nil: nothing is set
	Data         string              // the data folder; "": a temporary one that Stop removes
	Migrations   fs.FS               // see Options
}

// Local is a whole game in one process: every node of the launch file with links of its own
// to the others. `up --one-process` and fireflytest stand on it. Its methods may be called
// by any goroutine.
type Local struct {
	o        LocalOptions
	registry *cluster.Registry
	master   string

	temporary bool // the data folder goes with the Local

	mu    sync.Mutex
	nodes map[string]*localNode
	over  bool
}

type localNode struct {
	*instance
	net, doors *faultNetwork
	watch      sync.WaitGroup
	halted     chan struct{} // closed when it is being stopped or killed
}

// StartLocal starts all nodes and returns when they serve.
func StartLocal(ctx context.Context, o LocalOptions) (*Local, error) {
	if o.Getenv == nil {
		o.Getenv = func(string) string { return "" }
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	l := &Local{o: o, master: o.Master, nodes: map[string]*localNode{}}
	if o.Data == "" && len(specs(o.Roles)) > 0 {
		var err error
		if l.o.Data, err = os.MkdirTemp("", "firefly-"); err != nil {
			return nil, err
		}
		l.temporary = true
	}
	if l.master == "" {
		l.registry = cluster.NewRegistry(cluster.RegistryOptions{
			Self:    cluster.Member{Name: masterName, Incarnation: firefly.Incarnation(1), Roles: []string{}, State: cluster.Ready},
			Network: o.Network, Secret: o.Secret, Game: o.Launch.Game, Declared: cluster.DeclaredOf(&o.Launch.Topology),
			OnChange: func(cluster.View) {}, Log: o.Log.With("node", masterName),
		})
		addr, err := l.registry.Listen(o.Launch.Master.Link)
		if err != nil {
			return nil, errors.Join(err, l.cleanUp())
		}
		l.master = addr.String()
	}
	var wg sync.WaitGroup
	errs := make([]error, len(o.Launch.Nodes))
	for i, n := range o.Launch.Nodes {
		wg.Go(func() { errs[i] = l.Start(ctx, n.Name) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		stopCtx, cancel := context.WithTimeout(context.Background(), nodeStopTime)
		defer cancel()
		_ = l.Stop(stopCtx) // what failed first is the error
		return nil, err
	}
	return l, l.settle(ctx)
}

// settle waits until every node knows that all others serve.
func (l *Local) settle(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*connectTime)
	defer cancel()
	want := len(l.o.Launch.Nodes)
	for _, n := range l.all() {
		for serving(n.cluster.View()) < want {
			if err := firefly.Sleep(ctx, 1e6); err != nil {
				return fmt.Errorf("%s does not see every node serve: %w", n.o.name, err)
			}
		}
		if err := n.cluster.Connected(ctx); err != nil {
			return fmt.Errorf("%s is not linked with every node: %w", n.o.name, err)
		}
	}
	return nil
}

func serving(v cluster.View) (n int) {
	for _, m := range v.Members {
		if m.State == cluster.Ready && m.Name != masterName {
			n++
		}
	}
	return n
}

func (l *Local) all() (ns []*localNode) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, n := range l.o.Launch.Nodes {
		if x := l.nodes[n.Name]; x != nil {
			ns = append(ns, x)
		}
	}
	return ns
}

// Start starts a node of the launch file that does not run, and returns when it serves.
func (l *Local) Start(ctx context.Context, name string) error {
	l.mu.Lock()
	running, over := l.nodes[name] != nil, l.over
	l.mu.Unlock()
	if running || over {
		return fmt.Errorf("node %s cannot be started: running %t, stopped %t", name, running, over)
	}
	links, doors := l.o.Network, l.o.Doors
	if l.o.From != nil {
		links = l.o.From(name)
		doors = links
	}
	n := &localNode{net: newFaultNetwork(links), doors: newFaultNetwork(doors), halted: make(chan struct{})}
	var err error
	n.instance, err = startNode(ctx, nodeOptions{
		launch: l.o.Launch, roles: l.o.Roles, name: name, network: n.net, doors: n.doors, secret: l.o.Secret,
		master: l.master, log: l.o.Log.With("node", name), interceptors: l.o.Interceptors, patient: l.o.NoTimeouts,
		strict: true, getenv: l.o.Getenv, data: l.o.Data, ephemeral: l.temporary,
		migrations: l.o.Migrations,
	})
	if err != nil {
		return fmt.Errorf("node %s: %w", name, err)
	}
	l.mu.Lock()
	if l.over || l.nodes[name] != nil {
		l.mu.Unlock()
		n.kill()
		return fmt.Errorf("node %s: started twice, or while everything stops", name)
	}
	l.nodes[name] = n
	l.mu.Unlock()
	n.watch.Go(func() {
		select {
		case err := <-n.fatal:
			l.o.Log.Error("a node ends", "node", name, "err", err)
			if l.take(name, n) {
				n.kill()
				l.gone(n)
			}
		case <-n.asked:
			if l.take(name, n) {
				ctx, cancel := context.WithTimeout(context.Background(), nodeStopTime)
				defer cancel()
				_ = n.stop(ctx) // nobody waits for it
			}
		case <-n.halted:
		}
	})
	return nil
}

// take takes a node out of the table; false: somebody else has.
func (l *Local) take(name string, n *localNode) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.nodes[name] != n {
		return false
	}
	delete(l.nodes, name)
	return true
}

func (l *Local) remove(name string) *localNode {
	l.mu.Lock()
	n := l.nodes[name]
	delete(l.nodes, name)
	l.mu.Unlock()
	if n != nil {
		close(n.halted)
		n.watch.Wait()
	}
	return n
}

// gone tells the registry what a supervisor would.
func (l *Local) gone(n *localNode) {
	if l.registry != nil {
		l.registry.Gone(n.o.name, n.self.Incarnation)
	}
}

// Kill ends a node as SIGKILL would: nothing that it has to say gets out any more, no hook
// of it matters to anybody, and the others hear that it is gone.
func (l *Local) Kill(name string) error {
	n := l.remove(name)
	if n == nil {
		return fmt.Errorf("node %s does not run", name)
	}
	n.kill()
	l.gone(n)
	return nil
}

// kill cuts the node off and then ends what is left of it.
func (n *localNode) kill() {
	n.net.cut()
	n.doors.cut()
	for _, h := range n.started {
		h.Loop().Close() // no handler and no hook begins any more
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = n.stop(ctx) // abandons everything
}

// StopNode stops one node in order.
func (l *Local) StopNode(ctx context.Context, name string) error {
	n := l.remove(name)
	if n == nil {
		return fmt.Errorf("node %s does not run", name)
	}
	return n.stop(ctx)
}

// Stop stops everything, gates first.
func (l *Local) Stop(ctx context.Context) error {
	l.mu.Lock()
	l.over = true
	l.mu.Unlock()
	var errs []error
	ns := l.all()
	slices.SortStableFunc(ns, func(a, b *localNode) int { return a.rank() - b.rank() })
	for _, n := range ns {
		if n := l.remove(n.o.name); n != nil {
			if err := n.stop(ctx); err != nil {
				errs = append(errs, fmt.Errorf("node %s: %w", n.o.name, err))
			}
		}
	}
	if l.registry != nil {
		l.registry.Close()
	}
	return errors.Join(append(errs, l.cleanUp())...)
}

// cleanUp removes a data folder that was made for this Local alone.
func (l *Local) cleanUp() error {
	if !l.temporary {
		return nil
	}
	return os.RemoveAll(l.o.Data)
}

// rank says who stops first: gates, then roles, then the store.
func (n *instance) rank() int {
	switch {
	case n.gate != nil:
		return 0
	case n.memory != nil:
		return 2
	}
	return 1
}

// Addr is where the clients of a gate come in, nil when it runs not or is no gate.
func (l *Local) Addr(name string) net.Addr {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := l.nodes[name]
	if n == nil {
		return nil
	}
	return n.gateAddr()
}

// Launch is what the Local was made of.
func (l *Local) Launch() *Launch { return l.o.Launch }

// Gates are the nodes that clients come to, in the order of the launch file.
func (l *Local) Gates() (names []string) {
	for _, n := range l.all() {
		if n.gate != nil {
			names = append(names, n.o.name)
		}
	}
	return names
}

// Members are the processes as the node sees them.
func (l *Local) Members(name string) []cluster.Member {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := l.nodes[name]
	if n == nil {
		return nil
	}
	return n.cluster.View().Members
}
