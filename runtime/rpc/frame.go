package rpc

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/firefly-go/firefly"
)

// A frame is four bytes, type and length of what follows, and that: a request or one-way
// message is a header and its body, a reply the call and its body, a failure the call, a code
// and a text.
const (
	frameRequest  = 1 + iota // call, header, body
	frameOneWay              // header, body
	frameReply               // call, body
	frameFailure             // call, code, message
	frameAlive               // nothing: a sign of life
	frameClose               // the reason, as text
	frameIdentity            // Identity, the first frame of each side
	frameReady               // nothing: the link is accepted
	frameEnd
)

const (
	prefixSize = 4 // type, and the length in three bytes
	callSize   = 8
	maxHeader  = 512 // of any header, and so the room that a body must leave
	maxTarget  = 255
	maxText    = 64 << 10 // of a failure
)

// Errors of frames: a link on which they are seen is closed.
var (
	ErrMalformed = errors.New("rpc: malformed frame")
	ErrTooLarge  = errors.New("rpc: frame over the limit")
)

// parse takes one frame off b: its type, what it holds, and how many bytes it took, 0 when
// more are needed. The length is judged as soon as it is known.
func parse(b []byte, maxFrame int) (typ byte, payload []byte, n int, err error) {
	if len(b) == 0 {
		return 0, nil, 0, nil
	}
	typ = b[0]
	if typ == 0 || typ >= frameEnd {
		return 0, nil, 0, fmt.Errorf("%w: type %d", ErrMalformed, typ)
	}
	if len(b) < prefixSize {
		return 0, nil, 0, nil
	}
	size := int(b[1])<<16 | int(b[2])<<8 | int(b[3])
	if size+prefixSize > maxFrame {
		return 0, nil, 0, fmt.Errorf("%w: %d bytes, the limit is %d", ErrTooLarge, size+prefixSize, maxFrame)
	}
	if len(b) < prefixSize+size {
		return 0, nil, 0, nil
	}
	return typ, b[prefixSize : prefixSize+size], prefixSize + size, nil
}

// begin appends the prefix of a frame whose length is not known yet; end sets it.
func begin(b []byte, typ byte) []byte { return append(b, typ, 0, 0, 0) }

func end(b []byte, at int) {
	size := len(b) - at - prefixSize
	b[at+1], b[at+2], b[at+3] = byte(size>>16), byte(size>>8), byte(size)
}

// The fields of a header that are there, as bits of its second and third byte.
const (
	hasSession = 1 << iota
	hasPlayer
	hasEpoch
	hasRequest
	hasTimeout
	hasHops
	hasTopology
	hasKey
	hasFlags
	hasTarget
	hasWideID // ID is eight bytes: a hash
	hasEnd
)

// appendHeader appends h, whose Target is at most maxTarget long.
func appendHeader(b []byte, h *Header) []byte {
	var has uint16
	set := func(cond bool, bit uint16) {
		if cond {
			has |= bit
		}
	}
	set(h.Session != firefly.SessionID{}, hasSession)
	set(h.Player != 0, hasPlayer)
	set(h.Epoch != 0, hasEpoch)
	set(h.Request != 0, hasRequest)
	set(h.Timeout > 0, hasTimeout)
	set(h.Hops != 0, hasHops)
	set(h.Topology != 0, hasTopology)
	set(h.Key != 0, hasKey)
	set(h.Flags != 0, hasFlags)
	set(h.Target != "", hasTarget)
	set(h.ID >= 1<<49, hasWideID)

	b = append(b, byte(h.Kind), byte(has>>8), byte(has))
	if has&hasWideID != 0 {
		b = binary.BigEndian.AppendUint64(b, h.ID)
	} else {
		b = binary.AppendUvarint(b, h.ID)
	}
	if has&hasSession != 0 {
		b = binary.BigEndian.AppendUint64(b, uint64(h.Session.Gate))
		b = binary.AppendUvarint(b, uint64(h.Session.Seq))
	}
	if has&hasPlayer != 0 {
		b = binary.AppendUvarint(b, uint64(h.Player))
	}
	if has&hasEpoch != 0 {
		b = binary.BigEndian.AppendUint64(b, h.Epoch)
	}
	if has&hasRequest != 0 {
		b = binary.BigEndian.AppendUint64(b, uint64(h.Request))
	}
	if has&hasTimeout != 0 {
		b = binary.AppendUvarint(b, uint64((h.Timeout-1)/time.Microsecond)+1)
	}
	if has&hasHops != 0 {
		b = append(b, h.Hops)
	}
	if has&hasTopology != 0 {
		b = binary.AppendUvarint(b, h.Topology)
	}
	if has&hasKey != 0 {
		b = binary.BigEndian.AppendUint64(b, h.Key)
	}
	if has&hasFlags != 0 {
		b = append(b, h.Flags)
	}
	if has&hasTarget != 0 {
		b = append(b, byte(len(h.Target)))
		b = append(b, h.Target...)
	}
	return b
}

// parseHeader reads what appendHeader wrote into h and gives the body behind it. names keeps
// the texts of targets, so that they cost nothing when seen again.
func parseHeader(b []byte, h *Header, names *names) (body []byte, err error) {
	if len(b) < 3 {
		return nil, ErrMalformed
	}
	*h = Header{Kind: Kind(b[0])}
	has := uint16(b[1])<<8 | uint16(b[2])
	if has >= hasEnd {
		return nil, ErrMalformed // a field that only a newer protocol version has
	}
	r := reader{b: b[3:]}
	if has&hasWideID != 0 {
		h.ID = r.uint64()
	} else {
		h.ID = r.uvarint()
	}
	if has&hasSession != 0 {
		h.Session.Gate = firefly.Incarnation(r.uint64())
		seq := r.uvarint()
		if seq > math.MaxUint32 {
			return nil, ErrMalformed
		}
		h.Session.Seq = uint32(seq)
	}
	if has&hasPlayer != 0 {
		h.Player = firefly.PlayerID(r.uvarint())
	}
	if has&hasEpoch != 0 {
		h.Epoch = r.uint64()
	}
	if has&hasRequest != 0 {
		h.Request = firefly.RequestID(r.uint64())
	}
	if has&hasTimeout != 0 {
		us := r.uvarint()
		if us > math.MaxInt64/uint64(time.Microsecond) {
			return nil, ErrMalformed
		}
		h.Timeout = time.Duration(us) * time.Microsecond
	}
	if has&hasHops != 0 {
		h.Hops = r.byte()
	}
	if has&hasTopology != 0 {
		h.Topology = r.uvarint()
	}
	if has&hasKey != 0 {
		h.Key = r.uint64()
	}
	if has&hasFlags != 0 {
		h.Flags = r.byte()
	}
	if has&hasTarget != 0 {
		h.Target = names.text(r.take(int(r.byte())))
	}
	if r.bad {
		return nil, ErrMalformed
	}
	return r.b, nil
}

// appendFailure appends the code and text of e behind the call.
func appendFailure(b []byte, e *firefly.Error) []byte {
	code, text := string(e.Code), e.Message
	if len(code) > maxTarget {
		code = string(firefly.Internal)
	}
	if len(text) > maxText {
		text = text[:maxText]
	}
	b = append(b, byte(len(code)))
	b = append(b, code...)
	return append(b, text...)
}

func parseFailure(b []byte) (*firefly.Error, error) {
	r := reader{b: b}
	code := r.take(int(r.byte()))
	if r.bad || len(code) == 0 {
		return nil, ErrMalformed
	}
	return &firefly.Error{Code: firefly.Code(code), Message: string(r.b)}, nil
}

// names keeps a few texts that come again and again.
type names struct{ m map[string]string }

const maxNames = 256

func (n *names) text(b []byte) string {
	if len(b) == 0 {
		return ""
	}
	if s, ok := n.m[string(b)]; ok {
		return s
	}
	s := string(b)
	if n.m == nil || len(n.m) >= maxNames {
		n.m = make(map[string]string)
	}
	n.m[s] = s
	return s
}

// reader takes values off b; after the first that is not there it gives zeros.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) take(n int) []byte {
	if n < 0 || n > len(r.b) {
		r.b, r.bad = nil, true
		return nil
	}
	v := r.b[:n]
	r.b = r.b[n:]
	return v
}

func (r *reader) byte() byte {
	if v := r.take(1); v != nil {
		return v[0]
	}
	return 0
}

func (r *reader) uint64() uint64 {
	if v := r.take(8); v != nil {
		return binary.BigEndian.Uint64(v)
	}
	return 0
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.b, r.bad = nil, true
		return 0
	}
	r.b = r.b[n:]
	return v
}
