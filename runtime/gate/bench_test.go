package gate

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"testing"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/cluster"
	"github.com/firefly-go/firefly/runtime/directory"
	"github.com/firefly-go/firefly/runtime/router"
	"github.com/firefly-go/firefly/runtime/rpc"
	"github.com/firefly-go/firefly/runtime/transport"
	"github.com/firefly-go/firefly/runtime/wire"
)

// mirror is a role in the gate's own process that gives every body back at once, so that what
// is measured is the gate alone.
type mirror struct{}

func (mirror) Serve(_ *cluster.Peer, h *rpc.Header, body []byte, reply rpc.Reply, batch *transport.Batch) {
	if h.Kind == router.KindCommand {
		reply.Send(batch, rpc.Payload{Raw: body})
		return
	}
	reply.Send(batch, rpc.Payload{})
}

// lone is a gate that plays world itself.
func lone(t testing.TB) *Gate { return loneWith(t, mirror{}) }

func loneWith(t testing.TB, world cluster.Handler) *Gate {
	t.Helper()
	network := transport.NewMemory()
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	declared := cluster.Declared{Version: 1, Roles: map[string][]string{"world": {"gate-1"}, "gate": {"gate-1"}}}
	self := cluster.Member{Name: "gate-1", Incarnation: 7, Roles: []string{"gate", "world"}, State: cluster.Ready}
	cl := cluster.New(cluster.Options{
		Self: self, Listen: "gate-1:0", Network: network, Secret: []byte("s"), Game: "t", Declared: declared, Handler: world, Log: log,
	})
	if err := cl.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	cl.Apply(cluster.View{Version: 1, Declared: declared, Members: []cluster.Member{cl.Self()}})
	g, err := New(Options{
		Node: "gate-1", Incarnation: 7, Network: network, Listens: firefly.Listens{Classic: &firefly.Classic{}, Rate: "none"},
		Schemas: testSchemas(), Roles: testRoles, Plays: self.Roles, Cluster: cl, Directory: directory.NewMemory(nil), Logger: log,
	})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// echo feeds a client depth requests at once and gives the function that does so.
func echo(t testing.TB, g *Gate, frames []byte, classic bool) func() {
	conn := &sink{}
	h := g.accept(conn)
	batch := &transport.Batch{}
	feed := func(b []byte) {
		if n := h.Data(conn, b, batch); n != len(b) {
			t.Fatalf("consumed %d of %d", n, len(b))
		}
		batch.Flush()
	}
	if !classic {
		feed(append([]byte(wire.Preamble), helloFrame(wire.Hello{Protocol: wire.Version})...))
	}
	return func() { feed(frames) }
}

func requests(depth int) []byte {
	var b []byte
	for i := range depth {
		b = wire.AppendRequest(b, cmdEcho, uint64(i), make([]byte, 32))
	}
	return b
}

func classicRequests(depth int) []byte {
	var b []byte
	for range depth {
		b = testClassic.Append(b, cmdEcho, make([]byte, 32))
	}
	return b
}

// An echo allocates nothing at the gate.
func TestEchoAllocates(t *testing.T) {
	if raceEnabled {
		t.Skip("pools lose things on purpose under -race")
	}
	g := lone(t)
	for _, c := range []struct {
		name    string
		frames  []byte
		classic bool
	}{{"native", requests(16), false}, {"classic", classicRequests(16), true}} {
		run := echo(t, g, c.frames, c.classic)
		for range 100 {
			run()
		}
		if n := testing.AllocsPerRun(200, run) / 16; n > 0.1 {
			t.Errorf("%s: %.2f allocations per echo", c.name, n)
		}
	}
}

func BenchmarkEcho(b *testing.B) {
	for _, c := range []struct {
		name    string
		frames  []byte
		depth   int
		classic bool
	}{{"native/1", requests(1), 1, false}, {"native/16", requests(16), 16, false}, {"classic/16", classicRequests(16), 16, true}} {
		b.Run(c.name, func(b *testing.B) {
			run := echo(b, lone(b), c.frames, c.classic)
			b.ReportAllocs()
			for range b.N/c.depth + 1 {
				run()
			}
		})
	}
}

func BenchmarkPush(b *testing.B) {
	g := lone(b)
	g.addressOf = func(net.Addr) (netip.Addr, bool) { return netip.Addr{}, true }
	for i := range 1000 {
		conn := &sink{}
		h := g.accept(conn)
		h.Data(conn, append([]byte(wire.Preamble), helloFrame(wire.Hello{Protocol: wire.Version})...), &transport.Batch{})
		s := h.(*client).session.Load()
		s.mu.Lock()
		s.rec.Player = firefly.PlayerID(i + 1)
		g.enter(s)
		s.mu.Unlock()
	}
	body := append(router.AppendPush(nil, pushNews, 0, 0, router.ToEveryone, nil, nil, "", nil), make([]byte, 64)...)
	h := &rpc.Header{Kind: router.KindPush}
	batch := &transport.Batch{}
	b.ReportAllocs()
	for range b.N/1000 + 1 {
		g.Push(h, body, batch)
		batch.Flush()
	}
}
