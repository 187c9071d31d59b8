package transport

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

var errPoll = errors.New("transport: cannot wait for a full socket")

// writePoll waits for full sockets of one network to have room: netpoll's pollers do not tell
// about that. It is an epoll of its own with a goroutine that parks in Go's poller; both exist
// only while some socket is full.
type writePoll struct {
	mu   sync.Mutex
	file *os.File // the epoll; nil: no goroutine runs
	fd   int
	last uint64
	wait map[uint64]*tcpConn // by the number that its event carries
}

// add arms c for one Writable. Its out is held.
func (p *writePoll) add(c *tcpConn) error {
	if c.poll != 0 {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.file == nil {
		if err := p.open(); err != nil {
			return fmt.Errorf("%w: %w", errPoll, err)
		}
	}
	p.last++
	e := unix.EpollEvent{Events: unix.EPOLLOUT | unix.EPOLLONESHOT, Fd: int32(p.last), Pad: int32(p.last >> 32)}
	if err := unix.EpollCtl(p.fd, unix.EPOLL_CTL_ADD, int(c.fd), &e); err != nil {
		p.settle()
		return fmt.Errorf("%w: %w", errPoll, err)
	}
	c.poll = p.last
	p.wait[p.last] = c
	return nil
}

// open makes the epoll and its goroutine. mu is held.
func (p *writePoll) open() error {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return err
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return err
	}
	file := os.NewFile(uintptr(fd), "epoll")
	raw, err := file.SyscallConn()
	if err != nil {
		file.Close()
		return err
	}
	p.file, p.fd, p.wait = file, fd, make(map[uint64]*tcpConn)
	go p.run(file, raw)
	return nil
}

// settle has the goroutine end when nobody waits any more. mu is held.
func (p *writePoll) settle() {
	if len(p.wait) == 0 && p.file != nil {
		_ = p.file.SetReadDeadline(time.Unix(1, 0)) // wakes it
	}
}

// remove forgets c, before its descriptor is closed. Its out is held.
func (p *writePoll) remove(c *tcpConn) {
	if c.poll == 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.wait, c.poll)
	if p.file != nil && c.fd >= 0 {
		_ = unix.EpollCtl(p.fd, unix.EPOLL_CTL_DEL, int(c.fd), nil)
	}
	c.poll = 0
	p.settle()
}

func (p *writePoll) run(file *os.File, raw syscall.RawConn) {
	var events [64]unix.EpollEvent
	for {
		n := 0
		_ = raw.Read(func(fd uintptr) bool {
			var err error
			n, err = unix.EpollWait(int(fd), events[:], 0)
			return n > 0 || err != nil
		})
		for _, e := range events[:max(n, 0)] {
			if c := p.take(uint64(uint32(e.Fd)) | uint64(uint32(e.Pad))<<32); c != nil {
				c.ev.Lock()
				if c.disarm() {
					c.h.Writable(c)
				}
				c.ev.Unlock()
			}
		}
		p.mu.Lock()
		if len(p.wait) == 0 {
			p.file = nil
			p.mu.Unlock()
			file.Close()
			return
		}
		_ = file.SetReadDeadline(time.Time{}) // settle may have set it, and somebody come since
		p.mu.Unlock()
	}
}

func (p *writePoll) take(id uint64) *tcpConn {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.wait[id]
}

// disarm takes c out after its event; false when it is closed, or another event did it.
func (c *tcpConn) disarm() bool {
	c.out.Lock()
	defer c.out.Unlock()
	if c.fd < 0 || c.poll == 0 {
		return false
	}
	c.net.writable.remove(c)
	return true
}
