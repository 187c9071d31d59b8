package bots

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"example.com/arena/arenapb"
	"example.com/arena/arenapb/arenaclient"

	"github.com/firefly-go/firefly"
	client "github.com/firefly-go/firefly/clients/go"
)

// bot is one player: it logs in, sits in a room, and moves, strikes, speaks and echoes at its
// pace.
type bot struct {
	o     *options
	r     *report
	index int
	name  string
	addr  string
	c     *arenaclient.Client
	round int
	moves int // how often it has gone to another room

	mu      sync.Mutex
	me      int64
	room    string // where it sits; "" while it is in none
	joining string // the room whose reply is awaited
	early   []int64
	base    int64 // number of the room's last event when it joined
	next    int64 // number of the room's next event
	lost    bool  // the room began anew without it
	mates   map[int64]bool
	places  map[int64]float32 // x of others, by their pushes
	x       float32           // its own
}

// enter connects, logs in and joins.
func (b *bot) enter(ctx context.Context) {
	if !b.connect(ctx) {
		return
	}
	b.join(ctx, b.pick())
}

// pick is the room where the bot belongs now. After a move it is always another one: events of
// a room that ends and begins anew under a bot that joins it again could not be told apart.
func (b *bot) pick() string { return fmt.Sprintf("room-%d", (b.index+b.moves)%b.o.rooms) }

func (b *bot) connect(ctx context.Context) bool {
	for attempt := 0; ; attempt++ {
		c, err := arenaclient.Dial(ctx, b.addr, &client.Options{Network: b.o.network})
		if err == nil {
			b.c = c
			b.listen()
			break
		}
		if !b.o.chaos || attempt > 100 || ctx.Err() != nil {
			b.r.fail("%s: %v", b.name, err)
			return false
		}
		time.Sleep(100 * time.Millisecond)
	}
	reply, err := timed(b, func() (*arenapb.LoginReply, error) {
		return b.c.Login.Login(ctx, &arenapb.LoginRequest{Name: b.name})
	})
	if err != nil {
		b.fault("login", err)
		b.c.Close()
		b.c = nil
		return false
	}
	b.mu.Lock()
	b.me = reply.PlayerId
	b.mu.Unlock()
	return true
}

func (b *bot) listen() {
	b.c.OnMoved(func(m *arenapb.Moved) {
		b.r.push("Moved")
		b.mu.Lock()
		defer b.mu.Unlock()
		if old := b.places[m.PlayerId]; m.X < old && b.mates[m.PlayerId] && !b.o.chaos {
			b.r.fail("%s: %d went back from %g to %g", b.name, m.PlayerId, old, m.X)
		}
		if b.places != nil {
			b.places[m.PlayerId] = m.X
		}
	})
	b.c.OnStruck(func(m *arenapb.Struck) { b.event("Struck", m.Room, m.Seq, 0, nil) })
	b.c.OnEntered(func(m *arenapb.Entered) { b.event("Entered", m.Room, m.Seq, m.PlayerId, m) })
	b.c.OnLeft(func(m *arenapb.Left) { b.event("Left", m.Room, m.Seq, m.PlayerId, nil) })
	b.c.OnSaid(func(*arenapb.Said) { b.r.push("Said") })
}

// event takes a numbered event of a room: none may be missing, none may come twice.
func (b *bot) event(kind, room string, seq, player int64, entered *arenapb.Entered) {
	b.r.push(kind)
	b.mu.Lock()
	defer b.mu.Unlock()
	switch room {
	case b.room:
		if b.lost || seq <= b.base {
			return // what happened before the join may be handled after its reply
		}
		if seq != b.next {
			if b.o.chaos {
				b.lost = true // the node was killed, and the room counts anew
				return
			}
			b.r.fail("%s: event %d of %s came, %d was next", b.name, seq, room, b.next)
		}
		b.next = seq + 1
	case b.joining:
		b.early = append(b.early, seq)
	default:
		return // of the room before
	}
	switch {
	case entered != nil:
		b.mates[player] = true
		b.places[player] = entered.X
	case kind == "Left":
		delete(b.mates, player)
	}
}

// join enters a room; events may come before the reply does.
func (b *bot) join(ctx context.Context, room string) bool {
	b.mu.Lock()
	b.room, b.joining, b.early, b.lost = "", room, nil, false
	b.mates, b.places = map[int64]bool{}, map[int64]float32{}
	b.mu.Unlock()
	reply, err := timed(b, func() (*arenapb.JoinReply, error) {
		return b.c.Arena.Join(ctx, &arenapb.JoinRequest{Room: room})
	})
	if err != nil {
		b.fault("join", err)
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, o := range reply.Others {
		b.mates[o.PlayerId] = true
		if _, ok := b.places[o.PlayerId]; !ok {
			b.places[o.PlayerId] = o.X
		}
	}
	b.base, b.next = reply.Seq, reply.Seq+1
	for _, seq := range b.early {
		if seq <= reply.Seq {
			continue
		}
		if seq != b.next && !b.o.chaos {
			b.r.fail("%s: event %d of %s came, %d was next", b.name, seq, room, b.next)
		}
		b.next = seq + 1
	}
	b.room, b.joining, b.early = room, "", nil
	return true
}

// act plays until acting ends; what is under way then is finished.
func (b *bot) act(ctx, acting context.Context) {
	tick := time.NewTicker(b.o.pace)
	defer tick.Stop()
	select {
	case <-time.After(time.Duration(rand.Int64N(int64(b.o.pace)))):
	case <-acting.Done():
	}
	payload := bytes.Repeat([]byte{byte(b.index)}, 32)
	for acting.Err() == nil {
		select {
		case <-tick.C:
		case <-acting.Done():
			return
		}
		if !b.ready(ctx) {
			continue
		}
		b.round++
		b.move()
		got, err := timed(b, func() ([]byte, error) { return b.c.Probe.Echo(ctx, payload) })
		if err != nil {
			b.fault("echo", err)
		} else if !bytes.Equal(got, payload) {
			b.r.fail("%s: echo gave %d other bytes", b.name, len(got))
		}
		if b.round%3 == 0 {
			b.strike(ctx)
		}
		if b.round%10 == 5 {
			if err := b.c.Chat.Say(&arenapb.SayRequest{Text: "hello"}); err != nil {
				b.fault("say", err)
			}
			b.r.sent()
		}
		if b.round%50 == 49 && b.o.rooms > 1 {
			b.moves++
			b.join(ctx, b.pick())
		}
	}
}

// ready brings a bot back that lost its connection or its room.
func (b *bot) ready(ctx context.Context) bool {
	if b.c != nil && b.c.Err() != nil {
		b.fault("connection", b.c.Err())
		b.c = nil
	}
	if b.c == nil {
		return b.o.chaos && b.connect(ctx) && b.join(ctx, b.pick())
	}
	b.mu.Lock()
	room, lost := b.room, b.lost
	b.mu.Unlock()
	if room == "" || lost {
		return b.join(ctx, b.pick())
	}
	return true
}

// recover waits for a seat in the room, after nodes were killed.
func (b *bot) recover(ctx context.Context) {
	for range 100 {
		if b.ready(ctx) {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	b.r.fail("%s found no way back", b.name)
}

func (b *bot) move() {
	b.mu.Lock()
	b.x++
	x := b.x
	b.mu.Unlock()
	if err := b.c.Arena.Move(&arenapb.MoveRequest{X: x, Y: float32(b.index)}); err != nil {
		b.fault("move", err)
	}
	b.r.sent()
}

// lastMove is the place that all others in the room must know in the end.
func (b *bot) lastMove() {
	if b.c != nil && b.c.Err() == nil {
		b.move()
	}
}

func (b *bot) strike(ctx context.Context) {
	target := int64(0)
	b.mu.Lock()
	for id := range b.mates {
		if id != b.me {
			target = id
			break
		}
	}
	b.mu.Unlock()
	if target == 0 {
		return
	}
	_, err := timed(b, func() (*arenapb.StrikeReply, error) {
		return b.c.Arena.Strike(ctx, &arenapb.StrikeRequest{Target: target})
	})
	// The target may have left while the strike was under way.
	if err != nil && firefly.CodeOf(err) != arenapb.NoSuchTarget {
		b.fault("strike", err)
	}
}

// fault counts a failure: one that a killed node explains is no error under -chaos, but the
// bot must look for its seat again.
func (b *bot) fault(what string, err error) {
	code := firefly.CodeOf(err)
	var closed *client.Closed
	if errors.As(err, &closed) {
		code = firefly.Code("CLOSED " + string(closed.Reason))
	}
	if b.o.chaos {
		switch code {
		case firefly.Unknown, firefly.Unavailable, firefly.StateLost, firefly.DeadlineExceeded, arenapb.NotInARoom,
			firefly.Code("CLOSED " + string(firefly.ConnectionLost)):
			b.r.excuse(string(code))
			b.mu.Lock()
			b.lost = true
			b.mu.Unlock()
			return
		}
	}
	b.r.fail("%s: %s: %v", b.name, what, err)
}

func (b *bot) place() (room string, seq int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.room, b.next - 1
}

func (b *bot) id() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.me
}

func (b *bot) at() float32 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.x
}

func (b *bot) seen(id int64) float32 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.places[id]
}

func (b *bot) quit() {
	if b.c != nil {
		b.c.Close()
	}
}

// timed runs one request and notes how long it took when it was answered.
func timed[T any](b *bot, f func() (T, error)) (T, error) {
	start := time.Now()
	v, err := f()
	if err == nil {
		b.r.took(time.Since(start))
	}
	return v, err
}
