package sqlstore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"time"

	"github.com/firefly-go/firefly/runtime/table"
)

// mysqlTx is a transaction on a connection of its own. Unlike a sql.Tx it ends its COMMIT with ctx too.
type mysqlTx struct {
	m    *MySQL
	conn *sql.Conn
}

// rollbackWithin bounds a ROLLBACK; the connection of one that takes longer is closed, which does the same.
const rollbackWithin = 2 * time.Second

// deadlockTries is how often something runs that the database undoes because of a deadlock. Our transactions lock
// in one order; those of others, and unique indexes, do not.
const deadlockTries = 5

// again runs f, and runs it anew after a deadlock.
func again(f func() error) (err error) {
	for range deadlockTries {
		if err = f(); !isDeadlock(err) {
			break
		}
	}
	return err
}

// inTx runs f in a transaction and commits it. f gives its errors with their class; it is called again after a
// deadlock, when nothing of it is left.
func (m *MySQL) inTx(ctx context.Context, f func(tx *mysqlTx) error) error {
	return again(func() error { return m.transact(ctx, f) })
}

// transact is one try of inTx.
func (m *MySQL) transact(ctx context.Context, f func(tx *mysqlTx) error) error {
	conn, err := m.w.Conn(ctx)
	if err != nil {
		return writeError(table.Transient, nil, err)
	}
	defer func() { _ = conn.Close() }()
	tx := &mysqlTx{m: m, conn: conn}
	if _, err := conn.ExecContext(ctx, "START TRANSACTION"); err != nil {
		tx.drop(err)
		return writeError(table.Transient, nil, err)
	}
	if err := f(tx); err != nil {
		tx.drop(err)
		return err
	}
	if _, err := conn.ExecContext(ctx, "COMMIT"); err != nil {
		tx.discard()
		return writeError(commitClass(err), nil, err)
	}
	return nil
}

// drop ends a transaction that came to nothing.
func (tx *mysqlTx) drop(err error) {
	if staleNode(err) {
		tx.discard() // the next connection may lead to the new primary
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), rollbackWithin)
	defer cancel()
	if _, err := tx.conn.ExecContext(ctx, "ROLLBACK"); err != nil {
		tx.discard()
	}
}

// discard closes the connection instead of giving it back to the pool.
func (tx *mysqlTx) discard() {
	_ = tx.conn.Raw(func(any) error { return driver.ErrBadConn })
}

// exec runs a statement; t is the table that it writes, for the error.
func (tx *mysqlTx) exec(ctx context.Context, t *table.Spec, text string, args ...any) error {
	_, err := tx.affect(ctx, t, text, args...)
	return err
}

// affect is exec, and tells what the database says of the rows.
func (tx *mysqlTx) affect(ctx context.Context, t *table.Spec, text string, args ...any) (affected int64, err error) {
	res, err := tx.conn.ExecContext(ctx, text, args...)
	if err != nil {
		return 0, writeError(classOf(err), t, err)
	}
	return res.RowsAffected()
}

// each runs a query and f for every row of it.
func (tx *mysqlTx) each(ctx context.Context, t *table.Spec, text string, args []any, f func(*sql.Rows) error) error {
	rows, err := tx.conn.QueryContext(ctx, text, args...)
	if err != nil {
		return writeError(classOf(err), t, err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		if err := f(rows); err != nil {
			return writeError(table.Transient, t, err)
		}
	}
	if err := rows.Err(); err != nil {
		return writeError(classOf(err), t, err)
	}
	return nil
}
