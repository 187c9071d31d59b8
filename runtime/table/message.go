package table

import (
	"errors"
	"math"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// What generated codecs need beside Values: fields whose values do not fit one by themselves.

// TimestampOf is the Int of a moment in microseconds since 1970, cut down to whole units; Null when t is
// nil. What is no moment of the years 1 to 9999 becomes a number that no column takes.
func TimestampOf(t *timestamppb.Timestamp, unit time.Duration) Value {
	switch {
	case t == nil:
		return Value{}
	case !t.IsValid():
		return IntOf(math.MinInt64)
	}
	n := t.Seconds*1_000_000 + int64(t.Nanos)/1000
	if u := unit.Microseconds(); u > 1 {
		n -= ((n % u) + u) % u
	}
	return IntOf(n)
}

// The moments that a Timestamp has, in microseconds since 1970.
const (
	MinTimestamp = -62_135_596_800_000_000
	MaxTimestamp = 253_402_300_799_999_999
)

// Timestamp is the moment of an Int of microseconds; nil of Null.
func (v Value) Timestamp() *timestamppb.Timestamp {
	if v.IsNull() {
		return nil
	}
	s, us := v.Int()/1_000_000, v.Int()%1_000_000
	if us < 0 {
		s, us = s-1, us+1_000_000
	}
	return &timestamppb.Timestamp{Seconds: s, Nanos: int32(us) * 1000}
}

// Encoder turns messages into Values and keeps the first fault. Its zero value is ready.
type Encoder struct{ err error }

// Message is the Bytes of m in its proto encoding, the same for equal messages; Null when m is a nil
// pointer. An error is about the field of that name.
func (e *Encoder) Message(field string, m proto.Message) Value {
	if !m.ProtoReflect().IsValid() {
		return Value{}
	}
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil && e.err == nil {
		e.err = &fieldError{field, err}
	}
	return BytesOf(b)
}

// Err is the first fault, nil when there is none.
func (e *Encoder) Err() error { return e.err }

// Decoder turns Values into fields and keeps the first fault.
type Decoder struct {
	spec *Spec
	err  error
}

// NewDecoder is a Decoder of a row of t.
func NewDecoder(t *Spec) Decoder { return Decoder{spec: t} }

// Int32 is the Int of a column whose field has 32 bits.
func (d *Decoder) Int32(values []Value, column int) int32 {
	n := values[column].Int()
	if n != int64(int32(n)) {
		d.wide(values, column)
	}
	return int32(n)
}

// Uint32 is the Uint of a column whose field has 32 bits.
func (d *Decoder) Uint32(values []Value, column int) uint32 {
	n := values[column].Uint()
	if n > math.MaxUint32 {
		d.wide(values, column)
	}
	return uint32(n)
}

func (d *Decoder) wide(values []Value, column int) {
	if d.err == nil {
		d.err = d.spec.unreadable(values, column, "is %s, and the field has 32 bits", values[column])
	}
}

// Message fills m, which is empty, from the Bytes of a column.
func (d *Decoder) Message(values []Value, column int, m proto.Message) {
	b := values[column].Bytes()
	var err error
	if vt, ok := m.(interface{ UnmarshalVT([]byte) error }); ok {
		err = vt.UnmarshalVT(b)
	} else {
		err = proto.Unmarshal(b, m)
	}
	if err != nil && d.err == nil {
		d.err = d.spec.unreadable(values, column, "does not decode: %v", err)
	}
}

// Err is the first fault, nil when there is none.
func (d *Decoder) Err() error { return d.err }

// fieldError is an error about a field.
type fieldError struct {
	field string
	err   error
}

func (e *fieldError) Error() string { return e.field + ": " + e.err.Error() }
func (e *fieldError) Unwrap() error { return e.err }

// ErrNilRow is that of a row that is no message at all.
var ErrNilRow = errors.New("the row is nil")

// InEnum reports whether s is one of the values of an ENUM of MySQL.
func InEnum(s string, values ...string) bool { return slices.Contains(values, s) }

// InSet reports whether s is a list of values of a SET of MySQL, joined by commas: each at most once, and
// in the order of the type, in which MySQL gives them back.
func InSet(s string, values ...string) bool {
	if s == "" {
		return true
	}
	next := 0
	for p := range strings.SplitSeq(s, ",") {
		i := slices.Index(values[next:], p)
		if i < 0 {
			return false
		}
		next += i + 1
	}
	return true
}

// IsTime reports whether s is a TIME of MySQL as it gives it back: 23:59:59, or from -838:59:59 to 838:59:59.
func IsTime(s string) bool {
	h, rest, ok := strings.Cut(strings.TrimPrefix(s, "-"), ":")
	if !ok || len(h) < 2 || len(h) > 3 || len(rest) != 5 || rest[2] != ':' {
		return false
	}
	for _, part := range []string{h, rest[:2], rest[3:]} {
		for i := range len(part) {
			if part[i] < '0' || part[i] > '9' {
				return false
			}
		}
	}
	return rest[0] < '6' && rest[3] < '6' && (len(h) == 2 || h[0] < '8' || h <= "838")
}
