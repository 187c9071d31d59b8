package router

import (
	"context"
	"testing"
	"time"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/rpc"
)

// FuzzServe: whatever a peer sends, the dispatcher answers it, exactly once, and goes on.
func FuzzServe(f *testing.F) {
	f.Add(uint8(KindCommand), uint64(1), uint32(1), int64(5), uint64(1), uint64(0), uint8(0), "world", numBody(1))
	f.Add(uint8(KindCommand), uint64(2), uint32(1), int64(0), uint64(0), uint64(11), uint8(FlagUnordered), "", []byte("raw"))
	f.Add(uint8(KindCall), uint64(7), uint32(0), int64(5), uint64(1), uint64(3), uint8(0), "world", numBody(1))
	f.Add(uint8(KindPush), uint64(1), uint32(0), int64(0), uint64(0), uint64(0), uint8(0), "", AppendPush(nil, 1, 0, 0, ToEveryone, nil, nil, "", nil))
	for op := uint64(OpBind); op <= OpKick; op++ {
		f.Add(uint8(KindControl), op, uint32(1), int64(0), uint64(0), uint64(0), uint8(0), "world", Close{Session: sid(1), Reason: "X"}.Append(nil))
		f.Add(uint8(KindControl), op, uint32(1), int64(0), uint64(0), uint64(0), uint8(0), "", Bound{sid(1), 5, 1}.Append(nil))
	}
	f.Fuzz(func(t *testing.T, kind uint8, id uint64, seq uint32, player int64, epoch, key uint64, flags uint8, target string, body []byte) {
		if len(target) > 255 {
			return
		}
		s := &firefly.CallSpec{Name: "test.v1.Call", ID: 7}
		r := newRig(t, HostOptions{}, func(h *Host) {
			handle(h, 1, echo)
			h.HandleCommand(&firefly.Command{ID: 2}, nil, func(_ context.Context, _ firefly.Session, req any) (Body, error) {
				return Body{Raw: req.([]byte)}, nil
			})
			serve(h, s, func(_ context.Context, req *num) (*num, error) { return req, nil })
			h.Node().OnConnect(func(context.Context, firefly.Session) {})
			h.Node().OnClose(func(context.Context, firefly.Session, firefly.Reason) {})
		}).start()
		defer r.stop()
		r.command(1, 1, numBody(1)).wait()
		h := rpc.Header{
			Kind: rpc.Kind(kind), ID: id, Session: firefly.SessionID{Gate: gateLife, Seq: seq}, Player: firefly.PlayerID(player),
			Epoch: epoch, Key: key, Flags: flags, Target: target, Timeout: time.Second,
		}
		if err := r.gate.link.Send(nil, &h, rpc.Payload{Raw: body}); err != nil {
			t.Fatal(err)
		}
		select {
		case <-r.gate.start(t, h, body, nil).done:
		case <-time.After(10 * time.Second):
			t.Fatal("no answer")
		}
		if a := r.command(1, 99, numBody(1)).wait(); a.err != nil {
			t.Fatalf("it does not go on: %v", a.err)
		}
	})
}

// BenchmarkPush is a push of a handler to one session, without the gate.
func BenchmarkPush(b *testing.B) {
	done := make(chan struct{})
	r := newRig(b, HostOptions{}, func(h *Host) {
		handle(h, 1, func(ctx context.Context, s firefly.Session, req *num) (*num, error) {
			msg := &num{v: 1}
			b.ReportAllocs()
			for b.Loop() {
				if err := h.router.Push(ctx, firefly.Players{1}, moved, NoKey(), msg); err != nil {
					b.Error(err)
				}
			}
			close(done)
			return req, nil
		})
	}).start()
	defer r.stop()
	r.command(1, 1, numBody(1))
	<-done
}
