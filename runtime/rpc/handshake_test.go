package rpc

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/firefly-go/firefly/runtime/transport"
)

func TestSecret(t *testing.T) {
	networks(t, func(t *testing.T, n transport.Network) {
		accepted := false
		ln, err := Listen(n, "127.0.0.1:0", options("far"), func(*Link) Handler { accepted = true; return idle() })
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		o := options("near")
		o.Secret = []byte("a guess")
		if _, err := Dial(t.Context(), n, ln.Addr().String(), o); !errors.Is(err, ErrSecret) {
			t.Errorf("a dialer with another secret: %v", err)
		}
		o.Secret = nil
		if _, err := Dial(t.Context(), n, ln.Addr().String(), o); err == nil {
			t.Error("a dialer without a secret got a link")
		}
		// The acceptor must prove itself too, and learns nothing from a dialer who asks.
		fake, err := n.Listen("127.0.0.1:0", func(transport.Conn) transport.Handler { return &imposter{} })
		if err != nil {
			t.Fatal(err)
		}
		defer fake.Close()
		if _, err := Dial(t.Context(), n, fake.Addr().String(), options("near")); !errors.Is(err, ErrSecret) {
			t.Errorf("an acceptor that sends back what it gets: %v", err)
		}
		if accepted {
			t.Error("accept was called")
		}
	})
}

// imposter sends back what it gets.
type imposter struct{}

func (*imposter) Data(c transport.Conn, b []byte, _ *transport.Batch) int {
	n, _ := c.TryWrite(b)
	return n
}

func (*imposter) Writable(transport.Conn) {}

func (*imposter) Closed(transport.Conn, error) {}

func TestRefused(t *testing.T) {
	networks(t, func(t *testing.T, n transport.Network) {
		ln, err := Listen(n, "127.0.0.1:0", options("far"), func(l *Link) Handler {
			if l.Peer().Node == "near" {
				l.Close(errors.New("not you"))
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		var re *RefusedError
		if _, err := Dial(t.Context(), n, ln.Addr().String(), options("near")); !errors.As(err, &re) || re.Reason != "not you" {
			t.Errorf("refused with a reason: %v", err)
		}
		if _, err := Dial(t.Context(), n, ln.Addr().String(), options("nobody")); !errors.As(err, &re) || re.Reason != "refused" {
			t.Errorf("refused without one: %v", err)
		}
		o := options("near")
		o.Self.Game = "another"
		if _, err := Dial(t.Context(), n, ln.Addr().String(), o); err == nil || !strings.Contains(err.Error(), "another") {
			t.Errorf("another game: %v", err)
		}
	})
}

func TestHandshakeTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := transport.NewMemory()
		ln, err := Listen(n, "h:1", options("far"), func(*Link) Handler { return idle() })
		if err != nil {
			t.Fatal(err)
		}
		// A stranger who says nothing, or half of it, is cut off.
		closed := make(chan time.Time, 2)
		for _, say := range []string{"", preamble} {
			c, err := n.Dial(t.Context(), "h:1", func(transport.Conn) transport.Handler { return &stranger{closed: closed} })
			if err != nil {
				t.Fatal(err)
			}
			if say != "" {
				_, _ = c.TryWrite([]byte(say))
			}
		}
		begin := time.Now()
		for range 2 {
			if at := <-closed; at.Sub(begin) != 5*time.Second {
				t.Errorf("closed after %v", at.Sub(begin))
			}
		}
		// A peer that says nothing does not hold up who dials it.
		mute, err := n.Listen("mute:1", func(transport.Conn) transport.Handler { return &stranger{closed: closed} })
		if err != nil {
			t.Fatal(err)
		}
		begin = time.Now()
		if _, err := Dial(t.Context(), n, "mute:1", options("near")); err == nil || time.Since(begin) != 5*time.Second {
			t.Errorf("%v after %v", err, time.Since(begin))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := Dial(ctx, n, "mute:1", options("near")); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		if _, err := Dial(t.Context(), n, "nobody:1", options("near")); err == nil {
			t.Error("somebody is there")
		}
		_ = mute.Close()
		// Closing the listener ends handshakes under way.
		c := make(chan time.Time, 1)
		if _, err := n.Dial(t.Context(), "h:1", func(transport.Conn) transport.Handler { return &stranger{closed: c} }); err != nil {
			t.Fatal(err)
		}
		begin = time.Now()
		_ = ln.Close()
		if at := <-c; at != begin {
			t.Errorf("closed after %v", at.Sub(begin))
		}
	})
}

type stranger struct{ closed chan time.Time }

func (s *stranger) Data(_ transport.Conn, b []byte, _ *transport.Batch) int { return len(b) }

func (s *stranger) Writable(transport.Conn) {}

func (s *stranger) Closed(transport.Conn, error) { s.closed <- time.Now() }

// What the acceptor sends from within accept, on any goroutine, is not lost and not early.
func TestSendFromAccept(t *testing.T) {
	networks(t, func(t *testing.T, n transport.Network) {
		got := make(chan uint64, 1)
		ln, err := Listen(n, "127.0.0.1:0", options("far"), func(l *Link) Handler {
			if err := l.Send(nil, &Header{ID: 5}, Payload{}); err != nil {
				t.Error(err)
			}
			return idle()
		})
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		o := options("near")
		var first *Link
		o.Accept = func(l *Link) Handler {
			first = l
			return newServer(func(l *Link, h *Header, _ []byte, _ Reply, _ *transport.Batch) {
				if l != first {
					t.Error("served before Accept")
				}
				got <- h.ID
			})
		}
		l, err := Dial(t.Context(), n, ln.Addr().String(), o)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close(nil)
		if id := <-got; id != 5 {
			t.Errorf("got %d", id)
		}
		o.Accept = func(*Link) Handler { return nil }
		if _, err := Dial(t.Context(), n, ln.Addr().String(), o); err == nil {
			t.Error("a link that this side refused")
		}
	})
}
