package sqlstore

import (
	"context"
	"database/sql"
	"slices"
	"strings"

	"github.com/firefly-go/firefly/runtime/table"
)

// older are the rows among rows whose writer was of an older build, which did not know all columns, and the
// others.
func older(rows []keyedImage) (old, others []keyedImage) {
	if !slices.ContainsFunc(rows, func(r keyedImage) bool { return len(r.Unknown) > 0 }) {
		return nil, rows
	}
	for _, r := range rows {
		if len(r.Unknown) > 0 {
			old = append(old, r)
		} else {
			others = append(others, r)
		}
	}
	return old, others
}

// upsertOlder writes rows whose writer did not know all columns. In those stays what is there, or they begin
// with their defaults. The shards are locked, so nobody else writes the rows meanwhile.
func (tx *mysqlTx) upsertOlder(ctx context.Context, mt *mysqlTable, rows []keyedImage) error {
	q := &mt.spec.MySQL
	have := make(map[table.Key][]table.Value, len(rows))
	for chunk := range slices.Chunk(rows, loadChunk) {
		args := make([]any, 0, len(chunk)*len(mt.spec.Key))
		for _, r := range chunk {
			args = mt.keyArgs(args, r.key)
		}
		sc := newMySQLScanner(mt)
		err := tx.each(ctx, mt.spec, inList(q.GetIn, q.GetInRow, q.GetInEnd, len(chunk)), args, func(found *sql.Rows) error {
			values := make([]table.Value, len(mt.hints))
			_, err := sc.scan(found, values)
			have[mt.spec.RefOf(values).Key] = values
			return err
		})
		if err != nil {
			return err
		}
	}
	var whole []keyedImage
	for _, r := range rows {
		there := have[r.Key]
		if there == nil {
			if err := tx.insertOlder(ctx, mt, r); err != nil {
				return err
			}
			continue
		}
		im := *r.Image
		im.Values = slices.Clone(im.Values)
		for _, c := range im.Unknown {
			im.Values[c] = there[c]
		}
		whole = append(whole, keyedImage{&im, r.key})
	}
	_, err := tx.upsert(ctx, mt, whole)
	return err
}

// insertOlder writes a row that is not there; columns that its writer did not know begin with their defaults.
func (tx *mysqlTx) insertOlder(ctx context.Context, mt *mysqlTable, r keyedImage) error {
	marks := strings.SplitAfter(mt.spec.MySQL.UpsertRow, "?") // one part per column, and what is behind the last
	args := make([]any, 0, len(mt.hints)+1)
	for i := range r.Values {
		if slices.Contains(r.Unknown, i) {
			marks[i] = strings.TrimSuffix(marks[i], "?") + "DEFAULT"
		} else {
			args = append(args, mysqlArg(&mt.hints[i], r.Values[i]))
		}
	}
	args = append(args, r.Version)
	return tx.exec(ctx, mt.spec, inList(mt.spec.MySQL.Upsert, strings.Join(marks, ""), mt.spec.MySQL.UpsertEnd, 1), args...)
}
