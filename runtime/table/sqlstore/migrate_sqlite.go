package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"regexp"
)

// runSQLite executes a migration in one transaction.
func (m *Migrator) runSQLite(ctx context.Context, x *Migration) (err error) {
	if _, err := m.c.ExecContext(ctx, "BEGIN IMMEDIATE"); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_, _ = m.c.ExecContext(context.WithoutCancel(ctx), "ROLLBACK") // fails when SQLite has rolled back by itself
		}
	}()
	if _, err := m.c.ExecContext(ctx, sqlSchemaSQLite); err != nil {
		return err
	}
	for i, s := range x.Statements {
		there, err := m.there(ctx, s)
		if err != nil {
			return failed(x, i, err)
		}
		if there {
			m.log.Info("the store has this already", "migration", x.String(), "statement", short(s))
			continue
		}
		if _, err := m.c.ExecContext(ctx, s); err != nil {
			return failed(x, i, err)
		}
	}
	if err := m.put(ctx, x); err != nil {
		return err
	}
	_, err = m.c.ExecContext(ctx, "COMMIT")
	return err
}

const sqliteName = "[`\"]?(\\w+)[`\"]?"

var (
	addColumn    = regexp.MustCompile(`(?is)^ALTER\s+TABLE\s+` + sqliteName + `\s+ADD\s+COLUMN\s+` + sqliteName + `\s`)
	dropColumn   = regexp.MustCompile(`(?is)^ALTER\s+TABLE\s+` + sqliteName + `\s+DROP\s+COLUMN\s+` + sqliteName + `$`)
	renameColumn = regexp.MustCompile(`(?is)^ALTER\s+TABLE\s+` + sqliteName + `\s+RENAME\s+COLUMN\s+` + sqliteName + `\s+TO\s+` + sqliteName + `$`)
	createIndex  = regexp.MustCompile(`(?is)^CREATE\s+(?:UNIQUE\s+)?INDEX\s+(?:IF\s+NOT\s+EXISTS\s+)?` + sqliteName + `\s+ON\s`)
	dropIndex    = regexp.MustCompile(`(?is)^DROP\s+INDEX\s+` + sqliteName + `$`)
	createTable  = regexp.MustCompile(`(?is)^CREATE\s+TABLE\s+IF\s+NOT\s+EXISTS\s`)
)

const (
	sqlHasColumnSQLite = "SELECT COUNT(*) FROM pragma_table_info(?) WHERE `name` = ?"
	sqlHasIndexSQLite  = "SELECT COUNT(*) FROM `sqlite_master` WHERE `type` = 'index' AND `name` = ?"
)

// there reports whether a statement has nothing to do. An embedded store follows the declarations by
// itself where that loses nothing, so it may be ahead of the migrations that were written later.
func (m *Migrator) there(ctx context.Context, s string) (bool, error) {
	if x := addColumn.FindStringSubmatch(s); x != nil {
		return m.count(ctx, sqlHasColumnSQLite, x[1], x[2])
	}
	if x := createIndex.FindStringSubmatch(s); x != nil {
		return m.count(ctx, sqlHasIndexSQLite, x[1])
	}
	if x := dropIndex.FindStringSubmatch(s); x != nil {
		has, err := m.count(ctx, sqlHasIndexSQLite, x[1])
		return !has, err
	}
	if x := dropColumn.FindStringSubmatch(s); x != nil {
		table, err := m.has(ctx, x[1])
		if err != nil || !table {
			return false, err
		}
		has, err := m.count(ctx, sqlHasColumnSQLite, x[1], x[2])
		return !has, err
	}
	if x := renameColumn.FindStringSubmatch(s); x != nil {
		from, err := m.count(ctx, sqlHasColumnSQLite, x[1], x[2])
		if err != nil || from {
			return false, err
		}
		return m.count(ctx, sqlHasColumnSQLite, x[1], x[3])
	}
	return false, nil
}

// additive reports whether a statement only adds, or has nothing to do.
func (m *Migrator) additive(ctx context.Context, s string) (bool, error) {
	if createTable.MatchString(s) || addColumn.MatchString(s) || createIndex.MatchString(s) {
		return true, nil
	}
	return m.there(ctx, s)
}

// settle is what an embedded store does with the migrations when it opens: a new file gets them all, and
// those that only add are executed. Anything else is left to a person: the error says so.
func (m *Migrator) settle(ctx context.Context) error {
	s, err := m.Schema(ctx)
	if err != nil {
		return err
	}
	some, err := m.count(ctx, sqlAnyTableSQLite)
	if err != nil {
		return err
	}
	for i := range m.list {
		if s[i].State != Waiting || !some {
			continue
		}
		for _, text := range m.list[i].Statements {
			ok, err := m.additive(ctx, text)
			if err != nil {
				return err
			}
			if !ok {
				return fmt.Errorf("%w; %s does more than add: %s", s.Check(), &m.list[i], short(text))
			}
		}
	}
	_, err = m.Up(ctx)
	return err
}

// EmbeddedSchema tells where an embedded store stands, which may be open in another process meanwhile.
func EmbeddedSchema(ctx context.Context, file string, files fs.FS) (s Schema, err error) {
	name := sqliteURL(file) + "?mode=ro&_pragma=busy_timeout(10000)"
	if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
		name = ":memory:"
	}
	err = onConn(ctx, name, files, slog.Default(), func(m *Migrator) (err error) {
		s, err = m.Schema(ctx)
		return err
	})
	return s, err
}

// MigrateEmbedded executes the migrations that an embedded store does not have, and tells which those were. It
// refuses while another process has the store.
func MigrateEmbedded(ctx context.Context, file string, files fs.FS, log *slog.Logger) (done []Migration, err error) {
	lock, err := lockFile(file + ".lock")
	if err != nil {
		return nil, err
	}
	defer lock.Close()
	name := sqliteURL(file) + "?_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=foreign_keys(0)"
	err = onConn(ctx, name, files, log, func(m *Migrator) (err error) {
		done, err = m.Up(ctx)
		return err
	})
	return done, err
}

func onConn(ctx context.Context, name string, files fs.FS, log *slog.Logger, f func(*Migrator) error) error {
	db, err := sql.Open("sqlite", name)
	if err != nil {
		return err
	}
	defer db.Close()
	c, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	m, err := NewMigrator(c, DialectSQLite, files, log)
	if err != nil {
		return err
	}
	return f(m)
}
