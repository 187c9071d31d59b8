package gate

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"slices"
	"sync"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/cluster"
	"github.com/firefly-go/firefly/runtime/rpc"
	"github.com/firefly-go/firefly/runtime/transport"
	"github.com/firefly-go/firefly/runtime/wire"
)

// state is where a session is in its life.
type state uint8

const (
	open    state = iota
	dropped       // its connection is lost; it may come back
	closing       // nodes are told; no command starts any more
	closed        // every node that it touched has let go
)

// session is what a client is to the cluster: its record, and what is under way.
//
// mu is held for moments only, and never while something is handed to a link: a link in this
// process answers on the same goroutine. Whoever hands something to a link sets pumping
// first; others then leave what they have in held, untold, stirred or state, and the one who
// pumps takes it up. So everything that one session sends has one order, with two short locks
// a command. unlock is the only way out of mu after a change.
type session struct {
	gate    *Gate
	mu      sync.Mutex
	client  *client // nil while dropped and when closed
	state   state
	pumping bool
	moving  bool   // OpClosed for a pin that moves is under way
	untold  bool   // nodes touched must hear of the player
	stirred uint64 // OpDropped or OpResumed, when they must hear of that
	rec     SessionRecord
	reason  firefly.Reason
	header  rpc.Header // of whoever pumps

	unfinished list // every command without an answer or without an end, oldest first
	held       list // those that wait for the fence
	count      int  // of unfinished
	waiting    int  // what held costs
	borrowed   int  // of that, from the gate's reserve
	atNodes    int  // unfinished and not held
	bytes      int  // their bodies
	fenced     int  // atNodes without the unordered ones, all at fence
	fence      place
	homes      []*cluster.Peer // by command.role: pinned and touched, so that most commands need not look

	replies replies // classic: the order of replies
	sent    int     // bytes of replies since the client's queue was looked at

	watch   int64 // tick of the wheel in which this session will be looked at, 0 none
	expires int64 // dropped: when it ends
	binding *binding
	claimed []firefly.PlayerID // of whom the directory may say that they are here, since a Bind failed
	groups  []*membership
	place   int // in gate.bound, under gate.mu
	waiters []waiter
	missed  missed
	// partings are the instances that are told of the end.
	partings []*parting
}

// newSession makes the session of a client whose handshake is done.
func (g *Gate) newSession(c *client, classic, json bool, h *wire.Hello, refused []wire.Refusal) *session {
	s := &session{gate: g, client: c}
	s.rec.ID = firefly.SessionID{Gate: g.o.Incarnation, Seq: g.sequence.Add(1)}
	s.rec.Classic, s.rec.JSON = classic, json
	s.rec.Address, s.rec.Version = c.conn.RemoteAddr().String(), h.Version
	for _, r := range refused {
		s.rec.Refused = append(s.rec.Refused, r.ID)
	}
	if !classic && g.limits.resume > 0 {
		s.rec.Token = make([]byte, 4+16)
		binary.BigEndian.PutUint32(s.rec.Token, s.rec.ID.Seq)
		rand.Read(s.rec.Token[4:])
	}
	g.mu.Lock()
	g.sessions[s.rec.ID.Seq] = s
	g.mu.Unlock()
	c.session.Store(s)
	if g.stopping.Load() {
		s.close(firefly.Shutdown, "", nil)
	} else if c.ended.Load() { // the sweeper was faster
		s.close(firefly.HandshakeTimeout, "", nil)
	}
	return s
}

func (g *Gate) session(id firefly.SessionID) *session {
	if id.Gate != g.o.Incarnation {
		return nil
	}
	g.mu.RLock()
	defer g.mu.RUnlock()
	return g.sessions[id.Seq]
}

// unlock does what is left to do and unlocks.
func (s *session) unlock(batch *transport.Batch) {
	if !s.pumping {
		s.pump(batch)
	}
	s.mu.Unlock()
}

// command takes one command from the client.
func (s *session) command(id uint32, seq uint64, wants bool, body []byte, now int64, batch *transport.Batch) {
	g := s.gate
	cmd := g.declared.command(id)
	s.mu.Lock()
	if s.state != open {
		s.mu.Unlock()
		return
	}
	e := g.exchange()
	e.s, e.cmd, e.id, e.seq, e.wants = s, cmd, id, seq, wants
	if s.rec.Classic && cmd != nil && cmd.NoReply {
		e.wants = false
	}
	if s.rec.Classic && e.wants {
		if s.replies.len() >= maxSlots {
			g.free(e)
			s.shut(firefly.Flood, "too many requests without a reply", batch)
			s.unlock(batch)
			return
		}
		e.slot = s.replies.reserve()
	}
	if err := s.admit(e, now); err != nil {
		s.refuse(e, err, batch)
		s.unlock(batch)
		return
	}
	if s.jsonBodies() && cmd.Request != nil {
		var err error
		if body, err = e.transcode(body); err != nil {
			s.refuse(e, &firefly.Error{Code: firefly.InvalidArgument, Message: err.Error()}, batch)
			s.unlock(batch)
			return
		}
	}
	e.size = len(body)
	e.deadline = now + int64(cmd.timeout)
	s.count++
	s.unfinished.push(e, inAll)
	s.watchFor(e.deadline)
	if s.pumping || s.held.first != nil && !cmd.Unordered || !s.start(e, body, batch) {
		if s.borrow(e) {
			e.hold(body)
			s.enqueue(e, false)
		} else {
			s.finish(e)
			s.shut(firefly.Flood, "too many unfinished commands", batch)
		}
	}
	s.unlock(batch)
}

// admit checks what may be checked before the body is looked at.
func (s *session) admit(e *exchange, now int64) *firefly.Error {
	cmd := e.cmd
	switch {
	case cmd == nil:
		return &firefly.Error{Code: firefly.Unimplemented, Message: "no such command"}
	case s.refuses(uint32(cmd.ID)):
		return &firefly.Error{Code: firefly.Incompatible, Message: cmd.Name + " has another shape here"}
	case cmd.Auth == firefly.AuthRequired && s.rec.Player == 0:
		return &firefly.Error{Code: firefly.Unauthenticated, Message: cmd.Name + " needs a player"}
	case !s.allowed(cmd, now):
		return &firefly.Error{Code: firefly.RateLimited, Message: cmd.Name + " comes too often"}
	case s.gate.draining.Load():
		return &firefly.Error{Code: firefly.Unavailable, Message: "the gate stops"}
	}
	return nil
}

func (s *session) refuses(id uint32) bool {
	if len(s.rec.Refused) == 0 {
		return false
	}
	_, found := slices.BinarySearch(s.rec.Refused, id)
	return found
}

// allowed takes a token: of the command's own bucket, or of the listener's.
func (s *session) allowed(cmd *command, now int64) bool {
	if !cmd.own {
		return s.gate.limits.rate.take(&s.rec.Listener, now)
	}
	if cmd.rate.interval == 0 {
		return true
	}
	for i := range s.rec.Buckets {
		if b := &s.rec.Buckets[i]; b.Command == cmd.ID {
			return cmd.rate.take(&b.Full, now)
		}
	}
	s.rec.Buckets = append(s.rec.Buckets, Bucket{Command: cmd.ID})
	return cmd.rate.take(&s.rec.Buckets[len(s.rec.Buckets)-1].Full, now)
}

// jsonBodies reports whether the gate translates for this client.
func (s *session) jsonBodies() bool {
	if s.rec.Classic {
		return s.gate.limits.classic.body == bodyJSON
	}
	return s.rec.JSON
}

// watchFor has the sweeper look at the session at t, unless it does so sooner.
func (s *session) watchFor(t int64) {
	at := tickOf(t)
	if s.watch == 0 || at < s.watch {
		s.watch = s.gate.wheel.add(s, at)
	}
}

// due implements watched: deadlines of commands, the end of a dropped session, nodes that
// could not be told that the session ended.
func (s *session) due(now int64) int64 {
	s.mu.Lock()
	if s.watch != now { // an entry that a sooner one has replaced
		s.mu.Unlock()
		return 0
	}
	s.watch = 0
	t := now * int64(tick)
	for e := s.unfinished.first; e != nil; {
		next := e.links[inAll].next
		if e.deadline <= t && !e.answered {
			s.expire(e)
		}
		e = next
	}
	var next int64
	for e := s.unfinished.first; e != nil; e = e.links[inAll].next {
		if !e.answered && (next == 0 || e.deadline < next) {
			next = e.deadline
		}
	}
	if s.state == dropped {
		if s.expires <= t {
			s.shut(firefly.ConnectionLost, "it did not come back", nil)
		} else if next == 0 || s.expires < next {
			next = s.expires
		}
	}
	if next != 0 {
		s.watchFor(next)
	}
	s.unlock(nil)
	return 0
}

// expire answers a command whose time is over. At a node it goes on, and keeps its place in
// the session's order until the node has answered.
func (s *session) expire(e *exchange) {
	s.answer(e, nil, &firefly.Error{Code: firefly.DeadlineExceeded, Message: e.cmd.Name + " took longer than " + e.cmd.timeout.String()}, nil)
	if e.held {
		s.dequeue(e)
		s.finish(e)
	}
}

// lost is called when the connection c has ended.
func (s *session) lost(c *client, reason firefly.Reason) {
	s.mu.Lock()
	if s.client != c || s.state != open {
		s.mu.Unlock()
		return
	}
	if !s.drop() {
		s.shut(reason, "", nil)
	}
	s.unlock(nil)
}

// record is a copy of the session's record as of now. Times in it count from now.
func (s *session) record(now int64) SessionRecord {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.rec
	r.Token = slices.Clone(r.Token)
	r.Refused = slices.Clone(r.Refused)
	r.Pins, r.Touched, r.Lost = slices.Clone(r.Pins), slices.Clone(r.Touched), slices.Clone(r.Lost)
	for _, m := range s.groups {
		r.Groups = append(r.Groups, m.group.name)
	}
	r.Buckets = slices.Clone(r.Buckets)
	for i := range r.Buckets {
		r.Buckets[i].Full -= now
	}
	r.Listener -= now
	return r
}

// begin begins one frame to the client's queue; what does not fit ends the session.
func (s *session) begin(batch *transport.Batch) ([]byte, bool) {
	if s.client == nil {
		return nil, false
	}
	buf, err := s.client.queue.Begin()
	if errors.Is(err, transport.ErrFull) {
		s.shut(firefly.TooSlow, "", batch)
	}
	return buf, err == nil
}
