package router

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/rpc"
)

func echo(_ context.Context, _ firefly.Session, req *num) (*num, error) { return &num{v: req.v}, nil }

func TestCommand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, HostOptions{}, func(h *Host) {
			handle(h, 1, echo)
			h.HandleCommand(&firefly.Command{ID: 2, Name: "test.v1.Raw"}, nil, func(_ context.Context, _ firefly.Session, req any) (Body, error) {
				return Body{Raw: req.([]byte)}, nil
			})
		}).start()
		defer r.stop()
		if a := r.command(1, 1, numBody(7)).wait(); a.err != nil || !bytes.Equal(a.body, numBody(7)) {
			t.Errorf("got %v, %v", a.body, a.err)
		}
		if a := r.command(2, 1, []byte("raw")).wait(); a.err != nil || string(a.body) != "raw" {
			t.Errorf("raw: got %q, %v", a.body, a.err)
		}
		if a := r.command(2, 1, nil).wait(); a.err != nil || len(a.body) != 0 {
			t.Errorf("raw, empty: got %q, %v", a.body, a.err)
		}
		if c := r.command(1, 1, []byte("bad")).code(); c != firefly.InvalidArgument {
			t.Errorf("a body that does not decode: %s", c)
		}
		if c := r.command(9, 1, nil).code(); c != firefly.Unimplemented {
			t.Errorf("an unknown command: %s", c)
		}
		if c := r.command(1, 1, numBody(1), func(h *rpc.Header) { h.Hops = 17 }).code(); c != firefly.TooManyHops {
			t.Errorf("17 hops: %s", c)
		}
		if c := r.command(1, 1, numBody(1), func(h *rpc.Header) { h.Key = 9 }).code(); c != firefly.OK {
			t.Errorf("an own key: %s", c)
		}
		if c := r.command(1, 1, numBody(1), func(h *rpc.Header) { h.Key = 10 }).code(); c != firefly.MovedAway {
			t.Errorf("a key of another node: %s", c)
		}
	})
}

// A raw body is a copy: the bytes of the link are overwritten as soon as Serve has returned.
func TestRawIsCopied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		open := make(chan struct{})
		r := newRig(t, HostOptions{}, func(h *Host) {
			h.HandleCommand(&firefly.Command{ID: 2}, nil, func(ctx context.Context, _ firefly.Session, req any) (Body, error) {
				park(ctx, open)
				return Body{Raw: req.([]byte)}, nil
			})
		}).start()
		defer r.stop()
		body := []byte("before")
		a := r.command(2, 1, body)
		copy(body, "after!")
		close(open)
		if a.wait(); string(a.body) != "before" {
			t.Errorf("got %q", a.body)
		}
	})
}

// Errors: codes travel, everything else is INTERNAL with an id that stands in the log.
func TestErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var fails error
		r := newRig(t, HostOptions{MaxReply: 1000}, func(h *Host) {
			handle(h, 1, func(context.Context, firefly.Session, *num) (*num, error) { return nil, fails })
			handle(h, 2, func(context.Context, firefly.Session, *num) (*num, error) { panic("a secret panic") })
			h.HandleCommand(&firefly.Command{ID: 3, Name: "test.v1.Long"}, nil, func(context.Context, firefly.Session, any) (Body, error) {
				return Body{Msg: &blob{b: make([]byte, 1001)}}, nil
			})
			h.HandleCommand(&firefly.Command{ID: 4}, func([]byte) (any, error) { panic("decoder") }, nil)
			handle(h, 5, func(ctx context.Context, _ firefly.Session, _ *num) (*num, error) {
				park(ctx, ctx.Done())
				return nil, fmt.Errorf("waited: %w", ctx.Err())
			})
		}).start()
		defer r.stop()
		id := firefly.RequestID(42).String()

		fails = firefly.NotFound.Errorf("no such %s", "thing")
		if a := r.command(1, 1, numBody(0)).wait(); a.err.Code != firefly.NotFound || a.err.Message != "no such thing" {
			t.Errorf("an error with a code: %v", a.err)
		}
		fails = fmt.Errorf("outer: %w", firefly.Code("game.v1.TOO_POOR").Errorf("it costs 3"))
		if a := r.command(1, 1, numBody(0)).wait(); a.err.Code != "game.v1.TOO_POOR" || a.err.Message != "it costs 3" {
			t.Errorf("a wrapped error with a code: %v", a.err)
		}
		fails = firefly.MovedAway.Errorf("x")
		if c := r.command(1, 1, numBody(0)).code(); c != firefly.Unavailable {
			t.Errorf("MOVED of a handler, which would have the gate run it again: %s", c)
		}
		fails = errors.New("dial 10.0.0.1: refused")
		a := r.command(1, 1, numBody(0)).wait()
		if a.err.Code != firefly.Internal || strings.Contains(a.err.Message, "10.0.0.1") || !strings.Contains(a.err.Message, id) {
			t.Errorf("a plain error: %v", a.err)
		}
		mustContain(t, r.log.String(), "dial 10.0.0.1: refused")
		mustContain(t, r.log.String(), "request="+id)

		a = r.command(2, 1, numBody(0)).wait()
		if a.err.Code != firefly.Internal || strings.Contains(a.err.Message, "secret") || !strings.Contains(a.err.Message, id) {
			t.Errorf("a panic: %v", a.err)
		}
		mustContain(t, r.log.String(), "a secret panic")
		mustContain(t, r.log.String(), "host_test.go") // the stack

		if c := r.command(3, 1, nil).code(); c != firefly.Internal {
			t.Errorf("a reply over the limit: %s", c)
		}
		mustContain(t, r.log.String(), "the reply has 1001 bytes")
		if c := r.command(4, 1, nil).code(); c != firefly.InvalidArgument {
			t.Errorf("a decoder that panics: %s", c)
		}
		if c := r.command(5, 1, numBody(0)).code(); c != firefly.DeadlineExceeded {
			t.Errorf("an error of the ctx: %s", c)
		}
		if c := r.command(1, 1, numBody(0)).code(); c != firefly.Internal {
			t.Errorf("the session goes on after all this: %s", c)
		}
	})
}

// What a handler's ctx knows.
func TestContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, HostOptions{}, func(h *Host) {
			handle(h, 1, func(ctx context.Context, s firefly.Session, _ *num) (*num, error) {
				c := firefly.CallOf(ctx)
				if c.Node != "world-1" || c.Name != "test.v1.C1" || c.Request != 42 || c.Player != 5 || c.Session != s || s.Player() != 5 || s.ID() != sid(1) {
					t.Errorf("the ctx knows %+v", c)
				}
				d, ok := ctx.Deadline()
				if left := time.Until(d); !ok || left != 3*time.Second {
					t.Errorf("deadline in %v", left)
				}
				firefly.Log(ctx).Info("hello")
				if firefly.CallOf(context.Background()) != nil {
					t.Error("a call in no ctx")
				}
				return &num{}, nil
			})
		}).start()
		defer r.stop()
		r.command(1, 1, numBody(0), as(5, 1), func(h *rpc.Header) { h.Timeout = 3 * time.Second }).wait()
		mustContain(t, r.log.String(), "msg=hello role=world method=test.v1.C1 request="+firefly.RequestID(42).String()+" session="+sid(1).String()+" player=5")
	})
}

// Commands of one session run one after the other, also when one waits; others run meanwhile,
// and those that are unordered pass by.
func TestOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var j journal
		open := make(chan struct{})
		r := newRig(t, HostOptions{}, func(h *Host) {
			handle(h, 1, func(ctx context.Context, s firefly.Session, req *num) (*num, error) {
				j.add("%d.%d begins", s.ID().Seq, req.v)
				if req.v == 1 {
					park(ctx, open)
				}
				j.add("%d.%d ends", s.ID().Seq, req.v)
				return req, nil
			})
		}).start()
		defer r.stop()
		r.command(1, 1, numBody(1))
		last := r.command(1, 1, numBody(2))
		r.command(1, 2, numBody(3))
		r.command(1, 1, numBody(9), unordered)
		synctest.Wait()
		j.want(t, "1.1 begins", "2.3 begins", "2.3 ends", "1.9 begins", "1.9 ends")
		close(open)
		last.wait()
		j.want(t, "1.1 ends", "1.2 begins", "1.2 ends")
	})
}

// One stalled session holds up none of a thousand others: all of them are answered, twice,
// while it has not gone on.
func TestStalledSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		open := make(chan struct{})
		r := newRig(t, HostOptions{}, func(h *Host) {
			handle(h, 1, echo)
			handle(h, 2, func(ctx context.Context, _ firefly.Session, _ *num) (*num, error) {
				park(ctx, open)
				return &num{}, nil
			})
		}).start()
		defer r.stop()
		stalled := []*answer{r.command(2, 0, numBody(0))}
		for range 20 {
			stalled = append(stalled, r.command(1, 0, numBody(0)))
		}
		for range 2 {
			var all []*answer
			for s := 1; s <= 1000; s++ {
				all = append(all, r.command(1, s, numBody(uint64(s))))
			}
			for _, a := range all {
				if a.wait(); a.err != nil {
					t.Fatal(a.err)
				}
			}
		}
		for i, a := range stalled {
			if a.over() {
				t.Fatalf("command %d of the stalled session is answered", i)
			}
		}
		close(open)
		for _, a := range stalled {
			if a.wait(); a.err != nil {
				t.Fatal(a.err)
			}
		}
	})
}

// Over the limit OVERLOADED is answered before the body is looked at; what is older than its
// deadline is not started.
func TestOverload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		open := make(chan struct{})
		var decoded, ran atomic.Int32
		r := newRig(t, HostOptions{Limit: 10}, func(h *Host) {
			h.HandleCommand(&firefly.Command{ID: 1}, func(b []byte) (any, error) { decoded.Add(1); return b, nil },
				func(ctx context.Context, _ firefly.Session, _ any) (Body, error) {
					ran.Add(1)
					park(ctx, open)
					return Body{}, nil
				})
		}).start()
		defer r.stop()
		var taken []*answer
		for range 10 {
			taken = append(taken, r.command(1, 1, nil))
		}
		if c := r.command(1, 2, nil).code(); c != firefly.Overloaded || decoded.Load() != 10 {
			t.Fatalf("%s after %d were decoded", c, decoded.Load())
		}
		if n := r.host.Stats().Overloaded; n != 1 {
			t.Errorf("%d are counted", n)
		}
		time.Sleep(11 * time.Second) // the deadlines pass
		close(open)
		for i, a := range taken {
			if c := a.code(); i > 0 && c != firefly.DeadlineExceeded {
				t.Errorf("command %d: %s", i, c)
			}
		}
		if ran.Load() != 1 {
			t.Errorf("%d handlers were started", ran.Load())
		}
		if c := r.command(1, 2, nil).code(); c != firefly.OK {
			t.Errorf("afterwards: %s", c)
		}
	})
}

// A session begins with OnConnect and ends with OnClose, once; its state lives between.
func TestSessionLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var j journal
		r := newRig(t, HostOptions{}, func(h *Host) {
			h.SessionState(func() any { return new(num) })
			n := h.Node()
			n.OnConnect(func(ctx context.Context, s firefly.Session) {
				_ = firefly.Sleep(ctx, time.Second)
				s.(*Session).State().(*num).v = 100
				j.add("connect %d", s.ID().Seq)
			})
			n.OnDrop(func(_ context.Context, s firefly.Session) { j.add("drop") })
			n.OnResume(func(_ context.Context, s firefly.Session) { j.add("resume") })
			n.OnClose(func(context.Context, firefly.Session, firefly.Reason) { panic("one hook") })
			n.OnClose(func(ctx context.Context, s firefly.Session, why firefly.Reason) {
				_ = firefly.Sleep(ctx, time.Second)
				j.add("close %d %s player %d state %d", s.ID().Seq, why, s.Player(), s.(*Session).State().(*num).v)
			})
			handle(h, 1, func(_ context.Context, s firefly.Session, _ *num) (*num, error) {
				st := s.(*Session).State().(*num)
				st.v++
				j.add("run %d", st.v)
				return st, nil
			})
		}).start()
		defer r.stop()
		r.command(1, 1, numBody(0), unordered)
		r.command(1, 1, numBody(0)).wait()
		j.want(t, "connect 1", "run 101", "run 102")

		control := func(op uint64, m interface{ Append([]byte) []byte }) {
			if err := r.gate.link.Send(nil, &rpc.Header{Kind: KindControl, ID: op, Target: "world"}, rpc.Payload{Raw: m.Append(nil)}); err != nil {
				t.Fatal(err)
			}
		}
		control(OpDropped, Ref{sid(1)})
		control(OpResumed, Ref{sid(1)})
		control(OpBound, Bound{sid(1), 5, 9})
		control(OpDropped, Ref{sid(77)})
		synctest.Wait()
		j.want(t, "drop", "resume")

		late := r.command(1, 1, numBody(0))
		first, second := r.closed(1, firefly.ClientLeft), r.closed(1, firefly.Kicked)
		if late.code() != firefly.OK {
			t.Errorf("a command that was sent before the client left: %v", late.err)
		}
		j.want(t, "run 103")
		if c := r.command(1, 1, numBody(0)).code(); c != firefly.SessionClosed {
			t.Errorf("a command after the end: %s", c)
		}
		if first.over() || second.over() {
			t.Error("answered before the hooks have returned")
		}
		first.wait()
		second.wait()
		j.want(t, "close 1 CLIENT_LEFT player 5 state 103")
		mustContain(t, r.log.String(), "one hook")
		if a := r.closed(1, firefly.ClientLeft).wait(); a.err != nil {
			t.Errorf("a session that is not known: %v", a.err)
		}
		if n := r.host.Stats().Sessions; n != 0 {
			t.Errorf("%d sessions are left", n)
		}
	})
}

// An unordered command holds no place in the lane, so OnClose waits for it by itself.
func TestCloseWaitsForUnordered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var j journal
		open := make(chan struct{})
		r := newRig(t, HostOptions{}, func(h *Host) {
			h.Node().OnClose(func(context.Context, firefly.Session, firefly.Reason) { j.add("close") })
			handle(h, 1, func(ctx context.Context, _ firefly.Session, _ *num) (*num, error) {
				park(ctx, open)
				j.add("run")
				return &num{}, nil
			})
			handle(h, 2, echo)
		}).start()
		defer r.stop()
		r.command(2, 1, numBody(0)).wait()
		r.command(1, 1, numBody(0), unordered)
		r.command(1, 1, numBody(0), unordered)
		end := r.closed(1, firefly.ClientLeft)
		synctest.Wait()
		if end.over() {
			t.Error("closed under a running command")
		}
		close(open)
		end.wait()
		j.want(t, "run", "run", "close")
	})
}

// Who is thrown out gets nothing more done; where a key has moved a session away, MOVED tells
// the gate to ask the other node.
func TestRefusedByReason(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		open := make(chan struct{})
		r := newRig(t, HostOptions{}, func(h *Host) {
			handle(h, 1, func(ctx context.Context, _ firefly.Session, _ *num) (*num, error) {
				park(ctx, open)
				return &num{}, nil
			})
		}).start()
		defer r.stop()
		running, queued := r.command(1, 1, numBody(0)), r.command(1, 1, numBody(0))
		r.command(1, 2, numBody(0))
		synctest.Wait()
		r.closed(1, firefly.Replaced)
		r.closed(2, firefly.Moved)
		if c := r.command(1, 2, numBody(0)).code(); c != firefly.MovedAway {
			t.Errorf("after a move: %s", c)
		}
		close(open)
		if running.code() != firefly.OK || queued.code() != firefly.SessionClosed {
			t.Errorf("running %v, queued %v", running.err, queued.err)
		}
	})
}

// A node that saw a player's newer epoch refuses what an older session still sends, closes
// that session's record, and does so before the new session's OnConnect.
func TestEpochs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var j journal
		r := newRig(t, HostOptions{}, func(h *Host) {
			h.Node().OnConnect(func(_ context.Context, s firefly.Session) { j.add("connect %d", s.ID().Seq) })
			h.Node().OnClose(func(ctx context.Context, s firefly.Session, why firefly.Reason) {
				_ = firefly.Sleep(ctx, time.Second)
				j.add("close %d %s", s.ID().Seq, why)
			})
			handle(h, 1, func(_ context.Context, s firefly.Session, _ *num) (*num, error) {
				j.add("run %d", s.ID().Seq)
				return &num{}, nil
			})
		}).start()
		defer r.stop()
		r.command(1, 1, numBody(0), as(5, 10)).wait()
		j.want(t, "connect 1", "run 1")
		r.command(1, 2, numBody(0), as(5, 11)).wait()
		j.want(t, "close 1 REPLACED", "connect 2", "run 2")
		for _, s := range []int{1, 3} {
			if c := r.command(1, s, numBody(0), as(5, 10)).code(); c != firefly.SessionClosed {
				t.Errorf("session %d with the old epoch: %s", s, c)
			}
		}
		r.closed(2, firefly.ClientLeft).wait()
		j.take()
		if c := r.command(1, 3, numBody(0), as(5, 10)).code(); c != firefly.SessionClosed {
			t.Errorf("an old epoch after the newer session has ended: %s", c)
		}
		if c := r.command(1, 4, numBody(0), as(5, 12)).code(); c != firefly.OK {
			t.Errorf("a newer epoch: %s", c)
		}
		j.want(t, "connect 4", "run 4")
	})
}

// The epochs of players who are gone are kept for ten minutes, and forgotten some time later.
func TestEpochsAreForgotten(t *testing.T) {
	var e epochs
	now := time.Unix(0, 0)
	e.put(1, 7, now)
	for i := range 10 {
		now = now.Add(time.Minute)
		e.put(2, uint64(i), now)
		if e.get(1) != 7 {
			t.Fatalf("forgotten after %d minutes", i+1)
		}
	}
	e.put(1, 6, now)
	if e.get(1) != 7 {
		t.Error("a lower epoch went over a higher one")
	}
	now = now.Add(time.Hour)
	e.put(2, 1, now)
	e.put(2, 1, now.Add(time.Hour))
	if e.get(1) != 0 {
		t.Error("not forgotten")
	}
}

// Sessions of a gate that died end with GateLost, and nothing of it begins a session again.
func TestGateLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var j journal
		r := newRig(t, HostOptions{}, func(h *Host) {
			h.Node().OnClose(func(_ context.Context, s firefly.Session, why firefly.Reason) { j.add("close %d %s", s.ID().Seq, why) })
			handle(h, 1, echo)
		}).start()
		defer r.stop()
		r.command(1, 1, numBody(0)).wait()
		r.d.GateLost(gateLife + 1)
		r.d.GateLost(gateLife)
		r.d.GateLost(gateLife)
		synctest.Wait()
		j.want(t, "close 1 GATE_LOST")
		if c := r.command(1, 1, numBody(0)).code(); c != firefly.SessionClosed {
			t.Errorf("a command of a lost gate: %s", c)
		}
	})
}

// OnClose runs exactly once for each OnConnect, however many ends meet, and no handler of the
// session runs after it.
func TestCloseOnceUnderRaces(t *testing.T) {
	const sessions = 300
	var connects, closes [sessions]atomic.Int32
	r := newRig(t, HostOptions{}, func(h *Host) {
		h.Node().OnConnect(func(_ context.Context, s firefly.Session) { connects[s.ID().Seq].Add(1) })
		h.Node().OnClose(func(ctx context.Context, s firefly.Session, _ firefly.Reason) {
			if rand.IntN(2) == 0 {
				_ = firefly.Sleep(ctx, time.Millisecond)
			}
			closes[s.ID().Seq].Add(1)
		})
		handle(h, 1, func(ctx context.Context, s firefly.Session, req *num) (*num, error) {
			if n := s.ID().Seq; connects[n].Load() != closes[n].Load()+1 {
				t.Errorf("session %d: a command runs with %d OnConnect and %d OnClose", n, connects[n].Load(), closes[n].Load())
			}
			if req.v%3 == 0 {
				_ = firefly.Sleep(ctx, time.Duration(rand.IntN(2000))*time.Microsecond)
				if n := s.ID().Seq; connects[n].Load() != closes[n].Load()+1 {
					t.Errorf("session %d was closed under a command", n)
				}
			}
			return req, nil
		})
	}).start()
	other := r.newGate(gateLife)
	var wg sync.WaitGroup
	for s := range sessions {
		p := firefly.PlayerID(1 + s/2) // two sessions fight for each player
		wg.Go(func() {
			for i := range 6 {
				edit := as(p, uint64(s+1))
				if rand.IntN(2) == 0 {
					r.command(1, s, numBody(uint64(i)), edit)
				} else {
					r.command(1, s, numBody(uint64(i)), edit, unordered)
				}
			}
		})
		wg.Go(func() {
			time.Sleep(time.Duration(rand.IntN(3000)) * time.Microsecond)
			reasons := []firefly.Reason{firefly.ClientLeft, firefly.Replaced, firefly.Moved}
			other.start(t, rpc.Header{Kind: KindControl, ID: OpClosed}, Close{Session: sid(s), Reason: reasons[rand.IntN(3)]}.Append(nil), nil).wait()
		})
	}
	wg.Go(func() {
		time.Sleep(2 * time.Millisecond)
		r.d.GateLost(gateLife)
	})
	wg.Wait()
	r.stop()
	for s := range sessions {
		if a, b := connects[s].Load(), closes[s].Load(); a != b {
			t.Errorf("session %d: %d OnConnect, %d OnClose", s, a, b)
		}
	}
	if n := len(r.host.players); n != 0 {
		t.Errorf("%d players are left", n)
	}
}

// Stop finishes what was taken, ends every session with Shutdown, runs OnStop last, and
// refuses what comes meanwhile.
func TestStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var j journal
		open := make(chan struct{})
		r := newRig(t, HostOptions{}, func(h *Host) {
			n := h.Node()
			n.OnStart(func(context.Context) error { j.add("start"); return nil })
			n.OnClose(func(_ context.Context, s firefly.Session, why firefly.Reason) { j.add("close %s", why) })
			n.OnStop(func(context.Context) { j.add("stop") })
			n.Every(time.Second, "tick", func(context.Context) { j.add("tick") })
			n.Go("early", func(context.Context) { j.add("early") })
			handle(h, 1, func(ctx context.Context, _ firefly.Session, _ *num) (*num, error) {
				park(ctx, open)
				firefly.Go(ctx, "later", func(context.Context) { j.add("later") })
				j.add("run")
				return &num{}, nil
			})
		})
		if c := r.command(1, 1, numBody(0)).code(); c != firefly.Unavailable {
			t.Errorf("before Start: %s", c)
		}
		r.start()
		synctest.Wait()
		j.want(t, "start", "early")
		a := r.command(1, 1, numBody(0))
		synctest.Wait()
		stopped := make(chan error, 1)
		go func() { stopped <- r.host.Stop(context.Background()) }()
		synctest.Wait()
		if c := r.command(1, 2, numBody(0)).code(); c != firefly.Unavailable {
			t.Errorf("while it stops: %s", c)
		}
		time.Sleep(5 * time.Second)
		close(open)
		if err := <-stopped; err != nil || a.code() != firefly.OK {
			t.Errorf("stop %v, command %v", err, a.err)
		}
		got := strings.Join(j.take(), " ")
		if got != "run later close SHUTDOWN stop" && got != "run close SHUTDOWN later stop" {
			t.Errorf("got %s", got)
		}
		r.host.Node().Go("late", func(context.Context) { t.Error("runs after the end") })
		r.host.Node().After(0, "late", func(context.Context) { t.Error("ticks after the end") }).Stop()
	})
}

// A handler that does not come back is given up when Stop's ctx ends; OnStop still runs.
func TestStopGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var j journal
		r := newRig(t, HostOptions{}, func(h *Host) {
			h.Node().OnStop(func(context.Context) { j.add("stop") })
			handle(h, 1, func(ctx context.Context, _ firefly.Session, _ *num) (*num, error) {
				err := firefly.Sleep(ctx, time.Hour)
				j.add("%v", err != nil)
				return nil, err
			})
		}).start()
		a := r.command(1, 1, numBody(0), func(h *rpc.Header) { h.Timeout = time.Hour })
		synctest.Wait()
		ctx, cancel := context.WithTimeout(context.Background(), 4*time.Second)
		defer cancel()
		begin := time.Now()
		if err := r.host.Stop(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("stop: %v", err)
		}
		if d := time.Since(begin); d > 5*time.Second {
			t.Errorf("it took %v", d)
		}
		if c := a.code(); c != firefly.Canceled {
			t.Errorf("the handler answers %s", c)
		}
		j.want(t, "stop", "true")
	})
}

// OnStart can refuse; a panic of it refuses too.
func TestStartFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, f := range []func(context.Context) error{
			func(context.Context) error { return errors.New("no file") },
			func(context.Context) error { panic("no file") },
		} {
			r := newRig(t, HostOptions{}, func(h *Host) { h.Node().OnStart(f); handle(h, 1, echo) })
			if err := r.host.Start(context.Background()); err == nil {
				t.Error("it started")
			}
			if c := r.command(1, 1, numBody(0)).code(); c != firefly.Unavailable {
				t.Errorf("it serves: %s", c)
			}
			r.stop()
		}
	})
}

// A role without its lease refuses, and its timers wait.
func TestSetServing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var j journal
		r := newRig(t, HostOptions{}, func(h *Host) {
			h.Node().Every(time.Second, "every", func(context.Context) { j.add("every") })
			h.Node().After(1500*time.Millisecond, "after", func(context.Context) { j.add("after") })
			handle(h, 1, echo)
		}).start()
		defer r.stop()
		r.host.SetServing(false)
		if c := r.command(1, 1, numBody(0)).code(); c != firefly.Unavailable {
			t.Errorf("without a lease: %s", c)
		}
		time.Sleep(2200 * time.Millisecond)
		j.want(t)
		r.host.SetServing(true)
		if c := r.command(1, 1, numBody(0)).code(); c != firefly.OK {
			t.Errorf("with the lease again: %s", c)
		}
		time.Sleep(time.Second)
		j.want(t, "after", "every")
	})
}

// Registration is for the constructor; the rest of the life has no hooks to add.
func TestRegistrationEnds(t *testing.T) {
	r := newRig(t, HostOptions{}, func(h *Host) { handle(h, 1, echo) })
	for name, f := range map[string]func(){
		"HandleCommand": func() { handle(r.host, 2, echo) },
		"OnClose":       func() { r.host.Node().OnClose(nil) },
		"SessionState":  func() { r.host.SessionState(nil) },
	} {
		func() {
			defer func() {
				if v := recover(); v == nil || !strings.Contains(fmt.Sprint(v), name) {
					t.Errorf("%s: %v", name, v)
				}
			}()
			f()
		}()
	}
	twin := NewHost(HostOptions{Role: "other", Node: "world-1"})
	handle(twin, 1, echo)
	if err := r.d.AddHost(twin); err == nil {
		t.Error("a command is served by two roles")
	}
}

// At most two allocations for a command, the request and the reply, and an eighth of its task.
func TestCommandAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	r := newRig(t, HostOptions{}, func(h *Host) { handle(h, 1, echo) }).start()
	defer r.stop()
	a := &latch{c: make(chan struct{}, 1)}
	h := rpc.Header{Kind: KindCommand, ID: 1, Session: sid(1), Player: 3, Epoch: 1, Timeout: time.Second}
	body := numBody(1)
	one := func() {
		if err := r.gate.link.Start(nil, &h, rpc.Payload{Raw: body}, a); err != nil {
			t.Fatal(err)
		}
		<-a.c
	}
	one()
	if n := testing.AllocsPerRun(1000, one); n > 2 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkCommand(b *testing.B) {
	r := newRig(b, HostOptions{}, func(h *Host) { handle(h, 1, echo) }).start()
	defer r.stop()
	for _, depth := range []int{1, 16} {
		b.Run(fmt.Sprint(depth), func(b *testing.B) {
			a := &latch{c: make(chan struct{}, depth)}
			h := rpc.Header{Kind: KindCommand, ID: 1, Session: sid(1), Player: 3, Epoch: 1, Timeout: time.Second}
			body := numBody(1)
			for range depth {
				a.c <- struct{}{}
			}
			b.ReportAllocs()
			for b.Loop() {
				<-a.c
				if err := r.gate.link.Start(nil, &h, rpc.Payload{Raw: body}, a); err != nil {
					b.Fatal(err)
				}
			}
			for range depth {
				<-a.c
			}
		})
	}
}
