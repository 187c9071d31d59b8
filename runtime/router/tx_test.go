package router

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/table"
	"github.com/firefly-go/firefly/runtime/table/tabletest"
)

// Pushes of a transaction leave when it is committed, in order, and not when it is dropped; calls that stay
// at the place of the transaction join it, and others are refused.
func TestTransactions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tables := tabletest.NewTables("")
		store := tabletest.NewMemory()
		db := table.NewDB(store, table.DBOptions{})
		players := table.New(db, tables.Player)
		for id := int64(1); id <= 2; id++ {
			if err := players.Insert(t.Context(), &tabletest.Player{ID: id, Name: "p" + string(rune('0'+id))}); err != nil {
				t.Fatal(err)
			}
		}
		credit := spec("world", firefly.Sticky, "Credit")
		shout := spec("chat", firefly.Hash, "Shout")
		var todo func(ctx context.Context, s firefly.Session) error
		g := newGame(t, plainRouting, "gate-1 gate", "world-1 world", "chat-1 chat")
		g.up(func(n *testNode, h *Host) {
			switch h.Role() {
			case "world":
				handle(h, 2, func(ctx context.Context, s firefly.Session, req *num) (*num, error) { return req, todo(ctx, s) })
				serve(h, credit, func(ctx context.Context, req *num) (*num, error) {
					_, err := table.Add(ctx, &players, 1, tabletest.PlayerGold, int64(req.v))
					return req, err
				})
			case "chat":
				serve(h, shout, func(ctx context.Context, req *num) (*num, error) { return req, nil })
			}
		})
		defer g.down()
		r := g.host("world-1", "world").router
		gate := g.nodes["gate-1"].gate
		do := func(f func(ctx context.Context, s firefly.Session) error) {
			t.Helper()
			todo = f
			if a := g.command("gate-1", "world-1", 2, 1, numBody(0), as(1, 1)).wait(); a.err != nil {
				t.Errorf("the command: %v", a.err)
			}
			synctest.Wait()
		}
		gold := func() int64 {
			p, err := players.Get(t.Context(), 1)
			if err != nil {
				t.Fatal(err)
			}
			return p.Gold
		}
		push := func(ctx context.Context, size int) {
			if err := r.Push(ctx, firefly.PlayerID(1), moved, NoKey(), pushed(size)); err != nil {
				t.Error(err)
			}
		}
		stop := errors.New("stop")
		do(func(ctx context.Context, s firefly.Session) error {
			if err := db.Tx(ctx, func(ctx context.Context, tx *table.Tx) error {
				push(ctx, 7)
				return stop
			}); err != stop {
				t.Error(err)
			}
			return db.Tx(ctx, func(inside context.Context, tx *table.Tx) error {
				w := table.WritesOf(tx, tables.Player)
				push(inside, 8)
				if _, err := call(inside, r, credit, PlayerKey(1), 5); firefly.CodeOf(err) != firefly.FailedPrecondition {
					t.Errorf("a call before the transaction has a place: %v", err)
				}
				table.AddIn(&w, 1, tabletest.PlayerGold, 1)
				if _, err := call(inside, r, credit, PlayerKey(1), 5); err != nil {
					t.Errorf("a call that stays: %v", err)
				}
				for _, k := range []Key{PlayerKey(2), IntKey(2), StringKey("x")} {
					if _, err := call(inside, r, credit, k, 5); firefly.CodeOf(err) != firefly.FailedPrecondition {
						t.Errorf("a call with another key: %v", err)
					}
				}
				if _, err := call(inside, r, shout, IntKey(1), 5); firefly.CodeOf(err) != firefly.FailedPrecondition {
					t.Errorf("a call that leaves the node: %v", err)
				}
				push(inside, 9)
				push(ctx, 3) // not with its ctx: at once
				if got := gold(); got != 0 {
					t.Errorf("before the commit gold is %d", got)
				}
				return nil
			})
		})
		if got := gold(); got != 6 {
			t.Errorf("gold is %d", got)
		}
		want := []string{"push 2001 to players [1]: 3", "push 2001 to players [1]: 8", "push 2001 to players [1]: 9", "reply to 1: <nil>"}
		if got := gate.take(); !slices.Equal(got, want) {
			t.Errorf("the gate got %q, want %q", got, want)
		}
	})
}
