package servers

import (
	"bytes"
	"net"
	"sync"
	"testing"
)

// Loss says what a Proxy loses.
type Loss uint8

// What can be lost.
const (
	Nothing     Loss = iota
	LoseRequest      // the connection is cut before the request reaches the server
	LoseReply        // the connection is cut when the server has answered the request
)

// Proxy stands between clients and a server and cuts connections at chosen moments.
type Proxy struct {
	to string
	l  net.Listener

	mu    sync.Mutex
	conns map[net.Conn]bool
	match []byte
	loss  Loss
	lost  chan struct{} // closed when match was met and lost
	mute  []byte        // connections that have sent this hear nothing; nil: all do
	shut  bool
	wg    sync.WaitGroup
}

// NewProxy stands before the server at addr until the test ends.
func NewProxy(t testing.TB, addr string) *Proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{to: addr, l: l, conns: map[net.Conn]bool{}}
	p.wg.Go(p.accept)
	t.Cleanup(func() {
		p.mu.Lock()
		p.shut = true
		p.mu.Unlock()
		_ = l.Close()
		p.Cut()
		p.wg.Wait()
	})
	return p
}

// Addr is where clients connect.
func (p *Proxy) Addr() string { return p.l.Addr().String() }

// Lose has the next request that contains match lost, once, with its connection. The channel is closed when
// that has happened.
func (p *Proxy) Lose(match string, loss Loss) <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.match, p.loss, p.lost = []byte(match), loss, make(chan struct{})
	return p.lost
}

// Silence keeps every reply from connections that have sent a request which contains match among the first
// bytes that they sent, of now and later, as a network that lets nothing through. With "" that ends, and those
// connections are cut.
func (p *Proxy) Silence(match string) {
	p.mu.Lock()
	p.mute = []byte(match)
	p.mu.Unlock()
	if match == "" {
		p.Cut()
	}
}

// Cut closes all connections.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		_ = c.Close()
	}
}

func (p *Proxy) accept() {
	for {
		client, err := p.l.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.to)
		if err != nil {
			_ = client.Close()
			continue
		}
		pair := &proxied{p: p, client: client, server: server}
		p.mu.Lock()
		if p.shut {
			p.mu.Unlock()
			pair.close()
			return
		}
		p.conns[client], p.conns[server] = true, true
		p.mu.Unlock()
		p.wg.Go(pair.requests)
		p.wg.Go(pair.replies)
	}
}

// proxied is one connection through a Proxy.
type proxied struct {
	p              *Proxy
	client, server net.Conn
	mu             sync.Mutex
	lose           chan struct{} // the next reply is lost, and this closed
	said           []byte        // what the client sent first
}

// silent reports whether the client hears nothing.
func (c *proxied) silent() bool {
	c.p.mu.Lock()
	mute := c.p.mute
	c.p.mu.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(mute) > 0 && bytes.Contains(c.said, mute)
}

func (c *proxied) close() {
	_ = c.client.Close()
	_ = c.server.Close()
	c.p.mu.Lock()
	delete(c.p.conns, c.client)
	delete(c.p.conns, c.server)
	c.p.mu.Unlock()
}

func (c *proxied) requests() {
	defer c.close()
	buf := make([]byte, 64<<10)
	for {
		n, err := c.client.Read(buf)
		if err != nil {
			return
		}
		c.mu.Lock()
		if len(c.said) < cap(buf) {
			c.said = append(c.said, buf[:n]...)
		}
		c.mu.Unlock()
		if loss, lost := c.p.meets(buf[:n]); loss == LoseRequest {
			c.close()
			close(lost)
			return
		} else if loss == LoseReply {
			c.mu.Lock()
			c.lose = lost
			c.mu.Unlock()
		}
		if _, err := c.server.Write(buf[:n]); err != nil {
			return
		}
	}
}

func (c *proxied) replies() {
	defer c.close()
	buf := make([]byte, 64<<10)
	for {
		n, err := c.server.Read(buf)
		if err != nil {
			return
		}
		c.mu.Lock()
		lost := c.lose
		c.mu.Unlock()
		if lost != nil {
			c.close()
			close(lost)
			return
		}
		if c.silent() {
			continue
		}
		if _, err := c.client.Write(buf[:n]); err != nil {
			return
		}
	}
}

// meets reports what is to be lost of a request, once. A request comes in one piece, as those of tests do.
func (p *Proxy) meets(request []byte) (Loss, chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.loss == Nothing || !bytes.Contains(request, p.match) {
		return Nothing, nil
	}
	loss := p.loss
	p.loss = Nothing
	return loss, p.lost
}
