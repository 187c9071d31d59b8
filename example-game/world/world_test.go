package world_test

import (
	"context"
	"testing"
	"time"

	"example.com/arena/arenapb"
	"example.com/arena/arenapb/arenaclient"
	"example.com/arena/chat"
	"example.com/arena/gate"
	"example.com/arena/login"
	"example.com/arena/world"

	"github.com/firefly-go/firefly"
	client "github.com/firefly-go/firefly/clients/go"
	"github.com/firefly-go/firefly/fireflytest"
)

// player is a client with what it is told.
type player struct {
	*arenaclient.Client
	t       *testing.T
	id      int64
	entered chan *arenapb.Entered
	left    chan *arenapb.Left
	moved   chan *arenapb.Moved
	struck  chan *arenapb.Struck
	said    chan *arenapb.Said
}

func start(t *testing.T) *fireflytest.Game {
	return fireflytest.Start(t,
		arenapb.GateRole(gate.New), arenapb.LoginRole(login.New), arenapb.WorldRole(world.New), arenapb.ChatRole(chat.New))
}

// enter logs a player in and joins the room.
func enter(ctx context.Context, t *testing.T, g *fireflytest.Game, name, room string) *player {
	t.Helper()
	c, err := arenaclient.Dial(ctx, g.Addr(), &client.Options{Network: g.Network()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	p := &player{Client: c, t: t,
		entered: make(chan *arenapb.Entered, 100), left: make(chan *arenapb.Left, 100), moved: make(chan *arenapb.Moved, 100),
		struck: make(chan *arenapb.Struck, 100), said: make(chan *arenapb.Said, 100)}
	c.OnEntered(func(m *arenapb.Entered) { p.entered <- m })
	c.OnLeft(func(m *arenapb.Left) { p.left <- m })
	c.OnMoved(func(m *arenapb.Moved) { p.moved <- m })
	c.OnStruck(func(m *arenapb.Struck) { p.struck <- m })
	c.OnSaid(func(m *arenapb.Said) { p.said <- m })
	reply, err := c.Login.Login(ctx, &arenapb.LoginRequest{Name: name})
	if err != nil {
		t.Fatal(err)
	}
	p.id = reply.PlayerId
	p.join(ctx, room)
	return p
}

func (p *player) join(ctx context.Context, room string) *arenapb.JoinReply {
	p.t.Helper()
	reply, err := p.Arena.Join(ctx, &arenapb.JoinRequest{Room: room})
	if err != nil {
		p.t.Fatal(err)
	}
	return reply
}

func next[T any](ctx context.Context, t *testing.T, c chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-ctx.Done():
		t.Fatal("a push never came")
		panic("unreachable")
	}
}

func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func TestWhatOthersInTheRoomSee(t *testing.T) {
	g, ctx := start(t), within(t)
	ann := enter(ctx, t, g, "Ann", "hall")
	bob := enter(ctx, t, g, "Bob", "hall")
	carl := enter(ctx, t, g, "Carl", "cellar")

	if e := next(ctx, t, ann.entered); e.PlayerId != bob.id || e.Name != "Bob" {
		t.Errorf("Ann saw %v enter, want Bob", e)
	}
	if err := bob.Arena.Move(&arenapb.MoveRequest{X: 3, Y: 4}); err != nil {
		t.Fatal(err)
	}
	if m := next(ctx, t, ann.moved); m.PlayerId != bob.id || m.X != 3 || m.Y != 4 {
		t.Errorf("Ann saw %v", m)
	}
	if _, err := bob.Arena.Strike(ctx, &arenapb.StrikeRequest{Target: carl.id}); firefly.CodeOf(err) != arenapb.NoSuchTarget {
		t.Errorf("a strike into another room gave %v", err)
	}
	if err := ann.Chat.Say(&arenapb.SayRequest{Text: "hello"}); err != nil {
		t.Fatal(err)
	}
	if s := next(ctx, t, bob.said); s.Name != "Ann" || s.Text != "hello" {
		t.Errorf("Bob heard %v", s)
	}
	bob.join(ctx, "cellar")
	if l := next(ctx, t, ann.left); l.PlayerId != bob.id {
		t.Errorf("Ann saw %v leave, want Bob", l)
	}
	if e := next(ctx, t, carl.entered); e.PlayerId != bob.id || e.X != 3 {
		t.Errorf("Carl saw %v enter, want Bob at 3", e)
	}
	if len(carl.moved)+len(carl.struck)+len(carl.said) > 0 {
		t.Error("Carl heard of another room")
	}
}

func TestAStrikeThatDefeatsIsAnnounced(t *testing.T) {
	g, ctx := start(t), within(t)
	ann := enter(ctx, t, g, "Ann", "hall")
	bob := enter(ctx, t, g, "Bob", "hall")
	for i := 1; i <= 5; i++ {
		reply, err := ann.Arena.Strike(ctx, &arenapb.StrikeRequest{Target: bob.id})
		if err != nil {
			t.Fatal(err)
		}
		if reply.Defeated != (i == 5) {
			t.Errorf("strike %d: %v", i, reply)
		}
		if s := next(ctx, t, bob.struck); s.By != ann.id || s.Seq != int64(2+i) {
			t.Errorf("Bob saw %v after strike %d", s, i)
		}
	}
	if s := next(ctx, t, bob.said); s.Name != "" || s.Text != "Ann defeated Bob (victory 1)" {
		t.Errorf("announced: %v", s)
	}
}

// A chat that comes up anew is told by world who sits where.
func TestChatComesBack(t *testing.T) {
	g, ctx := start(t), within(t)
	ann := enter(ctx, t, g, "Ann", "hall")
	bob := enter(ctx, t, g, "Bob", "hall")
	g.Kill("chat-1")
	g.Restart("chat-1")
	g.Await("Bob hears Ann again", func() bool {
		if err := ann.Chat.Say(&arenapb.SayRequest{Text: "anybody there?"}); err != nil {
			t.Fatal(err)
		}
		select {
		case s := <-bob.said:
			return s.Name == "Ann"
		case <-time.After(300 * time.Millisecond):
			return false
		}
	})
}
