package sqlstore

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/firefly-go/firefly/runtime/table"
	"github.com/firefly-go/firefly/runtime/table/tabletest"
)

// A page begins where the one before ended: the database does not look through what lies before it.
func TestPagesSeek(t *testing.T) {
	f := newFixture(t)
	const rows, page = 20_000, 20
	for at := 0; at < rows; at += 2000 {
		var b strings.Builder
		fmt.Fprintf(&b, "INSERT INTO `%s` (`owner_id`, `id`, `kind`, `count`, `ff_v`) VALUES ", f.Item.Spec.Name)
		for i := range 2000 {
			if i > 0 {
				b.WriteByte(',')
			}
			n := at + i
			fmt.Fprintf(&b, "(%d,%d,%d,1,1)", n%2, n+1, n%3)
		}
		f.maria.Exec(t, f.name, b.String())
	}
	f.maria.Exec(t, f.name, "ANALYZE TABLE `"+f.Item.Spec.Name+"`")
	f.m.r.SetMaxOpenConns(1) // the counters are those of a connection
	looked := func() (n int) {
		list, err := f.m.r.Query("SHOW SESSION STATUS LIKE 'Handler_read%'")
		f.ok(err)
		defer func() { _ = list.Close() }()
		for list.Next() {
			var name, value string
			f.ok(list.Scan(&name, &value))
			v, err := strconv.Atoi(value)
			f.ok(err)
			n += v
		}
		return n
	}
	for _, c := range []struct {
		index int
		by    []table.Value
		after int64 // id of an item of owner 1
		want  int64 // the id behind it
	}{
		{tabletest.ByOwner, []table.Value{table.IntOf(1)}, 15_002, 15_004},
		{tabletest.ByKind, []table.Value{table.IntOf(1), table.IntOf(0)}, 15_004, 15_010},
	} {
		q := &table.Query{Table: f.Item.Spec, Index: c.index, By: c.by, Limit: page,
			After: table.KeyOf(table.IntOf(1), table.IntOf(c.after))}
		before := looked()
		own := looked() - before // what the question itself costs
		got, err := f.m.Find(t.Context(), q, false)
		f.ok(err)
		if n := looked() - before - 2*own; n > 3*page {
			t.Errorf("index %d: %d rows were looked at for a page of %d", c.index, n, len(got))
		}
		if len(got) != page || got[0].Values[1].Int() != c.want {
			t.Errorf("index %d: the page has %d rows, the first is %v", c.index, len(got), got[0].Values)
		}
	}
}
