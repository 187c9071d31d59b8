package tabletest

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/table"
)

const (
	flush = 50 * time.Millisecond
	idle  = time.Minute
)

// Memory is the plainest table.Store: maps under a lock. It is the model that others are compared with.
type Memory struct {
	mu      sync.Mutex
	rows    map[*table.Spec]map[table.Key]table.Row
	once    map[[2]string]uint64
	seq     map[*table.Spec]int64
	version uint64
}

// NewMemory makes an empty store.
func NewMemory() *Memory {
	return &Memory{rows: map[*table.Spec]map[table.Key]table.Row{}, once: map[[2]string]uint64{}, seq: map[*table.Spec]int64{}}
}

// get is a copy of a row; the lock is held.
func (m *Memory) get(ref table.Ref) table.Row {
	row, ok := m.rows[ref.Table][ref.Key]
	if !ok || row.Place != ref.Place {
		return table.Row{Ref: ref}
	}
	row.Values = append([]table.Value(nil), row.Values...)
	return row
}

// Read implements table.Store.
func (m *Memory) Read(_ context.Context, refs []table.Ref, out []table.Row) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, ref := range refs {
		out[i] = m.get(ref)
	}
	return nil
}

// Find implements table.Store.
func (m *Memory) Find(_ context.Context, q *table.Query) ([]table.Row, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []table.Row
	for _, row := range m.rows[q.Table] {
		if q.Fits(row.Values) {
			out = append(out, m.get(row.Ref))
		}
	}
	q.Table.SortRows(out)
	if q.After != "" {
		after, err := q.Table.Values(q.After)
		if err != nil {
			return nil, firefly.InvalidArgument.Errorf("%v", err)
		}
		for len(out) > 0 {
			later := 0
			for i, c := range q.Table.Key {
				if later = table.Compare(out[0].Values[c], after[i]); later != 0 {
					break
				}
			}
			if later > 0 {
				break
			}
			out = out[1:]
		}
	}
	if q.Limit > 0 && len(out) > q.Limit {
		out = out[:q.Limit]
	}
	return out, nil
}

// Reserve implements table.Store.
func (m *Memory) Reserve(_ context.Context, t *table.Spec, n int) (int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.seq[t] == 0 {
		for _, row := range m.rows[t] {
			m.seq[t] = max(m.seq[t], row.Values[t.Key[len(t.Key)-1]].Int())
		}
		m.seq[t]++
	}
	first := m.seq[t]
	m.seq[t] += int64(n)
	return first, nil
}

// Commit implements table.Store.
func (m *Memory) Commit(_ context.Context, c *table.Commit) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	once := [2]string{string(c.Ops[0].Place), c.Once}
	if c.Once != "" {
		if token, ok := m.once[once]; ok {
			if token == c.Token {
				return nil
			}
			return table.OnceError(c.Once)
		}
	}
	after := make([]table.Row, len(c.Ops)) // of version 0: removed
	write := make([]bool, len(c.Ops))
	sums := make([][]int64, len(c.Ops))
	for i := range c.Ops {
		var err error
		if after[i], sums[i], write[i], err = m.judge(c, &c.Ops[i]); err != nil {
			return err
		}
	}
	if op, index := m.clash(c, after, write); op != nil {
		return op.NotUniqueError(index)
	}
	for i := range c.Ops {
		if op := &c.Ops[i]; write[i] && after[i].Version == 0 {
			delete(m.rows[op.Table], op.Key)
		}
	}
	for i := range c.Ops {
		op := &c.Ops[i]
		if !write[i] || after[i].Version == 0 {
			continue
		}
		if m.rows[op.Table] == nil {
			m.rows[op.Table] = map[table.Key]table.Row{}
		}
		m.rows[op.Table][op.Key] = after[i]
		op.Version, op.Sums = after[i].Version, sums[i]
		m.version = max(m.version, op.Version)
	}
	if c.Once != "" {
		m.once[once] = c.Token
	}
	return nil
}

// judge gives a row as it will be after an op, of version 0 when it is removed; write: it is not only looked at.
func (m *Memory) judge(c *table.Commit, op *table.Op) (row table.Row, sums []int64, write bool, err error) {
	row = m.get(op.Ref)
	switch {
	case op.Kind == table.Insert || op.Kind == table.CheckAbsent:
		there, ok := m.rows[op.Table][op.Key]
		if ok && there.Place != op.Place {
			ok = op.Kind == table.Insert && !c.Deletes(there.Ref)
		}
		if ok {
			return row, nil, false, op.ExistsError()
		}
		if op.Kind == table.CheckAbsent {
			return table.Row{}, nil, false, nil
		}
		row.Values = make([]table.Value, len(op.Table.Columns))
		for c := range row.Values {
			if !op.Table.Columns[c].Nullable {
				row.Values[c] = table.Zero(op.Table.Columns[c].Kind)
			}
		}
	case row.Version == 0 && op.If == 0:
		return row, nil, false, op.NotFoundError()
	case op.If != 0 && op.If != row.Version:
		return row, nil, false, op.ConflictError()
	case op.Kind == table.Check:
		return table.Row{}, nil, false, nil
	}
	if op.Kind == table.Delete {
		return table.Row{}, nil, true, nil
	}
	for _, s := range op.Set {
		row.Values[s.Column] = s.Value
	}
	for _, a := range op.Add {
		v, err := op.Table.Sum(op.Ref, a.Column, row.Values[a.Column], a.Delta)
		if err != nil {
			return row, nil, false, err
		}
		row.Values[a.Column] = v
		sums = append(sums, v.Int())
	}
	row.Version = max(m.version+1, uint64(time.Now().UnixMicro()))
	return row, sums, true, nil
}

// allowed reports whether a store may answer a commit with err where the model has want: of several ops that
// fail, any may be the one that the error is of.
func (m *Memory) allowed(c *table.Commit, err, want error) bool {
	same := func(want error) bool {
		got, code := firefly.CodeOf(err), firefly.CodeOf(want)
		return got == code || got == firefly.Conflict && code == firefly.NotFound
	}
	if errors.Is(err, table.ErrOnce) != errors.Is(want, table.ErrOnce) {
		return false
	}
	if same(want) {
		return true
	}
	if want == nil || errors.Is(want, table.ErrOnce) {
		return false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range c.Ops {
		if _, _, _, why := m.judge(c, &c.Ops[i]); why != nil && same(why) {
			return true
		}
	}
	return false
}

// clash finds an op after which two rows would have the same values of a unique index.
func (m *Memory) clash(c *table.Commit, after []table.Row, write []bool) (*table.Op, string) {
	for i := range c.Ops {
		op := &c.Ops[i]
		if !write[i] || after[i].Version == 0 {
			continue
		}
		for x := range op.Table.Indexes {
			index := &op.Table.Indexes[x]
			if !index.Unique {
				continue
			}
			for _, other := range m.rows[op.Table] {
				now := other
				for j := range c.Ops {
					if write[j] && c.Ops[j].Table == op.Table && c.Ops[j].Key == other.Key {
						now = after[j]
					}
				}
				if other.Key != op.Key && now.Version != 0 && sameIn(index, now.Values, after[i].Values) {
					return op, index.Name
				}
			}
			for j := range i {
				if c.Ops[j].Table == op.Table && after[j].Version != 0 && write[j] && sameIn(index, after[j].Values, after[i].Values) {
					return op, index.Name
				}
			}
		}
	}
	return nil, ""
}

func sameIn(x *table.Index, a, b []table.Value) bool {
	for _, c := range x.By {
		if a[c] != b[c] || a[c].IsNull() {
			return false
		}
	}
	return true
}
