// Package client is what generated Go clients stand on: one connection to a gate in the
// native protocol, requests that wait for their replies, and pushes in their order. Bots and
// tests use it as well as games.
package client

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/transport"
	"github.com/firefly-go/firefly/runtime/wire"
)

// Options says how to connect. The zero value works.
type Options struct {
	// Network is what the connection is made of; nil is plain TCP.
	Network transport.Network
	// Schema is what this client was built from; generated clients fill it in. The gate
	// compares it with its own and refuses single commands that no longer fit.
	Schema *firefly.Schema
	// Version is the client's own version, for min_client of the launch file.
	Version string
	// MaxFrame bounds bodies that come from the gate; default 4 MiB.
	MaxFrame int
	// Timeout bounds a request whose ctx has no deadline, and Dial; default 30 s.
	Timeout time.Duration
	// Unknown is called with pushes that nobody registered for. It runs like push handlers.
	Unknown func(id firefly.PushID, body []byte)
}

// Closed is the error of a connection that has ended, and of everything that waited on it.
type Closed struct {
	Reason firefly.Reason // what the gate said; ConnectionLost when it said nothing
	Text   string
	Cause  error
}

func (e *Closed) Error() string {
	s := "connection closed: " + string(e.Reason)
	if e.Text != "" {
		s += ": " + e.Text
	}
	if e.Cause != nil {
		s += ": " + e.Cause.Error()
	}
	return s
}

func (e *Closed) Unwrap() error { return e.Cause }

// Conn is one connection to a gate. Its methods may be called by any goroutine.
type Conn struct {
	o     Options
	conn  transport.Conn
	queue *transport.Queue

	welcomed chan struct{} // closed when the gate has let us in
	done     chan struct{} // closed when the connection has ended

	mu        sync.Mutex
	welcome   wire.Welcome
	ready     bool
	refused   map[uint32]string
	seq       uint64
	calls     map[uint64]*call
	err       *Closed
	handlers  map[firefly.PushID]func([]byte)
	pushes    []push // waiting for their handlers, in order
	draining  bool   // a goroutine runs handlers
	pushCount uint64
	beat      *time.Timer
}

type push struct {
	id   firefly.PushID
	body []byte
}

// call is one request that waits. done has room for one, so that the reader never waits.
type call struct {
	done  chan error
	reply func([]byte) error // decodes; runs on the reader
}

// Dial connects, shakes hands and returns when the gate has let the client in.
func Dial(ctx context.Context, addr string, o *Options) (*Conn, error) {
	c := &Conn{
		welcomed: make(chan struct{}), done: make(chan struct{}),
		calls: map[uint64]*call{}, handlers: map[firefly.PushID]func([]byte){},
	}
	if o != nil {
		c.o = *o
	}
	if c.o.Network == nil {
		c.o.Network = transport.TCP()
	}
	if c.o.MaxFrame == 0 {
		c.o.MaxFrame = 4 << 20
	}
	if c.o.Timeout == 0 {
		c.o.Timeout = 30 * time.Second
	}
	ctx, cancel := context.WithTimeout(ctx, c.o.Timeout)
	defer cancel()
	_, err := c.o.Network.Dial(ctx, addr, func(tc transport.Conn) transport.Handler {
		c.conn = tc
		c.queue = transport.NewQueue(tc, transport.QueueOptions{MaxBytes: 64 << 20, MaxFrames: 1 << 20})
		return (*handler)(c)
	})
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", addr, err)
	}
	if err := c.hello(false, []byte(wire.Preamble)); err != nil {
		c.conn.Close()
		return nil, fmt.Errorf("dial %s: %w", addr, err)
	}
	select {
	case <-c.welcomed:
		return c, nil
	case <-c.done:
		return nil, fmt.Errorf("dial %s: %w", addr, c.Err())
	case <-ctx.Done():
		c.Close()
		return nil, fmt.Errorf("dial %s: no welcome: %w", addr, ctx.Err())
	}
}

// hello sends the handshake; the gate asks for the shapes when it does not know the
// fingerprint.
func (c *Conn) hello(shapes bool, prefix []byte) error {
	h := wire.Hello{Protocol: wire.Version, Codec: wire.Protobuf, Version: c.o.Version}
	if s := c.o.Schema; s != nil {
		h.Fingerprint = s.Fingerprint
		if shapes {
			for _, cmd := range s.Commands {
				h.Shapes = append(h.Shapes, wire.Shape{ID: uint32(cmd.ID), Hash: cmd.Shape})
			}
			for _, p := range s.Pushes {
				h.Shapes = append(h.Shapes, wire.Shape{ID: uint32(p.ID), Hash: p.Shape})
			}
		}
	}
	buf, err := c.queue.Begin()
	if err != nil {
		return err
	}
	body := wire.AppendHello(nil, &h)
	buf = append(buf, prefix...)
	buf = append(buf, byte(wire.HelloFrame))
	buf = binary.AppendUvarint(buf, uint64(len(body)))
	c.queue.Commit(append(buf, body...), nil)
	return nil
}

// Session is the gate's name of this session, for logs.
func (c *Conn) Session() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.welcome.Session
}

// Done is closed when the connection has ended; Err then says why.
func (c *Conn) Done() <-chan struct{} { return c.done }

// Err is nil while the connection lives, afterwards a *Closed.
func (c *Conn) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		return nil
	}
	return c.err
}

// Close ends the connection. Requests that wait fail.
func (c *Conn) Close() {
	c.fail(&Closed{Reason: firefly.ClientLeft})
	c.conn.Close()
}

// OnPush registers the handler of one push, before it can come; nil takes it away. Handlers
// run one at a time, in the order of the pushes, on a goroutine of the connection; they may
// block and may call Request. body is theirs.
func (c *Conn) OnPush(id firefly.PushID, f func(body []byte)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if f == nil {
		delete(c.handlers, id)
		return
	}
	c.handlers[id] = f
}

// Request sends a command and waits for its reply. A nil req is an empty body; a nil reply
// drops the answer. Errors: a *firefly.Error with the gate's code, a *Closed, or ctx's; after
// the last two the command may have been executed.
func (c *Conn) Request(ctx context.Context, id firefly.CommandID, req, reply firefly.Message) error {
	return c.roundTrip(ctx, id, req, nil, func(b []byte) error {
		if reply == nil {
			return nil
		}
		return reply.UnmarshalVT(b)
	})
}

// Raw is Request for a command that takes Raw, gives Raw, or both; body is not kept.
func (c *Conn) Raw(ctx context.Context, id firefly.CommandID, body []byte) (reply []byte, err error) {
	err = c.roundTrip(ctx, id, nil, body, func(b []byte) error {
		reply = append([]byte{}, b...)
		return nil
	})
	return reply, err
}

// Notify sends a command that has no reply. nil means that it was queued, not that it was
// executed.
func (c *Conn) Notify(id firefly.CommandID, req firefly.Message) error {
	buf, err := c.begin(id)
	if err != nil {
		return err
	}
	size := sizeOf(req, nil)
	buf, err = put(wire.AppendNotifyHeader(buf, uint32(id), size), size, req, nil)
	c.queue.Commit(buf, nil)
	return err
}

// NotifyRaw is Notify for a command that takes Raw; body is not kept.
func (c *Conn) NotifyRaw(id firefly.CommandID, body []byte) error {
	buf, err := c.begin(id)
	if err != nil {
		return err
	}
	buf, err = put(wire.AppendNotifyHeader(buf, uint32(id), len(body)), len(body), nil, body)
	c.queue.Commit(buf, nil)
	return err
}

func (c *Conn) roundTrip(ctx context.Context, id firefly.CommandID, req firefly.Message, raw []byte, decode func([]byte) error) error {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.o.Timeout)
		defer cancel()
	}
	k := &call{done: make(chan error, 1), reply: decode}
	c.mu.Lock()
	if c.err != nil {
		err := c.err
		c.mu.Unlock()
		return err
	}
	if name, ok := c.refused[uint32(id)]; ok {
		c.mu.Unlock()
		return firefly.Incompatible.Errorf("%s: this client was built from another declaration", name)
	}
	c.seq++
	seq := c.seq
	c.calls[seq] = k
	c.mu.Unlock()

	buf, err := c.begin(id)
	if err == nil {
		size := sizeOf(req, raw)
		buf, err = put(wire.AppendRequestHeader(buf, uint32(id), seq, size), size, req, raw)
		c.queue.Commit(buf, nil)
	}
	if err != nil {
		c.take(seq)
		return err
	}
	select {
	case err := <-k.done:
		return err
	case <-ctx.Done():
		if c.take(seq) == nil {
			// The reader is decoding the reply into what is the caller's, or has.
			return <-k.done
		}
		return fmt.Errorf("command %d: %w", id, ctx.Err())
	}
}

func (c *Conn) begin(firefly.CommandID) ([]byte, error) {
	buf, err := c.queue.Begin()
	if err != nil {
		if e := c.Err(); e != nil {
			return nil, e
		}
		return nil, fmt.Errorf("send: %w", err)
	}
	return buf, nil
}

func sizeOf(m firefly.Message, raw []byte) int {
	if m == nil {
		return len(raw)
	}
	return m.SizeVT()
}

// put appends the body behind its header. A message that fails to marshal leaves zeros
// behind, which is a frame all the same; the error goes to the caller.
func put(buf []byte, size int, m firefly.Message, raw []byte) ([]byte, error) {
	if m == nil {
		return append(buf, raw...), nil
	}
	at := len(buf)
	buf = append(buf, make([]byte, size)...)
	_, err := m.MarshalToSizedBufferVT(buf[at:])
	return buf, err
}

// fail ends the connection once; later causes are dropped.
func (c *Conn) fail(err *Closed) {
	c.mu.Lock()
	if c.err != nil {
		c.mu.Unlock()
		return
	}
	c.err = err
	calls := c.calls
	c.calls = nil
	if c.beat != nil {
		c.beat.Stop()
	}
	c.mu.Unlock()
	for _, k := range calls {
		k.done <- err
	}
	close(c.done)
}

// handler is the Conn as the transport sees it.
type handler Conn

func (h *handler) Data(_ transport.Conn, b []byte, batch *transport.Batch) int {
	c := (*Conn)(h)
	n := 0
	for n < len(b) {
		f, used, err := wire.Parse(b[n:], c.o.MaxFrame)
		if err != nil {
			c.fail(&Closed{Reason: firefly.BadFrame, Text: "from the gate", Cause: err})
			c.conn.Close()
			return len(b)
		}
		if used == 0 {
			break
		}
		n += used
		c.frame(&f, batch)
	}
	return n
}

func (h *handler) Writable(transport.Conn) { h.queue.Writable() }

func (h *handler) Closed(_ transport.Conn, err error) {
	c := (*Conn)(h)
	c.queue.Close()
	if errors.Is(err, io.EOF) {
		err = nil
	}
	c.fail(&Closed{Reason: firefly.ConnectionLost, Cause: err})
}

// frame takes one frame from the gate, on the reader.
func (c *Conn) frame(f *wire.Frame, batch *transport.Batch) {
	switch f.Type {
	case wire.Reply:
		if k := c.take(f.Seq); k != nil {
			k.done <- k.reply(f.Body)
		}
	case wire.Error:
		if k := c.take(f.Seq); k != nil {
			code := firefly.Code(f.Name)
			if code == "" {
				code, _ = firefly.CodeOfNumber(f.Code)
			}
			k.done <- &firefly.Error{Code: code, Message: string(f.Message)}
		}
	case wire.Push:
		c.push(firefly.PushID(f.ID), f.Body)
	case wire.Ping:
		if buf, err := c.queue.Begin(); err == nil {
			c.queue.Commit(wire.AppendPong(buf, f.Seq), batch)
		}
	case wire.Close:
		c.fail(&Closed{Reason: firefly.Reason(f.Name), Text: string(f.Message)})
		c.conn.Close()
	case wire.WelcomeFrame:
		c.welcomeFrame(f.Body)
	}
}

func (c *Conn) take(seq uint64) *call {
	c.mu.Lock()
	defer c.mu.Unlock()
	k := c.calls[seq]
	delete(c.calls, seq)
	return k
}

func (c *Conn) welcomeFrame(body []byte) {
	w, err := wire.ParseWelcome(body)
	if err != nil {
		c.fail(&Closed{Reason: firefly.BadFrame, Text: "welcome", Cause: err})
		c.conn.Close()
		return
	}
	if w.NeedShapes {
		if err := c.hello(true, nil); err != nil {
			c.fail(&Closed{Reason: firefly.ConnectionLost, Cause: err})
		}
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ready || c.err != nil {
		return
	}
	c.ready = true
	c.welcome = w
	c.refused = map[uint32]string{}
	for _, r := range w.Refused {
		c.refused[r.ID] = r.Name
	}
	if w.Heartbeat > 0 {
		c.beat = time.AfterFunc(w.Heartbeat, c.ping)
	}
	close(c.welcomed)
}

// ping keeps the session alive; it runs once per heartbeat.
func (c *Conn) ping() {
	if buf, err := c.queue.Begin(); err == nil {
		c.queue.Commit(wire.AppendPing(buf, uint64(time.Now().UnixNano())), nil)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		c.beat.Reset(c.welcome.Heartbeat)
	}
}

// push queues a push for its handler; the goroutine that runs handlers lives only while some
// wait.
func (c *Conn) push(id firefly.PushID, body []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pushCount++
	if c.handlers[id] == nil && c.o.Unknown == nil {
		return
	}
	c.pushes = append(c.pushes, push{id, append([]byte(nil), body...)})
	if !c.draining {
		c.draining = true
		go c.drain()
	}
}

func (c *Conn) drain() {
	for {
		c.mu.Lock()
		if len(c.pushes) == 0 {
			c.draining = false
			c.mu.Unlock()
			return
		}
		batch := c.pushes
		c.pushes = nil
		c.mu.Unlock()
		for _, p := range batch {
			c.mu.Lock()
			f := c.handlers[p.id]
			c.mu.Unlock()
			if f != nil {
				f(p.body)
			} else if c.o.Unknown != nil {
				c.o.Unknown(p.id, p.body)
			}
		}
	}
}
