package gate

import (
	"io"
	"log/slog"
	"net"
	"testing"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/transport"
	"github.com/firefly-go/firefly/runtime/wire"
)

// sink is a connection that swallows what is written.
type sink struct{ closed bool }

func (s *sink) TryWrite(b []byte) (int, error) { return len(b), nil }
func (s *sink) Close()                         { s.closed = true }
func (s *sink) RemoteAddr() net.Addr           { return tcpAddr("192.0.2.1:1") }
func (s *sink) LocalAddr() net.Addr            { return tcpAddr("192.0.2.2:2") }

// FuzzClient feeds a gate without commands whatever bytes, in two pieces.
func FuzzClient(f *testing.F) {
	hello := append([]byte(wire.Preamble), helloFrame(wire.Hello{Protocol: wire.Version, Resume: make([]byte, 20)})...)
	f.Add([]byte{}, uint(0))
	f.Add(hello, uint(3))
	f.Add(wire.AppendAck(wire.AppendPing(wire.AppendRequest(hello, 1, 1, []byte("x")), 5), 9), uint(40))
	f.Add(testClassic.Append(testClassic.Append(nil, 1, []byte("body")), 2, nil), uint(18))
	f.Add(append([]byte(wire.Preamble), helloFrame(wire.Hello{Protocol: wire.Version, Fingerprint: 4, Shapes: []wire.Shape{{ID: 1, Hash: 2}}})...), uint(9))
	f.Fuzz(func(t *testing.T, b []byte, cut uint) {
		g, err := New(Options{
			Node: "gate-1", Incarnation: 1, Listens: firefly.Listens{Classic: &firefly.Classic{}},
			Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
		})
		if err != nil {
			t.Fatal(err)
		}
		conn := &sink{}
		h := g.accept(conn)
		batch := &transport.Batch{}
		at := int(cut % uint(len(b)+1))
		n := h.Data(conn, b[:at:at], batch)
		if n < 0 || n > at {
			t.Fatalf("consumed %d of %d", n, at)
		}
		h.Data(conn, b[n:], batch)
		batch.Flush()
		h.Closed(conn, nil)
		if st := g.Stats(); st.Sessions != st.Dropped || st.Connections != 0 || st.Unfinished != 0 {
			t.Fatalf("left over: %+v", st)
		}
	})
}
