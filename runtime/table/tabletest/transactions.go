package tabletest

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/table"
)

func transactions(t *testing.T, r *rig) {
	a, b := &Player{Name: "Ann", Gold: 10}, &Player{Name: "Bob", Gold: 10}
	r.ok(r.player.Insert(r.ctx, a))
	r.ok(r.player.Insert(r.ctx, b))
	sword := &Item{OwnerID: a.ID, Count: 1}
	r.ok(r.item.Insert(r.ctx, sword))
	trade := func(price int64) error {
		return r.db.Tx(r.ctx, func(ctx context.Context, tx *table.Tx) error {
			p, i := table.WritesOf(tx, r.Player), table.WritesOf(tx, r.Item)
			table.AddIn(&p, b.ID, PlayerGold, -price)
			table.AddIn(&p, a.ID, PlayerGold, price)
			table.MoveIn(&i, ItemKey{a.ID, sword.ID}, func(i *Item) { i.OwnerID = b.ID })
			return nil
		})
	}
	r.code(trade(11), firefly.OutOfRange)
	if r.gold(a.ID) != 10 || r.gold(b.ID) != 10 {
		t.Fatal("a trade that failed moved gold")
	}
	_, err := r.item.Get(r.ctx, ItemKey{a.ID, sword.ID})
	r.ok(err)
	r.ok(trade(10))
	if r.gold(a.ID) != 20 || r.gold(b.ID) != 0 {
		t.Fatalf("gold is %d and %d", r.gold(a.ID), r.gold(b.ID))
	}
	_, err = r.item.Get(r.ctx, ItemKey{a.ID, sword.ID})
	r.code(err, firefly.NotFound)
	_, err = r.item.Get(r.ctx, ItemKey{b.ID, sword.ID})
	r.ok(err)
	// Inside, what was collected is seen; outside it is not. Nested ones join.
	var after []string
	r.ok(r.db.Tx(r.ctx, func(ctx context.Context, tx *table.Tx) error {
		p := table.WritesOf(tx, r.Player)
		table.AddIn(&p, a.ID, PlayerGold, 5)
		if g, err := r.player.Get(ctx, a.ID); err != nil || g.Gold != 25 {
			t.Errorf("inside, gold is %v: %v", g, err)
		}
		if g := r.gold(a.ID); g != 20 {
			t.Errorf("outside, gold is %d", g)
		}
		if n, err := table.Add(ctx, &r.player, a.ID, PlayerGold, 1); err != nil || n != 26 {
			t.Errorf("an addition inside gave %d: %v", n, err)
		}
		table.AfterCommit(ctx, func() { after = append(after, "first") })
		return r.db.Tx(ctx, func(ctx context.Context, tx *table.Tx) error {
			i := table.WritesOf(tx, r.Item)
			ring := &Item{OwnerID: a.ID}
			if err := i.Insert(ctx, ring); err != nil {
				return err
			}
			if all, err := table.FindAll(ctx, &r.item, ByOwner, table.IntOf(a.ID)); err != nil || len(all) != 1 || all[0].ID != ring.ID {
				t.Errorf("inside, the items are %v: %v", all, err)
			}
			if _, err := i.Update(ctx, ItemKey{a.ID, ring.ID}, func(i *Item) error { i.Count = 3; return nil }); err != nil {
				return err
			}
			table.AfterCommit(ctx, func() { after = append(after, "second") })
			return nil
		})
	}))
	if !slices.Equal(after, []string{"first", "second"}) || r.gold(a.ID) != 26 {
		t.Errorf("after the commit: %q, gold %d", after, r.gold(a.ID))
	}
	all, err := table.FindAll(r.ctx, &r.item, ByOwner, table.IntOf(a.ID))
	r.ok(err)
	if len(all) != 1 || all[0].Count != 3 {
		t.Errorf("the items are %v", all)
	}
	// Several writes of one row are one.
	r.ok(r.db.Tx(r.ctx, func(ctx context.Context, tx *table.Tx) error {
		p := table.WritesOf(tx, r.Player)
		table.AddIn(&p, b.ID, PlayerGold, 3)
		_, err := p.Update(ctx, b.ID, func(p *Player) error { p.Guild = p.Gold; return nil })
		table.AddIn(&p, b.ID, PlayerGold, 4)
		p.Delete(a.ID)
		again := &Player{ID: a.ID, Name: "Ann II"}
		return errors.Join(err, p.Insert(ctx, again))
	}))
	pb, err := r.player.Get(r.ctx, b.ID)
	r.ok(err)
	pa, err := r.player.Get(r.ctx, a.ID)
	r.ok(err)
	if pb.Gold != 7 || pb.Guild != 3 || pa.Name != "Ann II" || pa.Gold != 0 {
		t.Errorf("%+v and %+v", pa, pb)
	}
	// An error or a panic drops everything, and nothing is usable afterwards.
	stop := errors.New("stop")
	var kept *table.Tx
	if err := r.db.Tx(r.ctx, func(ctx context.Context, tx *table.Tx) error {
		kept = tx
		p := table.WritesOf(tx, r.Player)
		table.AddIn(&p, b.ID, PlayerGold, 100)
		table.AfterCommit(ctx, func() { t.Error("after a commit that was none") })
		return stop
	}); err != stop {
		t.Error(err)
	}
	w := table.WritesOf(kept, r.Player)
	_, err = w.Update(r.ctx, b.ID, func(*Player) error { return nil })
	r.code(err, firefly.FailedPrecondition)
	func() {
		defer func() { _ = recover() }()
		_ = r.db.Tx(r.ctx, func(ctx context.Context, tx *table.Tx) error {
			p := table.WritesOf(tx, r.Player)
			table.AddIn(&p, b.ID, PlayerGold, 100)
			panic("out")
		})
	}()
	if g := r.gold(b.ID); g != 7 {
		t.Errorf("gold is %d after transactions that were dropped", g)
	}
	// Write-through rows go along.
	r.ok(r.account.Insert(r.ctx, &Account{ID: 1, Balance: 5}))
	r.ok(r.db.Tx(r.ctx, func(ctx context.Context, tx *table.Tx) error {
		p, acc := table.WritesOf(tx, r.Player), table.WritesOf(tx, r.Account)
		table.AddIn(&acc, 1, AccountBalance, -5)
		table.AddIn(&p, b.ID, PlayerGold, 5)
		return nil
	}))
	if acc, err := r.account.Get(r.ctx, 1); err != nil || acc.Balance != 0 || r.gold(b.ID) != 12 {
		t.Errorf("%v, gold %d: %v", acc, r.gold(b.ID), err)
	}
}

func once(t *testing.T, r *rig) {
	p, q := &Player{Name: "Ann"}, &Player{Name: "Bob"}
	r.ok(r.player.Insert(r.ctx, p))
	r.ok(r.player.Insert(r.ctx, q))
	bonus := func(id int64, key string) error {
		return r.db.Tx(r.ctx, func(ctx context.Context, tx *table.Tx) error {
			w := table.WritesOf(tx, r.Player)
			table.AddIn(&w, id, PlayerGold, 100)
			tx.Once(key)
			return nil
		})
	}
	r.ok(bonus(p.ID, "monday"))
	for range 3 {
		err := bonus(p.ID, "monday")
		r.code(err, firefly.AlreadyExists)
		if !errors.Is(err, table.ErrOnce) {
			t.Fatalf("%v is not ErrOnce", err)
		}
	}
	r.ok(bonus(p.ID, "tuesday"))
	r.ok(bonus(q.ID, "monday")) // of another player
	if r.gold(p.ID) != 200 || r.gold(q.ID) != 100 {
		t.Errorf("gold is %d and %d", r.gold(p.ID), r.gold(q.ID))
	}
	// The same commit again is answered as if it were the first; a failed one does not use its key up.
	again := func(token uint64, delta int64) error {
		return r.store.Commit(r.ctx, &table.Commit{Once: "friday", Token: token, Ops: []table.Op{
			{Kind: table.Update, Ref: r.Player.Ref(p.ID), Add: []table.AddTo{{Column: PlayerGold, Delta: delta}}}}})
	}
	r.code(again(1, -1000), firefly.OutOfRange)
	r.ok(again(2, 1))
	r.ok(again(2, 1))
	r.code(again(3, 1), firefly.AlreadyExists)
	if g := r.gold(p.ID); g != 201 {
		t.Errorf("gold is %d", g)
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	done := 0
	for range 10 {
		wg.Go(func() {
			if err := bonus(q.ID, "race"); err == nil {
				mu.Lock()
				done++
				mu.Unlock()
			} else if !errors.Is(err, table.ErrOnce) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if done != 1 || r.gold(q.ID) != 200 {
		t.Errorf("%d of ten were done, gold is %d", done, r.gold(q.ID))
	}
}

func conflicts(t *testing.T, r *rig) {
	p := &Player{Name: "Ann"}
	r.ok(r.player.Insert(r.ctx, p))
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 10 {
				if _, err := r.player.Update(r.ctx, p.ID, func(p *Player) error { p.Gold++; p.Guild = p.Gold; return nil }); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	got, err := r.player.Get(r.ctx, p.ID)
	r.ok(err)
	if got.Gold != 40 || got.Guild != 40 {
		t.Errorf("after 40 updates %+v", got)
	}
	// A transaction that read what somebody else wrote runs again.
	runs := 0
	r.ok(r.db.Tx(r.ctx, func(ctx context.Context, tx *table.Tx) error {
		runs++
		w := table.WritesOf(tx, r.Player)
		got, err := w.Get(ctx, p.ID)
		if err != nil {
			return err
		}
		if runs == 1 {
			if _, err := table.Add(r.ctx, &r.player, p.ID, PlayerGold, 1); err != nil {
				return err
			}
		}
		i := table.WritesOf(tx, r.Item)
		return i.Insert(ctx, &Item{OwnerID: p.ID, Count: got.Gold})
	}))
	all, err := table.FindAll(r.ctx, &r.item, ByOwner, table.IntOf(p.ID))
	r.ok(err)
	if runs != 2 || len(all) != 1 || all[0].Count != 41 {
		t.Errorf("%d runs, items %v", runs, all)
	}
	absent(t, r, p.ID)
	moment(t, r, p.ID)
	// One that was removed and made again is another row.
	out := make([]table.Row, 1)
	r.ok(r.store.Read(r.ctx, []table.Ref{r.Player.Ref(p.ID)}, out))
	r.ok(r.player.Delete(r.ctx, p.ID))
	set := []table.Op{{Kind: table.Update, Ref: out[0].Ref, If: out[0].Version, Set: []table.Assign{{Column: PlayerGold, Value: table.IntOf(9)}}}}
	r.code(r.store.Commit(r.ctx, &table.Commit{Ops: set}), firefly.Conflict)
	r.ok(r.player.Insert(r.ctx, &Player{ID: p.ID, Name: "Ann"}))
	r.code(r.store.Commit(r.ctx, &table.Commit{Ops: set}), firefly.Conflict)
}

// absent: a transaction that found no row, and comes second with it, runs again and finds it.
func absent(t *testing.T, r *rig, owner int64) {
	key := ItemKey{owner, 1 << 40}
	runs := 0
	r.ok(r.db.Tx(r.ctx, func(ctx context.Context, tx *table.Tx) error {
		runs++
		w := table.WritesOf(tx, r.Item)
		_, err := w.Get(ctx, key)
		if err == nil {
			_, err = w.Update(ctx, key, func(i *Item) error { i.Count++; return nil })
			return err
		}
		if err := r.item.Insert(r.ctx, &Item{OwnerID: key.OwnerID, ID: key.ID, Count: 5}); err != nil {
			return err
		}
		return w.Insert(ctx, &Item{OwnerID: key.OwnerID, ID: key.ID, Count: 1})
	}))
	got, err := r.item.Get(r.ctx, key)
	r.ok(err)
	if runs != 2 || got.Count != 6 {
		t.Errorf("%d runs, %+v", runs, got)
	}
}

// moment: a transaction that only reads sees rows of several places as they were at one moment.
func moment(t *testing.T, r *rig, first int64) {
	other := &Player{Name: "Moment"}
	r.ok(r.player.Insert(r.ctx, other))
	runs, sum := 0, int64(0)
	before := r.gold(first) + r.gold(other.ID)
	r.ok(r.db.Tx(r.ctx, func(ctx context.Context, tx *table.Tx) error {
		runs++
		w := table.WritesOf(tx, r.Player)
		a, err := w.Get(ctx, first)
		if err != nil {
			return err
		}
		if runs == 1 {
			if err := r.db.Tx(r.ctx, func(ctx context.Context, tx *table.Tx) error {
				w := table.WritesOf(tx, r.Player)
				table.AddIn(&w, first, PlayerGold, -7)
				table.AddIn(&w, other.ID, PlayerGold, 7)
				return nil
			}); err != nil {
				return err
			}
		}
		b, err := w.Get(ctx, other.ID)
		if err != nil {
			return err
		}
		sum = a.Gold + b.Gold
		return nil
	}))
	if runs != 2 || sum != before {
		t.Errorf("%d runs, the sum is %d, want %d", runs, sum, before)
	}
}
