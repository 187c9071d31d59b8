package redisstore

import (
	"context"
	"errors"
	"strconv"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/redisconn"
	"github.com/firefly-go/firefly/runtime/table"
)

// send sends the ops once; again: something of them was not as it was believed to be, and now it is known.
func (c *Cache) send(ctx context.Context, shard int, ws []*work, replicated bool) (again bool, _ *table.Refused, _ error) {
	p := c.prefixes[shard]
	keys := make([]string, 5, 5+3*len(ws))
	keys[0], keys[1], keys[2], keys[3], keys[4] = p+ofDirty, p+ofTx, p+ofPoison, p+ofErrors, p+ofPins
	writes := 0
	args := make([]any, 3, 3+20*len(ws))
	channel := ""
	for _, w := range ws {
		if w.Kind != table.Check && w.Kind != table.CheckAbsent {
			writes++
		}
		row := name(w.Ref)
		channel = c.newsOf(channel, w.Table)
		keys = append(keys, p+row)
		if w.Kind == table.Insert {
			keys = append(keys, p+"*"+row)
		}
		args = append(args, c.kind(w.Op), w.l.rev, casOf(w.Op), row, w.Table.Flush.Milliseconds())
		args = w.columns(args)
		keys, args = c.listArgs(keys, args, p, w)
	}
	args[0], args[1], args[2] = len(ws), 0, channel
	if writes > 1 {
		args[1] = 1
	}
	if !replicated {
		v, err := c.conn.Run(ctx, sCommit, keys, args)
		if err != nil {
			return false, nil, err
		}
		return c.answered(v, ws)
	}
	v, alone := c.conn.RunCopied(ctx, sCommit, keys, args, c.o.Copied)
	if alone != nil && !errors.Is(alone, redisconn.ErrNotCopied) {
		return false, nil, alone
	}
	again, refused, err := c.answered(v, ws)
	if err == nil && refused == nil && !again && alone != nil {
		err = firefly.Unknown.Errorf("%s: %w: %v", ws[0].Ref, table.ErrNotReplicated, alone)
	}
	return again, refused, err
}

// columns puts what is set, removed and added behind args.
func (w *work) columns(args []any) []any {
	at := len(args)
	args = append(args, 0)
	n := 0
	if w.Kind == table.Insert || w.Kind == table.Update {
		for _, s := range w.set {
			if text, keep := w.l.stored(s.Column, s.Value); keep {
				args = append(args, w.l.fields[s.Column], text)
				n++
			}
		}
	}
	args[at] = n
	at = len(args)
	args = append(args, 0)
	n = 0
	if w.Kind == table.Update {
		for _, s := range w.set {
			if _, keep := w.l.stored(s.Column, s.Value); !keep {
				args = append(args, w.l.fields[s.Column])
				n++
			}
		}
	}
	args[at] = n
	if w.Kind != table.Update {
		return append(args, 0)
	}
	args = append(args, len(w.add))
	for _, a := range w.add {
		f := w.l.fields[a.column]
		if a.exact {
			args = append(args, "e", f, a.have, a.next, "")
			continue
		}
		col := &w.Table.Columns[a.column]
		args = append(args, "a", f, a.delta, col.Min, col.Max)
	}
	return args
}

// noValue is what a field has that is absent and would be Null.
const noValue = "\x00null\x01"

// listArgs puts the changes of lists behind keys and args. What decides which list is left goes along, for the
// script to compare.
func (c *Cache) listArgs(keys []string, args []any, prefix string, w *work) ([]string, []any) {
	args = append(args, len(w.lists))
	for _, l := range w.lists {
		by := w.Table.Indexes[l.index].By
		if l.old == nil {
			args = append(args, 0)
		} else {
			args = append(args, len(by))
			for i, col := range by {
				absent, want := "", l.old[i].String()
				if w.Table.Columns[col].Nullable {
					absent = noValue
					if l.old[i].IsNull() {
						want = noValue
					}
				} else {
					absent = table.Zero(w.Table.Columns[col].Kind).String()
				}
				args = append(args, w.l.fields[col], want, absent)
			}
		}
		if l.old != nil && l.new != nil && same(l.old, l.new) {
			args = append(args, 0, 0) // compared, and nothing changes
			continue
		}
		for _, values := range [][]table.Value{l.old, l.new} {
			if values == nil {
				args = append(args, 0)
				continue
			}
			args = append(args, 1)
			keys = append(keys, prefix+c.listName(w.Table, l.index, values))
		}
	}
	return keys, args
}

// answered reads what the script says.
func (c *Cache) answered(v any, ws []*work) (again bool, _ *table.Refused, _ error) {
	a, _ := v.([]any)
	if len(a) == 0 {
		return false, nil, firefly.Unknown.Errorf("Redis answered %v to a commit", v)
	}
	what, _ := a[0].(string)
	if what == "OK" {
		return false, nil, done(a, ws)
	}
	if what == "BUSY" {
		return false, nil, firefly.Overloaded.Errorf("%s: too many transactions wait for the database", ws[0].Ref)
	}
	n := func(i int) int {
		if i >= len(a) {
			return 0
		}
		x, _ := a[i].(int64)
		return int(x)
	}
	i := n(1) - 1
	if i < 0 || i >= len(ws) {
		return false, nil, firefly.Internal.Errorf("Redis answered %v to a commit", v)
	}
	w := ws[i]
	switch what {
	case "MISS":
		return false, &table.Refused{State: table.Absent, Op: i}, nil
	case "WAIT":
		return false, &table.Refused{State: table.Wait, Op: i}, nil
	case "LOCKED":
		if len(a) < 4 {
			break
		}
		token, _ := a[2].(string)
		return false, &table.Refused{State: table.Locked, Op: i, Lock: token, Expired: n(3) == 1}, nil
	case "LIST":
		j := n(2) - 1
		if j < 0 || j >= len(w.lists) {
			break
		}
		by := w.lists[j].old
		if n(3) == 1 {
			by = w.lists[j].new
		}
		return false, &table.Refused{State: table.Absent, Op: i, List: &table.List{Table: w.Table, Index: w.lists[j].index, By: by, Place: w.Place}}, nil
	case "OLD":
		w.before = nil
		return true, nil, nil
	case "EXISTS":
		return false, nil, w.ExistsError()
	case "NOTFOUND":
		return false, nil, w.NotFoundError()
	case "CAS":
		return false, nil, w.ConflictError()
	case "RANGE", "BIG":
		j := n(2) - 1
		if j < 0 || j >= len(w.add) || len(a) < 4 {
			break
		}
		have, _ := a[3].(string)
		err := w.exactly(&w.add[j], have)
		return err == nil, nil, err
	}
	return false, nil, firefly.Internal.Errorf("Redis answered %v to a commit", v)
}

// exactly makes an addition one that sets the sum, if the counter still is what it was.
func (w *work) exactly(a *addition, have string) error {
	col := &w.Table.Columns[a.column]
	v := table.Zero(col.Kind)
	if have != "" {
		var err error
		if v, err = table.Parse(col.Kind, have); err != nil {
			return firefly.Internal.Errorf("%s: %s: %w", w.Ref, col.Field, err)
		}
	}
	sum, err := w.Table.Sum(w.Ref, a.column, v, a.delta)
	if err != nil {
		return err
	}
	a.exact, a.have, a.next = true, have, sum.String()
	return nil
}

// done fills in the results.
func done(a []any, ws []*work) error {
	if len(a) < 2 {
		return firefly.Unknown.Errorf("Redis answered %v to a commit", a)
	}
	version, _ := a[1].(string)
	v, err := strconv.ParseUint(version, 10, 64)
	if err != nil {
		return firefly.Unknown.Errorf("Redis answered %v to a commit", a)
	}
	sums := a[2:]
	for _, w := range ws {
		switch w.Kind {
		case table.Insert, table.Update:
			w.Version = v
		default:
			w.Version = 0
			continue
		}
		final := map[int]int64{}
		if w.Kind == table.Update {
			for _, add := range w.add {
				if len(sums) == 0 {
					return firefly.Unknown.Errorf("Redis answered %v to a commit", a)
				}
				switch x := sums[0].(type) {
				case int64:
					final[add.column] = x
				case string:
					n, _ := table.Parse(w.Table.Columns[add.column].Kind, x)
					final[add.column] = n.Int()
				default:
					return firefly.Unknown.Errorf("Redis answered %v to a commit", a)
				}
				sums = sums[1:]
			}
		}
		w.Sums = sumsOf(w, final)
	}
	return nil
}

// sumsOf has the value of every Add right behind it: the last one to a column has the final value.
func sumsOf(w *work, final map[int]int64) []int64 {
	if len(w.Add) == 0 {
		return nil
	}
	out := make([]int64, len(w.Add))
	for i := len(w.Add) - 1; i >= 0; i-- {
		col := w.Add[i].Column
		n, ok := final[col]
		if !ok {
			n = w.after(col).Int()
		}
		out[i], final[col] = n, n-w.Add[i].Delta
	}
	return out
}
