package wire

import (
	"encoding/binary"
	"errors"
	"unicode/utf8"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// MaxDepth is how deep messages and groups of a body may nest.
const MaxDepth = 100

// Errors of Scan.Check, besides ErrMalformed.
var (
	ErrDepth = errors.New("wire: message nests too deep")
	ErrUTF8  = errors.New("wire: string field is not UTF-8")
)

// The wire types of protobuf.
const (
	wireVarint  = 0
	wireFixed64 = 1
	wireBytes   = 2
	wireStart   = 3
	wireEnd     = 4
	wireFixed32 = 5
)

// Scan knows, for one message type, what a fast decoder does not check. It is made once and
// may be used by any number of goroutines.
type Scan struct {
	root *shape // nil: no body can harm a decoder
}

// shape is what matters of one message type.
type shape struct {
	low   []part           // by field number
	high  map[uint32]*part // the numbers that do not fit low
	check bool             // a string, or a type that contains itself, is reachable
}

// part is what matters of one field; the zero part is passed over.
type part struct {
	msg    *shape // to be looked into
	group  bool   // msg is delimited by groups
	string bool   // must be UTF-8
}

// NewScan makes the table for a message type and everything that it can contain.
func NewScan(md protoreflect.MessageDescriptor) *Scan {
	all := make(map[protoreflect.FullName]*shape)
	root := build(md, all)
	prune(all)
	if !root.check {
		root = nil
	}
	return &Scan{root: root}
}

// maxLow bounds the table that is indexed by field numbers.
const maxLow = 256

func build(md protoreflect.MessageDescriptor, all map[protoreflect.FullName]*shape) *shape {
	if s := all[md.FullName()]; s != nil {
		return s
	}
	s := &shape{}
	all[md.FullName()] = s
	fields := md.Fields()
	top := 0
	for i := range fields.Len() {
		if n := int(fields.Get(i).Number()); n < maxLow {
			top = max(top, n)
		}
	}
	s.low = make([]part, top+1)
	for i := range fields.Len() {
		fd := fields.Get(i)
		var p part
		switch fd.Kind() {
		case protoreflect.StringKind:
			p.string = enforceUTF8(fd)
		case protoreflect.MessageKind, protoreflect.GroupKind:
			p.msg = build(fd.Message(), all)
			p.group = fd.Kind() == protoreflect.GroupKind
		}
		if p == (part{}) {
			continue
		}
		if n := int(fd.Number()); n < maxLow {
			s.low[n] = p
		} else {
			if s.high == nil {
				s.high = make(map[uint32]*part)
			}
			s.high[uint32(n)] = &p
		}
	}
	return s
}

// enforceUTF8 is whether decoders of google's make refuse the field when it is not UTF-8.
func enforceUTF8(fd protoreflect.FieldDescriptor) bool {
	if fd.ParentFile().Syntax() == protoreflect.Editions {
		if f, ok := fd.(interface{ EnforceUTF8() bool }); ok {
			return f.EnforceUTF8()
		}
	}
	return fd.ParentFile().Syntax() == protoreflect.Proto3
}

// each calls f for every field of s that has a part.
func (s *shape) each(f func(*part)) {
	for i := range s.low {
		f(&s.low[i])
	}
	for _, p := range s.high {
		f(p)
	}
}

// prune marks the types that must be looked into: those from which a string or a circle can
// be reached. The others are passed over as a decoder's own length checks are enough for
// them, and they cannot nest deeper than the table itself.
func prune(all map[protoreflect.FullName]*shape) {
	// Depth first: what is not left yet when it is met again closes a circle.
	const (
		unseen = iota
		open
		left
	)
	state := make(map[*shape]int, len(all))
	height := make(map[*shape]int, len(all))
	var visit func(s *shape)
	visit = func(s *shape) {
		state[s] = open
		s.each(func(p *part) {
			if p.string {
				s.check = true
			}
			if p.msg == nil {
				return
			}
			switch state[p.msg] {
			case unseen:
				visit(p.msg)
			case open:
				s.check, p.msg.check = true, true
			}
			height[s] = max(height[s], height[p.msg]+1)
		})
		if height[s] >= MaxDepth {
			s.check = true
		}
		state[s] = left
	}
	for _, s := range all {
		if state[s] == unseen {
			visit(s)
		}
	}
	for again := true; again; {
		again = false
		for _, s := range all {
			s.each(func(p *part) {
				if p.msg != nil && p.msg.check && !s.check {
					s.check, again = true, true
				}
			})
		}
	}
	for _, s := range all {
		s.each(func(p *part) {
			if p.msg != nil && !p.msg.check && !p.group {
				*p = part{}
			}
		})
	}
}

// Check says whether b may be given to the generated decoder of the type: it nests at most
// MaxDepth deep, its strings are UTF-8, and its lengths stay inside. ErrDepth, ErrUTF8 or
// ErrMalformed otherwise. It does not say that the decoder will like the message. No
// allocation.
func (s *Scan) Check(b []byte) error {
	if s.root == nil {
		return nil
	}
	return s.root.message(b, 1)
}

func (s *shape) message(b []byte, depth int) error {
	n, err := s.fields(b, 0, depth)
	if err == nil && n != len(b) {
		return ErrMalformed
	}
	return err
}

// fields looks through a message, or through a group up to the end tag with number group
// (0: a message). It gives the number of bytes read, the end tag with them.
func (s *shape) fields(b []byte, group uint32, depth int) (int, error) {
	if depth > MaxDepth {
		return 0, ErrDepth
	}
	i := 0
	for i < len(b) {
		num, typ, n := tag(b[i:])
		if n == 0 {
			return 0, ErrMalformed
		}
		i += n
		if typ == wireEnd {
			if group == 0 || num != group {
				return 0, ErrMalformed
			}
			return i, nil
		}
		var p *part
		if num < uint32(len(s.low)) {
			p = &s.low[num]
		} else {
			p = s.high[num] // reading a nil map is fine and no field is that high, mostly
		}
		switch {
		case typ == wireBytes:
			size, k := varint(b[i:])
			if k == 0 || size > uint64(len(b)-i-k) {
				return 0, ErrMalformed
			}
			i += k
			if p != nil {
				v := b[i : i+int(size)]
				if p.string {
					if !utf8.Valid(v) {
						return 0, ErrUTF8
					}
				} else if p.msg != nil && !p.group {
					if err := p.msg.message(v, depth+1); err != nil {
						return 0, err
					}
				}
			}
			i += int(size)
		case typ == wireStart && p != nil && p.group:
			n, err := p.msg.fields(b[i:], num, depth+1)
			if err != nil {
				return 0, err
			}
			i += n
		case typ == wireStart:
			n, err := skipGroup(b[i:], num, depth+1)
			if err != nil {
				return 0, err
			}
			i += n
		default:
			n := skip(b[i:], num, typ)
			if n < 0 {
				return 0, ErrMalformed
			}
			i += n
		}
	}
	if group != 0 {
		return 0, ErrMalformed
	}
	return i, nil
}

// tag takes a tag from b; n is 0 when there is none that protobuf allows.
func tag(b []byte) (num uint32, typ uint8, n int) {
	var v uint64
	if len(b) > 0 && b[0] < 0x80 {
		v, n = uint64(b[0]), 1
	} else if v, n = varint(b); n == 0 {
		return 0, 0, 0
	}
	typ = uint8(v & 7)
	if v>>3 == 0 || v>>3 > 1<<29-1 || typ > wireFixed32 {
		return 0, 0, 0
	}
	return uint32(v >> 3), typ, n
}

// varint takes a varint from b; n is 0 when it is cut or over 64 bits.
func varint(b []byte) (v uint64, n int) {
	if len(b) > 0 && b[0] < 0x80 {
		return uint64(b[0]), 1
	}
	v, n = binary.Uvarint(b)
	return v, max(n, 0)
}

// skip gives the size of the value at the beginning of b, -1 when it is malformed.
func skip(b []byte, num uint32, typ uint8) int {
	switch typ {
	case wireVarint:
		if _, n := varint(b); n > 0 {
			return n
		}
	case wireFixed32:
		if len(b) >= 4 {
			return 4
		}
	case wireFixed64:
		if len(b) >= 8 {
			return 8
		}
	case wireBytes:
		if size, k := varint(b); k > 0 && size <= uint64(len(b)-k) {
			return k + int(size)
		}
	case wireStart:
		if n, err := skipGroup(b, num, 1); err == nil {
			return n
		}
	}
	return -1
}

// skipGroup gives the size of the unknown group num whose start tag has been read, its end
// tag included. depth is the group's own.
func skipGroup(b []byte, num uint32, depth int) (int, error) {
	var open [MaxDepth + 1]uint32
	if depth > MaxDepth {
		return 0, ErrDepth
	}
	open[depth] = num
	first := depth
	i := 0
	for i < len(b) {
		num, typ, n := tag(b[i:])
		if n == 0 {
			return 0, ErrMalformed
		}
		i += n
		switch typ {
		case wireStart:
			depth++
			if depth > MaxDepth {
				return 0, ErrDepth
			}
			open[depth] = num
		case wireEnd:
			if open[depth] != num {
				return 0, ErrMalformed
			}
			if depth == first {
				return i, nil
			}
			depth--
		default:
			n := skip(b[i:], num, typ)
			if n < 0 {
				return 0, ErrMalformed
			}
			i += n
		}
	}
	return 0, ErrMalformed
}
