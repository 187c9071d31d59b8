package remote

import (
	"bytes"
	"context"
	"testing"
	"time"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/table"
	"github.com/firefly-go/firefly/runtime/table/tabletest"
)

// direct is a Caller without a link between.
type direct struct{ *Server }

func (d direct) Call(ctx context.Context, op uint64, body []byte) ([]byte, error) {
	return d.Serve(ctx, op, bytes.Clone(body))
}

func TestStore(t *testing.T) {
	tabletest.Run(t, tabletest.Options{}, func(_ *testing.T, specs []*table.Spec) table.Store {
		return NewClient(direct{NewServer(tabletest.NewMemory(), specs, 0)})
	})
}

// Replies that do not fit into one frame come in several.
func TestLarge(t *testing.T) {
	tables := tabletest.NewTables("")
	mem := tabletest.NewMemory()
	c := NewClient(direct{NewServer(mem, tables.Specs(), 0)})
	db := table.NewDB(c, table.DBOptions{})
	defer db.Close()
	players := table.New(db, tables.Player)
	const n = 2000
	var keys []int64
	for i := range n {
		p := &tabletest.Player{ID: int64(i + 1), Name: string(rune('a'+i%26)) + time.Duration(i).String(), Face: make([]byte, 900), Guild: 1}
		if err := players.Insert(t.Context(), p); err != nil {
			t.Fatal(err)
		}
		keys = append(keys, p.ID)
	}
	all, err := players.GetMany(t.Context(), append(keys, n+5)...)
	if err != nil || len(all) != n+1 || all[n-1].ID != n || all[n] != nil {
		t.Fatalf("%d rows: %v", len(all), err)
	}
	for limit, want := range map[int]int{0: n, 1: 1, 1999: 1999, 5000: n, 256: 256, 512: 512} {
		got, err := table.FindPage(t.Context(), &players, tabletest.ByGuild, nil, limit, table.IntOf(1))
		if err != nil || len(got) != want || got[want-1].ID != int64(want) {
			t.Errorf("a page of %d has %d rows: %v", limit, len(got), err)
		}
	}
}

// Two sides that declare a table otherwise do not speak of it, and say so by name.
func TestShapes(t *testing.T) {
	tables, others := tabletest.NewTables(""), tabletest.NewTables("")
	others.Item.Spec.Shape++
	c := NewClient(direct{NewServer(tabletest.NewMemory(), others.Specs(), 0)})
	err := c.Read(t.Context(), []table.Ref{tables.Item.Ref(tabletest.ItemKey{OwnerID: 1, ID: 1})}, make([]table.Row, 1))
	if firefly.CodeOf(err) != firefly.FailedPrecondition || !bytes.Contains([]byte(err.Error()), []byte("table item")) {
		t.Error(err)
	}
	if err := c.Read(t.Context(), []table.Ref{tables.Player.Ref(1)}, make([]table.Row, 1)); err != nil {
		t.Error(err)
	}
}

// failing answers with errors first.
type failing struct {
	Caller
	errs []error
}

func (f *failing) Call(ctx context.Context, op uint64, body []byte) ([]byte, error) {
	if len(f.errs) > 0 {
		err := f.errs[0]
		f.errs = f.errs[1:]
		return nil, err
	}
	return f.Caller.Call(ctx, op, body)
}

// What was surely not executed is asked again, and so is a read; a commit that may have been is not.
func TestAway(t *testing.T) {
	tables := tabletest.NewTables("")
	f := &failing{Caller: direct{NewServer(tabletest.NewMemory(), tables.Specs(), 0)}}
	c := NewClient(f)
	away, lost := firefly.Unavailable.Errorf("away"), firefly.Unknown.Errorf("lost")
	insert := func(id int64) *table.Commit {
		return &table.Commit{Ops: []table.Op{{Kind: table.Insert, Ref: tables.Account.Ref(id), Set: []table.Assign{{Column: 0, Value: table.IntOf(id)}}}}}
	}
	f.errs = []error{away, away}
	if err := c.Commit(t.Context(), insert(1)); err != nil {
		t.Error(err)
	}
	f.errs = []error{away, lost}
	if err := c.Commit(t.Context(), insert(2)); firefly.CodeOf(err) != firefly.Unknown || len(f.errs) > 0 {
		t.Error(err)
	}
	f.errs = []error{lost, away}
	var row [1]table.Row
	if err := c.Read(t.Context(), []table.Ref{tables.Account.Ref(1)}, row[:]); err != nil || row[0].Version == 0 {
		t.Error(err, row)
	}
	f.errs = []error{firefly.DeadlineExceeded.Errorf("late")}
	if err := c.Commit(t.Context(), insert(3)); firefly.CodeOf(err) != firefly.Unknown {
		t.Error(err)
	}
}

func FuzzServe(f *testing.F) {
	tables := tabletest.NewTables("")
	rec := &recorder{s: NewServer(tabletest.NewMemory(), tables.Specs(), 0)}
	db := table.NewDB(NewClient(rec), table.DBOptions{})
	defer db.Close()
	items := table.New(db, tables.Item)
	ctx := context.Background()
	it := &tabletest.Item{OwnerID: 1, Count: 2}
	_ = items.Insert(ctx, it)
	_, _ = table.Add(ctx, &items, tabletest.ItemKey{OwnerID: 1, ID: it.ID}, tabletest.ItemCount, 1)
	_, _ = items.Get(ctx, tabletest.ItemKey{OwnerID: 1, ID: it.ID})
	_, _ = table.FindAll(ctx, &items, tabletest.ByOwner, table.IntOf(1))
	for _, m := range rec.all {
		f.Add(m.op, m.body)
	}
	f.Fuzz(func(t *testing.T, op uint64, body []byte) {
		_, _ = NewServer(tabletest.NewMemory(), tables.Specs(), 0).Serve(context.Background(), op, body)
	})
}

type message struct {
	op   uint64
	body []byte
}

type recorder struct {
	s   *Server
	all []message
}

func (r *recorder) Call(ctx context.Context, op uint64, body []byte) ([]byte, error) {
	r.all = append(r.all, message{op, bytes.Clone(body)})
	return r.s.Serve(ctx, op, body)
}

// FuzzReply: whatever the other side answers, a Client ends with an error or rows that fit their table.
func FuzzReply(f *testing.F) {
	tables := tabletest.NewTables("")
	f.Add([]byte{0, 1, 1, 2, 1, 4, 1, 6, 1, 8})
	f.Fuzz(func(t *testing.T, b []byte) {
		c := NewClient(answer(b))
		ctx := context.Background()
		ref := tables.Item.Ref(tabletest.ItemKey{OwnerID: 1, ID: 1})
		_ = c.Read(ctx, []table.Ref{ref}, make([]table.Row, 1))
		_, _ = c.Find(ctx, &table.Query{Table: ref.Table, By: []table.Value{table.IntOf(1)}, Limit: 3})
		_ = c.Commit(ctx, &table.Commit{Ops: []table.Op{{Kind: table.Delete, Ref: ref}}})
		_, _ = c.Reserve(ctx, ref.Table, 5)
	})
}

type answer []byte

func (a answer) Call(context.Context, uint64, []byte) ([]byte, error) { return bytes.Clone(a), nil }
