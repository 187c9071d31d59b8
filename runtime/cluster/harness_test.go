package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/rpc"
	"github.com/firefly-go/firefly/runtime/transport"
)

func testLog() *slog.Logger {
	w := io.Discard
	if os.Getenv("CLUSTER_LOG") != "" {
		return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	return slog.New(slog.NewTextHandler(w, nil))
}

// mortal is a Network of one process. It can be killed: its connections end at once. Or it
// falls silent, as when its host loses power: nothing ends, nothing comes or goes.
type mortal struct {
	transport.Network
	silent atomic.Bool

	mu    sync.Mutex
	dead  bool
	conns map[transport.Conn]bool
	lns   []transport.Listener
}

func newMortal(n transport.Network) *mortal {
	return &mortal{Network: n, conns: map[transport.Conn]bool{}}
}

func (m *mortal) keep(c transport.Conn, h transport.Handler) transport.Handler {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.dead || h == nil {
		return nil
	}
	m.conns[c] = true
	return mutable{h, m}
}

// mutable and muteConn are the two directions of a connection of a process that may fall
// silent.
type mutable struct {
	transport.Handler
	m *mortal
}

func (h mutable) Data(c transport.Conn, b []byte, batch *transport.Batch) int {
	if h.m.silent.Load() {
		return len(b)
	}
	return h.Handler.Data(c, b, batch)
}

type muteConn struct {
	transport.Conn
	m *mortal
}

func (c muteConn) TryWrite(b []byte) (int, error) {
	if c.m.silent.Load() {
		return len(b), nil
	}
	return c.Conn.TryWrite(b)
}

func (m *mortal) Listen(addr string, accept func(transport.Conn) transport.Handler) (transport.Listener, error) {
	ln, err := m.Network.Listen(addr, func(c transport.Conn) transport.Handler { return m.keep(c, accept(muteConn{c, m})) })
	if err == nil {
		m.mu.Lock()
		m.lns = append(m.lns, ln)
		m.mu.Unlock()
	}
	return ln, err
}

func (m *mortal) Dial(ctx context.Context, addr string, h func(transport.Conn) transport.Handler) (transport.Conn, error) {
	m.mu.Lock()
	dead := m.dead
	m.mu.Unlock()
	if dead {
		return nil, &net.OpError{Op: "dial", Err: syscall.ENETDOWN}
	}
	return m.Network.Dial(ctx, addr, func(c transport.Conn) transport.Handler { return m.keep(c, h(muteConn{c, m})) })
}

func (m *mortal) kill() {
	m.mu.Lock()
	m.dead = true
	conns, lns := m.conns, m.lns
	m.mu.Unlock()
	for _, l := range lns {
		_ = l.Close()
	}
	for c := range conns {
		c.Close()
	}
}

// node is one process under test.
type node struct {
	*Cluster
	t      *testing.T
	name   string
	life   firefly.Incarnation
	net    *mortal
	served func(p *Peer, h *rpc.Header, body []byte, reply rpc.Reply, batch *transport.Batch)

	mu      sync.Mutex
	events  []string
	serving []string // whom it saw serving
	back    []string // whose link it saw back
	refused chan error
}

func (n *node) Serve(p *Peer, h *rpc.Header, body []byte, reply rpc.Reply, batch *transport.Batch) {
	if n.served != nil {
		n.served(p, h, body, reply, batch)
		return
	}
	reply.Send(batch, rpc.Payload{Raw: []byte(n.name + " serves " + p.Name)})
}

func (n *node) saw() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.events)
}

// sawNow is what was seen since the last time.
func (n *node) sawNow() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	e := n.events
	n.events = nil
	return e
}

// sawServing are those that were seen serving since the last time.
func (n *node) sawServing() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	e := n.serving
	n.serving = nil
	slices.Sort(e)
	return e
}

// sawBack are those whose link came back since the last time.
func (n *node) sawBack() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	b := n.back
	n.back = nil
	return b
}

// world is a test's network, master and nodes.
type world struct {
	t        *testing.T
	net      transport.Network
	declared Declared
	registry *Registry
	regNet   *mortal
	master   string
	lives    atomic.Uint64
	nodes    []*node
	grace    time.Duration
}

const masterAddr = "127.0.0.1:9000"

func newWorld(t *testing.T, n transport.Network) *world {
	w := &world{t: t, net: n, declared: Declared{Version: 1, Roles: map[string][]string{}}, master: masterAddr}
	if _, ok := n.(*transport.Memory); !ok {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		w.master = l.Addr().String()
		_ = l.Close()
	}
	t.Cleanup(func() {
		for _, x := range w.nodes {
			x.Close()
		}
		if w.registry != nil {
			w.registry.Close()
		}
	})
	return w
}

// inBubble runs f over the memory network in fake time.
func inBubble(t *testing.T, f func(t *testing.T, w *world)) {
	synctest.Test(t, func(t *testing.T) { f(t, newWorld(t, transport.NewMemory())) })
}

func (w *world) startMaster() *Registry {
	w.t.Helper()
	w.regNet = newMortal(w.net)
	w.registry = NewRegistry(RegistryOptions{
		Self: Member{Name: "master", Incarnation: firefly.Incarnation(w.lives.Add(1))}, Network: w.regNet,
		Secret: []byte("s"), Game: "g", Declared: w.declared, Grace: w.grace, Log: testLog(),
	})
	if _, err := w.registry.Listen(w.master); err != nil {
		w.t.Fatal(err)
	}
	return w.registry
}

// killMaster ends the master as a kill does.
func (w *world) killMaster() {
	w.regNet.kill()
	w.registry.Close()
	w.registry = nil
}

func (w *world) start(name string, change ...func(*Options)) *node {
	w.t.Helper()
	n := w.make(name, change...)
	if err := n.Start(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	return n
}

func (w *world) make(name string, change ...func(*Options)) *node {
	n := &node{t: w.t, name: name, life: firefly.Incarnation(w.lives.Add(1)), net: newMortal(w.net), refused: make(chan error, 4)}
	role, _, _ := cut(name)
	o := Options{
		Self:    Member{Name: name, Incarnation: n.life, Roles: []string{role}, State: Ready},
		Network: n.net, Secret: []byte("s"), Game: "g", Declared: w.declared, Handler: n, Log: testLog(),
		OnRefused: func(err error) { n.refused <- err },
	}
	for _, f := range change {
		f(&o)
	}
	n.life = o.Self.Incarnation
	n.Cluster = New(o)
	n.OnPeer(func(m Member, e Event) {
		n.mu.Lock()
		defer n.mu.Unlock()
		switch e {
		case Serving:
			n.serving = append(n.serving, m.Name)
			return
		case Back:
			n.back = append(n.back, m.Name)
			return
		}
		n.events = append(n.events, fmt.Sprintf("%s/%d %v", m.Name, m.Incarnation, e == Linked))
	})
	w.nodes = append(w.nodes, n)
	return n
}

func cut(name string) (role, number string, ok bool) {
	for i := range name {
		if name[i] == '-' {
			return name[:i], name[i+1:], true
		}
	}
	return name, "", false
}

// join starts a node under the master.
func (w *world) join(name string, change ...func(*Options)) *node {
	w.t.Helper()
	n := w.start(name, change...)
	n.Join(w.master)
	return n
}

// settle waits until all nodes that live have a view and a link to each other.
func (w *world) settle(nodes ...*node) {
	w.t.Helper()
	w.await("the mesh", func() bool {
		for _, a := range nodes {
			for _, b := range nodes {
				p := a.Peer(b.name)
				if p == nil || p.Incarnation != b.life || a.View().Version == 0 {
					return false
				}
				if _, err := p.Link(); err != nil {
					return false
				}
			}
		}
		return true
	})
}

// await waits for a condition.
func (w *world) await(what string, ok func() bool) {
	w.t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			w.t.Fatalf("waited in vain for %s", what)
		}
	}
}

// kill ends a node as a kill does.
func (n *node) kill() {
	n.net.kill()
	n.Close()
}

func (n *node) call(to string) error {
	p := n.Peer(to)
	if p == nil {
		return errors.New("no such peer")
	}
	l, err := p.Link()
	if err != nil {
		return err
	}
	return l.Call(n.t.Context(), &rpc.Header{Kind: 1, ID: 1, Timeout: 10 * time.Second}, rpc.Payload{}, func(b []byte) error {
		if want := to + " serves " + n.name; string(b) != want {
			return fmt.Errorf("%q", b)
		}
		return nil
	})
}

func up(n *node) string   { return fmt.Sprintf("%s/%d true", n.name, n.life) }
func down(n *node) string { return fmt.Sprintf("%s/%d false", n.name, n.life) }

func (n *node) expect(events ...string) {
	n.t.Helper()
	got := n.sawNow()
	slices.Sort(got)
	slices.Sort(events)
	if !slices.Equal(got, events) {
		n.t.Errorf("%s saw %q, want %q", n.name, got, events)
	}
}
