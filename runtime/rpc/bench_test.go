package rpc

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/firefly-go/firefly/runtime/transport"
)

func benchPair(b *testing.B, n transport.Network) *Link {
	ln, err := Listen(n, "127.0.0.1:0", options("far"), func(*Link) Handler { return idle() })
	if err != nil {
		b.Fatal(err)
	}
	o := options("near")
	o.Handler = idle()
	l, err := Dial(context.Background(), n, ln.Addr().String(), o)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { l.Close(nil); _ = ln.Close() })
	return l
}

// BenchmarkCall is a unary call of so many callers over one link on loopback, both sides.
func BenchmarkCall(b *testing.B) {
	for _, callers := range []int{1, 16, 256} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			l := benchPair(b, transport.TCP())
			ctx := context.Background()
			body := make([]byte, 34)
			b.ReportAllocs()
			b.ResetTimer()
			var wg sync.WaitGroup
			for i := range callers {
				n := b.N / callers
				if i < b.N%callers {
					n++
				}
				wg.Go(func() {
					h := &Header{Kind: 2, ID: 1}
					decode := func([]byte) error { return nil }
					for range n {
						if err := l.Call(ctx, h, Payload{Raw: body}, decode); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
		})
	}
}

// BenchmarkStart keeps 256 calls under way from the link's own reader, as a gate does.
func BenchmarkStart(b *testing.B) {
	l := benchPair(b, transport.TCP())
	body := make([]byte, 34)
	done := make(chan struct{})
	s := &starter{l: l, left: b.N, wait: b.N, body: body, done: done}
	b.ReportAllocs()
	b.ResetTimer()
	s.mu.Lock()
	var batch transport.Batch
	for range min(256, b.N) {
		s.left--
		_ = l.Start(&batch, &s.h, Payload{Raw: body}, s)
	}
	s.mu.Unlock()
	batch.Flush()
	<-done
}

type starter struct {
	mu         sync.Mutex
	l          *Link
	h          Header
	left, wait int
	body       []byte
	done       chan struct{}
}

func (s *starter) Complete(_ Result, batch *transport.Batch) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.wait--; s.wait == 0 {
		close(s.done)
	}
	if s.left > 0 {
		s.left--
		_ = s.l.Start(batch, &s.h, Payload{Raw: s.body}, s)
	}
}

func BenchmarkLocal(b *testing.B) {
	l := Local(Identity{Node: "me"}, idle())
	ctx := context.Background()
	h := &Header{Kind: 2, ID: 1}
	b.ReportAllocs()
	for b.Loop() {
		if err := l.Call(ctx, h, Payload{Msg: number(5)}, nil); err != nil {
			b.Fatal(err)
		}
	}
}
