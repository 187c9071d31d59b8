package gate

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/router"
	"github.com/firefly-go/firefly/runtime/rpc"
	"github.com/firefly-go/firefly/runtime/transport"
	"github.com/firefly-go/firefly/runtime/wire"
)

func (c *testClient) pushed(id uint32, body string) {
	c.t.Helper()
	f := c.frame()
	if f.Type != wire.Push || f.ID != id || string(f.Body) != body {
		c.t.Fatalf("got %v %d %.100q %s, want push %d %q", f.Type, f.ID, f.Body, f.Name, id, body)
	}
}

// id is the session of a client.
func (w *town) id(g *Gate, c *testClient) firefly.SessionID {
	g.mu.RLock()
	defer g.mu.RUnlock()
	for _, s := range g.sessions {
		if s.rec.ID.String() == c.last.Session {
			return s.rec.ID
		}
	}
	w.t.Fatalf("no session %s", c.last.Session)
	return firefly.SessionID{}
}

// join puts a session into a group, or takes it out, as a node does.
func (f *fake) join(op uint64, s firefly.SessionID, group firefly.Group) error {
	return f.ask(f.cl.Incarnation(s.Gate), op, router.Membership{Session: s, Group: group}.Append(nil))
}

func TestPushTargets(t *testing.T) {
	bubble(t, func(t *testing.T, w *town) {
		world := w.node("world-1", "world")
		g1, g2 := w.addGate("gate-1", nil), w.addGate("gate-2", nil)
		w.join()
		a, b, c, guest, old := w.native(g1), w.native(g1), w.native(g2), w.native(g1), w.to(g2)
		a.bindTo(1)
		b.bindTo(2)
		c.bindTo(3)
		old.write(testClassic.Append(nil, cmdBind, playerBody(4)))
		old.classic()
		push := func(to firefly.Target, text string, except ...firefly.PlayerID) {
			world.push(pushNews, 0, 0, to, except, []byte(text))
		}
		pushedOld := func(text string) {
			t.Helper()
			if id, body := old.classic(); id != pushNews || string(body) != text {
				t.Fatalf("classic push %d %q, want %q", id, body, text)
			}
		}
		push(firefly.Players{1, 3, 99}, "players")
		a.pushed(pushNews, "players")
		c.pushed(pushNews, "players")
		push(nil, "everyone")
		for _, k := range []*testClient{a, b, c} {
			k.pushed(pushNews, "everyone")
		}
		pushedOld("everyone")
		push(nil, "except", 1, 4)
		b.pushed(pushNews, "except")
		c.pushed(pushNews, "except")
		push(nil, "many excepted", 1, 4, 50, 51, 52, 53, 54, 55, 56, 57)
		b.pushed(pushNews, "many excepted")
		c.pushed(pushNews, "many excepted")
		push(sessionsTarget{ids: []firefly.SessionID{w.id(g1, guest), w.id(g2, c), {Gate: 5, Seq: 1}, {Gate: g1.o.Incarnation, Seq: 999}}}, "sessions")
		guest.pushed(pushNews, "sessions")
		c.pushed(pushNews, "sessions")

		// Groups: one set at each gate.
		for _, m := range []struct {
			g *Gate
			c *testClient
		}{{g1, a}, {g2, c}, {g1, guest}, {g1, a}} {
			if err := world.join(router.OpJoin, w.id(m.g, m.c), "room/7"); err != nil {
				t.Fatal(err)
			}
		}
		push(firefly.Group("room/7"), "group")
		for _, k := range []*testClient{a, c, guest} {
			k.pushed(pushNews, "group")
		}
		push(firefly.Group("room/8"), "nobody")
		if err := world.join(router.OpLeave, w.id(g1, a), "room/7"); err != nil {
			t.Fatal(err)
		}
		if err := world.join(router.OpLeave, w.id(g1, b), "room/7"); err != nil {
			t.Fatal(err)
		}
		push(firefly.Group("room/7"), "left", 3)
		guest.pushed(pushNews, "left")
		guest.conn.Close()
		await(t, "the group to end at gate-1", func() bool { return g1.Stats().Groups == 0 })
		if code := firefly.CodeOf(world.join(router.OpJoin, firefly.SessionID{Gate: g1.o.Incarnation, Seq: 99}, "x")); code != firefly.SessionClosed {
			t.Errorf("joining with a session that is gone: %v", code)
		}
		for i := range maxGroups {
			if err := world.join(router.OpJoin, w.id(g1, b), firefly.Group(fmt.Sprint(i))); err != nil {
				t.Fatal(err)
			}
		}
		if code := firefly.CodeOf(world.join(router.OpJoin, w.id(g1, b), "one more")); code != firefly.FailedPrecondition {
			t.Errorf("a group too many: %v", code)
		}
		for _, k := range []*testClient{a, b, c, old} {
			k.quiet()
		}
		world.push(pushNews, 0, 0, nil, nil, make([]byte, 70000)) // over max_frame
		push(nil, "last")
		a.pushed(pushNews, "last")
	})
}

// Join and Leave take effect in order with the pushes of the same node.
func TestGroupOrder(t *testing.T) {
	bubble(t, func(t *testing.T, w *town) {
		world, g := w.small(nil)
		c := w.native(g)
		id := w.id(g, c)
		for i := range 50 {
			gate := world.cl.Incarnation(id.Gate)
			push := func(text string) { world.push(pushNews, 0, 0, firefly.Group("g"), nil, []byte(text)) }
			done := make(chan error, 2)
			push("before")
			l, err := gate.Link()
			if err != nil {
				t.Fatal(err)
			}
			start := func(op uint64) {
				done <- l.Start(nil, control(op), raw(router.Membership{Session: id, Group: "g"}.Append(nil)), ignore{})
			}
			start(router.OpJoin)
			push(fmt.Sprint("member ", i))
			start(router.OpLeave)
			push("after")
			for range 2 {
				if err := <-done; err != nil {
					t.Fatal(err)
				}
			}
			c.pushed(pushNews, fmt.Sprint("member ", i))
		}
		c.quiet()
	})
}

// A client whose declaration of a push no longer fits does not get it.
func TestPushRefused(t *testing.T) {
	bubble(t, func(t *testing.T, w *town) {
		world, g := w.small(nil)
		c := w.to(g)
		h := wire.Hello{Protocol: wire.Version, Fingerprint: 0xBAD}
		c.hello(h)
		h.Shapes = []wire.Shape{{ID: pushNews, Hash: 1}}
		c.write(helloFrame(h))
		c.welcome()
		c.bindTo(1)
		world.push(pushNews, 0, 0, nil, nil, []byte("no"))
		world.push(pushTalk, firefly.SlowDropOldest, 0, nil, nil, []byte("yes"))
		c.pushed(pushTalk, "yes")
	})
}

// A client that does not read is closed at its limit with SLOW; nobody else notices. What may
// be dropped or replaced does not close it.
func TestSlowClient(t *testing.T) {
	w := newTown(t)
	world := w.node("world-1", "world")
	tcp := transport.TCP()
	g := w.addGate("gate-1", func(o *Options) {
		o.Network, o.Address = tcp, "127.0.0.1:0"
		o.Listens.MaxQueue = 256 << 10
	})
	w.join()
	slow := slowClient(t, g, 1)
	fast := dial(t, tcp, g.Addr().String())
	fast.hello(wire.Hello{Protocol: wire.Version})
	fast.bindTo(2)
	await(t, "the slow one", func() bool { return g.Stats().Bound == 2 })
	body := bytes.Repeat([]byte("x"), 8<<10)

	// Droppable pushes fill nothing up.
	for i := range 2000 {
		world.push(pushPlace, firefly.SlowCoalesce, uint64(i%3), firefly.Players{1}, nil, body)
		world.push(pushTalk, firefly.SlowDropOldest, 0, firefly.Players{1}, nil, body)
	}
	world.push(pushNews, 0, 0, firefly.Players{2}, nil, []byte("after the droppable ones"))
	fast.pushed(pushNews, "after the droppable ones")
	if n := g.Stats().Bound; n != 2 {
		t.Fatalf("%d bound after droppable pushes", n)
	}
	for i := 0; g.Stats().Bound == 2; i++ {
		world.push(pushNews, 0, 0, nil, nil, binary.BigEndian.AppendUint64(nil, uint64(i)))
		fast.pushed(pushNews, string(binary.BigEndian.AppendUint64(nil, uint64(i))))
		world.push(pushNews, 0, 0, firefly.Players{1}, nil, body)
		if i > 5000 {
			t.Fatal("the slow client is never closed")
		}
	}
	await(t, "the reason", func() bool { return g.Stats().Closed[firefly.TooSlow] == 1 })
	if !w.logs.has("session closed", "reason=SLOW", "player=1") {
		t.Error("the reason is not in the log")
	}
	await(t, "the node to hear of it", func() bool { return slices.Contains(world.did("closed"), "closed SLOW") })
	await(t, "the connection to be counted out", func() bool { return g.Stats().Connections == 1 })
	fast.request(cmdEcho, 1, []byte("fine"))
	for f := fast.frame(); f.Type != wire.Reply; f = fast.frame() {
	}
	_ = slow
}

// slowClient shakes hands, binds and never reads again.
func slowClient(t *testing.T, g *Gate, p firefly.PlayerID) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", g.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.(*net.TCPConn).SetReadBuffer(4 << 10)
	b := append([]byte(wire.Preamble), helloFrame(wire.Hello{Protocol: wire.Version})...)
	if _, err := c.Write(wire.AppendRequest(b, cmdBind, 1, playerBody(p))); err != nil {
		t.Fatal(err)
	}
	return c
}

// Who misses a push that could not be brought here is closed, and nobody else.
func TestMissedPushes(t *testing.T) {
	bubble(t, func(t *testing.T, w *town) {
		world, g := w.small(nil)
		a, b, c, guest := w.native(g), w.native(g), w.native(g), w.native(g)
		a.bindTo(1)
		b.bindTo(2)
		c.bindTo(3)
		for _, k := range []*testClient{a, b} {
			if err := world.join(router.OpJoin, w.id(g, k), "room/7"); err != nil {
				t.Fatal(err)
			}
		}
		number := uint64(0)
		numbered := func(kind uint64, body []byte) {
			t.Helper()
			number++
			world.send(&rpc.Header{Kind: router.KindNumbered}, append(binary.AppendUvarint(nil, number<<2|kind), body...))
		}
		envelope := func(to router.To, s []firefly.SessionID, p []firefly.PlayerID, group firefly.Group, except ...firefly.PlayerID) []byte {
			return router.AppendPush(nil, pushNews, 0, 0, to, s, p, group, except)
		}
		numbered(0, append(envelope(router.ToEveryone, nil, nil, ""), "first"...))
		number--
		numbered(0, append(envelope(router.ToEveryone, nil, nil, ""), "first"...)) // once more, as after a broken link
		for _, k := range []*testClient{a, b, c} {
			k.pushed(pushNews, "first")
		}
		numbered(2, envelope(router.ToGroup, nil, nil, "room/7", 2))
		a.closes(firefly.PushLost)
		numbered(2, envelope(router.ToSessions, []firefly.SessionID{w.id(g, guest)}, nil, ""))
		guest.closes(firefly.PushLost)
		numbered(2, envelope(router.ToPlayers, nil, []firefly.PlayerID{1, 4}, ""))
		numbered(0, append(envelope(router.ToEveryone, nil, nil, ""), "second"...))
		b.pushed(pushNews, "second")
		c.pushed(pushNews, "second")
		numbered(1, router.Close{Session: w.id(g, b), Reason: firefly.Kicked}.Append(nil))
		b.closes(firefly.Kicked)
		other := w.native(g) // of no player
		numbered(3, nil)
		c.closes(firefly.PushLost)
		other.closes(firefly.PushLost)
		await(t, "the reasons to be counted", func() bool { return g.Stats().Closed[firefly.PushLost] == 4 })
		last := w.native(g)
		number++ // one that never comes
		numbered(0, append(envelope(router.ToEveryone, nil, nil, ""), "third"...))
		last.closes(firefly.PushLost)
	})
}

// A session that is closed by the game gets its reason.
func TestGameCloses(t *testing.T) {
	bubble(t, func(t *testing.T, w *town) {
		world, g := w.small(nil)
		c, old := w.native(g), w.to(g)
		c.bindTo(1)
		old.write(testClassic.Append(nil, cmdBind, playerBody(2)))
		old.classic()
		for _, p := range []firefly.PlayerID{1, 2} {
			g.mu.RLock()
			id := g.players[p].rec.ID
			g.mu.RUnlock()
			l, err := world.cl.Incarnation(id.Gate).Link()
			if err != nil {
				t.Fatal(err)
			}
			if err := l.Send(nil, control(router.OpClose), raw(router.Close{Session: id, Reason: firefly.Kicked}.Append(nil))); err != nil {
				t.Fatal(err)
			}
		}
		c.closes(firefly.Kicked)
		old.end()
		old.quiet()
		await(t, "hooks", func() bool { return slices.Equal(world.did("closed"), []string{"closed KICKED", "closed KICKED"}) })
		await(t, "the sessions to end", func() bool { return g.Stats().Sessions == 0 })
		if _, ok, err := w.directory.Lookup(t.Context(), 1); ok || err != nil {
			t.Errorf("the directory still knows the player: %t, %v", ok, err)
		}
		time.Sleep(time.Second)
	})
}
