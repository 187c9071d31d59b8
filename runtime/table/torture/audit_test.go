//go:build unix

package torture

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/firefly-go/firefly/runtime/table"
)

// The questions of the audit. What belongs together was written by one transaction, so the database has to
// have all of it or nothing at any moment.
const (
	sqlAccounts = "SELECT COALESCE(SUM(balance), 0), COUNT(*) FROM account"
	sqlBanks    = "SELECT COALESCE(SUM(gold), 0), COUNT(*) FROM player WHERE id BETWEEN 1 AND ?"
	sqlOwners   = "SELECT p.id, CAST(p.gold AS SIGNED) - CAST(p.guild AS SIGNED), COUNT(i.id) FROM player p LEFT JOIN item i ON i.owner_id = p.id" +
		" WHERE p.id BETWEEN 1000 AND 99999 GROUP BY p.id"
	sqlWallets = "SELECT p.id, p.gold FROM player p WHERE p.id > 100000 AND p.name LIKE 'own%'"
	sqlKeys    = "SELECT place, COUNT(*) FROM ff_once GROUP BY place"
	sqlItems   = "SELECT owner_id, id, kind FROM item"
	sqlMails   = "SELECT id, to_id, text FROM mail"
)

// audit looks at the database again and again until ctx ends.
func (r *run) audit(ctx context.Context) {
	for ctx.Err() == nil {
		if err := r.auditOnce(ctx); err == nil {
			r.audits.Add(1)
		}
		select {
		case <-ctx.Done():
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// auditOnce complains about what is torn; an error says that the database does not answer.
func (r *run) auditOnce(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	conn, err := r.db.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() {
		_, _ = conn.ExecContext(context.Background(), "ROLLBACK")
		_ = conn.Close()
	}()
	if _, err := conn.ExecContext(ctx, "START TRANSACTION WITH CONSISTENT SNAPSHOT"); err != nil {
		return err
	}
	var sum, n int64
	if err := conn.QueryRowContext(ctx, sqlAccounts).Scan(&sum, &n); err != nil {
		return err
	}
	if sum != accounts*start || n != accounts {
		r.torn("%d accounts have %d", n, sum-accounts*start)
	}
	if err := conn.QueryRowContext(ctx, sqlBanks, banks).Scan(&sum, &n); err != nil {
		return err
	}
	if sum != banks*start || n != banks {
		r.torn("%d banks have %d", n, sum-banks*start)
	}
	if err := each(ctx, conn, sqlOwners, func(rows *sql.Rows) error {
		var id, has, items int64
		if err := rows.Scan(&id, &has, &items); err != nil {
			return err
		}
		if has != items {
			r.torn("player %d counts %d items and there are %d", id, has, items)
		}
		return nil
	}); err != nil {
		return err
	}
	keys := map[string]int64{}
	if err := each(ctx, conn, sqlKeys, func(rows *sql.Rows) error {
		var place string
		var n int64
		err := rows.Scan(&place, &n)
		keys[place] = n
		return err
	}); err != nil {
		return err
	}
	if err := each(ctx, conn, sqlWallets, func(rows *sql.Rows) error {
		var id, gold int64
		if err := rows.Scan(&id, &gold); err != nil {
			return err
		}
		if n := keys[placeOf(id)]; n != gold {
			r.torn("wallet %d has %d and %d keys were used", id, gold, n)
		}
		return nil
	}); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return each(ctx, conn, sqlItems, func(rows *sql.Rows) error {
		var owner, id, kind int64
		err := rows.Scan(&owner, &id, &kind)
		r.stored[[2]int64{owner, id}] = true
		return err
	})
}

func each(ctx context.Context, conn *sql.Conn, text string, f func(*sql.Rows) error, args ...any) error {
	rows, err := conn.QueryContext(ctx, text, args...)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		if err := f(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// placeOf is the place of a player's keys as ff_once has it.
func placeOf(id int64) string {
	values, err := table.Once.Values(table.OnceRef(table.PlaceOf(table.IntOf(id)), "x").Key)
	if err != nil {
		panic(err)
	}
	return values[table.OncePlace].Text()
}

func (r *run) torn(format string, args ...any) {
	r.Helper()
	r.count(&r.tornN, "torn: "+format, args...)
}

func (r *run) lost(format string, args ...any) {
	r.Helper()
	r.count(&r.lostN, "lost: "+format, args...)
}

func (r *run) doubled(format string, args ...any) {
	r.Helper()
	r.count(&r.doubledN, "doubled: "+format, args...)
}

// count counts what may not be, and tells of the first ones.
func (r *run) count(n *int, format string, args ...any) {
	r.Helper()
	r.mu.Lock()
	*n++
	some := *n <= 10
	r.mu.Unlock()
	if some {
		r.Errorf(format, args...)
	} else {
		r.Fail()
	}
}

func (r *run) String() string {
	return fmt.Sprintf("lost %d, doubled %d, torn %d", r.lostN, r.doubledN, r.tornN)
}
