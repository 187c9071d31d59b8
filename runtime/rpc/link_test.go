package rpc

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/mailbox"
	"github.com/firefly-go/firefly/runtime/transport"
)

var secret = []byte("known to both")

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

func options(name string) Options {
	return Options{Self: Identity{Node: name, Incarnation: 7, Game: "arena"}, Secret: secret, Log: quiet()}
}

// server is a Handler made of functions.
type server struct {
	serve func(l *Link, h *Header, body []byte, reply Reply, batch *transport.Batch)
	downs chan error
}

func newServer(f func(l *Link, h *Header, body []byte, reply Reply, batch *transport.Batch)) *server {
	return &server{serve: f, downs: make(chan error, 8)}
}

func (s *server) Serve(l *Link, h *Header, body []byte, reply Reply, batch *transport.Batch) {
	s.serve(l, h, body, reply, batch)
}

func (s *server) Down(_ *Link, err error) { s.downs <- err }

func echo(_ *Link, _ *Header, body []byte, reply Reply, batch *transport.Batch) {
	reply.Send(batch, Payload{Raw: body})
}

// pair makes a link: who dials, who accepts.
func pair(t *testing.T, n transport.Network, dialer, acceptor *server) (near, far *Link) {
	t.Helper()
	return pairWith(t, n, options("near"), options("far"), dialer, acceptor)
}

func pairWith(t *testing.T, n transport.Network, od, oa Options, dialer, acceptor *server) (near, far *Link) {
	t.Helper()
	got := make(chan *Link, 1)
	ln, err := Listen(n, "127.0.0.1:0", oa, func(l *Link) Handler { got <- l; return acceptor })
	if err != nil {
		t.Fatal(err)
	}
	od.Handler = dialer
	near, err = Dial(t.Context(), n, ln.Addr().String(), od)
	if err != nil {
		t.Fatal(err)
	}
	far = <-got
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { near.Close(nil); far.Close(nil) })
	return near, far
}

// networks runs f over the memory twin inside a bubble, and over real TCP.
func networks(t *testing.T, f func(t *testing.T, n transport.Network)) {
	t.Run("memory", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { f(t, transport.NewMemory()) })
	})
	t.Run("tcp", func(t *testing.T) { f(t, transport.TCP()) })
}

func idle() *server { return newServer(echo) }

func TestEcho(t *testing.T) {
	networks(t, func(t *testing.T, n transport.Network) {
		near, far := pair(t, n, idle(), idle())
		if near.Peer().Node != "far" || far.Peer().Node != "near" || far.Peer().Incarnation != 7 {
			t.Fatalf("peers are %+v and %+v", near.Peer(), far.Peer())
		}
		for _, l := range []*Link{near, far} {
			for _, size := range []int{0, 1, 100, 70_000, 1<<20 - maxHeader} {
				body := bytes.Repeat([]byte{7}, size)
				err := l.Call(t.Context(), &Header{Kind: 1, ID: 3}, Payload{Raw: body}, func(b []byte) error {
					if !bytes.Equal(b, body) {
						return fmt.Errorf("%d bytes came back of %d", len(b), size)
					}
					return nil
				})
				if err != nil {
					t.Fatal(err)
				}
			}
		}
	})
}

// number is a message with the fast codec.
type number uint64

func (n number) SizeVT() int { return 8 }

func (n number) MarshalToSizedBufferVT(b []byte) (int, error) {
	binary.BigEndian.PutUint64(b[len(b)-8:], uint64(n))
	return 8, nil
}

func TestHeaderTravels(t *testing.T) {
	want := Header{Kind: 2, ID: 1 << 63, Session: firefly.SessionID{Gate: 1 << 60, Seq: 9}, Player: -5, Epoch: 1 << 50, Request: 1 << 62,
		Timeout: 3 * time.Second, Hops: 3, Topology: 12, Key: 1<<63 + 1, Flags: 1, Target: "world"}
	synctest.Test(t, func(t *testing.T) {
		var got Header
		near, _ := pair(t, transport.NewMemory(), idle(), newServer(func(_ *Link, h *Header, body []byte, reply Reply, batch *transport.Batch) {
			got = *h
			reply.Send(batch, Payload{Msg: number(binary.BigEndian.Uint64(body) + 1)})
		}))
		h := want
		var n uint64
		if err := near.Call(t.Context(), &h, Payload{Msg: number(41)}, func(b []byte) error { n = binary.BigEndian.Uint64(b); return nil }); err != nil {
			t.Fatal(err)
		}
		if got != want || n != 42 {
			t.Errorf("got %+v and %d", got, n)
		}
		if h != want {
			t.Error("Call changed the header")
		}
	})
}

func TestOrder(t *testing.T) {
	networks(t, func(t *testing.T, n transport.Network) {
		const count = 5000
		var next uint64
		done := make(chan error, 1)
		near, _ := pair(t, n, idle(), newServer(func(_ *Link, h *Header, _ []byte, reply Reply, batch *transport.Batch) {
			if h.ID != next {
				done <- fmt.Errorf("%d came where %d belongs", h.ID, next)
			}
			if next++; next == count {
				done <- nil
			}
			reply.Send(batch, Payload{})
		}))
		var replies uint64
		var batch transport.Batch
		for i := range uint64(count) {
			var err error
			if i%3 == 0 {
				err = near.Send(&batch, &Header{ID: i}, Payload{})
			} else {
				err = near.Start(&batch, &Header{ID: i}, Payload{Raw: []byte("x")}, completion(func(Result) { replies++ }))
			}
			if err != nil {
				t.Fatal(err)
			}
			if i%100 == 0 {
				batch.Flush()
			}
		}
		batch.Flush()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

type completion func(Result)

func (f completion) Complete(r Result, _ *transport.Batch) { f(r) }

func TestManyCallers(t *testing.T) {
	networks(t, func(t *testing.T, n transport.Network) {
		near, _ := pair(t, n, idle(), idle())
		var wg sync.WaitGroup
		for i := range 256 {
			wg.Go(func() {
				for j := range 40 {
					want := fmt.Sprintf("%d/%d", i, j)
					err := near.Call(t.Context(), &Header{ID: 1}, Payload{Raw: []byte(want)}, func(b []byte) error {
						if string(b) != want {
							return fmt.Errorf("got the answer %q of somebody else", b)
						}
						return nil
					})
					if err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		wg.Wait()
		if s := near.Stats(); s.Calls != 0 {
			t.Errorf("%d calls are still waiting", s.Calls)
		}
	})
}

// Replies may come in any order, on any goroutine.
func TestRepliesOutOfOrder(t *testing.T) {
	networks(t, func(t *testing.T, n transport.Network) {
		var mu sync.Mutex
		var kept []Reply
		full := make(chan struct{})
		near, _ := pair(t, n, idle(), newServer(func(_ *Link, h *Header, _ []byte, reply Reply, _ *transport.Batch) {
			mu.Lock()
			defer mu.Unlock()
			if kept = append(kept, reply); len(kept) == 50 {
				close(full)
			}
		}))
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				if err := near.Call(t.Context(), &Header{}, Payload{}, nil); err != nil {
					t.Error(err)
				}
			})
		}
		<-full
		for i := len(kept) - 1; i >= 0; i-- {
			kept[i].Send(nil, Payload{})
			kept[i].Send(nil, Payload{}) // the second is dropped
		}
		wg.Wait()
	})
}

func TestErrorsTravel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, _ := pair(t, transport.NewMemory(), idle(), newServer(func(_ *Link, h *Header, _ []byte, reply Reply, batch *transport.Batch) {
			reply.Fail(batch, &firefly.Error{Code: "arena.v1.ROOM_FULL", Message: "no seat", Cause: errors.New("stays here")})
		}))
		err := near.Call(t.Context(), &Header{}, Payload{}, nil)
		var e *firefly.Error
		if !errors.As(err, &e) || e.Code != "arena.v1.ROOM_FULL" || e.Message != "no seat" || e.Cause != nil {
			t.Errorf("got %#v", err)
		}
	})
}

func TestPanicHarmsOneRequest(t *testing.T) {
	networks(t, func(t *testing.T, n transport.Network) {
		near, _ := pair(t, n, idle(), newServer(func(_ *Link, h *Header, body []byte, reply Reply, batch *transport.Batch) {
			if h.ID == 2 {
				panic("a fault")
			}
			reply.Send(batch, Payload{})
			if h.ID == 3 {
				panic("after the reply")
			}
		}))
		var codes [4]firefly.Code
		var wg sync.WaitGroup
		for i := range codes {
			wg.Go(func() { codes[i] = firefly.CodeOf(near.Call(t.Context(), &Header{ID: uint64(i)}, Payload{}, nil)) })
		}
		wg.Wait()
		if want := [4]firefly.Code{"", "", firefly.Internal, ""}; codes != want {
			t.Errorf("codes are %q", codes)
		}
		if near.Err() != nil {
			t.Errorf("the link is down: %v", near.Err())
		}
	})
}

func TestDeadlineTravels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got time.Duration
		var kept Reply
		near, _ := pair(t, transport.NewMemory(), idle(), newServer(func(_ *Link, h *Header, _ []byte, reply Reply, _ *transport.Batch) {
			got, kept = h.Timeout, reply
		}))
		for _, c := range []struct{ ctx, header, want time.Duration }{
			{3 * time.Second, 0, 3 * time.Second},
			{3 * time.Second, time.Second, time.Second},
			{time.Second, 3 * time.Second, time.Second},
			{0, 2 * time.Second, 2 * time.Second},
		} {
			ctx, cancel := t.Context(), context.CancelFunc(func() {})
			if c.ctx > 0 {
				ctx, cancel = context.WithTimeout(ctx, c.ctx)
			}
			begin := time.Now()
			err := near.Call(ctx, &Header{Timeout: c.header}, Payload{}, nil)
			cancel()
			synctest.Wait()
			if firefly.CodeOf(err) != firefly.DeadlineExceeded || got != c.want || time.Since(begin) != c.want {
				t.Errorf("%+v: %v after %v, %v travelled", c, err, time.Since(begin), got)
			}
			// The answer comes late, when the slot of the call is used by another.
			late := kept
			answer := make(chan error)
			go func() { answer <- near.Call(t.Context(), &Header{}, Payload{}, nil) }()
			synctest.Wait()
			late.Fail(nil, &firefly.Error{Code: firefly.Conflict})
			synctest.Wait()
			kept.Send(nil, Payload{})
			if err := <-answer; err != nil {
				t.Errorf("a late answer reached another call: %v", err)
			}
		}
		if n := near.Stats().Calls; n != 0 {
			t.Errorf("%d calls are still waiting", n)
		}
	})
}

func TestCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, _ := pair(t, transport.NewMemory(), idle(), newServer(func(*Link, *Header, []byte, Reply, *transport.Batch) {}))
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		if err := near.Call(ctx, &Header{}, Payload{}, nil); firefly.CodeOf(err) != firefly.Canceled {
			t.Errorf("got %v", err)
		}
		if err := near.Call(ctx, &Header{}, Payload{}, nil); firefly.CodeOf(err) != firefly.Canceled {
			t.Errorf("got %v", err)
		}
	})
}

// A handler on a logic loop yields it while it waits.
func TestCallYieldsTheLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var kept Reply
		near, _ := pair(t, transport.NewMemory(), idle(), newServer(func(_ *Link, h *Header, _ []byte, reply Reply, _ *transport.Batch) {
			kept = reply
		}))
		loop := mailbox.New(mailbox.Options{Name: "test", Strict: true})
		defer loop.Close()
		var order []string
		submit := func(name string, f func(ctx context.Context)) {
			if err := loop.Submit(loop.Func(name, nil, f)); err != nil {
				t.Fatal(err)
			}
		}
		submit("a", func(ctx context.Context) {
			order = append(order, "a calls")
			err := near.Call(ctx, &Header{}, Payload{}, func([]byte) error { order = append(order, "decoded"); return nil })
			order = append(order, fmt.Sprintf("a has %v", err))
		})
		submit("b", func(context.Context) { order = append(order, "b") })
		synctest.Wait()
		kept.Send(nil, Payload{})
		synctest.Wait()
		if got := strings.Join(order, ", "); got != "a calls, b, decoded, a has <nil>" {
			t.Error(got)
		}
		// Its deadline ends the wait, and so does a derived ctx.
		var codes []firefly.Code
		submit("c", func(ctx context.Context) {
			short, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			codes = append(codes, firefly.CodeOf(near.Call(short, &Header{}, Payload{}, nil)),
				firefly.CodeOf(near.Call(ctx, &Header{Timeout: time.Second}, Payload{}, nil)))
		})
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if len(codes) != 2 || codes[0] != firefly.DeadlineExceeded || codes[1] != firefly.DeadlineExceeded {
			t.Errorf("codes are %v", codes)
		}
		// With the batch of the loop nothing leaves before the end of the turn.
		var batch transport.Batch
		job := loop.Func("d", withBatch{&batch}, func(ctx context.Context) { _ = near.Call(ctx, &Header{Timeout: time.Second}, Payload{}, nil) })
		if err := loop.Submit(job); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if n := batch.Len(); n != 1 {
			t.Errorf("%d links wait in the batch", n)
		}
		time.Sleep(2 * time.Second)
	})
}

type withBatch struct{ b *transport.Batch }

func (w withBatch) Value(key any) any {
	if _, ok := key.(BatchKey); ok {
		return w.b
	}
	return nil
}

func (w withBatch) Fork() mailbox.Values { return w }

func TestLostLink(t *testing.T) {
	networks(t, func(t *testing.T, n transport.Network) {
		arrived := make(chan struct{}, 10)
		there := newServer(func(*Link, *Header, []byte, Reply, *transport.Batch) { arrived <- struct{}{} })
		here := idle()
		near, far := pair(t, n, here, there)
		codes := make(chan firefly.Code, 10)
		for range 10 {
			go func() { codes <- firefly.CodeOf(near.Call(t.Context(), &Header{}, Payload{}, nil)) }()
		}
		for range 10 {
			<-arrived
		}
		// As when the process is killed: the connection ends between request and reply.
		far.conn.Close()
		for range 10 {
			if c := <-codes; c != firefly.Unknown {
				t.Errorf("a call that was sent ended with %q", c)
			}
		}
		<-here.downs
		<-there.downs
		if err := near.Start(nil, &Header{}, Payload{}, completion(func(Result) { t.Error("completed") })); firefly.CodeOf(err) != firefly.Unavailable {
			t.Errorf("a call that was not sent ended with %v", err)
		}
		if err := near.Send(nil, &Header{}, Payload{}); firefly.CodeOf(err) != firefly.Unavailable {
			t.Errorf("a message that was not sent ended with %v", err)
		}
		if near.Err() == nil {
			t.Error("Err says that the link is up")
		}
		if len(here.downs)+len(there.downs) > 0 {
			t.Error("Down came twice")
		}
	})
}

func TestReplyToGoneLink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var kept Reply
		there := newServer(func(_ *Link, _ *Header, _ []byte, r Reply, _ *transport.Batch) { kept = r })
		near, far := pair(t, transport.NewMemory(), idle(), there)
		go func() { _ = near.Call(t.Context(), &Header{}, Payload{}, nil) }()
		synctest.Wait()
		near.Close(errors.New("enough"))
		var pe *PeerError
		if err := <-there.downs; !errors.As(err, &pe) || pe.Reason != "enough" {
			t.Errorf("Down says %v", err)
		}
		kept.Send(nil, Payload{})
		kept.Fail(nil, nil)
		if far.Stats().Bytes != 0 {
			t.Error("the reply waits for ever")
		}
	})
}

// Close without an error sends first what was queued.
func TestCloseFlushes(t *testing.T) {
	networks(t, func(t *testing.T, n transport.Network) {
		var got atomic.Int32
		there := newServer(func(*Link, *Header, []byte, Reply, *transport.Batch) { got.Add(1) })
		near, _ := pair(t, n, idle(), there)
		var batch transport.Batch
		for range 1000 {
			if err := near.Send(&batch, &Header{}, Payload{Raw: make([]byte, 500)}); err != nil {
				t.Fatal(err)
			}
		}
		near.Close(nil)
		if err := <-there.downs; !errors.Is(err, ErrClosed) {
			t.Errorf("Down says %v", err)
		}
		if got.Load() != 1000 {
			t.Errorf("%d of 1000 messages arrived", got.Load())
		}
	})
}

func TestLocal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var kept []Reply
		var msg []byte
		s := newServer(func(_ *Link, h *Header, body []byte, reply Reply, batch *transport.Batch) {
			switch h.ID {
			case 1:
				reply.Send(batch, Payload{Raw: body})
			case 2:
				kept = append(kept, reply)
			case 3:
				panic("a fault")
			case 4:
				reply.Send(batch, Payload{})
				panic("after the reply")
			case 5:
				msg = body
			}
		})
		l := Local(Identity{Node: "me"}, s)
		call := func(id uint64) error { return l.Call(t.Context(), &Header{ID: id}, Payload{Msg: number(1)}, nil) }
		l.o.Log = quiet()
		if err := call(1); err != nil {
			t.Error(err)
		}
		if err := call(3); firefly.CodeOf(err) != firefly.Internal {
			t.Error(err)
		}
		if err := call(4); err != nil {
			t.Error(err)
		}
		if err := l.Send(nil, &Header{ID: 5}, Payload{Raw: []byte("hi")}); err != nil || string(msg) != "hi" {
			t.Error(err, msg)
		}
		if err := l.Call(t.Context(), &Header{ID: 1}, Payload{Raw: make([]byte, 1<<20)}, nil); firefly.CodeOf(err) != firefly.InvalidArgument {
			t.Error(err)
		}
		// Late and double replies reach nobody else.
		err := l.Call(t.Context(), &Header{ID: 2, Timeout: time.Second}, Payload{}, nil)
		if firefly.CodeOf(err) != firefly.DeadlineExceeded {
			t.Error(err)
		}
		kept[0].Send(nil, Payload{})
		answer := make(chan error)
		go func() { answer <- l.Call(t.Context(), &Header{ID: 2}, Payload{}, nil) }()
		synctest.Wait()
		kept[0].Fail(nil, &firefly.Error{Code: firefly.Conflict})
		kept[1].Fail(nil, &firefly.Error{Code: firefly.NotFound, Cause: io.EOF})
		kept[1].Send(nil, Payload{})
		if err := <-answer; firefly.CodeOf(err) != firefly.NotFound || errors.Is(err, io.EOF) {
			t.Error(err)
		}
		l.Close(nil)
		l.Close(nil)
		<-s.downs
		if err := call(1); firefly.CodeOf(err) != firefly.Unavailable {
			t.Error(err)
		}
		if len(s.downs) > 0 {
			t.Error("Down came twice")
		}
	})
}

// Nothing is lost, doubled or mixed up while links come and go under load.
func TestChurn(t *testing.T) {
	networks(t, func(t *testing.T, n transport.Network) {
		for round := range 10 {
			here, there := idle(), idle()
			near, far := pair(t, n, here, there)
			var wg sync.WaitGroup
			var answered atomic.Int64
			for i := range 16 {
				wg.Go(func() {
					for j := 0; ; j++ {
						want := fmt.Sprint(i, j)
						err := near.Call(t.Context(), &Header{}, Payload{Raw: []byte(want)}, func(b []byte) error {
							if string(b) != want {
								return errors.New("another's answer")
							}
							return nil
						})
						switch firefly.CodeOf(err) {
						case firefly.OK:
							if answered.Add(1) == 200 {
								[]func(error){near.Close, far.Close}[round%2](errors.New("enough"))
							}
						case firefly.Unknown, firefly.Unavailable:
							return
						default:
							t.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			<-here.downs
			<-there.downs
		}
	})
}
