package main

import (
	"database/sql"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/firefly-go/firefly/runtime/table/sqlstore"
)

const tablesProto = `syntax = "proto3";
package shop.v1;
import "firefly/v1/options.proto";
import "google/protobuf/timestamp.proto";
option go_package = "example.com/shop/gen/shoppb";

// Hero is a player's main figure; it's his.
message Hero {
  option (firefly.v1.table) = {
    name: "tb_hero" key: ["owner_id", "id"] auto_id: true
    index: { by: "owner_id" } index: { by: ["name"] unique: true }
  };
  int64 owner_id = 1;
  int64 id = 2 [(firefly.v1.column).type = "int"];
  // What he's called: 名字.
  string name = 3 [(firefly.v1.rule).max_len = 24, (firefly.v1.column).default = "it's \\ me"];
  string story = 4;
  string note = 5 [(firefly.v1.column).default = "none"];
  bytes blob = 6;
  bytes small = 7 [(firefly.v1.rule).max_len = 16];
  bool dead = 8 [(firefly.v1.column).default = "true"];
  Kind kind = 9 [(firefly.v1.column).default = "MAGE"];
  uint32 level = 10 [(firefly.v1.column) = { name: "lv" type: "tinyint" unsigned: true default: "1" }];
  uint64 power = 11;
  float speed = 12 [(firefly.v1.column).default = "1.5"];
  double weight = 13 [(firefly.v1.column).type = "numeric( 10, 2 )"];
  google.protobuf.Timestamp born = 14;
  google.protobuf.Timestamp seen = 15 [(firefly.v1.column).type = "datetime(3)", (firefly.v1.rule).required = true];
  google.protobuf.Timestamp day = 27 [(firefly.v1.column).type = "date"];
  google.protobuf.Timestamp stamp = 28 [(firefly.v1.column).type = "timestamp"];
  Part part = 16;
  repeated int32 parts = 17;
  map<string, int32> counts = 18;
  optional int32 maybe = 19;
  string shade = 20 [(firefly.v1.column).type = "Enum('dark', 'light')"];
  string flags = 21 [(firefly.v1.column).type = "set('a','b')"];
  string doc = 22 [(firefly.v1.column).type = "json", (firefly.v1.rule).required = true];
  bool bit = 23 [(firefly.v1.column).type = "bit(1)"];
  uint32 bits = 24 [(firefly.v1.column).type = "bit(7)"];
  uint32 year = 25 [(firefly.v1.column).type = "year"];
  string code = 26 [(firefly.v1.column).type = "char(8)"];
}
message Part { int32 a = 1; }
enum Kind { NONE = 0; MAGE = 7; }

message Plain {
  option (firefly.v1.table) = { key: "name" };
  string name = 1 [(firefly.v1.rule).max_len = 64];
  int32 n = 2;
}
`

// shop is a game with tables and no roles.
func shop(t *testing.T, proto string) *tool {
	x := newTool(t)
	x.write("go.mod", "module example.com/shop\n\ngo 1.26\n")
	x.write("proto/shop/v1/shop.proto", proto)
	return x
}

func (x *tool) migration(d string, number int, name string) string {
	x.t.Helper()
	return x.read(fmt.Sprintf("migrations/%s/%04d_%s.sql", d, number, name))
}

func sqliteDB(t *testing.T, x *tool) (*sql.DB, string) {
	t.Helper()
	file := filepath.Join(x.dir, "game data.db")
	db, err := sql.Open("sqlite", file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db, file
}

// ran notes in the database that a migration was run, as the game's runner does.
func ran(t *testing.T, number int, dbs ...*sql.DB) {
	t.Helper()
	for _, db := range dbs {
		for _, s := range []string{"CREATE TABLE IF NOT EXISTS ff_schema (version BIGINT NOT NULL PRIMARY KEY)", fmt.Sprintf("INSERT INTO ff_schema (version) VALUES (%d)", number)} {
			if _, err := db.Exec(s); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// up runs what waits as the game's binary does, which is one migration.
func (x *tool) up(db *sql.DB, d sqlstore.Dialect, number int, name string) {
	x.t.Helper()
	c, err := db.Conn(x.t.Context())
	if err != nil {
		x.t.Fatal(err)
	}
	defer c.Close()
	m, err := sqlstore.NewMigrator(c, d, os.DirFS(filepath.Join(x.dir, "migrations")), slog.New(slog.DiscardHandler))
	if err != nil {
		x.t.Fatal(err)
	}
	done, err := m.Up(x.t.Context())
	if err != nil || len(done) != 1 || done[0].Version != number || done[0].Name != name {
		x.t.Fatalf("%s: %v %v", d, done, err)
	}
}

func TestMigrateDiff(t *testing.T) {
	x := shop(t, tablesProto)
	my, dsn := mariaDB(t)
	lite, file := sqliteDB(t, x)
	apply := func(n int, name string) {
		t.Helper()
		x.up(my, sqlstore.DialectMySQL, n, name)
		x.up(lite, sqlstore.DialectSQLite, n, name)
		// All three ways to know the present tables agree that nothing is left to do.
		for _, how := range [][]string{nil, {"--mysql", dsn}, {"--sqlite", file}} {
			x.run(good, append([]string{"migrate", "diff", "again"}, how...)...)
			x.wants(x.out, "no change")
			if x.errs != "" {
				t.Errorf("%v: %s", how, x.errs)
			}
		}
	}
	x.run(good, "migrate", "diff", "first")
	x.wants(x.out, "migrations/mysql/0001_first.sql")
	x.wants(x.out, "migrations/embed.go")
	apply(1, "first")

	// Behind: the database has not seen what the folder holds.
	x.replace("proto/shop/v1/shop.proto", "  int32 n = 2;\n", "  int32 n = 2;\n  int32 m = 3 [(firefly.v1.column).default = \"5\"];\n  string text = 4;\n  bytes raw = 5;\n optional string who = 6 [(firefly.v1.rule).max_len = 9];\n  // More.\n  Kind kind = 7;")
	for _, db := range []*sql.DB{my, lite} {
		if _, err := db.Exec("INSERT INTO plain (name, n) VALUES ('old', 1)"); err != nil {
			t.Fatal(err)
		}
	}
	x.run(good, "migrate", "diff", "more")
	x.run(wrong, "migrate", "diff", "most", "--mysql", dsn)
	x.wants(x.errs, "is at migration 1 and the last one is 2")
	apply(2, "more")
	for _, db := range []*sql.DB{my, lite} {
		var m, n int
		var text string
		if err := db.QueryRow("SELECT m, n, text FROM plain WHERE name = 'old'").Scan(&m, &n, &text); err != nil || m != 5 || n != 1 || text != "" {
			t.Errorf("older rows have %d %d %q %v", m, n, text, err)
		}
	}

	// Wider, renamed, another default, an index more and one less.
	p := "proto/shop/v1/shop.proto"
	x.replace(p, "max_len = 24", "max_len = 48")
	x.replace(p, "  int32 n = 2;", "  int64 count = 2 [(firefly.v1.column).was = \"n\"];")
	x.replace(p, `default = "5"`, `default = "6"`)
	x.replace(p, `{ key: "name" }`, `{ key: "name" index: { by: "count" } index: { by: "m" unique: true } }`)
	x.replace(p, `index: { by: "owner_id" }`, ``)
	x.run(good, "migrate", "diff", "rename")
	x.wants(x.errs, "unique index by m")
	apply(3, "rename")
	for _, db := range []*sql.DB{my, lite} {
		var count int
		if err := db.QueryRow("SELECT count FROM plain WHERE name = 'old'").Scan(&count); err != nil || count != 1 {
			t.Errorf("a renamed column has %d %v", count, err)
		}
	}

	// Destructive, each by name.
	x.replace(p, "max_len = 48", "max_len = 20")
	x.replace(p, "  bytes raw = 5;", "")
	x.replace(p, "optional string who = 6 [(firefly.v1.rule).max_len = 9];", "optional string who = 6 [(firefly.v1.rule) = { max_len: 9 required: true }];")
	x.replace(p, "  string text = 4;", "  string texts = 8;")
	drops := []string{"drop:plain.raw", "drop:plain.text", "narrow:tb_hero.name", "notnull:plain.who"}
	x.run(wrong, "migrate", "diff", "drop", "--mysql", dsn)
	for _, d := range drops {
		x.wants(x.errs, "--allow "+d)
	}
	x.wants(x.errs, `[(firefly.v1.column).was = "text"]`)
	x.wants(x.errs, "shop.proto:16:3: column tb_hero.name would go from VARCHAR(48) to VARCHAR(20)")
	x.wants(x.errs, "plain.raw is no longer declared")
	x.run(wrong, append([]string{"migrate", "diff", "drop"}, "--allow", strings.Join(drops[1:], ","))...)
	x.wants(x.errs, drops[0])
	if strings.Contains(x.errs, drops[1]) {
		t.Errorf("what is allowed is refused:\n%s", x.errs)
	}
	x.run(good, "migrate", "diff", "drop", "--mysql", dsn, "--sqlite", file, "--allow", strings.Join(drops, ","), "--allow", "drop:nothing")
	x.wants(x.errs, "--allow drop:nothing allows nothing")
	apply(4, "drop")
	for _, db := range []*sql.DB{my, lite} {
		var who string
		if err := db.QueryRow("SELECT who FROM plain WHERE name = 'old'").Scan(&who); err != nil || who != "" {
			t.Errorf("what was NULL is %q %v", who, err)
		}
	}

	x.wants(x.migration("mysql", 4, "drop"), "MODIFY COLUMN `name` varchar(20) NOT NULL DEFAULT 'it''s \\\\ me' COMMENT 'What he''s called: 名字.'")

	// A unique index that rows are in the way of.
	for _, db := range []*sql.DB{my, lite} {
		if _, err := db.Exec("INSERT INTO plain (name, m, count) VALUES ('new', 1, 1)"); err != nil {
			t.Fatal(err)
		}
	}
	x.replace(p, `index: { by: "count" }`, `index: { by: "count" unique: true }`)
	x.run(wrong, "migrate", "diff", "unique", "--mysql", dsn)
	x.wants(x.errs, "shop.proto:47:45: table plain cannot get")
	x.wants(x.errs, "SELECT `count` FROM `plain` GROUP BY `count`")

	// A table that goes.
	text := x.read(p)
	x.write(p, text[:strings.Index(text, "message Plain")])
	x.run(wrong, "migrate", "diff", "gone")
	x.wants(x.errs, "table plain is no longer declared")
	x.run(good, "migrate", "diff", "gone", "--allow", "drop:plain")
	apply(5, "gone")
}

// TestMigrateCreate: what the first migration makes is what the generated statements make.
func TestMigrateCreate(t *testing.T) {
	x := shop(t, tablesProto)
	my, dsn := mariaDB(t)
	x.run(good, "migrate", "diff", "first")
	execFile(t, my, x.migration("mysql", 1, "first"))
	var name, first string
	if err := my.QueryRow("SHOW CREATE TABLE tb_hero").Scan(&name, &first); err != nil {
		t.Fatal(err)
	}
	x.wants(first, "COMMENT 'What he''s called: 名字.'")
	x.wants(first, "ENGINE=InnoDB")
	x.wants(first, "utf8mb4_bin")
	// From an empty folder against a database that has the tables there is nothing to do for MySQL.
	y := shop(t, tablesProto)
	y.run(good, "migrate", "diff", "first", "--mysql", dsn)
	if text := y.migration("mysql", 1, "first"); strings.Contains(text, "tb_hero") || strings.Contains(text, "plain") {
		t.Errorf("a change:\n%s", text)
	}
	y.wants(y.migration("sqlite", 1, "first"), "CREATE TABLE")
}

// TestMigrateForeign: what nobody declared stays in a live database, and what was declared goes.
func TestMigrateForeign(t *testing.T) {
	const proto = `syntax = "proto3";
package shop.v1;
import "firefly/v1/options.proto";
option go_package = "example.com/shop/shoppb";
message Hero {
  option (firefly.v1.table) = { key: "id" index: { by: "level" } index: { by: ["level", "gold"] unique: true } };
  int64 id = 1;
  int32 level = 2;
  int64 gold = 3;
  string name = 4 [(firefly.v1.rule).max_len = 20];
}
`
	x := shop(t, proto)
	my, dsn := mariaDB(t)
	lite, file := sqliteDB(t, x)
	x.run(good, "migrate", "diff", "first")
	execFile(t, my, x.migration("mysql", 1, "first"))
	execFile(t, lite, x.migration("sqlite", 1, "first"))
	ran(t, 1, my, lite)
	if out, err := exec.Command("go", "vet", "./migrations").CombinedOutput(); err != nil {
		t.Errorf("the package of the migrations: %v\n%s", err, out)
	}
	for _, db := range []*sql.DB{my, lite} {
		for _, s := range []string{
			"CREATE TABLE theirs (a INTEGER NOT NULL)",
			"ALTER TABLE hero ADD COLUMN extra INTEGER",
			"CREATE INDEX by_name ON hero (extra)", // the name that ours would have
			"CREATE INDEX name_extra ON hero (name, extra)",
			"INSERT INTO hero (id, level, gold, name, extra) VALUES (1, 2, 3, 'a', 4)",
		} {
			if _, err := db.Exec(s); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := my.Exec("ALTER TABLE hero ADD COLUMN must INT NOT NULL, ADD FULLTEXT KEY ft (name), ADD KEY pre (name(3)), ADD CONSTRAINT small CHECK (level < 100), MODIFY gold BIGINT(5) NOT NULL DEFAULT 7 COMMENT 'theirs'"); err != nil {
		t.Fatal(err)
	}
	live := []string{"--mysql", dsn, "--sqlite", file}
	x.run(good, append([]string{"migrate", "diff", "again"}, live...)...)
	x.wants(x.out, "no change")
	x.wants(x.errs, "table hero has a column must that is not declared, may not be NULL and has no default")

	p := "proto/shop/v1/shop.proto"
	x.replace(p, `index: { by: "level" } index: { by: ["level", "gold"] unique: true }`, `index: { by: "name" }`)
	x.replace(p, "  int64 gold = 3;", "  int32 gold = 3 [(firefly.v1.column).type = \"SMALLINT\"];")
	x.run(good, append([]string{"migrate", "diff", "second", "--allow", "narrow:hero.gold"}, live...)...)
	mysql := x.migration("mysql", 2, "second")
	x.wants(mysql, "MODIFY COLUMN `gold` smallint NOT NULL DEFAULT 7 COMMENT 'theirs'")
	execFile(t, my, mysql)
	execFile(t, lite, x.migration("sqlite", 2, "second"))
	ran(t, 2, my, lite)
	x.run(good, append([]string{"migrate", "diff", "again"}, live...)...)
	if !strings.Contains(x.out, "no change") {
		t.Fatal(x.migration("mysql", 3, "again"))
	}
	var name, create string
	if err := my.QueryRow("SHOW CREATE TABLE hero").Scan(&name, &create); err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{"`extra`", "`must`", "FULLTEXT KEY `ft`", "KEY `pre` (`name`(3))", "KEY `name_extra`", "CONSTRAINT `small`", "KEY `by_name` (`extra`)", "KEY `by_name_ff` (`name`)"} {
		x.wants(create, s)
	}
	if strings.Contains(create, "KEY `by_level") {
		t.Errorf("an index that is no longer declared is there:\n%s", create)
	}
	for _, db := range []*sql.DB{my, lite} {
		var extra, theirs int
		if err := db.QueryRow("SELECT extra, (SELECT COUNT(*) FROM theirs) FROM hero WHERE id = 1").Scan(&extra, &theirs); err != nil || extra != 4 {
			t.Errorf("foreign values: %d %v", extra, err)
		}
	}

	// Another key.
	x.replace(p, `key: "id"`, `key: ["level", "id"]`)
	x.run(wrong, append([]string{"migrate", "diff", "third"}, live...)...)
	x.wants(x.errs, "the key of table hero would go from id to level, id")
	x.run(good, append([]string{"migrate", "diff", "third", "--allow", "key:hero"}, live...)...)
	execFile(t, my, x.migration("mysql", 3, "third"))
	execFile(t, lite, x.migration("sqlite", 3, "third"))
	ran(t, 3, my, lite)
	x.run(good, append([]string{"migrate", "diff", "again"}, live...)...)
	x.wants(x.out, "no change")
}

func TestMigrateUsage(t *testing.T) {
	x := shop(t, tablesProto)
	x.run(usage, "migrate", "diff")
	x.run(usage, "migrate", "up", "x")
	x.wants(x.errs, "migrate up")
	x.run(usage, "migrate", "diff", "Bad Name")
	x.wants(x.errs, "no name of a migration")
	x.run(wrong, "migrate", "diff", "a", "--mysql", "nonsense")
	x.run(wrong, "migrate", "diff", "a", "--mysql", "root@tcp(127.0.0.1:1)/")
	x.wants(x.errs, "names no database")
	x.run(wrong, "migrate", "diff", "a", "--sqlite", "nowhere.db")
	x.run(good, "migrate", "diff", "a")
	before := x.read("migrations/schema.json")
	x.run(good, "migrate", "diff", "b")
	if x.read("migrations/schema.json") != before {
		t.Error("a run without changes writes")
	}
	x.write("migrations/mysql/0003_c.sql", "")
	x.run(wrong, "migrate", "diff", "b")
	x.wants(x.errs, "must hold files of the same names")
	x.write("migrations/sqlite/0003_c.sql", "")
	x.run(wrong, "migrate", "diff", "b")
	x.wants(x.errs, "should have number 0002")
	for _, d := range []string{"mysql", "sqlite"} {
		if err := os.Remove("migrations/" + d + "/0003_c.sql"); err != nil {
			t.Fatal(err)
		}
	}
	x.write("migrations/schema.json", `{"format": 99}`)
	x.run(wrong, "migrate", "diff", "b")
	x.wants(x.errs, "format 99")
	if err := os.Remove("migrations/schema.json"); err != nil {
		t.Fatal(err)
	}
	x.run(wrong, "migrate", "diff", "b")
	x.wants(x.errs, "bring it back")
	x.write("migrations/schema.json", before)
	x.run(good, "generate")
	x.run(good, "check")
	x.replace("proto/shop/v1/shop.proto", "  int32 n = 2;", "  int32 n = 2;\n  int32 m = 3;")
	x.run(good, "generate")
	x.run(wrong, "check")
	x.wants(x.errs, "run ffgen migrate diff NAME")
	x.replace("proto/shop/v1/shop.proto", "  int32 m = 3;", "")
	x.replace("proto/shop/v1/shop.proto", "  int32 n = 2;", "")
	x.run(good, "generate")
	x.run(wrong, "check")
	x.wants(x.errs, "run ffgen migrate diff NAME")
	// A default that no line can hold.
	y := shop(t, strings.Replace(tablesProto, `default = "none"`, `default = "a\nb"`, 1))
	y.run(wrong, "migrate", "diff", "a")
	y.wants(y.errs, "control characters")
}
