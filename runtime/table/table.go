package table

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/firefly-go/firefly"
)

// Table is one table as a game uses it; generated types embed it. Its methods may be called by
// handlers, which give the logic loop up while they wait, and by any other goroutine. Called with the
// ctx of a transaction they are part of it.
//
// Errors carry a code: NOT_FOUND, ALREADY_EXISTS, CONFLICT, OUT_OF_RANGE, NOT_UNIQUE and
// INVALID_ARGUMENT say that nothing was written; UNAVAILABLE and OVERLOADED that it was surely not
// executed; UNKNOWN that it may have been.
type Table[K comparable, R any] struct {
	db *DB
	c  *Codec[K, R]
}

// New makes a table of db.
func New[K comparable, R any](db *DB, c *Codec[K, R]) Table[K, R] { return Table[K, R]{db, c} }

// conflicts is how often a write is tried again when somebody else came between.
const conflicts = 32

// Get gives the row with a key; NOT_FOUND when there is none. The row is the caller's. Of a table with Spec.Near
// it may be as it was a moment before, and does not wait then; in a transaction it never is.
func (t *Table[K, R]) Get(ctx context.Context, key K) (R, error) {
	var none R
	ref := t.c.Ref(key)
	if err := t.c.Spec.checkRef(ref); err != nil {
		return none, err
	}
	var row Row
	var err error
	if t.db.hasNear(ctx, t.c.Spec) {
		row, err = t.db.readNear(ctx, ref)
	} else {
		row, err = t.db.view(ctx, ref)
	}
	if err != nil {
		return none, err
	}
	if row.Version == 0 {
		return none, ref.NotFoundError()
	}
	return t.c.row(row.Values)
}

// GetMany gives the rows with these keys, in their order; nil where there is none. As Get, it may give copies.
func (t *Table[K, R]) GetMany(ctx context.Context, keys ...K) ([]R, error) {
	refs := make([]Ref, len(keys))
	for i, k := range keys {
		refs[i] = t.c.Ref(k)
		if err := t.c.Spec.checkRef(refs[i]); err != nil {
			return nil, err
		}
	}
	views := t.db.views
	if t.db.hasNear(ctx, t.c.Spec) {
		views = t.db.readsNear
	}
	rows, err := views(ctx, refs)
	if err != nil {
		return nil, err
	}
	out := make([]R, len(rows))
	for i := range rows {
		if rows[i].Version == 0 {
			continue
		}
		if out[i], err = t.c.row(rows[i].Values); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Insert makes a row. An auto id that is 0 is filled in, in row too. ALREADY_EXISTS when there is one with
// this key.
func (t *Table[K, R]) Insert(ctx context.Context, row R) error {
	if tx := txOf(ctx, t.db); tx != nil {
		return (&Writes[K, R]{tx, t.c}).Insert(ctx, row)
	}
	values, fresh, err := t.c.fresh(ctx, t.db, row)
	if err != nil {
		return err
	}
	op := Op{Kind: Insert, Ref: t.c.Spec.RefOf(values), Fresh: fresh, Set: all(values)}
	return t.db.commit(ctx, &Commit{Ops: []Op{op}})
}

// fresh encodes a row that is to be inserted; fresh says that its id was just given.
func (c *Codec[K, R]) fresh(ctx context.Context, db *DB, row R) (values []Value, fresh bool, err error) {
	if c.SetID != nil {
		values, err = c.Values(row, make([]Value, 0, len(c.Spec.Columns)))
		if err == nil && values[c.Spec.Key[len(c.Spec.Key)-1]].n == 0 {
			id, err := db.nextID(ctx, c.Spec)
			if err != nil {
				return nil, false, err
			}
			c.SetID(row, id)
			fresh = true
		}
	}
	values, err = c.values(row)
	return values, fresh, err
}

// Update reads the row, lets change work on it, and writes what is different then, if nobody wrote the
// row meanwhile; else it begins anew, so change may run more than once. It must not call anything that
// waits, and an error of it ends the update. The row as it is now is given back. NOT_FOUND when there is
// none; CONFLICT when others came between again and again.
func (t *Table[K, R]) Update(ctx context.Context, key K, change func(R) error) (R, error) {
	if tx := txOf(ctx, t.db); tx != nil {
		return (&Writes[K, R]{tx, t.c}).Update(ctx, key, change)
	}
	var none R
	ref := t.c.Ref(key)
	if err := t.c.Spec.checkRef(ref); err != nil {
		return none, err
	}
	for try := 0; ; try++ {
		old, err := t.db.read(ctx, ref)
		if err != nil {
			return none, err
		}
		if old.Version == 0 {
			return none, ref.NotFoundError()
		}
		row, values, err := t.c.change(old.Values, change)
		if err != nil {
			return none, err
		}
		set, err := t.c.Spec.diff(ref, old.Values, values)
		if err != nil || len(set) == 0 {
			return row, err
		}
		err = t.db.commit(ctx, &Commit{Ops: []Op{{Kind: Update, Ref: ref, If: old.Version, Before: old.Values, Set: set}}})
		if err == nil {
			return row, nil
		}
		if firefly.CodeOf(err) != firefly.Conflict || try >= conflicts {
			return none, err
		}
		if err := backOff(ctx, try); err != nil {
			return none, err
		}
	}
}

// change decodes a row, changes it and encodes it.
func (c *Codec[K, R]) change(from []Value, change func(R) error) (row R, to []Value, err error) {
	if row, err = c.row(from); err != nil {
		return row, nil, err
	}
	if err = change(row); err != nil {
		return row, nil, err
	}
	to, err = c.values(row)
	return row, to, err
}

// backOff waits a moment before a write is tried again.
func backOff(ctx context.Context, try int) error {
	if try == 0 {
		return nil
	}
	most := min(time.Millisecond<<min(try, 6), 50*time.Millisecond)
	return firefly.Sleep(ctx, rand.N(most))
}

// Delete removes a row; NOT_FOUND when there is none.
func (t *Table[K, R]) Delete(ctx context.Context, key K) error {
	ref := t.c.Ref(key)
	if err := t.c.Spec.checkRef(ref); err != nil {
		return err
	}
	if tx := txOf(ctx, t.db); tx != nil {
		return tx.remove(ref)
	}
	return t.db.commit(ctx, &Commit{Ops: []Op{{Kind: Delete, Ref: ref}}})
}

// Add adds to a counter column in one step, without reading first, and gives the new value.
// OUT_OF_RANGE when that would leave its bounds.
func Add[K comparable, R any](ctx context.Context, t *Table[K, R], key K, column int, delta int64) (int64, error) {
	ref := t.c.Ref(key)
	if err := t.c.Spec.checkRef(ref); err != nil {
		return 0, err
	}
	if tx := txOf(ctx, t.db); tx != nil {
		return tx.addNow(ctx, ref, column, delta)
	}
	c := &Commit{Ops: []Op{{Kind: Update, Ref: ref, Add: []AddTo{{column, delta}}}}}
	if err := t.db.commit(ctx, c); err != nil {
		return 0, err
	}
	return c.Ops[0].Sums[0], nil
}

// FindOne gives the row that a unique index names; NOT_FOUND when there is none.
func FindOne[K comparable, R any](ctx context.Context, t *Table[K, R], index int, by ...Value) (R, error) {
	var none R
	rows, err := FindPage(ctx, t, index, nil, 1, by...)
	if err != nil {
		return none, err
	}
	if len(rows) == 0 {
		return none, firefly.NotFound.Errorf("there is no %s with this %s", t.c.Spec.Name, t.c.Spec.Columns[t.c.Spec.Indexes[index].By[0]].Field)
	}
	return rows[0], nil
}

// FindAll gives all rows that an index names, in the order of their keys.
func FindAll[K comparable, R any](ctx context.Context, t *Table[K, R], index int, by ...Value) ([]R, error) {
	return FindPage(ctx, t, index, nil, 0, by...)
}

// FindPage gives at most limit rows behind the key after; nil: from the beginning, 0: all.
func FindPage[K comparable, R any](ctx context.Context, t *Table[K, R], index int, after *K, limit int, by ...Value) ([]R, error) {
	s := t.c.Spec
	for i, c := range s.Indexes[index].By {
		if why := s.checkValue(c, by[i]); why != "" {
			return nil, s.invalid("", c, "%s", why)
		}
	}
	if limit < 0 {
		return nil, s.invalid("", -1, "a page has no less than 0 rows")
	}
	q := &Query{Table: s, Index: index, By: by, Limit: limit}
	if after != nil {
		q.After = t.c.Ref(*after).Key
	}
	rows, err := t.db.find(ctx, q)
	if err != nil {
		return nil, err
	}
	out := make([]R, len(rows))
	for i := range rows {
		if out[i], err = t.c.row(rows[i].Values); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Move gives a row another key: change sets the new key columns in a copy of it. The old row is removed
// and the new one made in one commit; with another place that is the durable commit. The row as it is
// now is given back.
func Move[K comparable, R any](ctx context.Context, t *Table[K, R], from K, change func(R)) (R, error) {
	var row R
	err := t.db.Tx(ctx, func(ctx context.Context, tx *Tx) error {
		var err error
		row, err = moveNow(ctx, &Writes[K, R]{tx, t.c}, from, change)
		return err
	})
	return row, err
}

func moveNow[K comparable, R any](ctx context.Context, w *Writes[K, R], from K, change func(R)) (R, error) {
	row, err := w.Get(ctx, from)
	if err != nil {
		return row, err
	}
	change(row)
	if err := w.tx.remove(w.c.Ref(from)); err != nil {
		return row, err
	}
	return row, w.Insert(ctx, row)
}

// read gives one row from the store.
func (db *DB) read(ctx context.Context, ref Ref) (Row, error) {
	return firefly.Await(ctx, func(ctx context.Context) (Row, error) {
		refs, out := [1]Ref{ref}, [1]Row{}
		err := db.store.Read(ctx, refs[:], out[:])
		return out[0], err
	})
}

// view is read, or what the transaction of ctx makes of it.
func (db *DB) view(ctx context.Context, ref Ref) (Row, error) {
	if tx := txOf(ctx, db); tx != nil {
		return tx.view(ctx, ref, false)
	}
	return db.read(ctx, ref)
}

func (db *DB) views(ctx context.Context, refs []Ref) ([]Row, error) {
	out := make([]Row, len(refs))
	if len(refs) == 0 {
		return out, nil
	}
	_, err := firefly.Await(ctx, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, db.store.Read(ctx, refs, out)
	})
	if err != nil {
		return nil, err
	}
	if tx := txOf(ctx, db); tx != nil {
		for i := range out {
			out[i] = tx.over(out[i])
		}
	}
	return out, nil
}

func (db *DB) find(ctx context.Context, q *Query) ([]Row, error) {
	tx := txOf(ctx, db)
	asked := q
	if tx != nil && q.Limit > 0 {
		// Rows that the transaction has removed must not make the page shorter.
		wider := *q
		wider.Limit += tx.size()
		asked = &wider
	}
	rows, err := firefly.Await(ctx, func(ctx context.Context) ([]Row, error) { return db.store.Find(ctx, asked) })
	if err != nil || tx == nil {
		return rows, err
	}
	return tx.overFind(q, rows), nil
}

func (db *DB) commit(ctx context.Context, c *Commit) error {
	_, err := firefly.Await(ctx, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, db.store.Commit(ctx, c)
	})
	return err
}
