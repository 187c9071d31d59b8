package gen_test

import (
	"context"
	"database/sql"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/firefly-go/firefly/gen"
	"github.com/firefly-go/firefly/idl"
	"github.com/firefly-go/firefly/runtime/table/tabletest/servers"
)

var maria servers.Shared

func TestMain(m *testing.M) {
	code := m.Run()
	maria.Close()
	os.Exit(code)
}

// databases are an empty one of each dialect. Each is one connection, so that tests see what they wrote.
func databases(t *testing.T) map[gen.SQLDialect]*sql.DB {
	t.Helper()
	lite, err := sql.Open("sqlite", "file:"+filepath.Join(t.TempDir(), "test.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { lite.Close() })
	m := maria.Get(t)
	my := m.Open(t, m.Database(t))
	for _, db := range []*sql.DB{lite, my} {
		db.SetMaxOpenConns(1)
	}
	return map[gen.SQLDialect]*sql.DB{gen.SQLite: lite, gen.MySQL: my}
}

// statements are the constants of one table, by the field of table.SQL that they are in.
func statements(t *testing.T, g *golden, name string, d gen.SQLDialect) (*idl.Table, map[string][]string) {
	t.Helper()
	proto, o, _, _ := g.inputs()
	sys, err := idl.Load(context.Background(), idl.Options{FS: proto})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range sys.Packages {
		for _, x := range p.Tables {
			if x.Name != name {
				continue
			}
			all, err := gen.Statements(sys, x, d, o)
			if err != nil {
				t.Fatal(err)
			}
			by := map[string][]string{}
			for _, s := range all {
				by[s.Field] = append(by[s.Field], s.Text)
			}
			return x, by
		}
	}
	t.Fatalf("%s has no table %s", g.name, name)
	return nil, nil
}

// TestStatements executes what makes tables and prepares all other statements of all golden tables, in
// both databases. Two rows stand for any number of them.
func TestStatements(t *testing.T) {
	dbs := databases(t)
	for _, g := range goldens(t, "golden") {
		proto, _, _, _ := g.inputs()
		sys, err := idl.Load(t.Context(), idl.Options{FS: proto})
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range sys.Packages {
			for _, x := range p.Tables {
				for d, db := range dbs {
					_, s := statements(t, &g, x.Name, d)
					t.Run(g.name+"/"+x.Name+"/"+d.String(), func(t *testing.T) {
						testStatements(t, db, x, s)
					})
				}
			}
		}
	}
}

func testStatements(t *testing.T, db *sql.DB, x *idl.Table, s map[string][]string) {
	exec := func(text string) {
		t.Helper()
		for one := range strings.SplitSeq(text, ";\n") {
			if strings.TrimSpace(one) == "" {
				continue
			}
			if _, err := db.Exec(one); err != nil {
				t.Fatalf("%v in\n%s", err, one)
			}
		}
	}
	prepare := func(parts ...string) {
		t.Helper()
		stmt, err := db.Prepare(strings.Join(parts, ""))
		if err != nil {
			t.Errorf("%v in\n%s", err, strings.Join(parts, ""))
			return
		}
		stmt.Close()
	}
	name := "`" + x.SQLName + "`"
	exec("DROP TABLE IF EXISTS " + name)
	exec(s["Create"][0])
	exec(s["Create"][0]) // is there already
	prepare(s["Get"][0])
	prepare(s["GetIn"][0], s["GetInRow"][0], ", ", s["GetInRow"][0], s["GetInEnd"][0])
	prepare(s["Versions"][0], s["GetInRow"][0], ", ", s["GetInRow"][0], s["GetInEnd"][0])
	prepare(s["Upsert"][0], s["UpsertRow"][0], ", ", s["UpsertRow"][0], s["UpsertEnd"][0])
	prepare(s["Delete"][0], s["DeleteRow"][0], " OR ", s["DeleteRow"][0])
	if x.Opt.GetAutoId() != (len(s["MaxID"]) == 1) {
		t.Errorf("MaxID is %q", s["MaxID"])
	}
	for _, text := range append(append(s["MaxID"], s["Find"]...), s["FindAfter"]...) {
		prepare(text)
	}
	if len(s["Find"]) != len(x.Index) || len(s["FindAfter"]) != len(x.Index) || len(s["Indexes"]) != len(x.Index) || len(s["Adds"]) != len(x.Columns)-len(x.Key) {
		t.Errorf("%d, %d, %d and %d statements of %d indexes and %d columns", len(s["Find"]), len(s["FindAfter"]), len(s["Indexes"]), len(s["Adds"]), len(x.Index), len(x.Columns))
	}
	// A table that has the key and nothing else grows to the same.
	whole := columnsOf(t, db, x.SQLName)
	exec("DROP TABLE " + name)
	create := s["Create"][0]
	var key []string
	for line := range strings.Lines(create) {
		for _, fd := range x.Key {
			for _, c := range x.Columns {
				if c.Desc == fd && strings.HasPrefix(line, "  `"+c.Name+"` ") {
					key = append(key, line)
				}
			}
		}
		if strings.HasPrefix(line, "  `ff_v` ") || strings.HasPrefix(line, "  PRIMARY KEY ") {
			key = append(key, strings.TrimSuffix(strings.TrimSuffix(line, "\n"), ",")+",\n")
		}
	}
	exec("CREATE TABLE " + name + " (\n" + strings.TrimSuffix(strings.Join(key, ""), ",\n") + "\n)")
	for _, text := range append(s["Adds"], s["Indexes"]...) {
		exec(text)
	}
	grown := columnsOf(t, db, x.SQLName)
	if len(grown) != len(whole) {
		t.Errorf("the grown table has %v, and the new one %v", grown, whole)
	}
	for c, typ := range whole {
		if grown[c] != typ {
			t.Errorf("column %s is %s in the grown table and %s in the new one", c, grown[c], typ)
		}
	}
	exec("DROP TABLE " + name)
}

// columnsOf are the types of the columns of an empty table, as the driver gives them.
func columnsOf(t *testing.T, db *sql.DB, name string) map[string]string {
	t.Helper()
	rows, err := db.Query("SELECT * FROM `" + name + "`")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	types, err := rows.ColumnTypes()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, c := range types {
		null, _ := c.Nullable()
		out[c.Name()] = c.DatabaseTypeName()
		if null {
			out[c.Name()] += " NULL"
		}
	}
	return out
}

// TestUpsertGuard: an older image of a row never replaces a newer one, and in MySQL a row that only has
// the unique value in common is left alone.
func TestUpsertGuard(t *testing.T) {
	for d, db := range databases(t) {
		t.Run(d.String(), func(t *testing.T) {
			gs := goldens(t, "golden")
			i := slices.IndexFunc(gs, func(g golden) bool { return g.name == "bank" })
			_, s := statements(t, &gs[i], "Player", d)
			exec := func(text string, args ...any) error {
				for one := range strings.SplitSeq(text, ";\n") {
					if strings.TrimSpace(one) == "" {
						continue
					}
					if _, err := db.Exec(one, args...); err != nil {
						return err
					}
				}
				return nil
			}
			if err := exec(s["Create"][0]); err != nil {
				t.Fatal(err)
			}
			upsert := s["Upsert"][0] + s["UpsertRow"][0] + s["UpsertEnd"][0]
			put := func(id int, name string, gold, version int) error { return exec(upsert, id, name, gold, 0, version) }
			has := func(id int, name string, gold, version int) {
				t.Helper()
				var gotName string
				var gotID, gotGold, gotGuild, gotVersion int
				err := db.QueryRow(s["Get"][0], id).Scan(&gotID, &gotName, &gotGold, &gotGuild, &gotVersion)
				if err != nil || gotName != name || gotGold != gold || gotVersion != version {
					t.Errorf("row %d is %q %d version %d, %v; wanted %q %d version %d", id, gotName, gotGold, gotVersion, err, name, gold, version)
				}
			}
			for _, p := range []struct {
				name          string
				gold, version int
			}{{"ann", 1, 5}, {"old", 2, 4}, {"same", 3, 5}} {
				if err := put(1, p.name, p.gold, p.version); err != nil {
					t.Fatal(err)
				}
				has(1, "ann", 1, 5)
			}
			if err := put(1, "anna", 4, 6); err != nil {
				t.Fatal(err)
			}
			has(1, "anna", 4, 6)
			err := put(2, "anna", 9, 7)
			if d == gen.SQLite && err == nil {
				t.Error("SQLite took a second row with the same name")
			}
			has(1, "anna", 4, 6)
			remove := s["Delete"][0] + s["DeleteRow"][0]
			if err := exec(remove, 1, 5); err != nil {
				t.Fatal(err)
			}
			has(1, "anna", 4, 6) // newer than what was to be removed
			if err := exec(remove, 1, 6); err != nil {
				t.Fatal(err)
			}
			var n int
			if err := db.QueryRow("SELECT COUNT(*) FROM `player`").Scan(&n); err != nil || n != 0 {
				t.Error(n, err)
			}
		})
	}
}
