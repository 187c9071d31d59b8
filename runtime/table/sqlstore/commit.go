package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"strings"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/table"
)

// commit executes c: all ops are judged first, by what is there, and then written. A *firefly.Error is
// that of c; any other one is the database's.
func (e *Embedded) commit(ctx context.Context, c *table.Commit) error {
	if c.Once != "" {
		var token int64
		err := e.onceGet.QueryRowContext(ctx, string(c.Ops[0].Place), c.Once).Scan(&token)
		switch {
		case err == nil && uint64(token) == c.Token:
			return nil // this very commit was executed before
		case err == nil:
			return table.OnceError(c.Once)
		case !errors.Is(err, sql.ErrNoRows):
			return err
		}
		if _, err := e.oncePut.ExecContext(ctx, string(c.Ops[0].Place), c.Once, int64(c.Token), time.Now().UnixMicro()); err != nil {
			return err
		}
	}
	e.high++
	version := e.high
	after := make([][]table.Value, len(c.Ops)) // nil: not written
	for i := range c.Ops {
		var err error
		if after[i], err = e.judge(ctx, c, &c.Ops[i]); err != nil {
			return err
		}
	}
	// First everything goes that gives values of unique indexes free.
	for i := range c.Ops {
		op := &c.Ops[i]
		if op.Kind != table.Delete && !(after[i] != nil && op.Kind == table.Update && len(c.Ops) > 1 && changesUnique(op)) {
			continue
		}
		if err := e.remove(ctx, op.Ref, version); err != nil {
			return err
		}
	}
	for i := range c.Ops {
		if after[i] == nil {
			continue
		}
		if err := e.put(ctx, c.Ops[i].Ref, after[i], version); err != nil {
			return err
		}
		c.Ops[i].Version = version
	}
	return nil
}

// judge looks whether an op can be done and gives the row as it will be; nil: nothing is written.
func (e *Embedded) judge(ctx context.Context, c *table.Commit, op *table.Op) ([]table.Value, error) {
	row, err := readRow(ctx, e.specs[op.Table].wget, newScanner(op.Table), op.Ref)
	if err != nil {
		return nil, err
	}
	if row.Place != op.Place && (op.Kind != table.Insert || c.Deletes(row.Ref)) {
		row = table.Row{}
	}
	switch {
	case op.Kind == table.Insert || op.Kind == table.CheckAbsent:
		if row.Version != 0 {
			return nil, op.ExistsError()
		}
		if op.Kind == table.CheckAbsent {
			return nil, nil
		}
		return inserted(op), nil
	case row.Version == 0 && op.If != 0:
		return nil, op.ConflictError() // it was there when it was read
	case row.Version == 0:
		return nil, op.NotFoundError()
	case op.If != 0 && op.If != row.Version:
		return nil, op.ConflictError()
	case op.Kind == table.Check:
		op.Version = row.Version
		return nil, nil
	case op.Kind == table.Delete:
		return nil, nil
	}
	values := row.Values
	for _, s := range op.Set {
		values[s.Column] = s.Value
	}
	op.Sums = nil
	for _, a := range op.Add {
		v, err := op.Table.Sum(op.Ref, a.Column, values[a.Column], a.Delta)
		if err != nil {
			return nil, err
		}
		values[a.Column] = v
		op.Sums = append(op.Sums, v.Int())
	}
	return values, nil
}

// inserted is the row of an Insert: what it does not set is empty.
func inserted(op *table.Op) []table.Value {
	values := make([]table.Value, len(op.Table.Columns))
	for i := range values {
		if !op.Table.Columns[i].Nullable {
			values[i] = table.Zero(op.Table.Columns[i].Kind)
		}
	}
	for _, s := range op.Set {
		values[s.Column] = s.Value
	}
	return values
}

func changesUnique(op *table.Op) bool {
	return slices.ContainsFunc(op.Table.Indexes, func(x table.Index) bool {
		return x.Unique && slices.ContainsFunc(x.By, op.Sets)
	})
}

func (e *Embedded) remove(ctx context.Context, ref table.Ref, version uint64) error {
	key, err := ref.Table.Values(ref.Key)
	if err != nil {
		return err
	}
	_, err = e.specs[ref.Table].del.ExecContext(ctx, append(args(make([]any, 0, 5), key), int64(version))...)
	return err
}

func (e *Embedded) put(ctx context.Context, ref table.Ref, values []table.Value, version uint64) error {
	as := append(args(make([]any, 0, len(values)+1), values), int64(version))
	_, err := e.specs[ref.Table].upsert.ExecContext(ctx, as...)
	var se *sqlite.Error
	if !errors.As(err, &se) {
		return err
	}
	switch se.Code() {
	case sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY:
		return ref.NotUniqueError(uniqueIndex(ref.Table, se.Error()))
	}
	if se.Code()&0xff == sqlite3.SQLITE_CONSTRAINT || se.Code()&0xff == sqlite3.SQLITE_MISMATCH || se.Code()&0xff == sqlite3.SQLITE_TOOBIG {
		return firefly.InvalidArgument.Errorf("%s: the store does not take it: %w", ref, err)
	}
	return err
}

// uniqueIndex finds which index SQLite means by "UNIQUE constraint failed: player.name".
func uniqueIndex(t *table.Spec, text string) string {
	for i := range t.Indexes {
		x := &t.Indexes[i]
		if x.Unique && !slices.ContainsFunc(x.By, func(c int) bool { return !strings.Contains(text, t.Name+"."+t.Columns[c].Name) }) {
			return x.Name
		}
	}
	return ""
}

// reserve takes n numbers of a table, behind those that its rows have.
func (e *Embedded) reserve(ctx context.Context, t *table.Spec, n int) (int64, error) {
	var next int64
	err := e.seqGet.QueryRowContext(ctx, t.Name).Scan(&next)
	if errors.Is(err, sql.ErrNoRows) {
		var highest sql.NullInt64
		if err := e.wc.QueryRowContext(ctx, t.SQLite.MaxID).Scan(&highest); err != nil {
			return 0, err
		}
		next = max(highest.Int64, 0) + 1
	} else if err != nil {
		return 0, err
	}
	if next+int64(n) < next {
		return 0, firefly.OutOfRange.Errorf("%s has no numbers left", t.Name)
	}
	_, err = e.seqPut.ExecContext(ctx, t.Name, next+int64(n))
	return next, err
}
