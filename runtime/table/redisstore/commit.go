package redisstore

import (
	"context"
	"strconv"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/table"
)

// unread is how often a commit is sent again since a row was not as its sender believed: values of indexed
// columns, and counters of more digits than a script can add, are sent with what they were.
const unread = 64

// work is an op on its way to the script.
type work struct {
	*table.Op
	l      *layout
	set    []table.Assign // with what is added to columns that are set too
	add    []addition
	lists  []change
	before []table.Value // what the row is believed to be; nil: not known
}

// addition is an Add; several to one column are one.
type addition struct {
	column int
	delta  int64
	// A counter of many digits is set, if it still is what it was.
	exact      bool
	have, next string
}

// change is a list that an op leaves and one that it joins.
type change struct {
	index    int
	old, new []table.Value // nil: none
}

// Commit implements table.CacheCommits.
func (c *Cache) Commit(ctx context.Context, cm *table.Commit) (*table.Refused, error) {
	ws := make([]*work, len(cm.Ops))
	for i := range cm.Ops {
		var err error
		if ws[i], err = c.prepare(&cm.Ops[i]); err != nil {
			return nil, err
		}
	}
	shard := c.shardOf(cm.Ops[0].Place)
	for range unread {
		for _, w := range ws {
			if w.needsBefore() && w.before == nil {
				there, err := c.lookBefore(ctx, w)
				if err != nil {
					return nil, err
				}
				if !there {
					return &table.Refused{State: table.Absent, Op: c.opOf(ws, w)}, nil
				}
			}
			w.changes()
		}
		again, refused, err := c.send(ctx, shard, ws, cm.Replicated())
		if !again {
			return refused, err
		}
	}
	return nil, firefly.Unavailable.Errorf("%s: somebody else wrote it again and again", cm.Ops[0].Ref)
}

func (c *Cache) opOf(ws []*work, w *work) int {
	for i := range ws {
		if ws[i] == w {
			return i
		}
	}
	return 0
}

// prepare puts together what an op does to each column.
func (c *Cache) prepare(op *table.Op) (*work, error) {
	w := &work{Op: op, l: c.layouts.of(op.Table), set: op.Set, before: op.Before}
	op.Sums = nil
	for _, a := range op.Add {
		if op.Kind == table.Insert || w.setsToo(a.Column) {
			if err := w.addToSet(a); err != nil {
				return nil, err
			}
			continue
		}
		if at := w.addAt(a.Column); at >= 0 {
			sum := w.add[at].delta + a.Delta
			if (sum > w.add[at].delta) != (a.Delta > 0) && a.Delta != 0 {
				return nil, firefly.OutOfRange.Errorf("%s: %s: additions of %d and %d", op.Ref, op.Table.Columns[a.Column].Field, w.add[at].delta, a.Delta)
			}
			w.add[at].delta = sum
			continue
		}
		w.add = append(w.add, addition{column: a.Column, delta: a.Delta})
	}
	return w, nil
}

// setsToo reports whether the column is set, and not only added to.
func (w *work) setsToo(column int) bool {
	for _, s := range w.set {
		if s.Column == column {
			return true
		}
	}
	return false
}

func (w *work) addAt(column int) int {
	for i := range w.add {
		if w.add[i].column == column {
			return i
		}
	}
	return -1
}

// addToSet adds to a column that the op sets.
func (w *work) addToSet(a table.AddTo) error {
	set := make([]table.Assign, len(w.set), len(w.set)+1)
	copy(set, w.set)
	at := -1
	for i := range set {
		if set[i].Column == a.Column {
			at = i
		}
	}
	if at < 0 {
		set = append(set, table.Assign{Column: a.Column, Value: table.Zero(w.Table.Columns[a.Column].Kind)})
		at = len(set) - 1
	}
	v, err := w.Table.Sum(w.Ref, a.Column, set[at].Value, a.Delta)
	if err != nil {
		return err
	}
	set[at].Value = v
	w.set = set
	return nil
}

// needsBefore reports whether the lists that the op changes depend on what the row is.
func (w *work) needsBefore() bool {
	switch w.Kind {
	case table.Delete:
		return len(w.l.exact) > 0
	case table.Update:
		for _, x := range w.l.exact {
			for _, col := range w.Table.Indexes[x].By {
				if w.Sets(col) {
					return true
				}
			}
		}
	}
	return false
}

// lookBefore reads what a row is.
func (c *Cache) lookBefore(ctx context.Context, w *work) (there bool, err error) {
	var out table.Cached
	if err := c.readOne(ctx, w.Ref, &out); err != nil {
		return false, err
	}
	switch out.State {
	case table.Live:
		w.before = out.Values
		return true, nil
	case table.Gone:
		// The script says what that means. Until then the row is nothing.
		w.before = make([]table.Value, len(w.Table.Columns))
		return true, nil
	}
	return false, nil
}

// changes finds the lists that the op leaves and joins.
func (w *work) changes() {
	w.lists = w.lists[:0]
	if w.Kind == table.Check || w.Kind == table.CheckAbsent {
		return
	}
	for _, x := range w.l.exact {
		by := w.Table.Indexes[x].By
		var old, now []table.Value
		if w.Kind != table.Insert {
			if w.before == nil {
				continue // no column of an index changes
			}
			old = make([]table.Value, len(by))
			for i, col := range by {
				old[i] = w.before[col]
			}
		}
		if w.Kind != table.Delete {
			now = make([]table.Value, len(by))
			for i, col := range by {
				now[i] = w.after(col)
			}
		}
		if old != nil && now != nil && same(old, now) && !w.touches(by) {
			continue
		}
		w.lists = append(w.lists, change{x, old, now})
	}
}

// touches reports whether the op changes one of the columns.
func (w *work) touches(columns []int) bool {
	for _, col := range columns {
		if w.Sets(col) {
			return true
		}
	}
	return false
}

func same(a, b []table.Value) bool {
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// after is the value of a column when the op is done, as far as the row is what it is believed to be.
func (w *work) after(col int) table.Value {
	for i := range w.set {
		if w.set[i].Column == col {
			return w.set[i].Value
		}
	}
	if w.Kind == table.Insert {
		if w.Table.Columns[col].Nullable {
			return table.Value{}
		}
		return table.Zero(w.Table.Columns[col].Kind)
	}
	if at := w.addAt(col); at >= 0 {
		if v, err := w.Table.Sum(w.Ref, col, w.before[col], w.add[at].delta); err == nil {
			return v
		}
	}
	return w.before[col]
}

func (c *Cache) kind(op *table.Op) string {
	switch {
	case op.Kind == table.Insert && op.Fresh:
		return "F"
	case op.Kind == table.Insert:
		return "I"
	case op.Kind == table.Update:
		return "U"
	case op.Kind == table.Delete:
		return "D"
	case op.Kind == table.Check:
		return "C"
	}
	return "E"
}

func casOf(op *table.Op) string {
	if op.If == 0 {
		return ""
	}
	return strconv.FormatUint(op.If, 10)
}
