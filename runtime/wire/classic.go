package wire

import (
	"encoding/binary"
	"errors"
	"math"
)

// ClassicHeader is the size of a classic header.
const ClassicHeader = 17

// Errors of Classic.Parse, besides ErrTooLarge.
var (
	ErrMagic  = errors.New("wire: wrong magic")
	ErrLength = errors.New("wire: classic length under 4")
)

// Classic is the framing of 2013: 5 magic bytes, u32 server version, u32 length (body and
// command: body + 4), u32 command, body; all big-endian. Requests and replies look the same,
// and a reply carries the command of its request.
type Classic struct {
	Magic   [5]byte
	Version uint32 // put on outgoing frames
}

// AppendHeader appends the header of a frame; the caller puts size bytes behind.
func (c Classic) AppendHeader(dst []byte, command uint32, size int) []byte {
	var h [ClassicHeader]byte
	copy(h[:], c.Magic[:])
	binary.BigEndian.PutUint32(h[5:], c.Version)
	binary.BigEndian.PutUint32(h[9:], uint32(size)+4)
	binary.BigEndian.PutUint32(h[13:], command)
	return append(dst, h[:]...)
}

// Append appends a whole frame.
func (c Classic) Append(dst []byte, command uint32, body []byte) []byte {
	return append(c.AppendHeader(dst, command, len(body)), body...)
}

// Parse takes the first frame from b. body is a slice of b; n is the frame's size, and n == 0
// without an error means that more bytes are needed. Errors: ErrMagic, ErrLength,
// ErrTooLarge (the body is over maxBody), each as soon as the bytes at hand show it.
//
// The server version of an incoming frame is not looked at: the framework of 2013 did not
// either, and its clients send all sorts of numbers.
func (c Classic) Parse(b []byte, maxBody int) (command uint32, body []byte, n int, err error) {
	if len(b) < ClassicHeader {
		return 0, nil, 0, c.begin(b, maxBody)
	}
	if [5]byte(b) != c.Magic {
		return 0, nil, 0, ErrMagic
	}
	length := binary.BigEndian.Uint32(b[9:])
	if err := checkLength(length, maxBody); err != nil {
		return 0, nil, 0, err
	}
	n = ClassicHeader - 4 + int(length)
	if len(b) < n {
		return 0, nil, 0, nil
	}
	return binary.BigEndian.Uint32(b[13:]), b[ClassicHeader:n:n], n, nil
}

// begin judges the beginning of a header.
func (c Classic) begin(b []byte, maxBody int) error {
	for i := 0; i < len(b) && i < len(c.Magic); i++ {
		if b[i] != c.Magic[i] {
			return ErrMagic
		}
	}
	if len(b) >= 13 {
		return checkLength(binary.BigEndian.Uint32(b[9:]), maxBody)
	}
	return nil
}

func checkLength(length uint32, maxBody int) error {
	if length < 4 {
		return ErrLength
	}
	if uint64(length)-4 > uint64(maxBody) || uint64(length) > math.MaxInt32-ClassicHeader {
		return ErrTooLarge
	}
	return nil
}
