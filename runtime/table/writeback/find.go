package writeback

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/table"
)

// Find implements table.Store.
func (s *Store) Find(ctx context.Context, q *table.Query) ([]table.Row, error) {
	if q.Index < 0 || q.Index >= len(q.Table.Indexes) || len(q.By) != len(q.Table.Indexes[q.Index].By) {
		return nil, firefly.InvalidArgument.Errorf("%s has no such index", q.Table.Name)
	}
	var after []table.Value
	if q.After != "" {
		var err error
		if after, err = q.Table.Values(q.After); err != nil {
			return nil, firefly.InvalidArgument.Errorf("%w", err)
		}
	}
	if q.Table.Indexes[q.Index].Exact {
		return s.findExact(ctx, q, after)
	}
	return s.findStored(ctx, q, after)
}

// candidate is a row that may be part of an answer.
type candidate struct {
	ref table.Ref
	key []table.Value
}

func compareKeys(a, b []table.Value) int {
	for i := range a {
		if d := table.Compare(a[i], b[i]); d != 0 {
			return d
		}
	}
	return 0
}

// findExact answers from the list that the cache keeps.
func (s *Store) findExact(ctx context.Context, q *table.Query, after []table.Value) ([]table.Row, error) {
	place := table.PlaceOf(q.By[0])
	keys, err := s.keys(ctx, table.List{Table: q.Table, Index: q.Index, By: q.By, Place: place})
	if err != nil {
		return nil, err
	}
	all := make([]candidate, 0, len(keys))
	for _, k := range keys {
		values, err := q.Table.Values(k)
		if err != nil {
			return nil, firefly.Internal.Errorf("a list of %s: %w", q.Table.Name, err)
		}
		if after == nil || compareKeys(values, after) > 0 {
			all = append(all, candidate{table.Ref{Table: q.Table, Key: k, Place: place}, values})
		}
	}
	slices.SortFunc(all, func(a, b candidate) int { return compareKeys(a.key, b.key) })
	var out []table.Row
	for len(all) > 0 {
		n := len(all)
		if q.Limit > 0 {
			n = min(n, q.Limit-len(out))
		}
		rows, err := s.fitting(ctx, q, all[:n])
		if err != nil {
			return nil, err
		}
		out, all = append(out, rows...), all[n:]
		if q.Limit > 0 && len(out) == q.Limit {
			break
		}
	}
	return out, nil
}

// fitting reads candidates, in their order, and gives those that are as the query asks now.
func (s *Store) fitting(ctx context.Context, q *table.Query, all []candidate) ([]table.Row, error) {
	refs := make([]table.Ref, len(all))
	for i := range all {
		refs[i] = all[i].ref
	}
	rows := make([]table.Row, len(all))
	if err := s.Read(ctx, refs, rows); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(rows, func(r table.Row) bool { return r.Version == 0 || !q.Fits(r.Values) }), nil
}

// findStored answers from the durable store, as the cache has those rows now, and with what this process
// wrote and is not stored yet.
func (s *Store) findStored(ctx context.Context, q *table.Query, after []table.Value) ([]table.Row, error) {
	fresh, err := s.recent.unstored(ctx, s.cache, q.Table)
	if err != nil {
		return nil, err
	}
	mine := make([]candidate, 0, len(fresh))
	for _, ref := range fresh {
		key, err := q.Table.Values(ref.Key)
		if err != nil {
			return nil, firefly.Internal.Errorf("%s: %w", ref, err)
		}
		if after == nil || compareKeys(key, after) > 0 {
			mine = append(mine, candidate{ref, key})
		}
	}
	page := *q
	var out []table.Row
	for {
		rows, err := s.durable.Find(ctx, &page, false)
		if err != nil {
			return nil, err
		}
		full := page.Limit > 0 && len(rows) >= page.Limit
		seen := make(map[table.Key]bool, len(rows))
		var some []candidate
		var last []table.Value
		for i := range rows {
			if last, err = q.Table.Values(rows[i].Key); err != nil {
				return nil, firefly.Internal.Errorf("%s: %w", rows[i].Ref, err)
			}
			seen[rows[i].Key] = true
			some = append(some, candidate{rows[i].Ref, last})
		}
		// Of what this process wrote, that which lies where this page does; behind the last page comes the rest.
		rest := mine[:0:0]
		for _, m := range mine {
			switch {
			case full && compareKeys(m.key, last) > 0:
				rest = append(rest, m)
			case !seen[m.ref.Key]:
				some = append(some, m)
			}
		}
		mine = rest
		slices.SortFunc(some, func(a, b candidate) int { return compareKeys(a.key, b.key) })
		got, err := s.fitting(ctx, q, some)
		if err != nil {
			return nil, err
		}
		out = append(out, got...)
		if q.Limit > 0 && len(out) >= q.Limit {
			return out[:q.Limit], nil
		}
		if !full {
			return out, nil
		}
		page.After = rows[len(rows)-1].Key
	}
}

// recent remembers which rows of tables with indexes of the durable store this process wrote, until they
// are stored.
type recent struct {
	mu sync.Mutex
	m  map[*table.Spec]map[table.Key]written
}

type written struct {
	ref table.Ref
	at  time.Time
}

// recentMost is about how many written rows are remembered per table; more are looked through, and those
// forgotten that were written long ago.
const recentMost = 4096

// note remembers the rows of a commit.
func (r *recent) note(c *table.Commit) {
	for i := range c.Ops {
		if op := &c.Ops[i]; indexed(op) {
			r.add(op.Ref)
		}
	}
}

// indexed reports whether op may bring a row into the answer of the durable store to a query.
func indexed(op *table.Op) bool {
	if op.Kind != table.Insert && op.Kind != table.Update {
		return false
	}
	for i := range op.Table.Indexes {
		x := &op.Table.Indexes[i]
		if !x.Exact && (op.Kind == table.Insert || slices.ContainsFunc(x.By, op.Sets)) {
			return true
		}
	}
	return false
}

func (r *recent) add(ref table.Ref) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.m == nil {
		r.m = map[*table.Spec]map[table.Key]written{}
	}
	m := r.m[ref.Table]
	if m == nil {
		m = map[table.Key]written{}
		r.m[ref.Table] = m
	}
	now := time.Now()
	m[ref.Key] = written{ref, now}
	if len(m) > recentMost && len(m)%256 == 0 {
		for k, w := range m {
			if now.Sub(w.at) > 10*ref.Table.Flush+10*time.Second {
				delete(m, k)
			}
		}
	}
}

// unstored gives the rows that this process wrote and that are not stored yet. What is not given was stored
// before this returned, so a query of the durable store that begins now finds it.
func (r *recent) unstored(ctx context.Context, cache table.CacheRows, t *table.Spec) ([]table.Ref, error) {
	r.mu.Lock()
	refs := make([]table.Ref, 0, len(r.m[t]))
	at := make([]time.Time, 0, len(r.m[t]))
	for _, w := range r.m[t] {
		refs, at = append(refs, w.ref), append(at, w.at)
	}
	r.mu.Unlock()
	if len(refs) == 0 {
		return nil, nil
	}
	cached := make([]table.Cached, len(refs))
	if err := cache.Read(ctx, refs, cached); err != nil {
		return nil, err
	}
	out := make([]table.Ref, 0, len(refs))
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, c := range cached {
		if c.State == table.Live && !c.Dirty || c.State == table.Gone {
			if w, ok := r.m[t][refs[i].Key]; ok && w.at.Equal(at[i]) {
				delete(r.m[t], refs[i].Key)
			}
			continue
		}
		out = append(out, refs[i])
	}
	return out, nil
}
