package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"io"
	"net"
	"sync"
	"time"

	"github.com/cloudwego/netpoll"
)

// The physical limits: the least that a program built on the same network library must do
// for the same bytes. They check nothing and know no sessions.

// serveRawEcho gives every byte back, one flush per readable event.
func serveRawEcho(addr string) (string, error) {
	ln, err := netpoll.CreateListener("tcp", addr)
	if err != nil {
		return "", err
	}
	loop, err := netpoll.NewEventLoop(func(_ context.Context, c netpoll.Connection) error {
		r, w := c.Reader(), c.Writer()
		n := r.Len()
		b, err := r.Next(n)
		if err != nil {
			return err
		}
		out, err := w.Malloc(n)
		if err != nil {
			return err
		}
		copy(out, b)
		if err := r.Release(); err != nil {
			return err
		}
		return w.Flush()
	})
	if err != nil {
		return "", err
	}
	go func() { _ = loop.Serve(ln) }()
	return ln.Addr().String(), nil
}

// A relay puts a tag before each frame, u32 connection and u32 length, so that one connection
// to the server behind it carries all clients.
const tagSize = 8

// relay forwards whole frames of all its clients over one connection and brings the answers
// back, with one flush per readable event on either side.
type relay struct {
	up    netpoll.Connection
	upMu  sync.Mutex
	mu    sync.RWMutex
	conns map[uint32]*relayed
	next  uint32

	downTail []byte
	dirty    []*relayed
}

type relayed struct {
	id    uint32
	conn  netpoll.Connection
	tail  []byte
	dirty bool
}

type relayKey struct{}

func serveRelay(addr, behind string) (string, error) {
	r := &relay{conns: map[uint32]*relayed{}}
	up, err := netpoll.DialConnection("tcp", behind, time.Second)
	if err != nil {
		return "", err
	}
	r.up = up
	if err := up.SetOnRequest(r.down); err != nil {
		return "", err
	}
	ln, err := netpoll.CreateListener("tcp", addr)
	if err != nil {
		return "", err
	}
	loop, err := netpoll.NewEventLoop(r.forward, netpoll.WithOnPrepare(func(c netpoll.Connection) context.Context {
		r.mu.Lock()
		r.next++
		rc := &relayed{id: r.next, conn: c}
		r.conns[rc.id] = rc
		r.mu.Unlock()
		return context.WithValue(context.Background(), relayKey{}, rc)
	}))
	if err != nil {
		return "", err
	}
	go func() { _ = loop.Serve(ln) }()
	return ln.Addr().String(), nil
}

// forward takes what a client sent and passes its whole frames on.
func (r *relay) forward(ctx context.Context, c netpoll.Connection) error {
	rc := ctx.Value(relayKey{}).(*relayed)
	in := c.Reader()
	b, err := in.Next(in.Len())
	if err != nil {
		return err
	}
	if len(rc.tail) > 0 {
		b = append(rc.tail, b...)
	}
	r.upMu.Lock()
	defer r.upMu.Unlock()
	w := r.up.Writer()
	for {
		n := nativeLength(b)
		if n == 0 {
			break
		}
		out, err := w.Malloc(tagSize + n)
		if err != nil {
			return err
		}
		binary.BigEndian.PutUint32(out, rc.id)
		binary.BigEndian.PutUint32(out[4:], uint32(n))
		copy(out[tagSize:], b[:n])
		b = b[n:]
	}
	rc.tail = append(rc.tail[:0:0], b...)
	if err := in.Release(); err != nil {
		return err
	}
	return w.Flush()
}

// down takes what the server behind answered and hands it to the clients. Only one event of
// a connection is served at a time, so downTail needs no lock.
func (r *relay) down(_ context.Context, c netpoll.Connection) error {
	in := c.Reader()
	b, err := in.Next(in.Len())
	if err != nil {
		return err
	}
	if len(r.downTail) > 0 {
		b = append(r.downTail, b...)
	}
	r.dirty = r.dirty[:0]
	for len(b) >= tagSize {
		id, n := binary.BigEndian.Uint32(b), int(binary.BigEndian.Uint32(b[4:]))
		if len(b) < tagSize+n {
			break
		}
		frame := b[tagSize : tagSize+n]
		b = b[tagSize+n:]
		r.mu.RLock()
		rc := r.conns[id]
		r.mu.RUnlock()
		if rc == nil {
			continue
		}
		out, err := rc.conn.Writer().Malloc(n)
		if err != nil {
			continue
		}
		copy(out, frame)
		if !rc.dirty {
			rc.dirty = true
			r.dirty = append(r.dirty, rc)
		}
	}
	r.downTail = append(r.downTail[:0:0], b...)
	for _, rc := range r.dirty {
		rc.dirty = false
		_ = rc.conn.Writer().Flush()
	}
	return in.Release()
}

// rawCaller is a multiplexed call with nothing around it: u32 length, u32 id, body; one
// connection, a writer that sends all that has gathered, a reader that wakes the callers.
type rawCaller struct {
	conn  net.Conn
	mu    sync.Mutex
	next  uint32
	calls map[uint32]chan []byte
	out   []byte
	kick  chan struct{}
}

func dialRaw(addr string) (*rawCaller, error) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	c := &rawCaller{conn: conn, calls: map[uint32]chan []byte{}, kick: make(chan struct{}, 1)}
	go c.write()
	go c.read()
	return c, nil
}

func (c *rawCaller) call(body []byte, done chan []byte) ([]byte, error) {
	c.mu.Lock()
	c.next++
	id := c.next
	c.calls[id] = done
	c.out = binary.BigEndian.AppendUint32(c.out, uint32(4+len(body)))
	c.out = binary.BigEndian.AppendUint32(c.out, id)
	c.out = append(c.out, body...)
	c.mu.Unlock()
	select {
	case c.kick <- struct{}{}:
	default:
	}
	return <-done, nil
}

func (c *rawCaller) write() {
	var spare []byte
	for range c.kick {
		c.mu.Lock()
		b := c.out
		c.out = spare[:0]
		c.mu.Unlock()
		if _, err := c.conn.Write(b); err != nil {
			return
		}
		spare = b
	}
}

func (c *rawCaller) read() {
	r := bufio.NewReaderSize(c.conn, 64<<10)
	var head [8]byte
	for {
		if _, err := io.ReadFull(r, head[:]); err != nil {
			return
		}
		body := make([]byte, binary.BigEndian.Uint32(head[:])-4)
		if _, err := io.ReadFull(r, body); err != nil {
			return
		}
		id := binary.BigEndian.Uint32(head[4:])
		c.mu.Lock()
		done := c.calls[id]
		delete(c.calls, id)
		c.mu.Unlock()
		done <- body
	}
}

// serveRawCalls answers rawCallers: every byte back, one write for all that one read brought.
func serveRawCalls(addr string) (string, error) {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return "", err
	}
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				b := make([]byte, 64<<10)
				for {
					n, err := conn.Read(b)
					if err != nil {
						return
					}
					if _, err := conn.Write(b[:n]); err != nil {
						return
					}
				}
			}()
		}
	}()
	return ln.Addr().String(), nil
}
