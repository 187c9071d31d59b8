package directory

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/firefly-go/firefly"
)

// Memory is a Directory in this process. It never blocks.
type Memory struct {
	now func() time.Time

	mu      sync.Mutex
	began   uint64 // epochs below it were given by a predecessor
	last    uint64 // the highest epoch
	players map[firefly.PlayerID]record
	gates   map[firefly.Incarnation]*lease
	names   map[string]named
	dead    map[firefly.Incarnation]time.Time
	graves  []grave   // in the order of their times, from buried on
	buried  int       // graves before it are emptied
	swept   time.Time // when leases were last looked through
}

// record is what is known of a player.
type record struct {
	session firefly.SessionID
	epoch   uint64
	live    bool // the entry stands, as long as its gate's lease does
	over    bool // it was released; what is neither has lapsed, and may come back
	// former are the sessions before, of gates with a lease, that are not known to have ended,
	// the latest first. Never changed in place; empty unless live.
	former []Entry
}

func (r *record) entry(player firefly.PlayerID) Entry { return Entry{player, r.session, r.epoch} }

// without are the entries that do not stand for the session, or not with that epoch.
func without(es []Entry, session firefly.SessionID, epoch uint64) []Entry {
	if !slices.ContainsFunc(es, func(e Entry) bool { return e.is(session, epoch) }) {
		return es
	}
	return slices.DeleteFunc(slices.Clone(es), func(e Entry) bool { return e.is(session, epoch) })
}

// is reports whether the entry is that of the session with that epoch, 0 for any.
func (e *Entry) is(session firefly.SessionID, epoch uint64) bool {
	return e.Session == session && (epoch == 0 || e.Epoch == epoch)
}

// lease is one gate's.
type lease struct {
	until   time.Time
	players map[firefly.PlayerID]struct{} // whose record names a session of this gate, now or before
}

type named struct {
	owner firefly.Incarnation
	epoch uint64
	until time.Time
}

// grave is a record or process that is kept only to refuse what comes too late.
type grave struct {
	at     time.Time
	player firefly.PlayerID
	epoch  uint64
	dead   firefly.Incarnation
}

// remember is for how long what has ended still refuses what is older.
const remember = time.Hour

// NewMemory makes an empty directory; now is its clock, nil for time.Now.
func NewMemory(now func() time.Time) *Memory {
	if now == nil {
		now = time.Now
	}
	m := &Memory{now: now,
		players: make(map[firefly.PlayerID]record), gates: make(map[firefly.Incarnation]*lease),
		names: make(map[string]named), dead: make(map[firefly.Incarnation]time.Time)}
	m.swept = now()
	m.began = uint64(m.swept.UnixMicro())
	return m
}

// Claim implements Directory.
func (m *Memory) Claim(_ context.Context, player firefly.PlayerID, session firefly.SessionID) (uint64, []Entry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.enter()
	if m.isDead(session.Gate) {
		return 0, nil, ErrDead
	}
	former := m.before(player, session)
	epoch := m.epoch(now)
	m.put(now, player, record{session: session, epoch: epoch, live: true, former: former})
	return epoch, slices.Clone(former), nil
}

// before are the sessions of a player, but for one, that are not known to have ended.
func (m *Memory) before(player firefly.PlayerID, session firefly.SessionID) []Entry {
	r, ok := m.players[player]
	if !ok || !r.live {
		return nil
	}
	former := without(r.former, session, 0)
	if r.session != session {
		former = append([]Entry{r.entry(player)}, former...)
	}
	return former
}

// Release implements Directory.
func (m *Memory) Release(_ context.Context, player firefly.PlayerID, session firefly.SessionID, epoch uint64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.enter()
	r, ok := m.players[player]
	if !ok || !r.live {
		return nil
	}
	if e := r.entry(player); e.is(session, epoch) {
		m.leave(now, player, r, true)
	} else if former := without(r.former, session, epoch); len(former) < len(r.former) {
		r.former = former
		m.put(now, player, r)
	}
	return nil
}

// leave ends a player's live entry; the one before takes its place, when there is one.
func (m *Memory) leave(now time.Time, player firefly.PlayerID, r record, over bool) {
	if len(r.former) > 0 {
		e := r.former[0]
		m.put(now, player, record{session: e.Session, epoch: e.Epoch, live: true, former: r.former[1:]})
		return
	}
	m.take(player, r)
	r.over = over
	m.bury(now, player, r)
}

// Lookup implements Directory.
func (m *Memory) Lookup(_ context.Context, player firefly.PlayerID) (Entry, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.enter()
	r, ok := m.players[player]
	if !ok || !r.live {
		return Entry{}, false, nil
	}
	return Entry{player, r.session, r.epoch}, true, nil
}

// Renew implements Directory.
func (m *Memory) Renew(_ context.Context, gate firefly.Incarnation) (time.Duration, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.enter()
	if m.isDead(gate) {
		return 0, false, ErrDead
	}
	_, known := m.gates[gate]
	m.lease(now, gate).until = now.Add(TTL)
	return TTL, known, nil
}

// Reclaim implements Directory. An entry that lapsed here comes back when the player was not
// claimed since; one of a directory before this one when nothing higher is known.
func (m *Memory) Reclaim(_ context.Context, player firefly.PlayerID, session firefly.SessionID, epoch uint64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.enter()
	if m.isDead(session.Gate) {
		return ErrDead
	}
	r, ok := m.players[player]
	same := ok && r.session == session && r.epoch == epoch
	switch {
	case same && r.live:
		return nil
	case same && !r.over:
	case ok && r.epoch >= epoch, !ok && epoch >= m.began && epoch <= m.last:
		return ErrSuperseded
	}
	m.last = max(m.last, epoch)
	m.put(now, player, record{session: session, epoch: epoch, live: true, former: m.before(player, session)})
	return nil
}

// Left implements Directory.
func (m *Memory) Left(_ context.Context, gate firefly.Incarnation) (time.Duration, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.enter()
	if g, ok := m.gates[gate]; ok {
		return g.until.Sub(now), nil
	}
	return 0, nil
}

// Forget implements Directory.
func (m *Memory) Forget(_ context.Context, dead firefly.Incarnation) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.enter()
	if _, ok := m.dead[dead]; !ok {
		m.dead[dead] = now
		m.graves = append(m.graves, grave{at: now, dead: dead})
	}
	m.end(now, dead)
	for name, h := range m.names {
		if h.owner == dead {
			h.until = now
			m.names[name] = h
		}
	}
	return nil
}

// Hold implements Directory.
func (m *Memory) Hold(_ context.Context, name string, owner firefly.Incarnation) (uint64, time.Duration, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.enter()
	if m.isDead(owner) {
		return 0, 0, ErrDead
	}
	h, ok := m.names[name]
	switch {
	case ok && h.owner == owner:
	case ok && now.Before(h.until):
		return 0, h.until.Sub(now), ErrHeld
	default:
		h = named{owner: owner, epoch: m.epoch(now)}
	}
	h.until = now.Add(TTL)
	m.names[name] = h
	return h.epoch, TTL, nil
}

// Drop implements Directory.
func (m *Memory) Drop(_ context.Context, name string, owner firefly.Incarnation) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.enter()
	if h, ok := m.names[name]; ok && h.owner == owner {
		delete(m.names, name)
	}
	return nil
}

// Len is how many players are bound.
func (m *Memory) Len() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.enter()
	n := 0
	for _, r := range m.players {
		if r.live {
			n++
		}
	}
	return n
}

// enter begins every operation: it ends what has expired and gives the time.
func (m *Memory) enter() time.Time {
	now := m.now()
	for i, g := range m.gates {
		if !now.Before(g.until) {
			m.end(now, i)
		}
	}
	for m.buried < len(m.graves) && now.Sub(m.graves[m.buried].at) >= remember {
		g := m.graves[m.buried]
		m.graves[m.buried] = grave{}
		m.buried++
		if g.dead != 0 {
			delete(m.dead, g.dead)
		} else if r, ok := m.players[g.player]; ok && !r.live && r.epoch == g.epoch {
			delete(m.players, g.player)
		}
	}
	if m.buried > 1024 && m.buried > len(m.graves)/2 {
		m.graves = append([]grave(nil), m.graves[m.buried:]...)
		m.buried = 0
	}
	if now.Sub(m.swept) >= remember {
		m.swept = now
		for name, h := range m.names {
			if now.Sub(h.until) >= remember {
				delete(m.names, name)
			}
		}
	}
	return now
}

func (m *Memory) epoch(now time.Time) uint64 {
	m.last = max(m.last+1, uint64(now.UnixMicro()))
	return m.last
}

func (m *Memory) isDead(i firefly.Incarnation) bool {
	_, ok := m.dead[i]
	return ok
}

// lease is the gate's lease; one that begins lasts for TTL.
func (m *Memory) lease(now time.Time, gate firefly.Incarnation) *lease {
	g := m.gates[gate]
	if g == nil {
		g = &lease{until: now.Add(TTL), players: make(map[firefly.PlayerID]struct{})}
		m.gates[gate] = g
	}
	return g
}

// put puts a live record in the place of what is known of the player.
func (m *Memory) put(now time.Time, player firefly.PlayerID, r record) {
	if old, ok := m.players[player]; ok && old.live {
		m.take(player, old)
	}
	m.players[player] = r
	m.lease(now, r.session.Gate).players[player] = struct{}{}
	for _, e := range r.former {
		m.lease(now, e.Session.Gate).players[player] = struct{}{}
	}
}

// take takes a live record out of the leases of its gates.
func (m *Memory) take(player firefly.PlayerID, r record) {
	if g := m.gates[r.session.Gate]; g != nil {
		delete(g.players, player)
	}
	for _, e := range r.former {
		if g := m.gates[e.Session.Gate]; g != nil {
			delete(g.players, player)
		}
	}
}

// bury keeps a record that stands no more, so that no lower epoch comes back.
func (m *Memory) bury(now time.Time, player firefly.PlayerID, r record) {
	r.live = false
	m.players[player] = r
	m.graves = append(m.graves, grave{at: now, player: player, epoch: r.epoch})
}

// end ends a gate's lease.
func (m *Memory) end(now time.Time, gate firefly.Incarnation) {
	g := m.gates[gate]
	if g == nil {
		return
	}
	delete(m.gates, gate)
	for p := range g.players {
		r := m.players[p]
		r.former = slices.DeleteFunc(slices.Clone(r.former), func(e Entry) bool { return e.Session.Gate == gate })
		if r.session.Gate == gate {
			m.leave(now, p, r, false)
		} else {
			m.put(now, p, r)
		}
	}
}
