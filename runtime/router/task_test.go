package router

import (
	"context"
	"testing"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/rpc"
)

// A ctx that a handler keeps stays its own for ever: it has ended, and knows its own request.
func TestKeptContexts(t *testing.T) {
	const n = 100
	var kept []context.Context // on the loop
	r := newRig(t, HostOptions{}, func(h *Host) {
		handle(h, 1, func(ctx context.Context, _ firefly.Session, req *num) (*num, error) {
			kept = append(kept, ctx)
			return req, nil
		})
	}).start()
	for i := range n {
		r.command(1, i%3, numBody(1), func(h *rpc.Header) { h.Request = firefly.RequestID(1000 + i) }).wait()
	}
	r.stop()
	for i, ctx := range kept {
		call := firefly.CallOf(ctx)
		if call == nil || call.Request != firefly.RequestID(1000+i) || call.Session.ID() != sid(i%3) {
			t.Fatalf("ctx %d is of call %+v", i, call)
		}
		if err := ctx.Err(); err == nil {
			t.Fatalf("ctx %d goes on", i)
		}
	}
	if len(kept) != n {
		t.Fatalf("%d handlers", len(kept))
	}
}

// A session that has ended begins anew with the next command, also when it was the one whose
// command came last.
func TestSessionBeginsAnew(t *testing.T) {
	var connects []firefly.Session // on the loop
	closes := 0
	r := newRig(t, HostOptions{}, func(h *Host) {
		handle(h, 1, echo)
		h.Node().OnConnect(func(_ context.Context, s firefly.Session) { connects = append(connects, s) })
		h.Node().OnClose(func(context.Context, firefly.Session, firefly.Reason) { closes++ })
	}).start()
	for range 3 {
		for range 2 {
			if a := r.command(1, 1, numBody(1), as(5, 7)).wait(); a.err != nil {
				t.Fatal(a.err)
			}
		}
		r.closed(1, firefly.Moved).wait()
	}
	if s := r.host.find(sid(1)); s != nil || r.host.last.Load() != nil {
		t.Error("an ended session is still there")
	}
	r.stop()
	if len(connects) != 3 || closes != 3 {
		t.Fatalf("%d beginnings, %d ends", len(connects), closes)
	}
	if connects[0] == connects[1] || connects[1] == connects[2] {
		t.Error("a session lived twice")
	}
}
