package sqlstore

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/firefly-go/firefly/runtime/table"
	"github.com/firefly-go/firefly/runtime/table/tabletest"
)

// files are migrations by name, in the folder of a dialect.
func files(d Dialect, texts map[string]string) fstest.MapFS {
	fs := fstest.MapFS{string(d) + "/none": {}}
	delete(fs, string(d)+"/none")
	for name, text := range texts {
		fs[string(d)+"/"+name] = &fstest.MapFile{Data: []byte(text)}
	}
	return fs
}

func TestMigrationFiles(t *testing.T) {
	list, err := Migrations(files(DialectMySQL, map[string]string{
		"0002_more.sql":  "-- none\n",
		"0001_first.sql": "-- a comment;\nCREATE TABLE a (x INT); \r\n\r\nINSERT INTO a\r\n  VALUES (1);\n",
	}), DialectMySQL)
	if err != nil {
		t.Fatal(err)
	}
	if len(list) != 2 || list[0].String() != "0001_first" || list[1].String() != "0002_more" || len(list[1].Statements) != 0 {
		t.Fatalf("%v", list)
	}
	if !slices.Equal(list[0].Statements, []string{"CREATE TABLE a (x INT)", "INSERT INTO a\nVALUES (1)"}) {
		t.Errorf("%q", list[0].Statements)
	}
	// How a checkout ends lines makes no other migration.
	same, err := Migrations(files(DialectMySQL, map[string]string{"0001_first.sql": "-- a comment;\nCREATE TABLE a (x INT); \n\nINSERT INTO a\n  VALUES (1);\n"}), DialectMySQL)
	if err != nil || same[0].Checksum != list[0].Checksum {
		t.Errorf("%v %v", same, err)
	}
	for want, texts := range map[string]map[string]string{
		"no folder mysql":           nil,
		"no name of a migration":    {"1_first.sql": ""},
		"a statement without ;":     {"0001_first.sql": "DROP TABLE a\n"},
		"no migration 1":            {"0002_first.sql": ""},
		"no migration 2":            {"0001_first.sql": "", "0003_third.sql": ""},
		"two migrations with the n": {"0001_first.sql": "", "0001_other.sql": ""},
	} {
		if _, err := Migrations(files(DialectMySQL, texts), DialectMySQL); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

func states(s Schema) (out []string) {
	for i := range s {
		out = append(out, s[i].State)
	}
	return out
}

func wantStates(t *testing.T, s Schema, err error, want ...string) {
	t.Helper()
	if err != nil || !slices.Equal(states(s), want) {
		t.Errorf("the schema is %v %v, want %v", s, err, want)
	}
}

func wantError(t *testing.T, err error, want ...string) {
	t.Helper()
	for _, w := range want {
		if err == nil || !strings.Contains(err.Error(), w) {
			t.Errorf("%v, want %s", err, w)
		}
	}
}

// A store that has the migrations of its game.
func TestMigrateEmbedded(t *testing.T) {
	ctx := t.Context()
	file := filepath.Join(t.TempDir(), "game.db")
	item := tabletest.NewTables("").Item.Spec
	texts := map[string]string{
		"0001_first.sql": SystemSQLite + item.SQLite.Create + "CREATE TABLE IF NOT EXISTS `old` (`id` INTEGER NOT NULL PRIMARY KEY, `n` INTEGER NOT NULL);\nINSERT INTO `old` VALUES (1, 2);\n",
	}
	open := func() (*Embedded, error) {
		return OpenEmbedded(ctx, file, []*table.Spec{item}, EmbeddedOptions{Log: quiet(), Migrations: files(DialectSQLite, texts)})
	}
	schema := func() (Schema, error) { return EmbeddedSchema(ctx, file, files(DialectSQLite, texts)) }
	migrate := func() ([]Migration, error) { return MigrateEmbedded(ctx, file, files(DialectSQLite, texts), quiet()) }

	// No file yet: nothing is made by asking.
	s, err := schema()
	wantStates(t, s, err, Waiting)
	if _, err := os.Stat(file); err == nil {
		t.Error("asking made the file")
	}
	// A new file gets everything.
	e, err := open()
	if err != nil {
		t.Fatal(err)
	}
	s, err = schema() // also while the store runs
	wantStates(t, s, err, Done)
	_, err = migrate()
	wantError(t, err, "another process has the store")
	_ = e.Close()

	// What only adds is executed when the store opens, whether or not it is there.
	texts["0002_more.sql"] = "CREATE INDEX `by_n` ON `old` (`n`);\nALTER TABLE `old` ADD COLUMN `m` INTEGER NOT NULL DEFAULT 0;\nALTER TABLE `item` ADD COLUMN `count` INTEGER NOT NULL DEFAULT 0;\n"
	if e, err = open(); err != nil {
		t.Fatal(err)
	}
	_ = e.Close()
	s, err = schema()
	wantStates(t, s, err, Done, Done)

	// Anything else is left to a person.
	texts["0003_less.sql"] = "-- without m\nALTER TABLE `old` DROP COLUMN `m`;\nUPDATE `old` SET `n` = `n` + 1;\n"
	_, err = open()
	wantError(t, err, "is at migration 2 and this build is at 3", "migrate up", "0003_less", "DROP COLUMN")
	done, err := migrate()
	if err != nil || len(done) != 1 || done[0].Name != "less" {
		t.Errorf("%v %v", done, err)
	}
	if done, err = migrate(); err != nil || len(done) != 0 {
		t.Errorf("again: %v %v", done, err)
	}
	if e, err = open(); err != nil {
		t.Fatal(err)
	}
	var n int
	if err := e.wc.QueryRowContext(ctx, "SELECT `n` FROM `old`").Scan(&n); err != nil || n != 3 {
		t.Errorf("n is %d: %v", n, err)
	}
	_ = e.Close()

	// One that fails leaves nothing behind.
	texts["0004_bad.sql"] = "UPDATE `old` SET `n` = 100;\nUPDATE `old` SET `nn` = 1;\n"
	_, err = migrate()
	wantError(t, err, "migration 0004_bad: statement 2 of 2", "nn")
	s, err = schema()
	wantStates(t, s, err, Done, Done, Done, Waiting)
	texts["0004_bad.sql"] = "UPDATE `old` SET `n` = `n` + 1;\n"
	if _, err = migrate(); err != nil {
		t.Error(err)
	}

	// What ran is not changed afterwards, and a build that is older does not work with it.
	good := texts["0002_more.sql"]
	texts["0002_more.sql"] = "-- ?\n"
	s, err = schema()
	wantStates(t, s, err, Done, Changed, Done, Done)
	_, err = open()
	wantError(t, err, "0002_more is not what the database executed")
	_, err = migrate()
	wantError(t, err, "0002_more is not what the database executed")
	texts["0002_more.sql"] = good
	delete(texts, "0004_bad.sql")
	s, err = schema()
	wantStates(t, s, err, Done, Done, Done, Unknown)
	_, err = open()
	wantError(t, err, "0004_bad and this build does not: a newer build")
}

// A store that followed its declarations by itself meets the migrations that were written afterwards.
func TestMigrateGrown(t *testing.T) {
	file := filepath.Join(t.TempDir(), "game.db")
	item := tabletest.NewTables("").Item.Spec
	open := func(texts map[string]string) (*Embedded, error) {
		o := EmbeddedOptions{Log: quiet()}
		if texts != nil {
			o.Migrations = files(DialectSQLite, texts)
		}
		return OpenEmbedded(t.Context(), file, []*table.Spec{item}, o)
	}
	e, err := open(nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = e.Close()
	e, err = open(map[string]string{
		"0001_first.sql": "CREATE TABLE IF NOT EXISTS `item` (`owner_id` INTEGER NOT NULL, `number` INTEGER NOT NULL, `old` INTEGER, PRIMARY KEY (`owner_id`, `number`));\nCREATE INDEX IF NOT EXISTS `gone` ON `item` (`owner_id`);\n",
		"0002_then.sql":  "ALTER TABLE `item` RENAME COLUMN `number` TO `id`;\nALTER TABLE `item` ADD COLUMN `count` INTEGER NOT NULL DEFAULT 0;\nALTER TABLE `item` DROP COLUMN `old`;\nDROP INDEX `never`;\n",
	})
	if err != nil {
		t.Fatal(err)
	}
	_ = e.Close()
}

func TestMigrateMySQL(t *testing.T) {
	m := maria.Get(t)
	db := m.Open(t, m.Database(t))
	ctx := t.Context()
	texts := map[string]string{"0001_first.sql": "CREATE TABLE a (x INT NOT NULL PRIMARY KEY);\nINSERT INTO a VALUES (1);\n"}
	with := func(f func(m *Migrator)) {
		c, err := db.Conn(ctx)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		m, err := NewMigrator(c, DialectMySQL, files(DialectMySQL, texts), quiet())
		if err != nil {
			t.Fatal(err)
		}
		f(m)
	}
	up := func() (done []Migration, err error) {
		with(func(m *Migrator) { done, err = m.Up(ctx) })
		return done, err
	}
	schema := func() (s Schema, err error) {
		with(func(m *Migrator) { s, err = m.Schema(ctx) })
		return s, err
	}
	s, err := schema()
	wantStates(t, s, err, Waiting)
	wantError(t, s.Check(), "at migration 0 and this build is at 1: run `migrate up` first")
	done, err := up()
	if err != nil || len(done) != 1 {
		t.Fatalf("%v %v", done, err)
	}
	s, err = schema()
	wantStates(t, s, err, Done)
	if err := s.Check(); err != nil || s[0].At.IsZero() || s.Version() != 1 {
		t.Errorf("%v %v", s, err)
	}

	// A failure in the middle: what was done stays, and is not done twice.
	texts["0002_more.sql"] = "ALTER TABLE a ADD COLUMN y INT NOT NULL DEFAULT 0;\nALTER TABLE a ADD COLUMN y INT NOT NULL DEFAULT 1;\nUPDATE a SET y = y + 5;\n"
	for range 2 { // a statement that failed is not taken for one that was executed
		_, err = up()
		wantError(t, err, "migration 0002_more: statement 2 of 3", "Duplicate column")
	}
	s, err = schema()
	wantStates(t, s, err, Done, Half)
	wantError(t, s.Check(), "0002_more stopped after 1 of 3 statements")
	texts["0002_more.sql"] = "ALTER TABLE a ADD COLUMN w INT NOT NULL DEFAULT 0;\nUPDATE a SET y = y + 5;\n"
	_, err = up()
	wantError(t, err, "its first 1 statements were executed and are others now")
	texts["0002_more.sql"] = "ALTER TABLE a ADD COLUMN y INT NOT NULL DEFAULT 0;\nALTER TABLE a ADD COLUMN z INT NOT NULL DEFAULT 1;\nUPDATE a SET y = y + 5;\n"
	if _, err = up(); err != nil {
		t.Fatal(err)
	}
	var y int
	if err := db.QueryRowContext(ctx, "SELECT y FROM a").Scan(&y); err != nil || y != 5 {
		t.Errorf("y is %d: %v", y, err)
	}

	// The process that ran one died behind a statement, before it could note that.
	texts["0003_died.sql"] = "ALTER TABLE a ADD COLUMN v INT;\nUPDATE a SET v = 7;\n"
	with(func(m *Migrator) {
		if err := m.step(ctx, &m.list[2], 0, true); err != nil {
			t.Fatal(err)
		}
		if _, err := m.c.ExecContext(ctx, m.list[2].Statements[0]); err != nil {
			t.Fatal(err)
		}
	})
	if _, err = up(); err != nil {
		t.Fatal(err)
	}
	s, err = schema()
	wantStates(t, s, err, Done, Done, Done)

	// One at a time.
	texts["0004_slow.sql"] = "INSERT INTO a VALUES (9, 9, 9, 9);\n"
	ends := make(chan error, 4)
	for range cap(ends) {
		go func() {
			c, err := db.Conn(ctx)
			if err == nil {
				var m *Migrator
				if m, err = NewMigrator(c, DialectMySQL, files(DialectMySQL, texts), quiet()); err == nil {
					_, err = m.Up(ctx)
				}
				_ = c.Close()
			}
			ends <- err
		}()
	}
	for range cap(ends) {
		if err := <-ends; err != nil {
			t.Error(err)
		}
	}
	delete(texts, "0004_slow.sql")
	s, err = schema()
	wantStates(t, s, err, Done, Done, Done, Unknown)
	wantError(t, s.Check(), "a newer build changed the tables")
}
