package table

import (
	"context"
)

// Writes are the writes of a transaction to one table; generated types embed it. They are done when the
// transaction is committed. Its methods are called by the function of the transaction.
type Writes[K comparable, R any] struct {
	tx *Tx
	c  *Codec[K, R]
}

// WritesOf are the writes of tx to the table of a codec.
func WritesOf[K comparable, R any](tx *Tx, c *Codec[K, R]) Writes[K, R] { return Writes[K, R]{tx, c} }

// Get reads a row for the transaction: it is committed only if the row is still the same then, also when
// it is not written. Reading a row of another place so makes it a durable commit. NOT_FOUND when there is
// none, and there must be none at the commit either.
func (w *Writes[K, R]) Get(ctx context.Context, key K) (R, error) {
	var none R
	ref := w.c.Ref(key)
	if err := w.c.Spec.checkRef(ref); err != nil {
		return none, err
	}
	row, err := w.tx.view(ctx, ref, true)
	if err != nil {
		return none, err
	}
	if row.Version == 0 {
		return none, ref.NotFoundError()
	}
	return w.c.row(row.Values)
}

// Insert makes a row. An auto id that is 0 is filled in, in row too.
func (w *Writes[K, R]) Insert(ctx context.Context, row R) error {
	values, fresh, err := w.c.fresh(ctx, w.tx.db, row)
	if err != nil {
		return err
	}
	return w.tx.insert(ctx, w.c.Spec.RefOf(values), values, fresh)
}

// Update reads a row and lets change work on it; the row as it will be is given back.
func (w *Writes[K, R]) Update(ctx context.Context, key K, change func(R) error) (R, error) {
	var none R
	ref := w.c.Ref(key)
	if err := w.c.Spec.checkRef(ref); err != nil {
		return none, err
	}
	old, err := w.tx.view(ctx, ref, true)
	if err != nil {
		return none, err
	}
	if old.Version == 0 {
		return none, ref.NotFoundError()
	}
	row, values, err := w.c.change(old.Values, change)
	if err != nil {
		return none, err
	}
	if _, err := w.c.Spec.diff(ref, old.Values, values); err != nil {
		return none, err
	}
	w.tx.mu.Lock()
	defer w.tx.mu.Unlock()
	s := w.tx.row(ref)
	s.now = values
	if s.write == Check {
		s.write = Update
	}
	return row, nil
}

// Delete removes a row. That there is none is an error of the commit.
func (w *Writes[K, R]) Delete(key K) {
	ref := w.c.Ref(key)
	err := w.c.Spec.checkRef(ref)
	if err == nil {
		err = w.tx.remove(ref)
	}
	w.later(err)
}

func (w *Writes[K, R]) later(err error) {
	if err != nil {
		w.tx.mu.Lock()
		w.tx.fail(err)
		w.tx.mu.Unlock()
	}
}

// AddIn adds to a counter column, without reading first. An error of it is that of the transaction.
func AddIn[K comparable, R any](w *Writes[K, R], key K, column int, delta int64) {
	ref := w.c.Ref(key)
	err := w.c.Spec.checkRef(ref)
	if err == nil {
		err = w.tx.add(ref, column, delta)
	}
	w.later(err)
}

// MoveIn gives a row another key, when the function of the transaction has returned; see Move.
func MoveIn[K comparable, R any](w *Writes[K, R], from K, change func(R)) {
	own := *w
	w.tx.mu.Lock()
	defer w.tx.mu.Unlock()
	w.tx.moves = append(w.tx.moves, func(ctx context.Context) error {
		_, err := moveNow(ctx, &own, from, change)
		return err
	})
}
