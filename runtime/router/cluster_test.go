package router

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/cluster"
	"github.com/firefly-go/firefly/runtime/directory"
	"github.com/firefly-go/firefly/runtime/rpc"
	"github.com/firefly-go/firefly/runtime/transport"
)

// game is several nodes over the memory network, each with a cluster of its own.
type game struct {
	t        *testing.T
	net      *transport.Memory
	dir      *directory.Memory
	declared cluster.Declared
	nodes    map[string]*testNode
	routing  map[string]firefly.Routing
	log      *logBuffer
	version  uint64
}

// testNode is one node: some roles, and a gate if it plays role "gate".
type testNode struct {
	g     *game
	name  string
	life  firefly.Incarnation
	roles []string
	c     *cluster.Cluster
	d     *Dispatcher
	hosts map[string]*Host
	gate  *fakeGate
}

// newGame makes nodes of texts "world-1 world" or "all-1 gate world"; up builds the roles.
func newGame(t *testing.T, routing map[string]firefly.Routing, nodes ...string) *game {
	g := &game{
		t: t, net: transport.NewMemory(), dir: directory.NewMemory(nil), nodes: map[string]*testNode{},
		routing: routing, log: &logBuffer{}, declared: cluster.Declared{Version: 1, Roles: map[string][]string{}},
	}
	for i, text := range nodes {
		fields := fieldsOf(text)
		n := &testNode{
			g: g, name: fields[0], roles: fields[1:], life: firefly.Incarnation(100 + i),
			d: NewDispatcher(), hosts: map[string]*Host{},
		}
		for _, r := range n.roles {
			g.declared.Roles[r] = append(g.declared.Roles[r], n.name)
		}
		g.nodes[n.name] = n
	}
	for _, names := range g.declared.Roles {
		slices.Sort(names)
	}
	return g
}

func fieldsOf(s string) []string {
	var f []string
	for i := 0; i < len(s); {
		if s[i] == ' ' {
			i++
			continue
		}
		j := i
		for j < len(s) && s[j] != ' ' {
			j++
		}
		f = append(f, s[i:j])
		i = j
	}
	return f
}

// up makes the clusters and hosts, connects them and starts the hosts. register is the
// constructor of the roles.
func (g *game) up(register func(n *testNode, h *Host)) *game {
	g.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	logger := slog.New(slog.NewTextHandler(g.log, nil))
	for _, n := range g.nodes {
		n.c = cluster.New(cluster.Options{
			Self:   cluster.Member{Name: n.name, Incarnation: n.life, Roles: n.roles, State: cluster.Ready},
			Listen: n.name + ":1", Network: g.net, Secret: []byte("secret"), Game: "test",
			Declared: g.declared, Handler: n.d, Log: logger,
		})
		for _, role := range n.roles {
			if role == "gate" {
				n.gate = &fakeGate{n: n, pins: map[firefly.PlayerID]string{}, seen: map[firefly.SessionID]bool{}}
				n.d.SetGate(n.gate)
				continue
			}
			h := NewHost(HostOptions{
				Role: role, Node: n.name, Routing: g.routing[role], Cluster: n.c, Directory: g.dir,
				GateRoles: []string{"gate"}, Logger: logger, Strict: true,
			})
			n.hosts[role] = h
			register(n, h)
			if err := n.d.AddHost(h); err != nil {
				g.t.Fatal(err)
			}
		}
		n.c.OnPeer(func(m cluster.Member, e cluster.Event) {
			if e == cluster.Back {
				n.d.Back(m.Incarnation)
			}
		})
		if err := n.c.Start(ctx); err != nil {
			g.t.Fatal(err)
		}
	}
	g.apply()
	for _, n := range g.nodes {
		if err := n.c.Connected(ctx); err != nil {
			g.t.Fatal(err)
		}
		for _, h := range n.hosts {
			if err := h.Start(ctx); err != nil {
				g.t.Fatal(err)
			}
		}
	}
	return g
}

// apply tells every node of every other.
func (g *game) apply() {
	g.version++
	v := cluster.View{Version: g.version, Declared: g.declared}
	for _, n := range g.nodes {
		m := n.c.Self()
		m.State = cluster.Ready
		v.Members = append(v.Members, m)
	}
	slices.SortFunc(v.Members, func(a, b cluster.Member) int {
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
	for _, n := range g.nodes {
		n.c.Apply(v)
	}
}

func (g *game) down() {
	g.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for _, n := range g.nodes {
		for _, h := range n.hosts {
			if err := h.Stop(ctx); err != nil {
				g.t.Errorf("stop of %s: %v", n.name, err)
			}
		}
	}
	for _, n := range g.nodes {
		n.c.Close()
	}
	if g.t.Failed() {
		g.t.Log(g.log.String())
	}
}

func (g *game) host(node, role string) *Host { return g.nodes[node].hosts[role] }

// link is the link from one node to another.
func (g *game) link(from, to string) *rpc.Link {
	g.t.Helper()
	l, err := g.nodes[from].c.Peer(to).Link()
	if err != nil {
		g.t.Fatal(err)
	}
	return l
}

// command sends a command from a gate to a node.
func (g *game) command(gate, node string, id firefly.CommandID, s int, body []byte, edit ...func(*rpc.Header)) *answer {
	g.t.Helper()
	h := rpc.Header{
		Kind: KindCommand, ID: uint64(id), Request: 42, Timeout: 10 * time.Second,
		Session: firefly.SessionID{Gate: g.nodes[gate].life, Seq: uint32(s)},
	}
	for _, f := range edit {
		f(&h)
	}
	a := &answer{done: make(chan struct{})}
	f := g.nodes[gate].gate
	a.then = func(a *answer) { f.add("reply to %d: %v", s, a.err) }
	if err := g.link(gate, node).Start(nil, &h, rpc.Payload{Raw: body}, a); err != nil {
		g.t.Fatal(err)
	}
	return a
}

// fakeGate answers as a gate does, and writes down what it gets.
type fakeGate struct {
	n *testNode
	journal
	mu    sync.Mutex
	pins  map[firefly.PlayerID]string // the node that OpPin answers
	epoch uint64
	fail  *firefly.Error // of the next OpBind, OpJoin, OpLeave
	seen  map[firefly.SessionID]bool
}

func (f *fakeGate) Push(h *rpc.Header, body []byte, _ *transport.Batch) {
	p, err := ParsePush(body)
	if err != nil {
		f.add("bad push: %v", err)
		return
	}
	to := "everyone"
	switch p.To {
	case ToGroup:
		to = "group " + string(p.Group)
	case ToPlayers:
		to = fmt.Sprintf("players %v", slices.Collect(p.Players()))
	case ToSessions:
		to = "sessions"
		for id := range p.Sessions() {
			if id.Gate != f.n.life {
				f.add("a session of another gate")
			}
			to += fmt.Sprintf(" %d", id.Seq)
		}
	}
	if p.Excepts() > 0 {
		to += fmt.Sprintf(" but %v", slices.Collect(p.ExceptPlayers()))
	}
	f.add("push %d to %s: %d", p.ID, to, len(p.Body))
}

func (f *fakeGate) Missed(body []byte, _ *transport.Batch) {
	if len(body) == 0 {
		f.add("all miss pushes")
		return
	}
	p, err := ParsePush(body)
	f.add("missed by %v%v %s: %v", slices.Collect(p.Sessions()), slices.Collect(p.Players()), p.Group, err)
}

func (f *fakeGate) Control(h *rpc.Header, body []byte, reply rpc.Reply, batch *transport.Batch) {
	f.mu.Lock()
	fail := f.fail
	f.mu.Unlock()
	switch h.ID {
	case OpBind:
		m, _ := ParseBind(body)
		f.add("bind %d to %d for %s", m.Session.Seq, m.Player, h.Target)
		if fail != nil {
			reply.Fail(batch, fail)
			return
		}
		f.mu.Lock()
		f.epoch++
		epoch := f.epoch
		f.mu.Unlock()
		reply.Send(batch, rpc.Payload{Raw: BindReply{Epoch: epoch}.Append(nil)})
	case OpJoin, OpLeave:
		m, _ := ParseMembership(body)
		f.add("%s %d %s", map[uint64]string{OpJoin: "join", OpLeave: "leave"}[h.ID], m.Session.Seq, m.Group)
		if fail != nil {
			reply.Fail(batch, fail)
			return
		}
		reply.Send(batch, rpc.Payload{})
	case OpClose:
		m, _ := ParseClose(body)
		f.add("close %d %s", m.Session.Seq, m.Reason)
	case OpPin:
		m, _ := ParsePin(body)
		f.mu.Lock()
		node := f.pins[m.Player]
		f.mu.Unlock()
		f.add("pin %d of %s", m.Player, m.Role)
		n := f.n.g.nodes[node]
		if n == nil {
			reply.Fail(batch, &firefly.Error{Code: firefly.Unavailable})
			return
		}
		reply.Send(batch, rpc.Payload{Raw: PinReply{Node: node, Incarnation: n.life}.Append(nil)})
	default:
		reply.Fail(batch, &firefly.Error{Code: firefly.Unimplemented})
	}
}
