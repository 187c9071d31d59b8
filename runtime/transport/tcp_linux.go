package transport

import (
	"context"
	"io"
	"net"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"github.com/cloudwego/netpoll"
	"golang.org/x/sys/unix"
)

// netpoll polls and reads. The rest is done here, for these reasons (all of v0.7.5): its Flush
// blocks until the peer reads; its acceptor detaches only the first time that descriptors run
// out, and can only be stopped by closing all its connections; its buffers stay with a
// connection for ever.
//
// Handlers run on the pollers (Runner is inline): that saves a wake-up per event, an eighth of
// an echo's cost, and a poller that is busy with Data reads nothing, so input cannot pile up
// in front of a slow process. Two things follow. Data must not block. And netpoll's own Close
// must never be called on a connection that has been set up, because a close that meets a
// running handler would wait, on the poller, for the poller: connections are ended with
// shutdown(2), and netpoll closes them when it sees that.

// TCP is TCP over netpoll on Linux, and Std elsewhere. An idle connection holds no goroutine
// and no buffer. Each call makes a network of its own, but the pollers are the process's: from
// the first call on, netpoll runs handlers inline on max(1, GOMAXPROCS/2) pollers. Handlers of
// other users of netpoll in the process go to a goroutine of their own if their connections
// have a context (OnPrepare), and are run inline too if not.
func TCP() Network {
	configure()
	return &tcpNetwork{}
}

// inputBuffer is what netpoll reads at once, to begin with. It is over netpoll's page size, as
// only such buffers are given back by Release.
const inputBuffer = 16 << 10

var configure = sync.OnceFunc(func() {
	background := context.Background()
	// The only error of Configure is a number of pollers under 1.
	_ = netpoll.Configure(netpoll.Config{
		PollerNum:    max(1, runtime.GOMAXPROCS(0)/2),
		BufferSize:   inputBuffer,
		LoggerOutput: io.Discard, // it repeats what Closed tells
		Runner: func(ctx context.Context, f func()) {
			if ctx == background {
				f()
			} else {
				go f()
			}
		},
	})
})

type tcpNetwork struct {
	pool     chunkPool
	batches  sync.Pool
	writable writePoll
	warm     warm
}

// Listen implements Network.
func (t *tcpNetwork) Listen(addr string, accept func(Conn) Handler) (Listener, error) {
	// Keep-alive is set on what is accepted, by adopt.
	ln, err := (&net.ListenConfig{KeepAlive: -1}).Listen(context.Background(), "tcp", addr)
	if err != nil {
		return nil, err
	}
	defer ln.Close()
	// A descriptor of our own: package net gives nobody the accepting of its listeners.
	fd, err := dup(ln.(*net.TCPListener))
	if err != nil {
		return nil, &net.OpError{Op: "listen", Net: "tcp", Addr: ln.Addr(), Err: err}
	}
	file := os.NewFile(uintptr(fd), "listener")
	raw, err := file.SyscallConn()
	if err != nil {
		file.Close()
		return nil, err
	}
	l := &tcpListener{net: t, file: file, addr: ln.Addr(), stop: make(chan struct{}), done: make(chan struct{})}
	go l.serve(raw, accept)
	return l, nil
}

// dup gives a descriptor for the socket that package net does not know.
func dup(s syscall.Conn) (fd int, err error) {
	raw, err := s.SyscallConn()
	if err != nil {
		return -1, err
	}
	fd = -1
	if e := raw.Control(func(s uintptr) {
		fd, err = unix.FcntlInt(s, unix.F_DUPFD_CLOEXEC, 0)
	}); e != nil {
		return -1, e
	}
	return fd, err
}

// tcpListener owns one goroutine, serve, which ends when file is closed.
type tcpListener struct {
	net  *tcpNetwork
	file *os.File
	addr net.Addr
	once sync.Once
	stop chan struct{} // closed by Close
	done chan struct{} // closed by serve

	starved atomic.Int64 // accepts that failed for want of something
}

func (l *tcpListener) Addr() net.Addr { return l.addr }

func (l *tcpListener) Close() error {
	err := net.ErrClosed
	l.once.Do(func() {
		close(l.stop)
		err = l.file.Close()
	})
	<-l.done
	return err
}

func (l *tcpListener) serve(raw syscall.RawConn, accept func(Conn) Handler) {
	defer close(l.done)
	pause := shortPause
	for {
		var fd int
		var from unix.Sockaddr
		var errno error
		err := raw.Read(func(ln uintptr) bool {
			fd, from, errno = unix.Accept4(int(ln), unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
			return errno != unix.EAGAIN
		})
		switch {
		case err != nil:
			return // closed
		case errno == nil:
			pause = shortPause
			select {
			case <-l.stop:
				unix.Close(fd)
				return
			default:
			}
			c := l.net.conn(fd, tcpAddr(from), l.addr)
			if c.offer(accept) {
				c.begin()
			}
		case errno == unix.EMFILE || errno == unix.ENFILE || errno == unix.ENOBUFS || errno == unix.ENOMEM:
			// Those who wait in the backlog are served when there is room again.
			l.starved.Add(1)
			select {
			case <-l.stop:
				return
			case <-time.After(pause):
				pause = min(2*pause, longPause)
			}
		default:
			// The connection broke before it was accepted, or was forbidden by a filter.
		}
	}
}

// Dial implements Network.
func (t *tcpNetwork) Dial(ctx context.Context, addr string, handler func(Conn) Handler) (Conn, error) {
	nc, err := (&net.Dialer{KeepAlive: -1}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	defer nc.Close()
	fd, err := dup(nc.(*net.TCPConn))
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Addr: nc.RemoteAddr(), Err: err}
	}
	c := t.conn(fd, nc.RemoteAddr(), nc.LocalAddr())
	if !c.offer(handler) {
		return nil, net.ErrClosed
	}
	// Bytes may have come already, and Data must not run on the caller's goroutine.
	go c.begin()
	return c, nil
}

// tcpConn is one connection. Locks: ev before out; in with neither.
type tcpConn struct {
	net    *tcpNetwork
	h      Handler
	np     netpoll.Connection
	remote net.Addr
	local  net.Addr

	out    sync.Mutex  // TryWrite against the end of fd: no byte is written to a descriptor that was reused
	fd     int32       // -1: closed
	err    error       // why it was ended from here, when not by Close
	poll   uint64      // its number in net.writable, 0: not there
	closed atomic.Bool // no more Data; set under out

	ev sync.Mutex // Writable against Closed, and both against the time before the handler is known

	in      sync.Mutex // Data against the sweep
	gone    bool       // np has been closed
	warm    bool       // in net.warm
	touched bool       // since the last sweep
	rest    rest
}

func (t *tcpNetwork) conn(fd int, remote, local net.Addr) *tcpConn {
	// None of these can fail on a TCP socket in a way that matters.
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1)
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, int(keepIdle/time.Second))
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, int(keepInterval/time.Second))
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_KEEPCNT, keepCount)
	return &tcpConn{net: t, fd: int32(fd), remote: remote, local: local}
}

// offer asks for a handler; without one the connection is closed.
func (c *tcpConn) offer(accept func(Conn) Handler) bool {
	c.ev.Lock()
	defer c.ev.Unlock()
	if c.h = accept(c); c.h != nil {
		return true
	}
	c.release()
	return false
}

// begin gives the connection to a poller.
func (c *tcpConn) begin() {
	c.out.Lock()
	np, err := netpoll.NewFDConnection(int(c.fd))
	if err != nil {
		c.fd = -1 // it has closed the descriptor
		if c.err == nil && !c.closed.Load() {
			c.err = err
		}
		c.out.Unlock()
		go c.ended(nil)
		return
	}
	c.out.Unlock()
	c.in.Lock()
	c.np = np
	_ = np.Reader().Release() // gives the first buffer back
	c.in.Unlock()
	_ = np.AddCloseCallback(c.ended)
	_ = np.SetOnRequest(c.readable)
	if !np.IsActive() {
		// It ended before there was a callback, so nobody has cleaned up; if somebody has,
		// this does nothing.
		_ = np.Close()
	}
}

// readable is netpoll's OnRequest, on a poller. It takes all input, always: netpoll would call
// again at once.
func (c *tcpConn) readable(_ context.Context, np netpoll.Connection) error {
	batch, _ := c.net.batches.Get().(*Batch)
	if batch == nil {
		batch = &Batch{}
	}
	err := c.read(np, batch)
	yield := batch.ended()
	c.net.batches.Put(batch)
	if yield {
		runtime.Gosched()
	}
	return err
}

func (c *tcpConn) read(np netpoll.Connection, batch *Batch) error {
	c.in.Lock()
	defer c.in.Unlock()
	r := np.Reader()
	b, err := r.Next(r.Len())
	if err != nil {
		return err
	}
	if !c.closed.Load() {
		all := c.rest.join(b)
		n, err := input(c.h, c, all, batch)
		if err == nil {
			c.rest.keep(all, n)
		}
		batch.Flush()
		if err != nil {
			c.fail(err)
		}
	}
	c.touched = true
	if !c.warm {
		c.warm = true
		c.net.warm.add(c)
	}
	return r.Release()
}

// rawWrite is the largest write that is done without telling the scheduler; a larger one may
// take longer than other goroutines should wait.
const rawWrite = 16 << 10

func write(fd int32, b []byte) (int, error) {
	for {
		var n int
		var err error
		if len(b) <= rawWrite {
			r, _, e := syscall.RawSyscall(syscall.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
			n = int(r)
			if e != 0 {
				n, err = 0, e
			}
		} else {
			n, err = syscall.Write(int(fd), b)
		}
		if err != syscall.EINTR {
			return max(n, 0), err
		}
	}
}

// TryWrite implements Conn.
func (c *tcpConn) TryWrite(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	c.out.Lock()
	defer c.out.Unlock()
	if c.fd < 0 || c.closed.Load() {
		return 0, net.ErrClosed
	}
	n, err := write(c.fd, b)
	if err == syscall.EAGAIN || err == nil && n < len(b) {
		if err = c.net.writable.add(c); err == nil {
			return n, nil
		}
	}
	if err != nil {
		c.end(err)
	}
	return n, err
}

// end closes the connection as broken by err. out is held.
func (c *tcpConn) end(err error) {
	if c.fd < 0 || c.closed.Load() {
		return
	}
	c.err = err
	c.closed.Store(true)
	_ = unix.Shutdown(int(c.fd), unix.SHUT_RDWR)
}

func (c *tcpConn) fail(err error) {
	c.out.Lock()
	defer c.out.Unlock()
	c.end(err)
}

// Close implements Conn.
func (c *tcpConn) Close() {
	c.out.Lock()
	defer c.out.Unlock()
	if c.fd >= 0 {
		c.closed.Store(true)
		_ = unix.Shutdown(int(c.fd), unix.SHUT_RDWR)
	}
}

func (c *tcpConn) abort() {
	c.out.Lock()
	if c.fd >= 0 {
		_ = unix.SetsockoptLinger(int(c.fd), unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	}
	c.out.Unlock()
	c.Close()
}

func (c *tcpConn) finish() {
	c.out.Lock()
	defer c.out.Unlock()
	if c.fd >= 0 && !c.closed.Load() {
		c.closed.Store(true)
		_ = unix.Shutdown(int(c.fd), unix.SHUT_WR)
	}
}

// release closes a descriptor that netpoll does not know.
func (c *tcpConn) release() {
	c.out.Lock()
	defer c.out.Unlock()
	unix.Close(int(c.fd))
	c.fd = -1
	c.closed.Store(true)
}

// ended is netpoll's close callback: the last of the connection, before the descriptor is
// closed. Data is not running and will not.
func (c *tcpConn) ended(netpoll.Connection) error {
	c.in.Lock()
	c.gone = true
	c.rest = nil
	c.in.Unlock()

	c.out.Lock()
	err := c.err
	if err == nil && !c.closed.Load() && c.fd >= 0 {
		err = cause(int(c.fd))
	}
	c.closed.Store(true)
	c.net.writable.remove(c)
	c.fd = -1
	c.out.Unlock()

	c.ev.Lock()
	defer c.ev.Unlock()
	c.h.Closed(c, err)
	return nil
}

// cause tells why a connection ended that was not closed here. Reading has taken the error, so
// the state must tell.
func cause(fd int) error {
	if e, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR); err == nil && e != 0 {
		return syscall.Errno(e)
	}
	const closed = 7 // TCP_CLOSE: reset, or given up
	if info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO); err == nil && info.State == closed {
		return syscall.ECONNRESET
	}
	return io.EOF
}

func (c *tcpConn) RemoteAddr() net.Addr { return c.remote }
func (c *tcpConn) LocalAddr() net.Addr  { return c.local }
func (c *tcpConn) chunks() *chunkPool   { return &c.net.pool }

func tcpAddr(sa unix.Sockaddr) net.Addr {
	switch a := sa.(type) {
	case *unix.SockaddrInet4:
		return &net.TCPAddr{IP: net.IP(a.Addr[:]).To16(), Port: a.Port}
	case *unix.SockaddrInet6:
		t := &net.TCPAddr{IP: append(net.IP(nil), a.Addr[:]...), Port: a.Port}
		if a.ZoneId != 0 {
			if i, err := net.InterfaceByIndex(int(a.ZoneId)); err == nil {
				t.Zone = i.Name
			}
		}
		return t
	}
	return &net.TCPAddr{}
}
