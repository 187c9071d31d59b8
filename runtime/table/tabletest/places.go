package tabletest

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/table"
)

// places is about a table that is placed by a column outside of its key.
func places(t *testing.T, r *rig) {
	m := &Mail{To: 5, Text: "hi"}
	r.ok(r.mail.Insert(r.ctx, m))
	got, err := r.mail.Get(r.ctx, MailKey{5, m.ID})
	r.ok(err)
	if got.Text != "hi" {
		t.Error(got)
	}
	_, err = r.mail.Get(r.ctx, MailKey{6, m.ID}) // elsewhere
	r.code(err, firefly.NotFound)
	r.code(r.mail.Delete(r.ctx, MailKey{6, m.ID}), firefly.NotFound)
	for to := range int64(40) { // wherever others look for it, it stays where it is
		if to == 5 {
			continue
		}
		_, err = r.mail.Get(r.ctx, MailKey{to, m.ID})
		r.code(err, firefly.NotFound)
		_, err = r.mail.Get(r.ctx, MailKey{5, m.ID})
		r.ok(err)
	}
	all, err := table.FindAll(r.ctx, &r.mail, 0, table.IntOf(5))
	r.ok(err)
	if len(all) != 1 {
		t.Errorf("%d letters at 5", len(all))
	}
	_, err = r.mail.Update(r.ctx, MailKey{5, m.ID}, func(m *Mail) error { m.To = 6; return nil })
	r.code(err, firefly.InvalidArgument)
	// A key is there once, wherever it is.
	r.code(r.mail.Insert(r.ctx, &Mail{ID: m.ID, To: 6, Text: "copy"}), firefly.AlreadyExists)
	r.code(r.mail.Insert(r.ctx, &Mail{ID: m.ID, To: 5, Text: "copy"}), firefly.AlreadyExists)
	r.ok(r.db.Tx(r.ctx, func(ctx context.Context, tx *table.Tx) error {
		w := table.WritesOf(tx, r.Mail)
		if _, err := w.Get(ctx, MailKey{6, m.ID}); firefly.CodeOf(err) != firefly.NotFound {
			return fmt.Errorf("elsewhere: %v", err)
		}
		_, err := w.Update(ctx, MailKey{5, m.ID}, func(m *Mail) error { m.Text = "ho"; return nil })
		return err
	}))
	got, err = r.mail.Get(r.ctx, MailKey{5, m.ID})
	r.ok(err)
	if got.Text != "ho" {
		t.Error(got)
	}
	r.ok(r.mail.Delete(r.ctx, MailKey{5, m.ID}))
	r.ok(r.mail.Insert(r.ctx, &Mail{ID: m.ID, To: 6, Text: "again"}))
	_, err = r.mail.Get(r.ctx, MailKey{5, m.ID})
	r.code(err, firefly.NotFound)
	got, err = r.mail.Get(r.ctx, MailKey{6, m.ID})
	r.ok(err)
	if got.Text != "again" {
		t.Error(got)
	}
	// A transaction brings a row elsewhere.
	for from, to := int64(6), int64(7); from < 20; from, to = to, to+1 {
		r.ok(r.db.Tx(r.ctx, func(ctx context.Context, tx *table.Tx) error {
			w := table.WritesOf(tx, r.Mail)
			w.Delete(MailKey{from, m.ID})
			return w.Insert(ctx, &Mail{ID: m.ID, To: to, Text: "moved"})
		}))
		_, err = r.mail.Get(r.ctx, MailKey{from, m.ID})
		r.code(err, firefly.NotFound)
		_, err = r.mail.Get(r.ctx, MailKey{to, m.ID})
		r.ok(err)
		if to == 20 {
			r.ok(r.mail.Delete(r.ctx, MailKey{to, m.ID}))
		}
	}
	// Many who make a row of one key at different places: one does.
	var made, refused atomic.Int64
	var wg sync.WaitGroup
	for to := range int64(8) {
		wg.Go(func() {
			switch err := r.mail.Insert(r.ctx, &Mail{ID: m.ID, To: to, Text: "race"}); firefly.CodeOf(err) {
			case firefly.OK:
				made.Add(1)
			case firefly.AlreadyExists, firefly.Conflict:
				refused.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if made.Load() != 1 || refused.Load() != 7 {
		t.Errorf("%d rows of one key were made, %d refused", made.Load(), refused.Load())
	}
	there := 0
	for to := range int64(8) {
		if _, err := r.mail.Get(r.ctx, MailKey{to, m.ID}); err == nil {
			there++
		}
	}
	if there != 1 {
		t.Errorf("the row is at %d places", there)
	}
}
