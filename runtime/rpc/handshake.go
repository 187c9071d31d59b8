package rpc

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/firefly-go/firefly"
)

// Before the first frame both sides prove that they know the secret, the dialing side first,
// so that a stranger who dials learns nothing made with it:
//
//	dialer:    preamble, nonce
//	acceptor:  preamble, nonce
//	dialer:    proof
//	acceptor:  proof, then its Identity as a frame
//	dialer:    its Identity as a frame
//	acceptor:  Ready, or Close with the reason
//
// Nothing here has a length that the other side chooses. A proof is over both nonces and the
// side that gives it, so none can be sent back or used again.
const (
	preamble   = "FFL\x01" // the last byte is the version of the protocol
	nonceSize  = 32
	greetSize  = len(preamble) + nonceSize
	proofSize  = sha256.Size
	dialing    = "firefly link, dialing side"
	accepting  = "firefly link, accepting side"
	maxRoles   = 256
	maxShapes  = 1 << 16
	maxAccepts = 256
)

// Errors of the handshake.
var (
	// ErrSecret: the other side does not know the cluster secret, or is no link at all.
	ErrSecret = errors.New("rpc: the peer does not know the cluster secret")
	// ErrVersion: the other side speaks another version of this protocol.
	ErrVersion = errors.New("rpc: the peer speaks another version of the link protocol, or none")
)

// RefusedError is what Dial gives when the peer knows the secret but does not want the link.
type RefusedError struct{ Reason string }

func (e *RefusedError) Error() string { return "rpc: refused by the peer: " + e.Reason }

// greet is the first message of a side.
func greet(nonce *[nonceSize]byte) []byte { return append([]byte(preamble), nonce[:]...) }

// parseGreet reads it; ok is false when more bytes are needed.
func parseGreet(b []byte) (nonce [nonceSize]byte, ok bool, err error) {
	n := min(len(b), len(preamble))
	if string(b[:n]) != preamble[:n] {
		return nonce, false, ErrVersion
	}
	if len(b) < greetSize {
		return nonce, false, nil
	}
	copy(nonce[:], b[len(preamble):greetSize])
	return nonce, true, nil
}

// proof is what only who knows the secret can say.
func proof(secret []byte, side string, dialer, acceptor *[nonceSize]byte) []byte {
	m := hmac.New(sha256.New, secret)
	m.Write([]byte(side))
	m.Write(dialer[:])
	m.Write(acceptor[:])
	return m.Sum(nil)
}

// appendIdentity appends id, for an Identity frame.
func appendIdentity(b []byte, id *Identity) []byte {
	b = appendText(b, id.Node)
	b = binary.BigEndian.AppendUint64(b, uint64(id.Incarnation))
	b = appendText(b, id.Game)
	b = appendText(b, id.Address)
	b = binary.AppendUvarint(b, uint64(len(id.Roles)))
	for _, r := range id.Roles {
		b = appendText(b, r)
	}
	return appendShapes(b, id.Shapes)
}

func appendShapes(b []byte, shapes []Shape) []byte {
	b = binary.AppendUvarint(b, uint64(len(shapes)))
	for _, s := range shapes {
		b = appendText(b, s.Name)
		b = binary.BigEndian.AppendUint64(b, s.Hash)
		b = binary.AppendUvarint(b, uint64(len(s.Accepts)))
		for _, a := range s.Accepts {
			b = binary.BigEndian.AppendUint64(b, a)
		}
	}
	return b
}

// parseIdentity reads what appendIdentity wrote; bytes behind it are ignored, since a newer
// peer may say more. Nothing of the result is a slice of b. Peers are mostly of one build:
// then self's shapes are used again.
func parseIdentity(b []byte, self *Identity) (id Identity, err error) {
	r := reader{b: b}
	id.Node = r.text()
	id.Incarnation = firefly.Incarnation(r.uint64())
	id.Game = r.text()
	id.Address = r.text()
	n := r.count(maxRoles, 1)
	for range n {
		id.Roles = append(id.Roles, r.text())
	}
	if own := appendShapes(nil, self.Shapes); !r.bad && bytes.HasPrefix(r.b, own) {
		id.Shapes = self.Shapes
		return id, nil
	}
	n = r.count(maxShapes, 10)
	for range n {
		s := Shape{Name: r.text(), Hash: r.uint64()}
		for range r.count(maxAccepts, 8) {
			s.Accepts = append(s.Accepts, r.uint64())
		}
		id.Shapes = append(id.Shapes, s)
	}
	if r.bad {
		return Identity{}, fmt.Errorf("%w: identity", ErrMalformed)
	}
	return id, nil
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func (r *reader) text() string {
	n := r.uvarint()
	if n > uint64(len(r.b)) {
		r.b, r.bad = nil, true
		return ""
	}
	return string(r.take(int(n)))
}

// count reads how many elements follow, each of at least size bytes.
func (r *reader) count(limit, size int) int {
	n := r.uvarint()
	if n > uint64(limit) || n > uint64(len(r.b)/size) {
		r.b, r.bad = nil, true
		return 0
	}
	return int(n)
}

// handshake is what a link knows only until it is up.
type handshake struct {
	dialer      bool
	own, theirs [nonceSize]byte
	accept      func(*Link) Handler
	done        func(error) // exactly once: nil when up
}

func (s *handshake) proof(secret []byte, side string) []byte {
	if s.dialer {
		return proof(secret, side, &s.own, &s.theirs)
	}
	return proof(secret, side, &s.theirs, &s.own)
}

func (l *Link) appendSelf(b []byte) []byte {
	at := len(b)
	b = appendIdentity(begin(b, frameIdentity), &l.o.Self)
	end(b, at)
	return b
}

// accepted asks for the Handler and brings the link up.
func (l *Link) accepted() bool {
	if !l.phase.CompareAndSwap(known, up) {
		return false // closed meanwhile
	}
	hs := l.hs
	l.stage = expectFrames
	if l.handler = l.ask(hs.accept); l.handler == nil {
		l.end(errors.New("rpc: refused"), "refused", true)
		return false
	}
	l.hs = nil
	l.mu.Lock()
	l.timer.Stop()
	if l.cause == nil {
		l.timer = time.AfterFunc(l.o.Heartbeat, l.beat)
	}
	l.mu.Unlock()
	if !hs.dialer {
		l.raw([]byte{frameReady, 0, 0, 0})
	}
	hs.done(nil)
	return true
}

func (l *Link) ask(accept func(*Link) Handler) (h Handler) {
	defer l.recovered("accept", nil)
	return accept(l)
}

// refused is a Close frame of the peer.
func (l *Link) refused(reason string) {
	var err error = &PeerError{Reason: reason}
	switch {
	case l.stage != expectFrames:
		err = &RefusedError{Reason: reason}
	case reason == "":
		err = ErrClosed
	}
	l.mu.Lock()
	if l.cause == nil {
		l.cause = err
	}
	l.mu.Unlock()
	l.phase.Store(closing)
	l.q.Close()
}
