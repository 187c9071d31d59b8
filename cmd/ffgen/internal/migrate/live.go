package migrate

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"ariga.io/atlas/sql/migrate"
	"ariga.io/atlas/sql/mysql"
	"ariga.io/atlas/sql/schema"
	"ariga.io/atlas/sql/sqlite"

	"github.com/firefly-go/firefly/gen"
)

// inspect reads the declared tables, and those of the snapshot, from the database.
func (f *differ) inspect(d gen.SQLDialect, out map[string]*schema.Table) error {
	names := map[string]string{} // in lower case, as declared
	for _, m := range f.old.Tables {
		names[strings.ToLower(m.Name)] = m.Name
	}
	for _, m := range f.want {
		names[strings.ToLower(m.Name)] = m.Name
	}
	if len(names) == 0 {
		return nil
	}
	var drv migrate.Driver
	var err error
	if d == gen.SQLite {
		drv, err = sqlite.Open(f.o.Live[d])
	} else {
		drv, err = mysql.Open(f.o.Live[d])
	}
	if err != nil {
		return err
	}
	// Which of them there are: a server may keep names in lower case.
	there, err := tableNames(f.ctx, d, f.o.Live[d])
	if err != nil {
		return err
	}
	var ask []string
	for _, n := range there {
		if names[strings.ToLower(n)] != "" {
			ask = append(ask, n)
		}
	}
	if len(ask) == 0 {
		return nil
	}
	s, err := drv.InspectSchema(f.ctx, "", &schema.InspectOptions{Mode: schema.InspectTables, Tables: ask})
	if err != nil {
		return err
	}
	for _, t := range s.Tables {
		name := names[strings.ToLower(t.Name)]
		if other := out[name]; other != nil {
			return fmt.Errorf("there are tables %s and %s, and one declaration; names of tables differ by more than case", other.Name, t.Name)
		}
		out[name] = t
		if d == gen.SQLite {
			if err := f.keyOrder(t); err != nil {
				return err
			}
		}
	}
	return nil
}

// keyOrder puts the key of a table of SQLite into its order; atlas has it in that of the columns.
func (f *differ) keyOrder(t *schema.Table) error {
	if t.PrimaryKey == nil {
		return nil
	}
	rows, err := f.o.Live[gen.SQLite].QueryContext(f.ctx, "SELECT name FROM pragma_table_info(?) WHERE pk > 0 ORDER BY pk", t.Name)
	if err != nil {
		return err
	}
	defer rows.Close()
	var parts []*schema.IndexPart
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return err
		}
		parts = append(parts, &schema.IndexPart{SeqNo: len(parts), C: findColumn(t, name)})
	}
	t.PrimaryKey.Parts = parts
	return rows.Err()
}

func tableNames(ctx context.Context, d gen.SQLDialect, db *sql.DB) ([]string, error) {
	q := "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND TABLE_TYPE = 'BASE TABLE'"
	if d == gen.SQLite {
		q = "SELECT name FROM sqlite_master WHERE type = 'table'"
	}
	rows, err := db.QueryContext(ctx, q)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []string
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, rows.Err()
}

// exists reports whether a query finds a row.
func (f *differ) exists(d gen.SQLDialect, query string) (bool, error) {
	rows, err := f.o.Live[d].QueryContext(f.ctx, query)
	if err != nil {
		return false, err
	}
	defer rows.Close()
	some := rows.Next()
	return some, rows.Err()
}

// Version is the number of the last migration that was run on a database; 0 when there was none.
func Version(ctx context.Context, d gen.SQLDialect, db *sql.DB) (int, error) {
	names, err := tableNames(ctx, d, db)
	if err != nil {
		return 0, err
	}
	for _, n := range names {
		if strings.EqualFold(n, "ff_schema") {
			var v sql.NullInt64
			err := db.QueryRowContext(ctx, "SELECT MAX(version) FROM ff_schema").Scan(&v)
			if errors.Is(err, sql.ErrNoRows) {
				err = nil
			}
			return int(v.Int64), err
		}
	}
	return 0, nil
}
