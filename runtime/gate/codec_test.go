package gate

import (
	"encoding/json"
	"net"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/transport"
	"github.com/firefly-go/firefly/runtime/wire"
)

// jsonSchemas are the schemas of the tests with a typed Echo, Unordered and News.
func jsonSchemas(t *testing.T) []*firefly.Schema {
	say := jsonMessages(t)("Say")
	s := testSchemas()
	for i := range s[0].Commands {
		switch c := &s[0].Commands[i]; c.ID {
		case cmdEcho, cmdKeyed, cmdFail, cmdHold:
			c.RawRequest, c.RawReply, c.Request, c.Reply = false, false, say, say
		case cmdBig: // Empty to Empty
			c.RawRequest, c.RawReply = false, false
		}
	}
	s[0].Pushes[0].New = say
	return s
}

// A classic listener with another magic, version and JSON bodies, as games of 2013 had it.
func TestClassicJSON(t *testing.T) {
	bubble(t, func(t *testing.T, w *town) {
		world, g := w.small(func(o *Options) {
			o.Schemas = jsonSchemas(t)
			o.Listens.Classic = &firefly.Classic{Magic: []int{78, 37, 38, 48, 9}, Version: 3, Body: "JSON"}
		})
		old := wire.Classic{Magic: [5]byte{78, 37, 38, 48, 9}, Version: 3}
		c := w.to(g)
		next := func() (uint32, string) {
			t.Helper()
			var id uint32
			var body string
			await(t, "a frame", func() bool {
				c.mu.Lock()
				defer c.mu.Unlock()
				i, b, n, err := old.Parse(c.in, 1<<20)
				if err != nil {
					t.Fatal(err)
				}
				if n == 0 {
					return false
				}
				if c.in[8] != 3 {
					t.Errorf("version bytes % x", c.in[5:9])
				}
				id, body = i, string(b)
				c.in = c.in[n:len(c.in):len(c.in)]
				return true
			})
			return id, body
		}
		for _, k := range []struct {
			id       uint32
			in, want string
		}{
			{cmdEcho, `{"text":"hi","n":9007199254740993}`, `{"text":"hi","n":9007199254740993}`},
			{cmdEcho, `{}`, `{"text":"","n":0}`},
			{cmdEcho, ``, `{"text":"","n":0}`},
			{cmdEcho, `{"text":"x","n":"12","more":[1]}`, `{"text":"x","n":12}`},
			{cmdKeyed, `{"text":"room"}`, `{"text":"room","n":0}`},
			{cmdUnordered, "\x01raw", "\x01raw"},
			{cmdBig, "\x00\x00\x00\x00", `{}`}, // Empty to Empty
			{cmdAuth, `{}`, `{"result":false,"code":9,"name":"UNAUTHENTICATED","message":"t.v1.S.Auth needs a player"}`},
			{999, `{}`, `{"result":false,"code":17,"name":"UNIMPLEMENTED","message":"no such command"}`},
		} {
			c.write(old.Append(nil, k.id, []byte(k.in)))
			if id, got := next(); id != k.id || got != k.want {
				t.Errorf("command %d %s:\n got %d %s\nwant %s", k.id, k.in, id, got, k.want)
			}
		}
		c.write(old.Append(nil, cmdEcho, []byte(`{"n":"many"}`)))
		id, got := next()
		var e struct {
			Result  bool
			Code    int
			Message string
		}
		if err := json.Unmarshal([]byte(got), &e); err != nil || id != cmdEcho || e.Result || e.Code != 10 || e.Message == "" {
			t.Errorf("a body that does not decode: %d %s %v", id, got, err)
		}

		// Pushes are JSON too, and made once for all.
		c.write(old.Append(nil, cmdBind, playerBody(1)))
		next()
		d := w.native(g)
		d.bindTo(2)
		j := w.to(g)
		j.hello(wire.Hello{Protocol: wire.Version, Codec: wire.JSON})
		j.bindTo(3)
		push := protowire.AppendTag(nil, 1, protowire.BytesType)
		push = protowire.AppendString(push, "news")
		world.push(pushNews, 0, 0, nil, nil, push)
		if id, got := next(); id != pushNews || got != `{"text":"news","n":0}` {
			t.Errorf("push %d %s", id, got)
		}
		d.pushed(pushNews, string(push))
		j.pushed(pushNews, `{"text":"news","n":0}`)
		j.request(cmdEcho, 1, []byte(`{"text":"native"}`))
		j.reply(1, []byte(`{"text":"native","n":0}`))
		j.request(cmdEcho, 2, []byte(`{"text":`))
		j.fails(2, firefly.InvalidArgument)
	})
}

// A JSON body that grows over max_frame on its way out is an error.
func TestJSONGrows(t *testing.T) {
	bubble(t, func(t *testing.T, w *town) {
		_, g := w.small(func(o *Options) {
			o.Schemas = jsonSchemas(t)
			o.Listens.MaxFrame = 1000
		})
		c := w.to(g)
		c.hello(wire.Hello{Protocol: wire.Version, Codec: wire.JSON})
		text := strings.Repeat("x", 985) // `,"n":0` comes behind it
		c.request(cmdEcho, 1, []byte(`{"text":"`+text+`"}`))
		c.fails(1, firefly.Internal)
	})
}

// The same over sockets: every body size, 100 frames glued, one cut at every byte, at once by
// a native and a classic client on one port.
func TestSockets(t *testing.T) {
	w := newTown(t)
	w.node("world-1", "world")
	tcp := transport.TCP()
	g := w.addGate("gate-1", func(o *Options) { o.Network, o.Address = tcp, "127.0.0.1:0" })
	w.join()
	c, old := dial(t, tcp, g.Addr().String()), dial(t, tcp, g.Addr().String())
	c.hello(wire.Hello{Protocol: wire.Version})
	body := make([]byte, 65536)
	for i := range body {
		body[i] = byte(i * 7)
	}
	for i, n := range []int{0, 1, 127, 128, 1000, 4096, 65535, 65536} {
		c.request(cmdEcho, uint64(i), body[:n])
		old.write(testClassic.Append(nil, cmdEcho, body[:n]))
		c.reply(uint64(i), body[:n])
		if id, got := old.classic(); id != cmdEcho || string(got) != string(body[:n]) {
			t.Fatalf("classic body of %d came back as %d of command %d", n, len(got), id)
		}
	}
	for range 10 {
		var glued, gluedOld []byte
		for i := range 100 {
			glued = wire.AppendRequest(glued, cmdEcho, uint64(i), body[:i*5])
			gluedOld = testClassic.Append(gluedOld, cmdEcho, body[:i*5])
		}
		c.write(glued)
		old.write(gluedOld)
		for i := range 100 {
			c.reply(uint64(i), body[:i*5])
			if _, got := old.classic(); string(got) != string(body[:i*5]) {
				t.Fatalf("glued classic frame %d came back as %d bytes", i, len(got))
			}
		}
	}
	raw, err := net.Dial("tcp", g.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	frame := testClassic.Append(nil, cmdEcho, []byte("cut at every byte"))
	buf := make([]byte, len(frame))
	for i := 1; i < len(frame); i++ {
		for _, piece := range [][]byte{frame[:i], frame[i:]} {
			if _, err := raw.Write(piece); err != nil {
				t.Fatal(err)
			}
			time.Sleep(200 * time.Microsecond)
		}
		_ = raw.SetReadDeadline(time.Now().Add(5 * time.Second))
		for n := 0; n < len(buf); {
			m, err := raw.Read(buf[n:])
			if err != nil {
				t.Fatalf("cut at %d: %v", i, err)
			}
			n += m
		}
		if string(buf) != string(frame) {
			t.Fatalf("cut at %d: %q", i, buf)
		}
	}
}
