package sqlstore

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/table"
	"github.com/firefly-go/firefly/runtime/table/tabletest"
	"github.com/firefly-go/firefly/runtime/table/tabletest/servers"
)

// fixture is a started MySQL over a database of its own, with the tables of the suite.
type fixture struct {
	*testing.T
	*tabletest.Tables
	maria *servers.MariaDB
	name  string // of the database
	m     *MySQL
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{T: t, Tables: tabletest.NewTables(""), maria: maria.Get(t)}
	f.name = f.maria.Database(t)
	for _, s := range f.Specs() {
		f.maria.Exec(t, f.name, strings.TrimSuffix(s.MySQL.Create, ";\n"))
	}
	f.m = f.open(f.maria.DSN(f.name))
	if err := f.m.Start(t.Context(), f.Specs()); err != nil {
		t.Fatal(err)
	}
	return f
}

func (f *fixture) open(dsn string) *MySQL {
	f.Helper()
	m, err := OpenMySQL(dsn, MySQLOptions{Log: quiet()})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = m.Close() })
	return m
}

func (f *fixture) ok(err error) {
	f.Helper()
	if err != nil {
		f.Fatal(err)
	}
}

// await waits for something, and looks again every so often.
func (f *fixture) await(what string, every time.Duration, cond func() bool) {
	f.Helper()
	for deadline := time.Now().Add(20 * time.Second); !cond(); time.Sleep(every) {
		if time.Now().After(deadline) {
			f.Fatalf("it did not come true: %s", what)
		}
	}
}

// awaitLocked waits until a transaction waits for a lock with a statement that has the text.
func (f *fixture) awaitLocked(db *sql.DB, text string) {
	f.Helper()
	const anew = 150 * time.Millisecond // what the server tells is 0.1 s old when it is asked more often
	f.await("a statement with "+text+" waits for a lock", anew, func() bool {
		var n int
		f.ok(db.QueryRowContext(f.Context(), "SELECT COUNT(*) FROM information_schema.INNODB_TRX WHERE trx_state = 'LOCK WAIT' AND trx_query LIKE ?", "%"+text+"%").Scan(&n))
		return n > 0
	})
}

// image is a row as a flusher has it.
func image[K comparable, R any](f *fixture, c *table.Codec[K, R], row R, version uint64) table.Image {
	f.Helper()
	values, err := c.Values(row, nil)
	f.ok(err)
	return table.Image{Row: table.Row{Ref: c.Ref(c.KeyOf(row)), Version: version, Values: values}}
}

func gone(ref table.Ref, version uint64) table.Image {
	return table.Image{Row: table.Row{Ref: ref, Version: version}, Deleted: true}
}

// flush writes images of shard 1 in the epoch, and wants them to be stored.
func (f *fixture) flush(epoch uint64, images ...table.Image) {
	f.Helper()
	fenced, ahead, err := f.m.Flush(f.Context(), []table.ShardBatch{{Shard: 1, Epoch: epoch, Images: images}}, nil)
	if err != nil || len(fenced) > 0 || len(ahead) > 0 {
		f.Fatalf("fenced %v, ahead %v: %v", fenced, ahead, err)
	}
}

func (f *fixture) fence(owner string) uint64 {
	f.Helper()
	epochs, err := f.m.Fence(f.Context(), []int{1}, owner)
	f.ok(err)
	return epochs[0]
}

func (f *fixture) load(refs ...table.Ref) []table.Row {
	f.Helper()
	out := make([]table.Row, len(refs))
	f.ok(f.m.Load(f.Context(), refs, out, false))
	return out
}

// What is written is read as it was, row by row and many at once.
func TestMySQLRows(t *testing.T) {
	f := newFixture(t)
	epoch := f.fence("a")
	title := "Ünï's \\ \"title\" 🎉"
	players := []*tabletest.Player{
		{ID: 1, Name: "Ann", Gold: 1_000_000_000_000, Wins: math.MaxUint32, Rating: 0.1 + 0.2, Title: &title, Face: []byte{0, 1, 255, '\'', '\\'}, Guild: math.MinInt64},
		{ID: 2, Name: "Bob", Rating: -math.MaxFloat64, Guild: math.MaxInt64},
		{ID: math.MaxInt64, Name: "日本語", Rating: 5e-324},
	}
	var images []table.Image
	for i, p := range players {
		images = append(images, image(f, f.Player, p, uint64(10+i)))
	}
	images = append(images, image(f, f.Item, &tabletest.Item{OwnerID: 1, ID: 5, Kind: -1, Count: 3}, 20),
		image(f, f.Setting, &tabletest.Setting{Realm: "a:b", Name: "%3A", Value: "x"}, 21),
		image(f, f.Mail, &tabletest.Mail{ID: 9, To: 1, Text: "hello"}, 22))
	f.flush(epoch, images...)
	var refs []table.Ref
	for _, im := range images {
		refs = append(refs, im.Ref)
	}
	refs = append(refs, f.Player.Ref(77), refs[0])
	check := func(got table.Row, want *table.Image) {
		t.Helper()
		if got.Ref != want.Ref || got.Version != want.Version || !slices.Equal(got.Values, want.Values) {
			t.Errorf("%s: version %d of %d, values %v, want %v", want.Ref, got.Version, want.Version, got.Values, want.Values)
		}
	}
	many := f.load(refs...)
	for i := range images {
		check(many[i], &images[i])
		check(f.load(refs[i])[0], &images[i])
	}
	check(many[len(images)+1], &images[0])
	if r := many[len(images)]; r.Version != 0 || r.Ref != f.Player.Ref(77) {
		t.Errorf("a row that is not there: %v", r)
	}
	// A row is found only where it lies.
	elsewhere := f.Mail.Ref(tabletest.MailKey{To: 2, ID: 9})
	if got := f.load(elsewhere, elsewhere); got[0].Version != 0 || f.load(elsewhere)[0].Version != 0 {
		t.Errorf("mail of somebody else: %v", got)
	}
	// Older versions change nothing and are told.
	old := image(f, f.Player, &tabletest.Player{ID: 1, Name: "old"}, 9)
	_, ahead, err := f.m.Flush(t.Context(), []table.ShardBatch{{Shard: 1, Epoch: epoch, Images: []table.Image{old, gone(refs[1], 10)}}}, nil)
	if err != nil || len(ahead) != 2 {
		t.Fatalf("ahead %v: %v", ahead, err)
	}
	check(f.load(refs[0])[0], &images[0])
	check(f.load(refs[1])[0], &images[1])
	// The same again is stored already.
	f.flush(epoch, images...)
	// A delete goes, and an older image does not bring the row back.
	f.flush(epoch, gone(refs[0], 30))
	again := image(f, f.Player, players[0], 29)
	_, ahead, err = f.m.Flush(t.Context(), []table.ShardBatch{{Shard: 1, Epoch: epoch, Images: []table.Image{again}}}, nil)
	if err != nil || len(ahead) != 1 || f.load(refs[0])[0].Version != 0 {
		t.Errorf("ahead %v, row %v: %v", ahead, f.load(refs[0]), err)
	}
	again.Version = 31
	f.flush(epoch, again)
	check(f.load(refs[0])[0], &again)
}

// Pages of an index come in the order of keys.
func TestMySQLFind(t *testing.T) {
	f := newFixture(t)
	epoch := f.fence("a")
	var images []table.Image
	for id := range int64(1000) {
		images = append(images, image(f, f.Item, &tabletest.Item{OwnerID: 1 + id%2, ID: id + 1, Kind: int32(id % 4)}, 5))
	}
	f.flush(epoch, images...)
	var got []int64
	q := &table.Query{Table: f.Item.Spec, Index: tabletest.ByKind, By: []table.Value{table.IntOf(1), table.IntOf(2)}, Limit: 100}
	for {
		rows, err := f.m.Find(t.Context(), q, false)
		f.ok(err)
		for _, r := range rows {
			got = append(got, r.Values[1].Int())
			q.After = r.Key
		}
		if len(rows) < q.Limit {
			break
		}
	}
	if len(got) != 250 || !slices.IsSorted(got) || got[0] != 3 {
		t.Errorf("%d rows: %v", len(got), got)
	}
	rows, err := f.m.Find(t.Context(), &table.Query{Table: f.Item.Spec, Index: tabletest.ByOwner, By: []table.Value{table.IntOf(2)}}, false)
	f.ok(err)
	if len(rows) != 500 {
		t.Errorf("%d rows without a limit", len(rows))
	}
	// Loads of more than one statement.
	refs := make([]table.Ref, len(images))
	for i := range images {
		refs[i] = images[i].Ref
	}
	for i, r := range f.load(refs...) {
		if r.Version != 5 || !slices.Equal(r.Values, images[i].Values) {
			t.Fatalf("row %d is %v", i, r)
		}
	}
}

// Numbers begin behind those that rows have, and nobody gets one twice.
func TestMySQLReserve(t *testing.T) {
	f := newFixture(t)
	f.flush(f.fence("a"), image(f, f.Player, &tabletest.Player{ID: 41, Name: "x"}, 1))
	other := f.open(f.maria.DSN(f.name))
	f.ok(other.Start(t.Context(), f.Specs()))
	type block struct{ first, n int64 }
	got := make(chan block, 100)
	for w := range 8 {
		go func() {
			m := f.m
			if w%2 == 1 {
				m = other
			}
			for n := range 10 {
				first, err := m.Reserve(t.Context(), f.Player.Spec, n+1)
				if err != nil {
					t.Error(err)
				}
				got <- block{first, int64(n + 1)}
			}
		}()
	}
	seen := map[int64]bool{}
	for range 80 {
		b := <-got
		for i := range b.n {
			if id := b.first + i; id <= 41 || seen[id] {
				t.Fatalf("%d was given", id)
			}
			seen[b.first+i] = true
		}
	}
	if !seen[42] {
		t.Error("42 was given to nobody")
	}
	f.maria.Exec(t, f.name, "UPDATE ff_seq SET next = 9223372036854775800 WHERE tbl = 'player'")
	if _, err := f.m.Reserve(t.Context(), f.Player.Spec, 100); firefly.CodeOf(err) != firefly.OutOfRange {
		t.Errorf("the last numbers: %v", err)
	}
}

// Start refuses what will not do, and says what to do.
func TestMySQLStart(t *testing.T) {
	f := newFixture(t)
	var logged bytes.Buffer
	start := func(specs ...*table.Spec) error {
		m, err := OpenMySQL(f.maria.DSN(f.name), MySQLOptions{Log: slog.New(slog.NewTextHandler(&logged, nil))})
		f.ok(err)
		defer func() { _ = m.Close() }()
		return m.Start(t.Context(), specs)
	}
	refused := func(want string, specs ...*table.Spec) {
		t.Helper()
		if err := start(specs...); firefly.CodeOf(err) != firefly.FailedPrecondition || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	change := func(f func(*table.Spec)) *table.Spec {
		s := *tabletest.NewTables("").Player.Spec
		s.Columns = slices.Clone(s.Columns)
		s.Indexes = slices.Clone(s.Indexes)
		f(&s)
		return &s
	}
	refused("table nothing is missing; bring the schema up to date: migrate up", change(func(s *table.Spec) { s.Name = "nothing" }))
	refused("table player has no column level, rank; bring the schema up to date: migrate up", change(func(s *table.Spec) {
		s.Columns = append(s.Columns, table.Column{Name: "level"}, table.Column{Name: "rank"})
	}))
	refused("table player has the primary key (id), and the declaration (name)", change(func(s *table.Spec) { s.Key = []int{1} }))
	refused("table player has no unique index on (guild)", change(func(s *table.Spec) { s.Indexes[1].Unique = true }))
	f.maria.Exec(t, f.name, "ALTER TABLE player ADD COLUMN extra INT NOT NULL", "ALTER TABLE item ADD COLUMN extra INT NULL, ADD COLUMN more INT NOT NULL DEFAULT 3")
	refused("column extra of table player is not declared and has no default", f.Player.Spec)
	f.ok(start(f.Item.Spec))
	f.maria.Exec(t, f.name, "ALTER TABLE mail ENGINE=MyISAM", "ALTER TABLE setting MODIFY realm VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci NOT NULL")
	refused("table mail is of the engine MyISAM", f.Mail.Spec)
	f.ok(start(f.Setting.Spec))
	if !strings.Contains(logged.String(), "column realm compares texts by utf8mb4_general_ci") {
		t.Errorf("the log has %s", logged.String())
	}
	f.maria.Exec(t, "", "SET GLOBAL innodb_flush_log_at_trx_commit = 2")
	f.ok(start(f.Item.Spec))
	f.maria.Exec(t, "", "SET GLOBAL innodb_flush_log_at_trx_commit = 1", "SET GLOBAL read_only = 1")
	defer f.maria.Exec(t, "", "SET GLOBAL read_only = 0")
	if !strings.Contains(logged.String(), "innodb_flush_log_at_trx_commit=2") {
		t.Errorf("the log has %s", logged.String())
	}
	refused("is read-only", f.Item.Spec)
	if _, err := OpenMySQL("secret@@nowhere", MySQLOptions{}); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("a wrong address: %v", err)
	}
}

func TestMySQLVersions(t *testing.T) {
	for v, old := range map[string]bool{"8.0.36": false, "8.4.0": false, "9.1.0": false, "5.7.44-log": true, "8.0.11": true, "10.11.19-MariaDB-0+deb12u1": false, "5.5.5-10.4.2-MariaDB": true, "10.3.39-MariaDB": true, "11.4.2-MariaDB": false} {
		oldest, name := oldestMySQL, "MySQL"
		if got := tooOld(v, &oldest, &name); got != old || (name == "MariaDB") != strings.Contains(v, "MariaDB") {
			t.Errorf("%s: too old %v, %s", v, got, name)
		}
	}
}

// The classes of what a database refuses.
func TestMySQLErrors(t *testing.T) {
	f := newFixture(t)
	epoch := f.fence("a")
	flush := func(images ...table.Image) (table.WriteClass, string, error) {
		t.Helper()
		_, _, err := f.m.Flush(t.Context(), []table.ShardBatch{{Shard: 1, Epoch: epoch, Images: images}}, nil)
		w, ok := err.(*table.WriteError)
		if !ok {
			t.Fatalf("%v is no WriteError", err)
		}
		return w.Class, w.Table, err
	}
	want := func(class table.WriteClass, code firefly.Code, images ...table.Image) {
		t.Helper()
		if c, tbl, err := flush(images...); c != class || tbl != images[0].Table.Name || firefly.CodeOf(err) != code {
			t.Errorf("class %d of %s: %v", c, tbl, err)
		}
	}
	ann := image(f, f.Player, &tabletest.Player{ID: 1, Name: "Ann"}, 5)
	f.flush(epoch, ann)
	want(table.OfRow, firefly.InvalidArgument, image(f, f.Player, &tabletest.Player{ID: 2, Name: strings.Repeat("x", 65)}, 5))
	want(table.OfUnique, firefly.NotUnique, image(f, f.Player, &tabletest.Player{ID: 2, Name: "Ann"}, 5))
	if r := f.load(f.Player.Ref(1)); r[0].Version != 5 || r[0].Values[0].Int() != 1 {
		t.Errorf("Ann is %v", r)
	}
	f.maria.Exec(t, f.name, "ALTER TABLE item ADD CONSTRAINT few CHECK (`count` < 10)")
	want(table.OfRow, firefly.InvalidArgument, image(f, f.Item, &tabletest.Item{OwnerID: 1, ID: 1, Count: 10}, 5))
	f.maria.Exec(t, f.name, "DROP TABLE mail", "ALTER TABLE setting DROP COLUMN value")
	want(table.OfTable, firefly.FailedPrecondition, image(f, f.Mail, &tabletest.Mail{ID: 1, To: 1}, 5))
	want(table.OfTable, firefly.FailedPrecondition, image(f, f.Setting, &tabletest.Setting{Realm: "a", Name: "b"}, 5))
	f.maria.Exec(t, "", "SET GLOBAL read_only = 1")
	_, _, err := f.m.Flush(t.Context(), []table.ShardBatch{{Shard: 1, Epoch: epoch, Images: []table.Image{ann}}}, nil)
	f.maria.Exec(t, "", "SET GLOBAL read_only = 0")
	if w, ok := err.(*table.WriteError); !ok || w.Class != table.Transient || firefly.CodeOf(err) != firefly.Unavailable {
		t.Errorf("a read-only server: %v", err)
	}
	f.flush(epoch, ann)
}

// 21. A connection that comes later is as strict as the first.
func TestCase21(t *testing.T) {
	f := newFixture(t)
	epoch := f.fence("a")
	f.maria.Exec(t, "", "SET GLOBAL sql_mode = ''")
	defer f.maria.Exec(t, "", "SET GLOBAL sql_mode = DEFAULT")
	p := servers.NewProxy(t, f.maria.Addr())
	f.m = f.open(strings.Replace(f.maria.DSN(f.name), f.maria.Addr(), p.Addr(), 1))
	f.ok(f.m.Start(t.Context(), f.Specs()))
	for range 3 {
		long := image(f, f.Player, &tabletest.Player{ID: 2, Name: strings.Repeat("x", 65)}, 5)
		_, _, err := f.m.Flush(t.Context(), []table.ShardBatch{{Shard: 1, Epoch: epoch, Images: []table.Image{long}}}, nil)
		if w, ok := err.(*table.WriteError); !ok || w.Class != table.OfRow {
			t.Errorf("a name that is too long: %v", err)
		}
		p.Cut()
		// The first call may still meet the cut connection.
		for try := 0; ; try++ {
			if err := f.m.Load(t.Context(), []table.Ref{long.Ref}, make([]table.Row, 1), false); err == nil {
				break
			} else if try > 20 {
				t.Fatal(err)
			}
		}
	}
	if r := f.load(f.Player.Ref(2)); r[0].Version != 0 {
		t.Errorf("the row was cut and stored: %v", r)
	}
}

// A server that hangs is not waited for longer than ctx says.
func TestMySQLHang(t *testing.T) {
	f := newFixture(t)
	epoch := f.fence("a")
	f.load(f.Player.Ref(1))
	f.maria.Pause()
	defer f.maria.Resume()
	ann := image(f, f.Player, &tabletest.Player{ID: 1, Name: "Ann"}, 5)
	for what, call := range map[string]func(context.Context) error{
		"load": func(ctx context.Context) error {
			return f.m.Load(ctx, []table.Ref{ann.Ref}, make([]table.Row, 1), false)
		},
		"find": func(ctx context.Context) error {
			_, err := f.m.Find(ctx, &table.Query{Table: f.Player.Spec, Index: 0, By: []table.Value{table.TextOf("x")}}, false)
			return err
		},
		"flush": func(ctx context.Context) error {
			_, _, err := f.m.Flush(ctx, []table.ShardBatch{{Shard: 1, Epoch: epoch, Images: []table.Image{ann}}}, nil)
			return err
		},
		"reserve": func(ctx context.Context) error { _, err := f.m.Reserve(ctx, f.Player.Spec, 1); return err },
		"commit": func(ctx context.Context) error {
			return f.m.CommitDurably(ctx, "t", nil, []int{1}, []table.Image{ann}, nil)
		},
		"fence": func(ctx context.Context) error { _, err := f.m.Fence(ctx, []int{1}, "b"); return err },
	} {
		began := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		err := call(ctx)
		cancel()
		if err == nil || time.Since(began) > 20*time.Second {
			t.Errorf("%s: %v after %v", what, err, time.Since(began))
		}
	}
}

// The columns that older schemas have.
func TestMySQLOldTypes(t *testing.T) {
	f := newFixture(t)
	column := func(name, typ string, k table.Kind) table.Column {
		c := table.Column{Field: name, Name: name, Kind: k, Nullable: true, Min: math.MinInt64, Max: math.MaxInt64}
		c.Datetime = strings.HasPrefix(typ, "DATE") || strings.HasPrefix(typ, "TIMESTAMP")
		if _, digits, ok := strings.Cut(typ, "("); ok && c.Datetime {
			c.Fraction = digits[0] - '0'
		}
		return c
	}
	day := time.Date(2013, 5, 17, 0, 0, 0, 0, time.UTC)
	var dated table.Ref
	at := day.Add(20*time.Hour + 123456*time.Microsecond)
	for i, c := range []struct {
		typ       string
		kind      table.Kind
		put, want table.Value
	}{
		{"BIT(1)", table.Int, table.IntOf(1), table.IntOf(1)},
		{"BIT(20)", table.Uint, table.UintOf(700_000), table.UintOf(700_000)},
		{"YEAR", table.Int, table.IntOf(2013), table.IntOf(2013)},
		{"DECIMAL(20,0)", table.Int, table.IntOf(math.MinInt64), table.IntOf(math.MinInt64)},
		{"DECIMAL(20,0)", table.Uint, table.UintOf(math.MaxUint64), table.UintOf(math.MaxUint64)},
		{"DECIMAL(12,2)", table.Float, table.FloatOf(-1234.5), table.FloatOf(-1234.5)},
		{"DECIMAL(12,2)", table.Int, table.IntOf(7), table.IntOf(7)},
		{"FLOAT", table.Float, table.FloatOf(float64(float32(16777215.0) / 3)), table.FloatOf(float64(float32(16777215.0) / 3))},
		{"TINYINT(1)", table.Int, table.IntOf(1), table.IntOf(1)},
		{"BIGINT UNSIGNED", table.Uint, table.UintOf(math.MaxUint64), table.UintOf(math.MaxUint64)},
		{"ENUM('a','b')", table.Text, table.TextOf("b"), table.TextOf("b")},
		{"SET('a','b')", table.Text, table.TextOf("a,b"), table.TextOf("a,b")},
		{"JSON", table.Text, table.TextOf(`{"a": 1}`), table.TextOf(`{"a": 1}`)},
		{"TIME", table.Text, table.TextOf("12:30:00"), table.TextOf("12:30:00")},
		{"DATETIME", table.Int, table.IntOf(at.UnixMicro()), table.IntOf(at.Truncate(time.Second).UnixMicro())},
		{"DATETIME(3)", table.Int, table.IntOf(at.UnixMicro()), table.IntOf(at.Truncate(time.Millisecond).UnixMicro())},
		{"DATETIME(6)", table.Int, table.IntOf(at.UnixMicro()), table.IntOf(at.UnixMicro())},
		{"DATETIME(6)", table.Int, table.IntOf(-1), table.IntOf(-1)},
		{"TIMESTAMP(6)", table.Int, table.IntOf(at.UnixMicro()), table.IntOf(at.UnixMicro())},
		{"TIMESTAMP", table.Int, table.IntOf(0), table.IntOf(1_000_000)},
		{"DATE", table.Int, table.IntOf(at.UnixMicro()), table.IntOf(day.UnixMicro())},
		{"VARBINARY(9)", table.Bytes, table.BytesOf([]byte{0, 200}), table.BytesOf([]byte{0, 200})},
		{"INT", table.Int, table.Value{}, table.Value{}},
		{"DATETIME", table.Int, table.Value{}, table.Value{}},
	} {
		name := fmt.Sprintf("old%d", i)
		s := &table.Spec{Name: name, Key: []int{0}, Columns: []table.Column{column("id", "BIGINT", table.Int), column("v", c.typ, c.kind)}}
		f.maria.Exec(t, f.name, "CREATE TABLE "+name+" (id BIGINT PRIMARY KEY, v "+c.typ+" NULL, ff_v BIGINT UNSIGNED NOT NULL DEFAULT 0)")
		s.MySQL = table.SQL{
			Get: "SELECT id, v, ff_v FROM " + name + " WHERE id = ?", Upsert: "INSERT INTO " + name + " (id, v, ff_v) VALUES ", UpsertRow: "(?, ?, ?)", UpsertEnd: " ON DUPLICATE KEY UPDATE v = VALUES(v)",
			GetIn: "SELECT id, v, ff_v FROM " + name + " WHERE (id) IN (", Versions: "SELECT id, ff_v FROM " + name + " WHERE (id) IN (", GetInRow: "(?)", GetInEnd: ")",
			Types: []string{"BIGINT", c.typ},
		}
		f.ok(f.m.Start(t.Context(), []*table.Spec{s}))
		ref := s.RefTo(table.KeyOf(table.IntOf(1)))
		if c.typ == "DATETIME" {
			dated = ref
		}
		f.flush(f.fence("a"), table.Image{Row: table.Row{Ref: ref, Version: 3, Values: []table.Value{table.IntOf(1), c.put}}})
		for _, rows := range [][]table.Row{f.load(ref), f.load(ref, ref)} {
			for _, r := range rows {
				if r.Version != 3 || r.Values[1] != c.want {
					t.Errorf("%s: %v came back as %v, want %v", c.typ, c.put, r.Values, c.want)
				}
			}
		}
	}
	// A date of zero, as old servers let in, reads as the beginning of 1970.
	f.maria.Exec(t, f.name, "SET GLOBAL sql_mode = ''")
	defer f.maria.Exec(t, "", "SET GLOBAL sql_mode = DEFAULT")
	f.maria.Exec(t, f.name, "UPDATE "+dated.Table.Name+" SET v = '0000-00-00 00:00:00'")
	for _, r := range append(f.load(dated), f.load(dated, dated)...) {
		if r.Values[1] != table.IntOf(0) {
			t.Errorf("a date of zero is %v", r.Values)
		}
	}
}
