package tabletest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/firefly-go/firefly/runtime/table"
)

// model does random commits to a store and to Memory, and compares what they answer and what is there
// then. Few keys, so that everything meets everything.
func model(r *rig, o Options) {
	rnd := rand.New(rand.NewPCG(o.Seed, 1))
	m := NewMemory()
	versions := map[table.Ref][2]uint64{} // what was last read: of the store, of the model
	for step := range o.Steps {
		c := randomCommit(r, rnd)
		mine := &table.Commit{Ops: make([]table.Op, len(c.Ops)), Once: c.Once, Token: c.Token}
		for i := range c.Ops {
			op := c.Ops[i]
			if v, ok := versions[op.Ref]; ok && op.Kind != table.Insert && op.Kind != table.CheckAbsent && rnd.IntN(3) == 0 {
				c.Ops[i].If, op.If = v[0], v[1]
			} else if op.Kind == table.Check {
				c.Ops[i].If, op.If = 1, 1
			}
			mine.Ops[i] = op
		}
		got, want := r.store.Commit(r.ctx, c), m.Commit(r.ctx, mine)
		if !m.allowed(mine, got, want) {
			r.Fatalf("seed %d, step %d: %v, want %v, of %s", o.Seed, step, got, want, describe(c))
		}
		for i := range c.Ops {
			if got == nil && len(c.Ops[i].Sums) == len(mine.Ops[i].Sums) && fmt.Sprint(c.Ops[i].Sums) != fmt.Sprint(mine.Ops[i].Sums) {
				r.Fatalf("seed %d, step %d: sums %v, want %v", o.Seed, step, c.Ops[i].Sums, mine.Ops[i].Sums)
			}
			compareRow(r, m, c.Ops[i].Ref, versions, fmt.Sprintf("seed %d, step %d: %s", o.Seed, step, describe(c)))
		}
		if step%7 == 0 {
			compareFind(r, m, rnd, fmt.Sprintf("seed %d, step %d", o.Seed, step))
		}
	}
}

func compareRow(r *rig, m *Memory, ref table.Ref, versions map[table.Ref][2]uint64, at string) {
	var a, b [1]table.Row
	r.ok(r.store.Read(r.ctx, []table.Ref{ref}, a[:]))
	r.ok(m.Read(r.ctx, []table.Ref{ref}, b[:]))
	if (a[0].Version == 0) != (b[0].Version == 0) || a[0].Version != 0 && fmt.Sprint(a[0].Values) != fmt.Sprint(b[0].Values) {
		r.Fatalf("%s: %s is %v, want %v", at, ref, a[0].Values, b[0].Values)
	}
	if last := versions[ref]; a[0].Version != 0 && a[0].Version < last[0] {
		r.Fatalf("%s: the version of %s fell from %d to %d", at, ref, last[0], a[0].Version)
	}
	if a[0].Version != 0 {
		versions[ref] = [2]uint64{a[0].Version, b[0].Version}
	}
}

func compareFind(r *rig, m *Memory, rnd *rand.Rand, at string) {
	spec := r.Item.Spec
	q := &table.Query{Table: spec, Index: ByOwner, By: []table.Value{table.IntOf(int64(rnd.IntN(3)))}, Limit: rnd.IntN(4)}
	switch rnd.IntN(3) {
	case 0:
		q.Index, q.By = ByKind, append(q.By, table.IntOf(int64(rnd.IntN(2))))
	case 1:
		spec = r.Player.Spec
		q = &table.Query{Table: spec, Index: ByGuild, By: []table.Value{table.IntOf(int64(rnd.IntN(2)))}}
	}
	if spec == r.Item.Spec && rnd.IntN(2) == 0 {
		q.After = table.KeyOf(q.By[0], table.IntOf(int64(1+rnd.IntN(4))))
	}
	got, err := r.store.Find(r.ctx, q)
	r.ok(err)
	want, err := m.Find(r.ctx, q)
	r.ok(err)
	keys := func(rows []table.Row) (out []string) {
		for _, row := range rows {
			out = append(out, fmt.Sprint(row.Key, row.Values))
		}
		return out
	}
	if fmt.Sprint(keys(got)) != fmt.Sprint(keys(want)) {
		r.Fatalf("%s: index %s of %v gave %v, want %v", at, spec.Indexes[q.Index].Name, q.By, keys(got), keys(want))
	}
}

// randomCommit is one of one to three ops of different rows.
func randomCommit(r *rig, rnd *rand.Rand) *table.Commit {
	c := &table.Commit{Token: 1 + uint64(rnd.IntN(3))}
	if rnd.IntN(10) == 0 {
		c.Once = fmt.Sprint(r.Item.Spec.Name, rnd.IntN(20)) // walkers share places
	}
	taken := map[string]bool{}
	for range 1 + rnd.IntN(3) {
		op := randomOp(r, rnd)
		if !taken[op.String()] {
			taken[op.String()] = true
			c.Ops = append(c.Ops, op)
		}
	}
	return c
}

func randomOp(r *rig, rnd *rand.Rand) table.Op {
	op := table.Op{Kind: table.OpKind(rnd.IntN(5))}
	if rnd.IntN(2) == 0 {
		op.Kind = table.Update
	}
	n := int64(1 + rnd.IntN(4))
	var values []table.Value
	var count, other int
	switch rnd.IntN(4) {
	case 0:
		values, _ = r.Player.Values(&Player{ID: n, Name: fmt.Sprint("n", rnd.IntN(6)), Gold: int64(rnd.IntN(5)), Guild: int64(rnd.IntN(2))}, nil)
		op.Ref, count, other = r.Player.Ref(n), PlayerGold, []int{PlayerGuild, PlayerName}[rnd.IntN(2)]
	case 1:
		values, _ = r.Account.Values(&Account{n, int64(rnd.IntN(5))}, nil)
		op.Ref, count, other = r.Account.Ref(n), AccountBalance, AccountBalance
	default:
		k := ItemKey{int64(rnd.IntN(3)), n}
		values, _ = r.Item.Values(&Item{k.OwnerID, k.ID, int32(rnd.IntN(2)), int64(rnd.IntN(5))}, nil)
		op.Ref, count, other = r.Item.Ref(k), ItemCount, ItemKind
	}
	switch op.Kind {
	case table.Insert:
		for i, v := range values {
			op.Set = append(op.Set, table.Assign{Column: i, Value: v})
		}
	case table.Update:
		if rnd.IntN(2) == 0 {
			op.Add = []table.AddTo{{Column: count, Delta: int64(rnd.IntN(9) - 4)}}
		}
		if (len(op.Add) == 0 || rnd.IntN(3) == 0) && other != count {
			op.Set = []table.Assign{{Column: other, Value: values[other]}}
		} else if len(op.Add) == 0 {
			op.Set = []table.Assign{{Column: count, Value: values[count]}}
		}
	}
	return op
}

func describe(c *table.Commit) string {
	s := ""
	for _, op := range c.Ops {
		s += fmt.Sprintf("{%s %s if %d set %v add %v} ", [...]string{"insert", "update", "delete", "check", "check absent"}[op.Kind], op.Ref, op.If, op.Set, op.Add)
	}
	return s + "once " + c.Once
}

// WalkOptions say how far Walk goes.
type WalkOptions struct {
	Walkers int // that go at the same time, each over tables of its own
	Steps   int // of each
	Crashes int // in all; 0: none
	Seed    uint64
}

// Walk makes random commits to one store and to the model, from several walkers at once, and compares what
// they answer and what is there then. open makes the store, with the tables of all walkers. crash ends it as
// a crash does while nobody is in a call, and gives the one that goes on with what it left.
func Walk(t *testing.T, o WalkOptions, open func(specs []*table.Spec) table.Store, crash func(specs []*table.Spec) table.Store) {
	if o.Seed == 0 {
		o.Seed = rand.Uint64()
	}
	tables := make([]*Tables, o.Walkers)
	var specs []*table.Spec
	for i := range tables {
		tables[i] = NewTables(fmt.Sprintf("w%d_", i))
		specs = append(specs, tables[i].Specs()...)
	}
	c := &crashing{store: open(specs), crash: func() table.Store { return crash(specs) }}
	if o.Crashes > 0 {
		c.every = int64(o.Walkers*o.Steps/(o.Crashes+1)) + 1
	}
	t.Run("walkers", func(t *testing.T) {
		for i := range tables {
			t.Run(fmt.Sprint(i), func(t *testing.T) {
				t.Parallel()
				model(&rig{T: t, Tables: tables[i], ctx: t.Context(), store: c}, Options{Steps: o.Steps, Seed: o.Seed + uint64(i)})
			})
		}
	})
	t.Logf("seed %d: %d walkers made %d commits, and the store crashed %d times", o.Seed, o.Walkers, c.commits.Load(), c.crashed)
	if c.crashed < o.Crashes && !t.Failed() {
		t.Errorf("the store crashed %d times, not %d", c.crashed, o.Crashes)
	}
}

// crashing is a store that crashes after every so many commits.
type crashing struct {
	mu      sync.RWMutex // held by calls; all of it by a crash
	store   table.Store
	crash   func() table.Store
	crashed int
	every   int64
	commits atomic.Int64
}

func (c *crashing) Read(ctx context.Context, refs []table.Ref, out []table.Row) error {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.store.Read(ctx, refs, out)
}

func (c *crashing) Find(ctx context.Context, q *table.Query) ([]table.Row, error) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.store.Find(ctx, q)
}

func (c *crashing) Commit(ctx context.Context, cm *table.Commit) error {
	if n := c.commits.Add(1); c.every > 0 && n%c.every == 0 {
		c.mu.Lock()
		c.store = c.crash()
		c.crashed++
		c.mu.Unlock()
	}
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.store.Commit(ctx, cm)
}

func (c *crashing) Reserve(ctx context.Context, t *table.Spec, n int) (int64, error) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.store.Reserve(ctx, t, n)
}
