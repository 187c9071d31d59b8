package table

import (
	"math"
	"strconv"
)

// Kind says what a Value or a Column holds.
type Kind uint8

// The kinds of values. Every field of a row message is one of them: an enum or a bool is an Int,
// a google.protobuf.Timestamp is an Int of microseconds since 1970, a message, a list and a map
// are Bytes in their proto encoding.
const (
	Null Kind = iota // only of nullable columns
	Int              // signed, 64 bits
	Uint             // unsigned, 64 bits
	Float
	Text // valid UTF-8
	Bytes
)

// Value is what a column of a row holds. The zero Value is Null. Values compare with ==, floats by
// their bits.
type Value struct {
	kind Kind
	n    uint64
	s    string
}

// IntOf is an Int.
func IntOf(v int64) Value { return Value{kind: Int, n: uint64(v)} }

// UintOf is a Uint.
func UintOf(v uint64) Value { return Value{kind: Uint, n: v} }

// BoolOf is an Int, 1 or 0.
func BoolOf(v bool) Value {
	if v {
		return IntOf(1)
	}
	return IntOf(0)
}

// FloatOf is a Float. Negative zero becomes zero, so that equal numbers are equal Values.
func FloatOf(v float64) Value {
	if v == 0 {
		return Value{kind: Float}
	}
	return Value{kind: Float, n: math.Float64bits(v)}
}

// TextOf is a Text.
func TextOf(v string) Value { return Value{kind: Text, s: v} }

// BytesOf is Bytes; it copies v.
func BytesOf(v []byte) Value { return Value{kind: Bytes, s: string(v)} }

// BytesOfString is Bytes without a copy.
func BytesOfString(v string) Value { return Value{kind: Bytes, s: v} }

// Kind is what v holds.
func (v Value) Kind() Kind { return v.kind }

// IsNull reports whether v is Null.
func (v Value) IsNull() bool { return v.kind == Null }

// Int is the number of an Int or Uint; 0 for any other kind.
func (v Value) Int() int64 {
	if v.kind == Int || v.kind == Uint {
		return int64(v.n)
	}
	return 0
}

// Uint is the number of a Uint or Int; 0 for any other kind.
func (v Value) Uint() uint64 { return uint64(v.Int()) }

// Bool is whether the number of an Int is not 0.
func (v Value) Bool() bool { return v.Int() != 0 }

// Float is the number of a Float; 0 for any other kind.
func (v Value) Float() float64 {
	if v.kind != Float {
		return 0
	}
	return math.Float64frombits(v.n)
}

// Text is what a Text or Bytes holds; "" for any other kind.
func (v Value) Text() string { return v.s }

// Bytes is a copy of what Bytes or a Text holds.
func (v Value) Bytes() []byte { return []byte(v.s) }

// Append puts the text of v behind b: integers in decimal, floats in the shortest form that reads
// back the same, Text and Bytes as they are, Null as nothing. It is how the cache keeps values.
func (v Value) Append(b []byte) []byte {
	switch v.kind {
	case Int:
		return strconv.AppendInt(b, int64(v.n), 10)
	case Uint:
		return strconv.AppendUint(b, v.n, 10)
	case Float:
		return strconv.AppendFloat(b, v.Float(), 'g', -1, 64)
	}
	return append(b, v.s...)
}

// String is the text of v, as Append has it.
func (v Value) String() string {
	switch v.kind {
	case Text, Bytes:
		return v.s
	}
	return string(v.Append(nil))
}

// Parse reads the text that Append made of a value of kind k. s is kept.
func Parse(k Kind, s string) (Value, error) {
	switch k {
	case Int:
		n, err := strconv.ParseInt(s, 10, 64)
		return IntOf(n), err
	case Uint:
		n, err := strconv.ParseUint(s, 10, 64)
		return UintOf(n), err
	case Float:
		f, err := strconv.ParseFloat(s, 64)
		return FloatOf(f), err
	case Text:
		return TextOf(s), nil
	case Bytes:
		return BytesOfString(s), nil
	}
	return Value{}, nil
}

// Zero is the value of an empty field of kind k.
func Zero(k Kind) Value { return Value{kind: k} }
