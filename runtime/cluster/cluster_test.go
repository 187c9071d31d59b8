package cluster

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/directory"
	"github.com/firefly-go/firefly/runtime/rpc"
	"github.com/firefly-go/firefly/runtime/transport"
)

// Nodes come before and after the master, in any order; then all are linked, once.
func TestMesh(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		early := []*node{w.join("world-2"), w.join("gate-1")}
		time.Sleep(20 * time.Second)
		w.startMaster()
		all := append(early, w.join("chat-1"), w.join("world-1"))
		w.settle(all...)
		for _, n := range all {
			if err := n.Connected(t.Context()); err != nil {
				t.Error(err)
			}
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		for _, n := range all {
			var want []string
			for _, x := range all {
				if err := n.call(x.name); err != nil {
					t.Errorf("%s to %s: %v", n.name, x.name, err)
				}
				if x != n {
					want = append(want, up(x))
				}
			}
			n.expect(want...)
			if got := n.Role("world"); len(got) != 2 || got[0].Name != "world-1" || got[1].Name != "world-2" {
				t.Errorf("%s sees worlds %v", n.name, got)
			}
			if p := n.Incarnation(all[3].life); p == nil || p.Name != "world-1" || p.Gone() {
				t.Errorf("%s finds %v", n.name, p)
			}
			if p := n.Peer(n.name); p != n.Me() || !p.Self() {
				t.Errorf("%s finds itself as %v", n.name, p)
			}
		}
		// One link for each pair: the one with the lower name has dialed.
		links := 0
		for _, n := range all {
			links += w.net.(*transport.Memory).Conns(n.Self().Address)
		}
		if links != 6 {
			t.Errorf("%d links between 4 nodes", links)
		}
		if v := w.registry.View(); len(v.Members) != 4 {
			t.Errorf("the master knows %d", len(v.Members))
		}
	})
}

// A broken link is made again; it is no event, and what is served stays in order.
func TestLinkBreaks(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.startMaster()
		a, b := w.join("a-1"), w.join("b-1")
		var inside, last atomic.Int64
		b.served = func(_ *Peer, h *rpc.Header, _ []byte, reply rpc.Reply, batch *transport.Batch) {
			if inside.Add(1) != 1 {
				t.Error("two messages of one peer are served at once")
			}
			if was := last.Swap(int64(h.ID)); was >= int64(h.ID) {
				t.Errorf("%d after %d", h.ID, was)
			}
			inside.Add(-1)
			reply.Send(batch, rpc.Payload{})
		}
		w.settle(a, b)
		p, q := a.Peer("b-1"), b.Peer("a-1")
		for i := range uint64(300) {
			if i%50 == 49 {
				w.net.(*transport.Memory).Cut(b.Self().Address)
			}
			if l, err := p.Link(); err == nil {
				_ = l.Send(nil, &rpc.Header{Kind: 1, ID: i + 1}, rpc.Payload{})
			}
			time.Sleep(10 * time.Millisecond)
		}
		w.settle(a, b)
		if a.Peer("b-1") != p || b.Peer("a-1") != q {
			t.Error("a broken link made another peer")
		}
		a.expect(up(b))
		b.expect(up(a))
		if saw := a.sawBack(); len(saw) != 6 {
			t.Errorf("of six links that broke, %d are seen back: %q", len(saw), saw)
		}
		if last.Load() < 250 {
			t.Errorf("the last message that came is %d", last.Load())
		}
	})
}

// A peer that half-opens a second link gets the first one closed, and never two at once.
func TestSecondLink(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		b := w.start("b-1")
		dial := func(name string, life firefly.Incarnation) (*rpc.Link, error) {
			return rpc.Dial(t.Context(), w.net, b.Self().Address, rpc.Options{
				Self: rpc.Identity{Node: name, Incarnation: life, Game: "g"}, Secret: []byte("s"), Log: testLog()})
		}
		first, err := dial("a-1", 50)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := dial("a-1", 50); err == nil {
			t.Fatal("two links of one life at once")
		}
		synctest.Wait()
		if first.Err() == nil {
			t.Error("the former link is still up")
		}
		second, err := dial("a-1", 50)
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		b.expect("a-1/50 true")
		// A later life: the former is over before the later one is up.
		if _, err := dial("a-1", 51); err == nil {
			t.Fatal("two lives at once")
		}
		synctest.Wait()
		if second.Err() == nil {
			t.Error("the link of the former life is still up")
		}
		third, err := dial("a-1", 51)
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if got := b.sawNow(); !slices.Equal(got, []string{"a-1/50 false", "a-1/51 true"}) {
			t.Errorf("saw %q", got)
		}
		// The former does not come back, and nobody dials from the wrong side or as ourselves.
		for _, c := range []struct {
			name string
			life firefly.Incarnation
		}{{"a-1", 50}, {"z-1", 1}, {"b-1", 99}, {"", 1}, {"a-2", 0}} {
			var re *rpc.RefusedError
			if _, err := dial(c.name, c.life); !errors.As(err, &re) {
				t.Errorf("%+v: %v", c, err)
			}
		}
		synctest.Wait()
		b.expect()
		third.Close(nil)
	})
}

// A killed node is unavailable at once, and gone when the master's grace has passed: told
// exactly once, after every call has ended.
func TestDeath(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.startMaster()
		a, b, c := w.join("a-1"), w.join("b-1"), w.join("c-1")
		w.settle(a, b, c)
		synctest.Wait()
		a.expect(up(b), up(c))
		b.served = func(*Peer, *rpc.Header, []byte, rpc.Reply, *transport.Batch) {} // answers nothing
		answers := make(chan error, 5)
		for range 5 {
			go func() { answers <- a.call("b-1") }()
		}
		synctest.Wait()
		p := a.Peer("b-1")
		begin := time.Now()
		b.kill()
		for range 5 {
			if err := <-answers; firefly.CodeOf(err) != firefly.Unknown {
				t.Errorf("a call under way ended with %v", err)
			}
		}
		if err := a.call("b-1"); firefly.CodeOf(err) != firefly.Unavailable {
			t.Errorf("a call to a dead node: %v", err)
		}
		if time.Since(begin) > 0 {
			t.Errorf("that took %v", time.Since(begin))
		}
		time.Sleep(9 * time.Second)
		a.expect()
		if p.Gone() || a.Peer("b-1") != p {
			t.Error("gone before the grace has passed")
		}
		time.Sleep(2 * time.Second)
		a.expect(down(b))
		c.sawNow()
		if !p.Gone() || a.Peer("b-1") != nil || a.Incarnation(b.life) != nil || len(a.Role("b")) != 0 {
			t.Error("still there after the grace")
		}
		time.Sleep(time.Hour)
		a.expect()
	})
}

// Who is linked and still starts is not seen serving before it says so, whoever of the two comes
// first; who dies before is never, and its end is told all the same.
func TestServing(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.startMaster()
		begins := func(o *Options) { o.Self.State = Starting }
		a, b, c := w.join("a-1"), w.join("b-1", begins), w.join("c-1", begins)
		w.settle(a, b, c)
		time.Sleep(time.Minute)
		a.expect(up(b), up(c))
		if saw := a.sawServing(); len(saw) > 0 {
			t.Errorf("a-1 saw %q serving", saw)
		}
		if saw := b.sawServing(); !slices.Equal(saw, []string{"a-1"}) {
			t.Errorf("b-1 saw %q serving", saw)
		}
		b.SetState(Ready)
		c.kill()
		time.Sleep(time.Minute)
		a.expect(down(c))
		if saw := a.sawServing(); !slices.Equal(saw, []string{"b-1"}) {
			t.Errorf("a-1 saw %q serving", saw)
		}
		b.SetState(Draining)
		b.SetState(Ready)
		time.Sleep(time.Minute)
		if saw := a.sawServing(); len(saw) > 0 {
			t.Errorf("a-1 saw %q serving again", saw)
		}
		late := w.join("d-1")
		w.settle(a, b, late)
		time.Sleep(time.Minute)
		if saw := late.sawServing(); !slices.Equal(saw, []string{"a-1", "b-1"}) {
			t.Errorf("d-1 saw %q serving", saw)
		}
	})
}

// A successor that nobody announced: the former life is over when the later one registers.
func TestRestartedWithoutSupervisor(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.startMaster()
		a, b := w.join("a-1"), w.join("b-1")
		w.settle(a, b)
		synctest.Wait()
		a.sawNow()
		b.kill()
		b2 := w.join("b-1")
		w.settle(a, b2)
		synctest.Wait()
		if got := a.sawNow(); !slices.Equal(got, []string{down(b), up(b2)}) {
			t.Errorf("saw %q", got)
		}
	})
}

// Observers hear that a life is over when nothing of it is served any more.
func TestGoneWhenServed(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.startMaster()
		a, b := w.join("a-1"), w.join("b-1")
		w.settle(a, b)
		synctest.Wait()
		a.sawNow()
		goOn := make(chan struct{})
		served := 0
		a.served = func(*Peer, *rpc.Header, []byte, rpc.Reply, *transport.Batch) {
			<-goOn // no handler should, but it shows where the call is
			served++
		}
		l, err := b.Peer("a-1").Link()
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if err := l.Send(nil, &rpc.Header{Kind: 1}, rpc.Payload{}); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		p := a.Peer("b-1")
		w.registry.Gone("b-1", b.life)
		synctest.Wait()
		if !p.Gone() || a.Peer("b-1") != nil {
			t.Error("it is still found")
		}
		a.expect()
		close(goOn)
		synctest.Wait()
		a.expect(down(b))
		if served != 1 {
			t.Errorf("%d messages were served", served)
		}
	})
}

// Without Join, views and the lease alone decide.
func TestStatic(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		a, b := w.start("a-1"), w.start("b-1")
		v := View{Version: 5, Members: []Member{a.Self(), b.Self()}, Declared: Declared{Version: 3, Roles: map[string][]string{"b": {"b-1"}}}}
		a.Apply(v)
		b.Apply(v)
		w.settle(a, b)
		if a.Topology() != 3 || a.Owner("b", 77) != "b-1" || a.Owner("none", 1) != "" || !slices.Equal(a.Nodes("b"), []string{"b-1"}) {
			t.Errorf("topology %d, owner %q", a.Topology(), a.Owner("b", 77))
		}
		a.Apply(View{Version: 4, Dead: []Dead{{"b-1", b.life}}}) // older: ignored
		synctest.Wait()
		a.expect(up(b))
		a.Apply(View{Version: 6, Members: []Member{a.Self()}}) // not named is not dead, while it is linked
		time.Sleep(time.Minute)
		a.expect()
		if a.Topology() != 3 {
			t.Errorf("the topology fell to %d", a.Topology())
		}
		b.kill()
		time.Sleep(6 * time.Second)
		a.expect(down(b))
		a.Apply(View{Version: 7, Members: []Member{a.Self(), b.Self()}}) // late news of the dead
		time.Sleep(time.Minute)
		a.expect()
		if a.Peer("b-1") != nil {
			t.Error("the dead came back")
		}
		a.Apply(View{Version: 8, Dead: []Dead{{"a-1", a.life}}})
		if err := <-a.refused; !errors.Is(err, errDead) {
			t.Error(err)
		}
	})
}

func TestDirectoryOverLinks(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.startMaster()
		keep := func(o *Options) { o.Directory = directory.NewServer(directory.NewMemory(nil)) }
		g1, store := w.join("gate-1"), w.join("store-1", keep)
		w.settle(g1, store)
		d, ctx := g1.Directory(), t.Context()
		s := firefly.SessionID{Gate: g1.life, Seq: 1}
		epoch, _, err := d.Claim(ctx, 5, s)
		if err != nil {
			t.Fatal(err)
		}
		// The store itself sees the same.
		if e, ok, err := store.Directory().Lookup(ctx, 5); err != nil || !ok || e.Session != s || e.Epoch != epoch {
			t.Errorf("%v, %v, %v", e, ok, err)
		}
		store.kill()
		synctest.Wait() // the gate has noticed; before, nobody could say whether the claim was made
		if _, _, err := d.Claim(ctx, 6, s); firefly.CodeOf(err) != firefly.Unavailable {
			t.Errorf("while the store is away: %v", err)
		}
		again := w.join("store-1", keep)
		w.settle(g1, again)
		if _, known, err := d.Renew(ctx, g1.life); err != nil || known {
			t.Errorf("known %v, %v", known, err)
		}
		if err := d.Reclaim(ctx, 5, s, epoch); err != nil {
			t.Error(err)
		}
		// A process that keeps none says so.
		l, err := again.Peer("gate-1").Link()
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Call(ctx, &rpc.Header{Kind: KindDirectory, ID: 1}, rpc.Payload{}, nil); firefly.CodeOf(err) != firefly.Unavailable {
			t.Error(err)
		}
	})
}

// Processes and the master die, hang and come back at random. Every life is up at most once
// and then down at most once, and in the end all are linked.
func TestChaos(t *testing.T) {
	for seed := range uint64(12) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				rnd := rand.New(rand.NewPCG(seed, 1))
				m := w.net.(*transport.Memory)
				w.startMaster()
				names := []string{"a-1", "b-1", "c-1", "d-1"}
				live := map[string]*node{}
				for _, name := range names {
					live[name] = w.join(name)
				}
				for range 40 {
					time.Sleep(time.Duration(rnd.IntN(4000)) * time.Millisecond)
					name := names[rnd.IntN(len(names))]
					n := live[name]
					switch rnd.IntN(6) {
					case 0, 1:
						n.kill()
						if w.registry != nil && rnd.IntN(2) == 0 {
							w.registry.Gone(name, n.life)
						}
						live[name] = w.join(name)
					case 2:
						m.Cut(n.Self().Address)
					case 3:
						m.Pause(n.Self().Address)
						time.Sleep(time.Duration(rnd.IntN(9000)) * time.Millisecond)
						m.Resume(n.Self().Address)
					case 4:
						n.Close()
						live[name] = w.join(name)
					case 5:
						if w.registry != nil {
							w.killMaster()
						} else {
							w.startMaster()
						}
					}
				}
				if w.registry == nil {
					w.startMaster()
				}
				time.Sleep(30 * time.Second)
				// Who was declared dead has ended, as its process would.
				for _, name := range names {
					if n := live[name]; len(n.refused) > 0 {
						n.kill()
						live[name] = w.join(name)
					}
				}
				w.settle(live["a-1"], live["b-1"], live["c-1"], live["d-1"])
				synctest.Wait()
				for _, n := range w.nodes {
					state := map[string]string{}
					for _, e := range n.saw() {
						life, what, _ := strings.Cut(e, " ")
						state[life] += what + " "
					}
					for life, s := range state {
						if s != "true " && s != "true false " {
							t.Errorf("%s/%d saw of %s: %s", n.name, n.life, life, s)
						}
					}
				}
				for _, n := range live {
					for _, x := range live {
						if err := n.call(x.name); err != nil {
							t.Errorf("%s to %s: %v", n.name, x.name, err)
						}
					}
				}
			})
		})
	}
}

// The same over real sockets.
func TestOverTCP(t *testing.T) {
	w := newWorld(t, transport.TCP())
	early := w.join("a-1")
	w.startMaster()
	all := []*node{early, w.join("b-1"), w.join("c-1")}
	w.settle(all...)
	for _, n := range all {
		for _, x := range all {
			if err := n.call(x.name); err != nil {
				t.Errorf("%s to %s: %v", n.name, x.name, err)
			}
		}
	}
	w.await("events", func() bool { return len(early.saw()) == 2 })
	early.sawNow()
	all[1].kill()
	w.await("the link to break", func() bool { return firefly.CodeOf(early.call("b-1")) == firefly.Unavailable })
	w.registry.Gone("b-1", 0)
	w.await("the end", func() bool { return slices.Equal(early.saw(), []string{down(all[1])}) })
	early.sawNow()
	again := w.join("b-1")
	w.settle(early, again, all[2])
	w.await("the successor", func() bool { return slices.Equal(early.saw(), []string{up(again)}) })
	w.killMaster()
	if err := early.call("b-1"); err != nil {
		t.Errorf("without a master: %v", err)
	}
	w.startMaster()
	w.await("all to register again", func() bool { return len(w.registry.View().Members) == 3 })
	begin := time.Now()
	again.Close()
	if took := time.Since(begin); took > 3*time.Second {
		t.Errorf("closing took %v", took)
	}
	w.await("the leave", func() bool { return slices.Equal(early.saw(), []string{up(again), down(again)}) })
}
