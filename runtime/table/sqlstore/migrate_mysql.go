package sqlstore

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
)

// halfDone is a migration that stopped in the middle.
type halfDone struct {
	version, executed int
	begun             bool   // the next statement may have been executed too
	checksum          string // of what was executed
}

// half gives the one that stopped in the middle, nil without one.
func (m *Migrator) half(ctx context.Context) (*halfDone, error) {
	if m.dialect != DialectMySQL {
		return nil, nil
	}
	if has, err := m.has(ctx, "ff_step"); err != nil || !has {
		return nil, err
	}
	h := &halfDone{}
	err := m.c.QueryRowContext(ctx, sqlStepGet).Scan(&h.version, &h.executed, &h.begun, &h.checksum)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("ff_step: %w", err)
	}
	return h, nil
}

// prefix is the checksum of the first n statements. Those behind may be corrected after a failure.
func prefix(x *Migration, n int) string {
	sum := sha256.Sum256([]byte(strings.Join(x.Statements[:n], ";\n")))
	return hex.EncodeToString(sum[:])
}

// runMySQL executes a migration, or what is left of it.
func (m *Migrator) runMySQL(ctx context.Context, x *Migration) error {
	for _, s := range []string{sqlSchemaMySQL, sqlStepMySQL} {
		if _, err := m.c.ExecContext(ctx, s); err != nil {
			return err
		}
	}
	h, err := m.half(ctx)
	if err != nil {
		return err
	}
	first, unsure := 0, false
	if h != nil {
		if h.version != x.Version {
			return fmt.Errorf("migration %d stopped in the middle and is not the next one", h.version)
		}
		if h.executed > len(x.Statements) || prefix(x, h.executed) != h.checksum {
			return fmt.Errorf("its first %d statements were executed and are others now: bring them back as they were", h.executed)
		}
		first, unsure = h.executed, h.begun
	}
	if err := m.step(ctx, x, first, true); err != nil {
		return err
	}
	for i := first; i < len(x.Statements); i++ {
		if _, err := m.c.ExecContext(ctx, x.Statements[i]); err != nil && !(unsure && i == first && happened(err)) {
			var me *mysql.MySQLError
			if errors.As(err, &me) {
				err = errors.Join(err, m.step(ctx, x, i, false))
			}
			return failed(x, i, err)
		}
		if err := m.step(ctx, x, i+1, true); err != nil {
			return err
		}
	}
	if _, err := m.c.ExecContext(ctx, "START TRANSACTION"); err != nil {
		return err
	}
	err = m.put(ctx, x)
	if err == nil {
		_, err = m.c.ExecContext(ctx, sqlStepDrop, x.Version)
	}
	if err == nil {
		_, err = m.c.ExecContext(ctx, "COMMIT")
	}
	if err != nil {
		_, _ = m.c.ExecContext(context.WithoutCancel(ctx), "ROLLBACK") // or the connection is gone
	}
	return err
}

// step notes how many statements of a migration were executed, and whether the next one begins.
func (m *Migrator) step(ctx context.Context, x *Migration, executed int, begun bool) error {
	if _, err := m.c.ExecContext(ctx, sqlStepPut, x.Version, executed, begun, prefix(x, executed)); err != nil {
		return fmt.Errorf("ff_step, after statement %d: %w", executed, err)
	}
	return nil
}

// happened reports whether an error says that the statement was executed before: the process, or its
// connection, ended after it and before that was noted.
func happened(err error) bool {
	var me *mysql.MySQLError
	if !errors.As(err, &me) {
		return false
	}
	switch me.Number {
	case 1050, // the table is there
		1051, // an unknown table is dropped
		1060, // the column is there
		1061, // the index is there
		1091: // a column or an index that is not there is dropped
		return true
	}
	return false
}

// MySQLSchema tells where a database stands. dsn is that of OpenMySQL.
func MySQLSchema(ctx context.Context, dsn string, files fs.FS) (s Schema, err error) {
	err = onMySQL(ctx, dsn, files, nil, func(m *Migrator) (err error) {
		s, err = m.Schema(ctx)
		return err
	})
	return s, err
}

// MigrateMySQL executes the migrations that a database does not have, and tells which those were.
func MigrateMySQL(ctx context.Context, dsn string, files fs.FS, log *slog.Logger) (done []Migration, err error) {
	err = onMySQL(ctx, dsn, files, log, func(m *Migrator) (err error) {
		done, err = m.Up(ctx)
		return err
	})
	return done, err
}

func onMySQL(ctx context.Context, dsn string, files fs.FS, log *slog.Logger, f func(*Migrator) error) error {
	config, err := mysql.ParseDSN(dsn)
	if err != nil {
		return errors.New("the address of the database is no user:password@tcp(host:port)/database") // its text has the password
	}
	config.Timeout = 5 * time.Second
	config.Logger = &mysql.NopLogger{}
	conn, err := mysql.NewConnector(config)
	if err != nil {
		return err
	}
	db := sql.OpenDB(conn)
	defer db.Close()
	c, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	m, err := NewMigrator(c, DialectMySQL, files, log)
	if err != nil {
		return err
	}
	return f(m)
}
