package gate

import (
	"encoding/binary"
	"errors"
	"io"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/transport"
	"github.com/firefly-go/firefly/runtime/wire"
)

// client is one connection: its frames, its handshake, its outgoing queue. Once the
// handshake is done it belongs to a session.
type client struct {
	gate    *Gate
	conn    transport.Conn
	queue   transport.Queue
	addr    netip.Addr
	opened  int64
	seen    atomic.Int64 // when bytes came last
	session atomic.Pointer[session]
	ended   atomic.Bool // closing: what still comes is dropped
	native  atomic.Bool // a close frame means something to it

	phase phase // of Data alone
}

// phase is how far the handshake is.
type phase uint8

const (
	phaseFirst  phase = iota // no whole frame yet
	phaseHello               // native: the preamble was good
	phaseShapes              // native: its shapes were asked for
	phaseReady
)

// lastWords is how long a client that is closed may take to read what waits for it.
const lastWords = time.Second

// Data implements transport.Handler.
func (c *client) Data(_ transport.Conn, b []byte, batch *transport.Batch) int {
	now := c.gate.clock(batch.Now())
	c.seen.Store(now)
	n := 0
	for n < len(b) {
		if c.ended.Load() {
			return len(b)
		}
		used, err := c.frame(b[n:], now, batch)
		if err != nil {
			c.badFrame(err, batch)
			return len(b)
		}
		if used == 0 {
			break
		}
		n += used
	}
	return n
}

// frame takes one frame from b; 0 bytes when none is whole.
func (c *client) frame(b []byte, now int64, batch *transport.Batch) (int, error) {
	switch {
	case c.phase == phaseReady && c.native.Load():
		f, n, err := wire.Parse(b, c.gate.limits.maxFrame)
		if n == 0 || err != nil {
			return 0, err
		}
		return n, c.nativeFrame(&f, now, batch)
	case c.phase == phaseReady:
		return c.classicFrame(b, now, batch)
	case c.phase == phaseFirst && !wire.Native(b[0]):
		if c.gate.limits.classic == nil {
			return 0, errNoClassic
		}
		return c.classicFrame(b, now, batch)
	case c.phase == phaseFirst:
		version, n, err := wire.ParsePreamble(b)
		if n == 0 || err != nil {
			return 0, err
		}
		c.native.Store(true)
		if version != wire.Version {
			c.end(firefly.StaleClient, "this gate speaks version 1 of the protocol", batch)
			return n, nil
		}
		c.phase = phaseHello
		return n, nil
	}
	f, n, err := wire.Parse(b, maxShapes)
	if n == 0 || err != nil {
		return 0, err
	}
	if f.Type != wire.HelloFrame {
		return 0, errNoHello
	}
	h, err := wire.ParseHello(f.Body)
	if err != nil {
		return 0, err
	}
	c.greet(&h, now, batch)
	return n, nil
}

var (
	errNoClassic = errors.New("no native preamble, and this door is closed to classic clients")
	errNoHello   = errors.New("the first frame is no hello")
	errType      = errors.New("a frame that only gates send")
)

// badFrame ends a connection whose bytes cannot be read on.
func (c *client) badFrame(err error, batch *transport.Batch) {
	reason := firefly.BadFrame
	if errors.Is(err, wire.ErrTooLarge) {
		reason = firefly.FrameTooLarge
	}
	c.end(reason, err.Error(), batch)
}

func (c *client) nativeFrame(f *wire.Frame, now int64, batch *transport.Batch) error {
	s := c.session.Load()
	switch f.Type {
	case wire.Request:
		s.command(f.ID, f.Seq, true, f.Body, now, batch)
	case wire.Notify:
		s.command(f.ID, 0, false, f.Body, now, batch)
	case wire.Ping:
		if buf, err := c.queue.Begin(); err == nil {
			c.queue.Commit(wire.AppendPong(buf, f.Seq), batch)
		} else if errors.Is(err, transport.ErrFull) {
			s.close(firefly.TooSlow, "", batch)
		}
	case wire.Pong:
	case wire.Ack:
		s.ack(f.Seq)
	case wire.Close:
		s.close(firefly.ClientLeft, "", batch)
	default:
		return errType
	}
	return nil
}

func (c *client) classicFrame(b []byte, now int64, batch *transport.Batch) (int, error) {
	id, body, n, err := c.gate.limits.classic.Parse(b, c.gate.limits.maxFrame)
	if n == 0 || err != nil {
		return 0, err
	}
	if c.phase != phaseReady {
		c.phase = phaseReady
		c.gate.newSession(c, true, false, &wire.Hello{}, nil)
	}
	c.session.Load().command(id, 0, true, body, now, batch)
	return n, nil
}

// greet answers a Hello: with a session, with the wish for shapes, or with a close.
func (c *client) greet(h *wire.Hello, now int64, batch *transport.Batch) {
	g := c.gate
	if h.Protocol != wire.Version {
		c.end(firefly.StaleClient, "this gate speaks version 1 of the protocol", batch)
		return
	}
	if g.o.MinClient != "" && older(h.Version, g.o.MinClient) {
		c.end(firefly.StaleClient, "the oldest client allowed is "+g.o.MinClient, batch)
		return
	}
	w := wire.Welcome{Fingerprint: g.declared.fingerprint, Heartbeat: max(g.limits.idle/3, time.Millisecond)}
	if h.Fingerprint != 0 && !g.declared.known[h.Fingerprint] {
		if c.phase == phaseHello {
			c.phase = phaseShapes
			w.NeedShapes = true
			c.welcome(&w, batch)
			return
		}
		w.Refused = g.declared.compare(h.Shapes)
	}
	c.phase = phaseReady
	var s *session
	if len(h.Resume) > 0 {
		s = g.resume(c, h, &w, batch)
	}
	if s == nil {
		s = g.newSession(c, false, h.Codec == wire.JSON, h, w.Refused)
		w.Session, w.Token, w.NextPush = s.rec.ID.String(), s.rec.Token, 1
		c.welcome(&w, batch)
	}
}

func (c *client) welcome(w *wire.Welcome, batch *transport.Batch) {
	buf, err := c.queue.Begin()
	if err != nil {
		return
	}
	body := wire.AppendWelcome(nil, w)
	buf = append(buf, byte(wire.WelcomeFrame))
	buf = binary.AppendUvarint(buf, uint64(len(body)))
	c.queue.Commit(append(buf, body...), batch)
}

// compare gives what of the client's declaration does not fit this gate's.
func (d *declared) compare(shapes []wire.Shape) []wire.Refusal {
	var refused []wire.Refusal
	for _, s := range shapes {
		switch cmd, push := d.commands[s.ID], d.pushes[s.ID]; {
		case cmd != nil && !fits(s.Hash, cmd.Shape, cmd.Accepts):
			refused = append(refused, wire.Refusal{ID: s.ID, Name: cmd.Name})
		case push != nil && !fits(s.Hash, push.Shape, push.Accepts):
			refused = append(refused, wire.Refusal{ID: s.ID, Name: push.Name})
		}
	}
	slices.SortFunc(refused, func(a, b wire.Refusal) int { return int(int64(a.ID) - int64(b.ID)) })
	return slices.CompactFunc(refused, func(a, b wire.Refusal) bool { return a.ID == b.ID })
}

// end closes the connection, and its session when it has one. Any goroutine.
func (c *client) end(reason firefly.Reason, text string, batch *transport.Batch) {
	if s := c.session.Load(); s != nil {
		s.close(reason, text, batch)
		return
	}
	if c.ended.Swap(true) {
		return
	}
	c.gate.count(reason)
	c.gate.log.Info("connection closed", "reason", reason, "why", text, "address", c.conn.RemoteAddr().String())
	c.goodbye(reason, text, batch)
}

// goodbye tells a native client why, and closes the connection. It may run under the
// session's lock.
func (c *client) goodbye(reason firefly.Reason, text string, batch *transport.Batch) {
	c.ended.Store(true)
	if c.native.Load() {
		if buf, err := c.queue.Begin(); err == nil {
			c.queue.Commit(wire.AppendClose(buf, string(reason), text), batch)
		}
	}
	if reason == firefly.TooSlow {
		c.queue.Close()
		return
	}
	c.queue.CloseAfterFlush(lastWords)
}

// due implements watched: handshake and idle time.
func (c *client) due(now int64) int64 {
	if c.ended.Load() {
		return 0
	}
	t := now * int64(tick)
	if c.session.Load() == nil {
		if at := c.opened + int64(c.gate.limits.handshake); t < at {
			return tickOf(at)
		}
		c.end(firefly.HandshakeTimeout, "", nil)
		return 0
	}
	idle := c.gate.limits.idle
	if !c.native.Load() {
		idle = c.gate.limits.classicIdle
	}
	if at := c.seen.Load() + int64(idle); t < at {
		return tickOf(at)
	}
	c.end(firefly.Idle, "", nil)
	return 0
}

// Writable implements transport.Handler. Commands may have waited for the client to read.
func (c *client) Writable(transport.Conn) {
	c.queue.Writable()
	if s := c.session.Load(); s != nil {
		s.mu.Lock()
		s.unlock(nil)
	}
}

// Closed implements transport.Handler.
func (c *client) Closed(_ transport.Conn, err error) {
	c.queue.Close()
	c.gate.door.leave(c.addr)
	reason := firefly.ConnectionLost
	if err == nil || errors.Is(err, io.EOF) {
		reason = firefly.ClientLeft
	}
	ended := c.ended.Swap(true)
	if s := c.session.Swap(nil); s != nil {
		s.lost(c, reason)
		return
	}
	if !ended {
		c.gate.count(reason)
		c.gate.log.Debug("connection closed", "reason", reason, "why", "before its handshake", "address", c.conn.RemoteAddr().String())
	}
}
