package wire

import (
	"encoding/binary"
	"errors"
	"math"
)

// Type says what a native frame is. It stands in the low four bits of its first byte.
type Type uint8

// The types of native frames, with what follows the length.
const (
	Request      Type = iota + 1 // uvarint command, uvarint seq, body
	Notify                       // uvarint command, body: a command that wants no reply
	Reply                        // uvarint seq, body
	Error                        // uvarint seq, uvarint code, uvarint len + code name, uvarint len + message, details
	Push                         // uvarint push id, body
	Ping                         // 8 bytes that the Pong gives back
	Pong                         // the 8 bytes of the Ping
	Close                        // uvarint len + reason, text; no frame comes after it
	Ack                          // uvarint count of pushes that the client has seen
	HelloFrame                   // see Hello
	WelcomeFrame                 // see Welcome
)

// String is the name of the type as docs/wire.md spells it.
func (t Type) String() string {
	switch t {
	case Request:
		return "request"
	case Notify:
		return "notify"
	case Reply:
		return "reply"
	case Error:
		return "error"
	case Push:
		return "push"
	case Ping:
		return "ping"
	case Pong:
		return "pong"
	case Close:
		return "close"
	case Ack:
		return "ack"
	case HelloFrame:
		return "hello"
	case WelcomeFrame:
		return "welcome"
	}
	return "unknown"
}

// Errors of Parse and of Classic.Parse. The connection cannot go on after any of them.
var (
	ErrTooLarge  = errors.New("wire: frame over the limit")
	ErrMalformed = errors.New("wire: malformed frame")
)

// Frame is one native frame. Its slices are slices of what was parsed.
type Frame struct {
	Type  Type
	Flags uint8 // the high four bits of the first byte, moved down; 0 in this version
	ID    uint32
	// Seq is the number of a Request, Reply or Error, the count of an Ack, the eight bytes of
	// a Ping or Pong as a big-endian number.
	Seq     uint64
	Code    uint32
	Name    []byte // of an Error its code's name, of a Close its reason
	Message []byte // of an Error and of a Close
	Body    []byte // of an Error its details
}

// overhead is the most that the parts between length and body take, besides the texts of an
// Error, whose size counts as body.
const overhead = 2 * binary.MaxVarintLen64

// Parse takes the first native frame from b. n is its size; n == 0 without an error means
// that more bytes are needed. maxBody limits the bytes behind the varints (for an Error or
// Close: all texts together) and is checked as soon as the length is known, so that nobody
// needs to buffer what will be refused. A type that this version does not know is malformed:
// what peers speak was settled by the handshake.
func Parse(b []byte, maxBody int) (f Frame, n int, err error) {
	if len(b) < 2 {
		if len(b) == 1 && !knownType(Type(b[0]&15)) {
			return Frame{}, 0, ErrMalformed
		}
		return Frame{}, 0, nil
	}
	f.Type, f.Flags = Type(b[0]&15), b[0]>>4
	if !knownType(f.Type) {
		return Frame{}, 0, ErrMalformed
	}
	var size uint64
	head := 2
	if b[1] < 0x80 {
		size = uint64(b[1])
	} else {
		var k int
		size, k = binary.Uvarint(b[1:])
		if k < 0 {
			return Frame{}, 0, ErrMalformed
		}
		if k == 0 {
			return Frame{}, 0, shortVarint(b[1:])
		}
		head = 1 + k
	}
	if size > uint64(maxBody)+overhead || size > math.MaxInt32 {
		return Frame{}, 0, ErrTooLarge
	}
	n = head + int(size)
	whole := len(b) >= n
	p := b[head:min(len(b), n)]
	left := int(size) // what of the frame is behind the varints read so far
	switch f.Type {
	case Request:
		var id uint64
		var k int
		if id, k = uvarint(p); k <= 0 {
			break
		}
		if id > math.MaxUint32 {
			return Frame{}, 0, ErrMalformed
		}
		p, left = p[k:], left-k
		f.ID = uint32(id)
		if f.Seq, k = uvarint(p); k <= 0 {
			return Frame{}, 0, cut(p, k, whole)
		}
		p, left = p[k:], left-k
		f.Body = p
		return end(f, n, left, maxBody, whole)
	case Notify, Push:
		id, k := uvarint(p)
		if k <= 0 {
			break
		}
		if id > math.MaxUint32 {
			return Frame{}, 0, ErrMalformed
		}
		f.ID, f.Body = uint32(id), p[k:]
		return end(f, n, left-k, maxBody, whole)
	case Reply:
		var k int
		if f.Seq, k = uvarint(p); k <= 0 {
			break
		}
		f.Body = p[k:]
		return end(f, n, left-k, maxBody, whole)
	case HelloFrame, WelcomeFrame:
		f.Body = p
		return end(f, n, left, maxBody, whole)
	case Ping, Pong:
		if size != 8 {
			return Frame{}, 0, ErrMalformed
		}
		if !whole {
			return Frame{}, 0, nil
		}
		f.Seq = binary.BigEndian.Uint64(p)
		return f, n, nil
	case Ack:
		var k int
		if f.Seq, k = uvarint(p); k <= 0 {
			break
		}
		if left != k {
			return Frame{}, 0, ErrMalformed
		}
		return f, n, nil
	case Error:
		if size > uint64(maxBody) {
			return Frame{}, 0, ErrTooLarge
		}
		if !whole {
			return Frame{}, 0, nil
		}
		return parseError(f, p, n)
	case Close:
		if size > uint64(maxBody) {
			return Frame{}, 0, ErrTooLarge
		}
		if !whole {
			return Frame{}, 0, nil
		}
		var ok bool
		if f.Name, f.Message, ok = text(p); !ok {
			return Frame{}, 0, ErrMalformed
		}
		return f, n, nil
	}
	_, k := uvarint(p)
	return Frame{}, 0, cut(p, k, whole)
}

func parseError(f Frame, p []byte, n int) (Frame, int, error) {
	var k int
	if f.Seq, k = uvarint(p); k <= 0 {
		return Frame{}, 0, ErrMalformed
	}
	p = p[k:]
	code, k := uvarint(p)
	if k <= 0 || code > math.MaxUint32 {
		return Frame{}, 0, ErrMalformed
	}
	f.Code = uint32(code)
	p = p[k:]
	var ok bool
	if f.Name, p, ok = text(p); !ok {
		return Frame{}, 0, ErrMalformed
	}
	if f.Message, p, ok = text(p); !ok {
		return Frame{}, 0, ErrMalformed
	}
	f.Body = p
	return f, n, nil
}

// end checks the body's limit and whether all of it is there.
func end(f Frame, n, left, maxBody int, whole bool) (Frame, int, error) {
	if left > maxBody {
		return Frame{}, 0, ErrTooLarge
	}
	if !whole {
		return Frame{}, 0, nil
	}
	return f, n, nil
}

// cut says what a varint that did not end means: more bytes needed, or a frame that is too
// short for its own fields.
func cut(p []byte, k int, whole bool) error {
	if k < 0 || whole {
		return ErrMalformed
	}
	return shortVarint(p)
}

// shortVarint is for a varint that goes on past the bytes at hand.
func shortVarint(p []byte) error {
	if len(p) >= binary.MaxVarintLen64 {
		return ErrMalformed
	}
	return nil
}

func knownType(t Type) bool { return t >= Request && t <= WelcomeFrame }

// uvarint is binary.Uvarint with its one byte case in line.
func uvarint(p []byte) (uint64, int) {
	if len(p) > 0 && p[0] < 0x80 {
		return uint64(p[0]), 1
	}
	return binary.Uvarint(p)
}

// text takes a counted text from p.
func text(p []byte) (s, rest []byte, ok bool) {
	n, k := uvarint(p)
	if k <= 0 || n > uint64(len(p)-k) {
		return nil, nil, false
	}
	end := k + int(n)
	return p[k:end:end], p[end:], true
}

func appendUvarint(dst []byte, v uint64) []byte {
	if v < 0x80 {
		return append(dst, byte(v))
	}
	return binary.AppendUvarint(dst, v)
}

// SizeUvarint is how many bytes v takes as a varint.
func SizeUvarint(v uint64) int {
	n := 1
	for v >= 0x80 {
		v >>= 7
		n++
	}
	return n
}

// AppendRequestHeader appends a Request up to its body; the caller puts size bytes behind.
func AppendRequestHeader(dst []byte, id uint32, seq uint64, size int) []byte {
	dst = append(dst, byte(Request))
	dst = appendUvarint(dst, uint64(SizeUvarint(uint64(id))+SizeUvarint(seq)+size))
	dst = appendUvarint(dst, uint64(id))
	return appendUvarint(dst, seq)
}

// AppendNotifyHeader appends a Notify up to its body; the caller puts size bytes behind.
func AppendNotifyHeader(dst []byte, id uint32, size int) []byte {
	dst = append(dst, byte(Notify))
	dst = appendUvarint(dst, uint64(SizeUvarint(uint64(id))+size))
	return appendUvarint(dst, uint64(id))
}

// AppendReplyHeader appends a Reply up to its body; the caller puts size bytes behind.
func AppendReplyHeader(dst []byte, seq uint64, size int) []byte {
	dst = append(dst, byte(Reply))
	dst = appendUvarint(dst, uint64(SizeUvarint(seq)+size))
	return appendUvarint(dst, seq)
}

// AppendPushHeader appends a Push up to its body; the caller puts size bytes behind.
func AppendPushHeader(dst []byte, id uint32, size int) []byte {
	dst = append(dst, byte(Push))
	dst = appendUvarint(dst, uint64(SizeUvarint(uint64(id))+size))
	return appendUvarint(dst, uint64(id))
}

// AppendFrame appends a frame whose body is all that follows the length: a Hello or Welcome.
func AppendFrame(dst []byte, t Type, body []byte) []byte {
	dst = append(dst, byte(t))
	dst = appendUvarint(dst, uint64(len(body)))
	return append(dst, body...)
}

// AppendRequest appends a whole Request.
func AppendRequest(dst []byte, id uint32, seq uint64, body []byte) []byte {
	return append(AppendRequestHeader(dst, id, seq, len(body)), body...)
}

// AppendNotify appends a whole Notify.
func AppendNotify(dst []byte, id uint32, body []byte) []byte {
	return append(AppendNotifyHeader(dst, id, len(body)), body...)
}

// AppendReply appends a whole Reply.
func AppendReply(dst []byte, seq uint64, body []byte) []byte {
	return append(AppendReplyHeader(dst, seq, len(body)), body...)
}

// AppendPush appends a whole Push.
func AppendPush(dst []byte, id uint32, body []byte) []byte {
	return append(AppendPushHeader(dst, id, len(body)), body...)
}

// AppendError appends the answer to request seq that failed. Seq 0 answers nothing in
// particular.
func AppendError(dst []byte, seq uint64, code uint32, name, message string, details []byte) []byte {
	size := SizeUvarint(seq) + SizeUvarint(uint64(code)) + sizeText(len(name)) + sizeText(len(message)) + len(details)
	dst = append(dst, byte(Error))
	dst = appendUvarint(dst, uint64(size))
	dst = appendUvarint(dst, seq)
	dst = appendUvarint(dst, uint64(code))
	dst = appendText(dst, name)
	dst = appendText(dst, message)
	return append(dst, details...)
}

// AppendPing appends a Ping with token, which the Pong brings back in Frame.Seq.
func AppendPing(dst []byte, token uint64) []byte {
	return binary.BigEndian.AppendUint64(append(dst, byte(Ping), 8), token)
}

// AppendPong appends the answer to a Ping: token is that frame's Seq.
func AppendPong(dst []byte, token uint64) []byte {
	return binary.BigEndian.AppendUint64(append(dst, byte(Pong), 8), token)
}

// AppendClose appends the last frame of a connection: reason is for programs, message for
// people.
func AppendClose(dst []byte, reason, message string) []byte {
	dst = append(dst, byte(Close))
	dst = appendUvarint(dst, uint64(sizeText(len(reason))+len(message)))
	dst = appendText(dst, reason)
	return append(dst, message...)
}

// AppendAck appends the count of pushes that the client has seen in its session.
func AppendAck(dst []byte, count uint64) []byte {
	dst = append(dst, byte(Ack), byte(SizeUvarint(count)))
	return appendUvarint(dst, count)
}

func sizeText(n int) int { return SizeUvarint(uint64(n)) + n }

func appendText[T string | []byte](dst []byte, s T) []byte {
	return append(appendUvarint(dst, uint64(len(s))), s...)
}
