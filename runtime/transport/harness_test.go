package transport

import (
	"context"
	"io"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// place is a network under test, with the means to be an unkind peer on it.
type place struct {
	Network
	addr    string                               // to listen at
	raw     func(t *testing.T, addr string) peer // a client of bare bytes
	stall   func(addr string)                    // the clients of addr do not read, from now on
	unstall func(addr string)                    // they may again
	sockets bool                                 // real descriptors
	lean    bool                                 // no goroutine per connection
}

// peer is a client of bare bytes, with blocking calls.
type peer interface {
	io.ReadWriteCloser
	Reset() // ends the connection the hard way
}

// conform runs a test over every network.
func conform(t *testing.T, test func(t *testing.T, p *place)) {
	t.Run("TCP", func(t *testing.T) { test(t, sockets(TCP(), runtime.GOOS == "linux")) })
	t.Run("Std", func(t *testing.T) { test(t, sockets(Std(), false)) })
	t.Run("Memory", func(t *testing.T) { test(t, memory()) })
	t.Run("Memory in a bubble", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { test(t, memory()) })
	})
}

func sockets(n Network, lean bool) *place {
	return &place{
		Network: n, addr: "127.0.0.1:0", sockets: true, lean: lean,
		raw: func(t *testing.T, addr string) peer {
			c, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { c.Close() })
			return &tcpPeer{c.(*net.TCPConn)}
		},
		stall: func(string) {}, unstall: func(string) {},
	}
}

type tcpPeer struct{ *net.TCPConn }

func (p *tcpPeer) Reset() {
	p.SetLinger(0)
	p.Close()
}

func memory() *place {
	m := NewMemory()
	return &place{
		Network: m, addr: "127.0.0.1:0", lean: true,
		raw: func(t *testing.T, addr string) peer {
			p := &memPeer{m: m, addr: addr}
			p.cond.L = &p.mu
			if _, err := m.Dial(t.Context(), addr, func(c Conn) Handler { p.Conn = c; return p }); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(p.Conn.Close)
			return p
		},
		stall: m.Pause, unstall: m.Resume,
	}
}

// memPeer makes blocking calls of a connection's events.
type memPeer struct {
	Conn
	m    *Memory
	addr string
	mu   sync.Mutex
	cond sync.Cond
	got  []byte
	room bool
	err  error
}

func (p *memPeer) Data(_ Conn, b []byte, _ *Batch) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.got = append(p.got, b...)
	p.cond.Broadcast()
	return len(b)
}

func (p *memPeer) Writable(Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.room = true
	p.cond.Broadcast()
}

func (p *memPeer) Closed(_ Conn, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err = err; err == nil {
		p.err = net.ErrClosed
	}
	p.cond.Broadcast()
}

func (p *memPeer) Read(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.got) == 0 && p.err == nil {
		p.cond.Wait()
	}
	if len(p.got) == 0 {
		return 0, p.err
	}
	n := copy(b, p.got)
	p.got = p.got[n:]
	return n, nil
}

func (p *memPeer) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for n := 0; ; {
		p.room = false
		p.mu.Unlock()
		k, err := p.TryWrite(b[n:])
		p.mu.Lock()
		n += k
		if err != nil || n == len(b) {
			return n, err
		}
		for !p.room && p.err == nil {
			p.cond.Wait()
		}
	}
}

func (p *memPeer) Close() error { p.Conn.Close(); return nil }
func (p *memPeer) Reset()       { p.m.Cut(p.addr) }

// await waits until the condition holds.
func await(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !cond(); time.Sleep(50 * time.Microsecond) {
		if time.Now().After(end) {
			buf := make([]byte, 1<<18)
			t.Fatalf("waited too long for: %s\n%s", what, buf[:runtime.Stack(buf, true)])
		}
	}
}

// end is a Handler that notes everything and checks what every Handler is promised.
type end struct {
	t      *testing.T
	conn   Conn
	queue  *Queue
	onData func(e *end, b []byte, batch *Batch) int // nil: all is taken

	got    atomic.Int64 // bytes given to Data, the kept ones once
	kept   int
	calls  atomic.Int64
	inData atomic.Int32
	inEnd  atomic.Int32
	closes atomic.Int32
	err    atomic.Pointer[error]
}

func (e *end) Data(c Conn, b []byte, batch *Batch) int {
	if e.inData.Add(1) != 1 {
		e.t.Error("two Data calls at once")
	}
	defer e.inData.Add(-1)
	e.calls.Add(1)
	if e.closes.Load() != 0 {
		e.t.Error("Data after Closed")
	}
	if c != e.conn {
		e.t.Error("Data for another connection")
	}
	if len(b) <= e.kept {
		e.t.Errorf("Data with %d bytes, of which %d were there before", len(b), e.kept)
	}
	e.got.Add(int64(len(b) - e.kept))
	n := len(b)
	if e.onData != nil {
		n = e.onData(e, b, batch)
	}
	e.kept = len(b) - n
	return n
}

func (e *end) Writable(Conn) {
	if e.inEnd.Add(1) != 1 {
		e.t.Error("Writable and Writable or Closed at once")
	}
	defer e.inEnd.Add(-1)
	if e.closes.Load() != 0 {
		e.t.Error("Writable after Closed")
	}
	e.queue.Writable()
}

func (e *end) Closed(_ Conn, err error) {
	if e.inEnd.Add(1) != 1 || e.inData.Load() != 0 {
		e.t.Error("Closed while another call runs")
	}
	defer e.inEnd.Add(-1)
	e.queue.Close()
	e.err.Store(&err)
	if e.closes.Add(1) != 1 {
		e.t.Error("Closed twice")
	}
}

// ended waits for Closed and gives its error.
func (e *end) ended() error {
	e.t.Helper()
	await(e.t, "Closed", func() bool { return e.closes.Load() == 1 })
	return *e.err.Load()
}

// server listens with ends that onData serves; accepted ends come out of the channel.
func (p *place) server(t *testing.T, o QueueOptions, onData func(e *end, b []byte, batch *Batch) int) (addr string, ends chan *end) {
	ends = make(chan *end, 2000)
	ln, err := p.Listen(p.addr, func(c Conn) Handler {
		e := &end{t: t, conn: c, queue: NewQueue(c, o), onData: onData}
		ends <- e
		return e
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	return ln.Addr().String(), ends
}

// dial makes an end of the network itself.
func (p *place) dial(t *testing.T, addr string, onData func(e *end, b []byte, batch *Batch) int) *end {
	t.Helper()
	e := &end{t: t, onData: onData}
	_, err := p.Dial(context.Background(), addr, func(c Conn) Handler {
		e.conn, e.queue = c, NewQueue(c, QueueOptions{MaxBytes: 1 << 26, MaxFrames: 1 << 20})
		return e
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.conn.Close)
	return e
}

// lines are frames that end with a newline: each calls one with every whole line.
func lines(each func(e *end, line []byte, batch *Batch)) func(e *end, b []byte, batch *Batch) int {
	return func(e *end, b []byte, batch *Batch) int {
		n := 0
		for i, c := range b {
			if c == '\n' {
				each(e, b[n:i+1], batch)
				n = i + 1
			}
		}
		return n
	}
}

// echo sends lines back through the queue.
var echo = lines(func(e *end, line []byte, batch *Batch) {
	if buf, err := e.queue.Begin(); err == nil {
		e.queue.Commit(append(buf, line...), batch)
	}
})
