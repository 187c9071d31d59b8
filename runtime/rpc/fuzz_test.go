package rpc

import (
	"bytes"
	"crypto/sha256"
	"net"
	"testing"
	"time"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/transport"
)

func frames(fs ...[]byte) (b []byte) {
	for _, f := range fs {
		b = append(b, f...)
	}
	return b
}

func frame(t byte, parts ...[]byte) []byte {
	b := begin(nil, t)
	b = append(b, frames(parts...)...)
	end(b, 0)
	return b
}

// FuzzFrame reads any bytes as the frames of a link that is up. What it understands must come
// back the same when it is written and read again, however the bytes are cut.
func FuzzFrame(f *testing.F) {
	full := Header{Kind: 2, ID: 1 << 60, Session: firefly.SessionID{Gate: 3, Seq: 1 << 31}, Player: -1, Epoch: 4, Request: 5,
		Timeout: time.Second, Hops: 2, Topology: 9, Key: 77, Flags: 3, Target: "world"}
	id := make([]byte, callSize)
	f.Add(frame(frameRequest, id, appendHeader(nil, &full), []byte("body")), uint8(3))
	f.Add(frames(frame(frameOneWay, appendHeader(nil, &Header{Kind: 1, ID: 1})), frame(frameReply, id, []byte("x"))), uint8(9))
	f.Add(frames(frame(frameFailure, id, appendFailure(nil, &firefly.Error{Code: "A", Message: "b"})), frame(frameAlive), frame(frameClose, []byte("bye"))), uint8(1))
	f.Add([]byte{frameRequest, 255, 255, 255}, uint8(0))
	f.Add([]byte{0}, uint8(0))
	f.Fuzz(func(t *testing.T, b []byte, cut uint8) {
		for rest := b; ; {
			typ, payload, n, err := parse(rest, 1<<20)
			if err != nil || n == 0 {
				break
			}
			if n < prefixSize || n > len(rest) || len(payload) != n-prefixSize {
				t.Fatalf("%d bytes taken of %d", n, len(rest))
			}
			if _, _, m, err := parse(rest[:n-1], 1<<20); m != 0 || err != nil {
				t.Fatalf("a frame less one byte is taken: %d, %v", m, err)
			}
			rest = rest[n:]
			switch {
			case typ == frameRequest && len(payload) >= callSize:
				again(t, payload[callSize:])
			case typ == frameOneWay:
				again(t, payload)
			}
		}
		// A link takes them whole and in two parts, and serves the same.
		whole, parts := up4fuzz(), up4fuzz()
		whole.feed(b)
		at := int(cut)
		if at > len(b) {
			at = len(b)
		}
		if n := parts.feed(b[:at]); n <= at {
			parts.feed(b[n:])
		}
		if !bytes.Equal(whole.served, parts.served) {
			t.Fatalf("served %x at once and %x in two parts", whole.served, parts.served)
		}
	})
}

func again(t *testing.T, b []byte) {
	var h, h2 Header
	var n names
	body, err := parseHeader(b, &h, &n)
	if err != nil {
		return
	}
	out := append(appendHeader(nil, &h), body...)
	if len(out)-len(body) > maxHeader-prefixSize-callSize {
		t.Fatalf("a header of %d bytes", len(out)-len(body))
	}
	body2, err := parseHeader(out, &h2, &n)
	if err != nil || h2 != h || !bytes.Equal(body, body2) {
		t.Fatalf("%+v became %+v, %v", h, h2, err)
	}
}

// fuzzed is a link over a connection that goes nowhere.
type fuzzed struct {
	*Link
	served []byte
	sent   []byte
	shut   bool
}

func (f *fuzzed) TryWrite(b []byte) (int, error) {
	if f.shut {
		return 0, net.ErrClosed
	}
	f.sent = append(f.sent, b...)
	return len(b), nil
}
func (f *fuzzed) Close()               { f.shut = true }
func (f *fuzzed) RemoteAddr() net.Addr { return &net.TCPAddr{} }
func (f *fuzzed) LocalAddr() net.Addr  { return &net.TCPAddr{} }

func (f *fuzzed) Serve(_ *Link, h *Header, body []byte, reply Reply, batch *transport.Batch) {
	f.served = append(appendHeader(f.served, h), body...)
	reply.Send(batch, Payload{Raw: body})
}
func (f *fuzzed) Down(*Link, error) {}

// feed gives bytes to the link and takes back what it did not consume; it gives how many it
// did.
func (f *fuzzed) feed(b []byte) int {
	var batch transport.Batch
	n := (*events)(f.Link).Data(f, b, &batch)
	batch.Flush()
	return n
}

func new4fuzz(hs *handshake) *fuzzed {
	o := options("fuzzed").withDefaults()
	f := &fuzzed{Link: newLink(o, hs)}
	f.attach(f)
	f.timer.Stop()
	return f
}

func up4fuzz() *fuzzed {
	f := new4fuzz(&handshake{})
	f.hs, f.handler, f.stage = nil, f, expectFrames
	f.phase.Store(up)
	return f
}

// FuzzHandshake reads any bytes as a peer that does not know the secret: nothing may be
// served or even told to it. Then as the identity of one that does.
func FuzzHandshake(f *testing.F) {
	var nonce [nonceSize]byte
	f.Add(greet(&nonce), true)
	f.Add(append(greet(&nonce), make([]byte, proofSize+20)...), false)
	f.Add(append(greet(&nonce), proof([]byte("guess"), dialing, &nonce, &nonce)...), false)
	f.Add(appendIdentity(nil, &Identity{Node: "world-1", Incarnation: 5, Game: "arena", Address: "h:1", Roles: []string{"world"},
		Shapes: []Shape{{"arena.v1.Arena.Join", 5, []uint64{1, 2}}}}), true)
	f.Add([]byte("GET / HTTP/1.1\r\n"), false)
	f.Fuzz(func(t *testing.T, b []byte, dialer bool) {
		l := new4fuzz(&handshake{dialer: dialer, done: func(error) {}, accept: func(*Link) Handler { t.Fatal("accepted"); return nil }})
		l.feed(b)
		if len(l.served) > 0 || l.phase.Load() == known || l.phase.Load() == up {
			t.Fatal("a stranger got in")
		}
		if len(l.sent) > greetSize && !dialer || len(l.sent) > sha256.Size && dialer {
			t.Fatalf("%d bytes were told to a stranger", len(l.sent))
		}
		self := Identity{Shapes: []Shape{{Name: "x", Hash: 1}}}
		id, err := parseIdentity(b, &self)
		if err != nil {
			return
		}
		again, err := parseIdentity(appendIdentity(nil, &id), &self)
		if err != nil || again.Node != id.Node || len(again.Roles) != len(id.Roles) || len(again.Shapes) != len(id.Shapes) {
			t.Fatalf("%+v became %+v, %v", id, again, err)
		}
	})
}
