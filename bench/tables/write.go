package main

import (
	"context"
	"database/sql"
	"fmt"

	"example.com/bench/benchpb"

	"github.com/firefly-go/firefly/runtime/table"
)

// benchUpdate changes one field of a row.
func benchUpdate(ctx context.Context, b *bed) error {
	st, err := b.direct.PrepareContext(ctx, "UPDATE `hero` SET `gold` = ? WHERE `owner_id` = ? AND `id` = ?")
	if err != nil {
		return err
	}
	defer func() { _ = st.Close() }()
	update := func(w *world) func(int) func() error {
		return func(caller int) func() error {
			next := turn(caller)
			return func() error {
				_, err := w.hero.Update(ctx, next(), func(h *benchpb.Hero) error { h.Gold++; return nil })
				return err
			}
		}
	}
	for _, callers := range []int{1, 64} {
		cs := []contestant{
			{name: "UPDATE by primary key, prepared", caller: func(caller int) func() error {
				next, gold := turn(caller), 0
				return func() error {
					k := next()
					gold++
					_, err := st.ExecContext(ctx, gold, k.OwnerID, k.ID)
					return err
				}
			}},
			{name: "firefly Update, appendfsync always", ours: true, caller: update(b.always), settle: b.always.drain},
			{name: "firefly Update, appendfsync everysec", ours: true, caller: update(b.everysec), settle: b.everysec.drain},
			{name: "firefly AddGold, appendfsync everysec", ours: true, caller: func(caller int) func() error {
				next := turn(caller)
				return func() error {
					_, err := b.everysec.hero.AddGold(ctx, next(), 1)
					return err
				}
			}, settle: b.everysec.drain},
		}
		if err := b.compare(comparison{title: fmt.Sprintf("one field of a row, %d callers", callers), callers: callers, cs: cs,
			wanted: "Update reads the row and sets it if it is the same; its CPU has the flush"}); err != nil {
			return err
		}
	}
	return nil
}

// benchTx changes four rows of one place in one commit.
func benchTx(ctx context.Context, b *bed) error {
	const text = "UPDATE `hero` SET `gold` = `gold` + ? WHERE `owner_id` = ? AND `id` = ?"
	add := func(w *world) func(int) func() error {
		return func(caller int) func() error {
			n := 0
			return func() error {
				n++
				owner := int64(1 + caller + 64*(n%(owners/64)))
				return w.db.Tx(ctx, func(_ context.Context, tx *table.Tx) error {
					hero := benchpb.NewHeroWrites(tx)
					for id := range int64(each) {
						hero.AddGold(benchpb.HeroKey{OwnerID: owner, ID: id + 1}, 1)
					}
					return nil
				})
			}
		}
	}
	update := func(caller int) func() error {
		n := 0
		return func() error {
			n++
			owner := int64(1 + caller + 64*(n%(owners/64)))
			return b.everysec.db.Tx(ctx, func(ctx context.Context, tx *table.Tx) error {
				hero := benchpb.NewHeroWrites(tx)
				for id := range int64(each) {
					if _, err := hero.Update(ctx, benchpb.HeroKey{OwnerID: owner, ID: id + 1}, func(h *benchpb.Hero) error { h.Gold++; return nil }); err != nil {
						return err
					}
				}
				return nil
			})
		}
	}
	// Each caller has its connection and its statement; a pool would only make it dearer.
	conns, sts := make([]*sql.Conn, 64), make([]*sql.Stmt, 64)
	for i := range conns {
		var err error
		if conns[i], err = b.direct.Conn(ctx); err != nil {
			return err
		}
		defer func() { _ = conns[i].Close() }()
		if sts[i], err = conns[i].PrepareContext(ctx, text); err != nil {
			return err
		}
	}
	for _, callers := range []int{1, 64} {
		cs := []contestant{
			{name: "SQL transaction, 4 UPDATEs", caller: func(caller int) func() error {
				n := 0
				conn, st := conns[caller], sts[caller]
				return func() (err error) {
					n++
					owner := int64(1 + caller + 64*(n%(owners/64)))
					if _, err = conn.ExecContext(ctx, "START TRANSACTION"); err != nil {
						return err
					}
					for id := range each {
						if _, err = st.ExecContext(ctx, 1, owner, id+1); err != nil {
							return err
						}
					}
					_, err = conn.ExecContext(ctx, "COMMIT")
					return err
				}
			}},
			{name: "firefly Tx, 4 AddGold, appendfsync always", ours: true, caller: add(b.always), settle: b.always.drain},
			{name: "firefly Tx, 4 AddGold, appendfsync everysec", ours: true, caller: add(b.everysec), settle: b.everysec.drain},
			{name: "firefly Tx, 4 Update, appendfsync everysec", ours: true, caller: update, settle: b.everysec.drain},
		}
		if err := b.compare(comparison{title: fmt.Sprintf("four rows of one place, %d callers", callers), callers: callers, cs: cs}); err != nil {
			return err
		}
	}
	return nil
}
