package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"math"
	"strings"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/table"
)

// loadChunk is how many rows a statement loads at most, and loadPrepared the sizes of prepared ones, for
// tables that need them; what is left of a size repeats the last key.
const loadChunk = 500

var loadPrepared = [...]int{8, 64, loadChunk}

// sqlSettled stands behind a query that waits for transactions which have written its rows.
const sqlSettled = " LOCK IN SHARE MODE"

// settle runs a query, settled when that is wanted: then it may be in a deadlock with the transactions that it
// waits for.
func settle(settled bool, query func(end string) error) error {
	if !settled {
		return query("")
	}
	return again(func() error { return query(sqlSettled) })
}

// Load implements table.DurableReads. Values that out has are used again.
func (m *MySQL) Load(ctx context.Context, refs []table.Ref, out []table.Row, settled bool) error {
	for i := range refs {
		out[i].Ref, out[i].Version = refs[i], 0
	}
	for len(refs) > 0 {
		// The rows of one table that stand together; callers sort them.
		n := 1
		for n < len(refs) && n < loadChunk && refs[n].Table == refs[0].Table {
			n++
		}
		mt, err := m.table(refs[0].Table)
		if err != nil {
			return err
		}
		if err := m.loadRows(ctx, mt, refs[:n], out[:n], settled); err != nil {
			return mysqlReadError(ctx, mt.spec.Name, err)
		}
		refs, out = refs[n:], out[n:]
	}
	return nil
}

func (m *MySQL) loadRows(ctx context.Context, mt *mysqlTable, refs []table.Ref, out []table.Row, settled bool) error {
	if len(refs) == 1 && !settled {
		return m.gather.load(ctx, mt, &out[0])
	}
	return settle(settled, func(end string) error {
		if len(refs) == 1 {
			return m.loadOne(ctx, mt, &out[0], end)
		}
		return m.loadMany(ctx, mt, refs, out, end)
	})
}

// loadOne is the way of most loads: a prepared statement.
func (m *MySQL) loadOne(ctx context.Context, mt *mysqlTable, row *table.Row, end string) error {
	key, err := mt.spec.Values(row.Key)
	if err != nil {
		return err
	}
	st, err := m.stmt(ctx, mt, mt.spec.MySQL.Get+end)
	if err != nil {
		return err
	}
	rows, err := st.QueryContext(ctx, mt.keyArgs(make([]any, 0, 4), key)...)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	if !rows.Next() {
		return rows.Err()
	}
	values := sized(row.Values, len(mt.hints))
	sc := mt.scanners.Get().(*mysqlScanner)
	version, err := sc.scan(rows, values)
	mt.scanners.Put(sc)
	if err != nil {
		return err
	}
	for i, c := range mt.spec.Key {
		if values[c] != key[i] {
			return rows.Close() // the column does not tell them apart, and we do
		}
	}
	if mt.spec.Place != mt.spec.Key[0] && table.PlaceOf(values[mt.spec.Place]) != row.Place {
		return rows.Close() // it lies elsewhere
	}
	row.Version, row.Values = stored(version), values
	return rows.Close()
}

// stored is the version of a row that is there: rows that were there before the column ff_v have 0.
func stored(version uint64) uint64 { return max(version, 1) }

func sized(v []table.Value, n int) []table.Value {
	if cap(v) >= n {
		return v[:n]
	}
	return make([]table.Value, n)
}

func (mt *mysqlTable) keyArgs(dst []any, key []table.Value) []any {
	for i, v := range key {
		dst = append(dst, mysqlArg(&mt.hints[mt.spec.Key[i]], v))
	}
	return dst
}

func (m *MySQL) loadMany(ctx context.Context, mt *mysqlTable, refs []table.Ref, out []table.Row, end string) error {
	q := &mt.spec.MySQL
	size := len(refs)
	if mt.exact {
		for _, size = range loadPrepared {
			if size >= len(refs) {
				break
			}
		}
	}
	at := make(map[table.Key][]int, len(refs)) // a key may be asked for twice
	args := make([]any, 0, size*len(mt.spec.Key))
	for i := range size {
		ref := refs[min(i, len(refs)-1)]
		key, err := mt.spec.Values(ref.Key)
		if err != nil {
			return err
		}
		args = mt.keyArgs(args, key)
		if i < len(refs) {
			at[ref.Key] = append(at[ref.Key], i)
		}
	}
	return m.query(ctx, mt, inList(q.GetIn, q.GetInRow, q.GetInEnd, size)+end, args, func(rows *sql.Rows, sc *mysqlScanner) error {
		var values []table.Value
		for rows.Next() {
			if values == nil {
				values = make([]table.Value, len(mt.hints))
			}
			version, err := sc.scan(rows, values)
			if err != nil {
				return err
			}
			ref := mt.spec.RefOf(values)
			for n, i := range at[ref.Key] {
				if ref.Place != out[i].Place {
					continue
				}
				out[i].Version = stored(version)
				if n == 0 {
					out[i].Values, values = values, nil
				} else {
					out[i].Values = append([]table.Value(nil), out[at[ref.Key][0]].Values...)
				}
			}
		}
		return rows.Err()
	})
}

// query runs a statement that gives whole rows.
func (m *MySQL) query(ctx context.Context, mt *mysqlTable, text string, args []any, f func(*sql.Rows, *mysqlScanner) error) error {
	var rows *sql.Rows
	var err error
	if mt.exact {
		var st *sql.Stmt
		if st, err = m.stmt(ctx, mt, text); err != nil {
			return err
		}
		rows, err = st.QueryContext(ctx, args...)
	} else {
		rows, err = m.r.QueryContext(ctx, text, args...)
	}
	if err != nil {
		return err
	}
	sc := mt.scanners.Get().(*mysqlScanner)
	defer mt.scanners.Put(sc)
	return errors.Join(f(rows, sc), rows.Close())
}

// inList is head + n rows + end.
func inList(head, row, end string, n int) string {
	var b strings.Builder
	b.Grow(len(head) + len(end) + n*(len(row)+2))
	b.WriteString(head)
	for i := range n {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(row)
	}
	b.WriteString(end)
	return b.String()
}

// Find implements table.DurableReads.
func (m *MySQL) Find(ctx context.Context, q *table.Query, settled bool) ([]table.Row, error) {
	mt, err := m.table(q.Table)
	if err != nil {
		return nil, err
	}
	text := mt.spec.MySQL.Find[q.Index]
	args := make([]any, 0, len(q.By)+4)
	for i, v := range q.By {
		args = append(args, mysqlArg(&mt.hints[mt.spec.Indexes[q.Index].By[i]], v))
	}
	if q.After != "" {
		text = mt.spec.MySQL.FindAfter[q.Index]
		key, err := mt.spec.Values(q.After)
		if err != nil {
			return nil, firefly.InvalidArgument.Errorf("%w", err)
		}
		for n := range key {
			args = mt.keyArgs(args, key[:n+1])
		}
	}
	limit := noLimit
	if q.Limit > 0 {
		limit = int64(q.Limit)
	}
	args = append(args, limit)
	var out []table.Row
	err = settle(settled, func(end string) error {
		out = nil
		return m.query(ctx, mt, text+end, args, func(rows *sql.Rows, sc *mysqlScanner) error {
			for rows.Next() {
				values := make([]table.Value, len(mt.hints))
				version, err := sc.scan(rows, values)
				if err != nil {
					return err
				}
				if q.Fits(values) {
					out = append(out, table.Row{Ref: mt.spec.RefOf(values), Version: stored(version), Values: values})
				}
			}
			return rows.Err()
		})
	})
	if err != nil {
		return nil, mysqlReadError(ctx, mt.spec.Name, err)
	}
	return out, nil
}

// The statements of auto ids.
const (
	sqlMySQLSeqNext = "UPDATE `ff_seq` SET `next` = LAST_INSERT_ID(`next` + ?) WHERE `tbl` = ?"
	sqlMySQLSeqSkip = "UPDATE `ff_seq` SET `next` = GREATEST(`next`, ?) WHERE `tbl` = ?"
	sqlMySQLSeqGet  = "SELECT `next` FROM `ff_seq` WHERE `tbl` = ?"
	sqlMySQLSeqSeed = "INSERT INTO `ff_seq` (`tbl`, `next`) VALUES (?, ?) ON DUPLICATE KEY UPDATE `next` = GREATEST(`next`, VALUES(`next`))"
)

// Reserve implements table.DurableReads. Numbers of a call whose answer is lost are lost too.
func (m *MySQL) Reserve(ctx context.Context, t *table.Spec, n int) (first int64, err error) {
	if _, err := m.table(t); err != nil {
		return 0, err
	}
	if n <= 0 {
		return 0, firefly.InvalidArgument.Errorf("%s: %d numbers", t.Name, n)
	}
	for range 3 {
		res, err := m.w.ExecContext(ctx, sqlMySQLSeqNext, n, t.Name)
		if err != nil {
			return 0, mysqlReadError(ctx, t.Name, err)
		}
		if rows, _ := res.RowsAffected(); rows == 0 {
			if err := m.seed(ctx, t); err != nil {
				return 0, mysqlReadError(ctx, t.Name, err)
			}
			continue
		}
		next, _ := res.LastInsertId()
		if last := next - 1; next <= 0 || last > t.Columns[t.Key[len(t.Key)-1]].Max {
			return 0, firefly.OutOfRange.Errorf("%s has no numbers left", t.Name)
		}
		return next - int64(n), nil
	}
	return 0, firefly.Unavailable.Errorf("%s: its row in ff_seq is being removed", t.Name)
}

// Skip implements table.DurableReads.
func (m *MySQL) Skip(ctx context.Context, t *table.Spec, last int64) (next int64, err error) {
	for range 3 {
		if _, err := m.w.ExecContext(ctx, sqlMySQLSeqSkip, uint64(last)+1, t.Name); err != nil {
			return 0, mysqlReadError(ctx, t.Name, err)
		}
		var n uint64
		switch err := m.w.QueryRowContext(ctx, sqlMySQLSeqGet, t.Name).Scan(&n); {
		case err == nil:
			return int64(min(n, math.MaxInt64)), nil
		case !errors.Is(err, sql.ErrNoRows):
			return 0, mysqlReadError(ctx, t.Name, err)
		}
		if err := m.seed(ctx, t); err != nil {
			return 0, mysqlReadError(ctx, t.Name, err)
		}
	}
	return 0, firefly.Unavailable.Errorf("%s: its row in ff_seq is being removed", t.Name)
}

// seed begins behind the numbers that rows have.
func (m *MySQL) seed(ctx context.Context, t *table.Spec) error {
	var highest sql.NullInt64
	if err := m.w.QueryRowContext(ctx, t.MySQL.MaxID).Scan(&highest); err != nil {
		return err
	}
	_, err := m.w.ExecContext(ctx, sqlMySQLSeqSeed, t.Name, max(highest.Int64, 0)+1)
	return err
}
