package sqlstore

import (
	"context"
	"fmt"
	"strings"

	"github.com/firefly-go/firefly/runtime/table"
)

const (
	sqlTableInfo = "SELECT `name`, `type`, `pk` FROM pragma_table_info(?)"
	sqlIndexList = "SELECT `name`, `unique` FROM pragma_index_list(?) WHERE `origin` = 'c'"
)

// ensure makes the table of t where it is missing and adds what its declaration has more. Whatever else
// differs is refused: rows are not guessed into another shape.
func (e *Embedded) ensure(ctx context.Context, t *table.Spec) error {
	have, keys, err := e.columns(ctx, t.Name)
	if err != nil {
		return err
	}
	if len(have) == 0 {
		e.o.Log.Info("the store makes a table", "table", t.Name)
		return execAll(ctx, e.wc, t.SQLite.Create)
	}
	for i, c := range t.Key {
		name := t.Columns[c].Name
		if i >= len(keys) || keys[i] != name {
			return fmt.Errorf("table %s has the key %s, and the declaration has another one: write a migration that copies its rows (ffgen migrate diff), or begin with an empty store",
				t.Name, strings.Join(keys, ", "))
		}
	}
	if len(keys) != len(t.Key) {
		return fmt.Errorf("table %s has the key %s, and the declaration has fewer columns in it: write a migration that copies its rows (ffgen migrate diff), or begin with an empty store",
			t.Name, strings.Join(keys, ", "))
	}
	for i := range t.Columns {
		name := t.Columns[i].Name
		typ, ok := have[name]
		if !ok {
			e.o.Log.Info("the store adds a column", "table", t.Name, "column", name)
			if err := execAll(ctx, e.wc, t.SQLite.Adds[i]); err != nil {
				return err
			}
			continue
		}
		if !strings.EqualFold(typ, t.SQLite.Types[i]) {
			return fmt.Errorf("table %s: column %s is %s in the store and %s in the declaration: give the field a new number and name, or write a migration (ffgen migrate diff)",
				t.Name, name, typ, t.SQLite.Types[i])
		}
		delete(have, name)
	}
	delete(have, "ff_v")
	for name := range have {
		e.o.Log.Info("the store has a column that is not declared", "table", t.Name, "column", name)
	}
	return e.ensureIndexes(ctx, t)
}

// columns are the types by column, and the columns of the key in its order.
func (e *Embedded) columns(ctx context.Context, name string) (types map[string]string, keys []string, err error) {
	rows, err := e.wc.QueryContext(ctx, sqlTableInfo, name)
	if err != nil {
		return nil, nil, err
	}
	defer rows.Close()
	types = map[string]string{}
	byPlace := map[int]string{}
	for rows.Next() {
		var column, typ string
		var pk int
		if err := rows.Scan(&column, &typ, &pk); err != nil {
			return nil, nil, err
		}
		types[column] = typ
		if pk > 0 {
			byPlace[pk] = column
		}
	}
	for i := 1; byPlace[i] != ""; i++ {
		keys = append(keys, byPlace[i])
	}
	return types, keys, rows.Err()
}

// ensureIndexes makes the indexes that are missing. One whose rows are not unique, and must be, is refused
// by the database with the columns that they share.
func (e *Embedded) ensureIndexes(ctx context.Context, t *table.Spec) error {
	rows, err := e.wc.QueryContext(ctx, sqlIndexList, t.Name)
	if err != nil {
		return err
	}
	defer rows.Close()
	have := map[string]bool{}
	for rows.Next() {
		var name string
		var unique bool
		if err := rows.Scan(&name, &unique); err != nil {
			return err
		}
		have[name] = unique
	}
	if err := rows.Err(); err != nil {
		return err
	}
	rows.Close()
	for i, text := range t.SQLite.Indexes {
		name := indexName(text)
		unique, ok := have[name]
		if ok && unique == t.Indexes[i].Unique {
			continue
		}
		if ok {
			if _, err := e.wc.ExecContext(ctx, "DROP INDEX `"+name+"`"); err != nil {
				return err
			}
		}
		e.o.Log.Info("the store makes an index", "table", t.Name, "index", name)
		if err := execAll(ctx, e.wc, text); err != nil {
			return err
		}
	}
	return nil
}

// indexName is the first quoted name of a CREATE INDEX.
func indexName(text string) string {
	_, rest, _ := strings.Cut(text, "`")
	name, _, _ := strings.Cut(rest, "`")
	return name
}
