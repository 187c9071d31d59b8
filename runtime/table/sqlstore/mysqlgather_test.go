package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/firefly-go/firefly/runtime/table"
	"github.com/firefly-go/firefly/runtime/table/tabletest"
)

// Loads that find all connections in use get one statement; each has its own row, its own error and its own
// patience.
func TestMySQLGather(t *testing.T) {
	f := newFixture(t)
	const most = 40
	var b strings.Builder
	fmt.Fprintf(&b, "INSERT INTO `%s` (`owner_id`, `id`, `kind`, `count`, `ff_v`) VALUES ", f.Item.Spec.Name)
	for i := range most {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "(1,%d,%d,1,7)", i+1, i)
	}
	f.maria.Exec(t, f.name, b.String())
	m, err := OpenMySQL(f.maria.DSN(f.name), MySQLOptions{Readers: 1, Log: quiet()})
	f.ok(err)
	defer func() { _ = m.Close() }()
	f.ok(m.Start(t.Context(), f.Specs()))

	// A load that is under way, in a way that lasts until we say so: the pool has one connection.
	conn, err := m.r.Conn(t.Context())
	f.ok(err)
	item := func(id int64) table.Ref { return f.Item.Ref(tabletest.ItemKey{OwnerID: 1, ID: id}) }
	type answer struct {
		id   int64
		rows []table.Row
		err  error
	}
	answers := make(chan answer, most+10)
	load := func(ctx context.Context, ref table.Ref, id int64) {
		go func() {
			out := make([]table.Row, 1)
			err := m.Load(ctx, []table.Ref{ref}, out, false)
			answers <- answer{id, out, err}
		}()
	}
	waiting := func(n int) {
		t.Helper()
		f.await(fmt.Sprintf("a load is under way, and %d wait", n), time.Millisecond, func() bool {
			m.gather.mu.Lock()
			defer m.gather.mu.Unlock()
			return m.gather.busy == 1 && len(m.gather.queue) == n
		})
	}
	before := questions(t, f)
	load(t.Context(), item(1), 1)
	waiting(0)
	for id := int64(2); id <= most; id++ {
		load(t.Context(), item(id), id)
	}
	load(t.Context(), item(1000), 1000) // there is none
	waiting(most)
	impatient, cancel := context.WithCancel(t.Context())
	load(impatient, item(3), -1)
	load(t.Context(), f.Player.Ref(5), -2) // of another table
	waiting(most + 2)
	cancel()
	if a := <-answers; a.id != -1 || !errors.Is(a.err, context.Canceled) {
		t.Fatalf("the one who went: %d, %v", a.id, a.err)
	}
	waiting(most + 1)
	f.ok(conn.Close())
	for range most + 2 {
		a := <-answers
		if a.err != nil {
			t.Errorf("%d: %v", a.id, a.err)
			continue
		}
		r := a.rows[0]
		switch {
		case a.id < 0 || a.id > most:
			if r.Version != 0 {
				t.Errorf("%d is there: %v", a.id, r)
			}
		case r.Version != 7 || r.Ref != item(a.id) || r.Values[1].Int() != a.id || r.Values[2].Int() != a.id-1:
			t.Errorf("%d: %v", a.id, r)
		}
	}
	f.await("no statement is under way for nobody", time.Millisecond, func() bool {
		m.gather.mu.Lock()
		defer m.gather.mu.Unlock()
		return m.gather.busy == 0
	})
	// One for the first, one for the others of its table, one for the other table, and few to ask that.
	if n := questions(t, f) - before; n < 3 || n > 10 {
		t.Errorf("%d loads took %d statements", most+2, n)
	}
}

// questions is how many statements that read rows the database has had.
func questions(t *testing.T, f *fixture) (n int) {
	t.Helper()
	db := f.maria.Open(t, f.name)
	var name string
	f.ok(db.QueryRowContext(t.Context(), "SHOW GLOBAL STATUS LIKE 'Com_select'").Scan(&name, &n))
	return n
}

// A row that cannot be read fails the one who asked for it, and nobody who waited with him.
func TestMySQLGatherUnreadable(t *testing.T) {
	f := newFixture(t)
	name := f.Item.Spec.Name
	f.maria.Exec(t, f.name, "ALTER TABLE `"+name+"` MODIFY `count` varchar(10) NOT NULL",
		"INSERT INTO `"+name+"` (`owner_id`, `id`, `kind`, `count`, `ff_v`) VALUES (1,1,1,'1',7), (1,2,1,'two',7), (1,3,1,'3',7)")
	mt, err := f.m.table(f.Item.Spec)
	f.ok(err)
	var some []*gathered
	for id := range int64(4) {
		ref := f.Item.Ref(tabletest.ItemKey{OwnerID: 1, ID: id + 1})
		some = append(some, &gathered{mt: mt, row: table.Row{Ref: ref}, done: make(chan struct{})})
	}
	f.m.gather.run(t.Context(), mt, some)
	for i, w := range some {
		<-w.done
		if bad := i == 1; bad != (w.err != nil) {
			t.Errorf("item %d: %v", i+1, w.err)
		}
		if there := i != 1 && i != 3; there && w.row.Version != 7 || i == 3 && w.row.Version != 0 {
			t.Errorf("item %d: %v", i+1, w.row)
		}
	}
}
