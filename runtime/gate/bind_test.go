package gate

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/directory"
	"github.com/firefly-go/firefly/runtime/router"
	"github.com/firefly-go/firefly/runtime/rpc"
	"github.com/firefly-go/firefly/runtime/transport"
	"github.com/firefly-go/firefly/runtime/wire"
)

func control(op uint64) *rpc.Header { return &rpc.Header{Kind: router.KindControl, ID: op} }

func raw(b []byte) rpc.Payload { return rpc.Payload{Raw: b} }

// ignore is a completion that nobody waits for.
type ignore struct{}

func (ignore) Complete(rpc.Result, *transport.Batch) {}

func TestBind(t *testing.T) {
	bubble(t, func(t *testing.T, w *town) {
		world, chat := w.node("world-1", "world"), w.node("chat-1", "chat")
		g := w.addGate("gate-1", nil)
		w.join()
		c := w.native(g)
		c.request(cmdChat, 1, nil) // chat is touched before
		c.reply(1, nil)
		c.bindTo(7)
		await(t, "chat to hear of it", func() bool { return len(chat.did("op bound")) == 1 })
		c.request(cmdAuth, 2, nil)
		c.reply(2, nil)
		c.bindTo(7) // again: nothing new
		c.request(cmdBind, 3, playerBody(8))
		c.fails(3, firefly.FailedPrecondition)
		c.request(cmdBind, 4, playerBody(0))
		c.fails(4, firefly.InvalidArgument)
		e, ok, err := w.directory.Lookup(t.Context(), 7)
		if err != nil || !ok || e.Session != w.id(g, c) {
			t.Errorf("the directory says %+v, %t, %v", e, ok, err)
		}
		rec, ok := g.Record(w.id(g, c))
		if !ok || rec.Player != 7 || rec.Epoch != e.Epoch || len(rec.Pins) != 2 || len(rec.Touched) != 2 {
			t.Errorf("record: %+v", rec)
		}
		if back, err := ParseSessionRecord(rec.AppendTo(nil)); err != nil || fmt.Sprint(back) != fmt.Sprint(rec) {
			t.Errorf("the record came back as %+v, %v", back, err)
		}
		if code := firefly.CodeOf(world.ask(world.cl.Incarnation(g.o.Incarnation), router.OpBind,
			router.Bind{Session: firefly.SessionID{Gate: g.o.Incarnation, Seq: 99}, Player: 1}.Append(nil))); code != firefly.SessionClosed {
			t.Errorf("binding a session that is gone: %v", code)
		}

		// Replaced at the same gate.
		d := w.native(g)
		d.bindTo(7)
		c.closes(firefly.Replaced)
		world.mu.Lock()
		defer world.mu.Unlock()
		var what []string
		for _, e := range world.events {
			if e.what == "closed" || e.what == "bound" {
				what = append(what, e.what)
			}
		}
		if !slices.Equal(what, []string{"bound", "bound", "closed", "bound"}) {
			t.Errorf("events: %q", what)
		}
	})
}

// Two sessions of one player at two gates at once, again and again: one is left, and the
// OnClose of the old one has returned before the Bind of the new one returns.
func TestSingleLogin(t *testing.T) {
	bubble(t, func(t *testing.T, w *town) {
		world := w.node("world-1", "world")
		gates := []*Gate{w.addGate("gate-1", nil), w.addGate("gate-2", nil)}
		w.join()
		rounds := 1000
		if testing.Short() {
			rounds = 100
		}
		rnd := rand.New(rand.NewPCG(5, 6))
		for i := range rounds {
			p := firefly.PlayerID(100 + i)
			var cs []*testClient
			for j := range 2 + i%2 {
				cs = append(cs, w.native(gates[(i+j)%2]))
			}
			var wg sync.WaitGroup
			for j, c := range cs {
				delay := time.Duration(rnd.IntN(3)) * time.Duration(rnd.IntN(100)) * time.Microsecond
				wg.Go(func() {
					time.Sleep(delay)
					c.request(cmdBind, uint64(j), playerBody(p))
				})
			}
			wg.Wait()
			// One is left.
			await(t, "one session", func() bool {
				n := 0
				for _, c := range cs {
					if c.alive() {
						n++
					}
				}
				return n == 1
			})
			for _, c := range cs {
				if c.alive() {
					for f := c.frame(); f.Type != wire.Reply; f = c.frame() {
						t.Fatalf("round %d: the one that is left got %v %s %s", i, f.Type, f.Name, f.Message)
					}
					c.conn.Close()
				}
			}
			await(t, "the end of the round", func() bool { return gates[0].Sessions()+gates[1].Sessions() == 0 })
		}
		// By player: after "bound" of a session nothing but its own "closed" may come before
		// the next "bound".
		world.mu.Lock()
		defer world.mu.Unlock()
		now := map[firefly.PlayerID]firefly.SessionID{}
		owner := map[firefly.SessionID]firefly.PlayerID{}
		over := map[firefly.SessionID]bool{} // a Bind that returns after that has lost
		bound, replaced := 0, 0
		for _, e := range world.events {
			switch e.what {
			case "bound":
				if over[e.session] {
					continue
				}
				if old := now[e.player]; !old.IsZero() {
					t.Fatalf("player %d is bound to %v before the OnClose of %v", e.player, e.session, old)
				}
				now[e.player], owner[e.session] = e.session, e.player
				bound++
			case "closed":
				over[e.session] = true
				if p := owner[e.session]; p != 0 && now[p] == e.session {
					delete(now, p)
				}
				if e.text == string(firefly.Replaced) {
					replaced++
				}
			}
		}
		if bound < rounds || replaced < rounds {
			t.Errorf("%d bound, %d replaced in %d rounds", bound, replaced, rounds)
		}
	})
}

// A former session whose node is slow to close it holds the new Bind up; a kick that comes
// while the former's own Bind is under way waits for that too.
func TestBindWaits(t *testing.T) {
	bubble(t, func(t *testing.T, w *town) {
		world, chat := w.node("world-1", "world"), w.node("chat-1", "chat")
		g1, g2 := w.addGate("gate-1", nil), w.addGate("gate-2", nil)
		w.join()
		a, b, c := w.native(g1), w.native(g2), w.native(g1)
		a.bindTo(1)
		a.request(cmdChat, 1, nil)
		a.reply(1, nil)
		chat.mu.Lock()
		chat.closes = true
		chat.mu.Unlock()
		b.request(cmdBind, 1, playerBody(1))
		a.closes(firefly.Replaced)
		time.Sleep(3 * time.Second)
		b.quiet()
		c.request(cmdBind, 1, playerBody(1)) // kicks b, whose Bind is under way
		b.closes(firefly.Replaced)
		time.Sleep(3 * time.Second)
		c.quiet()
		_ = world
		chat.releaseAll()
		c.reply(1, nil)
	})
}

// A gate that is gone holds a Bind up until its lease has ended.
func TestBindAfterGateLost(t *testing.T) {
	bubble(t, func(t *testing.T, w *town) {
		w.node("world-1", "world")
		g1, g2 := w.addGate("gate-1", nil), w.addGate("gate-2", nil)
		w.join()
		a := w.native(g1)
		a.bindTo(1)
		var dead *fake
		for _, f := range w.nodes {
			if f.gate == g1 {
				dead = f
			}
		}
		g1.cancel() // no more renewals, as with SIGKILL
		w.kill(dead)
		w.gates = w.gates[1:]
		w.join()
		began := time.Now()
		b := w.native(g2)
		b.bindTo(1)
		if d := time.Since(began); d < directory.TTL/2 || d > 2*directory.TTL {
			t.Errorf("bound after %v", d)
		}
		g1.listener.Close()
		a.conn.Close()
	})
}

// flaky is a directory that can be away.
type flaky struct {
	directory.Directory
	mu   sync.Mutex
	away bool
	deaf atomic.Bool // claims are done, and their answers lost
}

var errAway = errors.New("the store is away")

func (f *flaky) gone() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.away
}

func (f *flaky) set(away bool, d directory.Directory) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.away = away
	if d != nil {
		f.Directory = d
	}
}

func (f *flaky) Claim(ctx context.Context, p firefly.PlayerID, s firefly.SessionID) (uint64, []directory.Entry, error) {
	if f.gone() {
		return 0, nil, errAway
	}
	epoch, previous, err := f.Directory.Claim(ctx, p, s)
	if f.deaf.Load() {
		return 0, nil, errAway
	}
	return epoch, previous, err
}

func (f *flaky) Renew(ctx context.Context, g firefly.Incarnation) (time.Duration, bool, error) {
	if f.gone() {
		return 0, false, errAway
	}
	return f.Directory.Renew(ctx, g)
}

func (f *flaky) Release(ctx context.Context, p firefly.PlayerID, s firefly.SessionID, epoch uint64) error {
	if f.gone() {
		return errAway
	}
	return f.Directory.Release(ctx, p, s, epoch)
}

// While the directory is away Bind answers UNAVAILABLE and bound sessions play on; when it
// comes back empty the gate claims again, and the older epoch loses.
func TestDirectoryAway(t *testing.T) {
	bubble(t, func(t *testing.T, w *town) {
		dir := &flaky{Directory: directory.NewMemory(nil)}
		w.directory = dir
		_, g := w.small(nil)
		a, b := w.native(g), w.native(g)
		a.bindTo(1)
		b.bindTo(2)
		dir.set(true, nil)
		c := w.native(g)
		c.request(cmdBind, 1, playerBody(3))
		c.fails(1, firefly.Unavailable)
		time.Sleep(time.Minute)
		for _, k := range []*testClient{a, b, c} {
			k.write(wire.AppendPing(nil, 1))
		}
		a.frame()
		b.frame()
		c.frame()
		a.request(cmdAuth, 1, nil)
		a.reply(1, nil)

		empty := directory.NewMemory(nil)
		// Somebody else has claimed player 2 meanwhile.
		if _, _, err := empty.Claim(t.Context(), 2, firefly.SessionID{Gate: 77, Seq: 1}); err != nil {
			t.Fatal(err)
		}
		dir.set(false, empty)
		b.closes(firefly.Replaced)
		await(t, "the entry", func() bool {
			e, ok, err := empty.Lookup(t.Context(), 1)
			return err == nil && ok && e.Session == w.id(g, a)
		})
		c.request(cmdBind, 2, playerBody(3))
		c.reply(2, nil)
		a.request(cmdAuth, 2, nil)
		a.reply(2, nil)
	})
}

// The answer to a Claim is lost: the Bind fails and the former session plays on. Whoever binds
// next - the same session again or another one, at any gate - closes it first.
func TestLostClaim(t *testing.T) {
	for _, again := range []string{"the same session", "another session", "another, after the first has left"} {
		t.Run(again, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *town) {
				dir := &flaky{Directory: directory.NewMemory(nil)}
				w.directory = dir
				w.node("world-1", "world")
				g1, g2 := w.addGate("gate-1", nil), w.addGate("gate-2", nil)
				w.join()
				old, next := w.native(g1), w.native(g2)
				old.bindTo(1)
				dir.deaf.Store(true)
				for i := range uint64(3) {
					next.request(cmdBind, 100+i, playerBody(1))
					next.fails(100+i, firefly.Unavailable)
				}
				old.request(cmdAuth, 1, nil)
				old.reply(1, nil)
				dir.deaf.Store(false)
				session := w.id(g1, old)
				switch again {
				case "another session":
					next = w.native(g1)
				case "another, after the first has left":
					next.conn.Close()
					await(t, "the entry of the one before", func() bool {
						e, ok, err := dir.Lookup(t.Context(), 1)
						return err == nil && ok && e.Session == session
					})
					next = w.native(g1)
				}
				next.request(cmdBind, 1, playerBody(1))
				old.closes(firefly.Replaced)
				next.reply(1, nil)
				// All who ended are forgotten, and nobody else.
				last := w.native(g2)
				await(t, "the directory to know who has ended", func() bool {
					_, previous, err := dir.Claim(t.Context(), 1, w.id(g2, last))
					return err == nil && len(previous) == 1
				})
			})
		})
	}
}

// Of two sessions that both claimed and both try again one is bound, the other is closed or its
// Bind fails, and neither waits for ever.
func TestClaimsCross(t *testing.T) {
	bubble(t, func(t *testing.T, w *town) {
		dir := &flaky{Directory: directory.NewMemory(nil)}
		w.directory = dir
		w.node("world-1", "world")
		gates := []*Gate{w.addGate("gate-1", nil), w.addGate("gate-2", nil)}
		w.join()
		for i := range 50 {
			p := firefly.PlayerID(1 + i)
			a, b := w.native(gates[0]), w.native(gates[1])
			dir.deaf.Store(true)
			for _, c := range []*testClient{a, b} {
				c.request(cmdBind, 1, playerBody(p))
				c.fails(1, firefly.Unavailable)
			}
			dir.deaf.Store(false)
			a.request(cmdBind, 2, playerBody(p))
			b.request(cmdBind, 2, playerBody(p))
			await(t, "both to be answered", func() bool {
				for _, c := range []*testClient{a, b} {
					c.mu.Lock()
					waits := len(c.in) == 0
					c.mu.Unlock()
					if waits && c.alive() {
						return false
					}
				}
				return true
			})
			if n := gates[0].Stats().Bound + gates[1].Stats().Bound; n != 1 {
				t.Fatalf("round %d: %d are bound", i, n)
			}
			a.conn.Close()
			b.conn.Close()
			await(t, "the end of the round", func() bool { return gates[0].Sessions()+gates[1].Sessions() == 0 })
		}
	})
}

func TestPinOf(t *testing.T) {
	bubble(t, func(t *testing.T, w *town) {
		world, chat := w.node("world-1", "world"), w.node("chat-1", "chat")
		g := w.addGate("gate-1", nil)
		w.join()
		c := w.native(g)
		c.bindTo(5)
		ask := func(p firefly.PlayerID, role string) (router.PinReply, error) {
			l, err := world.cl.Incarnation(g.o.Incarnation).Link()
			if err != nil {
				t.Fatal(err)
			}
			var at router.PinReply
			err = l.Call(t.Context(), control(router.OpPin), raw(router.Pin{Player: p, Role: role}.Append(nil)), func(b []byte) error {
				at, err = router.ParsePinReply(b)
				return err
			})
			return at, err
		}
		if at, err := ask(5, "world"); err != nil || at.Node != "world-1" || at.Incarnation != world.self.Incarnation {
			t.Errorf("%+v, %v", at, err)
		}
		if at, err := ask(5, "chat"); err != nil || at.Node != "chat-1" || at.Incarnation != chat.self.Incarnation {
			t.Errorf("%+v, %v", at, err)
		}
		if rec, _ := g.Record(w.id(g, c)); len(rec.Pins) != 2 || len(rec.Touched) != 1 {
			t.Errorf("record: %+v", rec)
		}
		if _, err := ask(6, "world"); firefly.CodeOf(err) != firefly.NotFound {
			t.Errorf("a player who is not here: %v", err)
		}
		if _, err := ask(5, "single"); firefly.CodeOf(err) != firefly.Unavailable {
			t.Errorf("a role that nobody plays: %v", err)
		}
	})
}
