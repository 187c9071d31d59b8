package fireflytest

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/cluster"
	"github.com/firefly-go/firefly/runtime/node"
	"github.com/firefly-go/firefly/runtime/transport"
)

// Options change what Start does. The zero value is what Start uses.
type Options struct {
	// Launch is the topology; nil makes one of the roles as they declare themselves, with a
	// store, which keeps their tables in a temporary file. Addresses need not exist; nodes are "host:port" on a network of their own.
	Launch *firefly.Topology
	// Gates is how many nodes each gate role has when Launch is nil; 0: as declared.
	Gates int
	// Interceptors stand around every command and call.
	Interceptors []node.Interceptor
	// Env is the environment of role configs.
	Env map[string]string
	// Level is the least level of log lines that go to t.
	Level slog.Level
}

// Game is a running game. Its methods may be called by any goroutine of the test; those that
// report to t end the test when they fail, and are for the test's own goroutine.
type Game struct {
	t     testing.TB
	net   *transport.Memory
	local *node.Local
	log   *logSink
}

// Start runs the roles, each on as many nodes as it declares, and returns when all of them
// serve. The game is stopped when the test ends.
func Start(t testing.TB, roles ...node.Role) *Game {
	t.Helper()
	return StartWith(t, Options{}, roles...)
}

// startTime bounds a start; it is long for machines that are busy.
const startTime = 30 * time.Second

// StartWith is Start with options.
func StartWith(t testing.TB, o Options, roles ...node.Role) *Game {
	t.Helper()
	g := &Game{t: t, net: transport.NewMemory(), log: &logSink{w: t.Output()}}
	top := o.Launch
	if top == nil {
		top = topology(roles, o.Gates)
	}
	launch := node.LaunchOf(clone(top))
	if err := launch.Check(roles); err != nil {
		t.Fatalf("fireflytest: %v", err)
	}
	log := slog.New(slog.NewTextHandler(g.log, &slog.HandlerOptions{Level: o.Level}))
	ctx, cancel := context.WithTimeout(t.Context(), startTime)
	defer cancel()
	var err error
	g.local, err = node.StartLocal(ctx, node.LocalOptions{
		Launch: launch, Roles: roles, Secret: []byte("fireflytest"), Log: log, Interceptors: o.Interceptors,
		Network: g.net, Doors: g.net, From: func(name string) transport.Network { return g.net.From(name) },
		Getenv: func(k string) string { return o.Env[k] },
	})
	if err != nil {
		g.log.close()
		t.Fatalf("fireflytest: %v", err)
	}
	t.Cleanup(g.stop)
	return g
}

// clone copies what Check fills in.
func clone(t *firefly.Topology) firefly.Topology {
	c := *t
	c.Nodes = slices.Clone(t.Nodes)
	for i := range c.Nodes {
		if l := c.Nodes[i].Listen; l != nil {
			copied := *l
			c.Nodes[i].Listen = &copied
		}
	}
	c.Roles = maps.Clone(t.Roles)
	return c
}

// topology puts every role on nodes of its own, as launch/dev.json does. Each node has a host
// name of its own, so that it can be paused.
func topology(roles []node.Role, gates int) *firefly.Topology {
	t := &firefly.Topology{
		Game: "test", Version: 1, Directory: "store",
		Master: firefly.MasterConfig{Admin: "master:7790", Link: "master:7791"},
	}
	for _, r := range roles {
		if len(r.Tables) > 0 {
			t.Tables = &firefly.TablesConfig{Store: "embedded"}
		}
		n := max(1, r.Replicas)
		if r.Listens != nil && gates > 0 {
			n = gates
		}
		for i := range n {
			name := fmt.Sprintf("%s-%d", r.Name, i+1)
			c := firefly.NodeConfig{Name: name, Roles: []string{r.Name}, Link: name + ":7791"}
			if r.Listens != nil {
				c.Listen = &firefly.ListenConfig{TCP: name + ":7700"}
			}
			t.Nodes = append(t.Nodes, c)
		}
	}
	t.Nodes = append(t.Nodes, firefly.NodeConfig{Name: "store", Roles: []string{"store"}, Link: "store:7791"})
	return t
}

// stopTime bounds the stop at the end of a test.
const stopTime = 10 * time.Second

func (g *Game) stop() {
	for _, n := range g.nodes() {
		g.net.ResumeHost(n)
	}
	ctx, cancel := context.WithTimeout(context.Background(), stopTime)
	defer cancel()
	if err := g.local.Stop(ctx); err != nil {
		g.t.Errorf("fireflytest: not everything stopped in order: %v", err)
	}
	g.log.close()
}

// Network is what clients dial through: client.Options.Network.
func (g *Game) Network() transport.Network { return g.net }

// Addr is where the clients of the first gate come in.
func (g *Game) Addr() string {
	gates := g.local.Gates()
	if len(gates) == 0 {
		g.t.Helper()
		g.t.Fatal("fireflytest: no gate runs; no role listens, or it was killed")
	}
	return g.AddrOf(gates[0])
}

// AddrOf is where the clients of that gate come in.
func (g *Game) AddrOf(gate string) string {
	a := g.local.Addr(gate)
	if a == nil {
		g.t.Helper()
		g.t.Fatalf("fireflytest: %s is no gate that runs", gate)
	}
	return a.String()
}

// Gates are the gates that run.
func (g *Game) Gates() []string { return g.local.Gates() }

// Kill ends a node as SIGKILL does: nothing it still does is seen by anybody, and the others
// hear that it is gone.
func (g *Game) Kill(name string) { g.must(g.local.Kill(name)) }

// Restart starts a node that was killed or stopped, and returns when it serves.
func (g *Game) Restart(name string) {
	ctx, cancel := context.WithTimeout(g.t.Context(), startTime)
	defer cancel()
	g.must(g.local.Start(ctx, name))
}

// Stop stops a node in order.
func (g *Game) Stop(name string) {
	ctx, cancel := context.WithTimeout(g.t.Context(), stopTime)
	defer cancel()
	g.must(g.local.StopNode(ctx, name))
}

// Pause keeps everything from and to a node under way, as its peers see a process that is
// halted by SIGSTOP. The node's own timers go on.
func (g *Game) Pause(name string) { g.net.PauseHost(name) }

// Resume ends Pause; what waited is delivered.
func (g *Game) Resume(name string) { g.net.ResumeHost(name) }

func (g *Game) must(err error) {
	if err != nil {
		g.t.Helper()
		g.t.Fatalf("fireflytest: %v", err)
	}
}

func (g *Game) nodes() (names []string) {
	for _, m := range g.local.Launch().Nodes {
		names = append(names, m.Name)
	}
	return names
}

// Members are the processes of the cluster as the named node sees them.
func (g *Game) Members(name string) []cluster.Member { return g.local.Members(name) }

// Logged reports whether some line of the log so far contains text.
func (g *Game) Logged(text string) bool { return g.log.contains(text) }

// Await waits until ok holds, and fails the test when that takes longer than a while.
func (g *Game) Await(what string, ok func() bool) {
	g.t.Helper()
	for end := time.Now().Add(startTime); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			g.t.Fatalf("fireflytest: it did not come to that: %s", what)
		}
	}
}

// logSink writes lines to t until the game has stopped: afterwards t would panic.
type logSink struct {
	mu   sync.Mutex
	w    interface{ Write([]byte) (int, error) }
	text strings.Builder
}

func (s *logSink) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.w == nil {
		return len(b), nil
	}
	if s.text.Len() < 16<<20 {
		s.text.Write(b)
	}
	return s.w.Write(b)
}

func (s *logSink) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.w = nil
}

func (s *logSink) contains(text string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Contains(s.text.String(), text)
}
