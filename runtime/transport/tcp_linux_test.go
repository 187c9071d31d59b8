package transport

import (
	"bufio"
	"net"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// descriptors counts what the process has open.
func descriptors(t *testing.T) int {
	t.Helper()
	d, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	return len(d)
}

// A listener that runs out of descriptors goes on when there are some again, and serves those
// who came meanwhile; more than once.
func TestOutOfDescriptors(t *testing.T) {
	for name, n := range map[string]Network{"TCP": TCP(), "Std": Std()} {
		t.Run(name, func(t *testing.T) {
			p := sockets(n, true)
			ln, err := p.Listen(p.addr, func(c Conn) Handler {
				return &end{t: t, conn: c, queue: NewQueue(c, QueueOptions{}), onData: echo}
			})
			if err != nil {
				t.Fatal(err)
			}
			defer ln.Close()
			starved := func() int64 {
				if l, ok := ln.(*tcpListener); ok {
					return l.starved.Load()
				}
				return ln.(*stdListener).starved.Load()
			}
			var old syscall.Rlimit
			if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &old); err != nil {
				t.Fatal(err)
			}
			defer syscall.Setrlimit(syscall.RLIMIT_NOFILE, &old)
			for range 3 {
				// What Go's poller and resolver open on first use is open by now.
				if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: uint64(descriptors(t) + 30), Max: old.Max}); err != nil {
					t.Fatal(err)
				}
				var fill []int
				for {
					fd, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
					if err != nil {
						break
					}
					fill = append(fill, fd)
				}
				const clients = 1
				for i := range clients { // room for the client's own end
					unix.Close(fill[i])
				}
				fill = fill[clients:]
				was := starved()
				var peers []peer
				for range clients {
					peers = append(peers, p.raw(t, ln.Addr().String()))
				}
				await(t, "an accept that fails", func() bool { return starved() > was })
				for _, fd := range fill {
					unix.Close(fd)
				}
				for _, c := range peers {
					c.Write([]byte("served\n"))
					if line, err := bufio.NewReader(c).ReadString('\n'); line != "served\n" {
						t.Fatal(line, err)
					}
					c.Close()
				}
			}
		})
	}
}

// Bytes written to a connection that is being closed never show up on the next descriptor of
// the same number.
func TestNoWriteToReusedDescriptor(t *testing.T) {
	for name, n := range map[string]Network{"TCP": TCP(), "Std": Std()} {
		t.Run(name, func(t *testing.T) {
			p := sockets(n, true)
			addr, ends := p.server(t, QueueOptions{}, nil)
			for end := time.Now().Add(300 * time.Millisecond); time.Now().Before(end); {
				c := p.raw(t, addr)
				e := <-ends
				var wg sync.WaitGroup
				wg.Go(func() { // one caller at a time: the queue's part is played here
					for {
						if _, err := e.conn.TryWrite([]byte("stray")); err != nil {
							return
						}
					}
				})
				c.Close() // the descriptor ends under the writer
				if time.Now().UnixNano()%2 == 0 {
					e.conn.Close()
				}
				var pairs [][2]int
				for range 8 { // its number comes again here
					pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
					if err != nil {
						t.Fatal(err)
					}
					pairs = append(pairs, pair)
				}
				wg.Wait()
				e.ended()
				for _, pair := range pairs {
					for _, fd := range pair {
						if n, _ := unix.Read(fd, make([]byte, 16)); n > 0 {
							t.Fatal("a write went to a descriptor that was reused")
						}
					}
					unix.Close(pair[0])
					unix.Close(pair[1])
				}
			}
		})
	}
}

// Nothing is left of closed connections and listeners: no descriptor, and no epoll of writers.
func TestNoDescriptorLeft(t *testing.T) {
	run := func() {
		p := sockets(TCP(), true)
		ends := make(chan *end, 100)
		ln, err := p.Listen(p.addr, func(c Conn) Handler {
			e := &end{t: t, conn: c, queue: NewQueue(c, QueueOptions{MaxBytes: 64 << 20})}
			ends <- e
			return e
		})
		if err != nil {
			t.Fatal(err)
		}
		var peers []peer
		for range 20 {
			c := p.raw(t, ln.Addr().String())
			peers = append(peers, c)
			e := <-ends
			for { // until it is full, so that it is in the epoll of writers
				e.queue.Push(nil, Class{}, make([]byte, 1<<20))
				if n, _ := e.queue.Pending(); n > 0 {
					break
				}
			}
			defer e.ended()
			defer e.conn.Close()
		}
		ln.Close()
		for i, c := range peers {
			if i%2 == 0 {
				c.Close()
			} else {
				c.Reset()
			}
		}
	}
	run()
	before := descriptors(t)
	run()
	await(t, "descriptors to be closed", func() bool { return descriptors(t) <= before })
}

// The buffers of connections that went quiet are given back.
func TestBuffersGivenBack(t *testing.T) {
	n := TCP().(*tcpNetwork)
	p := sockets(n, true)
	addr, _ := p.server(t, QueueOptions{}, echo)
	for range 20 {
		c := p.raw(t, addr)
		c.Write([]byte("x\n"))
		if line, err := bufio.NewReader(c).ReadString('\n'); line != "x\n" {
			t.Fatal(line, err)
		}
	}
	held := func() int {
		n.warm.mu.Lock()
		defer n.warm.mu.Unlock()
		return len(n.warm.list)
	}
	if held() == 0 {
		t.Fatal("no connection holds a buffer, not even after traffic")
	}
	await(t, "the sweep", func() bool { return held() == 0 })
	c := p.raw(t, addr)
	c.Write([]byte("half"))
	await(t, "the first half", func() bool { return held() == 1 })
	await(t, "another sweep", func() bool { return held() == 0 }) // which must not lose the kept bytes
	c.Write([]byte(" whole\n"))
	if line, err := bufio.NewReader(c).ReadString('\n'); line != "half whole\n" {
		t.Fatal(line, err)
	}
}

// A connection that does not speak costs the process a few KB, whether it has ever spoken or not.
func TestMemoryPerConnection(t *testing.T) {
	if raceBuild {
		t.Skip("the race detector needs memory of its own")
	}
	const conns = 1000
	n := TCP().(*tcpNetwork)
	ln, err := n.Listen("127.0.0.1:0", func(c Conn) Handler { return &bounce{q: NewQueue(c, QueueOptions{})} })
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	heap := func() int64 {
		for range 3 { // pools give up what they hold in the second
			runtime.GC()
		}
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc + m.StackInuse)
	}
	to := &unix.SockaddrInet4{Port: ln.Addr().(*net.TCPAddr).Port, Addr: [4]byte{127, 0, 0, 1}}
	fds := make([]int, conns)
	before := heap()
	for i := range fds { // bare descriptors: the clients' side costs no heap
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
		if err := unix.Connect(fd, to); err != nil {
			t.Fatal(err)
		}
		fds[i] = fd
	}
	echo := func(i int) {
		b := []byte("12345678")
		if _, err := unix.Write(fds[i], b); err != nil {
			t.Fatal(err)
		}
		if n, err := unix.Read(fds[i], b); n != len(b) || err != nil {
			t.Fatal(n, err)
		}
	}
	echo(conns - 1) // all are accepted
	idle := (heap() - before) / conns
	for i := range fds {
		echo(i)
	}
	await(t, "the sweep", func() bool {
		n.warm.mu.Lock()
		defer n.warm.mu.Unlock()
		return !n.warm.on
	})
	after := (heap() - before) / conns
	t.Logf("%d bytes per connection that never spoke, %d after an echo", idle, after)
	if idle > 6<<10 || after > 6<<10 {
		t.Error("over 6 KB")
	}
}

// The poll of writers has no goroutine and no descriptor while nobody waits.
func TestWritePollEnds(t *testing.T) {
	n := TCP().(*tcpNetwork)
	p := sockets(n, true)
	addr, ends := p.server(t, QueueOptions{MaxBytes: 64 << 20}, nil)
	idle := func() bool {
		n.writable.mu.Lock()
		defer n.writable.mu.Unlock()
		return n.writable.file == nil
	}
	for round := range 6 {
		c := p.raw(t, addr)
		e := <-ends
		size := 0
		for {
			e.queue.Push(nil, Class{}, make([]byte, 1<<20))
			size += 1 << 20
			if n, _ := e.queue.Pending(); n > 0 {
				break
			}
		}
		if idle() {
			t.Fatal("nobody waits for a full socket")
		}
		switch round % 3 {
		case 0: // the peer reads
			go func() {
				b := make([]byte, 1<<16)
				for {
					if _, err := c.Read(b); err != nil {
						return
					}
				}
			}()
			await(t, "an empty queue", func() bool { n, _ := e.queue.Pending(); return n == 0 })
		case 1: // closed here
			e.conn.Close()
			e.ended()
		case 2: // closed there
			c.Close()
			e.ended()
		}
		await(t, "the poll to end", idle)
	}
}

func TestAddresses(t *testing.T) {
	for _, addr := range []string{"127.0.0.1:0", "[::1]:0", ":0"} {
		got := make(chan Conn, 1)
		ln, err := TCP().Listen(addr, func(c Conn) Handler {
			got <- c
			return nil
		})
		if err != nil {
			if addr == "[::1]:0" {
				continue // no IPv6 here
			}
			t.Fatal(err)
		}
		_, port, _ := net.SplitHostPort(ln.Addr().String())
		host := "127.0.0.1"
		if addr == "[::1]:0" {
			host = "::1"
		}
		c, err := net.Dial("tcp", net.JoinHostPort(host, port))
		if err != nil {
			t.Fatal(err)
		}
		s := <-got
		if s.RemoteAddr().String() != c.LocalAddr().String() {
			t.Errorf("listening at %s: the peer is %v, not %v", addr, s.RemoteAddr(), c.LocalAddr())
		}
		c.Close()
		ln.Close()
	}
	if _, err := TCP().Listen("nonsense", nil); err == nil {
		t.Error("listens at nonsense")
	}
}
