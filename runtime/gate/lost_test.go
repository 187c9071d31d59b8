package gate

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/wire"
)

// A node dies with work in flight: what was sent is UNKNOWN, what comes while it is away is
// UNAVAILABLE, then the session hears STATE_LOST once and goes on at the new life.
func TestNodeLost(t *testing.T) {
	bubble(t, func(t *testing.T, w *town) {
		world, chat := w.node("world-1", "world"), w.node("chat-1", "chat")
		g := w.addGate("gate-1", nil)
		w.join()
		c, other := w.native(g), w.native(g)
		other.request(cmdChat, 1, nil)
		other.reply(1, nil)
		c.request(cmdHold, 1, nil)
		c.request(cmdChat, 2, []byte("after it")) // waits at the gate, is surely not executed
		await(t, "the command", func() bool { return world.holds() == 1 })
		w.kill(world)
		c.fails(1, firefly.Unknown)
		c.reply(2, []byte("after it"))
		c.request(cmdEcho, 3, nil)
		c.fails(3, firefly.Unavailable)
		other.request(cmdChat, 2, nil)
		other.reply(2, nil)

		next := w.node("world-1", "world")
		w.join()
		c.request(cmdEcho, 4, nil)
		c.fails(4, firefly.StateLost)
		c.request(cmdEcho, 5, []byte("anew"))
		c.reply(5, []byte("anew"))
		if got := next.did("connect", "command 1"); len(got) != 2 {
			t.Errorf("the new life saw %q", got)
		}
		// Another session, that had no state there, goes on at once.
		other.request(cmdEcho, 3, nil)
		other.reply(3, nil)
		if !slices.Equal(chat.did("closed"), nil) {
			t.Errorf("chat saw %q", chat.did("closed"))
		}
	})
}

// A keyed command after the loss starts anew without STATE_LOST; while the owner of its key is
// away it is UNAVAILABLE.
func TestKeyedLost(t *testing.T) {
	bubble(t, func(t *testing.T, w *town) {
		w1, w2 := w.node("world-1", "world"), w.node("world-2", "world")
		g := w.addGate("gate-1", nil)
		w.join()
		c := w.native(g)
		k1, k2 := w.keyAt(w1, "world"), w.keyAt(w2, "world")
		c.request(cmdKeyed, 1, k1)
		c.reply(1, k1)
		w.kill(w1)
		w.join()
		c.request(cmdKeyed, 2, k1)
		c.fails(2, firefly.Unavailable)
		c.request(cmdKeyed, 3, k2)
		c.reply(3, k2)
		c.request(cmdEcho, 4, nil)
		c.reply(4, nil)
		if got := w2.did("connect"); len(got) != 1 {
			t.Errorf("world-2: %q", got)
		}
	})
}

// An idempotent command that was lost with its node is sent again when the node is back.
func TestIdempotent(t *testing.T) {
	bubble(t, func(t *testing.T, w *town) {
		world, g := w.small(nil)
		c := w.native(g)
		c.request(cmdKeyed, 1, key("x"))
		c.reply(1, key("x"))
		c.request(cmdIdem, 2, []byte("again"))
		await(t, "the command", func() bool { return world.holds() == 1 })
		w.kill(world)
		time.Sleep(time.Second)
		c.quiet()
		next := w.node("world-1", "world")
		w.join()
		await(t, "the second time", func() bool { return next.holds() == 1 })
		next.release()
		c.reply(2, []byte("again"))
		// It had state there: the next command hears of the loss, once.
		c.request(cmdIdem, 3, nil)
		c.fails(3, firefly.StateLost)
		c.request(cmdEcho, 4, []byte("anew"))
		c.reply(4, []byte("anew"))
	})
	// The link breaks and the node lives on.
	bubble(t, func(t *testing.T, w *town) {
		world, g := w.small(nil)
		c := w.native(g)
		c.request(cmdIdem, 1, []byte("again"))
		await(t, "the command", func() bool { return world.holds() == 1 })
		c.request(cmdHold, 2, []byte("not again"))
		await(t, "the command", func() bool { return world.holds() == 2 })
		w.cutLinks()
		c.fails(2, firefly.Unknown)
		await(t, "the second time", func() bool { return world.holds() == 3 })
		world.releaseAll()
		c.reply(1, []byte("again"))
		if got := world.commands(); !slices.Equal(got, []string{"again", "not again", "again"}) {
			t.Errorf("the node saw %q", got)
		}
	})
}

// cutLinks breaks every link between nodes.
func (w *town) cutLinks() {
	for _, f := range w.nodes {
		if !f.dead {
			w.net.Cut(f.self.Address)
		}
	}
}

// MOVED: a node refuses a key that is not its own, and the gate sends it once more.
func TestMoved(t *testing.T) {
	bubble(t, func(t *testing.T, w *town) {
		world, g := w.small(nil)
		c := w.native(g)
		c.request(cmdRefused, 1, key("a"))
		c.reply(1, key("a"))
		if n := len(world.commands()); n != 2 {
			t.Errorf("sent %d times", n)
		}
		c.request(cmdFail, 2, []byte("MOVED"))
		c.fails(2, firefly.MovedAway)
	})
}

// A key moves a pin: the old node's OnClose has returned before the new one gets the command.
func TestKeyMovesPin(t *testing.T) {
	bubble(t, func(t *testing.T, w *town) {
		w1, w2 := w.node("world-1", "world"), w.node("world-2", "world")
		g := w.addGate("gate-1", nil)
		w.join()
		c := w.native(g)
		k1, k2 := w.keyAt(w1, "world"), w.keyAt(w2, "world")
		c.request(cmdKeyed, 1, k1)
		c.reply(1, k1)
		c.request(cmdEcho, 2, []byte("follows"))
		c.reply(2, []byte("follows"))
		c.request(cmdHold, 3, nil)
		await(t, "the hold", func() bool { return w1.holds() == 1 })
		w1.mu.Lock()
		w1.closes = true
		w1.mu.Unlock()
		c.request(cmdKeyed, 4, k2)
		c.request(cmdEcho, 5, []byte("follows there"))
		time.Sleep(time.Second)
		if len(w1.did("closed")) != 0 {
			t.Fatal("closed before its commands had returned")
		}
		w1.release()
		c.reply(3, nil)
		await(t, "the close", func() bool { return slices.Equal(w1.did("closed"), []string{"closed MOVED_AWAY"}) })
		before := len(w1.commands())
		c.request(cmdUnordered, 6, []byte("not to the old one"))
		time.Sleep(time.Second)
		if len(w1.commands()) != before {
			t.Fatal("the old node got a command after the session had left it")
		}
		if len(w2.did()) != 0 {
			t.Fatalf("the new node got %q before the hooks of the old had returned", w2.did())
		}
		w1.releaseAll()
		c.reply(4, k2)
		c.reply(5, []byte("follows there"))
		c.reply(6, []byte("not to the old one"))
		c.conn.Close()
		await(t, "the end", func() bool { return g.Sessions() == 0 })
		if len(w1.did("closed")) != 1 || !slices.Equal(w2.did("closed"), []string{"closed CLIENT_LEFT"}) {
			t.Errorf("closed: %q %q", w1.did("closed"), w2.did("closed"))
		}
	})
}

// The client leaves while a key moves its pin, and while its node is frozen.
func TestLeaves(t *testing.T) {
	bubble(t, func(t *testing.T, w *town) {
		w1, w2 := w.node("world-1", "world"), w.node("world-2", "world")
		g := w.addGate("gate-1", nil)
		w.join()
		c := w.native(g)
		k1, k2 := w.keyAt(w1, "world"), w.keyAt(w2, "world")
		c.request(cmdKeyed, 1, k1)
		c.reply(1, k1)
		w1.mu.Lock()
		w1.closes = true
		w1.mu.Unlock()
		c.request(cmdKeyed, 2, k2)
		await(t, "the close", func() bool { return len(w1.did("closed")) == 1 })
		c.conn.Close()
		await(t, "the end to begin", func() bool { return g.Stats().Closed[firefly.ClientLeft] == 1 })
		time.Sleep(time.Second)
		if g.Sessions() != 1 {
			t.Error("the session ended before its node had let go")
		}
		w1.releaseAll()
		await(t, "the end", func() bool { return g.Sessions() == 0 })
		if len(w2.did()) != 0 {
			t.Errorf("the new node got %q", w2.did())
		}
	})
	// The link is away when the client leaves: the node is told when it is back.
	bubble(t, func(t *testing.T, w *town) {
		world, g := w.small(nil)
		c := w.native(g)
		c.request(cmdEcho, 1, nil)
		c.reply(1, nil)
		w.cutLinks()
		c.conn.Close()
		await(t, "the end", func() bool { return g.Sessions() == 0 })
		if !slices.Equal(world.did("closed"), []string{"closed CLIENT_LEFT"}) && len(world.did("closed")) == 0 {
			t.Errorf("the node saw %q", world.did())
		}
	})
	// Its node dies while the session ends.
	bubble(t, func(t *testing.T, w *town) {
		world, g := w.small(nil)
		c := w.native(g)
		c.request(cmdEcho, 1, nil)
		c.reply(1, nil)
		world.mu.Lock()
		world.closes = true
		world.mu.Unlock()
		c.conn.Close()
		await(t, "the close", func() bool { return len(world.did("closed")) == 1 })
		w.kill(world)
		w.join()
		await(t, "the end", func() bool { return g.Sessions() == 0 })
	})
}

// HASH goes by player, SINGLE to the one node, LEAST_LOADED anywhere.
func TestRouting(t *testing.T) {
	bubble(t, func(t *testing.T, w *town) {
		h1, h2 := w.node("hash-1", "hash"), w.node("hash-2", "hash")
		w.node("single-1", "single")
		w.node("least-1", "least")
		w.node("world-1", "world")
		g := w.addGate("gate-1", nil)
		w.join()
		for p := firefly.PlayerID(1); p <= 16; p++ {
			c := w.native(g)
			c.bindTo(p)
			c.request(cmdHash, 1, nil)
			c.reply(1, nil)
			owner := h1
			if h1.cl.Owner("hash", hashInt(uint64(p))) == "hash-2" {
				owner = h2
			}
			owner.mu.Lock()
			if e := owner.events[len(owner.events)-1]; e.player != p {
				t.Errorf("player %d is not at %s", p, owner.self.Name)
			}
			owner.mu.Unlock()
			c.request(cmdSingle, 2, nil)
			c.reply(2, nil)
			c.request(cmdLeast, 3, nil)
			c.reply(3, nil)
		}
		if len(h1.did()) == 0 || len(h2.did()) == 0 {
			t.Error("all players at one node")
		}
	})
}

// Drain answers what is under way and takes no more; Stop says SHUTDOWN to everybody, and
// returns when the nodes and the directory know.
func TestDrainAndStop(t *testing.T) {
	bubble(t, func(t *testing.T, w *town) {
		world, g := w.small(nil)
		c, old := w.native(g), w.to(g)
		c.bindTo(1)
		old.write(testClassic.Append(nil, cmdEcho, nil))
		old.classic()
		c.request(cmdHold, 1, nil)
		await(t, "the hold", func() bool { return world.holds() == 1 })
		drained := make(chan error, 1)
		go func() {
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			defer cancel()
			drained <- g.Drain(ctx)
		}()
		time.Sleep(time.Second)
		c.request(cmdEcho, 2, nil)
		c.fails(2, firefly.Unavailable)
		world.release()
		c.reply(1, nil)
		if err := <-drained; err != nil {
			t.Fatal(err)
		}
		if err := g.Stop(context.Background()); err != nil {
			t.Fatal(err)
		}
		w.gates = nil
		c.closes(firefly.Shutdown)
		old.end()
		if !slices.Equal(world.did("closed"), []string{"closed SHUTDOWN", "closed SHUTDOWN"}) {
			t.Errorf("the node saw %q", world.did("closed"))
		}
		if _, ok, _ := w.directory.Lookup(context.Background(), 1); ok {
			t.Error("the directory still knows the player")
		}
	})
	// A node that does not answer holds Stop up no longer than its ctx.
	bubble(t, func(t *testing.T, w *town) {
		world, g := w.small(nil)
		c := w.native(g)
		c.request(cmdEcho, 1, nil)
		c.reply(1, nil)
		world.mu.Lock()
		world.closes = true
		world.mu.Unlock()
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		if err := g.Stop(ctx); err == nil {
			t.Error("Stop did not wait for the node")
		}
		w.gates = nil
	})
}

// A session comes back within its time: it is the same at its nodes, and the pushes that it
// missed come in order and once.
func TestResume(t *testing.T) {
	bubble(t, func(t *testing.T, w *town) {
		world, g := w.small(nil)
		c := w.native(g)
		c.bindTo(1)
		push := func(text string) { world.push(pushNews, 0, 0, firefly.Players{1}, nil, []byte(text)) }
		c.write(wire.AppendAck(nil, 0))
		await(t, "the acknowledgement", func() bool { rec, _ := g.Record(w.id(g, c)); return rec.Resumes })
		push("one")
		push("two")
		push("three")
		c.pushed(pushNews, "one")
		c.pushed(pushNews, "two")
		c.pushed(pushNews, "three")
		c.write(wire.AppendAck(nil, 1))
		c.request(cmdHold, 1, nil)
		await(t, "the hold", func() bool { return world.holds() == 1 })
		await(t, "the acknowledgement", func() bool { rec, _ := g.Record(w.id(g, c)); return rec.Acked == 1 })
		c.conn.Close()
		await(t, "the drop", func() bool { return g.Stats().Dropped == 1 && len(world.did("dropped")) == 1 })
		push("four")
		world.push(pushPlace, firefly.SlowCoalesce, 1, firefly.Players{1}, nil, []byte("does not count"))
		world.release()
		time.Sleep(30 * time.Second)

		// The client had read two of them.
		d := w.to(g)
		wel := d.hello(wire.Hello{Protocol: wire.Version, Resume: c.last.Token, LastPush: 2})
		if !wel.Resumed || wel.Session != c.last.Session || wel.NextPush != 3 {
			t.Fatalf("welcome: %+v", wel)
		}
		d.pushed(pushNews, "three")
		d.pushed(pushNews, "four")
		push("five")
		d.pushed(pushNews, "five")
		d.request(cmdAuth, 2, []byte("still me"))
		d.reply(2, []byte("still me"))
		await(t, "the node to hear", func() bool { return len(world.did("resumed")) == 1 })
		if got := world.did("closed", "connect"); len(got) != 1 {
			t.Errorf("the node saw %q", got)
		}

		// Again, before the gate has noticed the end of the old connection.
		e := w.to(g)
		if wel := e.hello(wire.Hello{Protocol: wire.Version, Resume: c.last.Token, LastPush: 5}); !wel.Resumed || wel.NextPush != 6 {
			t.Fatalf("welcome: %+v", wel)
		}
		d.end()
		push("six")
		e.pushed(pushNews, "six")

		// A token that is wrong, or too late, begins a new session.
		bad := slices.Clone(c.last.Token)
		bad[10]++
		if wel := w.to(g).hello(wire.Hello{Protocol: wire.Version, Resume: bad}); wel.Resumed || wel.Session == c.last.Session {
			t.Errorf("a wrong token: %+v", wel)
		}
		e.conn.Close()
		await(t, "the drop", func() bool { return g.Stats().Dropped == 1 })
		time.Sleep(61 * time.Second)
		await(t, "the end", func() bool { return slices.Contains(world.did("closed"), "closed CONNECTION_LOST") })
		if wel := w.to(g).hello(wire.Hello{Protocol: wire.Version, Resume: c.last.Token, LastPush: 6}); wel.Resumed {
			t.Errorf("too late: %+v", wel)
		}
	})
	// One who never acknowledged does not come back, and costs nothing.
	bubble(t, func(t *testing.T, w *town) {
		world, g := w.small(nil)
		c := w.native(g)
		c.bindTo(1)
		c.conn.Close()
		await(t, "the end", func() bool { return slices.Contains(world.did("closed"), "closed CLIENT_LEFT") })
		await(t, "the end", func() bool { return g.Sessions() == 0 })
	})
	// What is kept is bounded.
	bubble(t, func(t *testing.T, w *town) {
		world, g := w.small(func(o *Options) { o.Listens.MaxQueue = 64 << 10 })
		c := w.native(g)
		c.bindTo(1)
		c.write(wire.AppendAck(nil, 0))
		time.Sleep(time.Millisecond)
		for range 9 {
			world.push(pushNews, 0, 0, firefly.Players{1}, nil, make([]byte, 8<<10))
		}
		await(t, "the end", func() bool { return g.Stats().Closed[firefly.TooSlow] == 1 })
	})
}

// A node that is frozen under load: what waits for it stays within the bounds of its sessions,
// and players of another role notice nothing.
func TestFrozenNode(t *testing.T) {
	bubble(t, func(t *testing.T, w *town) {
		world := w.node("world-1", "world")
		w.node("chat-1", "chat")
		g := w.addGate("gate-1", nil)
		w.join()
		chatter := w.native(g)
		var stuck []*testClient
		for range 20 {
			stuck = append(stuck, w.native(g))
		}
		w.net.Pause(world.self.Address)
		for i := range uint64(40) {
			for _, c := range stuck {
				c.write(wire.AppendRequest(nil, cmdEcho, i, make([]byte, 1000)))
			}
			before := time.Now()
			chatter.request(cmdChat, i, []byte("fine"))
			chatter.reply(i, []byte("fine"))
			if d := time.Since(before); d > 20*time.Millisecond {
				t.Fatalf("chat waited %v", d)
			}
			time.Sleep(250 * time.Millisecond)
			if st := g.Stats(); st.Unfinished > 20*40 {
				t.Fatalf("%d unfinished", st.Unfinished)
			}
		}
		w.net.Resume(world.self.Address)
		for _, c := range stuck {
			if !c.alive() {
				t.Error("a client was closed")
			}
			seen := 0
			for range 40 {
				f := c.frame()
				if f.Type == wire.Error && string(f.Name) != string(firefly.Unknown) && string(f.Name) != string(firefly.Unavailable) &&
					string(f.Name) != string(firefly.DeadlineExceeded) && string(f.Name) != string(firefly.StateLost) {
					t.Fatalf("%s %s", f.Name, f.Message)
				}
				seen++
			}
			c.quiet()
		}
	})
}

// A process that plays the role itself serves its own clients, and the order of a session
// holds between roles of one process, each of which has a loop of its own.
func TestOwnRoles(t *testing.T) {
	bubble(t, func(t *testing.T, w *town) {
		w.node("world-2", "world")
		own := &fake{w: w, seen: map[firefly.SessionID]firefly.PlayerID{}, moved: map[string]bool{}}
		w.start(own, "all-1", "gate", "world", "chat")
		g, err := New(Options{
			Node: "all-1", Incarnation: own.self.Incarnation, Network: w.net, Address: "door:1", Listens: firefly.Listens{Rate: "none"},
			Schemas: testSchemas(), Roles: testRoles, Plays: own.self.Roles, Cluster: own.cl, Directory: w.directory, Logger: w.logs.logger(),
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := g.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.gates = append(w.gates, g)
		w.join()
		for range 4 {
			c := w.native(g)
			c.request(cmdHold, 1, []byte("one"))
			c.request(cmdChat, 2, []byte("two"))
			await(t, "the hold", func() bool { return own.holds() == 1 })
			time.Sleep(time.Millisecond)
			c.quiet()
			own.release()
			c.reply(1, []byte("one"))
			c.reply(2, []byte("two"))
			c.conn.Close()
		}
		await(t, "the ends", func() bool { return len(own.did("closed")) == 8 })
	})
}

// A pin that is asked for when its node is gone is chosen anew, and the client still hears
// STATE_LOST once.
func TestPinAfterLoss(t *testing.T) {
	bubble(t, func(t *testing.T, w *town) {
		world, g := w.small(nil)
		c := w.native(g)
		c.bindTo(1)
		w.kill(world)
		next := w.node("world-1", "world")
		w.join()
		g.mu.RLock()
		s := g.players[1]
		g.mu.RUnlock()
		s.mu.Lock()
		at, err := s.pinned("world")
		s.mu.Unlock()
		if err != nil || at.Incarnation != next.self.Incarnation {
			t.Fatalf("%+v, %v", at, err)
		}
		c.request(cmdEcho, 1, nil)
		c.fails(1, firefly.StateLost)
		c.request(cmdEcho, 2, nil)
		c.reply(2, nil)
	})
}
