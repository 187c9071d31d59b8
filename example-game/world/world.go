// Package world is the code of role world: rooms, and what players do to each other in them.
package world

import (
	"context"
	"fmt"
	"slices"

	"example.com/arena/arenapb"
	"example.com/arena/rooms"

	"github.com/firefly-go/firefly"
)

const (
	fullHealth   = 100
	strikeDamage = 20
)

// room is one room of this node. Its events are numbered, so that a client can tell that it
// missed none.
type room struct {
	seq     int64
	players map[firefly.PlayerID]firefly.Session
	coming  int // players who get its events already and are not in it yet
}

// World keeps the rooms whose names this node owns. Handlers run one at a time, so none of
// this needs a lock; what may have changed while a handler waited is looked at again.
type World struct {
	*arenapb.WorldDeps
	rooms map[string]*room
}

// New makes the handler of one world node.
func New(d *arenapb.WorldDeps) arenapb.WorldHandler {
	w := &World{WorldDeps: d, rooms: map[string]*room{}}
	d.Node.OnClose(func(ctx context.Context, s firefly.Session, _ firefly.Reason) { w.leave(ctx, s) })
	d.Node.OnPeer(w.peer)
	return w
}

// Join enters a room, and leaves the one before.
func (w *World) Join(ctx context.Context, s firefly.Session, req *arenapb.JoinRequest) (*arenapb.JoinReply, error) {
	seat := w.Seat(s)
	if seat.Name == "" {
		seat.Name = w.nameOf(ctx, s.Player())
	}
	if seat.Room != "" {
		old := seat.Room
		w.leave(ctx, s)
		if err := s.Leave(ctx, rooms.Group(old)); err != nil {
			return nil, err
		}
	}
	r := w.rooms[req.Room]
	if r == nil {
		r = &room{players: map[firefly.PlayerID]firefly.Session{}}
		w.rooms[req.Room] = r
	}
	// From here on the client gets the room's events, so the room must not begin anew, with
	// other numbers, while this handler waits.
	r.coming++
	err := s.Join(ctx, rooms.Group(req.Room))
	r.coming--
	if err != nil {
		w.sweep(req.Room, r)
		return nil, err
	}
	reply := &arenapb.JoinReply{}
	for _, id := range sorted(r.players) {
		other := w.Seat(r.players[id])
		reply.Others = append(reply.Others, &arenapb.Entered{PlayerId: int64(id), Name: other.Name, X: other.X, Y: other.Y, Room: req.Room})
	}
	r.players[s.Player()] = s
	r.seq++
	seat.Room, seat.Hp = req.Room, fullHealth
	reply.Seq = r.seq
	w.tell(ctx, s)
	entered := &arenapb.Entered{PlayerId: int64(s.Player()), Name: seat.Name, Seq: r.seq, X: seat.X, Y: seat.Y, Room: req.Room}
	return reply, w.Push.Entered(ctx, firefly.Except(rooms.Group(req.Room), s.Player()), entered)
}

// Move goes to a place; the others in the room see it.
func (w *World) Move(ctx context.Context, s firefly.Session, req *arenapb.MoveRequest) error {
	seat := w.Seat(s)
	if seat.Room == "" {
		return arenapb.NotInARoom.Errorf("join a room first")
	}
	seat.X, seat.Y = req.X, req.Y
	return w.Push.Moved(ctx, firefly.Except(rooms.Group(seat.Room), s.Player()),
		&arenapb.Moved{PlayerId: int64(s.Player()), X: req.X, Y: req.Y})
}

// Strike hits another player in the same room. Who is defeated begins anew with full health,
// and chat announces it.
func (w *World) Strike(ctx context.Context, s firefly.Session, req *arenapb.StrikeRequest) (*arenapb.StrikeReply, error) {
	seat := w.Seat(s)
	if seat.Room == "" {
		return nil, arenapb.NotInARoom.Errorf("join a room first")
	}
	r := w.rooms[seat.Room]
	target, ok := r.players[firefly.PlayerID(req.Target)]
	if !ok || target.ID() == s.ID() {
		return nil, arenapb.NoSuchTarget.Errorf("player %d is not in room %q", req.Target, seat.Room)
	}
	victim := w.Seat(target)
	victim.Hp -= strikeDamage
	defeated := victim.Hp <= 0
	if defeated {
		victim.Hp = fullHealth
	}
	r.seq++
	struck := &arenapb.Struck{By: int64(s.Player()), Target: req.Target, Damage: strikeDamage, Seq: r.seq, Room: seat.Room}
	if err := w.Push.Struck(ctx, rooms.Group(seat.Room), struck); err != nil {
		return nil, err
	}
	if defeated {
		w.reward(ctx, s.Player(), victim.Name)
		// The strike counts whether or not chat can be reached, so its failure is only logged.
		_, err := w.Hall.Announce(ctx, &arenapb.AnnounceRequest{Room: seat.Room, Winner: seat.Name, Loser: victim.Name})
		if err != nil {
			firefly.Log(ctx).Warn("defeat was not announced", "err", err)
		}
	}
	return &arenapb.StrikeReply{Damage: strikeDamage, Defeated: defeated}, nil
}

// leave takes a session out of its room. It is called before the session's seat is gone.
func (w *World) leave(ctx context.Context, s firefly.Session) {
	seat := w.Seat(s)
	r := w.rooms[seat.Room]
	if r == nil || r.players[s.Player()] == nil || r.players[s.Player()].ID() != s.ID() {
		return
	}
	delete(r.players, s.Player())
	r.seq++
	name := seat.Room
	seat.Room = ""
	w.tell(ctx, s)
	if w.sweep(name, r) {
		return
	}
	left := &arenapb.Left{PlayerId: int64(s.Player()), Seq: r.seq, Room: name}
	if err := w.Push.Left(ctx, firefly.Except(rooms.Group(name), s.Player()), left); err != nil {
		firefly.Log(ctx).Warn("push failed", "err", err)
	}
}

// sweep forgets a room that nobody is in, or comes to.
func (w *World) sweep(name string, r *room) bool {
	if len(r.players) > 0 || r.coming > 0 {
		return false
	}
	delete(w.rooms, name)
	return true
}

// tell says to chat where a session sits. What is lost while chat is away is told again when
// it comes back.
func (w *World) tell(ctx context.Context, s firefly.Session) {
	seat := w.Seat(s)
	if err := w.Hall.Sit(ctx, &arenapb.SitRequest{PlayerId: int64(s.Player()), Name: seat.Name, Room: seat.Room}); err != nil {
		firefly.Log(ctx).Warn("chat does not know who sits where", "err", err)
	}
}

// peer tells a chat that has just come up where everybody sits.
func (w *World) peer(ctx context.Context, role, _ string, up bool) {
	if role != "chat" || !up {
		return
	}
	for _, name := range sorted(w.rooms) {
		for _, id := range sorted(w.rooms[name].players) {
			w.tell(ctx, w.rooms[name].players[id])
		}
	}
}

// nameOf looks up who a player is.
func (w *World) nameOf(ctx context.Context, p firefly.PlayerID) string {
	who, err := w.Player.Get(ctx, int64(p))
	if err != nil {
		return fmt.Sprintf("player %d", p)
	}
	return who.Name
}

func sorted[K int64 | string | firefly.PlayerID, V any](m map[K]V) []K {
	ks := make([]K, 0, len(m))
	for k := range m {
		ks = append(ks, k)
	}
	slices.Sort(ks)
	return ks
}
