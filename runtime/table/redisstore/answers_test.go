package redisstore

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/firefly-go/firefly/runtime/redisconn"
	"github.com/firefly-go/firefly/runtime/table"
	"github.com/firefly-go/firefly/runtime/table/tabletest"
)

// resp is a reply to HGETALL as it comes over the wire: kind is '*' for an array or '%' for a map.
func resp(kind byte, fields []string) string {
	n := len(fields)
	if kind == '%' {
		n /= 2
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%c%d\r\n", kind, n)
	for _, f := range fields {
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(f), f)
	}
	return b.String()
}

func TestReplies(t *testing.T) {
	fields := []string{"_s", "L", "_v", "12", "2", "a\r\nb", "", "", "3", "-5"}
	for _, kind := range []byte("*%") {
		r := newReplies(resp(kind, fields))
		var got []string
		for f, v, ok := r.next(); ok; f, v, ok = r.next() {
			got = append(got, f, v)
		}
		if r.bad || !slices.Equal(got, fields) {
			t.Errorf("%c: %q, bad %t", kind, got, r.bad)
		}
	}
	for _, bad := range []string{
		"", "*", "*2", "*2\r", "*2\r\n", "*1\r\n$1\r\na\r\n", "+OK\r\n", "$-1\r\n", "*-1\r\n", "%1\r\n$1\r\na\r\n", "%1\r\n$1\r\na\r\n$2\r\nb\r\n",
		"%1\r\n$1\r\na\r\n:5\r\n", "%99999999999999999999\r\n", "%1\r\n$99999999999\r\na\r\n", "%1\r\n$1\r\naXX$1\r\nb\r\n", "%1x\r\n",
	} {
		r := newReplies(bad)
		for range 4 {
			r.next()
		}
		if !r.bad {
			t.Errorf("%q was read", bad)
		}
	}
}

// everything is a layout with columns of all kinds, some of them optional.
func everything() *layout {
	s := &table.Spec{Name: "all"}
	for i := range 2 {
		for k := table.Int; k <= table.Bytes; k++ {
			n := int32(len(s.Columns) + 1)
			s.Columns = append(s.Columns, table.Column{Field: fmt.Sprint("f", n), Number: n, Kind: k, Nullable: i == 1 && n != 1})
		}
	}
	s.Columns[len(s.Columns)-1].Number = 5000 // a number that is looked up otherwise
	s.Key = []int{0}
	return newLayout(s, 3, nil)
}

// A row is read as it was written, from HGETALL and from scripts.
func TestRowsBack(t *testing.T) {
	l := everything()
	values := make([]table.Value, len(l.spec.Columns))
	for i, c := range l.spec.Columns {
		values[i] = table.Zero(c.Kind)
		if c.Nullable && i%2 == 0 {
			values[i] = table.Value{}
		}
	}
	values[0] = table.IntOf(-7)
	args, n := l.sets(nil, values)
	if n != len(args)/2 {
		t.Fatalf("%d fields in %d arguments", n, len(args))
	}
	fields := []string{"_s", "L", "_v", "18446744073709551615", "_g", "gen", "_c", "3", "_d", "x", "_x", "a\x00b", "_k", "123 token", "999", "of a newer build"}
	for _, a := range args {
		fields = append(fields, a.(string))
	}
	var script []any
	for _, f := range fields {
		script = append(script, f)
	}
	for name, next := range map[string]func() (string, string, bool){"hgetall": newReplies(resp('%', fields)).next, "script": flat(script)} {
		m, got, err := l.row(nil, next)
		if err != nil || !slices.Equal(got, values) {
			t.Errorf("%s: %v, want %v: %v", name, got, values, err)
		}
		if m.state != 'L' || m.version != 1<<64-1 || m.gen != "gen" || m.rev != 3 || m.dirty != 'x' || m.pins != "a\x00b" || m.locked() != "token" || !m.passed() {
			t.Errorf("%s: %+v", name, m)
		}
	}
	for _, bad := range [][]any{{"_v", "x"}, {"_c", "x"}, {"1", "x"}} {
		if _, _, err := l.row(nil, flat(bad)); err == nil {
			t.Errorf("%v was read", bad)
		}
	}
}

// FuzzHGETALL: whatever stands in a reply, it is read whole or refused, and what was read keeps its bytes.
func FuzzHGETALL(f *testing.F) {
	f.Add([]byte(resp('%', []string{"_s", "L", "_v", "7", "1", "-5", "3", "1", "5000", "x"})))
	f.Add([]byte(resp('*', []string{"_s", "N", "_k", "12 t", "", ""})))
	f.Add([]byte("*3\r\n$1\r\na\r\n"))
	f.Add([]byte("%2147483647\r\n$0\r\n\r\n"))
	l := everything()
	ref := table.Ref{Table: l.spec, Key: "1", Place: "1"}
	f.Fuzz(func(t *testing.T, reply []byte) {
		r := newReplies(string(reply))
		want := r.left
		var fields []string
		for field, v, ok := r.next(); ok; field, v, ok = r.next() {
			fields = append(fields, field, v)
		}
		if !r.bad {
			if len(fields) != 2*want {
				t.Fatalf("%d fields of %d", len(fields)/2, want)
			}
			again := resp('%', fields)
			if back := newReplies(again); back.left != want {
				t.Fatalf("%q is read as %d fields", again, back.left)
			}
			have, was := map[string]string{}, map[string]string{}
			rest := newReplies(again)
			for i := 0; i < len(fields); i += 2 {
				was[fields[i]] = fields[i+1]
				field, v, _ := rest.next()
				have[field] = v
			}
			if rest.bad || !maps.Equal(have, was) {
				t.Fatalf("%q was %q", have, was)
			}
		}
		var out table.Cached
		err := l.cached(&redisconn.Node{}, ref, reply, &out)
		if r.bad && err == nil {
			t.Fatalf("%q was read as %v", reply, out)
		}
	})
}

// answer makes what a script may answer of bytes: lists, texts, numbers and nothing.
func answer(b []byte, depth int) (any, []byte) {
	if len(b) == 0 {
		return nil, nil
	}
	what, b := b[0], b[1:]
	words := []string{"OK", "MISS", "WAIT", "LOCKED", "LIST", "OLD", "EXISTS", "NOTFOUND", "CAS", "RANGE", "BIG", "BUSY", "A", "W", "F", "D", "L", "AGAIN",
		"_s", "_v", "_g", "_c", "_d", "_x", "_k", "1", "2", "3", "4", "12 token", "-9", "0", "%g:x", "x", "q", ""}
	switch {
	case what < 100:
		return words[int(what)%len(words)], b
	case what < 140:
		return int64(what) - 120, b
	case what < 150 && len(b) >= 8:
		return int64(binary.BigEndian.Uint64(b)), b[8:]
	case what < 170:
		n := min(int(what-150), len(b))
		return string(b[:max(n, 0)]), b[max(n, 0):]
	case what < 175 || depth > 3:
		return nil, b
	}
	list := []any{}
	for range int(what) % 12 {
		var v any
		v, b = answer(b, depth+1)
		list = append(list, v)
	}
	return list, b
}

// FuzzAnswers: whatever a script may answer, who reads it gives an error or a result, and never panics.
func FuzzAnswers(f *testing.F) {
	f.Add([]byte{181, 0})
	f.Add([]byte{184, 3, 121, 29, 121})
	f.Add([]byte{183, 0, 28, 121, 28})
	f.Add([]byte{181, 182, 15, 2})
	f.Add([]byte{183, 182, 33, 34, 184, 18, 16, 19, 26, 29})
	tables := tabletest.NewTables("")
	c, err := Open(Options{URL: "redis://127.0.0.1:1", Shards: 4})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = c.Close() })
	for _, s := range tables.Specs() {
		c.layouts.add(s, 1, nil)
	}
	item := tables.Item.Ref(tabletest.ItemKey{OwnerID: 7, ID: 1})
	player := tables.Player.Ref(7)
	f.Fuzz(func(t *testing.T, b []byte) {
		v, _ := answer(b, 0)
		ops := []table.Op{
			{Kind: table.Update, Ref: item, Add: []table.AddTo{{Column: tabletest.ItemCount, Delta: 1}, {Column: tabletest.ItemCount, Delta: 2}}},
			{Kind: table.Delete, Ref: player},
		}
		ws := make([]*work, len(ops))
		pointers := make([]*table.Op, len(ops))
		for i := range ops {
			pointers[i] = &ops[i]
			if ws[i], err = c.prepare(&ops[i]); err != nil {
				t.Fatal(err)
			}
			ws[i].changes()
		}
		_, _, _ = c.answered(v, ws)
		refs, at := []table.Ref{item, player}, []int{0, 1}
		out := make([]table.Cached, 2)
		_ = c.looked(v, refs, at, nil, out)
		_ = c.looked(v, refs, at, []table.Row{{Ref: item}, {Ref: player}}, out)
		_, _, _ = listAnswer(tables.Item.Spec, v, nil)
		list, _ := v.([]any)
		_, _ = c.notLocked(list, pointers)
		_, _ = c.willBe(pointers[0], 3, list)
		_, _ = c.willBe(pointers[1], 3, list)
		if len(list) > 0 { // without fields it asks the server
			_, _, _, _ = c.image(t.Context(), 0, "item:7/1", false, flat(list))
		}
		for _, s := range texts(v) {
			_ = note(s)
			_ = refOf(tables.Item.Spec, s)
			_, _ = tagged(&table.Image{Tag: s})
			members(tables.Item.Spec, []string{s}, "g")
		}
		next := pairs(v)
		for _, _, ok := next(); ok; _, _, ok = next() {
		}
	})
}
