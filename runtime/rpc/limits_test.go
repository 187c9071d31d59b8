package rpc

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/transport"
)

func TestOverload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := transport.NewMemory()
		var served, pushed int
		addr := ""
		here, there := idle(), newServer(func(_ *Link, h *Header, _ []byte, reply Reply, batch *transport.Batch) {
			if reply.OneWay() {
				pushed++
			} else {
				served++
			}
			reply.Send(batch, Payload{})
		})
		near, far := pair(t, n, here, there)
		addr = far.conn.LocalAddr().String()
		n.Pause(addr)
		// The peer takes nothing: calls and messages fail at once when the limit is reached.
		body := make([]byte, 16<<10)
		sent, done := 0, 0
		for {
			err := near.Start(nil, &Header{}, Payload{Raw: body}, completion(func(r Result) {
				if r.Err == nil {
					done++
				}
			}))
			if err == nil {
				sent++
				continue
			}
			if firefly.CodeOf(err) != firefly.Overloaded {
				t.Fatal(err)
			}
			break
		}
		if bytes := near.Stats().Bytes; bytes < 8<<20 || bytes > 8<<20+len(body)+1000 {
			t.Errorf("%d bytes wait", bytes)
		}
		if err := near.Send(nil, &Header{}, Payload{}); firefly.CodeOf(err) != firefly.Overloaded {
			t.Errorf("Send gives %v", err)
		}
		// The link lives through four seconds of that, in which no sign of life gets through.
		time.Sleep(4 * time.Second)
		n.Resume(addr)
		synctest.Wait()
		if done != sent || near.Err() != nil {
			t.Errorf("%d of %d calls were answered; %v", done, sent, near.Err())
		}
		// And it is silent, but not dead, for long.
		time.Sleep(time.Minute)
		if err := near.Send(nil, &Header{}, Payload{}); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if pushed != 1 {
			t.Errorf("%d messages arrived", pushed)
		}
	})
}

func TestFrameLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := transport.NewMemory()
		near, far := pair(t, n, idle(), idle())
		n.Pause(far.conn.LocalAddr().String())
		sent := 0
		for ; ; sent++ {
			if err := near.Send(nil, &Header{}, Payload{}); err != nil {
				if firefly.CodeOf(err) != firefly.Overloaded {
					t.Fatal(err)
				}
				break
			}
		}
		if frames := near.Stats().Frames; frames != 65536 {
			t.Errorf("%d frames wait", frames)
		}
	})
}

// Who asks and does not read the answers is cut off; nothing grows without bound.
func TestRepliesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := transport.NewMemory()
		var kept []Reply
		there := newServer(func(_ *Link, _ *Header, _ []byte, r Reply, _ *transport.Batch) { kept = append(kept, r) })
		near, far := pair(t, n, idle(), there)
		for range 40 {
			if err := near.Start(nil, &Header{}, Payload{}, completion(func(Result) {})); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		n.Pause(far.conn.LocalAddr().String())
		for _, r := range kept {
			r.Send(nil, Payload{Raw: make([]byte, 1000<<10)})
		}
		if !errors.Is(far.Err(), ErrStalled) {
			t.Errorf("the link: %v", far.Err())
		}
		n.Resume(far.conn.LocalAddr().String())
	})
}

func TestSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := transport.NewMemory()
		here, there := idle(), idle()
		near, far := pair(t, n, here, there)
		addr := far.conn.LocalAddr().String()
		time.Sleep(time.Hour)
		if near.Err() != nil || far.Err() != nil {
			t.Fatalf("an idle link ended: %v, %v", near.Err(), far.Err())
		}
		call := make(chan error, 1)
		begin := time.Now()
		n.Pause(addr)
		go func() { call <- near.Call(t.Context(), &Header{}, Payload{}, nil) }()
		if err := <-here.downs; !errors.Is(err, ErrSilent) {
			t.Errorf("Down says %v", err)
		}
		if d := time.Since(begin); d < 5*time.Second || d > 7*time.Second { // a beat that has just heard, six that have not
			t.Errorf("silence was noticed after %v", d)
		}
		if err := <-call; firefly.CodeOf(err) != firefly.Unknown {
			t.Errorf("the call ended with %v", err)
		}
		n.Resume(addr)
		<-there.downs
	})
}

func TestOversized(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := pair(t, transport.NewMemory(), idle(), newServer(func(_ *Link, h *Header, _ []byte, reply Reply, batch *transport.Batch) {
			reply.Send(batch, Payload{Raw: make([]byte, 1<<20)})
		}))
		// Ours are refused here, and the link goes on.
		if err := near.Call(t.Context(), &Header{}, Payload{Raw: make([]byte, 1<<20)}, nil); firefly.CodeOf(err) != firefly.InvalidArgument {
			t.Errorf("a request over the limit gives %v", err)
		}
		if err := near.Call(t.Context(), &Header{}, Payload{}, nil); firefly.CodeOf(err) != firefly.Internal {
			t.Errorf("a reply over the limit gives %v", err)
		}
		if err := near.Call(t.Context(), &Header{Target: strings.Repeat("x", 256)}, Payload{}, nil); firefly.CodeOf(err) != firefly.InvalidArgument {
			t.Errorf("a target over the limit gives %v", err)
		}
		if near.Err() != nil {
			t.Fatal(near.Err())
		}
		// Those of a peer end the link.
		far.raw([]byte{frameOneWay, 0x10, 0, 0})
		synctest.Wait()
		if !errors.Is(near.Err(), ErrTooLarge) {
			t.Errorf("the link: %v", near.Err())
		}
	})
}

// bad is a message that does not encode.
type bad struct{ panics bool }

func (b bad) SizeVT() int { return 4 }

func (b bad) MarshalToSizedBufferVT([]byte) (int, error) {
	if b.panics {
		panic("nil field")
	}
	return 3, nil
}

func TestBadMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := 0
		near, _ := pair(t, transport.NewMemory(), idle(), newServer(func(_ *Link, _ *Header, _ []byte, reply Reply, batch *transport.Batch) {
			if m++; m == 1 {
				reply.Send(batch, Payload{Msg: bad{}})
				return
			}
			reply.Send(batch, Payload{})
		}))
		for _, msg := range []bad{{true}, {false}} {
			if err := near.Call(t.Context(), &Header{}, Payload{Msg: msg}, nil); firefly.CodeOf(err) != firefly.InvalidArgument {
				t.Errorf("%+v gives %v", msg, err)
			}
		}
		if err := near.Call(t.Context(), &Header{}, Payload{}, nil); firefly.CodeOf(err) != firefly.Internal {
			t.Errorf("a reply that does not encode gives %v", err)
		}
		if err := near.Call(t.Context(), &Header{}, Payload{}, func([]byte) error { panic("in decode") }); firefly.CodeOf(err) != firefly.Internal {
			t.Errorf("a panic in decode gives %v", err)
		}
		if err := near.Call(t.Context(), &Header{}, Payload{}, nil); err != nil {
			t.Errorf("the link is hurt: %v", err)
		}
	})
}

func TestAllocations(t *testing.T) {
	near, _ := pair(t, transport.TCP(), idle(), idle())
	h := &Header{Kind: 1, ID: 5, Target: "world"}
	body := Payload{Msg: number(5)}
	decode := func([]byte) error { return nil }
	ctx := t.Context()
	n := testing.AllocsPerRun(2000, func() {
		if err := near.Call(ctx, h, body, decode); err != nil {
			t.Fatal(err)
		}
	})
	if n > 2 && !raceEnabled {
		t.Errorf("%.1f allocations per call, both sides", n)
	}
}
