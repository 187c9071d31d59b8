package wire_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/firefly-go/firefly/runtime/wire"
	"github.com/firefly-go/firefly/runtime/wire/internal/scanpb"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

var (
	tree = wire.NewScan((&scanpb.Tree{}).ProtoReflect().Descriptor())
	flat = wire.NewScan((&scanpb.Flat{}).ProtoReflect().Descriptor())
)

func full() *scanpb.Tree {
	leaf := &scanpb.Tree{Name: proto.String("leaf")}
	return &scanpb.Tree{
		Name: proto.String("größe"), Blob: []byte{0xff}, Left: leaf, Children: []*scanpb.Tree{leaf, leaf},
		Labels: map[string]string{"a": "b"}, ById: map[int32]*scanpb.Tree{-1: leaf}, Names: []string{"x", ""},
		Packed: []int32{-1, 300}, Spread: []uint64{1, 2}, Kind: &scanpb.Tree_Leaf{Leaf: &scanpb.Leaf{Text: proto.String("t")}},
		Color: scanpb.Color_RED.Enum(), Unchecked: proto.String("ok"), Delimited: leaf, LeafGroup: &scanpb.Leaf{Text: proto.String("g")},
		Far: proto.String("far"), D: proto.Float64(1), F: proto.Float32(2), B: proto.Bool(true), Flat: &scanpb.Flat{Raw: []byte{0xff}},
	}
}

// nested is a tree of the given depth, by messages or by groups.
func nested(depth int, group bool) []byte {
	if group {
		return append(bytes.Repeat(protowire.AppendTag(nil, 15, protowire.StartGroupType), depth-1),
			bytes.Repeat(protowire.AppendTag(nil, 15, protowire.EndGroupType), depth-1)...)
	}
	b := []byte{}
	for range depth - 1 {
		b = in(3, b)
	}
	return b
}

func text(field protowire.Number, s string) []byte {
	return protowire.AppendString(protowire.AppendTag(nil, field, protowire.BytesType), s)
}

func in(field protowire.Number, b []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, field, protowire.BytesType), b)
}

func TestScan(t *testing.T) {
	whole, err := proto.Marshal(full())
	if err != nil {
		t.Fatal(err)
	}
	unknown := func(depth int) []byte {
		b := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), 5)
		for range depth {
			b = append(protowire.AppendTag(nil, 500, protowire.StartGroupType), b...)
			b = protowire.AppendTag(b, 500, protowire.EndGroupType)
		}
		return b
	}
	bad := "a\xffb"
	for _, c := range []struct {
		name  string
		bytes []byte
		err   error
	}{
		{"nothing", nil, nil},
		{"everything", whole, nil},
		{"an unknown field", text(999, bad), nil},
		{"a known field of another wire type", protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), 1), nil},
		{"bytes that are no text", text(2, bad), nil},
		{"text that need not be", text(14, bad), nil},
		{"text in a message that needs no look", in(20, text(3, bad)), nil},
		{"unknown groups", unknown(99), nil},
		{"depth 100", nested(100, false), nil},
		{"group depth 100", nested(100, true), nil},

		{"text", text(1, bad), wire.ErrUTF8},
		{"text, cut in a rune", text(1, "gr\xc3"), wire.ErrUTF8},
		{"repeated text", append(text(7, "fine"), text(7, bad)...), wire.ErrUTF8},
		{"text of a oneof", text(10, bad), wire.ErrUTF8},
		{"text with a high number", text(1000, bad), wire.ErrUTF8},
		{"text below", in(3, in(4, text(1, bad))), wire.ErrUTF8},
		{"text of a map key", in(5, text(1, bad)), wire.ErrUTF8},
		{"text of a map value", in(5, text(2, bad)), wire.ErrUTF8},
		{"text below a map", in(6, in(2, text(1, bad))), wire.ErrUTF8},
		{"text in a group", append(append(protowire.AppendTag(nil, 16, protowire.StartGroupType), text(1, bad)...), protowire.AppendTag(nil, 16, protowire.EndGroupType)...), wire.ErrUTF8},
		{"depth 101", nested(101, false), wire.ErrDepth},
		{"group depth 101", nested(101, true), wire.ErrDepth},
		{"unknown group depth 101", unknown(100), wire.ErrDepth},
		{"a megabyte of nesting", nested(300_000, true), wire.ErrDepth},
		{"a megabyte of start tags", bytes.Repeat(protowire.AppendTag(nil, 15, protowire.StartGroupType), 1<<20), wire.ErrDepth},
		{"a cut tag", []byte{0x80}, wire.ErrMalformed},
		{"field 0", []byte{0x02, 0}, wire.ErrMalformed},
		{"field 2^29", protowire.AppendVarint(nil, 1<<32|2), wire.ErrMalformed},
		{"wire type 6", []byte{0x0e}, wire.ErrMalformed},
		{"a length past the end", []byte{0x0a, 5, 'x'}, wire.ErrMalformed},
		{"a length of 2^63", protowire.AppendVarint([]byte{0x0a}, 1<<63), wire.ErrMalformed},
		{"a length past the end, unknown field", protowire.AppendVarint(protowire.AppendTag(nil, 999, 2), 5), wire.ErrMalformed},
		{"a varint over 64 bits", append([]byte{0x60}, bytes.Repeat([]byte{0xff}, 10)...), wire.ErrMalformed},
		{"a cut fixed64", []byte{0x89, 0x01, 0, 0}, wire.ErrMalformed},
		{"a cut fixed32", []byte{0x95, 0x01, 0, 0}, wire.ErrMalformed},
		{"an end without a start", protowire.AppendTag(nil, 15, protowire.EndGroupType), wire.ErrMalformed},
		{"a start without an end", protowire.AppendTag(nil, 15, protowire.StartGroupType), wire.ErrMalformed},
		{"an unknown start without an end", protowire.AppendTag(nil, 500, protowire.StartGroupType), wire.ErrMalformed},
		{"the end of another group", append(protowire.AppendTag(nil, 15, 3), protowire.AppendTag(nil, 16, 4)...), wire.ErrMalformed},
		{"the end of another unknown group", append(protowire.AppendTag(nil, 500, 3), protowire.AppendTag(nil, 501, 4)...), wire.ErrMalformed},
		{"a group's end in a message", in(3, protowire.AppendTag(nil, 3, 4)), wire.ErrMalformed},
	} {
		if err := tree.Check(c.bytes); err != c.err {
			t.Errorf("%s: %v, want %v", c.name, err, c.err)
		}
	}
}

// Types that cannot harm are not looked at.
func TestScanPassesOver(t *testing.T) {
	for _, b := range [][]byte{nil, {0xff}, text(1, "\xff")} {
		if err := flat.Check(b); err != nil {
			t.Error(err)
		}
	}
	if err := wire.NewScan((&wrapperspb.BytesValue{}).ProtoReflect().Descriptor()).Check([]byte{0xff}); err != nil {
		t.Error(err)
	}
	// A type that contains itself only by way of others is looked at.
	value := wire.NewScan((&structpb.Value{}).ProtoReflect().Descriptor())
	b := []byte{}
	for range 60 {
		b = in(6, in(1, b)) // Value.list_value.values
	}
	if err := value.Check(b); err != wire.ErrDepth {
		t.Error(err)
	}
}

// checkTree holds Check against both decoders.
func checkTree(t *testing.T, b []byte) {
	err := tree.Check(b)
	google := proto.Unmarshal(b, &scanpb.Tree{})
	if err == nil {
		var m scanpb.Tree
		if m.UnmarshalVT(b) == nil {
			if _, err := proto.Marshal(&m); err != nil {
				t.Fatalf("let in, and cannot be written: %v\n%x", err, b)
			}
		}
		if google != nil && strings.Contains(google.Error(), "UTF-8") {
			t.Fatalf("let in: %v\n%x", google, b)
		}
		return
	}
	if google == nil && !errors.Is(err, wire.ErrDepth) {
		t.Fatalf("%v, though it is good\n%x", err, b)
	}
}

func FuzzScan(f *testing.F) {
	whole, err := proto.Marshal(full())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add(nested(101, false))
	f.Add(nested(101, true))
	f.Add(text(1, "\xff"))
	f.Add(in(5, append(text(1, "k"), text(2, "\xc3")...)))
	f.Add(in(3, []byte{0x7b, 0x0a, 0x01, 0xff, 0x7c}))
	f.Fuzz(func(t *testing.T, b []byte) {
		checkTree(t, b)
		if flat.Check(b) == nil {
			_ = (&scanpb.Flat{}).UnmarshalVT(b) // must not crash
		}
	})
}

// The fuzzer's work in small: whole messages with a few bytes changed.
func TestScanAgainstDecoders(t *testing.T) {
	whole, err := proto.Marshal(full())
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 50_000 {
		b := bytes.Clone(whole)
		for range 1 + r.IntN(3) {
			b[r.IntN(len(b))] = byte(r.Uint32())
		}
		checkTree(t, b[:len(b)-r.IntN(3)])
	}
}

func TestScanDoesNotAllocate(t *testing.T) {
	whole, err := proto.Marshal(full())
	if err != nil {
		t.Fatal(err)
	}
	deep := nested(100, true)
	if n := testing.AllocsPerRun(100, func() {
		if tree.Check(whole) != nil || tree.Check(deep) != nil {
			t.Fatal("refused")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestField(t *testing.T) {
	m := &scanpb.Keys{
		S: proto.String("room 7"), I32: proto.Int32(-5), I64: proto.Int64(math.MinInt64), U32: proto.Uint32(math.MaxUint32),
		U64: proto.Uint64(math.MaxUint64), S32: proto.Int32(math.MinInt32), S64: proto.Int64(-3), F32: proto.Uint32(math.MaxUint32),
		F64: proto.Uint64(1 << 63), Sf32: proto.Int32(-1), Sf64: proto.Int64(-2), B: proto.Bool(true), Color: scanpb.Color_RED.Enum(),
	}
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	neg := func(v int64) uint64 { return uint64(v) }
	for _, c := range []struct {
		number int32
		kind   wire.KeyKind
		text   string
		num    uint64
	}{
		{1, wire.KeyString, "room 7", 0},
		{2, wire.KeyVarint, "", neg(-5)},
		{2, wire.KeyInt32, "", neg(-5)},
		{3, wire.KeyVarint, "", neg(math.MinInt64)},
		{4, wire.KeyVarint, "", math.MaxUint32},
		{4, wire.KeyUint32, "", math.MaxUint32},
		{5, wire.KeyVarint, "", math.MaxUint64},
		{6, wire.KeyZigzag, "", neg(math.MinInt32)},
		{6, wire.KeyZigzag32, "", neg(math.MinInt32)},
		{7, wire.KeyZigzag, "", neg(-3)},
		{8, wire.KeyFixed32, "", math.MaxUint32},
		{9, wire.KeyFixed64, "", 1 << 63},
		{10, wire.KeySfixed32, "", neg(-1)},
		{11, wire.KeyFixed64, "", neg(-2)},
		{12, wire.KeyBool, "", 1},
		{13, wire.KeyInt32, "", 1},
	} {
		k, ok, err := wire.Field(b, c.number, c.kind)
		if !ok || err != nil || string(k.Bytes) != c.text || k.Int != c.num {
			t.Errorf("field %d, kind %d: %q %d, %v, %v", c.number, c.kind, k.Bytes, k.Int, ok, err)
		}
	}
	if n := testing.AllocsPerRun(100, func() { wire.Field(b, 13, wire.KeyVarint) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	for _, kind := range []wire.KeyKind{wire.NoKey, 11, 200} {
		if _, ok, err := wire.Field(b, 2, kind); ok || err != nil {
			t.Error(kind, ok, err)
		}
	}
	group := append(protowire.AppendTag(nil, 1, 3), protowire.AppendTag(nil, 1, 4)...)
	last := bytes.Join([][]byte{text(1, "first"), group, {0x08, 1}, text(1, "last"), text(99, "other")}, nil)
	if k, ok, err := wire.Field(last, 1, wire.KeyString); string(k.Bytes) != "last" || !ok || err != nil {
		t.Error(k, ok, err)
	}
	if _, ok, err := wire.Field(last, 7, wire.KeyVarint); ok || err != nil {
		t.Error(ok, err)
	}
	for _, b := range [][]byte{{0x80}, {0x0a, 9}, {0x0d, 1}, {0x09, 1}, {0x08}, {0x0c}, {0x0b}, {0}, {0x12, 9, 1}} {
		if _, ok, err := wire.Field(b, 1, wire.KeyString); ok || err != wire.ErrMalformed {
			t.Errorf("% x: %v, %v", b, ok, err)
		}
	}
	// A varint that is wider than its field is cut as decoders cut it.
	wide := protowire.AppendVarint(protowire.AppendTag(nil, 2, protowire.VarintType), 1<<32|7)
	if k, _, _ := wire.Field(wide, 2, wire.KeyInt32); k.Int != 7 {
		t.Error(k.Int)
	}
}

// Field sees what a decoder sees, whatever the bytes are.
func FuzzField(f *testing.F) {
	b, err := proto.Marshal(&scanpb.Keys{S: proto.String("s"), I32: proto.Int32(-1), S64: proto.Int64(-2), Sf32: proto.Int32(-3), B: proto.Bool(true)})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add(protowire.AppendVarint(protowire.AppendTag(nil, 2, protowire.VarintType), 1<<32|7))
	f.Add(binary.AppendUvarint([]byte{0x60}, 1<<40))
	keys := wire.NewScan((&scanpb.Keys{}).ProtoReflect().Descriptor())
	f.Fuzz(func(t *testing.T, b []byte) {
		for kind := range wire.KeyKind(12) {
			_, _, _ = wire.Field(b, 1, kind)
		}
		var m, v scanpb.Keys
		if keys.Check(b) != nil || proto.Unmarshal(b, &m) != nil {
			return
		}
		for _, c := range []struct {
			number int32
			kind   wire.KeyKind
			set    bool
			text   string
			num    uint64
		}{
			{1, wire.KeyString, m.S != nil, m.GetS(), 0},
			{2, wire.KeyInt32, m.I32 != nil, "", uint64(m.GetI32())},
			{3, wire.KeyVarint, m.I64 != nil, "", uint64(m.GetI64())},
			{4, wire.KeyUint32, m.U32 != nil, "", uint64(m.GetU32())},
			{5, wire.KeyVarint, m.U64 != nil, "", m.GetU64()},
			{6, wire.KeyZigzag32, m.S32 != nil, "", uint64(m.GetS32())},
			{7, wire.KeyZigzag, m.S64 != nil, "", uint64(m.GetS64())},
			{8, wire.KeyFixed32, m.F32 != nil, "", uint64(m.GetF32())},
			{9, wire.KeyFixed64, m.F64 != nil, "", m.GetF64()},
			{10, wire.KeySfixed32, m.Sf32 != nil, "", uint64(m.GetSf32())},
			{11, wire.KeyFixed64, m.Sf64 != nil, "", uint64(m.GetSf64())},
			{12, wire.KeyBool, m.B != nil, "", map[bool]uint64{true: 1}[m.GetB()]},
			{13, wire.KeyInt32, m.Color != nil, "", uint64(m.GetColor())},
		} {
			k, ok, err := wire.Field(b, c.number, c.kind)
			if err != nil || ok != c.set || string(k.Bytes) != c.text || k.Int != c.num {
				t.Fatalf("field %d: %q %d, %v, %v; decoded: %v %q %d\n%x", c.number, k.Bytes, k.Int, ok, err, c.set, c.text, c.num, b)
			}
		}
		// The fast decoder, where it does not refuse, agrees with google's about keys.
		if v.UnmarshalVT(b) != nil {
			return
		}
		m.ProtoReflect().SetUnknown(nil)
		v.ProtoReflect().SetUnknown(nil)
		if !proto.Equal(&m, &v) {
			t.Fatalf("decoders differ\n%v\n%v\n%x", &m, &v, b)
		}
	})
}

func BenchmarkScan(b *testing.B) {
	small, _ := proto.Marshal(&scanpb.Tree{Name: proto.String("room seven"), Left: &scanpb.Tree{Name: proto.String("x")}})
	m := full()
	m.Delimited, m.LeafGroup = nil, nil // vtprotobuf does not decode groups
	whole, _ := proto.Marshal(m)
	for name, body := range map[string][]byte{"small": small, "everything": whole} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			for b.Loop() {
				if tree.Check(body) != nil {
					b.Fatal()
				}
			}
		})
		b.Run(name+" decoded", func(b *testing.B) { // what it stands in front of
			for b.Loop() {
				if (&scanpb.Tree{}).UnmarshalVT(body) != nil {
					b.Fatal()
				}
			}
		})
	}
}

func BenchmarkField(b *testing.B) {
	body, _ := proto.Marshal(&scanpb.Keys{S: proto.String("room seven"), I64: proto.Int64(70001)})
	for b.Loop() {
		if _, ok, _ := wire.Field(body, 3, wire.KeyVarint); !ok {
			b.Fatal()
		}
	}
}
