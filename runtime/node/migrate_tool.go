package node

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"text/tabwriter"
	"time"

	"github.com/firefly-go/firefly/runtime/table/sqlstore"
)

// migrationTime bounds one run of `migrate`: a change of a large table takes hours.
const migrationTime = 24 * time.Hour

func runMigrate(ctx context.Context, g *game, args []string) (int, error) {
	rest, asJSON, err := g.words("migrate", args, word{"up", 0, 0, "none"}, word{"status", 0, 0, "none"})
	if err != nil {
		return 2, err
	}
	if err := g.load(); err != nil {
		return 2, err
	}
	if g.o.Migrations == nil {
		return 1, fmt.Errorf("this game has no migrations: ffgen migrate diff writes them, and node.Options.Migrations takes them into the binary")
	}
	if g.launch.Tables == nil {
		return 1, fmt.Errorf("%s does not say where tables are kept", g.launch.File)
	}
	ctx, cancel := context.WithTimeout(ctx, migrationTime)
	defer cancel()
	if rest[0] == "status" {
		s, err := g.schema(ctx)
		if err != nil {
			return 1, err
		}
		return g.printSchema(s, asJSON)
	}
	done, err := g.migrate(ctx)
	if asJSON {
		names := make([]string, len(done))
		for i := range done {
			names[i] = done[i].String()
		}
		if jsonErr := g.printJSON(names); err == nil {
			err = jsonErr
		}
		return 0, err
	}
	for i := range done {
		fmt.Fprintf(g.stdout, "%s: done\n", &done[i])
	}
	if err == nil && len(done) == 0 {
		fmt.Fprintln(g.stdout, "nothing to do")
	}
	return 0, err
}

// schema tells where the database of the launch file stands.
func (g *game) schema(ctx context.Context) (sqlstore.Schema, error) {
	if g.launch.Tables.Store == storeCached {
		return sqlstore.MySQLSchema(ctx, g.launch.mysqlDSN(os.Getenv), g.o.Migrations)
	}
	return sqlstore.EmbeddedSchema(ctx, filepath.Join(g.data, storeFile), g.o.Migrations)
}

// migrate executes what waits.
func (g *game) migrate(ctx context.Context) ([]sqlstore.Migration, error) {
	log := newLogger(g.stderr, "migrate")
	if g.launch.Tables.Store == storeCached {
		return sqlstore.MigrateMySQL(ctx, g.launch.mysqlDSN(os.Getenv), g.o.Migrations, log)
	}
	if err := g.makeData(); err != nil {
		return nil, err
	}
	return sqlstore.MigrateEmbedded(ctx, filepath.Join(g.data, storeFile), g.o.Migrations, log)
}

// printSchema prints where a database stands. The code is 1 while nodes refuse to work with it.
func (g *game) printSchema(s sqlstore.Schema, asJSON bool) (int, error) {
	code := 0
	if s.Check() != nil {
		code = 1
	}
	if asJSON {
		if s == nil {
			s = sqlstore.Schema{}
		}
		return code, g.printJSON(s)
	}
	w := tabwriter.NewWriter(g.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "MIGRATION\tSTATE\tAT")
	for _, m := range s {
		at := ""
		if !m.At.IsZero() {
			at = m.At.Format(time.RFC3339)
		}
		fmt.Fprintf(w, "%04d_%s\t%s\t%s\n", m.Version, m.Name, m.State, at)
	}
	if err := w.Flush(); err != nil {
		return 1, err
	}
	return code, s.Check()
}
