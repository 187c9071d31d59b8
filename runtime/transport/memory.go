package transport

import (
	"context"
	"net"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

// Memory is a Network inside one process, for tests: it has no sockets, no goroutine while
// nothing is under way, and works inside testing/synctest. Addresses are "host:port" texts
// that need not exist; a Listen with port 0 gets a number, and a listener without a host, or
// with 0.0.0.0 or [::], is reached by any host. Every method may be called by any goroutine.
//
// Cut, Pause and Refuse make faults; addr is always the listener's, as it was given to Listen
// or as Addr prints it.
type Memory struct {
	pool chunkPool

	mu     sync.Mutex
	ports  int
	lines  map[string]*memListener
	faults map[string]*memFault
	halted map[string]chan struct{} // hosts that are paused; closed by ResumeHost
}

// memFault is what is wrong at one address.
type memFault struct {
	refuse bool
	resume chan struct{} // not nil: paused; closed by Resume
	conns  map[*memConn]struct{}
}

// memWindow is how many bytes are under way in one direction before a connection is full.
const memWindow = 64 << 10

// NewMemory makes a network with nobody on it.
func NewMemory() *Memory {
	return &Memory{ports: 40000, lines: make(map[string]*memListener), faults: make(map[string]*memFault), halted: make(map[string]chan struct{})}
}

// memAddr is an address of a Memory.
type memAddr string

func (memAddr) Network() string  { return "memory" }
func (a memAddr) String() string { return string(a) }

type memListener struct {
	net    *Memory
	addr   memAddr
	key    string
	accept func(Conn) Handler
	calls  sync.WaitGroup // accepts under way
}

// memKey makes one text of the ways to write an address.
func memKey(addr string) (string, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return "", err
	}
	switch host {
	case "0.0.0.0", "::", "*":
		host = ""
	}
	return net.JoinHostPort(host, port), nil
}

// Listen implements Network.
func (m *Memory) Listen(addr string, accept func(Conn) Handler) (Listener, error) {
	key, err := memKey(addr)
	if err != nil {
		return nil, &net.OpError{Op: "listen", Net: "memory", Err: err}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if host, port, _ := net.SplitHostPort(key); port == "0" {
		m.ports++
		key = net.JoinHostPort(host, strconv.Itoa(m.ports))
		host, _, _ = net.SplitHostPort(addr)
		addr = net.JoinHostPort(host, strconv.Itoa(m.ports))
	}
	if m.lines[key] != nil {
		return nil, &net.OpError{Op: "listen", Net: "memory", Addr: memAddr(addr), Err: syscall.EADDRINUSE}
	}
	l := &memListener{net: m, addr: memAddr(addr), key: key, accept: accept}
	m.lines[key] = l
	return l, nil
}

func (l *memListener) Addr() net.Addr { return l.addr }

func (l *memListener) Close() error {
	l.net.mu.Lock()
	was := l.net.lines[l.key] == l
	if was {
		delete(l.net.lines, l.key)
	}
	l.net.mu.Unlock()
	l.calls.Wait()
	if !was {
		return net.ErrClosed
	}
	return nil
}

// find gives the listener that addr reaches. mu is held.
func (m *Memory) find(key string) *memListener {
	if l := m.lines[key]; l != nil {
		return l
	}
	_, port, _ := net.SplitHostPort(key)
	return m.lines[":"+port]
}

// fault gives what is wrong at the listener that addr names or reaches. mu is held.
func (m *Memory) fault(addr string) *memFault {
	key, err := memKey(addr)
	if err != nil {
		panic(err)
	}
	if l := m.find(key); l != nil {
		key = l.key
	} else if _, port, _ := net.SplitHostPort(key); m.faults[key] == nil && m.faults[":"+port] != nil {
		key = ":" + port
	}
	f := m.faults[key]
	if f == nil {
		f = &memFault{conns: make(map[*memConn]struct{})}
		m.faults[key] = f
	}
	return f
}

// Dial implements Network. The connection comes from 127.0.0.1.
func (m *Memory) Dial(ctx context.Context, addr string, handler func(Conn) Handler) (Conn, error) {
	return m.dial(ctx, "127.0.0.1", addr, handler)
}

// From gives the same network seen from another host: what dials through it comes from there.
func (m *Memory) From(host string) Network { return memView{m, host} }

type memView struct {
	*Memory
	host string
}

func (v memView) Dial(ctx context.Context, addr string, handler func(Conn) Handler) (Conn, error) {
	return v.Memory.dial(ctx, v.host, addr, handler)
}

func (m *Memory) dial(ctx context.Context, from, addr string, handler func(Conn) Handler) (Conn, error) {
	fail := func(err error) (Conn, error) {
		return nil, &net.OpError{Op: "dial", Net: "memory", Addr: memAddr(addr), Err: err}
	}
	key, err := memKey(addr)
	if err != nil {
		return fail(err)
	}
	m.mu.Lock()
	for {
		f := m.fault(addr)
		if f.refuse {
			m.mu.Unlock()
			return fail(syscall.ECONNREFUSED)
		}
		resume := f.resume
		for _, host := range [2]string{from, hostOf(addr)} {
			if halted := m.halted[host]; halted != nil {
				resume = halted
			}
		}
		if resume == nil {
			break
		}
		m.mu.Unlock()
		select {
		case <-resume:
		case <-ctx.Done():
			return fail(ctx.Err())
		}
		m.mu.Lock()
	}
	if ctx.Err() != nil {
		m.mu.Unlock()
		return fail(ctx.Err())
	}
	l := m.find(key)
	if l == nil {
		m.mu.Unlock()
		return fail(syscall.ECONNREFUSED)
	}
	l.calls.Add(1)
	m.ports++
	near := memAddr(net.JoinHostPort(from, strconv.Itoa(m.ports)))
	far := l.addr
	if strings.HasPrefix(l.key, ":") {
		far = memAddr(addr)
	}
	f := m.fault(addr)
	line := &memLine{net: m, fault: f, hosts: [2]string{from, hostOf(addr)}}
	a := &memConn{line: line, local: near, remote: far}
	b := &memConn{line: line, local: far, remote: near}
	a.peer, b.peer = b, a
	line.ends = [2]*memConn{a, b}
	m.mu.Unlock()

	a.h = handler(a)
	if a.h == nil {
		l.calls.Done()
		a.abandon()
		return nil, net.ErrClosed
	}
	b.h = l.accept(b)
	l.calls.Done()
	if b.h == nil {
		b.abandon() // the dialer sees the connection close
	}
	m.mu.Lock()
	f.conns[a] = struct{}{}
	m.mu.Unlock()
	line.mu.Lock()
	defer line.mu.Unlock()
	line.open = true
	a.wake()
	b.wake()
	return a, nil
}

// Cut breaks every connection from or to the listener at addr, as a reset does: both ends are
// told at once, and what was under way is lost. It gives how many that were.
func (m *Memory) Cut(addr string) int {
	m.mu.Lock()
	f := m.fault(addr)
	var cut []*memConn
	for c := range f.conns {
		cut = append(cut, c)
	}
	m.mu.Unlock()
	for _, c := range cut {
		c.line.reset()
	}
	return len(cut)
}

// Pause stops delivery to both ends of every connection of the listener at addr, present and
// to come, as a network does that swallows packets: senders find their connection full after
// a while, nobody is told of an end, and Dial waits. What is closed here is closed at once, and
// its peer learns of it after Resume.
func (m *Memory) Pause(addr string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if f := m.fault(addr); f.resume == nil {
		f.resume = make(chan struct{})
	}
}

// Resume ends Pause; everything that waited is delivered, in order.
func (m *Memory) Resume(addr string) {
	m.mu.Lock()
	f := m.fault(addr)
	if f.resume == nil {
		m.mu.Unlock()
		return
	}
	close(f.resume)
	f.resume = nil
	var waiting []*memConn
	for c := range f.conns {
		waiting = append(waiting, c)
	}
	m.mu.Unlock()
	for _, c := range waiting {
		c.line.mu.Lock()
		c.wake()
		c.peer.wake()
		c.line.mu.Unlock()
	}
}

// PauseHost is Pause for every connection of one host, those that it dialed (through From) and
// those that it accepted: what others see of a process that was halted.
func (m *Memory) PauseHost(host string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.halted[host] == nil {
		m.halted[host] = make(chan struct{})
	}
}

// ResumeHost ends PauseHost.
func (m *Memory) ResumeHost(host string) {
	m.mu.Lock()
	if m.halted[host] == nil {
		m.mu.Unlock()
		return
	}
	close(m.halted[host])
	delete(m.halted, host)
	var waiting []*memConn
	for _, f := range m.faults {
		for c := range f.conns {
			if c.line.hosts[0] == host || c.line.hosts[1] == host {
				waiting = append(waiting, c)
			}
		}
	}
	m.mu.Unlock()
	for _, c := range waiting {
		c.line.mu.Lock()
		c.wake()
		c.peer.wake()
		c.line.mu.Unlock()
	}
}

func hostOf(addr string) string {
	host, _, _ := net.SplitHostPort(addr)
	return host
}

// Refuse makes Dial to addr fail, or ends that. Connections stay.
func (m *Memory) Refuse(addr string, refuse bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fault(addr).refuse = refuse
}

// Conns is how many connections of the listener at addr are open at one end at least.
func (m *Memory) Conns(addr string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.fault(addr).conns)
}
