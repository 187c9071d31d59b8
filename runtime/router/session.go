package router

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/cluster"
	"github.com/firefly-go/firefly/runtime/mailbox"
	"github.com/firefly-go/firefly/runtime/rpc"
	"github.com/firefly-go/firefly/runtime/transport"
)

// Session is what one role instance knows of a client's session. It begins with the first
// command that comes here and ends when the OnClose hooks have returned; the game may keep
// it longer, then it is only a name. It owns no goroutine and no timer.
type Session struct {
	firefly.IsTarget
	host  *Host
	id    firefly.SessionID
	state any          // the role's session message; nil when it declares none
	lane  mailbox.Lane // order of its commands and hooks

	player atomic.Int64
	epoch  atomic.Uint64                // changed under host.mu only
	gate   atomic.Pointer[cluster.Peer] // where the last command came from

	ready atomic.Bool // the OnConnect hooks have returned
	cut   atomic.Bool // commands that have not begun are refused

	mu     sync.Mutex
	phase  phase
	reason firefly.Reason // why it ended
	wish   firefly.Reason // of the game's Close
	asked  bool           // the gate will surely hear of the wish
	loose  int            // unordered commands that have not returned
	after  []*countdown   // wait for the end
}

type phase uint8

const (
	open    phase = iota
	closing       // no command is taken any more; the OnClose hooks are queued, or wait for loose
	closed
)

// ID implements firefly.Session.
func (s *Session) ID() firefly.SessionID { return s.id }

// Player implements firefly.Session.
func (s *Session) Player() firefly.PlayerID { return firefly.PlayerID(s.player.Load()) }

// State is the message that the factory of Host.SessionState made for this session.
func (s *Session) State() any { return s.state }

// Host is the role instance whose session this is.
func (s *Session) Host() *Host { return s.host }

// Bind implements firefly.Session.
func (s *Session) Bind(ctx context.Context, p firefly.PlayerID) error {
	switch now := s.Player(); {
	case p == 0:
		return firefly.InvalidArgument.Errorf("player 0 is nobody")
	case now != 0 && now != p:
		return firefly.FailedPrecondition.Errorf("the session is bound to another player")
	case s.over():
		return errSessionClosed
	}
	var rep BindReply
	err := s.host.router.control(ctx, s, OpBind, Bind{Session: s.id, Player: p}.Append(nil), func(b []byte) (err error) {
		rep, err = ParseBindReply(b)
		return err
	})
	if err != nil {
		return err
	}
	if !s.host.identify(s, p, rep.Epoch) {
		return errSessionClosed
	}
	return nil
}

// Join implements firefly.Session.
func (s *Session) Join(ctx context.Context, g firefly.Group) error {
	return s.membership(ctx, OpJoin, g)
}

// Leave implements firefly.Session.
func (s *Session) Leave(ctx context.Context, g firefly.Group) error {
	return s.membership(ctx, OpLeave, g)
}

func (s *Session) membership(ctx context.Context, op uint64, g firefly.Group) error {
	if s.over() {
		return errSessionClosed
	}
	// Behind the pushes that were made before.
	c := callerOf(ctx)
	if gate := s.gate.Load(); s.host.router.out != nil && !gate.Self() && !s.host.router.out.settled(gate, c.batch) {
		return errBehind
	}
	return s.host.router.control(ctx, s, op, Membership{Session: s.id, Group: g}.Append(nil), nil)
}

// Close implements firefly.Session. Commands of the session that have not begun are not
// started any more.
func (s *Session) Close(r firefly.Reason) {
	if r == "" {
		r = firefly.Kicked
	}
	s.mu.Lock()
	if s.wish == "" {
		s.wish = r
	}
	over := s.phase != open
	s.cut.Store(true)
	s.mu.Unlock()
	if !over {
		s.askClose(nil)
	}
}

// askClose asks the gate to end the session, as Close wished. A gate that cannot be reached
// is asked again when it sends another command of the session.
func (s *Session) askClose(batch *transport.Batch) {
	s.mu.Lock()
	wish, asked := s.wish, s.asked
	s.mu.Unlock()
	if asked {
		return
	}
	gate := s.gate.Load()
	if out := s.host.router.out; out != nil && !gate.Self() {
		// Pushes that were made before come first, and a link that breaks does not keep it away.
		if o := out.of(gate); o != nil && o.close(Close{Session: s.id, Reason: wish}, batch) {
			s.mu.Lock()
			s.asked = true
			s.mu.Unlock()
			return
		}
	}
	link, err := gate.Link()
	if err != nil {
		return
	}
	_ = link.Send(batch, &rpc.Header{Kind: KindControl, ID: OpClose, Session: s.id, Player: s.Player(), Target: s.host.role},
		rpc.Payload{Raw: Close{Session: s.id, Reason: wish}.Append(nil)})
}

// over reports whether the session has ended here.
func (s *Session) over() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.phase == closed
}

// close begins the end of the session: once. done is told when the OnClose hooks have
// returned; nil: nobody asks. Any goroutine.
func (s *Session) close(reason firefly.Reason, done *countdown) {
	s.mu.Lock()
	if s.phase == closed {
		s.mu.Unlock()
		return
	}
	if done != nil {
		done.add()
		s.after = append(s.after, done)
	}
	if s.phase == open {
		s.phase, s.reason = closing, reason
		if cuts(reason) {
			s.cut.Store(true)
		}
		if s.loose == 0 {
			s.leave()
			return
		}
	}
	s.mu.Unlock()
}

// cuts tells for which reasons commands that are queued already are refused: what a client
// sent before it left is still done, what one sent who was thrown out is not.
func cuts(r firefly.Reason) bool {
	return r == firefly.Kicked || r == firefly.Replaced || r == firefly.Flood
}

// leave queues the OnClose hooks behind everything that the session has queued. It is called
// with s.mu held and gives it up.
func (s *Session) leave() {
	ok := s.host.queue(s.goodbye())
	s.mu.Unlock()
	if !ok {
		// The loop is closed: the process ends without hooks.
		s.ended(nil)
	}
}

// loosen counts an unordered command that has returned; on the loop.
func (s *Session) loosen() {
	s.mu.Lock()
	s.loose--
	if s.loose == 0 && s.phase == closing {
		s.leave()
		return
	}
	s.mu.Unlock()
}

// ended ends the record when the hooks have returned.
func (s *Session) ended(batch *transport.Batch) {
	s.host.forget(s)
	s.mu.Lock()
	s.phase = closed
	after := s.after
	s.after = nil
	s.mu.Unlock()
	for _, c := range after {
		c.done(batch)
	}
}

// refusal is what a command gets that comes when the session is over here. s.mu is held.
func (s *Session) refusal() *firefly.Error {
	if s.reason == firefly.Moved {
		return &firefly.Error{Code: firefly.MovedAway, Message: "the session has moved to another node"}
	}
	return errSessionClosed
}

var errSessionClosed = &firefly.Error{Code: firefly.SessionClosed, Message: "the session has ended"}

// countdown calls f when everything added is done. It begins with one.
type countdown struct {
	n atomic.Int32
	f func(*transport.Batch)
}

func newCountdown(f func(*transport.Batch)) *countdown {
	c := &countdown{f: f}
	c.n.Store(1)
	return c
}

func (c *countdown) add() { c.n.Add(1) }

func (c *countdown) done(batch *transport.Batch) {
	if c.n.Add(-1) == 0 {
		c.f(batch)
	}
}
