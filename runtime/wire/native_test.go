package wire_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/firefly-go/firefly/runtime/wire"
)

const limit = 1 << 10

var native = []struct {
	name  string
	bytes []byte
	frame wire.Frame
}{
	{"request", wire.AppendRequest(nil, 101, 7, []byte("body")), wire.Frame{Type: wire.Request, ID: 101, Seq: 7, Body: []byte("body")}},
	{"request without body", wire.AppendRequest(nil, 1, 0, nil), wire.Frame{Type: wire.Request, ID: 1}},
	{"largest numbers", wire.AppendRequest(nil, math.MaxUint32, math.MaxUint64, nil), wire.Frame{Type: wire.Request, ID: math.MaxUint32, Seq: math.MaxUint64}},
	{"notify", wire.AppendNotify(nil, 103, []byte("x")), wire.Frame{Type: wire.Notify, ID: 103, Body: []byte("x")}},
	{"reply", wire.AppendReply(nil, 300, []byte("ok")), wire.Frame{Type: wire.Reply, Seq: 300, Body: []byte("ok")}},
	{"push", wire.AppendPush(nil, 2001, []byte("p")), wire.Frame{Type: wire.Push, ID: 2001, Body: []byte("p")}},
	{"error", wire.AppendError(nil, 9, 104, "arena.v1.TOO_POOR", "7 gold missing", []byte{1}),
		wire.Frame{Type: wire.Error, Seq: 9, Code: 104, Name: []byte("arena.v1.TOO_POOR"), Message: []byte("7 gold missing"), Body: []byte{1}}},
	{"bare error", wire.AppendError(nil, 0, 0, "", "", nil), wire.Frame{Type: wire.Error}},
	{"ping", wire.AppendPing(nil, 1<<63+5), wire.Frame{Type: wire.Ping, Seq: 1<<63 + 5}},
	{"pong", wire.AppendPong(nil, 6), wire.Frame{Type: wire.Pong, Seq: 6}},
	{"close", wire.AppendClose(nil, "IDLE", "nothing for 30 s"), wire.Frame{Type: wire.Close, Name: []byte("IDLE"), Message: []byte("nothing for 30 s")}},
	{"ack", wire.AppendAck(nil, 1<<40), wire.Frame{Type: wire.Ack, Seq: 1 << 40}},
	{"two byte length", wire.AppendPush(nil, 1, bytes.Repeat([]byte("z"), 500)), wire.Frame{Type: wire.Push, ID: 1, Body: bytes.Repeat([]byte("z"), 500)}},
	{"body at the limit", wire.AppendReply(nil, 1, make([]byte, limit)), wire.Frame{Type: wire.Reply, Seq: 1, Body: make([]byte, limit)}},
	{"hello", wire.AppendFrame(nil, wire.HelloFrame, []byte("h")), wire.Frame{Type: wire.HelloFrame, Body: []byte("h")}},
	{"welcome", wire.AppendFrame(nil, wire.WelcomeFrame, nil), wire.Frame{Type: wire.WelcomeFrame}},
}

func same(a, b wire.Frame) bool {
	return a.Type == b.Type && a.Flags == b.Flags && a.ID == b.ID && a.Seq == b.Seq && a.Code == b.Code &&
		bytes.Equal(a.Name, b.Name) && bytes.Equal(a.Message, b.Message) && bytes.Equal(a.Body, b.Body)
}

func TestNative(t *testing.T) {
	for _, c := range native {
		t.Run(c.name, func(t *testing.T) {
			for _, behind := range []string{"", "\x05"} {
				f, n, err := wire.Parse(append(bytes.Clone(c.bytes), behind...), limit)
				if err != nil || n != len(c.bytes) || !same(f, c.frame) {
					t.Fatalf("%+v, %d, %v", f, n, err)
				}
			}
			for cut := range c.bytes {
				if f, n, err := wire.Parse(c.bytes[:cut], limit); n != 0 || err != nil {
					t.Fatalf("cut at %d of %d: %+v, %d, %v", cut, len(c.bytes), f, n, err)
				}
			}
		})
	}
}

func TestNativeFlags(t *testing.T) {
	b := wire.AppendPush(nil, 1, nil)
	b[0] |= 0xA0
	if f, n, err := wire.Parse(b, limit); err != nil || n != len(b) || f.Flags != 10 || f.Type != wire.Push {
		t.Fatal(f, n, err)
	}
}

func TestNativeRefuses(t *testing.T) {
	long := bytes.Repeat([]byte{0xff}, 11)
	cases := []struct {
		name  string
		bytes []byte
		err   error
	}{
		{"type 0", []byte{0, 0}, wire.ErrMalformed},
		{"type 12, seen at its first byte", []byte{12}, wire.ErrMalformed},
		{"preamble in the middle", []byte(wire.Preamble), wire.ErrMalformed},
		{"length over 64 bits", append([]byte{1}, long...), wire.ErrMalformed},
		{"command over 32 bits", append([]byte{1, 20}, binary.AppendUvarint(nil, 1<<32)...), wire.ErrMalformed},
		{"command over 64 bits", append([]byte{2, 20}, long...), wire.ErrMalformed},
		{"seq over 64 bits", append([]byte{1, 20, 1}, long...), wire.ErrMalformed},
		{"request without seq", []byte{1, 1, 5}, wire.ErrMalformed},
		{"request that ends in its command", []byte{1, 1, 0x80}, wire.ErrMalformed},
		{"empty request", []byte{1, 0}, wire.ErrMalformed},
		{"empty push", []byte{5, 0}, wire.ErrMalformed},
		{"empty reply", []byte{3, 0}, wire.ErrMalformed},
		{"empty ack", []byte{9, 0}, wire.ErrMalformed},
		{"ack with more", []byte{9, 2, 1, 1}, wire.ErrMalformed},
		{"short ping", []byte{6, 7}, wire.ErrMalformed},
		{"long ping", []byte{6, 9}, wire.ErrMalformed},
		{"error without parts", []byte{4, 1, 1}, wire.ErrMalformed},
		{"error whose name passes its end", []byte{4, 4, 1, 1, 9, 'x'}, wire.ErrMalformed},
		{"error whose message passes its end", []byte{4, 5, 1, 1, 0, 9, 'x'}, wire.ErrMalformed},
		{"close whose reason passes its end", []byte{8, 2, 9, 'x'}, wire.ErrMalformed},
		{"body over the limit, seen before it is there", wire.AppendReplyHeader(nil, 1, limit+1), wire.ErrTooLarge},
		{"length far over the limit, seen at the length", binary.AppendUvarint([]byte{1}, limit+100), wire.ErrTooLarge},
		{"length of 2^63", binary.AppendUvarint([]byte{1}, 1<<63), wire.ErrTooLarge},
		{"error over the limit", binary.AppendUvarint([]byte{4}, limit+1), wire.ErrTooLarge},
		{"close over the limit", binary.AppendUvarint([]byte{8}, limit+1), wire.ErrTooLarge},
	}
	for _, c := range cases {
		if f, n, err := wire.Parse(c.bytes, limit); err != c.err || n != 0 {
			t.Errorf("%s: %+v, %d, %v; want %v", c.name, f, n, err, c.err)
		}
	}
}

func TestHello(t *testing.T) {
	for _, h := range []wire.Hello{
		{},
		{Protocol: wire.Version, Codec: wire.JSON, Fingerprint: math.MaxUint64, Version: "1.2.3", Resume: []byte("token"),
			LastPush: 1 << 50, Shapes: []wire.Shape{{ID: 1, Hash: 2}, {ID: math.MaxUint32, Hash: math.MaxUint64}}},
	} {
		b := wire.AppendHello(nil, &h)
		for _, later := range []string{"", "a field of a later version"} {
			got, err := wire.ParseHello(append(bytes.Clone(b), later...))
			if len(got.Resume) == 0 {
				got.Resume = nil
			}
			if err != nil || !reflect.DeepEqual(got, h) {
				t.Fatalf("%+v, %v", got, err)
			}
		}
		for cut := range b {
			if _, err := wire.ParseHello(b[:cut]); err != wire.ErrMalformed {
				t.Fatalf("cut at %d: %v", cut, err)
			}
		}
	}
	b := wire.AppendHello(nil, &wire.Hello{})
	b[1] = 2
	if _, err := wire.ParseHello(b); err != wire.ErrMalformed {
		t.Error("an unknown codec passes")
	}
	// A list that says it is long is not allocated for.
	b = binary.AppendUvarint(wire.AppendHello(nil, &wire.Hello{})[:13], 1<<60)
	if n := testing.AllocsPerRun(10, func() { wire.ParseHello(b) }); n > 0 {
		t.Errorf("%v allocations for a list that is not there", n)
	}
}

func TestWelcome(t *testing.T) {
	for _, w := range []wire.Welcome{
		{},
		{NeedShapes: true},
		{Session: "gate-1/7", Token: []byte("t"), Heartbeat: 1500 * time.Millisecond, Resumed: true, NextPush: 12, Fingerprint: 1 << 63,
			Refused: []wire.Refusal{{ID: 101, Name: "arena.v1.Arena.Join"}, {ID: math.MaxUint32}}},
	} {
		b := wire.AppendWelcome(nil, &w)
		for _, later := range []string{"", "more"} {
			got, err := wire.ParseWelcome(append(bytes.Clone(b), later...))
			if len(got.Token) == 0 {
				got.Token = nil
			}
			if err != nil || !reflect.DeepEqual(got, w) {
				t.Fatalf("%+v, %v", got, err)
			}
		}
		for cut := range b {
			if _, err := wire.ParseWelcome(b[:cut]); err != wire.ErrMalformed {
				t.Fatalf("cut at %d: %v", cut, err)
			}
		}
	}
}

func TestPreamble(t *testing.T) {
	if !wire.Native(wire.Preamble[0]) || wire.Native(0) || wire.Native('G') || wire.Native(22) {
		t.Error("Native")
	}
	for cut := range wire.Preamble {
		if _, n, err := wire.ParsePreamble([]byte(wire.Preamble[:cut])); n != 0 || err != nil {
			t.Error(cut, n, err)
		}
	}
	if v, n, err := wire.ParsePreamble([]byte(wire.Preamble + "x")); v != wire.Version || n != 4 || err != nil {
		t.Error(v, n, err)
	}
	if v, n, err := wire.ParsePreamble([]byte("\xFFFF\x63")); v != 99 || n != 4 || err != nil {
		t.Error(v, n, err)
	}
	for _, s := range []string{"\x00", "\xFFG", "\xFFFG\x01"} {
		if _, n, err := wire.ParsePreamble([]byte(s)); n != 0 || err != wire.ErrMalformed {
			t.Errorf("%q: %d, %v", s, n, err)
		}
	}
}

func TestTypeNames(t *testing.T) {
	seen := map[string]bool{}
	for k := range wire.Type(16) {
		s := k.String()
		if known := k >= wire.Request && k <= wire.WelcomeFrame; known == (s == "unknown") || known && seen[s] || s != strings.ToLower(s) {
			t.Error(k, s)
		}
		seen[s] = true
	}
}

func TestClassic(t *testing.T) {
	for _, c := range []wire.Classic{{}, {Magic: [5]byte{78, 37, 38, 48, 9}, Version: 2}} {
		for _, size := range []int{0, 1, 255, limit} {
			body := bytes.Repeat([]byte{'b'}, size)
			b := c.Append([]byte("before"), 70001, body)[6:]
			if len(b) != wire.ClassicHeader+size || binary.BigEndian.Uint32(b[9:]) != uint32(size+4) || binary.BigEndian.Uint32(b[5:]) != c.Version {
				t.Fatalf("% x", b[:17])
			}
			command, got, n, err := c.Parse(append(b, 1, 2, 3), limit)
			if command != 70001 || n != len(b) || err != nil || !bytes.Equal(got, body) {
				t.Fatal(command, got, n, err)
			}
			for cut := range b {
				if _, _, n, err := c.Parse(b[:cut], limit); n != 0 || err != nil {
					t.Fatalf("cut at %d: %d, %v", cut, n, err)
				}
			}
			b[5] ^= 99 // another server version
			if _, _, n, err := c.Parse(b, limit); n != len(b) || err != nil {
				t.Fatal(n, err)
			}
		}
	}
}

// What cannot become a frame is refused at the first byte that shows it.
func TestClassicRefuses(t *testing.T) {
	c := wire.Classic{Magic: [5]byte{1, 2, 3, 4, 5}}
	head := func(length uint32) []byte {
		b := c.Append(nil, 1, nil)
		binary.BigEndian.PutUint32(b[9:], length)
		return b
	}
	for _, k := range []struct {
		bytes []byte
		at    int // the length of the shortest prefix that is refused
		err   error
	}{
		{[]byte{1, 2, 9}, 3, wire.ErrMagic},
		{[]byte{0}, 1, wire.ErrMagic},
		{append([]byte{1, 2, 3, 4, 6}, make([]byte, 20)...), 5, wire.ErrMagic},
		{head(3), 13, wire.ErrLength},
		{head(0), 13, wire.ErrLength},
		{head(limit + 5), 13, wire.ErrTooLarge},
		{head(math.MaxUint32), 13, wire.ErrTooLarge},
	} {
		for n := range len(k.bytes) + 1 {
			want := k.err
			if n < k.at {
				want = nil
			}
			if _, _, size, err := c.Parse(k.bytes[:n], limit); err != want || size != 0 {
				t.Errorf("% x: %d, %v; want %v", k.bytes[:n], size, err, want)
			}
		}
	}
}

func FuzzNative(f *testing.F) {
	for _, c := range native {
		f.Add(c.bytes)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		frame, n, err := wire.Parse(b, limit)
		if n < 0 || n > len(b) || (n > 0) && err != nil {
			t.Fatal(n, err)
		}
		// More bytes change nothing that is settled, and fewer are either not enough or as bad.
		if n > 0 || err != nil {
			again, m, err2 := wire.Parse(append(bytes.Clone(b), 0x55, 0xff), limit)
			if m != n || err2 != err || !same(again, frame) {
				t.Fatalf("with more bytes: %+v, %d, %v; before %+v, %d, %v", again, m, err2, frame, n, err)
			}
		}
		for cut := range min(n, 40) {
			if _, m, err := wire.Parse(b[:cut], limit); m != 0 || err != nil {
				t.Fatalf("cut at %d: %d, %v", cut, m, err)
			}
		}
		if n == 0 {
			return
		}
		if len(frame.Body) > limit {
			t.Fatal("a body over the limit")
		}
		// What was read can be written, and is read again as the same.
		var out []byte
		switch frame.Type {
		case wire.Request:
			out = wire.AppendRequest(nil, frame.ID, frame.Seq, frame.Body)
		case wire.Notify:
			out = wire.AppendNotify(nil, frame.ID, frame.Body)
		case wire.Reply:
			out = wire.AppendReply(nil, frame.Seq, frame.Body)
		case wire.Push:
			out = wire.AppendPush(nil, frame.ID, frame.Body)
		case wire.Error:
			out = wire.AppendError(nil, frame.Seq, frame.Code, string(frame.Name), string(frame.Message), frame.Body)
		case wire.Ping:
			out = wire.AppendPing(nil, frame.Seq)
		case wire.Pong:
			out = wire.AppendPong(nil, frame.Seq)
		case wire.Close:
			out = wire.AppendClose(nil, string(frame.Name), string(frame.Message))
		case wire.Ack:
			out = wire.AppendAck(nil, frame.Seq)
		default:
			out = wire.AppendFrame(nil, frame.Type, frame.Body)
		}
		frame.Flags = 0
		again, m, err := wire.Parse(out, limit)
		if err != nil || m != len(out) || m > n || !same(again, frame) {
			t.Fatalf("% x is read as %+v, %d, %v", out, again, m, err)
		}
	})
}

func FuzzClassic(f *testing.F) {
	f.Add(wire.Classic{}.Append(nil, 1, []byte("body")), []byte{0, 0, 0, 0, 0})
	f.Add([]byte{1, 2, 3, 4, 5, 0, 0, 0, 0, 0, 0, 0, 3}, []byte{1, 2, 3, 4, 5})
	f.Fuzz(func(t *testing.T, b, magic []byte) {
		var c wire.Classic
		copy(c.Magic[:], magic)
		command, body, n, err := c.Parse(b, limit)
		if n < 0 || n > len(b) || n > 0 && (err != nil || n != wire.ClassicHeader+len(body)) || len(body) > limit {
			t.Fatal(n, len(body), err)
		}
		if n > 0 || err != nil {
			again, body2, m, err2 := c.Parse(append(bytes.Clone(b), 0xff), limit)
			if again != command || m != n || err2 != err || !bytes.Equal(body2, body) {
				t.Fatal("more bytes change the frame")
			}
		}
		if n > 0 {
			c.Version = binary.BigEndian.Uint32(b[5:])
			if out := c.Append(nil, command, body); !bytes.Equal(out, b[:n]) {
				t.Fatalf("% x is written as % x", b[:n], out)
			}
		}
	})
}

func FuzzHello(f *testing.F) {
	f.Add(wire.AppendHello(nil, &wire.Hello{Version: "1", Resume: []byte("r"), Shapes: []wire.Shape{{ID: 1, Hash: 2}}}))
	f.Add(wire.AppendWelcome(nil, &wire.Welcome{Session: "s", Token: []byte("t"), Refused: []wire.Refusal{{ID: 1, Name: "n"}}}))
	f.Add([]byte(wire.Preamble))
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, n, err := wire.ParsePreamble(b); n > len(b) || n > 0 && err != nil {
			t.Fatal(n, err)
		}
		if h, err := wire.ParseHello(b); err == nil {
			if again, err := wire.ParseHello(wire.AppendHello(nil, &h)); err != nil || !reflect.DeepEqual(again, h) {
				t.Fatalf("%+v is read as %+v, %v", h, again, err)
			}
		} else if !errors.Is(err, wire.ErrMalformed) {
			t.Fatal(err)
		}
		if w, err := wire.ParseWelcome(b); err == nil {
			if again, err := wire.ParseWelcome(wire.AppendWelcome(nil, &w)); err != nil || !reflect.DeepEqual(again, w) {
				t.Fatalf("%+v is read as %+v, %v", w, again, err)
			}
		}
	})
}

func TestNoAllocations(t *testing.T) {
	body := make([]byte, 32)
	buf := make([]byte, 0, 256)
	c := wire.Classic{}
	request := wire.AppendRequest(nil, 101, 77, body)
	fault := wire.AppendError(nil, 1, 2, "NAME", "message", nil)
	classic := c.Append(nil, 1, body)
	for name, f := range map[string]func(){
		"append request": func() { buf = wire.AppendRequest(buf[:0], 101, 1<<40, body) },
		"append error":   func() { buf = wire.AppendError(buf[:0], 101, 1, "NAME", "message", body) },
		"append push":    func() { buf = wire.AppendPushHeader(buf[:0], 101, 5) },
		"append classic": func() { buf = c.Append(buf[:0], 1, body) },
		"parse request":  func() { wire.Parse(request, limit) },
		"parse error":    func() { wire.Parse(fault, limit) },
		"parse classic":  func() { c.Parse(classic, limit) },
	} {
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func BenchmarkNative(b *testing.B) {
	body := make([]byte, 32)
	b.Run("append", func(b *testing.B) {
		buf := make([]byte, 0, 128)
		for b.Loop() {
			buf = wire.AppendRequest(buf[:0], 101, 1000, body)
		}
	})
	b.Run("parse", func(b *testing.B) {
		frame := wire.AppendRequest(nil, 101, 1000, body)
		for b.Loop() {
			if _, n, _ := wire.Parse(frame, limit); n == 0 {
				b.Fatal()
			}
		}
	})
}

func BenchmarkClassic(b *testing.B) {
	body := make([]byte, 32)
	var c wire.Classic
	b.Run("append", func(b *testing.B) {
		buf := make([]byte, 0, 128)
		for b.Loop() {
			buf = c.Append(buf[:0], 101, body)
		}
	})
	b.Run("parse", func(b *testing.B) {
		frame := c.Append(nil, 101, body)
		for b.Loop() {
			if _, _, n, _ := c.Parse(frame, limit); n == 0 {
				b.Fatal()
			}
		}
	})
}
