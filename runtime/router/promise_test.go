package router

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/rpc"
)

// Command order holds back commands only: a circle of calls that comes back to the role, in
// the name of the session whose command still runs, ends.
func TestCircleOfCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var j journal
		back, there := spec("world", firefly.Sticky, "Back"), spec("chat", firefly.Hash, "There")
		g := newGame(t, plainRouting, "gate-1 gate", "world-1 world", "chat-1 chat")
		g.up(func(_ *testNode, h *Host) {
			switch h.role {
			case "world":
				serve(h, back, func(ctx context.Context, req *num) (*num, error) {
					if s := firefly.CallOf(ctx).Session; s == nil || s.ID().Seq != 1 {
						t.Errorf("the call runs in the name of session %v", s)
					}
					j.add("back")
					return req, nil
				})
				driver(h, func(ctx context.Context, s firefly.Session) error {
					j.add("begin")
					_, err := call(ctx, h.router, there, StringKey("x"), 1)
					j.add("end")
					return err
				})
			case "chat":
				serve(h, there, func(ctx context.Context, req *num) (*num, error) {
					j.add("there")
					_, err := call(ctx, h.router, back, NoKey(), 1)
					return req, err
				})
			}
		})
		defer g.down()
		a, b := g.command("gate-1", "world-1", 1, 1, numBody(0), as(5, 1)), g.command("gate-1", "world-1", 1, 1, numBody(0), as(5, 1))
		if a.code() != firefly.OK || b.code() != firefly.OK {
			t.Error(a.err, b.err)
		}
		j.want(t, "begin", "there", "back", "end", "begin", "there", "back", "end")
	})
}

// A handler's ctx ends with its deadline and with the node, not with the client; and no
// handler gets more than thirty seconds.
func TestContextOutlivesClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, HostOptions{}, func(h *Host) {
			handle(h, 1, func(ctx context.Context, _ firefly.Session, req *num) (*num, error) {
				begin := time.Now()
				if err := firefly.Sleep(ctx, 20*time.Second); err != nil {
					t.Errorf("the client is gone, and the ctx with it: %v", err)
				}
				err := firefly.Sleep(ctx, time.Hour)
				if d := time.Since(begin); d != 30*time.Second {
					t.Errorf("the ctx lives %v", d)
				}
				return req, err
			})
		}).start()
		defer r.stop()
		a := r.command(1, 1, numBody(0), func(h *rpc.Header) { h.Timeout = time.Hour })
		synctest.Wait()
		r.closed(1, firefly.ConnectionLost).wait()
		if c := a.code(); c != firefly.DeadlineExceeded {
			t.Errorf("answered %s", c)
		}
	})
}

// A goroutine that a handler started with its ctx cannot use the loop: in development it
// panics and the text names the line, in production the call runs off the loop and is counted.
func TestForeignGoroutine(t *testing.T) {
	for _, strict := range []bool{true, false} {
		t.Run(fmt.Sprintf("strict %v", strict), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := spec("chat", firefly.Hash, "Chat")
				g := newGame(t, plainRouting, "gate-1 gate", "world-1 world", "chat-1 chat")
				raised := make(chan string, 1)
				var done context.CancelFunc
				g.up(func(n *testNode, h *Host) {
					if h.role == "chat" {
						serve(h, s, func(_ context.Context, req *num) (*num, error) { return req, nil })
					}
				})
				defer g.down()
				h := NewHost(HostOptions{
					Role: "world", Node: "world-1", Cluster: g.nodes["world-1"].c, GateRoles: []string{"gate"},
					Logger: slog.New(slog.NewTextHandler(g.log, nil)), Strict: strict,
				})
				handle(h, 9, func(ctx context.Context, _ firefly.Session, req *num) (*num, error) {
					var waiting context.Context
					waiting, done = context.WithCancel(context.Background())
					go func() {
						defer done()
						defer func() { raised <- fmt.Sprint(recover()) }()
						if err := h.router.Push(ctx, firefly.Everyone, moved, NoKey(), pushed(1)); err != nil {
							t.Error(err)
						}
						if v, err := call(ctx, h.router, s, StringKey("x"), 3); err != nil || v != 3 {
							t.Error(v, err)
						}
					}()
					for range 100 { // the batch of the loop is used meanwhile
						_ = h.router.Push(ctx, firefly.Everyone, moved, NoKey(), pushed(1))
					}
					park(ctx, waiting.Done())
					return req, nil
				})
				d := NewDispatcher()
				if err := d.AddHost(h); err != nil {
					t.Fatal(err)
				}
				if err := h.Start(context.Background()); err != nil {
					t.Fatal(err)
				}
				gate := (&rig{t: t, host: h, d: d}).newGate(gateLife)
				gate.start(t, rpc.Header{Kind: KindCommand, ID: 9, Session: sid(1)}, numBody(0), nil).wait()
				got := <-raised
				if strict != strings.Contains(got, "call_test.go:") && strict != strings.Contains(got, "promise_test.go:") {
					t.Errorf("strict %v: %s", strict, got)
				}
				if n := h.Stats().Loop.ForeignYields; n == 0 {
					t.Error("it is not counted")
				}
				if err := h.Stop(context.Background()); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// Pushes that may be dropped are when their gate cannot be reached, counted, and logged once a
// second; the others and Close wait for it.
func TestGateUnreachable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var kept firefly.Session
		// The lower name dials, so that this gate listens for its link with world.
		g := newGame(t, plainRouting, "zgate-1 gate", "world-1 world")
		g.up(func(n *testNode, h *Host) {
			handle(h, 1, func(_ context.Context, s firefly.Session, req *num) (*num, error) { kept = s; return req, nil })
		})
		defer g.down()
		g.command("zgate-1", "world-1", 1, 1, numBody(0)).wait()
		f, r := g.nodes["zgate-1"].gate, g.host("world-1", "world").router
		f.take()
		g.net.Refuse("zgate-1:1", true)
		g.net.Cut("zgate-1:1")
		synctest.Wait()
		if err := r.Push(context.Background(), kept, moved, NoKey(), pushed(3)); err != nil {
			t.Fatal(err)
		}
		dropped := &firefly.PushSpec{ID: 2003, Name: "test.v1.Said", Slow: firefly.SlowDropOldest}
		for range 100 {
			if err := r.Push(context.Background(), kept, dropped, NoKey(), pushed(1)); err != nil {
				t.Fatal(err)
			}
		}
		if n := r.Dropped(); n != 100 {
			t.Errorf("%d pushes are counted", n)
		}
		if n := strings.Count(g.log.String(), "misses pushes"); n != 1 {
			t.Errorf("%d lines in the log", n)
		}
		kept.Close("")
		g.net.Refuse("zgate-1:1", false)
		for {
			if _, err := g.nodes["zgate-1"].c.Peer("world-1").Link(); err == nil {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		if c := g.command("zgate-1", "world-1", 1, 1, numBody(0)).code(); c != firefly.SessionClosed {
			t.Errorf("a command after Close: %s", c)
		}
		synctest.Wait()
		f.want(t, "push 2001 to sessions 1: 3", "close 1 KICKED", "reply to 1: SESSION_CLOSED: the session has ended")
	})
}

// The record of a session costs no goroutine and no timer.
func TestSessionsAreQuiet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, HostOptions{}, func(h *Host) {
			h.Node().OnConnect(func(context.Context, firefly.Session) {})
			h.Node().OnClose(func(context.Context, firefly.Session, firefly.Reason) {})
			handle(h, 1, echo)
		}).start()
		defer r.stop()
		for s := range 1000 {
			r.command(1, s, numBody(0)).wait()
		}
		synctest.Wait()
		if st := r.host.Stats(); st.Sessions != 1000 || st.Loop.Parked != 0 || st.Loop.Queued != 0 || st.Loop.Goroutines > 20 {
			t.Errorf("%+v", st)
		}
	})
}
