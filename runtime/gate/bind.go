package gate

import (
	"context"
	"slices"
	"time"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/directory"
	"github.com/firefly-go/firefly/runtime/router"
	"github.com/firefly-go/firefly/runtime/rpc"
	"github.com/firefly-go/firefly/runtime/transport"
)

// binding is a Bind under way. The session may end meanwhile and does not wait for it: a third
// one hears of everybody who is not known to have ended from the directory, so it would only
// wait in a circle.
type binding struct {
	player  firefly.PlayerID
	epoch   uint64 // of its claim, 0 as long as that is under way
	replies []rpc.Reply
}

// bind binds a session to a player, for a role.
func (g *Gate) bind(m router.Bind, timeout time.Duration, reply rpc.Reply, batch *transport.Batch) {
	s := g.session(m.Session)
	if s == nil {
		reply.Fail(batch, errSession)
		return
	}
	if m.Player == 0 {
		reply.Fail(batch, &firefly.Error{Code: firefly.InvalidArgument, Message: "player 0 is nobody"})
		return
	}
	s.mu.Lock()
	var err *firefly.Error
	switch b := s.binding; {
	case s.state >= closing:
		err = errSession
	case s.rec.Player == m.Player:
		epoch := s.rec.Epoch
		s.mu.Unlock()
		reply.Send(batch, rpc.Payload{Raw: router.BindReply{Epoch: epoch}.Append(nil)})
		return
	case s.rec.Player != 0, b != nil && b.player != m.Player:
		err = &firefly.Error{Code: firefly.FailedPrecondition, Message: "the session is bound to another player"}
	case b != nil:
		b.replies = append(b.replies, reply)
	case !g.work():
		err = &firefly.Error{Code: firefly.Unavailable, Message: "the gate stops"}
	default:
		s.binding = &binding{player: m.Player, replies: []rpc.Reply{reply}}
		go g.bindTo(s, m.Player, g.now()+int64(timeout), timeout > 0)
	}
	s.mu.Unlock()
	if err != nil {
		reply.Fail(batch, err)
	}
}

// bindTo runs on a goroutine of its own, since it waits for the directory and for other
// gates.
func (g *Gate) bindTo(s *session, p firefly.PlayerID, deadline int64, limited bool) {
	defer g.workers.Done()
	ctx := g.ctx
	claim, cancel := context.WithTimeout(ctx, claimTime)
	epoch, formers, err := g.o.Directory.Claim(claim, p, s.rec.ID)
	cancel()
	var fail *firefly.Error
	if err != nil {
		fail = &firefly.Error{Code: firefly.Unavailable, Message: "the directory cannot be reached", Cause: err}
	}
	s.claims(epoch)
	for _, former := range formers {
		if s.ending() {
			break // whoever ended it goes on with them
		}
		if fail = g.kickFormer(ctx, former, epoch); fail != nil {
			break
		}
		// Its gate releases a session that was bound; one whose Bind failed nobody else does.
		g.release(p, former.Session, former.Epoch)
	}
	if fail == nil && limited && g.now() > deadline {
		fail = &firefly.Error{Code: firefly.Unavailable, Message: "the former session took too long to close"}
	}

	s.mu.Lock()
	b := s.binding
	s.binding = nil
	if s.state >= closing && fail == nil {
		fail = errSession
	}
	if fail == nil {
		s.rec.Player, s.rec.Epoch = p, epoch
		g.enter(s)
		s.untold = len(s.rec.Touched) > 0
	} else if epoch != 0 {
		g.release(p, s.rec.ID, epoch)
	} else if !slices.Contains(s.claimed, p) {
		s.claimed = append(s.claimed, p) // perhaps: only the answer may be lost
	}
	batch := &transport.Batch{}
	s.unlock(batch)
	for _, reply := range b.replies {
		if fail != nil {
			reply.Fail(batch, fail)
			continue
		}
		reply.Send(batch, rpc.Payload{Raw: router.BindReply{Epoch: epoch}.Append(nil)})
	}
	batch.Flush()
}

// claims notes the epoch of the binding under way.
func (s *session) claims(epoch uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.binding.epoch = epoch
}

func (s *session) ending() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state >= closing
}

// claimTime is how long the directory may take to answer.
const claimTime = 5 * time.Second

var (
	errStops  = &firefly.Error{Code: firefly.Unavailable, Message: "the gate stops"}
	errBehind = &firefly.Error{Code: firefly.Unavailable, Message: "the player logs in elsewhere at the same time"}
)

// kickFormer closes the player's session before this one, wherever it is, and returns when
// its OnClose hooks have: or when its gate is surely gone, with its lease. It fails with
// errBehind when that session has claimed again, and later.
func (g *Gate) kickFormer(ctx context.Context, former directory.Entry, epoch uint64) *firefly.Error {
	if former.Session.Gate == g.o.Incarnation {
		s := g.session(former.Session)
		w := waiter{done: make(chan struct{})}
		if s == nil {
			return nil
		}
		if waits, err := s.replaced(former.Player, epoch, w, nil); !waits {
			return err
		}
		select {
		case <-w.done:
			return nil
		case <-ctx.Done():
			return errStops
		}
	}
	body := router.Kick{Player: former.Player, Session: former.Session, Epoch: epoch}.Append(nil)
	for {
		if peer := g.o.Cluster.Incarnation(former.Session.Gate); peer != nil {
			link, err := peer.Link()
			if err == nil {
				h := rpc.Header{Kind: router.KindControl, ID: router.OpKick, Session: former.Session, Player: former.Player}
				switch err = link.Call(ctx, &h, rpc.Payload{Raw: body}, nil); {
				case err == nil:
					return nil
				case firefly.CodeOf(err) == firefly.FailedPrecondition:
					return errBehind
				}
			}
		} else if left, err := g.o.Directory.Left(ctx, former.Session.Gate); err == nil && left == 0 {
			return nil
		}
		select {
		case <-time.After(kickRetry):
		case <-ctx.Done():
			return errStops
		}
	}
}

// kickRetry is how soon a gate that could not be told to kick is tried again.
const kickRetry = 100 * time.Millisecond

// enter puts the session among the bound ones. Called with its lock.
func (g *Gate) enter(s *session) {
	g.mu.Lock()
	former := g.players[s.rec.Player]
	g.players[s.rec.Player] = s
	s.place = len(g.bound)
	g.bound = append(g.bound, s)
	g.mu.Unlock()
	if former != nil && former != s {
		// Only after the directory had lost what it knew.
		g.log.Warn("player had two sessions here", "player", int64(s.rec.Player), "session", former.rec.ID.String())
		g.later(func() { former.close(firefly.Replaced, "the player logged in elsewhere", nil) })
	}
}

// leaveAll takes the session out of everything that finds sessions but the table of their
// ids. Called with its lock.
func (g *Gate) leaveAll(s *session) {
	g.groups.leaveAll(s)
	if s.rec.Player == 0 {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if s.place < len(g.bound) && g.bound[s.place] == s {
		last := len(g.bound) - 1
		moved := g.bound[last]
		g.bound[s.place] = moved
		moved.place = s.place
		g.bound[last] = nil
		g.bound = g.bound[:last]
	}
	if g.players[s.rec.Player] == s {
		delete(g.players, s.rec.Player)
	}
}
