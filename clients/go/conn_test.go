package client_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/firefly-go/firefly"
	client "github.com/firefly-go/firefly/clients/go"
	"github.com/firefly-go/firefly/runtime/transport"
	"github.com/firefly-go/firefly/runtime/wire"
)

// door is the other side: a gate that says what a test wants it to say. answer is called for
// every frame of the client.
type door struct {
	t      *testing.T
	net    *transport.Memory
	answer func(d *door, f *wire.Frame)

	mu     sync.Mutex
	conn   transport.Conn
	queue  *transport.Queue
	greets bool
	hellos []wire.Hello
}

func open(t *testing.T, answer func(d *door, f *wire.Frame)) *door {
	d := &door{t: t, net: transport.NewMemory(), answer: answer}
	ln, err := d.net.Listen("gate:1", func(c transport.Conn) transport.Handler {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.conn, d.queue = c, transport.NewQueue(c, transport.QueueOptions{})
		return d
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ln.Close()
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.conn != nil {
			d.conn.Close()
		}
	})
	return d
}

func (d *door) Data(_ transport.Conn, b []byte, _ *transport.Batch) int {
	all := len(b)
	if !d.greets {
		v, n, err := wire.ParsePreamble(b)
		if err != nil || n > 0 && v != wire.Version {
			d.t.Errorf("preamble: version %d, %v", v, err)
		}
		if n == 0 {
			return 0
		}
		d.greets, b = true, b[n:]
	}
	for {
		f, n, err := wire.Parse(b, 1<<20)
		if err != nil {
			d.t.Errorf("a client sent %v", err)
			return all
		}
		if n == 0 {
			return all - len(b)
		}
		b = b[n:]
		if f.Type == wire.HelloFrame {
			h, err := wire.ParseHello(f.Body)
			if err != nil {
				d.t.Error(err)
			}
			d.mu.Lock()
			d.hellos = append(d.hellos, h)
			d.mu.Unlock()
		}
		d.answer(d, &f)
	}
}

func (d *door) Writable(transport.Conn)      { d.queue.Writable() }
func (d *door) Closed(transport.Conn, error) { d.queue.Close() }

func (d *door) send(frame []byte) {
	buf, err := d.queue.Begin()
	if err != nil {
		return
	}
	d.queue.Commit(append(buf, frame...), nil)
}

func (d *door) welcome(w wire.Welcome) {
	body := wire.AppendWelcome(nil, &w)
	frame := append([]byte{byte(wire.WelcomeFrame)}, binary.AppendUvarint(nil, uint64(len(body)))...)
	d.send(append(frame, body...))
}

func (d *door) dial(o *client.Options) (*client.Conn, error) {
	if o == nil {
		o = &client.Options{}
	}
	o.Network = d.net
	return client.Dial(d.t.Context(), "gate:1", o)
}

// lets welcomes a hello and leaves everything else to next.
func lets(next func(d *door, f *wire.Frame)) func(*door, *wire.Frame) {
	return func(d *door, f *wire.Frame) {
		if f.Type == wire.HelloFrame {
			d.welcome(wire.Welcome{Session: "s-1"})
		} else if next != nil {
			next(d, f)
		}
	}
}

func TestRepliesFindTheirRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var waiting []uint64
		d := open(t, lets(func(d *door, f *wire.Frame) {
			waiting = append(waiting, f.Seq)
			if len(waiting) < 10 {
				return
			}
			for _, seq := range slices.Backward(waiting) { // the last first
				d.send(wire.AppendReply(nil, seq, fmt.Append(nil, seq)))
			}
		}))
		c, err := d.dial(nil)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if c.Session() != "s-1" {
			t.Errorf("session %q", c.Session())
		}
		var mu sync.Mutex
		seen := map[string]bool{}
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				b, err := c.Raw(t.Context(), 1, []byte("x"))
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				seen[string(b)] = true
				mu.Unlock()
			})
		}
		wg.Wait()
		if len(seen) != 10 {
			t.Errorf("10 requests got %d different replies", len(seen))
		}
	})
}

func TestErrorsCarryTheirCode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := open(t, lets(func(d *door, f *wire.Frame) {
			if f.ID == 1 {
				d.send(wire.AppendError(nil, f.Seq, 1001, "arena.v1.NOT_IN_A_ROOM", "join first", nil))
			} else {
				d.send(wire.AppendError(nil, f.Seq, 5, "", "", nil))
			}
		}))
		c, err := d.dial(nil)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := c.Raw(t.Context(), 1, nil); firefly.CodeOf(err) != "arena.v1.NOT_IN_A_ROOM" {
			t.Errorf("a game's code came as %v", err)
		}
		if _, err := c.Raw(t.Context(), 2, nil); firefly.CodeOf(err) != firefly.RateLimited {
			t.Errorf("a number without a name came as %v", err)
		}
	})
}

func TestPushesComeInOrderAndMayAsk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := open(t, lets(func(d *door, f *wire.Frame) { d.send(wire.AppendReply(nil, f.Seq, nil)) }))
		c, err := d.dial(nil)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		var got []byte
		done := make(chan struct{})
		c.OnPush(7, func(body []byte) {
			if _, err := c.Raw(t.Context(), 1, nil); err != nil { // a handler may wait for a reply
				t.Error(err)
			}
			if got = append(got, body...); len(got) == 100 {
				close(done)
			}
		})
		for i := range byte(100) {
			d.send(wire.AppendPush(nil, 7, []byte{i}))
		}
		<-done
		if !slices.IsSorted(got) {
			t.Errorf("pushes came as %v", got)
		}
	})
}

func TestAGateThatSaysWhyItCloses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := open(t, lets(func(d *door, f *wire.Frame) {
			d.send(wire.AppendClose(nil, string(firefly.Replaced), "logged in elsewhere"))
		}))
		c, err := d.dial(nil)
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.Raw(t.Context(), 1, nil)
		var closed *client.Closed
		if !errors.As(err, &closed) || closed.Reason != firefly.Replaced {
			t.Errorf("a request under way ended with %v", err)
		}
		<-c.Done()
		if _, err := c.Raw(t.Context(), 1, nil); !errors.As(err, &closed) {
			t.Errorf("a request on a closed connection gave %v", err)
		}
	})
}

func TestWhatBreaksEndsTheConnection(t *testing.T) {
	for name, c := range map[string]struct {
		say  func(d *door)
		want firefly.Reason
	}{
		"garbage":     {func(d *door) { d.send([]byte{15, 1, 2, 3}) }, firefly.BadFrame},
		"a lost gate": {func(d *door) { d.conn.Close() }, firefly.ConnectionLost},
		"a frame over 4 MiB": {func(d *door) {
			d.send(append([]byte{byte(wire.Push)}, binary.AppendUvarint(nil, 5<<20)...))
		}, firefly.BadFrame},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := open(t, lets(func(d *door, _ *wire.Frame) { c.say(d) }))
				conn, err := d.dial(nil)
				if err != nil {
					t.Fatal(err)
				}
				_, err = conn.Raw(t.Context(), 1, nil)
				var closed *client.Closed
				if !errors.As(err, &closed) || closed.Reason != c.want {
					t.Errorf("got %v, want %s", err, c.want)
				}
			})
		})
	}
}

func TestTimeIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := open(t, lets(nil)) // never answers
		c, err := d.dial(&client.Options{Timeout: 3 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		begin := time.Now()
		if _, err := c.Raw(t.Context(), 1, nil); !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) != 3*time.Second {
			t.Errorf("after %s: %v", time.Since(begin), err)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		d := open(t, func(*door, *wire.Frame) {}) // never welcomes
		if _, err := d.dial(&client.Options{Timeout: 3 * time.Second}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("dialing a silent gate: %v", err)
		}
	})
}

func TestShapesAreToldWhenAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := open(t, func(d *door, f *wire.Frame) {
			if f.Type != wire.HelloFrame {
				return
			}
			if len(d.hellos) == 1 {
				d.welcome(wire.Welcome{NeedShapes: true})
			} else {
				d.welcome(wire.Welcome{Session: "s", Refused: []wire.Refusal{{ID: 5, Name: "a.v1.A.Old"}}})
			}
		})
		c, err := d.dial(&client.Options{Schema: &firefly.Schema{
			Fingerprint: 99,
			Commands:    []firefly.Command{{ID: 5, Shape: 55}},
			Pushes:      []firefly.PushSpec{{ID: 6, Shape: 66}},
		}})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if h := d.hellos[0]; h.Fingerprint != 99 || len(h.Shapes) != 0 {
			t.Errorf("first hello: %+v", h)
		}
		if h := d.hellos[1]; !slices.Equal(h.Shapes, []wire.Shape{{ID: 5, Hash: 55}, {ID: 6, Hash: 66}}) {
			t.Errorf("second hello: %+v", h)
		}
		if _, err := c.Raw(t.Context(), 5, nil); firefly.CodeOf(err) != firefly.Incompatible {
			t.Errorf("a refused command gave %v", err)
		}
	})
}

func TestHeartbeatWhenThereIsNothingToSay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pings := 0
		d := open(t, func(d *door, f *wire.Frame) {
			switch f.Type {
			case wire.HelloFrame:
				d.welcome(wire.Welcome{Heartbeat: 10 * time.Second})
			case wire.Ping:
				pings++
			}
		})
		c, err := d.dial(nil)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(35 * time.Second)
		synctest.Wait()
		c.Close()
		if pings != 3 {
			t.Errorf("%d pings in 35 s of a heartbeat of 10 s", pings)
		}
	})
}

// slowMessage is decoded slowly.
type slowMessage struct {
	firefly.Message
	begun, goOn chan struct{}
	decoded     bool
}

func (m *slowMessage) UnmarshalVT([]byte) error {
	close(m.begun)
	<-m.goOn
	m.decoded = true
	return nil
}

// A reply that is being decoded when the ctx ends is the caller's only afterwards, and counts.
func TestDecodingIsNotLeftBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := open(t, lets(func(d *door, f *wire.Frame) { d.send(wire.AppendReply(nil, f.Seq, nil)) }))
		c, err := d.dial(nil)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		ctx, cancel := context.WithCancel(t.Context())
		reply := &slowMessage{begun: make(chan struct{}), goOn: make(chan struct{})}
		go func() {
			<-reply.begun
			cancel()
			synctest.Wait()
			close(reply.goOn)
		}()
		if err := c.Request(ctx, 1, nil, reply); err != nil || !reply.decoded {
			t.Errorf("%v, decoded %v", err, reply.decoded)
		}
	})
}
