package gate

import (
	"errors"
	"testing"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/cluster"
	"github.com/firefly-go/firefly/runtime/router"
	"github.com/firefly-go/firefly/runtime/rpc"
	"github.com/firefly-go/firefly/runtime/transport"
	"github.com/firefly-go/firefly/runtime/wire"
)

// note is a reply that is still a message: its text, and what it does wrong.
type note struct {
	text  string
	fault string
}

func (n note) SizeVT() int {
	if n.fault == "size" {
		panic("no size")
	}
	return len(n.text)
}

func (n note) MarshalToSizedBufferVT(b []byte) (int, error) {
	switch n.fault {
	case "panic":
		panic("no bytes")
	case "error":
		return 0, errors.New("no bytes")
	case "short":
		return 0, nil
	}
	return copy(b, n.text), nil
}

// noter answers a command with a note: the body is the text, or "!" and the fault.
type noter struct{}

func (noter) Serve(_ *cluster.Peer, h *rpc.Header, body []byte, reply rpc.Reply, batch *transport.Batch) {
	n := note{text: string(body)}
	if h.Kind == router.KindCommand && len(body) > 0 && body[0] == '!' {
		n.fault = n.text[1:]
	}
	reply.Send(batch, rpc.Payload{Msg: n})
	reply.Send(batch, rpc.Payload{Msg: note{text: "twice"}})
	reply.Fail(batch, &firefly.Error{Code: firefly.Conflict})
}

// keeper is a connection that keeps what is written.
type keeper struct {
	sink
	b []byte
}

func (k *keeper) TryWrite(b []byte) (int, error) {
	k.b = append(k.b, b...)
	return len(b), nil
}

// What a role of the gate's own process answers is written to the client once and whole, and
// a reply that does not encode costs nobody but its own request.
func TestMessageReplies(t *testing.T) {
	bodies := []string{"one", "!panic", "two", "!error", "!short", "!size", "", "three"}
	g := loneWith(t, noter{})
	batch := &transport.Batch{}

	conn := &keeper{}
	h := g.accept(conn)
	in := append([]byte(wire.Preamble), helloFrame(wire.Hello{Protocol: wire.Version})...)
	for i, body := range bodies {
		in = wire.AppendRequest(in, cmdEcho, uint64(i+1), []byte(body))
	}
	h.Data(conn, in, batch)
	batch.Flush()
	_, n, err := wire.Parse(conn.b, maxShapes)
	if err != nil || n == 0 {
		t.Fatal("no welcome", err)
	}
	out := conn.b[n:]
	for i, body := range bodies {
		f, n, err := wire.Parse(out, defaultMaxFrame)
		if err != nil || n == 0 {
			t.Fatalf("reply %d: %d bytes, %v", i+1, n, err)
		}
		out = out[n:]
		wrong := body != "" && body[0] == '!'
		switch {
		case f.Seq != uint64(i+1):
			t.Errorf("reply %d comes for %d", i+1, f.Seq)
		case wrong && (f.Type != wire.Error || string(f.Name) != string(firefly.Internal)):
			t.Errorf("%s: %v %s", body, f.Type, f.Name)
		case !wrong && (f.Type != wire.Reply || string(f.Body) != body):
			t.Errorf("%q: %v %q", body, f.Type, f.Body)
		}
	}
	if len(out) > 0 {
		t.Errorf("%d bytes more", len(out))
	}

	// A classic client of this gate hears nothing of errors.
	conn = &keeper{}
	h = g.accept(conn)
	in = nil
	var want []byte
	for _, body := range bodies {
		in = testClassic.Append(in, cmdEcho, []byte(body))
		if body == "" || body[0] != '!' {
			want = testClassic.Append(want, cmdEcho, []byte(body))
		}
	}
	h.Data(conn, in, batch)
	batch.Flush()
	if string(conn.b) != string(want) {
		t.Errorf("classic: %q, not %q", conn.b, want)
	}
}
