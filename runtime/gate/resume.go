package gate

import (
	"crypto/subtle"
	"encoding/binary"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/router"
	"github.com/firefly-go/firefly/runtime/transport"
	"github.com/firefly-go/firefly/runtime/wire"
)

// A native session outlives its connection when its client acknowledges pushes: the first Ack
// says that it can come back. From then on the gate keeps the pushes that may not be dropped
// until they are acknowledged, at most max_queue bytes. Only those count: their frames carry
// flagCounted. Replies are not kept: of a command without a reply when its connection ended,
// the client knows nothing.

// flagCounted marks a push that counts in Ack, Hello.LastPush and Welcome.NextPush.
const flagCounted = 0x10

// missed are pushes that the client has not acknowledged.
type missed struct {
	from  uint64 // the count before the oldest
	sizes []int
	bytes []byte
}

// miss counts a push, and keeps it when the client may come back for it. false: more is
// unacknowledged than may be kept.
func (s *session) miss(class transport.Class, frame []byte) bool {
	if class.Policy != transport.Disconnect || s.rec.Classic {
		return true
	}
	s.rec.Sent++
	if !s.rec.Resumes {
		return true
	}
	s.missed.sizes = append(s.missed.sizes, len(frame))
	s.missed.bytes = append(s.missed.bytes, frame...)
	return len(s.missed.bytes) <= s.gate.limits.maxQueue
}

// ack is the client's count of pushes seen.
func (s *session) ack(count uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gate.limits.resume == 0 || s.state != open {
		return
	}
	if !s.rec.Resumes {
		s.rec.Resumes = true
		s.missed.from = s.rec.Sent
	}
	s.seen(count)
}

// seen forgets the pushes up to count.
func (s *session) seen(count uint64) {
	count = min(count, s.rec.Sent)
	if count <= s.missed.from {
		return
	}
	n := int(count - s.missed.from)
	size := 0
	for _, k := range s.missed.sizes[:n] {
		size += k
	}
	s.missed.from, s.rec.Acked = count, count
	if n == len(s.missed.sizes) {
		s.missed.sizes, s.missed.bytes = s.missed.sizes[:0], s.missed.bytes[:0]
		if cap(s.missed.bytes) > keepFrame {
			s.missed.bytes = nil
		}
		return
	}
	s.missed.sizes = s.missed.sizes[:copy(s.missed.sizes, s.missed.sizes[n:])]
	s.missed.bytes = s.missed.bytes[:copy(s.missed.bytes, s.missed.bytes[size:])]
}

// drop lets the session wait for its client. Called with the lock; false when it may not.
func (s *session) drop() bool {
	if !s.rec.Resumes || s.gate.stopping.Load() || s.gate.Sessions() > s.gate.limits.connections {
		return false
	}
	s.state, s.client = dropped, nil
	s.expires = s.gate.now() + int64(s.gate.limits.resume)
	s.watchFor(s.expires)
	s.stirred = router.OpDropped
	s.gate.log.Info("session dropped", "session", s.rec.ID.String(), "player", int64(s.rec.Player), "address", s.rec.Address)
	return true
}

// resume goes on with the session that the Hello names; nil when that is not possible. What
// is left of it is then closed: the client begins anew.
func (g *Gate) resume(c *client, h *wire.Hello, w *wire.Welcome, batch *transport.Batch) *session {
	if len(h.Resume) != 4+16 {
		return nil
	}
	s := g.session(firefly.SessionID{Gate: g.o.Incarnation, Seq: binary.BigEndian.Uint32(h.Resume)})
	if s == nil {
		return nil
	}
	s.mu.Lock()
	if subtle.ConstantTimeCompare(s.rec.Token, h.Resume) != 1 || s.state >= closing {
		s.mu.Unlock()
		return nil
	}
	if !s.rec.Resumes || h.LastPush < s.missed.from || h.LastPush > s.rec.Sent || s.rec.JSON != (h.Codec == wire.JSON) {
		s.shut(firefly.ConnectionLost, "it came back too late for the pushes it missed", batch)
		s.unlock(batch)
		return nil
	}
	if old := s.client; old != nil { // its end has not been noticed yet
		old.session.Store(nil)
		old.ended.Store(true)
		old.queue.Close()
	} else {
		s.stirred = router.OpResumed
	}
	s.state, s.client = open, c
	s.seen(h.LastPush)
	s.rec.Address, s.rec.Version, s.rec.Refused = c.conn.RemoteAddr().String(), h.Version, nil
	for _, r := range w.Refused {
		s.rec.Refused = append(s.rec.Refused, r.ID)
	}
	c.session.Store(s)
	w.Session, w.Token, w.Resumed, w.NextPush = s.rec.ID.String(), s.rec.Token, true, h.LastPush+1
	c.welcome(w, batch)
	at := 0
	for _, n := range s.missed.sizes {
		if c.queue.Push(batch, transport.Class{}, s.missed.bytes[at:at+n]) != nil {
			s.shut(firefly.TooSlow, "", batch)
			break
		}
		at += n
	}
	g.log.Info("session resumed", "session", s.rec.ID.String(), "player", int64(s.rec.Player), "address", s.rec.Address)
	s.unlock(batch)
	return s
}
