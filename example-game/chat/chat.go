// Package chat is the code of role chat: what players say, and what is announced to them.
package chat

import (
	"context"
	"fmt"

	"example.com/arena/arenapb"
	"example.com/arena/rooms"

	"github.com/firefly-go/firefly"
)

type seat struct{ name, room string }

// Chat knows who sits in which room, because world tells it.
type Chat struct {
	*arenapb.ChatDeps
	seats map[firefly.PlayerID]seat
}

// New makes the handler of one chat node.
func New(d *arenapb.ChatDeps) arenapb.ChatHandler {
	return &Chat{ChatDeps: d, seats: map[firefly.PlayerID]seat{}}
}

// Say tells everybody in the speaker's room.
func (c *Chat) Say(ctx context.Context, s firefly.Session, req *arenapb.SayRequest) error {
	at, ok := c.seats[s.Player()]
	if !ok {
		return arenapb.NotInARoom.Errorf("join a room first")
	}
	return c.Push.Said(ctx, rooms.Group(at.room), &arenapb.Said{Name: at.name, Text: req.Text})
}

// Sit hears from world in which room a player sits now.
func (c *Chat) Sit(_ context.Context, req *arenapb.SitRequest) error {
	p := firefly.PlayerID(req.PlayerId)
	if req.Room == "" {
		delete(c.seats, p)
		return nil
	}
	c.seats[p] = seat{name: req.Name, room: req.Room}
	return nil
}

// Announce tells a room that somebody was defeated.
func (c *Chat) Announce(ctx context.Context, req *arenapb.AnnounceRequest) (*arenapb.AnnounceReply, error) {
	wins, err := c.won(ctx, arenapb.ScoreKey{Room: req.Room, Name: req.Winner})
	if err != nil {
		return nil, err
	}
	text := fmt.Sprintf("%s defeated %s (victory %d)", req.Winner, req.Loser, wins)
	if err := c.Push.Said(ctx, rooms.Group(req.Room), &arenapb.Said{Text: text}); err != nil {
		return nil, err
	}
	return &arenapb.AnnounceReply{Wins: wins}, nil
}

// won counts a victory in a room, the first one too.
func (c *Chat) won(ctx context.Context, key arenapb.ScoreKey) (int32, error) {
	for {
		wins, err := c.Score.AddWins(ctx, key, 1)
		if firefly.CodeOf(err) != firefly.NotFound {
			return int32(wins), err
		}
		err = c.Score.Insert(ctx, &arenapb.Score{Room: key.Room, Name: key.Name, Wins: 1})
		if firefly.CodeOf(err) != firefly.AlreadyExists {
			return 1, err
		}
	}
}
