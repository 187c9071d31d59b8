package fireflytest_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/firefly-go/firefly"
	client "github.com/firefly-go/firefly/clients/go"
	"github.com/firefly-go/firefly/fireflytest"
	"github.com/firefly-go/firefly/runtime/node"
)

const (
	cmdEcho  firefly.CommandID = 1
	cmdWhere firefly.CommandID = 2
	cmdLogin firefly.CommandID = 3
	cmdShout firefly.CommandID = 4
	cmdSleep firefly.CommandID = 5
	cmdClock firefly.CommandID = 6
)

var callAdd = firefly.CallSpec{Name: "test.Sum.Add", ID: 99, Role: "world", Timeout: 5 * time.Second}

// counts is what the test game tells its test.
type counts struct {
	connects, closes, started, stopped, ticks atomic.Int64
}

func roles(n *counts) []node.Role {
	raw := func(id firefly.CommandID, name, role string, auth firefly.Auth) firefly.Command {
		return firefly.Command{ID: id, Name: "test." + name, Role: role, Auth: auth, Rate: firefly.Rate{Count: -1},
			Timeout: 5 * time.Second, RawRequest: true, RawReply: true, Shape: uint64(id)}
	}
	schemas := []*firefly.Schema{{
		Package: "test", Fingerprint: 7,
		Commands: []firefly.Command{
			raw(cmdEcho, "Gate.Echo", "gate", firefly.AuthPublic), raw(cmdLogin, "Gate.Login", "gate", firefly.AuthPublic),
			raw(cmdWhere, "World.Where", "world", firefly.AuthPublic), raw(cmdShout, "World.Shout", "world", firefly.AuthRequired),
			raw(cmdSleep, "World.Sleep", "world", firefly.AuthPublic), raw(cmdClock, "Clock.Now", "clock", firefly.AuthPublic),
		},
		Calls: []firefly.CallSpec{callAdd},
	}}
	return []node.Role{
		{Name: "gate", Listens: &node.Listens{TCP: 7700}, Schemas: schemas, New: func(b *node.Builder) {
			node.RawCommand(b, cmdEcho, func(_ context.Context, _ firefly.Session, body []byte) ([]byte, error) { return body, nil })
			node.RawCommand(b, cmdLogin, func(ctx context.Context, s firefly.Session, body []byte) ([]byte, error) {
				return nil, s.Bind(ctx, firefly.PlayerID(body[0]))
			})
		}},
		{Name: "world", Replicas: 2, Schemas: schemas, New: func(b *node.Builder) {
			d := b.Node()
			d.OnStart(func(context.Context) error { n.started.Add(1); return nil })
			d.OnStop(func(context.Context) { n.stopped.Add(1) })
			d.OnConnect(func(context.Context, firefly.Session) { n.connects.Add(1) })
			d.OnClose(func(context.Context, firefly.Session, firefly.Reason) { n.closes.Add(1) })
			d.Every(time.Minute, "tick", func(context.Context) { n.ticks.Add(1) })
			node.RawCommand(b, cmdWhere, func(context.Context, firefly.Session, []byte) ([]byte, error) { return []byte(d.Name()), nil })
			node.RawCommand(b, cmdShout, func(_ context.Context, s firefly.Session, _ []byte) ([]byte, error) {
				return fmt.Append(nil, s.Player()), nil
			})
			node.RawCommand(b, cmdSleep, func(ctx context.Context, _ firefly.Session, _ []byte) ([]byte, error) {
				return []byte("woke"), firefly.Sleep(ctx, time.Second)
			})
			node.ServeFunc(b, &callAdd, nil, func(context.Context, any) (node.Body, error) {
				return node.Body{Raw: []byte(d.Name())}, nil
			})
		}},
		{Name: "clock", Routing: firefly.Single, Schemas: schemas, Uses: []string{"test.Sum"}, New: func(b *node.Builder) {
			c := b.Caller()
			node.RawCommand(b, cmdClock, func(ctx context.Context, _ firefly.Session, _ []byte) (reply []byte, err error) {
				err = node.CallFunc(ctx, c, &callAdd, node.StringKey("x"), node.Body{}, func(b []byte) error {
					reply = append(reply, b...)
					return nil
				})
				return reply, err
			})
		}},
	}
}

func dial(t *testing.T, g *fireflytest.Game) *client.Conn {
	t.Helper()
	c, err := client.Dial(t.Context(), g.Addr(), &client.Options{Network: g.Network()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func ask(t *testing.T, c *client.Conn, id firefly.CommandID, body string) string {
	t.Helper()
	b, err := c.Raw(t.Context(), id, []byte(body))
	if err != nil {
		t.Fatalf("command %d: %v", id, err)
	}
	return string(b)
}

// play is one visit of a client, on real and on fake time.
func play(t *testing.T) {
	var n counts
	var around atomic.Int64
	g := fireflytest.StartWith(t, fireflytest.Options{
		Interceptors: []node.Interceptor{func(ctx context.Context, req any, next func(context.Context) (node.Body, error)) (node.Body, error) {
			around.Add(1)
			if b, ok := req.([]byte); ok && string(b) == "refuse me" {
				return node.Body{}, firefly.PermissionDenied.Errorf("no")
			}
			return next(ctx)
		}},
	}, roles(&n)...)
	c := dial(t, g)
	if got := ask(t, c, cmdEcho, "hello"); got != "hello" {
		t.Errorf("echo: %q", got)
	}
	where := ask(t, c, cmdWhere, "")
	if where != ask(t, c, cmdWhere, "") || !strings.HasPrefix(where, "world-") {
		t.Errorf("the session wanders; it was at %s", where)
	}
	if _, err := c.Raw(t.Context(), cmdShout, nil); firefly.CodeOf(err) != firefly.Unauthenticated {
		t.Errorf("without a player: %v", err)
	}
	ask(t, c, cmdLogin, "\x2a")
	if got := ask(t, c, cmdShout, ""); got != "42" {
		t.Errorf("bound to %q", got)
	}
	if _, err := c.Raw(t.Context(), cmdEcho, []byte("refuse me")); firefly.CodeOf(err) != firefly.PermissionDenied {
		t.Errorf("the interceptor did not refuse: %v", err)
	}
	if got := ask(t, c, cmdClock, ""); !strings.HasPrefix(got, "world-") {
		t.Errorf("the clock called %q", got)
	}
	if n.started.Load() != 2 || n.connects.Load() != 1 || around.Load() < 7 {
		t.Errorf("started %d, connects %d, around %d", n.started.Load(), n.connects.Load(), around.Load())
	}
	c.Close()
	g.Await("the session is closed at its world", func() bool { return n.closes.Load() == 1 })
	g.Stop("world-1")
	if n.stopped.Load() != 1 {
		t.Error("OnStop has not run")
	}
	if !g.Logged("session closed") {
		t.Error("the log does not know of the session")
	}
}

func TestPlay(t *testing.T) { play(t) }

func TestPlayOnFakeTime(t *testing.T) { synctest.Test(t, play) }

// TestKill: the session's node dies; the next command says so once, and then all goes on at
// another one, or at the same when it is back.
func TestKill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n counts
		g := fireflytest.Start(t, roles(&n)...)
		c := dial(t, g)
		at := ask(t, c, cmdWhere, "")
		g.Kill(at)
		if n.closes.Load() != 0 || n.stopped.Load() != 0 {
			t.Error("a killed node ran its hooks")
		}
		_, err := c.Raw(t.Context(), cmdWhere, nil)
		if code := firefly.CodeOf(err); code != firefly.StateLost && code != firefly.Unavailable {
			t.Errorf("after the kill: %v", err)
		}
		g.Await("served again", func() bool { _, err := c.Raw(t.Context(), cmdWhere, nil); return err == nil })
		if now := ask(t, c, cmdWhere, ""); now == at {
			t.Errorf("served by %s, which is dead", now)
		}
		g.Restart(at)
		g.Await("everybody serves", func() bool { return len(g.Members("gate-1")) == 5 })
		ask(t, c, cmdEcho, "x")
	})
}

// TestPauseSingle: a SINGLE role that cannot reach the store stops serving when its lease
// ends, and goes on when it can again.
func TestPauseSingle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n counts
		g := fireflytest.Start(t, roles(&n)...)
		c := dial(t, g)
		ask(t, c, cmdClock, "")
		g.Pause("store")
		time.Sleep(6 * time.Second)
		if _, err := c.Raw(t.Context(), cmdClock, nil); firefly.CodeOf(err) != firefly.Unavailable {
			t.Errorf("served without a lease: %v", err)
		}
		ask(t, c, cmdEcho, "others go on")
		g.Resume("store")
		g.Await("served again", func() bool { _, err := c.Raw(t.Context(), cmdClock, nil); return err == nil })
	})
}

// TestFakeTime: an hour of a game takes no time.
func TestFakeTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n counts
		g := fireflytest.Start(t, roles(&n)...)
		c := dial(t, g)
		begun := time.Now()
		if got := ask(t, c, cmdSleep, ""); got != "woke" || time.Since(begun) < time.Second {
			t.Errorf("%q after %v", got, time.Since(begun))
		}
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if got := n.ticks.Load(); got < 19 || got > 20 {
			t.Errorf("%d ticks of two worlds in ten minutes", got)
		}
	})
}
