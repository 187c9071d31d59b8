package writeback_test

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/table"
)

// memoryDurable is a table.Durable in maps, for tests that decide about every step. It can be away, and
// hold up the loads of others.
type memoryDurable struct {
	mu     sync.Mutex
	rows   map[string]table.Row // by table and key
	tombs  map[string]uint64
	epochs map[int]uint64
	txns   map[string]string // token to C or A, and payload behind it
	seq    map[string]int64
	away   bool
	loads  int    // rows that were loaded
	onLoad func() // called in a Load when its rows are read, before it returns
	onFind func() // the same of a Find
	refuse func(*table.Image) error
}

func newMemoryDurable() *memoryDurable {
	return &memoryDurable{rows: map[string]table.Row{}, tombs: map[string]uint64{}, epochs: map[int]uint64{}, txns: map[string]string{}, seq: map[string]int64{}}
}

var errAway = firefly.Unavailable.Errorf("the database is away")

func id0(r table.Ref) string { return r.Table.Name + ":" + string(r.Key) }

func (m *memoryDurable) Start(context.Context, []*table.Spec) error { return nil }
func (m *memoryDurable) Close() error                               { return nil }
func (m *memoryDurable) Purge(context.Context) error                { return nil }

func (m *memoryDurable) Load(_ context.Context, refs []table.Ref, out []table.Row, _ bool) error {
	m.mu.Lock()
	if m.away {
		m.mu.Unlock()
		return errAway
	}
	for i, r := range refs {
		out[i] = table.Row{Ref: r}
		if row, ok := m.rows[id0(r)]; ok && row.Place == r.Place {
			out[i] = table.Row{Ref: r, Version: row.Version, Values: slices.Clone(row.Values)}
		}
		m.loads++
	}
	f := m.onLoad
	m.mu.Unlock()
	if f != nil {
		f()
	}
	return nil
}

func (m *memoryDurable) Find(_ context.Context, q *table.Query, _ bool) ([]table.Row, error) {
	m.mu.Lock()
	f := m.onFind
	defer func() {
		m.mu.Unlock()
		if f != nil {
			f()
		}
	}()
	if m.away {
		return nil, errAway
	}
	var out []table.Row
	for _, row := range m.rows {
		if row.Table == q.Table && q.Fits(row.Values) {
			out = append(out, table.Row{Ref: row.Ref, Version: row.Version, Values: slices.Clone(row.Values)})
		}
	}
	q.Table.SortRows(out)
	if q.After != "" {
		after, err := q.Table.Values(q.After)
		if err != nil {
			return nil, err
		}
		out = slices.DeleteFunc(out, func(r table.Row) bool {
			key, _ := q.Table.Values(r.Key)
			for i := range key {
				if d := table.Compare(key[i], after[i]); d != 0 {
					return d < 0
				}
			}
			return true
		})
	}
	if q.Limit > 0 && len(out) > q.Limit {
		out = out[:q.Limit]
	}
	return out, nil
}

func (m *memoryDurable) Reserve(_ context.Context, t *table.Spec, n int) (int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.away {
		return 0, errAway
	}
	first := m.seq[t.Name] + 1
	m.seq[t.Name] += int64(n)
	return first, nil
}

func (m *memoryDurable) Skip(_ context.Context, t *table.Spec, last int64) (int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.away {
		return 0, errAway
	}
	m.seq[t.Name] = max(m.seq[t.Name], last)
	return m.seq[t.Name] + 1, nil
}

func (m *memoryDurable) Fence(_ context.Context, shards []int, _ string) ([]uint64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := make([]uint64, len(shards))
	for i, s := range shards {
		m.epochs[s]++
		out[i] = m.epochs[s]
	}
	return out, nil
}

func (m *memoryDurable) Flush(_ context.Context, batch []table.ShardBatch, _ func(context.Context) error) (fenced []int, ahead []table.Image, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.away {
		return nil, nil, errAway
	}
	for _, b := range batch {
		if m.epochs[b.Shard] != b.Epoch {
			fenced = append(fenced, b.Shard)
			continue
		}
		for i := range b.Images {
			if m.refuse != nil {
				if err := m.refuse(&b.Images[i]); err != nil {
					return nil, nil, err
				}
			}
		}
		for _, img := range b.Images {
			if !m.write(img) {
				ahead = append(ahead, img)
			}
		}
	}
	return fenced, ahead, nil
}

// write stores an image unless something newer is there; the lock is held.
func (m *memoryDurable) write(img table.Image) bool {
	k := id0(img.Ref)
	if m.tombs[k] > img.Version || m.rows[k].Version > img.Version {
		return false
	}
	if img.Deleted {
		m.tombs[k] = img.Version
		delete(m.rows, k)
		return true
	}
	m.rows[k] = table.Row{Ref: img.Ref, Version: img.Version, Values: slices.Clone(img.Values)}
	return true
}

func (m *memoryDurable) CommitDurably(ctx context.Context, token string, payload []byte, _ []int, images []table.Image, sure func(context.Context) error) error {
	if sure != nil {
		if err := sure(ctx); err != nil {
			return err
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.away {
		return errAway
	}
	if m.txns[token] != "" {
		return firefly.Conflict.Errorf("aborted")
	}
	m.txns[token] = "C" + string(payload)
	for _, img := range images {
		if img.Version != 0 && !m.write(img) {
			return fmt.Errorf("%s was ahead", img.Ref)
		}
	}
	return nil
}

func (m *memoryDurable) Decide(_ context.Context, token string) (bool, []byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.away {
		return false, nil, errAway
	}
	s := m.txns[token]
	if s == "" {
		m.txns[token] = "A"
	}
	if s == "" || s[0] == 'A' {
		return false, nil, nil
	}
	return true, []byte(s[1:]), nil
}

// row is what is stored.
func (m *memoryDurable) row(r table.Ref) table.Row {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.rows[id0(r)]
}

func (m *memoryDurable) set(f func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f()
}
