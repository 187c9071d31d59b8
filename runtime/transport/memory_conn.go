package transport

import (
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"
)

// memLine is one connection with its two ends. Its lock goes before Memory.mu.
type memLine struct {
	net   *Memory
	fault *memFault
	hosts [2]string // of the ends: who dialed, and what was dialed
	mu    sync.Mutex
	open  bool // both handlers are known
	ends  [2]*memConn
}

func (l *memLine) paused() bool {
	l.net.mu.Lock()
	defer l.net.mu.Unlock()
	return l.fault.resume != nil || l.net.halted[l.hosts[0]] != nil || l.net.halted[l.hosts[1]] != nil
}

// memConn is one end. line.mu guards all that changes. Its events are delivered by one
// goroutine, deliver, which runs while there is one to deliver.
type memConn struct {
	line          *memLine
	peer          *memConn
	h             Handler
	local, remote memAddr

	in      []byte // sent by the peer, not yet given to Data; at most memWindow
	eof     bool   // the peer sends no more
	full    bool   // Writable is owed
	closed  bool   // no more Data, nothing more is sent
	sent    bool   // sends no more; what the peer sends is thrown away
	err     error  // for Closed
	told    bool   // Closed has been called
	running bool   // deliver runs
	rest    rest
}

var errReset = fmt.Errorf("transport: %w", syscall.ECONNRESET)

// TryWrite implements Conn.
func (c *memConn) TryWrite(b []byte) (int, error) {
	c.line.mu.Lock()
	defer c.line.mu.Unlock()
	if c.closed || c.sent {
		return 0, net.ErrClosed
	}
	p := c.peer
	if p.closed {
		// The peer is gone; deliver tells, unless the line is paused and nobody can know.
		if !c.line.paused() {
			return 0, syscall.EPIPE
		}
	}
	n := min(len(b), memWindow-len(p.in))
	if !p.sent {
		p.in = append(p.in, b[:n]...)
	}
	if n < len(b) {
		c.full = true
	}
	p.wake()
	return n, nil
}

// wake starts deliver if there is something for it. line.mu is held.
func (c *memConn) wake() {
	if c.running || c.told || c.h == nil || !c.line.open {
		return
	}
	c.running = true
	go c.deliver()
}

func (c *memConn) deliver() {
	var batch Batch
	c.line.mu.Lock()
	defer c.line.mu.Unlock()
	for {
		paused := c.line.paused()
		switch {
		case c.closed:
			c.told = true
			c.running = false
			c.in, c.rest = nil, nil
			c.line.forget()
			err := c.err
			c.line.mu.Unlock()
			c.h.Closed(c, err)
			c.line.mu.Lock()
			return
		case paused:
			c.running = false
			return
		case len(c.in) > 0:
			b := c.in
			c.in = nil
			if c.peer.full {
				c.peer.wake()
			}
			if c.sent {
				continue
			}
			c.line.mu.Unlock()
			all := c.rest.join(b)
			n, err := input(c.h, c, all, &batch)
			if err == nil {
				c.rest.keep(all, n)
			}
			batch.Flush()
			c.line.mu.Lock()
			if err != nil {
				c.end(err)
			}
		case c.full && len(c.peer.in) < memWindow && !c.eof:
			c.full = false
			c.line.mu.Unlock()
			c.h.Writable(c)
			c.line.mu.Lock()
		case c.eof:
			err := io.EOF
			if c.sent {
				err = nil
			}
			c.end(err)
		default:
			c.running = false
			return
		}
	}
}

// end closes this end with what Closed shall tell. line.mu is held.
func (c *memConn) end(err error) {
	if c.closed {
		return
	}
	c.closed, c.err = true, err
	c.in = nil
	c.peer.eof = true
	c.wake()
	c.peer.wake()
}

// Close implements Conn.
func (c *memConn) Close() {
	c.line.mu.Lock()
	defer c.line.mu.Unlock()
	c.end(nil)
}

func (c *memConn) finish() {
	c.line.mu.Lock()
	defer c.line.mu.Unlock()
	if !c.closed && !c.sent {
		c.sent = true
		c.peer.eof = true
		c.peer.wake()
		c.wake()
	}
}

// abandon closes an end that has no handler.
func (c *memConn) abandon() {
	c.line.mu.Lock()
	defer c.line.mu.Unlock()
	c.told = true
	c.end(nil)
}

// forget takes the line out of the list when both ends are through. line.mu is held.
func (l *memLine) forget() {
	if l.ends[0].told && l.ends[1].told {
		l.net.mu.Lock()
		defer l.net.mu.Unlock()
		delete(l.fault.conns, l.ends[0])
	}
}

// reset breaks both ends.
func (l *memLine) reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.ends {
		if !c.closed {
			c.closed, c.err = true, errReset
			c.in = nil
			c.wake()
		}
	}
}

func (c *memConn) RemoteAddr() net.Addr { return c.remote }
func (c *memConn) LocalAddr() net.Addr  { return c.local }
func (c *memConn) chunks() *chunkPool   { return &c.line.net.pool }
