package transport

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Std is TCP over package net, with a goroutine or two for each connection: for systems that
// netpoll does not know, and what TLS can stand on. It differs from TCP in what it costs, not
// in what it does.
func Std() Network { return &stdNetwork{} }

type stdNetwork struct{ pool chunkPool }

// What a connection of Std holds.
const (
	stdInput  = 4 << 10  // read at once
	stdOutput = 64 << 10 // taken by TryWrite before it is written
)

// stdLinger is how long a closed connection may take to send what TryWrite has taken.
const stdLinger = 5 * time.Second

// Listen implements Network.
func (s *stdNetwork) Listen(addr string, accept func(Conn) Handler) (Listener, error) {
	ln, err := (&net.ListenConfig{KeepAliveConfig: keepAlive}).Listen(context.Background(), "tcp", addr)
	if err != nil {
		return nil, err
	}
	l := &stdListener{ln: ln, stop: make(chan struct{}), done: make(chan struct{})}
	go l.serve(s, accept)
	return l, nil
}

var keepAlive = net.KeepAliveConfig{Enable: true, Idle: keepIdle, Interval: keepInterval, Count: keepCount}

// stdListener owns one goroutine, serve, which ends when ln is closed.
type stdListener struct {
	ln   net.Listener
	once sync.Once
	stop chan struct{} // closed by Close
	done chan struct{} // closed by serve

	starved atomic.Int64 // accepts that failed for want of something
}

func (l *stdListener) Addr() net.Addr { return l.ln.Addr() }

func (l *stdListener) Close() error {
	err := net.ErrClosed
	l.once.Do(func() {
		close(l.stop)
		err = l.ln.Close()
	})
	<-l.done
	return err
}

func (l *stdListener) serve(s *stdNetwork, accept func(Conn) Handler) {
	defer close(l.done)
	pause := shortPause
	for {
		nc, err := l.ln.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			// Out of descriptors, most likely. Those who wait in the backlog are served when
			// there is room again.
			l.starved.Add(1)
			select {
			case <-l.stop:
				return
			case <-time.After(pause):
				pause = min(2*pause, longPause)
			}
			continue
		}
		pause = shortPause
		select {
		case <-l.stop:
			nc.Close()
			return
		default:
		}
		s.begin(nc, accept)
	}
}

// Dial implements Network.
func (s *stdNetwork) Dial(ctx context.Context, addr string, handler func(Conn) Handler) (Conn, error) {
	nc, err := (&net.Dialer{KeepAliveConfig: keepAlive}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	if c := s.begin(nc, handler); c != nil {
		return c, nil
	}
	return nil, net.ErrClosed
}

// stdConn is one connection. It owns the goroutine read, which ends when nc is closed or its
// read deadline is set, and, while something waits to be written, write.
type stdConn struct {
	net *stdNetwork
	nc  net.Conn
	h   Handler

	ev sync.Mutex // Writable against Closed, and both against the time before the handler is known

	mu      sync.Mutex
	out     []byte // taken by TryWrite
	held    int    // bytes of out and of what write is writing
	writing bool   // the goroutine write runs
	full    bool   // Writable is owed
	half    bool   // closed for writing when out is empty
	closed  bool   // no more Data
	dead    bool   // nothing more is written
	err     error  // why it was ended from here, when not by Close
}

func (s *stdNetwork) begin(nc net.Conn, accept func(Conn) Handler) *stdConn {
	c := &stdConn{net: s, nc: nc}
	c.ev.Lock()
	defer c.ev.Unlock()
	if c.h = accept(c); c.h == nil {
		c.Close()
		return nil
	}
	go c.read()
	return c
}

func (c *stdConn) read() {
	buf := make([]byte, stdInput)
	var rest rest
	var batch Batch
	for {
		n, err := c.nc.Read(buf)
		if n > 0 && !c.isClosed() {
			all := rest.join(buf[:n])
			n, err := input(c.h, c, all, &batch)
			if err == nil {
				rest.keep(all, n)
			}
			batch.Flush()
			if err != nil {
				c.end(err)
			}
		}
		if err != nil {
			c.ended(err)
			return
		}
	}
}

func (c *stdConn) isClosed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed
}

// ended tells the handler, and leaves the rest to write if there is something to write.
func (c *stdConn) ended(err error) {
	c.mu.Lock()
	if c.closed {
		err = c.err
	} else {
		c.dead = true
	}
	c.closed, c.full = true, false
	c.half = false
	if c.dead || !c.writing {
		c.nc.Close()
	}
	c.mu.Unlock()

	c.ev.Lock()
	defer c.ev.Unlock()
	c.h.Closed(c, err)
}

// TryWrite implements Conn.
func (c *stdConn) TryWrite(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || c.dead {
		return 0, net.ErrClosed
	}
	n := min(len(b), stdOutput-c.held)
	c.out = append(c.out, b[:n]...)
	c.held += n
	if n < len(b) {
		c.full = true
	}
	if n > 0 && !c.writing {
		c.writing = true
		go c.write()
	}
	return n, nil
}

// write writes until nothing is left.
func (c *stdConn) write() {
	var spare []byte
	for {
		c.mu.Lock()
		b := c.out
		if len(b) == 0 || c.dead {
			c.writing = false
			if c.closed {
				c.finally()
			}
			c.out = nil
			c.mu.Unlock()
			return
		}
		c.out = spare[:0]
		c.mu.Unlock()
		_, err := c.nc.Write(b)
		c.mu.Lock()
		c.held -= len(b)
		spare = b
		if err != nil {
			c.dead = true
			if !c.closed {
				c.closed, c.err = true, err
			}
			c.wake()
		}
		tell := c.full && !c.closed
		c.full = false
		c.mu.Unlock()
		if tell {
			c.ev.Lock()
			if !c.isClosed() {
				c.h.Writable(c)
			}
			c.ev.Unlock()
		}
	}
}

// finally is the end of a connection that was closed here and has nothing left to write.
func (c *stdConn) finally() {
	if w, ok := c.nc.(interface{ CloseWrite() error }); ok && c.half && !c.dead {
		if w.CloseWrite() == nil {
			return // read sees the end
		}
	}
	c.nc.Close()
}

// wake ends a read under way. mu is held.
func (c *stdConn) wake() { _ = c.nc.SetReadDeadline(time.Unix(1, 0)) }

// end closes the connection as broken by err.
func (c *stdConn) end(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.err = err
		c.close()
	}
}

// close is Close with mu held.
func (c *stdConn) close() {
	c.closed, c.half = true, false
	c.wake()
	if c.writing {
		_ = c.nc.SetWriteDeadline(time.Now().Add(stdLinger))
	} else {
		c.nc.Close()
	}
}

// Close implements Conn.
func (c *stdConn) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed || c.half {
		c.close()
	}
}

func (c *stdConn) abort() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed && !c.half && !c.writing {
		return
	}
	if l, ok := c.nc.(interface{ SetLinger(sec int) error }); ok {
		_ = l.SetLinger(0)
	}
	c.closed, c.half, c.dead = true, false, true
	c.nc.Close() // ends read and write
}

func (c *stdConn) finish() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	c.closed, c.half = true, true
	if !c.writing {
		c.finally()
	}
}

func (c *stdConn) RemoteAddr() net.Addr { return c.nc.RemoteAddr() }
func (c *stdConn) LocalAddr() net.Addr  { return c.nc.LocalAddr() }
func (c *stdConn) chunks() *chunkPool   { return &c.net.pool }
