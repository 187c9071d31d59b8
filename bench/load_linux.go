package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// load is the generator: one thread, raw epoll, the same for every server. It keeps depth
// frames in flight on each connection and counts the frames that come back.
type load struct {
	conns   []*loadConn
	epoll   int
	buf     []byte
	done    int
	samples []int64 // round trips in ns, at depth 1
}

type loadConn struct {
	file   int
	seq    uint64
	sent   time.Time
	tail   []byte // a frame that has not come whole
	out    []byte
	flight int
}

// traffic says what is sent. frame appends one request with the number seq.
type traffic struct {
	hello  []byte // sent once, answered by one frame; empty: none
	frame  func(dst []byte, seq uint64) []byte
	length func(b []byte) int // of the frame at b; 0: not whole yet
}

func connect(addr string, n int, t traffic) (*load, error) {
	l := &load{buf: make([]byte, 256<<10)}
	var err error
	if l.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, err
	}
	for range n {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			l.close()
			return nil, err
		}
		f, err := c.(*net.TCPConn).File()
		c.Close()
		if err != nil {
			l.close()
			return nil, err
		}
		fd, err := unix.Dup(int(f.Fd()))
		f.Close()
		if err != nil {
			l.close()
			return nil, err
		}
		lc := &loadConn{file: fd}
		l.conns = append(l.conns, lc)
		if err := lc.shake(t); err != nil {
			l.close()
			return nil, err
		}
		if err := unix.SetNonblock(fd, true); err != nil {
			return nil, err
		}
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
		ev := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(len(l.conns) - 1)}
		if err := unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, fd, &ev); err != nil {
			return nil, err
		}
	}
	return l, nil
}

// shake sends the hello and swallows its answer, blocking.
func (c *loadConn) shake(t traffic) error {
	if len(t.hello) == 0 {
		return nil
	}
	if err := unix.SetNonblock(c.file, false); err != nil {
		return err
	}
	if _, err := unix.Write(c.file, t.hello); err != nil {
		return err
	}
	var got []byte
	b := make([]byte, 4096)
	for {
		n, err := unix.Read(c.file, b)
		if err != nil {
			return fmt.Errorf("handshake: %w", err)
		}
		if n == 0 {
			return errors.New("handshake: connection closed")
		}
		got = append(got, b[:n]...)
		if t.length(got) > 0 {
			return nil
		}
	}
}

func (l *load) close() {
	for _, c := range l.conns {
		_ = unix.Close(c.file)
	}
	_ = unix.Close(l.epoll)
}

// run keeps depth frames in flight for d and gives how many came back, and how long it took.
func (l *load) run(t traffic, depth int, d time.Duration) (int, time.Duration, error) {
	l.done, l.samples = 0, l.samples[:0]
	start := time.Now()
	end := start.Add(d)
	for _, c := range l.conns {
		if err := c.send(t, depth-c.flight); err != nil {
			return 0, 0, err
		}
	}
	events := make([]unix.EpollEvent, 256)
	sending, flight := true, depth*len(l.conns)
	for flight > 0 {
		n, err := unix.EpollWait(l.epoll, events, 2000)
		if err != nil {
			if errors.Is(err, unix.EINTR) {
				continue
			}
			return 0, 0, err
		}
		if n == 0 {
			return 0, 0, fmt.Errorf("%d of %d replies are missing", flight, l.done+flight)
		}
		now := time.Now()
		if sending && now.After(end) {
			sending = false
		}
		for _, e := range events[:n] {
			c := l.conns[e.Fd]
			got, err := c.receive(l.buf, t)
			if err != nil {
				return 0, 0, err
			}
			l.done += got
			if depth == 1 && got == 1 {
				l.samples = append(l.samples, int64(now.Sub(c.sent)))
			}
			if sending && got > 0 {
				if err := c.send(t, got); err != nil {
					return 0, 0, err
				}
			} else {
				flight -= got
			}
		}
	}
	return l.done, time.Since(start), nil
}

func (c *loadConn) send(t traffic, n int) error {
	c.out = c.out[:0]
	for range n {
		c.seq++
		c.out = t.frame(c.out, c.seq)
	}
	c.flight += n
	c.sent = time.Now()
	for b := c.out; len(b) > 0; {
		w, err := unix.Write(c.file, b)
		if errors.Is(err, unix.EAGAIN) {
			fds := []unix.PollFd{{Fd: int32(c.file), Events: unix.POLLOUT}}
			_, _ = unix.Poll(fds, 1000)
			continue
		}
		if err != nil {
			return err
		}
		b = b[w:]
	}
	return nil
}

func (c *loadConn) receive(buf []byte, t traffic) (frames int, err error) {
	n, err := unix.Read(c.file, buf)
	if errors.Is(err, unix.EAGAIN) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	if n == 0 {
		return 0, errors.New("the server closed a connection")
	}
	b := buf[:n]
	if len(c.tail) > 0 {
		b = append(c.tail, b...)
	}
	for len(b) > 0 {
		size := t.length(b)
		if size == 0 || size > len(b) {
			break
		}
		frames++
		b = b[size:]
	}
	c.tail = append(c.tail[:0:0], b...)
	c.flight -= frames
	return frames, nil
}

// p50 is the median round trip at depth 1.
func (l *load) p50() time.Duration {
	if len(l.samples) == 0 {
		return 0
	}
	slices.Sort(l.samples)
	return time.Duration(l.samples[len(l.samples)/2])
}

// nativeLength is the length of the native frame at b, or 0.
func nativeLength(b []byte) int {
	if len(b) < 2 {
		return 0
	}
	size, n := binary.Uvarint(b[1:])
	if n <= 0 || len(b) < 1+n+int(size) {
		return 0
	}
	return 1 + n + int(size)
}
