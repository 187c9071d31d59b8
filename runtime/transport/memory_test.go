package transport

import (
	"context"
	"errors"
	"io"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func TestMemoryCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := NewMemory()
		p := memory()
		p.Network = m
		addr, ends := p.server(t, QueueOptions{}, nil)
		_, others := p.server(t, QueueOptions{}, nil)
		a := p.dial(t, addr, nil)
		b := <-ends
		if n := m.Conns(addr); n != 1 {
			t.Fatal(n, "connections")
		}
		if n := m.Cut(addr); n != 1 {
			t.Fatal(n, "were cut")
		}
		for _, e := range []*end{a, b} {
			if err := e.ended(); !errors.Is(err, syscall.ECONNRESET) {
				t.Fatal(err)
			}
			if _, err := e.conn.TryWrite([]byte("x")); err == nil {
				t.Fatal("a cut connection takes bytes")
			}
		}
		if n := m.Conns(addr); n != 0 {
			t.Fatal(n, "connections are left")
		}
		p.dial(t, addr, nil) // the listener lives on
		(<-ends).conn.Close()
		if len(others) != 0 {
			t.Fatal("another listener was dialed")
		}
	})
}

func TestMemoryPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := NewMemory()
		p := memory()
		p.Network = m
		addr, ends := p.server(t, QueueOptions{MaxBytes: 1 << 20}, echo)
		a := p.dial(t, addr, nil)
		b := <-ends
		m.Pause(addr)
		a.queue.Push(nil, Class{}, []byte("1\n"))
		dialed := make(chan error, 2)
		go func() {
			_, err := m.Dial(t.Context(), addr, func(c Conn) Handler {
				return &end{t: t, conn: c, queue: NewQueue(c, QueueOptions{})}
			})
			dialed <- err
		}()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := m.Dial(ctx, addr, nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if len(dialed) != 0 || b.got.Load() != 0 || a.got.Load() != 0 {
			t.Fatal("something was delivered")
		}
		// It takes a window of bytes and no more.
		a.queue.Push(nil, Class{}, make([]byte, memWindow+10))
		if n, _ := a.queue.Pending(); n != 12 {
			t.Fatalf("%d bytes wait", n)
		}
		m.Resume(addr)
		if err := <-dialed; err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if n, _ := a.queue.Pending(); n != 0 || a.got.Load() != 2 {
			t.Fatalf("%d bytes wait, %d came back", n, a.got.Load())
		}
		// What is closed during a pause is known at the other end afterwards.
		m.Pause(addr)
		b.conn.TryWrite([]byte("last"))
		b.conn.Close()
		if err := b.ended(); err != nil {
			t.Fatal(err)
		}
		if n, err := a.conn.TryWrite([]byte("x")); n != 1 || err != nil {
			t.Fatal("the far end's close is known during a pause:", err)
		}
		time.Sleep(time.Hour)
		if a.closes.Load() != 0 {
			t.Fatal("told of the end during a pause")
		}
		m.Resume(addr)
		if err := a.ended(); err != io.EOF || a.got.Load() != 6 {
			t.Fatal(err, a.got.Load())
		}
		(<-ends).conn.Close()
	})
}

func TestMemoryRefuse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := NewMemory()
		p := memory()
		p.Network = m
		addr, ends := p.server(t, QueueOptions{}, echo)
		a := p.dial(t, addr, nil)
		<-ends
		m.Refuse(addr, true)
		if _, err := m.Dial(t.Context(), addr, nil); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Fatal(err)
		}
		a.queue.Push(nil, Class{}, []byte("1\n"))
		await(t, "the echo", func() bool { return a.got.Load() == 2 })
		m.Refuse(addr, false)
		p.dial(t, addr, nil)
		(<-ends).conn.Close()
	})
}

func TestMemoryAddresses(t *testing.T) {
	m := NewMemory()
	got := make(chan Conn, 1)
	accept := func(c Conn) Handler { got <- c; return nil }
	dial := func(n Network, addr string) error {
		_, err := n.Dial(t.Context(), addr, func(c Conn) Handler {
			return &end{t: t, conn: c, queue: NewQueue(c, QueueOptions{})}
		})
		return err
	}
	ln, err := m.Listen("0.0.0.0:7700", accept)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.Listen(":7700", accept); !errors.Is(err, syscall.EADDRINUSE) {
		t.Fatal(err)
	}
	if err := dial(m.From("203.0.113.9"), "gate-1:7700"); err != nil {
		t.Fatal(err)
	}
	c := <-got
	if c.LocalAddr().String() != "gate-1:7700" || c.RemoteAddr().String()[:12] != "203.0.113.9:" {
		t.Fatal(c.LocalAddr(), c.RemoteAddr())
	}
	ln.Close()
	if err := dial(m, "gate-1:7700"); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Fatal(err)
	}
	a, err := m.Listen("a:0", accept)
	if err != nil {
		t.Fatal(err)
	}
	b, err := m.Listen("b:0", accept)
	if err != nil {
		t.Fatal(err)
	}
	if a.Addr().String() == b.Addr().String() || dial(m, a.Addr().String()) != nil {
		t.Fatal(a.Addr(), b.Addr())
	}
	if _, err := m.Listen("no port", accept); err == nil {
		t.Fatal("listens at nonsense")
	}
	if err := dial(m, "no port"); err == nil {
		t.Fatal("dials nonsense")
	}
}
