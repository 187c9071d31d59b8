package router

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/rpc"
)

// spec makes the declaration of a call; its id is the length of the name's own bytes.
func spec(role string, routing firefly.Routing, name string, edit ...func(*firefly.CallSpec)) *firefly.CallSpec {
	s := &firefly.CallSpec{Name: name, Role: role, Routing: routing}
	for i := range len(name) {
		s.ID = s.ID*31 + uint64(name[i])
	}
	for _, f := range edit {
		f(s)
	}
	return s
}

func idempotent(s *firefly.CallSpec) { s.Idempotent = true }
func noReply(s *firefly.CallSpec)    { s.NoReply = true }
func within(d time.Duration) func(*firefly.CallSpec) {
	return func(s *firefly.CallSpec) { s.Timeout = d }
}

// serve registers a call.
func serve(h *Host, s *firefly.CallSpec, f func(ctx context.Context, req *num) (*num, error)) {
	h.HandleCall(s, decodeNum, func(ctx context.Context, req any) (Body, error) {
		rep, err := f(ctx, req.(*num))
		if err != nil || rep == nil {
			return Body{}, err
		}
		return Body{Msg: rep}, nil
	})
}

// call makes a call and gives the number that comes back.
func call(ctx context.Context, r *Router, s *firefly.CallSpec, key Key, v uint64) (uint64, error) {
	var rep num
	err := r.Call(ctx, s, key, Body{Msg: &num{v: v}}, rep.UnmarshalVT)
	return rep.v, err
}

var plainRouting = map[string]firefly.Routing{"world": firefly.Sticky, "chat": firefly.Hash, "pay": firefly.LeastLoaded, "clock": firefly.Single}

// driver makes a command of role "world" that runs f, so that f has the ctx of a handler.
func driver(h *Host, f func(ctx context.Context, s firefly.Session) error) {
	handle(h, 1, func(ctx context.Context, s firefly.Session, req *num) (*num, error) { return req, f(ctx, s) })
}

// Where a call goes: by key, by player, by the player in whose name it runs, by load.
func TestPlaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		where := func(n *testNode) func(context.Context, *num) (*num, error) {
			return func(ctx context.Context, _ *num) (*num, error) {
				var i uint64
				fmt.Sscanf(n.name[strings.LastIndexByte(n.name, '-')+1:], "%d", &i)
				return &num{v: i}, nil
			}
		}
		sticky, hash := spec("room", firefly.Sticky, "Room"), spec("chat", firefly.Hash, "Chat")
		least, single := spec("pay", firefly.LeastLoaded, "Pay"), spec("clock", firefly.Single, "Clock")
		lone := spec("lone", firefly.Sticky, "Lone")
		var todo func(ctx context.Context, s firefly.Session) error
		g := newGame(t, map[string]firefly.Routing{"world": firefly.Sticky, "room": firefly.Sticky, "chat": firefly.Hash, "pay": firefly.LeastLoaded, "clock": firefly.Single},
			"gate-1 gate", "gate-2 gate", "world-1 world", "room-1 room", "room-2 room", "room-3 room", "chat-1 chat", "chat-2 chat", "pay-1 pay", "clock-1 clock", "lone-1 lone")
		g.up(func(n *testNode, h *Host) {
			switch h.role {
			case "world":
				driver(h, func(ctx context.Context, s firefly.Session) error { return todo(ctx, s) })
			case "room":
				serve(h, sticky, where(n))
			case "chat":
				serve(h, hash, where(n))
			case "pay":
				serve(h, least, where(n))
			case "clock":
				serve(h, single, where(n))
			case "lone":
				serve(h, lone, where(n))
			}
		})
		defer g.down()
		w := g.host("world-1", "world").router
		owner := func(role string, k Key) uint64 {
			var i uint64
			name := g.nodes["world-1"].c.Owner(role, k.Hash())
			fmt.Sscanf(name[strings.LastIndexByte(name, '-')+1:], "%d", &i)
			return i
		}
		check := func(ctx context.Context, what string, s *firefly.CallSpec, k Key, want uint64) {
			t.Helper()
			if got, err := call(ctx, w, s, k, 0); err != nil || got != want {
				t.Errorf("%s: node %d, %v; want %d", what, got, err, want)
			}
		}
		run := func(p firefly.PlayerID, f func(ctx context.Context, s firefly.Session)) {
			t.Helper()
			todo = func(ctx context.Context, s firefly.Session) error { f(ctx, s); return nil }
			if a := g.command("gate-1", "world-1", 1, int(p)+1, numBody(0), as(p, 1)).wait(); a.err != nil {
				t.Errorf("the driver: %v", a.err)
			}
		}
		seen := map[uint64]bool{}
		for i := range 20 {
			k := StringKey(fmt.Sprint("room", i))
			seen[owner("room", k)] = true
			check(context.Background(), "a key of a STICKY role", sticky, k, owner("room", k))
			check(context.Background(), "a key of a HASH role", hash, k, owner("chat", k))
			p := PlayerKey(firefly.PlayerID(i + 1000))
			check(context.Background(), "a player on a HASH role", hash, p, owner("chat", IntKey(int64(i+1000))))
			check(context.Background(), "a player on a STICKY role who is not online", sticky, p, owner("room", IntKey(int64(i+1000))))
		}
		if len(seen) != 3 {
			t.Errorf("twenty keys lie on %d nodes", len(seen))
		}
		check(context.Background(), "LEAST_LOADED", least, NoKey(), 1)
		check(context.Background(), "SINGLE", single, NoKey(), 1)

		// Player 7 is online at gate 2 and pinned at room 3; player 8 is at gate 1.
		if _, _, err := g.dir.Claim(context.Background(), 7, firefly.SessionID{Gate: g.nodes["gate-2"].life, Seq: 1}); err != nil {
			t.Fatal(err)
		}
		g.nodes["gate-2"].gate.pins[7] = "room-3"
		g.nodes["gate-1"].gate.pins[8] = "room-2"
		check(context.Background(), "a player who is online", sticky, PlayerKey(7), 3)
		g.nodes["gate-2"].gate.want(t, "pin 7 of room")
		run(8, func(ctx context.Context, s firefly.Session) {
			check(ctx, "the caller's player", sticky, NoKey(), 2)
			check(ctx, "another player", sticky, PlayerKey(7), 3)
			check(ctx, "the caller's player on a HASH role", hash, NoKey(), owner("chat", IntKey(8)))
			check(ctx, "a role of one node", lone, NoKey(), 1)
			_, err := firefly.Await(ctx, func(ctx context.Context) (int, error) {
				check(ctx, "off the loop", sticky, NoKey(), 2)
				return 0, nil
			})
			if err != nil {
				t.Error(err)
			}
		})
		g.nodes["gate-1"].gate.want(t, "pin 8 of room", "pin 8 of room", "reply to 9: <nil>")
	})
}

// What the callee knows of the caller, and what errors become on the way.
func TestCallTravels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := spec("chat", firefly.Hash, "Chat", within(3*time.Second))
		var fails error
		var todo func(ctx context.Context, s firefly.Session) error
		g := newGame(t, plainRouting, "gate-1 gate", "world-1 world", "chat-1 chat")
		g.up(func(n *testNode, h *Host) {
			switch h.role {
			case "world":
				driver(h, func(ctx context.Context, s firefly.Session) error { return todo(ctx, s) })
			case "chat":
				serve(h, s, func(ctx context.Context, req *num) (*num, error) {
					c := firefly.CallOf(ctx)
					d, _ := ctx.Deadline()
					if c.Player != 5 || c.Request != 42 || c.Hops != 1 || c.Name != "Chat" || c.Node != "chat-1" || c.Session != nil {
						t.Errorf("the callee knows %+v", c)
					}
					if left := time.Until(d); left > 3*time.Second || left < 2*time.Second {
						t.Errorf("the deadline is in %v", left)
					}
					return &num{v: req.v + 1}, fails
				})
			}
		})
		defer g.down()
		r := g.host("world-1", "world").router
		run := func(f func(ctx context.Context, s firefly.Session) error) firefly.Code {
			todo = f
			return g.command("gate-1", "world-1", 1, 1, numBody(0), as(5, 1)).code()
		}
		one := func(ctx context.Context, _ firefly.Session) error {
			v, err := call(ctx, r, s, StringKey("x"), 4)
			if err == nil && v != 5 {
				t.Errorf("got %d", v)
			}
			return err
		}
		if c := run(one); c != firefly.OK {
			t.Errorf("%s", c)
		}
		fails = firefly.NotFound.Errorf("no such thing")
		if c := run(one); c != firefly.NotFound {
			t.Errorf("a code: %s", c)
		}
		fails = errors.New("secret")
		if c := run(func(ctx context.Context, s firefly.Session) error {
			err := one(ctx, s)
			var e *firefly.Error
			if !errors.As(err, &e) || e.Code != firefly.Internal || strings.Contains(e.Message, "secret") || !strings.Contains(e.Message, firefly.RequestID(42).String()) {
				t.Errorf("a plain error: %v", err)
			}
			return nil
		}); c != firefly.OK {
			t.Errorf("%s", c)
		}
		fails = nil
		if c := run(func(ctx context.Context, s firefly.Session) error {
			return r.Call(ctx, spec("chat", firefly.Hash, "Nothing"), StringKey("x"), Body{}, nil)
		}); c != firefly.Unimplemented {
			t.Errorf("a call that nobody serves: %s", c)
		}
		if c := run(func(ctx context.Context, s firefly.Session) error {
			return r.Call(ctx, spec("chat", firefly.Hash, "Chat"), StringKey("x"), Body{Raw: make([]byte, 2<<20)}, nil)
		}); c != firefly.InvalidArgument {
			t.Errorf("a request over the limit: %s", c)
		}
		if c := run(func(ctx context.Context, s firefly.Session) error {
			_, err := call(ctx, r, spec("nowhere", firefly.Hash, "X"), StringKey("x"), 1)
			return err
		}); c != firefly.Unavailable {
			t.Errorf("a role without a node: %s", c)
		}
		if n := g.host("chat-1", "chat").Load(); n != 0 {
			t.Errorf("chat has a load of %d", n)
		}
	})
}

// Calls yield: others run meanwhile. Their deadline is the smaller of the declared timeout and
// what is left; the callee goes on.
func TestCallYieldsAndEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var j journal
		slow := spec("chat", firefly.Hash, "Slow", within(2*time.Second))
		g := newGame(t, plainRouting, "gate-1 gate", "world-1 world", "chat-1 chat")
		g.up(func(n *testNode, h *Host) {
			switch h.role {
			case "world":
				handle(h, 1, func(ctx context.Context, s firefly.Session, req *num) (*num, error) {
					begin := time.Now()
					j.add("world %d", s.ID().Seq)
					_, err := call(ctx, h.router, slow, StringKey("x"), req.v)
					j.add("after %v: %s", time.Since(begin).Round(100*time.Millisecond), firefly.CodeOf(err))
					return req, err
				})
			case "chat":
				serve(h, slow, func(ctx context.Context, req *num) (*num, error) {
					begin := time.Now()
					_, _ = firefly.Await(ctx, func(context.Context) (int, error) {
						time.Sleep(time.Duration(req.v) * time.Millisecond) // deaf to its deadline
						return 0, nil
					})
					j.add("chat %v: %v", time.Since(begin).Round(100*time.Millisecond), ctx.Err())
					return req, nil
				})
			}
		})
		defer g.down()
		a := g.command("gate-1", "world-1", 1, 1, numBody(5_000))
		b := g.command("gate-1", "world-1", 1, 2, numBody(500))
		b.wait()
		if b.err != nil || a.over() {
			t.Errorf("the second: %v", b.err)
		}
		if c := a.code(); c != firefly.DeadlineExceeded {
			t.Errorf("the first: %s", c)
		}
		got := j.take()
		slices.Sort(got)
		if want := []string{"after 2s: DEADLINE_EXCEEDED", "after 500ms: ", "chat 500ms: <nil>", "world 1", "world 2"}; !slices.Equal(got, want) {
			t.Errorf("\n got %q\nwant %q", got, want)
		}
		time.Sleep(10 * time.Second)
		j.want(t, "chat 5s: context deadline exceeded")
		c := g.command("gate-1", "world-1", 1, 1, numBody(5_000), func(h *rpc.Header) { h.Timeout = time.Second })
		c.wait()
		time.Sleep(10 * time.Second)
		if got := j.take(); !slices.Contains(got, "after 1s: DEADLINE_EXCEEDED") {
			t.Errorf("a caller with a second left: %q", got)
		}
	})
}

// A call to the own role on the own node is a plain function call when nothing or the caller's
// own key decides: nobody comes between. With another key it is queued and yields. To another
// role in the process it yields too.
func TestLocalCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var j journal
		own, other := spec("world", firefly.Sticky, "Own"), spec("chat", firefly.Hash, "Other")
		var keys [2]Key // owned by all-1
		var mode string
		g := newGame(t, plainRouting, "all-1 gate world chat", "all-2 world chat")
		var shared sync.Map // messages that callers hold
		g.up(func(n *testNode, h *Host) {
			body := func(ctx context.Context, req *num) (*num, error) {
				c := firefly.CallOf(ctx)
				j.add("%s at %s, hops %d", c.Name, c.Node, c.Hops)
				if _, ok := shared.Load(req); ok {
					t.Error("a message is shared")
				}
				req.v++
				if req.v == 100 {
					panic("in place")
				}
				return req, nil
			}
			switch h.role {
			case "world":
				serve(h, own, body)
				handle(h, 1, func(ctx context.Context, s firefly.Session, req *num) (*num, error) {
					j.add("begin %d", req.v)
					key, to := NoKey(), own
					switch mode {
					case "own key":
						key = keys[0]
					case "other key":
						key = keys[1]
					case "own player":
						key = PlayerKey(s.Player())
					case "other role":
						to, key = other, keys[0]
					}
					shared.Store(req, true)
					var rep num
					err := h.router.Call(ctx, to, key, Body{Msg: req}, rep.UnmarshalVT)
					j.add("end %d: %d %s", req.v, rep.v, firefly.CodeOf(err))
					return &rep, err
				})
			case "chat":
				serve(h, other, body)
			}
		})
		defer g.down()
		for i := 0; len(j.list) < 2; i++ {
			if k := StringKey(fmt.Sprint(i)); g.nodes["all-1"].c.Owner("world", k.Hash()) == "all-1" && g.nodes["all-1"].c.Owner("chat", k.Hash()) == "all-1" {
				keys[len(j.list)] = k
				j.add("found")
			}
		}
		j.take()
		run := func(m string, v uint64) []string {
			mode = m
			withKey := func(h *rpc.Header) { h.Key = keys[0].Hash() }
			hold := make(chan struct{}) // both are queued before the first begins
			g.host("all-1", "world").Node().Go("hold", func(context.Context) { <-hold })
			synctest.Wait()
			a := g.command("all-1", "all-1", 1, 1, numBody(v), as(5, 1), withKey)
			b := g.command("all-1", "all-1", 1, 2, numBody(v+1), as(6, 1), withKey)
			close(hold)
			a.wait()
			b.wait()
			return j.take()
		}
		inPlace := []string{"begin 1", "Own at all-1, hops 1", "end 1: 2 ", "begin 2", "Own at all-1, hops 1", "end 2: 3 "}
		for _, m := range []string{"no key", "own key", "own player"} {
			if got := run(m, 1); !slices.Equal(got, inPlace) {
				t.Errorf("%s: %q", m, got)
			}
		}
		if got := run("other key", 1); !slices.Equal(got[:2], []string{"begin 1", "begin 2"}) || len(got) != 6 {
			t.Errorf("other key: %q", got)
		}
		if got := run("other role", 1); got[0] != "begin 1" || !slices.Contains(got, "Other at all-1, hops 1") || !slices.Contains(got, "end 1: 2 ") {
			t.Errorf("other role: %q", got)
		}
		if got := run("no key", 99); got[2] != "end 99: 0 INTERNAL" || got[5] != "end 100: 101 " {
			t.Errorf("a panic in place: %q", got)
		}
	})
}

// Two roles that call each other for ever are stopped by LOOP, in one process as over links,
// and a role that calls itself as well.
func TestHops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ping, pong, self := spec("world", firefly.Hash, "Ping"), spec("chat", firefly.Hash, "Pong"), spec("world", firefly.Hash, "Self")
		var n int
		routing := map[string]firefly.Routing{"world": firefly.Hash, "chat": firefly.Hash}
		g := newGame(t, routing, "gate-1 gate", "world-1 world", "chat-1 chat")
		g.up(func(_ *testNode, h *Host) {
			switch h.role {
			case "world":
				serve(h, ping, func(ctx context.Context, req *num) (*num, error) {
					n++
					v, err := call(ctx, h.router, pong, StringKey("x"), req.v)
					return &num{v: v}, err
				})
				serve(h, self, func(ctx context.Context, req *num) (*num, error) {
					n++
					v, err := call(ctx, h.router, self, NoKey(), req.v)
					return &num{v: v}, err
				})
				driver(h, func(ctx context.Context, _ firefly.Session) error {
					_, err := call(ctx, h.router, self, NoKey(), 1)
					return err
				})
				handle(h, 2, func(ctx context.Context, _ firefly.Session, req *num) (*num, error) {
					_, err := call(ctx, h.router, ping, StringKey("y"), 1)
					return req, err
				})
			case "chat":
				serve(h, pong, func(ctx context.Context, req *num) (*num, error) {
					n++
					v, err := call(ctx, h.router, ping, StringKey("x"), req.v)
					return &num{v: v}, err
				})
			}
		})
		defer g.down()
		for _, id := range []firefly.CommandID{1, 2} {
			n = 0
			if c := g.command("gate-1", "world-1", id, 1, numBody(0)).code(); c != firefly.TooManyHops || n != 16 {
				t.Errorf("command %d: %s after %d", id, c, n)
			}
		}
	})
}

// A call to a NoReply method returns before it runs; several arrive in order, and its error
// stays in the log.
func TestNoReply(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var j journal
		tell := spec("chat", firefly.Hash, "Tell", noReply)
		self := spec("world", firefly.Sticky, "Self", noReply)
		g := newGame(t, plainRouting, "gate-1 gate", "world-1 world", "chat-1 chat")
		g.up(func(_ *testNode, h *Host) {
			switch h.role {
			case "world":
				serve(h, self, func(context.Context, *num) (*num, error) { j.add("self"); return nil, nil })
				driver(h, func(ctx context.Context, s firefly.Session) error {
					for i := range 5 {
						if err := h.router.Call(ctx, tell, StringKey("x"), Body{Msg: &num{v: uint64(i)}}, nil); err != nil {
							return err
						}
					}
					err := h.router.Call(ctx, self, NoKey(), Body{Msg: &num{}}, nil)
					j.add("told")
					return err
				})
			case "chat":
				serve(h, tell, func(_ context.Context, req *num) (*num, error) {
					j.add("%d", req.v)
					return nil, errors.New("nobody hears it")
				})
			}
		})
		defer g.down()
		if a := g.command("gate-1", "world-1", 1, 1, numBody(0)).wait(); a.err != nil {
			t.Fatal(a.err)
		}
		synctest.Wait()
		got := j.take()
		if got[0] != "told" {
			t.Errorf("it ran before the caller went on: %q", got)
		}
		slices.Sort(got)
		if want := []string{"0", "1", "2", "3", "4", "self", "told"}; !slices.Equal(got, want) {
			t.Errorf("got %q", got)
		}
		mustContain(t, g.log.String(), "nobody hears it")
	})
}

// staleCluster gives a wrong owner for the first so many questions.
type staleCluster struct {
	Cluster
	wrong string
	times int
}

func (s *staleCluster) Owner(role string, key uint64) string {
	if s.times > 0 {
		s.times--
		return s.wrong
	}
	return s.Cluster.Owner(role, key)
}

// MOVED is followed once; a second one is UNAVAILABLE, since the handler surely did not run.
func TestMoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := spec("chat", firefly.Hash, "Chat")
		g := newGame(t, plainRouting, "gate-1 gate", "world-1 world", "chat-1 chat", "chat-2 chat")
		g.up(func(_ *testNode, h *Host) {
			if h.role == "chat" {
				serve(h, s, func(_ context.Context, req *num) (*num, error) { return req, nil })
			}
		})
		defer g.down()
		c := g.nodes["world-1"].c
		key := StringKey("x")
		wrong := map[string]string{"chat-1": "chat-2", "chat-2": "chat-1"}[c.Owner("chat", key.Hash())]
		for times, want := range []firefly.Code{firefly.OK, firefly.OK, firefly.Unavailable} {
			r := NewRouter(RouterOptions{Node: "world-1", Role: "world", Cluster: &staleCluster{c, wrong, times}})
			if _, err := call(context.Background(), r, s, key, 1); firefly.CodeOf(err) != want {
				t.Errorf("%d wrong answers: %v", times, err)
			}
		}
	})
}

// When the node is lost under a call: UNKNOWN, or, when the call is idempotent, once more at
// another node. What could not be sent is UNAVAILABLE, unless it was sent before.
func TestNodeLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var j journal
		plain := spec("pay", firefly.LeastLoaded, "Plain")
		again := spec("pay", firefly.LeastLoaded, "Again", idempotent)
		// The lower name dials, so each of these listens for the link with world.
		g := newGame(t, plainRouting, "gate-1 gate", "world-1 world", "xpay-1 pay", "xpay-2 pay")
		hang := make(chan struct{})
		losses := 0 // how many nodes are lost under the calls to come
		g.up(func(n *testNode, h *Host) {
			if h.role != "pay" {
				return
			}
			for _, s := range []*firefly.CallSpec{plain, again} {
				serve(h, s, func(ctx context.Context, req *num) (*num, error) {
					j.add("%s", s.Name)
					if losses > 0 {
						losses--
						g.net.Refuse(n.name+":1", true)
						g.net.Cut(n.name + ":1")
						park(ctx, hang)
					}
					return req, nil
				})
			}
		})
		defer g.down()
		defer close(hang)
		r := g.host("world-1", "world").router
		heal := func() {
			synctest.Wait() // a call ends before its link is known to be lost
			for _, n := range []string{"xpay-1", "xpay-2"} {
				g.net.Refuse(n+":1", false)
				for g.nodes["world-1"].c.Peer(n) == nil {
					time.Sleep(10 * time.Millisecond)
				}
				for {
					if _, err := g.nodes["world-1"].c.Peer(n).Link(); err == nil {
						break
					}
					time.Sleep(10 * time.Millisecond)
				}
			}
			j.take()
		}
		try := func(s *firefly.CallSpec, lost int, want firefly.Code, runs ...string) {
			t.Helper()
			losses = lost
			if _, err := call(context.Background(), r, s, NoKey(), 1); firefly.CodeOf(err) != want {
				t.Errorf("%s with %d lost: %v, want %s", s.Name, lost, err, want)
			}
			j.want(t, runs...)
		}
		try(plain, 1, firefly.Unknown, "Plain")
		heal()
		try(again, 1, firefly.OK, "Again", "Again")
		heal()
		try(again, 2, firefly.Unknown, "Again", "Again")
		try(again, 0, firefly.Unavailable)
		heal()
		try(again, 0, firefly.OK, "Again")
		g.net.Refuse("xpay-1:1", true)
		g.net.Cut("xpay-1:1")
		synctest.Wait()
		try(again, 1, firefly.Unknown, "Again")
	})
}

// Calls beside each other, and calls to nodes by name.
func TestEachAndAt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := spec("chat", firefly.Hash, "Chat")
		var todo func(ctx context.Context) error
		g := newGame(t, plainRouting, "gate-1 gate", "world-1 world", "chat-1 chat", "chat-2 chat", "chat-3 chat")
		g.up(func(n *testNode, h *Host) {
			switch h.role {
			case "world":
				driver(h, func(ctx context.Context, _ firefly.Session) error { return todo(ctx) })
			case "chat":
				serve(h, s, func(ctx context.Context, req *num) (*num, error) {
					_ = firefly.Sleep(ctx, time.Second)
					if n.name == "chat-2" {
						return nil, firefly.NotFound.Errorf("not here")
					}
					return &num{v: req.v + uint64(n.life)}, nil
				})
			}
		})
		defer g.down()
		r := g.host("world-1", "world").router
		todo = func(ctx context.Context) error {
			begin := time.Now()
			var got []string
			err := r.Each(ctx, s, Body{Msg: &num{v: 1}}, func(node string, body []byte, err error) error {
				var n num
				if err == nil {
					err = n.UnmarshalVT(body)
				}
				got = append(got, fmt.Sprint(node, " ", n.v, " ", firefly.CodeOf(err)))
				return nil
			})
			if want := []string{"chat-1 103 ", "chat-2 0 NOT_FOUND", "chat-3 105 "}; err != nil || !slices.Equal(got, want) {
				t.Errorf("got %q, %v", got, err)
			}
			if d := time.Since(begin); d > 1500*time.Millisecond {
				t.Errorf("one after the other: %v", d)
			}
			var n num
			if err := r.CallAt(ctx, "chat-3", s, Body{Msg: &num{v: 2}}, n.UnmarshalVT); err != nil || n.v != 106 {
				t.Errorf("at chat-3: %d, %v", n.v, err)
			}
			if err := r.CallAt(ctx, "chat-9", s, Body{Msg: &num{}}, nil); firefly.CodeOf(err) != firefly.Unavailable {
				t.Errorf("at a node that is not there: %v", err)
			}
			return firefly.All(ctx,
				func(ctx context.Context) error { _, err := call(ctx, r, s, HashKey(1), 1); return ignore(err) },
				func(ctx context.Context) error { _, err := call(ctx, r, s, HashKey(2), 1); return ignore(err) },
			)
		}
		if a := g.command("gate-1", "world-1", 1, 1, numBody(0)).wait(); a.err != nil {
			t.Error(a.err)
		}
	})
}

func ignore(err error) error {
	if firefly.CodeOf(err) == firefly.NotFound {
		return nil
	}
	return err
}
