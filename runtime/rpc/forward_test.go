package rpc

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/transport"
)

// forwarded is a call that is used again, as a gate's.
type forwarded struct {
	place  LocalCall
	bodies []string
	msgs   []Marshaler
	codes  []firefly.Code
}

func (f *forwarded) Place() *LocalCall { return &f.place }

func (f *forwarded) Complete(r Result, _ *transport.Batch) {
	if r.Err != nil {
		f.codes = append(f.codes, r.Err.Code)
		return
	}
	f.bodies = append(f.bodies, string(r.Body))
}

func (f *forwarded) CompleteMessage(m Marshaler, _ *transport.Batch) {
	f.msgs = append(f.msgs, m)
	if m == number(13) {
		panic("a fault")
	}
}

func TestForward(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var kept []Reply
		serve := func(_ *Link, h *Header, body []byte, reply Reply, batch *transport.Batch) {
			switch h.ID {
			case 1:
				reply.Send(batch, Payload{Raw: body})
			case 2:
				reply.Send(batch, Payload{Msg: number(7)})
			case 3:
				reply.Send(batch, Payload{Msg: number(13)})
			case 4:
				panic("a fault")
			}
			kept = append(kept, reply)
		}
		body := []byte("here")
		l := Local(Identity{Node: "me"}, newServer(serve))
		l.o.Log = quiet()
		f := &forwarded{}
		for id := uint64(1); id <= 4; id++ {
			if err := l.Forward(nil, &Header{ID: id}, body, f); err != nil {
				t.Fatal(id, err)
			}
			for _, r := range kept { // late replies of former calls reach nobody
				r.Send(nil, Payload{Msg: number(99)})
				r.Fail(nil, &firefly.Error{Code: firefly.Conflict})
			}
		}
		if fmt.Sprint(f.bodies, f.msgs, f.codes) != "[here] [7 13] [INTERNAL]" {
			t.Error(f.bodies, f.msgs, f.codes)
		}
		for _, r := range []struct {
			h    Header
			body []byte
		}{{Header{}, make([]byte, 1<<20)}, {Header{Target: strings.Repeat("x", 256)}, nil}} {
			if err := l.Forward(nil, &r.h, r.body, f); firefly.CodeOf(err) != firefly.InvalidArgument {
				t.Error(err)
			}
		}
		l.Close(nil)
		if err := l.Forward(nil, &Header{}, nil, f); firefly.CodeOf(err) != firefly.Unavailable {
			t.Error(err)
		}

		// To another process it is Start.
		near, far := pair(t, transport.NewMemory(), idle(), newServer(serve))
		f = &forwarded{}
		for id := uint64(1); id <= 2; id++ {
			if err := near.Forward(nil, &Header{ID: id}, body, f); err != nil {
				t.Fatal(id, err)
			}
			synctest.Wait()
		}
		if fmt.Sprintf("%q", f.bodies) != `["here" "\x00\x00\x00\x00\x00\x00\x00\a"]` {
			t.Errorf("%q", f.bodies)
		}
		near.Close(nil)
		far.Close(nil)
	})
}
