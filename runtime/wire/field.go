package wire

import "encoding/binary"

// KeyKind says how the bytes of a key field are read: the values of firefly.KeyKind.
type KeyKind = uint8

// The kinds of key fields. Those of 32 bits and of bool cut a number as a decoder cuts it, so
// that no client can say one key to the gate and another to the handler with a varint that is
// wider than its field.
const (
	NoKey       KeyKind = iota
	KeyString           // string, bytes
	KeyVarint           // int64, uint64
	KeyZigzag           // sint64
	KeyFixed32          // fixed32
	KeyFixed64          // fixed64, sfixed64
	KeyInt32            // int32, enum
	KeyUint32           // uint32
	KeyBool             // bool
	KeyZigzag32         // sint32
	KeySfixed32         // sfixed32
)

// Key is the value of a key field: Bytes of a string, Int of everything else; a negative
// number stands there as uint64(int64(v)).
type Key struct {
	Bytes []byte // a slice of the body
	Int   uint64
}

// Field takes field number from an undecoded body; the last one wins, as it does for a
// decoder. A field of another wire type does not count. ok is false when there is none: the
// key is then "" or 0. ErrMalformed means that the body is no protobuf message at all.
func Field(b []byte, number int32, kind KeyKind) (v Key, ok bool, err error) {
	want := wireTypes[min(int(kind), len(wireTypes)-1)]
	for len(b) > 0 {
		num, typ, n := tag(b)
		if n == 0 {
			return Key{}, false, ErrMalformed
		}
		b = b[n:]
		if num == uint32(number) && typ == want {
			n = v.take(b, kind)
			ok = true
		} else {
			n = skip(b, num, typ)
		}
		if n < 0 {
			return Key{}, false, ErrMalformed
		}
		b = b[n:]
	}
	return v, ok, nil
}

var wireTypes = [...]uint8{
	NoKey: 255, KeyString: wireBytes, KeyVarint: wireVarint, KeyZigzag: wireVarint, KeyFixed32: wireFixed32,
	KeyFixed64: wireFixed64, KeyInt32: wireVarint, KeyUint32: wireVarint, KeyBool: wireVarint,
	KeyZigzag32: wireVarint, KeySfixed32: wireFixed32, 11: 255,
}

// take reads the value at the beginning of b and gives its size, -1 when it is cut.
func (v *Key) take(b []byte, kind KeyKind) int {
	switch kind {
	case KeyString:
		n, k := varint(b)
		if k == 0 || n > uint64(len(b)-k) {
			return -1
		}
		end := k + int(n)
		v.Bytes = b[k:end:end]
		return end
	case KeyFixed32, KeySfixed32:
		if len(b) < 4 {
			return -1
		}
		u := binary.LittleEndian.Uint32(b)
		v.Int = uint64(u)
		if kind == KeySfixed32 {
			v.Int = uint64(int32(u))
		}
		return 4
	case KeyFixed64:
		if len(b) < 8 {
			return -1
		}
		v.Int = binary.LittleEndian.Uint64(b)
		return 8
	}
	u, k := varint(b)
	if k == 0 {
		return -1
	}
	switch kind {
	case KeyZigzag:
		u = u>>1 ^ -(u & 1)
	case KeyInt32:
		u = uint64(int32(u))
	case KeyUint32:
		u = uint64(uint32(u))
	case KeyBool:
		if u != 0 {
			u = 1
		}
	case KeyZigzag32:
		w := uint32(u)
		u = uint64(int32(w>>1 ^ -(w & 1)))
	}
	v.Int = u
	return k
}
