package fireflytest_test

import (
	"context"
	"encoding/binary"
	"log/slog"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/firefly-go/firefly"
	client "github.com/firefly-go/firefly/clients/go"
	"github.com/firefly-go/firefly/fireflytest"
	"github.com/firefly-go/firefly/runtime/node"
)

// journal is what happened to the sessions of the players, in order.
type journal struct {
	mu    sync.Mutex
	open  map[firefly.PlayerID]map[firefly.SessionID]bool // at a world, until OnClose has returned
	bound map[firefly.SessionID]bool
	bad   []string
}

func (j *journal) note(p firefly.PlayerID, s firefly.SessionID, open bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.open[p] == nil {
		j.open[p] = map[firefly.SessionID]bool{}
	}
	if open {
		j.open[p][s] = true
	} else {
		delete(j.open[p], s)
	}
}

// bind notes that Bind of s returned, and a fault when a session that was bound to the player
// before is still open.
func (j *journal) bind(p firefly.PlayerID, s firefly.SessionID) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.bound[s] = true
	for other := range j.open[p] {
		if other != s && j.bound[other] {
			j.bad = append(j.bad, "Bind returned while "+other.String()+" of the player was open")
		}
	}
}

// loginRoles: a session says at a world which player it will be, so that the journal knows it,
// and then binds at a login node.
func loginRoles(j *journal) []node.Role {
	cmd := func(id firefly.CommandID, name, role string) firefly.Command {
		return firefly.Command{ID: id, Name: "test." + name, Role: role, Auth: firefly.AuthPublic, Rate: firefly.Rate{Count: -1},
			Timeout: 30 * time.Second, RawRequest: true, RawReply: true, Shape: uint64(id)}
	}
	schemas := []*firefly.Schema{{Package: "test", Fingerprint: 8, Commands: []firefly.Command{
		cmd(1, "Gate.Echo", "gate"), cmd(2, "World.Enter", "world"), cmd(3, "Login.Login", "login"),
	}}}
	player := func(b []byte) firefly.PlayerID { return firefly.PlayerID(binary.BigEndian.Uint64(b)) }
	return []node.Role{
		{Name: "gate", Listens: &node.Listens{TCP: 7700}, Schemas: schemas, New: func(b *node.Builder) {
			node.RawCommand(b, 1, func(_ context.Context, _ firefly.Session, body []byte) ([]byte, error) { return body, nil })
		}},
		{Name: "world", Replicas: 2, Schemas: schemas, New: func(b *node.Builder) {
			who := map[firefly.SessionID]firefly.PlayerID{}
			b.Node().OnClose(func(ctx context.Context, s firefly.Session, _ firefly.Reason) {
				_ = firefly.Sleep(ctx, time.Duration(rand.IntN(30))*time.Millisecond)
				j.note(who[s.ID()], s.ID(), false)
				delete(who, s.ID())
			})
			node.RawCommand(b, 2, func(_ context.Context, s firefly.Session, body []byte) ([]byte, error) {
				who[s.ID()] = player(body)
				j.note(player(body), s.ID(), true)
				return nil, nil
			})
		}},
		{Name: "login", Schemas: schemas, New: func(b *node.Builder) {
			node.RawCommand(b, 3, func(ctx context.Context, s firefly.Session, body []byte) ([]byte, error) {
				if err := s.Bind(ctx, player(body)); err != nil {
					return nil, err
				}
				j.bind(player(body), s.ID())
				return nil, nil
			})
		}},
	}
}

// TestTwoLoginsAtOnce: whoever logs in where and when, one session is left at the end, and
// the other's OnClose hooks have returned before its Bind did.
func TestTwoLoginsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := &journal{open: map[firefly.PlayerID]map[firefly.SessionID]bool{}, bound: map[firefly.SessionID]bool{}}
		g := fireflytest.StartWith(t, fireflytest.Options{Gates: 2, Level: slog.LevelError}, loginRoles(j)...)
		rounds := 1000
		if testing.Short() {
			rounds = 100
		}
		for round := range rounds {
			body := binary.BigEndian.AppendUint64(nil, uint64(round+1))
			var wg sync.WaitGroup
			conns := make([]*client.Conn, 2)
			for i, gate := range g.Gates() {
				wg.Go(func() {
					time.Sleep(time.Duration(rand.IntN(20_000)) * time.Microsecond)
					c, err := client.Dial(t.Context(), g.AddrOf(gate), &client.Options{Network: g.Network()})
					if err != nil {
						t.Error(err)
						return
					}
					conns[i] = c
					if _, err := c.Raw(t.Context(), 2, body); err != nil {
						t.Errorf("enter: %v", err)
					}
					time.Sleep(time.Duration(rand.IntN(20_000)) * time.Microsecond)
					_, _ = c.Raw(t.Context(), 3, body) // the one that is replaced may fail
				})
			}
			wg.Wait()
			time.Sleep(100 * time.Millisecond)
			synctest.Wait()
			alive := 0
			for i, c := range conns {
				if c == nil {
					t.Fatal("no connection")
				}
				select {
				case <-c.Done():
					if e, ok := c.Err().(*client.Closed); !ok || e.Reason != firefly.Replaced {
						t.Errorf("round %d: client %d was closed: %v", round, i, c.Err())
					}
				default:
					alive++
				}
				c.Close()
			}
			if alive != 1 {
				t.Errorf("round %d: %d sessions are left", round, alive)
			}
			if t.Failed() {
				break
			}
		}
		j.mu.Lock()
		defer j.mu.Unlock()
		for _, b := range j.bad {
			t.Error(b)
		}
	})
}
