package gate

import (
	"encoding/base64"
	"errors"
	"math"
	"strconv"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/firefly-go/firefly"
)

// fromJSON reads what a JSON client sent. Field names may be proto or JSON names, enums names
// or numbers, 64-bit integers numbers or strings; unknown fields are skipped.
var fromJSON = protojson.UnmarshalOptions{DiscardUnknown: true, RecursionLimit: 100}

func unmarshalJSON(b []byte, m proto.Message) error {
	if len(b) == 0 {
		return nil
	}
	return fromJSON.Unmarshal(b, m)
}

// appendJSON appends m as the clients of 2013 expect it: every field, also empty ones, under
// its JSON name; 64-bit integers as numbers; enums by name; unset messages and unset optional
// fields as null. Of a oneof only the field that is set is there. Messages of google.protobuf
// look as protojson writes them.
func appendJSON(dst []byte, m proto.Message) ([]byte, error) {
	return appendMessage(dst, m.ProtoReflect(), 0)
}

var errDeep = errors.New("message nested over 100 deep")

func appendMessage(dst []byte, m protoreflect.Message, depth int) ([]byte, error) {
	if depth > 100 {
		return dst, errDeep
	}
	md := m.Descriptor()
	if md.FullName().Parent() == "google.protobuf" {
		b, err := protojson.Marshal(m.Interface())
		return append(dst, b...), err
	}
	fields := md.Fields()
	dst = append(dst, '{')
	first := true
	for i := range fields.Len() {
		fd := fields.Get(i)
		if o := fd.ContainingOneof(); o != nil && !o.IsSynthetic() && !m.Has(fd) {
			continue
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = appendText(dst, fd.JSONName())
		dst = append(dst, ':')
		var err error
		if dst, err = appendField(dst, fd, m, depth); err != nil {
			return dst, err
		}
	}
	return append(dst, '}'), nil
}

func appendField(dst []byte, fd protoreflect.FieldDescriptor, m protoreflect.Message, depth int) ([]byte, error) {
	switch {
	case fd.IsList():
		l := m.Get(fd).List()
		dst = append(dst, '[')
		for i := range l.Len() {
			if i > 0 {
				dst = append(dst, ',')
			}
			var err error
			if dst, err = appendValue(dst, fd, l.Get(i), depth); err != nil {
				return dst, err
			}
		}
		return append(dst, ']'), nil
	case fd.IsMap():
		return appendMap(dst, fd, m.Get(fd).Map(), depth)
	case fd.HasPresence() && !m.Has(fd):
		return append(dst, "null"...), nil
	}
	return appendValue(dst, fd, m.Get(fd), depth)
}

func appendMap(dst []byte, fd protoreflect.FieldDescriptor, m protoreflect.Map, depth int) ([]byte, error) {
	dst = append(dst, '{')
	first := true
	var err error
	m.Range(func(k protoreflect.MapKey, v protoreflect.Value) bool {
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = appendText(dst, k.String())
		dst = append(dst, ':')
		dst, err = appendValue(dst, fd.MapValue(), v, depth)
		return err == nil
	})
	return append(dst, '}'), err
}

func appendValue(dst []byte, fd protoreflect.FieldDescriptor, v protoreflect.Value, depth int) ([]byte, error) {
	switch fd.Kind() {
	case protoreflect.BoolKind:
		return strconv.AppendBool(dst, v.Bool()), nil
	case protoreflect.EnumKind:
		if fd.Enum().FullName() == "google.protobuf.NullValue" {
			return append(dst, "null"...), nil
		}
		if ev := fd.Enum().Values().ByNumber(v.Enum()); ev != nil {
			return appendText(dst, string(ev.Name())), nil
		}
		return strconv.AppendInt(dst, int64(v.Enum()), 10), nil
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind,
		protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind:
		return strconv.AppendInt(dst, v.Int(), 10), nil
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind, protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return strconv.AppendUint(dst, v.Uint(), 10), nil
	case protoreflect.FloatKind:
		return appendFloat(dst, v.Float(), 32), nil
	case protoreflect.DoubleKind:
		return appendFloat(dst, v.Float(), 64), nil
	case protoreflect.StringKind:
		return appendText(dst, v.String()), nil
	case protoreflect.BytesKind:
		dst = append(dst, '"')
		dst = base64.StdEncoding.AppendEncode(dst, v.Bytes())
		return append(dst, '"'), nil
	}
	return appendMessage(dst, v.Message(), depth+1)
}

func appendFloat(dst []byte, f float64, bits int) []byte {
	switch {
	case math.IsNaN(f):
		return append(dst, `"NaN"`...)
	case math.IsInf(f, 1):
		return append(dst, `"Infinity"`...)
	case math.IsInf(f, -1):
		return append(dst, `"-Infinity"`...)
	}
	if a := math.Abs(f); a != 0 && (a < 1e-6 || a >= 1e21) {
		return strconv.AppendFloat(dst, f, 'e', -1, bits)
	}
	return strconv.AppendFloat(dst, f, 'f', -1, bits)
}

// appendText appends s as a JSON string. Bytes that are no UTF-8 become U+FFFD.
func appendText(dst []byte, s string) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	from := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && n == 1 {
				dst = append(append(dst, s[from:i]...), "\ufffd"...)
				from = i + 1
			}
			i += n
			continue
		}
		i++
		if c >= ' ' && c != '"' && c != '\\' {
			continue
		}
		dst = append(dst, s[from:i-1]...)
		from = i
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\t':
			dst = append(dst, '\\', 't')
		case '\r':
			dst = append(dst, '\\', 'r')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
	}
	return append(append(dst, s[from:]...), '"')
}

// appendJSONError appends what a classic JSON client gets for a command that failed.
func appendJSONError(dst []byte, number uint32, code firefly.Code, message string) []byte {
	dst = append(dst, `{"result":false,"code":`...)
	dst = strconv.AppendUint(dst, uint64(number), 10)
	dst = append(dst, `,"name":`...)
	dst = appendText(dst, string(code))
	dst = append(dst, `,"message":`...)
	dst = appendText(dst, message)
	return append(dst, '}')
}
