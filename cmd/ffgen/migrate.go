package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/go-sql-driver/mysql"
	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/firefly-go/firefly/cmd/ffgen/internal/migrate"
	"github.com/firefly-go/firefly/gen"
	"github.com/firefly-go/firefly/idl"
	"github.com/firefly-go/firefly/runtime/table/sqlstore"
)

// migrationsDir is where a game keeps its migrations, below its module root: a folder per dialect
// with the same numbered files in both, the snapshot, and a Go file that embeds them.
const migrationsDir = "migrations"

const embedFile = `// Package migrations holds the statements that make and change the tables of the game, in numbered
// files by dialect. ffgen migrate diff writes the next ones.
package migrations

import "embed"

// Files are mysql/0001_name.sql and so on, and the same names in sqlite. The game's main gives them to
// node.Options.Migrations, and the command migrate of its binary runs them.
//
//go:embed mysql/*.sql sqlite/*.sql
var Files embed.FS
`

var migrationName = regexp.MustCompile(`^[a-z0-9][a-z0-9_]{0,63}$`)

var dialects = []gen.SQLDialect{gen.MySQL, gen.SQLite}

// wordsFlag is a flag that may stand several times and hold several words between commas.
type wordsFlag []string

func (w *wordsFlag) String() string { return strings.Join(*w, ",") }

func (w *wordsFlag) Set(s string) error {
	*w = append(*w, strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == ' ' })...)
	return nil
}

// cmdMigrate writes the next migration: what leads from the tables of the last one, or from those of a
// live database, to the declared ones.
func cmdMigrate(ctx context.Context, c *call) int {
	f, dir := c.flags()
	dsn := f.String("mysql", "", "compare with the tables of this MySQL or MariaDB database: `USER:PASSWORD@tcp(HOST:PORT)/NAME`")
	file := f.String("sqlite", "", "compare with the tables of this SQLite `file`")
	var allow wordsFlag
	f.Var(&allow, "allow", "do this step although it may lose data: drop:TABLE, drop:TABLE.COLUMN, narrow:TABLE.COLUMN, notnull:TABLE.COLUMN, key:TABLE, engine:TABLE or charset:TABLE; may be repeated")
	words, code, ok := c.parse(f, 2)
	if !ok {
		return code
	}
	if words[0] != "diff" {
		fmt.Fprintf(c.stderr, "ffgen migrate has one subcommand, diff; running migrations is the game binary's: migrate up\n")
		return usage
	}
	if !migrationName.MatchString(words[1]) {
		fmt.Fprintf(c.stderr, "%q is no name of a migration; use lower case letters, digits and '_', at most 64\n", words[1])
		return usage
	}
	g, err := openGame(*dir)
	if err != nil {
		return c.fail(err)
	}
	sys, err := g.load(ctx)
	if err != nil {
		return c.fail(err)
	}
	last, err := g.lastMigration()
	if err != nil {
		return c.fail(err)
	}
	o := migrate.Options{Tables: gen.SQLTables(sys), System: systemTables(), Allow: allow}
	if o.Snapshot, err = g.optional(path.Join(migrationsDir, migrate.SnapshotName)); err != nil {
		return c.fail(err)
	}
	if o.Snapshot == nil && last > 0 {
		return c.fail(fmt.Errorf("there are migrations and no %s/%s, which says what they lead to; bring it back from version control", migrationsDir, migrate.SnapshotName))
	}
	if *dsn != "" {
		if o.Live[gen.MySQL], err = openMySQL(ctx, *dsn); err != nil {
			return c.fail(err)
		}
		defer o.Live[gen.MySQL].Close()
	}
	if *file != "" {
		if o.Live[gen.SQLite], err = openSQLite(ctx, *file); err != nil {
			return c.fail(err)
		}
		defer o.Live[gen.SQLite].Close()
	}
	for _, d := range dialects {
		if o.Live[d] == nil {
			continue
		}
		v, err := migrate.Version(ctx, d, o.Live[d])
		if err != nil {
			return c.fail(err)
		}
		if v < last {
			return c.fail(fmt.Errorf("the %s database is at migration %d and the last one is %d; run the game's migrate up on it first", d, v, last))
		}
	}
	r, err := migrate.Diff(ctx, o)
	if err != nil {
		return c.fail(err)
	}
	return c.migration(g, r, last+1, words[1])
}

// behind reports whether a game with migrations needs another one.
func (g *game) behind(ctx context.Context, sys *idl.System) (bool, error) {
	old, err := g.optional(path.Join(migrationsDir, migrate.SnapshotName))
	if err != nil || old == nil {
		return false, err
	}
	r, err := migrate.Diff(ctx, migrate.Options{Tables: gen.SQLTables(sys), System: systemTables(), Snapshot: old})
	return err == nil && (!r.Empty() || len(r.Refused) > 0), err
}

// systemTables are the statements that make what the stores keep for themselves.
func systemTables() (out [2][]string) {
	for d, text := range map[gen.SQLDialect]string{gen.MySQL: sqlstore.SystemMySQL, gen.SQLite: sqlstore.SystemSQLite} {
		for s := range strings.SplitSeq(text, ";\n") {
			if s = strings.TrimSpace(s); s != "" {
				out[d] = append(out[d], s)
			}
		}
	}
	return out
}

// migration writes what was found.
func (c *call) migration(g *game, r *migrate.Result, number int, name string) int {
	for _, n := range r.Notes {
		fmt.Fprintln(c.stderr, "note: "+n)
	}
	for _, a := range r.Unused {
		fmt.Fprintf(c.stderr, "note: --allow %s allows nothing that would be done\n", a)
	}
	if len(r.Refused) > 0 {
		for _, x := range r.Refused {
			x.Pos = g.seenPos(x.Pos)
			fmt.Fprintln(c.stderr, x)
		}
		return wrong
	}
	if r.Empty() {
		fmt.Fprintln(c.stdout, "no change")
		return good
	}
	file := fmt.Sprintf("%04d_%s.sql", number, name)
	var changes []change
	for _, d := range dialects {
		changes = append(changes, change{verb: "new", name: path.Join(migrationsDir, d.String(), file), data: migrationFile(d, r.Steps[d], number, name),
			note: fmt.Sprintf("%d statements", len(r.Steps[d]))})
	}
	if _, err := os.Stat(g.path(path.Join(migrationsDir, "embed.go"))); errors.Is(err, fs.ErrNotExist) {
		changes = append(changes, change{verb: "scaffolded", name: path.Join(migrationsDir, "embed.go"), data: []byte(embedFile)})
	}
	changes = append(changes, change{verb: "changed", name: path.Join(migrationsDir, migrate.SnapshotName), data: r.Snapshot})
	if err := g.apply(changes); err != nil {
		return c.fail(err)
	}
	for _, x := range changes {
		fmt.Fprintln(c.stdout, x)
	}
	return good
}

func migrationFile(d gen.SQLDialect, steps []migrate.Step, number int, name string) []byte {
	what := "MySQL and MariaDB"
	if d == gen.SQLite {
		what = "SQLite"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "-- Migration %d, %s, for %s. Written by ffgen migrate diff; read it before it runs, and do not\n-- change it after it ran anywhere.\n", number, name, what)
	if len(steps) == 0 {
		fmt.Fprintf(&b, "-- There is nothing to do: what changed looks the same in %s.\n", what)
	}
	for _, s := range steps {
		if s.Comment != "" {
			fmt.Fprintf(&b, "\n-- %s\n", s.Comment)
		}
		b.WriteString(s.SQL + ";\n")
	}
	return []byte(b.String())
}

// lastMigration is the highest number in the folders; both have the same files.
func (g *game) lastMigration() (int, error) {
	var names [2][]string
	for _, d := range dialects {
		entries, err := os.ReadDir(g.path(path.Join(migrationsDir, d.String())))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return 0, err
		}
		for _, e := range entries {
			if strings.HasSuffix(e.Name(), ".sql") {
				names[d] = append(names[d], e.Name())
			}
		}
	}
	if !slices.Equal(names[gen.MySQL], names[gen.SQLite]) {
		return 0, fmt.Errorf("%s/mysql and %s/sqlite must hold files of the same names: %v and %v", migrationsDir, migrationsDir, names[gen.MySQL], names[gen.SQLite])
	}
	last := 0
	for i, n := range names[gen.MySQL] {
		digits, _, _ := strings.Cut(n, "_")
		v, err := strconv.Atoi(digits)
		if err != nil || v != i+1 {
			return 0, fmt.Errorf("%s/mysql/%s should have number %04d; migrations are numbered without gaps", migrationsDir, n, i+1)
		}
		last = v
	}
	return last, nil
}

func openMySQL(ctx context.Context, dsn string) (*sql.DB, error) {
	cfg, err := mysql.ParseDSN(dsn)
	if err != nil {
		return nil, fmt.Errorf("--mysql is no data source name like USER:PASSWORD@tcp(HOST:PORT)/NAME: %w", err)
	}
	if cfg.DBName == "" {
		return nil, errors.New("--mysql names no database: USER:PASSWORD@tcp(HOST:PORT)/NAME")
	}
	con, err := mysql.NewConnector(cfg)
	if err != nil {
		return nil, err
	}
	db := sql.OpenDB(con)
	if err := db.PingContext(ctx); err != nil {
		db.Close()
		return nil, fmt.Errorf("MySQL at %s: %w", cfg.Addr, err)
	}
	return db, nil
}

func openSQLite(ctx context.Context, file string) (*sql.DB, error) {
	if _, err := os.Stat(file); err != nil {
		return nil, err
	}
	u := url.URL{Scheme: "file", Opaque: (&url.URL{Path: filepath.ToSlash(file)}).EscapedPath(), RawQuery: "mode=ro&_pragma=busy_timeout(5000)"}
	db, err := sql.Open("sqlite", u.String())
	if err != nil {
		return nil, err
	}
	if err := db.PingContext(ctx); err != nil {
		db.Close()
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return db, nil
}
