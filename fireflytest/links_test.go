package fireflytest_test

import (
	"context"
	"encoding/binary"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/fireflytest"
	"github.com/firefly-go/firefly/runtime/node"
	"github.com/firefly-go/firefly/runtime/transport"
)

// number is a message of eight bytes.
type number struct {
	proto.Message
	v uint64
}

func (n *number) SizeVT() int { return 8 }
func (n *number) MarshalToSizedBufferVT(b []byte) (int, error) {
	binary.BigEndian.PutUint64(b[len(b)-8:], n.v)
	return 8, nil
}
func (n *number) UnmarshalVT(b []byte) error { n.v = binary.BigEndian.Uint64(b); return nil }

// TestBrokenLinks: the links between the gate and a world node break again and again. The game
// pushes on, and its client gets everything once and in order.
func TestBrokenLinks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const cmdStart firefly.CommandID = 20
		tick := &firefly.PushSpec{ID: 2001, Name: "test.Tick"}
		schemas := []*firefly.Schema{{
			Package: "test", Fingerprint: 7, Pushes: []firefly.PushSpec{*tick},
			Commands: []firefly.Command{{ID: cmdStart, Name: "test.World.Start", Role: "world", Auth: firefly.AuthPublic,
				Timeout: 5 * time.Second, RawRequest: true, RawReply: true, Shape: 20}},
		}}
		var sent atomic.Uint64
		g := fireflytest.Start(t,
			node.Role{Name: "gate", Listens: &node.Listens{TCP: 7700}, Schemas: schemas, New: func(*node.Builder) {}},
			node.Role{Name: "world", Schemas: schemas, New: func(b *node.Builder) {
				d, push := b.Node(), b.Pusher()
				node.RawCommand(b, cmdStart, func(ctx context.Context, s firefly.Session, _ []byte) ([]byte, error) {
					d.Every(10*time.Millisecond, "tick", func(ctx context.Context) {
						if err := push.Push(ctx, s, tick, node.NoKey(), &number{v: sent.Add(1)}); err != nil {
							t.Error(err)
						}
					})
					return nil, nil
				})
			}},
		)
		c := dial(t, g)
		var came atomic.Uint64
		c.OnPush(tick.ID, func(body []byte) {
			if n := binary.BigEndian.Uint64(body); n != came.Add(1) {
				t.Errorf("push %d came as number %d", n, came.Load())
			}
		})
		ask(t, c, cmdStart, "")
		var address string
		for _, m := range g.Members("gate-1") {
			if m.Name == "world-1" {
				address = m.Address
			}
		}
		cuts := 0
		for range 100 {
			time.Sleep(70 * time.Millisecond)
			cuts += g.Network().(*transport.Memory).Cut(address)
		}
		if cuts < 50 {
			t.Errorf("only %d links broke", cuts)
		}
		g.Await("the pushes", func() bool { return came.Load() == sent.Load() && came.Load() > 500 })
		if err := c.Err(); err != nil {
			t.Error(err)
		}
	})
}
