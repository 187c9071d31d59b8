package gate

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/transport"
	"github.com/firefly-go/firefly/runtime/wire"
)

func TestRefusals(t *testing.T) {
	bubble(t, func(t *testing.T, w *town) {
		world, g := w.small(nil)
		c := w.native(g)
		c.request(999, 1, nil)
		c.fails(1, firefly.Unimplemented)
		c.request(cmdAuth, 2, nil)
		c.fails(2, firefly.Unauthenticated)
		c.request(cmdChat, 3, nil) // nobody plays chat
		c.fails(3, firefly.Unavailable)
		for i := range 3 {
			c.request(cmdRated, 10+uint64(i), nil)
			c.reply(10+uint64(i), nil)
		}
		c.request(cmdRated, 20, nil)
		c.fails(20, firefly.RateLimited)
		c.request(cmdEcho, 21, nil) // has no rate
		c.reply(21, nil)
		time.Sleep(400 * time.Millisecond)
		c.request(cmdRated, 22, nil)
		c.reply(22, nil)
		c.request(cmdFail, 23, []byte("t.v1.Fault.POOR"))
		f := c.frame()
		if f.Type != wire.Error || f.Code != 1003 || string(f.Name) != "t.v1.Fault.POOR" || string(f.Message) != "as you wish" {
			t.Errorf("a game's code: %+v", f)
		}
		c.request(cmdFail, 24, []byte("nobody.knows"))
		if f := c.frame(); f.Code != 1 || string(f.Name) != "nobody.knows" {
			t.Errorf("a code that nobody declared: %+v", f)
		}
		c.request(cmdKeyed, 25, []byte{0xFF})
		c.fails(25, firefly.InvalidArgument)
		c.bindTo(5)
		c.request(cmdAuth, 26, []byte("me"))
		c.reply(26, []byte("me"))

		// A reply over max_frame is an error and a log line, not a dead client.
		c.request(cmdBig, 27, binary.BigEndian.AppendUint32(nil, 70000))
		c.fails(27, firefly.Internal)
		if !w.logs.has("reply is larger than max_frame", "t.v1.S.Big") {
			t.Error("no log line of the large reply")
		}
		c.request(cmdBig, 28, binary.BigEndian.AppendUint32(nil, 65536))
		c.reply(28, make([]byte, 65536))

		// A command without a reply: a request gets an empty one, a notify nothing.
		c.write(wire.AppendNotify(nil, cmdNoReply, []byte("n")))
		c.write(wire.AppendNotify(nil, cmdEcho, []byte("e")))
		c.write(wire.AppendNotify(nil, 999, nil))
		c.request(cmdNoReply, 29, []byte("r"))
		c.reply(29, nil)
		c.quiet()
		if got := world.commands(); !slices.Contains(got, "n") || !slices.Contains(got, "e") {
			t.Errorf("the node saw %q", got)
		}
	})
}

// The listener's rate counts for commands that have none of their own.
func TestListenerRate(t *testing.T) {
	bubble(t, func(t *testing.T, w *town) {
		_, g := w.small(func(o *Options) {
			o.Listens.Rate = "2/s"
			o.Schemas = testSchemas()
			for i := range o.Schemas[0].Commands {
				if c := &o.Schemas[0].Commands[i]; c.ID == cmdAuth || c.ID == cmdUnordered {
					c.Rate, c.Auth = firefly.Rate{}, firefly.AuthPublic
				}
			}
		})
		c := w.native(g)
		c.request(cmdAuth, 1, nil)
		c.reply(1, nil)
		c.request(cmdUnordered, 2, nil)
		c.reply(2, nil)
		c.request(cmdAuth, 3, nil)
		c.fails(3, firefly.RateLimited)
		for i := range uint64(20) {
			c.request(cmdEcho, 10+i, nil)
			c.reply(10+i, nil)
		}
		other := w.native(g)
		other.request(cmdAuth, 1, nil)
		other.reply(1, nil)
	})
}

// Frames of any size, glued and cut anywhere, in order.
func TestFraming(t *testing.T) {
	bubble(t, func(t *testing.T, w *town) {
		_, g := w.small(nil)
		c, old := w.native(g), w.to(g)
		rnd := rand.New(rand.NewPCG(1, 2))
		for i, n := range []int{0, 1, 126, 127, 128, 16383, 16384, 65535, 65536} {
			body := make([]byte, n)
			for j := range body {
				body[j] = byte(rnd.Uint32())
			}
			c.request(cmdEcho, uint64(i), body)
			c.reply(uint64(i), body)
			old.write(testClassic.Append(nil, cmdEcho, body))
			if id, got := old.classic(); id != cmdEcho || !bytes.Equal(got, body) {
				t.Fatalf("classic body of %d came back as %d of command %d", n, len(got), id)
			}
		}
		var glued, gluedOld []byte
		for i := range uint64(100) {
			body := fmt.Appendf(nil, "frame %d", i)
			glued = wire.AppendRequest(glued, cmdEcho, 1000+i, body)
			gluedOld = testClassic.Append(gluedOld, cmdEcho, body)
		}
		c.write(glued)
		old.write(gluedOld)
		for i := range uint64(100) {
			body := fmt.Appendf(nil, "frame %d", i)
			c.reply(1000+i, body)
			if _, got := old.classic(); !bytes.Equal(got, body) {
				t.Fatalf("glued classic frame %d came back as %q", i, got)
			}
		}
		frame := wire.AppendRequest(nil, cmdEcho, 300, bytes.Repeat([]byte("cut"), 50))
		frameOld := testClassic.Append(nil, cmdEcho, bytes.Repeat([]byte("cut"), 50))
		for i := 1; i < max(len(frame), len(frameOld)); i++ {
			if i < len(frame) {
				c.write(frame[:i])
				time.Sleep(time.Millisecond)
				c.write(frame[i:])
				c.reply(300, bytes.Repeat([]byte("cut"), 50))
			}
			if i < len(frameOld) {
				old.write(frameOld[:i])
				time.Sleep(time.Millisecond)
				old.write(frameOld[i:])
				old.classic()
			}
		}
		for _, b := range frame {
			c.write([]byte{b})
			time.Sleep(time.Millisecond)
		}
		c.reply(300, bytes.Repeat([]byte("cut"), 50))
		// A native handshake cut at every byte.
		hello := append([]byte(wire.Preamble), helloFrame(wire.Hello{Protocol: wire.Version})...)
		k := w.to(g)
		for _, b := range hello {
			k.write([]byte{b})
			time.Sleep(time.Millisecond)
		}
		k.welcome()
		c.quiet()
		old.quiet()
	})
}

// 64 commands of a session are at nodes at once, and as many wait as it has room for; beyond
// that the session is closed with FLOOD, and nobody else is.
func TestFlood(t *testing.T) {
	bubble(t, func(t *testing.T, w *town) {
		world, g := w.small(nil)
		c, other := w.native(g), w.native(g)
		g.reserve.Store(0)
		const room = maxUnfinished + maxWaiting/waitingCost
		var glued []byte
		for i := range uint64(room) {
			glued = wire.AppendRequest(glued, cmdHold, i, nil)
		}
		c.write(glued)
		await(t, "64 to arrive", func() bool { return world.holds() == maxUnfinished })
		await(t, "the others to be held", func() bool { return g.Stats().Held == room-maxUnfinished })
		other.request(cmdEcho, 1, nil)
		other.reply(1, nil)
		for i := range uint64(room) {
			await(t, "a command", func() bool { return world.holds() > 0 })
			world.release()
			c.reply(i, nil)
		}
		c.write(wire.AppendRequest(glued, cmdHold, room, nil))
		c.closes(firefly.Flood)
		world.releaseAll()

		// The bytes count too: four of these at nodes, three at the gate.
		c = w.native(g)
		for i := range uint64(7) {
			c.request(cmdHold, i, make([]byte, 65536))
		}
		await(t, "four", func() bool { return world.holds() == 4 })
		await(t, "three", func() bool { return g.Stats().Held == 3 })
		c.request(cmdHold, 7, make([]byte, 65536))
		c.closes(firefly.Flood)
		world.releaseAll()
		other.request(cmdEcho, 2, nil)
		other.reply(2, nil)
		await(t, "the sessions to end", func() bool { return g.Stats().Sessions == 1 })

		// With a reserve, a burst is served; afterwards nothing is owed.
		g.reserve.Store(reserve)
		c = w.native(g)
		for i := range uint64(100) {
			c.request(cmdHold, i, make([]byte, 65536))
		}
		await(t, "all to be held", func() bool { return g.Stats().Held == 96 })
		if left := g.reserve.Load(); left > reserve-5<<20 {
			t.Errorf("%d left of the reserve", left)
		}
		for i := range uint64(100) {
			await(t, "a command", func() bool { return world.holds() > 0 })
			world.release()
			c.reply(i, make([]byte, 65536))
		}
		for i := range uint64(50) {
			c.request(cmdHold, i, make([]byte, 65536))
		}
		await(t, "all to be held", func() bool { return g.Stats().Held == 46 })
		c.conn.Close()
		world.releaseAll()
		await(t, "the session to end", func() bool { return g.Stats().Sessions == 1 })
		if left := g.reserve.Load(); left != reserve {
			t.Errorf("%d are owed to the reserve", reserve-left)
		}

		// One session does not get all of it.
		c = w.native(g)
		for i := range uint64(300) {
			c.request(cmdHold, i, make([]byte, 65536))
		}
		for f := c.frame(); f.Type != wire.Close; f = c.frame() {
		}
		world.releaseAll()
	})
}

// A client that sends much and reads late loses nothing: its commands wait for it.
func TestLateReader(t *testing.T) {
	w := newTown(t)
	w.node("world-1", "world")
	tcp := transport.TCP()
	g := w.addGate("gate-1", func(o *Options) { o.Network, o.Address = tcp, "127.0.0.1:0" })
	w.join()
	c, err := net.Dial("tcp", g.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.(*net.TCPConn).SetReadBuffer(256 << 10)
	body := make([]byte, 65536)
	frame := testClassic.Append(nil, cmdEcho, body)
	var glued []byte
	for range 200 {
		glued = append(glued, frame...)
	}
	_ = c.SetDeadline(time.Now().Add(30 * time.Second))
	if _, err := c.Write(glued); err != nil {
		t.Fatal(err)
	}
	time.Sleep(100 * time.Millisecond)
	got := make([]byte, len(frame))
	for i := range 200 {
		if _, err := io.ReadFull(c, got); err != nil {
			t.Fatalf("reply %d: %v; %+v", i, err, g.Stats())
		}
		if !bytes.Equal(got, frame) {
			t.Fatalf("reply %d is another", i)
		}
	}
}

// A command for another node waits until the session has nothing unfinished; unordered ones
// and other sessions don't wait.
func TestFence(t *testing.T) {
	bubble(t, func(t *testing.T, w *town) {
		world, chat := w.node("world-1", "world"), w.node("chat-1", "chat")
		g := w.addGate("gate-1", nil)
		w.join()
		c, other := w.native(g), w.native(g)
		c.request(cmdHold, 1, []byte("first"))
		c.request(cmdChatHold, 2, []byte("second"))
		c.request(cmdChatHold, 3, []byte("third"))
		c.request(cmdHold, 4, []byte("fourth"))
		c.request(cmdEcho, 5, []byte("fifth"))
		c.request(cmdUnordered, 6, []byte("sixth"))
		c.reply(6, []byte("sixth"))
		other.request(cmdChat, 1, []byte("other"))
		other.reply(1, []byte("other"))
		if got := chat.commands(); !slices.Equal(got, []string{"other"}) {
			t.Fatalf("chat saw %q before the first had returned", got)
		}
		world.release()
		c.reply(1, []byte("first"))
		await(t, "both at chat", func() bool { return chat.holds() == 2 })
		if got := world.commands(); !slices.Equal(got, []string{"first", "sixth"}) {
			t.Fatalf("world saw %q", got)
		}
		chat.release()
		c.reply(2, []byte("second"))
		if world.holds() != 0 {
			t.Fatal("the fourth did not wait for the third")
		}
		chat.release()
		c.reply(3, []byte("third"))
		c.reply(5, []byte("fifth")) // the same node: order is the node's matter
		world.release()
		c.reply(4, []byte("fourth"))
	})
}

// Whatever the nodes and however long each takes, one session's commands reach them in order.
func TestFenceRandom(t *testing.T) {
	bubble(t, func(t *testing.T, w *town) {
		world, chat := w.node("world-1", "world"), w.node("chat-1", "chat")
		g := w.addGate("gate-1", nil)
		w.join()
		c := w.native(g)
		rnd := rand.New(rand.NewPCG(3, 4))
		sent, done := uint64(0), uint64(0)
		for done < 400 {
			if sent < 400 && sent-done < 60 && rnd.IntN(2) == 0 {
				c.request([]uint32{cmdHold, cmdChatHold}[rnd.IntN(2)], sent, binary.BigEndian.AppendUint64(nil, sent))
				sent++
				continue
			}
			if sent == done {
				continue
			}
			await(t, "a command", func() bool { return world.holds()+chat.holds() > 0 })
			if world.holds() > 0 && chat.holds() > 0 {
				t.Fatal("commands of one session lie at two nodes")
			}
			if world.holds() > 0 {
				world.release()
			} else {
				chat.release()
			}
			c.reply(done, binary.BigEndian.AppendUint64(nil, done))
			done++
		}
	})
}

// The gate answers at the deadline; the command keeps its place until the node has answered.
func TestDeadline(t *testing.T) {
	bubble(t, func(t *testing.T, w *town) {
		world, chat := w.node("world-1", "world"), w.node("chat-1", "chat")
		g := w.addGate("gate-1", nil)
		w.join()
		c := w.native(g)
		began := time.Now()
		c.request(cmdHold, 1, nil)
		time.Sleep(time.Second)
		c.request(cmdChat, 2, nil) // waits behind it, and its time ends a second later
		c.fails(1, firefly.DeadlineExceeded)
		if d := time.Since(began); d < 10*time.Second || d > 10*time.Second+200*time.Millisecond {
			t.Errorf("answered after %v", d)
		}
		if st := g.Stats(); st.Unfinished != 2 {
			t.Errorf("%d unfinished", st.Unfinished)
		}
		c.fails(2, firefly.DeadlineExceeded)
		if got := chat.commands(); len(got) != 0 {
			t.Errorf("chat saw %q", got)
		}
		c.request(cmdChat, 3, []byte("later"))
		world.release()
		c.reply(3, []byte("later"))
		c.quiet()
		if st := g.Stats(); st.Unfinished != 0 {
			t.Errorf("%d unfinished", st.Unfinished)
		}
	})
}

// A classic client's replies come in the order of its requests, whichever is done first, and
// errors are silence.
func TestClassicOrder(t *testing.T) {
	bubble(t, func(t *testing.T, w *town) {
		world, g := w.small(nil)
		c := w.to(g)
		send := func(id uint32, body string) { c.write(testClassic.Append(nil, id, []byte(body))) }
		send(cmdHold, "one")
		send(cmdUnordered, "two")
		send(999, "unknown")
		send(cmdNoReply, "nothing")
		send(cmdAuth, "refused")
		send(cmdUnordered, "three")
		await(t, "the hold", func() bool { return world.holds() == 1 })
		await(t, "all to arrive", func() bool { return len(world.commands()) == 4 })
		c.quiet()
		world.release()
		for _, want := range []struct {
			id   uint32
			body string
		}{{cmdHold, "one"}, {cmdUnordered, "two"}, {cmdUnordered, "three"}} {
			if id, body := c.classic(); id != want.id || string(body) != want.body {
				t.Fatalf("%d %q, want %d %q", id, body, want.id, want.body)
			}
		}
		send(cmdEcho, "four")
		c.classic()
		c.quiet()
	})
}
