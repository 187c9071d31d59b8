package router

import (
	"time"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/cluster"
	"github.com/firefly-go/firefly/runtime/rpc"
)

// session gives the record of a command's session with s.mu held. A session that is new here
// begins: what must run before its first command is queued.
//
// Locks: a new record is locked before anybody can find it; from then on nobody takes the mu
// of a session while holding that of the host, and who holds the mu of a session takes at
// most that of a session that was there before it.
func (h *Host) session(from *cluster.Peer, hd *rpc.Header) (*Session, *firefly.Error) {
	if s := h.last.Load(); s != nil && s.id == hd.Session && (hd.Player == 0 || s.is(hd.Player, hd.Epoch)) && s.gate.Load() == from {
		s.mu.Lock()
		if s.phase != closed {
			return s, nil
		}
		s.mu.Unlock()
	}
	h.mu.Lock()
	s := h.sessions[hd.Session]
	if s != nil {
		h.last.Store(s)
		h.mu.Unlock()
		if hd.Player != 0 && !h.identify(s, hd.Player, hd.Epoch) {
			return nil, errSessionClosed
		}
		if s.gate.Load() != from {
			s.gate.Store(from)
		}
		s.mu.Lock()
		return s, nil
	}
	var err *firefly.Error
	switch {
	case h.lost[hd.Session.Gate] || hd.Player != 0 && hd.Epoch < h.seen(hd.Player, nil):
		err = errSessionClosed
	case h.life.Load() != serving:
		err = errNotServing
	}
	if err != nil {
		h.mu.Unlock()
		return nil, err
	}
	s = &Session{host: h, id: hd.Session}
	if h.newState != nil {
		s.state = h.newState()
	}
	s.gate.Store(from)
	s.mu.Lock()
	h.sessions[hd.Session] = s
	var former *Session
	if hd.Player != 0 {
		former, _ = h.name(s, hd.Player, hd.Epoch)
	}
	h.mu.Unlock()
	if former != nil || len(h.onConnect) > 0 {
		h.queue(s.hello(former)) // a closed loop refuses the command as well
	} else {
		s.ready.Store(true)
	}
	return s, nil
}

// find gives the record of a session, nil when there is none.
func (h *Host) find(id firefly.SessionID) *Session {
	if id.IsZero() {
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.sessions[id]
}

// seen is the highest epoch that was seen for a player, that of s left out. h.mu is held.
func (h *Host) seen(p firefly.PlayerID, s *Session) uint64 {
	epoch := h.gone.get(p)
	if o := h.players[p]; o != nil && o != s {
		epoch = max(epoch, o.epoch.Load())
	}
	return epoch
}

// identify says that s is player p's, with an epoch. It is false when a later session of the
// player was seen: s is then one of the past. An earlier one is closed.
func (h *Host) identify(s *Session, p firefly.PlayerID, epoch uint64) bool {
	if s.is(p, epoch) {
		return true
	}
	h.mu.Lock()
	former, ok := h.name(s, p, epoch)
	h.mu.Unlock()
	if former != nil {
		former.close(firefly.Replaced, nil)
	}
	return ok
}

// is reports whether s is known as p's, with that epoch or a later one.
func (s *Session) is(p firefly.PlayerID, epoch uint64) bool {
	return s.Player() == p && s.epoch.Load() >= epoch
}

// name is identify with h.mu held; former is to be closed.
func (h *Host) name(s *Session, p firefly.PlayerID, epoch uint64) (former *Session, ok bool) {
	if epoch < h.seen(p, s) {
		return nil, false
	}
	if h.sessions[s.id] == s { // else it has ended, and only its name is left
		if former = h.players[p]; former == s {
			former = nil
		}
		h.players[p] = s
	}
	s.player.Store(int64(p))
	s.epoch.Store(epoch)
	return former, true
}

// forget takes the record of an ended session out.
func (h *Host) forget(s *Session) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.sessions[s.id] == s {
		delete(h.sessions, s.id)
		h.last.CompareAndSwap(s, nil)
	}
	if p := s.Player(); p != 0 {
		if h.players[p] == s {
			delete(h.players, p)
		}
		h.gone.put(p, s.epoch.Load(), time.Now())
	}
}

// bound hears from the gate who a session is.
func (h *Host) bound(m Bound) {
	if s := h.find(m.Session); s != nil && m.Player != 0 {
		h.identify(s, m.Player, m.Epoch)
	}
}

// closed hears from the gate that a session has ended; all is told when its hooks have
// returned.
func (h *Host) closed(id firefly.SessionID, r firefly.Reason, all *countdown) {
	if s := h.find(id); s != nil {
		s.close(r, all)
	}
}

// GateLost closes the sessions of a gate whose incarnation is gone. Any goroutine.
func (h *Host) GateLost(gate firefly.Incarnation) {
	h.mu.Lock()
	if len(h.lost) >= 1024 {
		clear(h.lost) // long gone, all of them
	}
	h.lost[gate] = true
	var ended []*Session
	for id, s := range h.sessions {
		if id.Gate == gate {
			ended = append(ended, s)
		}
	}
	h.mu.Unlock()
	for _, s := range ended {
		s.close(firefly.GateLost, nil)
	}
}

// epochs remembers the epochs of players for ten minutes at least, in two maps that take
// turns, so that it forgets without looking through anything.
type epochs struct {
	now, before map[firefly.PlayerID]uint64
	turned      time.Time
}

func (e *epochs) put(p firefly.PlayerID, epoch uint64, now time.Time) {
	if e.now == nil || now.Sub(e.turned) > 10*time.Minute {
		e.before, e.now, e.turned = e.now, map[firefly.PlayerID]uint64{}, now
	}
	e.now[p] = max(epoch, e.now[p])
}

func (e *epochs) get(p firefly.PlayerID) uint64 { return max(e.now[p], e.before[p]) }
