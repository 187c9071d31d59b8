package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"
	"time"
)

// Migrator brings one database from migration to migration. Those that ran stand in its table
// ff_schema. It is used by one goroutine.
//
// On SQLite a migration is one transaction. MySQL commits every change of a table at once, so there
// the statements that were executed are counted in ff_step, and a migration that failed goes on where
// it stopped.
type Migrator struct {
	c       *sql.Conn
	dialect Dialect
	list    []Migration
	log     *slog.Logger
}

const (
	sqlSchemaSQLite = "CREATE TABLE IF NOT EXISTS `ff_schema` (`version` INTEGER NOT NULL PRIMARY KEY, `name` TEXT NOT NULL, `at` INTEGER NOT NULL, `checksum` TEXT NOT NULL)"
	sqlSchemaMySQL  = "CREATE TABLE IF NOT EXISTS `ff_schema` (`version` INT NOT NULL PRIMARY KEY, `name` VARCHAR(64) NOT NULL, `at` BIGINT NOT NULL, `checksum` CHAR(64) NOT NULL) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin"
	sqlStepMySQL    = "CREATE TABLE IF NOT EXISTS `ff_step` (`version` INT NOT NULL PRIMARY KEY, `executed` INT NOT NULL, `begun` INT NOT NULL, `checksum` CHAR(64) NOT NULL) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin"

	sqlSchemaGet = "SELECT `version`, `name`, `at`, `checksum` FROM `ff_schema` ORDER BY `version`"
	sqlSchemaPut = "INSERT INTO `ff_schema` (`version`, `name`, `at`, `checksum`) VALUES (?, ?, ?, ?)"
	sqlStepGet   = "SELECT `version`, `executed`, `begun`, `checksum` FROM `ff_step`"
	sqlStepPut   = "REPLACE INTO `ff_step` (`version`, `executed`, `begun`, `checksum`) VALUES (?, ?, ?, ?)"
	sqlStepDrop  = "DELETE FROM `ff_step` WHERE `version` = ?"

	sqlHasTableSQLite = "SELECT COUNT(*) FROM `sqlite_master` WHERE `type` = 'table' AND `name` = ?"
	sqlHasTableMySQL  = "SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = ?"
	sqlAnyTableSQLite = "SELECT COUNT(*) FROM `sqlite_master` WHERE `type` = 'table' AND `name` NOT LIKE 'ff\\_%' ESCAPE '\\' AND `name` NOT LIKE 'sqlite\\_%' ESCAPE '\\'"

	sqlLockMySQL   = "SELECT GET_LOCK(CONCAT('ff_schema.', MD5(DATABASE())), 20)"
	sqlUnlockMySQL = "DO RELEASE_LOCK(CONCAT('ff_schema.', MD5(DATABASE())))"
)

// NewMigrator makes a Migrator of the files, see Migrations, over a connection that it alone uses. log
// nil: slog.Default.
func NewMigrator(c *sql.Conn, d Dialect, files fs.FS, log *slog.Logger) (*Migrator, error) {
	list, err := Migrations(files, d)
	if err != nil {
		return nil, err
	}
	if log == nil {
		log = slog.Default()
	}
	return &Migrator{c: c, dialect: d, list: list, log: log}, nil
}

// Schema tells where the database stands; it changes nothing.
func (m *Migrator) Schema(ctx context.Context) (Schema, error) {
	s := make(Schema, len(m.list))
	for i := range m.list {
		s[i] = SchemaStep{Version: m.list[i].Version, Name: m.list[i].Name, State: Waiting}
	}
	if has, err := m.has(ctx, "ff_schema"); err != nil {
		return nil, err
	} else if has {
		if s, err = m.ran(ctx, s); err != nil {
			return nil, err
		}
	}
	half, err := m.half(ctx)
	if err != nil || half == nil {
		return s, err
	}
	i := slices.IndexFunc(s, func(x SchemaStep) bool { return x.Version == half.version })
	if i < 0 {
		return append(s, SchemaStep{Version: half.version, State: Unknown}), nil
	}
	if s[i].State == Waiting {
		s[i].State, s[i].Executed, s[i].Statements = Half, half.executed, len(m.list[i].Statements)
	}
	return s, nil
}

// ran notes in s what ff_schema says.
func (m *Migrator) ran(ctx context.Context, s Schema) (Schema, error) {
	rows, err := m.c.QueryContext(ctx, sqlSchemaGet)
	if err != nil {
		return nil, fmt.Errorf("ff_schema: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		x := SchemaStep{State: Done}
		var at int64
		var sum string
		if err := rows.Scan(&x.Version, &x.Name, &at, &sum); err != nil {
			return nil, fmt.Errorf("ff_schema: %w", err)
		}
		x.At = time.UnixMicro(at).UTC()
		i := x.Version - 1
		if i < 0 || i >= len(m.list) {
			x.State = Unknown
			s = append(s, x)
			continue
		}
		if m.list[i].Checksum != sum {
			x.State = Changed
		}
		s[i] = x
	}
	return s, rows.Err()
}

func (m *Migrator) has(ctx context.Context, name string) (bool, error) {
	q := sqlHasTableSQLite
	if m.dialect == DialectMySQL {
		q = sqlHasTableMySQL
	}
	return m.count(ctx, q, name)
}

func (m *Migrator) count(ctx context.Context, q string, args ...any) (bool, error) {
	var n int
	if err := m.c.QueryRowContext(ctx, q, args...).Scan(&n); err != nil {
		return false, fmt.Errorf("which tables there are: %w", err)
	}
	return n > 0, nil
}

// Up executes what waits and tells which those were. ctx ends the work between two statements at the
// latest; what is named in the result has happened all the same.
func (m *Migrator) Up(ctx context.Context) ([]Migration, error) {
	if m.dialect == DialectMySQL {
		var got sql.NullInt64
		if err := m.c.QueryRowContext(ctx, sqlLockMySQL).Scan(&got); err != nil {
			return nil, fmt.Errorf("the lock of migrations: %w", err)
		}
		if got.Int64 != 1 {
			return nil, errors.New("another process runs migrations on this database")
		}
		defer func() { _, _ = m.c.ExecContext(context.WithoutCancel(ctx), sqlUnlockMySQL) }() // it falls with the connection
	}
	s, err := m.Schema(ctx)
	if err != nil {
		return nil, err
	}
	if i := slices.IndexFunc(s, func(x SchemaStep) bool { return x.State == Unknown || x.State == Changed }); i >= 0 {
		return nil, s.Check()
	}
	var done []Migration
	for i := range m.list {
		if s[i].State == Done {
			continue
		}
		if i+1 < len(s) && slices.ContainsFunc(s[i+1:], func(x SchemaStep) bool { return x.State == Done }) {
			return done, fmt.Errorf("the database has later migrations and not %s", &m.list[i])
		}
		begun := time.Now()
		if err := m.run(ctx, &m.list[i]); err != nil {
			return done, fmt.Errorf("migration %s: %w", &m.list[i], err)
		}
		m.log.Info("a migration ran", "migration", m.list[i].String(), "after", time.Since(begun).Round(time.Millisecond))
		done = append(done, m.list[i])
	}
	return done, nil
}

func (m *Migrator) run(ctx context.Context, x *Migration) error {
	if m.dialect == DialectMySQL {
		return m.runMySQL(ctx, x)
	}
	return m.runSQLite(ctx, x)
}

// failed names the statement of a migration that failed.
func failed(x *Migration, i int, err error) error {
	return fmt.Errorf("statement %d of %d: %w in %s", i+1, len(x.Statements), err, short(x.Statements[i]))
}

// put notes that a migration ran.
func (m *Migrator) put(ctx context.Context, x *Migration) error {
	_, err := m.c.ExecContext(ctx, sqlSchemaPut, x.Version, x.Name, time.Now().UnixMicro(), x.Checksum)
	if err != nil {
		return fmt.Errorf("ff_schema: %w", err)
	}
	return nil
}
