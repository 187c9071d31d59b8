package table

import (
	"context"
	"slices"

	"github.com/firefly-go/firefly"
)

// staged is what a transaction knows of a row and wants of it.
type staged struct {
	Ref
	read    bool // base is what the store had, under version; 0: nothing
	base    []Value
	version uint64
	check   bool // it must still be so at the commit

	write OpKind  // Insert, Update or Delete; Check: nothing is written
	now   []Value // the row as it will be; nil when it is not known, or will not be
	fresh bool
	adds  []AddTo // to a row that was not read
}

// row is what is staged of a row; the lock is held.
func (tx *Tx) row(ref Ref) *staged {
	s := tx.rows[ref]
	if s == nil {
		s = &staged{Ref: ref, write: Check}
		tx.rows[ref] = s
		tx.order = append(tx.order, s)
	}
	return s
}

func (tx *Tx) size() int {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	return len(tx.order)
}

// load sees to it that what the store has of a row is known.
func (tx *Tx) load(ctx context.Context, ref Ref) (*staged, error) {
	tx.mu.Lock()
	if tx.ended {
		tx.mu.Unlock()
		return nil, errOver
	}
	s := tx.row(ref)
	known := s.read || s.write == Insert
	tx.mu.Unlock()
	if known {
		return s, nil
	}
	row, err := tx.db.read(ctx, ref)
	if err != nil {
		return nil, err
	}
	tx.mu.Lock()
	defer tx.mu.Unlock()
	if s.read {
		return s, nil
	}
	s.read, s.base, s.version = true, row.Values, row.Version
	if row.Version == 0 {
		s.base = nil
	}
	if s.write == Update { // additions to a row that was not read
		if s.base == nil {
			return nil, ref.NotFoundError()
		}
		if s.now, err = ref.Table.sums(ref, s.base, s.adds); err != nil {
			return nil, err
		}
		s.adds, s.check = nil, true
	}
	return s, nil
}

// sums is a row after additions.
func (t *Spec) sums(ref Ref, base []Value, adds []AddTo) ([]Value, error) {
	now := slices.Clone(base)
	for _, a := range adds {
		v, err := t.Sum(ref, a.Column, now[a.Column], a.Delta)
		if err != nil {
			return nil, err
		}
		now[a.Column] = v
	}
	return now, nil
}

// as is the row as the transaction sees it, nil: there is none. The lock is held.
func (s *staged) as() []Value {
	switch s.write {
	case Insert, Update:
		return s.now
	case Delete:
		return nil
	}
	return s.base
}

// view reads a row as the transaction sees it; check: it must not change before the commit.
func (tx *Tx) view(ctx context.Context, ref Ref, check bool) (Row, error) {
	tx.mu.Lock()
	s := tx.rows[ref]
	tx.mu.Unlock()
	if s == nil && !check {
		return tx.db.read(ctx, ref) // nothing is staged, and nothing has to be
	}
	s, err := tx.load(ctx, ref)
	if err != nil {
		return Row{}, err
	}
	tx.mu.Lock()
	defer tx.mu.Unlock()
	if check && s.write != Insert {
		s.check = true
	}
	row := Row{Ref: ref, Values: s.as()}
	if row.Values != nil {
		row.Version = max(s.version, 1)
	}
	return row, nil
}

// over is a row of the store as the transaction sees it.
func (tx *Tx) over(row Row) Row {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	s := tx.rows[row.Ref]
	if s == nil || s.write == Check {
		return row
	}
	values := s.as()
	if s.write == Update && s.now == nil && row.Version != 0 {
		values, _ = row.Table.sums(row.Ref, row.Values, s.adds) // out of range is the commit's to say
	}
	if values == nil {
		return Row{Ref: row.Ref}
	}
	return Row{Ref: row.Ref, Version: max(row.Version, 1), Values: values}
}

// overFind is the answer to a query as the transaction sees it.
func (tx *Tx) overFind(q *Query, rows []Row) []Row {
	out := make([]Row, 0, len(rows))
	seen := map[Key]bool{}
	for _, r := range rows {
		seen[r.Key] = true
		if r = tx.over(r); r.Version != 0 && q.Fits(r.Values) {
			out = append(out, r)
		}
	}
	tx.mu.Lock()
	for _, s := range tx.order {
		if s.Table == q.Table && !seen[s.Key] && (s.write == Insert || s.write == Update) && s.now != nil && q.Fits(s.now) {
			out = append(out, Row{Ref: s.Ref, Version: max(s.version, 1), Values: s.now})
		}
	}
	tx.mu.Unlock()
	q.Table.SortRows(out)
	if q.After != "" {
		after, err := q.Table.Values(q.After)
		if err == nil {
			out = slices.DeleteFunc(out, func(r Row) bool { return q.Table.compareKey(r.Values, after) <= 0 })
		}
	}
	if q.Limit > 0 && len(out) > q.Limit {
		out = out[:q.Limit]
	}
	return out
}

// insert stages a new row.
func (tx *Tx) insert(ctx context.Context, ref Ref, values []Value, fresh bool) error {
	tx.mu.Lock()
	if tx.ended {
		tx.mu.Unlock()
		return errOver
	}
	s := tx.row(ref)
	gone := s.write == Delete && !s.read
	tx.mu.Unlock()
	if gone { // what was there becomes something else, so it must be known
		if _, err := tx.load(ctx, ref); err != nil {
			return err
		}
	}
	tx.mu.Lock()
	defer tx.mu.Unlock()
	switch {
	case s.write == Insert || s.write == Update || s.write == Check && s.base != nil:
		return ref.ExistsError()
	case s.write == Delete && s.base == nil:
		return ref.NotFoundError()
	case s.write == Delete:
		s.write, s.now, s.check = Update, values, true
	default:
		s.write, s.now, s.fresh = Insert, values, fresh
	}
	return nil
}

// remove stages the end of a row.
func (tx *Tx) remove(ref Ref) error {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	if tx.ended {
		return errOver
	}
	s := tx.row(ref)
	switch {
	case s.write == Delete || s.write == Check && s.read && s.base == nil:
		return ref.NotFoundError()
	case s.write == Insert:
		s.write, s.now = Check, nil
		s.check = !s.fresh // there must be none, or the insert would have failed
		s.read, s.base, s.version = true, nil, 0
	default:
		s.write, s.now, s.adds = Delete, nil, nil
	}
	return nil
}

// add stages an addition, without reading the row.
func (tx *Tx) add(ref Ref, column int, delta int64) error {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	if tx.ended {
		return errOver
	}
	s := tx.row(ref)
	switch {
	case s.write == Delete || s.write == Check && s.read && s.base == nil:
		return ref.NotFoundError()
	case s.write == Insert, s.write == Update && s.now != nil, s.write == Check && s.read && s.check:
		now := slices.Clone(s.as())
		v, err := ref.Table.Sum(ref, column, now[column], delta)
		if err != nil {
			return err
		}
		now[column] = v
		s.now = now
		if s.write == Check {
			s.write = Update
		}
	default:
		s.write, s.read = Update, false
		for i := range s.adds {
			if s.adds[i].Column == column {
				sum := s.adds[i].Delta + delta
				if (sum > s.adds[i].Delta) != (delta > 0) && delta != 0 {
					return ref.Table.outOfRange(ref, column, s.adds[i].Delta, delta)
				}
				s.adds[i].Delta = sum
				return nil
			}
		}
		s.adds = append(s.adds, AddTo{column, delta})
	}
	return nil
}

// addNow stages an addition and gives the sum, for which the row has to be read.
func (tx *Tx) addNow(ctx context.Context, ref Ref, column int, delta int64) (int64, error) {
	if _, err := tx.view(ctx, ref, true); err != nil {
		return 0, err
	}
	if err := tx.add(ref, column, delta); err != nil {
		return 0, err
	}
	tx.mu.Lock()
	defer tx.mu.Unlock()
	return tx.row(ref).now[column].Int(), nil
}

// commit is what has to be sent; nil: nothing.
func (tx *Tx) commit() (*Commit, error) {
	var checks, writes []Op
	for _, s := range tx.order {
		op := Op{Kind: s.write, Ref: s.Ref}
		if s.read && s.check {
			op.If = s.version
		}
		if s.read {
			op.Before = s.base
		}
		switch s.write {
		case Insert:
			op.Set, op.Fresh = all(s.now), s.fresh
		case Update:
			op.Add = s.adds
			if s.now != nil {
				set, err := s.Table.diff(s.Ref, s.base, s.now)
				if err != nil {
					return nil, err
				}
				op.Set = set
				if len(set) == 0 {
					op.Kind = Check
				}
			}
		case Check:
			if !s.check {
				continue
			}
			if s.base == nil {
				op.Kind = CheckAbsent
			}
		}
		if op.Kind == Check || op.Kind == CheckAbsent {
			checks = append(checks, op)
		} else {
			writes = append(writes, op)
		}
	}
	if len(writes) == 0 {
		if tx.once != "" {
			return nil, firefly.FailedPrecondition.Errorf("a transaction with the key %q of Once writes nothing, so the key has no place", tx.once)
		}
		if len(checks) < 2 { // one row alone is what it was when it was read
			return nil, nil
		}
	}
	if tx.once != "" {
		if err := checkOnce(writes[0].Ref); err != nil {
			return nil, err
		}
	}
	return &Commit{Ops: append(writes, checks...), Once: tx.once, Token: tx.token}, nil
}
