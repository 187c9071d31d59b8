package gate

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/transport"
	"github.com/firefly-go/firefly/runtime/wire"
)

// bubble runs a test over Memory under a fake clock.
func bubble(t *testing.T, test func(t *testing.T, w *town)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(t, newTown(t)) })
}

// small is a town of one world and one gate.
func (w *town) small(change func(*Options)) (*fake, *Gate) {
	world := w.node("world-1", "world")
	g := w.addGate("gate-1", change)
	w.join()
	return world, g
}

func TestHandshake(t *testing.T) {
	bubble(t, func(t *testing.T, w *town) {
		_, g := w.small(func(o *Options) { o.MinClient = "1.2" })
		hello := wire.Hello{Protocol: wire.Version, Fingerprint: testFingerprint, Version: "1.2.0"}

		c := w.to(g)
		wel := c.hello(hello)
		if wel.Session == "" || wel.NeedShapes || wel.Resumed || len(wel.Refused) > 0 || wel.Heartbeat != 20*time.Second ||
			wel.Fingerprint != testFingerprint || wel.NextPush != 1 || len(wel.Token) != 20 {
			t.Errorf("welcome: %+v", wel)
		}
		c.request(cmdEcho, 1, []byte("hi"))
		c.reply(1, []byte("hi"))

		// A released fingerprint fits whole, and one who has none is let in.
		for _, f := range []uint64{0xF0, 0} {
			c, h := w.to(g), hello
			h.Fingerprint = f
			if wel := c.hello(h); wel.Session == "" {
				t.Errorf("fingerprint %x: %+v", f, wel)
			}
		}

		// An unknown one is asked for its shapes, and what does not fit is refused by name.
		c, h := w.to(g), hello
		h.Fingerprint = 0xBAD
		if wel := c.hello(h); !wel.NeedShapes {
			t.Fatalf("no wish for shapes: %+v", wel)
		}
		h.Shapes = []wire.Shape{
			{ID: cmdEcho, Hash: cmdEcho * 1000}, {ID: cmdChat, Hash: 5}, {ID: pushNews, Hash: 5}, {ID: 9999, Hash: 5}, {ID: cmdHold, Hash: 7}, {ID: cmdHold, Hash: 7},
		}
		c.write(helloFrame(h))
		wel = c.welcome()
		want := []wire.Refusal{{ID: cmdHold, Name: "t.v1.S.Hold"}, {ID: cmdChat, Name: "t.v1.S.Chat"}, {ID: pushNews, Name: "t.v1.News"}}
		if fmt.Sprint(wel.Refused) != fmt.Sprint(want) || wel.Session == "" {
			t.Errorf("refused %v, want %v", wel.Refused, want)
		}
		c.request(cmdChat, 1, nil)
		c.fails(1, firefly.Incompatible)
		c.request(cmdEcho, 2, []byte("x"))
		c.reply(2, []byte("x"))

		// A client that is too old, and a protocol of the future.
		c, h = w.to(g), hello
		h.Version = "1.1.9"
		c.write(append([]byte(wire.Preamble), helloFrame(h)...))
		c.closes(firefly.StaleClient)
		c, h = w.to(g), hello
		h.Protocol = 9
		c.write(append([]byte(wire.Preamble), helloFrame(h)...))
		c.closes(firefly.StaleClient)
		c = w.to(g)
		c.write([]byte("\xFF\x46\x46\x09"))
		c.closes(firefly.StaleClient)
	})
}

// What is no frame ends that connection, with the reason in the log, and no other.
func TestBadFrames(t *testing.T) {
	bubble(t, func(t *testing.T, w *town) {
		_, g := w.small(nil)
		bystander := w.native(g)
		shaken := append([]byte(wire.Preamble), helloFrame(wire.Hello{Protocol: wire.Version})...)
		for _, c := range []struct {
			name   string
			bytes  []byte
			reason firefly.Reason
			native bool
		}{
			{"wrong magic", []byte("HELLO WORLD"), firefly.BadFrame, false},
			{"wrong magic, one byte", []byte{7}, firefly.BadFrame, false},
			{"http", []byte("GET / HTTP/1.1\r\n\r\n"), firefly.BadFrame, false},
			{"length under 4", []byte{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 1}, firefly.BadFrame, false},
			{"length over the limit", []byte{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 5}, firefly.FrameTooLarge, false},
			{"half a preamble", []byte("\xFFXX"), firefly.BadFrame, false},
			{"no hello", append([]byte(wire.Preamble), wire.AppendRequest(nil, 1, 1, nil)...), firefly.BadFrame, true},
			{"hello of garbage", append([]byte(wire.Preamble), byte(wire.HelloFrame), 2, 1, 7), firefly.BadFrame, true},
			{"frame too large", append(bytes.Clone(shaken), wire.AppendRequestHeader(nil, 1, 1, 70000)...), firefly.FrameTooLarge, true},
			{"a frame that gates send", append(bytes.Clone(shaken), wire.AppendPush(nil, 1, nil)...), firefly.BadFrame, true},
			{"unknown type", append(bytes.Clone(shaken), 15, 0), firefly.BadFrame, true},
			{"hello twice", append(bytes.Clone(shaken), helloFrame(wire.Hello{Protocol: wire.Version})...), firefly.BadFrame, true},
		} {
			k := w.to(g)
			k.write(c.bytes)
			if c.native {
				if len(c.bytes) > len(shaken) && bytes.HasPrefix(c.bytes, shaken) {
					k.welcome()
				}
				k.closes(c.reason)
			} else {
				k.end()
				k.quiet()
			}
			if n := g.Stats().Closed[c.reason]; n == 0 {
				t.Errorf("%s: not counted: %v", c.name, g.Stats().Closed)
			}
			if !w.logs.has("reason="+string(c.reason), k.conn.LocalAddr().String()) {
				t.Errorf("%s: the reason is not in the log", c.name)
			}
		}
		bystander.request(cmdEcho, 1, []byte("still here"))
		bystander.reply(1, []byte("still here"))
		await(t, "the connections to be counted out", func() bool { return g.Stats().Connections == 1 })
	})
}

// A door without classic clients refuses them.
func TestNoClassic(t *testing.T) {
	bubble(t, func(t *testing.T, w *town) {
		_, g := w.small(func(o *Options) { o.Listens.Classic = nil })
		c := w.to(g)
		c.write(testClassic.Append(nil, cmdEcho, nil))
		c.end()
		w.native(g)
	})
}

// 500 connections that say nothing are gone after the handshake time; others are served
// meanwhile. The idle time does the same later, and a ping keeps a session.
func TestSilence(t *testing.T) {
	bubble(t, func(t *testing.T, w *town) {
		_, g := w.small(nil)
		var silent []*testClient
		for i := range 500 {
			c := w.to(g)
			if i%3 == 0 {
				c.write([]byte(wire.Preamble)) // or too little
			} else if i%3 == 1 {
				c.write(testClassic.Append(nil, cmdEcho, []byte("cut"))[:19])
			}
			silent = append(silent, c)
		}
		c, old := w.native(g), w.to(g)
		old.write(testClassic.Append(nil, cmdEcho, []byte("2013")))
		old.classic()
		time.Sleep(9 * time.Second)
		if n := g.Stats().Connections; n != 502 {
			t.Fatalf("%d connections before the handshake time", n)
		}
		c.request(cmdEcho, 1, []byte("served"))
		c.reply(1, []byte("served"))
		time.Sleep(2 * time.Second)
		for _, s := range silent {
			s.end()
		}
		st := g.Stats()
		if st.Connections != 2 || st.Closed[firefly.HandshakeTimeout] != 500 {
			t.Fatalf("after the handshake time: %+v", st)
		}
		for range 10 {
			c.write(wire.AppendPing(nil, 77))
			if f := c.frame(); f.Type != wire.Pong || f.Seq != 77 {
				t.Fatalf("no pong but %v", f)
			}
			time.Sleep(20 * time.Second)
		}
		time.Sleep(30 * time.Second)
		if !c.alive() {
			t.Fatal("closed before the idle time")
		}
		time.Sleep(11 * time.Second)
		c.closes(firefly.Idle)
		if !old.alive() {
			t.Fatal("a classic client has 15 minutes")
		}
		time.Sleep(15 * time.Minute)
		old.end()
		if n := g.Stats().Closed[firefly.Idle]; n != 2 {
			t.Errorf("%d idle", n)
		}
	})
}

func TestConnectionLimits(t *testing.T) {
	bubble(t, func(t *testing.T, w *town) {
		_, g := w.small(func(o *Options) { o.Listens.MaxConnections = 3 })
		var list []*testClient
		for range 3 {
			list = append(list, w.native(g))
		}
		c := w.to(g)
		c.end()
		if n := g.Stats().Closed[firefly.TooMany]; n != 1 {
			t.Errorf("%d refused", n)
		}
		if !w.logs.has("reason=TOO_MANY", "max_connections") {
			t.Error("the reason is not in the log")
		}
		list[0].conn.Close()
		await(t, "room", func() bool { return g.Stats().Connections == 2 })
		w.native(g)
	})
	bubble(t, func(t *testing.T, w *town) {
		_, g := w.small(func(o *Options) { o.Listens.MaxPerAddress = 2 })
		from := netip.MustParseAddr("192.0.2.7")
		g.addressOf = func(net.Addr) (netip.Addr, bool) { return from, false }
		a, b := w.native(g), w.native(g)
		w.to(g).end()
		from = netip.MustParseAddr("192.0.2.8")
		w.native(g)
		_, _ = a, b
	})
	bubble(t, func(t *testing.T, w *town) {
		_, g := w.small(nil)
		g.addressOf = func(net.Addr) (netip.Addr, bool) { return netip.MustParseAddr("192.0.2.7"), false }
		for range newPerAddress {
			w.to(g)
		}
		w.to(g).end()
		time.Sleep(time.Second)
		w.native(g)
	})
}

// A thousand sessions over sockets own no goroutine.
func TestNoGoroutines(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("package net keeps a goroutine for each connection")
	}
	w := newTown(t)
	w.node("world-1", "world")
	tcp := transport.TCP()
	g := w.addGate("gate-1", func(o *Options) { o.Network, o.Address = tcp, "127.0.0.1:0" })
	w.join()
	hello := append([]byte(wire.Preamble), helloFrame(wire.Hello{Protocol: wire.Version})...)
	connect := func(n int) {
		for range n {
			c, err := net.Dial("tcp", g.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { c.Close() })
			if _, err := c.Write(wire.AppendRequest(hello[:len(hello):len(hello)], cmdEcho, 1, nil)); err != nil {
				t.Fatal(err)
			}
		}
	}
	connect(10)
	await(t, "ten sessions", func() bool { return g.Sessions() == 10 })
	time.Sleep(50 * time.Millisecond)
	before := runtime.NumGoroutine()
	connect(1000)
	await(t, "all sessions", func() bool { return g.Sessions() == 1010 && g.Stats().Unfinished == 0 })
	await(t, "goroutines to end", func() bool { return runtime.NumGoroutine() <= before+20 })
}
