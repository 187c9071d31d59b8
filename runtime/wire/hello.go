package wire

import (
	"encoding/binary"
	"math"
	"time"
)

// Version is the version of the native protocol that this package speaks.
const Version = 1

// Preamble begins a native connection, before the first frame: what no classic magic, no TLS
// record and no HTTP request begins with, and the version.
const Preamble = "\xFF\x46\x46\x01"

// Native says whether a connection whose first byte this is speaks the native protocol.
func Native(first byte) bool { return first == Preamble[0] }

// ParsePreamble takes the preamble from b. n is its size, 0 without an error while bytes are
// missing. The version is the caller's to judge; ErrMalformed means that b begins otherwise.
func ParsePreamble(b []byte) (version uint8, n int, err error) {
	for i := 0; i < len(b) && i < len(Preamble)-1; i++ {
		if b[i] != Preamble[i] {
			return 0, 0, ErrMalformed
		}
	}
	if len(b) < len(Preamble) {
		return 0, 0, nil
	}
	return b[len(Preamble)-1], len(Preamble), nil
}

// Codec says how the bodies of a connection are encoded.
type Codec uint8

// The codecs.
const (
	Protobuf Codec = iota
	JSON
)

// Shape is the hash of what a command or push looks like in a client's declaration.
type Shape struct {
	ID   uint32
	Hash uint64
}

// Hello is what a client says first.
type Hello struct {
	Protocol    uint8 // Version
	Codec       Codec
	Fingerprint uint64 // of the declaration that the client was built from; 0: it has none
	Version     string // of the client, for min_client
	Resume      []byte // token of the session to go on with; empty: a new one
	LastPush    uint64 // count of pushes seen in that session
	Shapes      []Shape
}

// Refusal names a command or push that the gate will not serve to this client.
type Refusal struct {
	ID   uint32
	Name string
}

// Welcome is the gate's answer to a Hello.
//
// A gate that does not know the fingerprint answers with NeedShapes and nothing else that
// counts; the client then says Hello again with all its Shapes, and the next Welcome holds
// what is refused.
type Welcome struct {
	Session     string
	Token       []byte // for Hello.Resume
	Heartbeat   time.Duration
	Resumed     bool
	NextPush    uint64 // count that the next push will have
	NeedShapes  bool
	Refused     []Refusal
	Fingerprint uint64 // of the gate's declaration
}

// AppendHello appends the body of a Hello frame.
func AppendHello(dst []byte, h *Hello) []byte {
	dst = append(dst, h.Protocol, byte(h.Codec))
	dst = binary.BigEndian.AppendUint64(dst, h.Fingerprint)
	dst = appendText(dst, h.Version)
	dst = appendText(dst, h.Resume)
	dst = appendUvarint(dst, h.LastPush)
	dst = appendUvarint(dst, uint64(len(h.Shapes)))
	for _, s := range h.Shapes {
		dst = appendUvarint(dst, uint64(s.ID))
		dst = binary.BigEndian.AppendUint64(dst, s.Hash)
	}
	return dst
}

// ParseHello reads the body of a Hello frame. Resume is a slice of b. Bytes behind what this
// version knows are ignored, so that later versions may add fields. A codec that this version
// does not know is malformed.
func ParseHello(b []byte) (h Hello, err error) {
	r := reader{b: b}
	h.Protocol = r.byte()
	h.Codec = Codec(r.byte())
	h.Fingerprint = r.fixed64()
	h.Version = string(r.text())
	h.Resume = r.text()
	h.LastPush = r.uvarint()
	const least = 1 + 8 // bytes of a shape
	if n := r.count(least); n > 0 {
		h.Shapes = make([]Shape, n)
		for i := range h.Shapes {
			h.Shapes[i] = Shape{ID: r.uint32(), Hash: r.fixed64()}
		}
	}
	if r.bad || h.Codec > JSON {
		return Hello{}, ErrMalformed
	}
	return h, nil
}

// The bits of a Welcome.
const (
	welcomeResumed = 1 << iota
	welcomeNeedShapes
)

// AppendWelcome appends the body of a Welcome frame. Heartbeat travels in milliseconds.
func AppendWelcome(dst []byte, w *Welcome) []byte {
	var bits byte
	if w.Resumed {
		bits |= welcomeResumed
	}
	if w.NeedShapes {
		bits |= welcomeNeedShapes
	}
	dst = appendText(dst, w.Session)
	dst = appendText(dst, w.Token)
	dst = appendUvarint(dst, uint64(max(0, w.Heartbeat/time.Millisecond)))
	dst = append(dst, bits)
	dst = appendUvarint(dst, w.NextPush)
	dst = appendUvarint(dst, uint64(len(w.Refused)))
	for _, f := range w.Refused {
		dst = appendUvarint(dst, uint64(f.ID))
		dst = appendText(dst, f.Name)
	}
	return binary.BigEndian.AppendUint64(dst, w.Fingerprint)
}

// ParseWelcome reads the body of a Welcome frame. Token is a slice of b. Unknown bits and
// bytes behind what this version knows are ignored.
func ParseWelcome(b []byte) (w Welcome, err error) {
	r := reader{b: b}
	w.Session = string(r.text())
	w.Token = r.text()
	ms := r.uvarint()
	bits := r.byte()
	w.Resumed, w.NeedShapes = bits&welcomeResumed != 0, bits&welcomeNeedShapes != 0
	w.NextPush = r.uvarint()
	const least = 1 + 1 // bytes of a refusal
	if n := r.count(least); n > 0 {
		w.Refused = make([]Refusal, n)
		for i := range w.Refused {
			w.Refused[i] = Refusal{ID: r.uint32(), Name: string(r.text())}
		}
	}
	w.Fingerprint = r.fixed64()
	if r.bad || ms > uint64(math.MaxInt64/time.Millisecond) {
		return Welcome{}, ErrMalformed
	}
	w.Heartbeat = time.Duration(ms) * time.Millisecond
	return w, nil
}

// reader takes fields from a body; after the first that is not there everything is zero.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) fail() { r.b, r.bad = nil, true }

func (r *reader) byte() byte {
	if len(r.b) == 0 {
		r.fail()
		return 0
	}
	v := r.b[0]
	r.b = r.b[1:]
	return v
}

func (r *reader) fixed64() uint64 {
	if len(r.b) < 8 {
		r.fail()
		return 0
	}
	v := binary.BigEndian.Uint64(r.b)
	r.b = r.b[8:]
	return v
}

func (r *reader) uvarint() uint64 {
	v, k := uvarint(r.b)
	if k <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[k:]
	return v
}

func (r *reader) uint32() uint32 {
	v := r.uvarint()
	if v > math.MaxUint32 {
		r.fail()
		return 0
	}
	return uint32(v)
}

func (r *reader) text() []byte {
	s, rest, ok := text(r.b)
	if !ok {
		r.fail()
		return nil
	}
	r.b = rest
	return s
}

// count takes the length of a list whose elements take at least size bytes each: what cannot
// be there is not allocated for.
func (r *reader) count(size int) int {
	n := r.uvarint()
	if n > uint64(len(r.b)/size) {
		r.fail()
		return 0
	}
	return int(n)
}
