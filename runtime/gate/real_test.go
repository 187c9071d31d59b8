package gate

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/router"
	"github.com/firefly-go/firefly/runtime/wire"
)

// These tests run the gate against real roles.

func spec(id uint32) *firefly.Command {
	for i := range testSchemas()[0].Commands {
		if c := &testSchemas()[0].Commands[i]; uint32(c.ID) == id {
			return c
		}
	}
	panic(id)
}

// handle registers a command of raw bodies.
func handle(h *router.Host, id uint32, f func(ctx context.Context, s firefly.Session, body []byte) ([]byte, error)) {
	h.HandleCommand(spec(id), nil, func(ctx context.Context, s firefly.Session, req any) (router.Body, error) {
		b, err := f(ctx, s, req.([]byte))
		return router.Body{Raw: b}, err
	})
}

func echoing(_ context.Context, _ firefly.Session, body []byte) ([]byte, error) { return body, nil }

// ledger writes down what hooks and handlers of several roles saw.
type ledger struct {
	t       *testing.T
	mu      sync.Mutex
	open    map[firefly.SessionID]int // OnConnect without OnClose
	bound   map[firefly.PlayerID]firefly.SessionID
	binds   int
	connect int
}

func (l *ledger) hooks(h *router.Host, rnd *rand.Rand) {
	n := h.Node()
	n.OnConnect(func(_ context.Context, s firefly.Session) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.open[s.ID()]++
		l.connect++
	})
	n.OnClose(func(ctx context.Context, s firefly.Session, _ firefly.Reason) {
		l.mu.Lock()
		d := time.Duration(rnd.IntN(2000)) * time.Microsecond
		l.mu.Unlock()
		_ = firefly.Sleep(ctx, d)
		l.mu.Lock()
		defer l.mu.Unlock()
		l.open[s.ID()]--
	})
}

func (l *ledger) bind(ctx context.Context, s firefly.Session, body []byte) ([]byte, error) {
	p := firefly.PlayerID(binary.BigEndian.Uint64(body))
	if err := s.Bind(ctx, p); err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if old := l.bound[p]; !old.IsZero() && old != s.ID() && l.open[old] != 0 {
		l.t.Errorf("player %d is bound to %v while %d OnClose hooks of %v have not returned", p, s.ID(), l.open[old], old)
	}
	l.bound[p] = s.ID()
	l.binds++
	return nil, nil
}

// Single login with real roles: at each of 1,000 rounds two sessions of one player at two
// gates; when Bind of the later one returns, the OnClose hooks of the former have returned at
// both nodes that it had touched.
func TestSingleLoginWithRoles(t *testing.T) {
	bubble(t, func(t *testing.T, w *town) {
		rnd := rand.New(rand.NewPCG(7, 8))
		l := &ledger{t: t, open: map[firefly.SessionID]int{}, bound: map[firefly.PlayerID]firefly.SessionID{}}
		world := w.host("world-1", "world", func(h *router.Host) {
			l.hooks(h, rnd)
			handle(h, cmdBind, l.bind)
		})
		chat := w.host("chat-1", "chat", func(h *router.Host) {
			l.hooks(h, rnd)
			handle(h, cmdChat, echoing)
		})
		gates := []*Gate{w.addGate("gate-1", nil), w.addGate("gate-2", nil)}
		w.join()
		rounds := 1000
		if testing.Short() {
			rounds = 100
		}
		for i := range rounds {
			p := firefly.PlayerID(100 + i)
			cs := []*testClient{w.native(gates[i%2]), w.native(gates[(i+1)%2])}
			var wg sync.WaitGroup
			for _, c := range cs {
				before := time.Duration(rnd.IntN(500)) * time.Microsecond
				wg.Go(func() {
					c.request(cmdChat, 1, nil) // so two nodes know the session
					time.Sleep(before)
					c.request(cmdBind, 2, playerBody(p))
				})
			}
			wg.Wait()
			await(t, "one session", func() bool { return cs[0].alive() != cs[1].alive() })
			for _, c := range cs {
				if c.alive() {
					c.reply(1, nil)
					c.reply(2, nil)
					c.conn.Close()
				}
			}
			await(t, "the end of the round", func() bool { return gates[0].Sessions()+gates[1].Sessions() == 0 })
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.binds < rounds {
			t.Errorf("%d binds in %d rounds", l.binds, rounds)
		}
		for id, n := range l.open {
			if n != 0 {
				t.Errorf("session %v: OnConnect without OnClose: %d", id, n)
			}
		}
		if world.host.Stats().Sessions+chat.host.Stats().Sessions != 0 {
			t.Error("sessions are left at the nodes")
		}
		for i := range rounds {
			if _, ok, err := w.directory.Lookup(t.Context(), firefly.PlayerID(100+i)); ok || err != nil {
				t.Fatalf("the directory still knows player %d: %v", 100+i, err)
			}
		}
	})
}

// One stalled session holds up none of 1,000 others.
func TestStalledSession(t *testing.T) {
	bubble(t, func(t *testing.T, w *town) {
		release := make(chan struct{})
		var order []string
		var mu sync.Mutex
		note := func(s string) {
			mu.Lock()
			order = append(order, s)
			mu.Unlock()
		}
		w.host("world-1", "world", func(h *router.Host) {
			handle(h, cmdHold, func(ctx context.Context, _ firefly.Session, _ []byte) ([]byte, error) {
				note("stalls")
				_, err := firefly.Await(ctx, func(ctx context.Context) (int, error) {
					select {
					case <-release:
					case <-ctx.Done():
					}
					return 0, nil
				})
				note("goes on")
				return nil, err
			})
			handle(h, cmdEcho, func(_ context.Context, _ firefly.Session, body []byte) ([]byte, error) {
				if len(body) > 0 {
					note(string(body))
				}
				return body, nil
			})
		})
		g := w.addGate("gate-1", nil)
		w.join()
		stalled := w.native(g)
		stalled.request(cmdHold, 1, nil)
		stalled.request(cmdEcho, 2, []byte("own next"))
		await(t, "the stall", func() bool { mu.Lock(); defer mu.Unlock(); return len(order) == 1 })
		others := make([]*testClient, 1000)
		for i := range others {
			others[i] = w.native(g)
			others[i].request(cmdEcho, 1, nil)
		}
		for _, c := range others {
			c.reply(1, nil)
		}
		note("others served")
		close(release)
		stalled.reply(1, nil)
		stalled.reply(2, []byte("own next"))
		if got, want := fmt.Sprint(order), "[stalls others served goes on own next]"; got != want {
			t.Errorf("%s, want %s", got, want)
		}
	})
}

// A world dies under load: what was in flight there is UNKNOWN, UNAVAILABLE or STATE_LOST,
// and nothing else; the other world and chat go on, and so do the clients afterwards.
func TestKillUnderLoad(t *testing.T) {
	bubble(t, func(t *testing.T, w *town) {
		roles := func(h *router.Host) {
			handle(h, cmdEcho, func(ctx context.Context, _ firefly.Session, body []byte) ([]byte, error) {
				return body, firefly.Sleep(ctx, 10*time.Millisecond)
			})
			handle(h, cmdKeyed, echoing)
		}
		worlds := []*fake{w.host("world-1", "world", roles), w.host("world-2", "world", roles)}
		w.host("chat-1", "chat", func(h *router.Host) { handle(h, cmdChat, echoing) })
		g := w.addGate("gate-1", nil)
		w.join()
		keys := [][]byte{w.keyAt(worlds[0], "world"), w.keyAt(worlds[1], "world")}

		type tally struct {
			ok    int
			codes map[string]int
		}
		var mu sync.Mutex
		counts := [2]tally{{codes: map[string]int{}}, {codes: map[string]int{}}}
		stop := make(chan struct{})
		var wg sync.WaitGroup
		const clients, depth = 16, 4
		for i := range clients {
			c := w.native(g)
			c.request(cmdKeyed, 1, keys[i%2])
			c.reply(1, keys[i%2])
			wg.Go(func() {
				seq := uint64(10)
				send := func() {
					seq++
					c.write(wire.AppendRequest(nil, []uint32{cmdEcho, cmdEcho, cmdEcho, cmdChat}[seq%4], seq, []byte{byte(seq)}))
				}
				for range depth {
					send()
				}
				for left := depth; left > 0; {
					f := c.frame()
					mu.Lock()
					k := &counts[i%2]
					if f.Type == wire.Reply {
						k.ok++
					} else {
						k.codes[string(f.Name)]++
					}
					mu.Unlock()
					select {
					case <-stop:
						left--
					default:
						if f.Type == wire.Error {
							time.Sleep(20 * time.Millisecond)
						}
						send()
					}
				}
				// It goes on: whatever is still to be told, then served.
				for try := uint64(1); ; try++ {
					c.request(cmdEcho, 1e6+try, []byte("after"))
					if f := c.frame(); f.Type == wire.Reply && string(f.Body) == "after" {
						break
					} else if try == 5 {
						t.Errorf("client %d is not served again: %s", i, f.Name)
						break
					}
				}
			})
		}
		time.Sleep(100 * time.Millisecond)
		w.kill(worlds[0])
		time.Sleep(200 * time.Millisecond)
		w.host("world-1", "world", roles)
		w.join()
		time.Sleep(200 * time.Millisecond)
		close(stop)
		wg.Wait()
		mu.Lock()
		defer mu.Unlock()
		t.Logf("at the world that died: %+v; at the other: %+v", counts[0], counts[1])
		if len(counts[1].codes) != 0 {
			t.Errorf("clients of the world that lived saw %v", counts[1].codes)
		}
		for code := range counts[0].codes {
			if code != string(firefly.Unknown) && code != string(firefly.Unavailable) && code != string(firefly.StateLost) {
				t.Errorf("clients of the world that died saw %s", code)
			}
		}
		if counts[0].codes[string(firefly.Unknown)] == 0 || counts[0].codes[string(firefly.StateLost)] != clients/2 {
			t.Errorf("want some UNKNOWN and %d STATE_LOST: %v", clients/2, counts[0].codes)
		}
	})
}
