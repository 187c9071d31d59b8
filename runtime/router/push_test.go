package router

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/rpc"
)

var moved = &firefly.PushSpec{ID: 2001, Name: "test.v1.Moved"}

func pushed(size int) firefly.Message { return &blob{b: make([]byte, size)} }

// One frame to each gate that may have receivers, and none to others.
func TestPushTargets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var todo func(ctx context.Context, s firefly.Session) error
		g := newGame(t, plainRouting, "gate-1 gate", "gate-2 gate", "world-1 world", "world-2 world")
		g.up(func(n *testNode, h *Host) {
			handle(h, 1, echo)
			handle(h, 2, func(ctx context.Context, s firefly.Session, req *num) (*num, error) { return req, todo(ctx, s) })
		})
		defer g.down()
		r := g.host("world-1", "world").router
		// Players 1 and 2 are at gate 1, 3 and 4 at gate 2; world-1 knows all of them.
		for p, gate := range map[firefly.PlayerID]string{1: "gate-1", 2: "gate-1", 3: "gate-2", 4: "gate-2"} {
			if a := g.command(gate, "world-1", 1, int(p), numBody(0), as(p, 1)).wait(); a.err != nil {
				t.Fatal(a.err)
			}
		}
		one, two := g.nodes["gate-1"].gate, g.nodes["gate-2"].gate
		one.take()
		two.take()
		var s3 firefly.Session = g.host("world-1", "world").sessionOf(3)
		none := []string{}
		for _, c := range []struct {
			what   string
			to     firefly.Target
			g1, g2 []string
		}{
			{"a session", s3, none, []string{"push 2001 to sessions 3: 9"}},
			{"a player", firefly.PlayerID(1), []string{"push 2001 to players [1]: 9"}, none},
			{"a player whom nobody here knows", firefly.PlayerID(9), []string{"push 2001 to players [9]: 9"}, []string{"push 2001 to players [9]: 9"}},
			{"players of one gate", firefly.Players{1, 2}, []string{"push 2001 to players [1 2]: 9"}, none},
			{"players of both", firefly.Players{4, 1, 3}, []string{"push 2001 to players [1]: 9"}, []string{"push 2001 to players [4 3]: 9"}},
			{"and one unknown", firefly.Players{9, 4}, []string{"push 2001 to players [9]: 9"}, []string{"push 2001 to players [9 4]: 9"}},
			{"nobody", firefly.Players{}, none, none},
			{"a group", firefly.Group("g"), []string{"push 2001 to group g: 9"}, []string{"push 2001 to group g: 9"}},
			{"everyone", firefly.Everyone, []string{"push 2001 to everyone: 9"}, []string{"push 2001 to everyone: 9"}},
			{"everyone but some", firefly.Except(firefly.Except(firefly.Everyone, 1), 2, 3), []string{"push 2001 to everyone but [2 3 1]: 9"}, []string{"push 2001 to everyone but [2 3 1]: 9"}},
			{"players but one", firefly.Except(firefly.Players{1, 3}, 1), none, []string{"push 2001 to players [3]: 9"}},
			{"a session but its player", firefly.Except(s3, 3), none, none},
			{"a session but others", firefly.Except(s3, 1), none, []string{"push 2001 to sessions 3: 9"}},
			{"a player but himself", firefly.Except(firefly.PlayerID(1), 1), none, none},
		} {
			for _, on := range []string{"on the loop", "off the loop"} {
				var err error
				if on == "on the loop" {
					todo = func(ctx context.Context, _ firefly.Session) error {
						return r.Push(ctx, c.to, moved, NoKey(), pushed(9))
					}
					a := g.command("gate-1", "world-1", 2, 1, numBody(0), as(1, 1)).wait()
					if a.err != nil {
						err = a.err
					}
				} else {
					err = r.Push(context.Background(), c.to, moved, NoKey(), pushed(9))
				}
				synctest.Wait()
				if err != nil {
					t.Errorf("%s %s: %v", c.what, on, err)
				}
				want := c.g1
				if on == "on the loop" {
					want = append(want[:len(want):len(want)], "reply to 1: <nil>")
				}
				t.Log(c.what, on)
				one.want(t, want...)
				two.want(t, c.g2...)
			}
		}
		if err := r.Push(context.Background(), nil, moved, NoKey(), pushed(9)); firefly.CodeOf(err) != firefly.InvalidArgument {
			t.Errorf("no target: %v", err)
		}
		if err := r.Push(context.Background(), firefly.Everyone, moved, NoKey(), pushed(2<<20)); firefly.CodeOf(err) != firefly.InvalidArgument {
			t.Errorf("two megabytes: %v", err)
		}
		if err := r.Push(context.Background(), firefly.Everyone, moved, NoKey(), pushed(maxBody)); err != nil {
			t.Errorf("the largest push: %v", err)
		}
	})
}

// Replies, pushes and memberships of one handler arrive in the order it made them; so do those
// of handlers one after the other.
func TestPushOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one := func(gate, node string) {
			g := newGame(t, plainRouting, "gate-1 gate", "world-1 world", "all-1 gate world")
			g.up(func(n *testNode, h *Host) {
				handle(h, 1, func(ctx context.Context, s firefly.Session, req *num) (*num, error) {
					r := h.router
					err := r.Push(ctx, s, moved, NoKey(), pushed(1))
					err2 := s.Join(ctx, "g")
					err3 := r.Push(ctx, firefly.Group("g"), moved, NoKey(), pushed(2))
					err4 := s.Leave(ctx, "g")
					_ = r.Push(ctx, s, moved, NoKey(), pushed(3))
					if err != nil || err2 != nil || err3 != nil || err4 != nil {
						t.Error(err, err2, err3, err4)
					}
					return req, nil
				})
			})
			defer g.down()
			f := g.nodes[gate].gate
			g.command(gate, node, 1, 7, numBody(0)).wait()
			f.want(t, "push 2001 to sessions 7: 1", "join 7 g", "push 2001 to group g: 2", "leave 7 g", "push 2001 to sessions 7: 3", "reply to 7: <nil>")
		}
		one("gate-1", "world-1")
		one("all-1", "all-1")
	})
}

// Bind, and what can be said against it.
func TestBind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var todo func(ctx context.Context, s firefly.Session) error
		var kept firefly.Session
		g := newGame(t, plainRouting, "gate-1 gate", "world-1 world")
		g.up(func(n *testNode, h *Host) {
			handle(h, 1, func(ctx context.Context, s firefly.Session, req *num) (*num, error) {
				kept = s
				return req, todo(ctx, s)
			})
		})
		defer g.down()
		f := g.nodes["gate-1"].gate
		run := func(s int, fn func(ctx context.Context, s firefly.Session) error, edit ...func(*rpc.Header)) firefly.Code {
			todo = fn
			return g.command("gate-1", "world-1", 1, s, numBody(0), edit...).code()
		}
		bind := func(p firefly.PlayerID) func(context.Context, firefly.Session) error {
			return func(ctx context.Context, s firefly.Session) error { return s.Bind(ctx, p) }
		}
		if c := run(1, func(ctx context.Context, s firefly.Session) error {
			err := s.Bind(ctx, 5)
			if s.Player() != 5 {
				t.Errorf("player %d after Bind", s.Player())
			}
			return err
		}); c != firefly.OK {
			t.Errorf("bind: %s", c)
		}
		f.want(t, "bind 1 to 5 for world", "reply to 1: <nil>")
		if c := run(1, bind(6)); c != firefly.FailedPrecondition {
			t.Errorf("another player: %s", c)
		}
		if c := run(1, bind(0)); c != firefly.InvalidArgument {
			t.Errorf("nobody: %s", c)
		}
		if c := run(1, bind(5)); c != firefly.OK {
			t.Errorf("the same player again: %s", c)
		}
		f.fail = &firefly.Error{Code: firefly.Unavailable, Message: "the directory is away"}
		if c := run(2, bind(8)); c != firefly.Unavailable {
			t.Errorf("without a directory: %s", c)
		}
		if kept.Player() != 0 {
			t.Error("bound all the same")
		}
		f.fail = nil
		f.take()
		// Session 3 takes player 5 over; session 1 is closed here at once.
		if c := run(3, bind(5)); c != firefly.OK {
			t.Errorf("the next session: %s", c)
		}
		if c := run(1, bind(5), as(5, 1)); c != firefly.SessionClosed {
			t.Errorf("the former session: %s", c)
		}
		if got := g.host("world-1", "world").sessionOf(5); got == nil || got.ID().Seq != 3 {
			t.Errorf("player 5 has session %v", got)
		}
		kept.Close("")
		synctest.Wait()
		f.want(t, "bind 3 to 5 for world", "reply to 3: <nil>", "reply to 1: SESSION_CLOSED: the session has ended", "close 3 KICKED")
		if c := run(3, bind(5)); c != firefly.SessionClosed {
			t.Errorf("a command after Close: %s", c)
		}
	})
}

// Bind from a goroutine of the game, without a handler's ctx.
func TestSessionOffLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var kept firefly.Session
		g := newGame(t, plainRouting, "gate-1 gate", "world-1 world")
		g.up(func(n *testNode, h *Host) {
			handle(h, 1, func(_ context.Context, s firefly.Session, req *num) (*num, error) { kept = s; return req, nil })
		})
		defer g.down()
		g.command("gate-1", "world-1", 1, 1, numBody(0)).wait()
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if err := kept.Bind(ctx, 5); err != nil || kept.Player() != 5 {
			t.Error(err)
		}
		if err := kept.Join(ctx, "g"); err != nil {
			t.Error(err)
		}
		g.nodes["gate-1"].gate.want(t, "reply to 1: <nil>", "bind 1 to 5 for world", "join 1 g")
	})
}
