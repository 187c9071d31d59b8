package gate

import (
	"errors"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/router"
	"github.com/firefly-go/firefly/runtime/transport"
	"github.com/firefly-go/firefly/runtime/wire"
)

// delivery is one push on its way to the sessions of this gate. The frame of each kind of
// client is made once, when the first of that kind gets it. Deliveries are used again.
type delivery struct {
	push    router.Push
	spec    *firefly.PushSpec
	class   transport.Class
	frames  [frameKinds][]byte
	made    [frameKinds]bool
	failed  bool // the body does not turn into JSON
	list    []*session
	except  map[firefly.PlayerID]struct{}
	excepts bool
}

// The kinds of clients, as far as frames differ.
const (
	nativeProtobuf = iota
	nativeJSON
	classicAny
	frameKinds
)

// keepFrame is the largest frame buffer that a delivery keeps when it is used again.
const keepFrame = 16 << 10

// deliver brings a push to its receivers. On the reader of a link, or on the loop of a role in
// this process; the frames leave with batch.
func (g *Gate) deliver(body []byte, batch *transport.Batch) {
	p, err := router.ParsePush(body)
	if err != nil {
		g.log.Error("push cannot be read", "error", err)
		return
	}
	d, ok := g.deliveries.Get().(*delivery)
	if !ok {
		d = &delivery{}
	}
	d.push, d.spec = p, g.declared.pushes[uint32(p.ID)]
	d.class = transport.Class{Policy: transport.Policy(p.Policy), ID: uint32(p.ID), Key: p.Key}
	d.excepts = p.Excepts() > 0
	if p.Excepts() > 8 {
		d.except = make(map[firefly.PlayerID]struct{}, p.Excepts())
		for id := range p.ExceptPlayers() {
			d.except[id] = struct{}{}
		}
	}
	d.list = g.receivers(d.list[:0], &d.push)
	for _, s := range d.list {
		s.push(d, batch)
	}
	g.recycle(d)
}

func (g *Gate) recycle(d *delivery) {
	clear(d.list)
	d.list = d.list[:0]
	if cap(d.list) > 4096 {
		d.list = nil
	}
	for i := range d.frames {
		d.frames[i] = d.frames[i][:0]
		if cap(d.frames[i]) > keepFrame {
			d.frames[i] = nil
		}
	}
	d.push, d.spec, d.except, d.made, d.failed = router.Push{}, nil, nil, [frameKinds]bool{}, false
	g.deliveries.Put(d)
}

// receivers are the sessions of this gate that the push names, before exceptions.
func (g *Gate) receivers(list []*session, p *router.Push) []*session {
	switch p.To {
	case router.ToGroup:
		return g.groups.appendMembers(list, p.Group)
	case router.ToEveryone:
		g.mu.RLock()
		defer g.mu.RUnlock()
		return append(list, g.bound...)
	case router.ToPlayers:
		g.mu.RLock()
		defer g.mu.RUnlock()
		for id := range p.Players() {
			if s := g.players[id]; s != nil {
				list = append(list, s)
			}
		}
	case router.ToSessions:
		g.mu.RLock()
		defer g.mu.RUnlock()
		for id := range p.Sessions() {
			if id.Gate != g.o.Incarnation {
				continue
			}
			if s := g.sessions[id.Seq]; s != nil {
				list = append(list, s)
			}
		}
	}
	return list
}

// push sends the push to one session.
func (s *session) push(d *delivery, batch *transport.Batch) {
	s.mu.Lock()
	if s.state >= closing || s.refuses(uint32(d.push.ID)) || d.excepts && d.without(s.rec.Player) {
		s.mu.Unlock()
		return
	}
	frame := d.frame(s)
	if frame == nil {
		s.mu.Unlock()
		return
	}
	if !s.miss(d.class, frame) {
		s.shut(firefly.TooSlow, "it acknowledges no pushes", batch)
		s.unlock(batch)
		return
	}
	var err error
	if s.client != nil {
		err = s.client.queue.Push(batch, d.class, frame)
	}
	if errors.Is(err, transport.ErrFull) {
		s.shut(firefly.TooSlow, "", batch)
		s.unlock(batch)
		return
	}
	s.mu.Unlock()
}

func (d *delivery) without(p firefly.PlayerID) bool {
	if p == 0 {
		return false
	}
	if d.except != nil {
		_, ok := d.except[p]
		return ok
	}
	return d.push.Except(p)
}

// frame is the push as the session's client reads it, nil when it cannot be made.
func (d *delivery) frame(s *session) []byte {
	kind := nativeProtobuf
	switch {
	case s.rec.Classic:
		kind = classicAny
	case s.rec.JSON:
		kind = nativeJSON
	}
	if !d.made[kind] {
		d.made[kind] = true
		d.make(s, kind)
	}
	if len(d.frames[kind]) == 0 {
		return nil
	}
	return d.frames[kind]
}

func (d *delivery) make(s *session, kind int) {
	g := s.gate
	body, id := d.push.Body, uint32(d.push.ID)
	if s.jsonBodies() && d.spec != nil && d.spec.New != nil {
		m := d.spec.New()
		err := m.UnmarshalVT(body)
		if err == nil {
			body, err = appendJSON(nil, m)
		}
		if err != nil {
			g.log.Error("push does not turn into JSON", "push", d.spec.Name, "error", err)
			return
		}
	}
	if len(body) > g.limits.maxFrame {
		g.log.Error("push is larger than max_frame", "push", id, "bytes", len(body), "max_frame", g.limits.maxFrame)
		return
	}
	dst := d.frames[kind][:0]
	if kind == classicAny {
		dst = g.limits.classic.Append(dst, id, body)
	} else {
		dst = wire.AppendPush(dst, id, body)
		if d.class.Policy == transport.Disconnect {
			dst[0] |= flagCounted
		}
	}
	d.frames[kind] = dst
}
