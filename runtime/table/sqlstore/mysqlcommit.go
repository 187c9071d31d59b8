package sqlstore

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/table"
)

// The statements of durable commits: whoever inserts the token first decides, C for committed and A for
// aborted.
const (
	sqlTxnPut = "INSERT INTO `ff_txn` (`token`, `state`, `payload`, `at`) VALUES (?, ?, ?, ?)"
	sqlTxnGet = "SELECT `state`, `payload` FROM `ff_txn` WHERE `token` = ?"
)

// CommitDurably implements table.DurableCommits.
func (m *MySQL) CommitDurably(ctx context.Context, token string, payload []byte, shards []int, images []table.Image, sure func(context.Context) error) error {
	sorted := slices.Compact(slices.Sorted(slices.Values(shards)))
	return m.inTx(ctx, func(tx *mysqlTx) error {
		if err := tx.lockShards(ctx, sorted); err != nil {
			return err
		}
		_, err := tx.conn.ExecContext(ctx, sqlTxnPut, token, "C", append([]byte{}, payload...), time.Now().UnixMicro())
		switch {
		case isDuplicate(err):
			return firefly.Conflict.Errorf("%w", table.ErrAborted)
		case err != nil:
			return writeError(classOf(err), nil, err)
		}
		refs := make([]*table.Image, len(images))
		for i := range images {
			refs[i] = &images[i]
		}
		if err := tx.claim(ctx, refs); err != nil {
			return err
		}
		ahead, err := tx.write(ctx, refs, true)
		if err == nil && len(ahead) > 0 {
			return ahead[0].ConflictError()
		}
		if err == nil && sure != nil {
			err = sure(ctx)
		}
		return err
	})
}

// claim refuses new rows whose key a row at another place has. Who makes rows of the same key at two places
// has the locks of two shards; they meet at the key's row in ff_tomb, which is made for that and says nothing
// otherwise.
func (tx *mysqlTx) claim(ctx context.Context, images []*table.Image) error {
	type id struct {
		t *table.Spec
		k table.Key
	}
	deleted := map[id]bool{}
	made := map[*table.Spec][]*table.Image{}
	for _, im := range images {
		switch {
		case im.Deleted:
			deleted[id{im.Table, im.Key}] = true
		case im.Before == nil && im.Table.PlacedApart():
			made[im.Table] = append(made[im.Table], im)
		}
	}
	tables := slices.SortedFunc(maps.Keys(made), func(a, b *table.Spec) int { return strings.Compare(a.Name, b.Name) })
	for _, t := range tables {
		mt, err := tx.m.table(t)
		if err != nil {
			return writeError(table.OfTable, t, err)
		}
		rows := slices.SortedFunc(slices.Values(made[t]), func(a, b *table.Image) int { return strings.Compare(string(a.Key), string(b.Key)) })
		now := time.Now().UnixMicro()
		var buried, keys []any
		at := map[table.Key]*table.Image{}
		for _, im := range rows {
			key, err := t.Values(im.Key)
			if err != nil {
				return writeError(table.OfRow, t, err)
			}
			if other := at[im.Key]; other != nil {
				return &table.ElsewhereError{Ref: other.Ref, Err: im.ExistsError()}
			}
			at[im.Key] = im
			buried = append(buried, t.Name, tombKey(im.Key), 0, now)
			keys = mt.keyArgs(keys, key)
		}
		if err := tx.exec(ctx, nil, inList(sqlBury, sqlBuryRow, sqlBuryEnd, len(rows)), buried...); err != nil {
			return err
		}
		values := make([]table.Value, len(mt.hints))
		sc := mt.scanners.Get().(*mysqlScanner)
		var elsewhere error
		err = tx.each(ctx, t, inList(t.MySQL.GetIn, t.MySQL.GetInRow, t.MySQL.GetInEnd, len(rows)), keys, func(r *sql.Rows) error {
			if _, err := sc.scan(r, values); err != nil {
				return err
			}
			have := t.RefOf(values)
			if im := at[have.Key]; im != nil && im.Place != have.Place && !deleted[id{t, have.Key}] {
				elsewhere = &table.ElsewhereError{Ref: have, Err: im.ExistsError()}
			}
			return nil
		})
		mt.scanners.Put(sc)
		if err == nil {
			err = elsewhere
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// lockShards is epochs for shards that may never have had a flusher.
func (tx *mysqlTx) lockShards(ctx context.Context, shards []int) error {
	have, err := tx.epochs(ctx, shards)
	if err != nil || len(have) == len(shards) {
		return err
	}
	var args []any
	for _, s := range shards {
		if _, ok := have[s]; !ok {
			args = append(args, s)
		}
	}
	return tx.exec(ctx, nil, inList(sqlShardAdd, sqlShardRow, sqlShardEnd, len(args)), args...)
}

// Decide implements table.DurableCommits. It waits for a commit that is being written.
func (m *MySQL) Decide(ctx context.Context, token string) (committed bool, payload []byte, err error) {
	_, err = m.w.ExecContext(ctx, sqlTxnPut, token, "A", []byte{}, time.Now().UnixMicro())
	if err == nil {
		return false, nil, nil
	}
	if !isDuplicate(err) {
		return false, nil, mysqlReadError(ctx, "a durable commit", err)
	}
	var state string
	if err := m.w.QueryRowContext(ctx, sqlTxnGet, token).Scan(&state, &payload); err != nil {
		return false, nil, mysqlReadError(ctx, "a durable commit", err)
	}
	return state == "C", payload, nil
}

func isDuplicate(err error) bool {
	var e *mysql.MySQLError
	return errors.As(err, &e) && e.Number == erDuplicate
}

func isDeadlock(err error) bool {
	var e *mysql.MySQLError
	return errors.As(err, &e) && e.Number == 1213
}

func isUnique(err error) bool {
	var w *table.WriteError
	return errors.As(err, &w) && w.Class == table.OfUnique
}

// notUnique is the error of a row that the database keeps out, with the index when it can be told.
func (tx *mysqlTx) notUnique(ctx context.Context, mt *mysqlTable, im *table.Image) error {
	index := ""
	for i := range mt.spec.Indexes {
		x := &mt.spec.Indexes[i]
		if !x.Unique {
			continue
		}
		var args []any
		for _, c := range x.By {
			args = append(args, mysqlArg(&mt.hints[c], im.Values[c]))
		}
		taken := false
		if err := tx.each(ctx, mt.spec, mt.spec.MySQL.Find[i], append(args, 1), func(*sql.Rows) error { taken = true; return nil }); err != nil {
			return err
		}
		if taken {
			index = x.Name
			break
		}
	}
	if index == "" {
		index = "that only the database has"
	}
	return &table.WriteError{Class: table.OfUnique, Table: mt.spec.Name, Err: im.NotUniqueError(index)}
}

// tombKey is a key as ff_tomb has it: a long one by its hash.
func tombKey(k table.Key) []byte {
	if len(k) <= 500 {
		return []byte(k)
	}
	sum := sha256.Sum256([]byte(k))
	return append([]byte(k[:400]), hex.EncodeToString(sum[:])...)
}

// How long bookkeeping is kept. A cache that is set back by more than tombKept can bring deleted rows
// back; a durable commit is decided long before txnKept.
const (
	tombKept = 24 * time.Hour
	txnKept  = 7 * 24 * time.Hour
)

// The statements that forget, some rows at a time.
const (
	sqlTombPurge      = "DELETE FROM `ff_tomb` WHERE `at` < ? ORDER BY `at` LIMIT 1000"
	sqlTxnPurge       = "DELETE FROM `ff_txn` WHERE `at` < ? ORDER BY `at` LIMIT 1000"
	sqlMySQLOncePurge = "DELETE FROM `ff_once` WHERE `at` < ? ORDER BY `at` LIMIT 1000"
)

// Purge implements table.DurableFlush.
func (m *MySQL) Purge(ctx context.Context) error {
	now := time.Now()
	for _, p := range []struct {
		text string
		kept time.Duration
	}{{sqlTombPurge, tombKept}, {sqlTxnPurge, txnKept}, {sqlMySQLOncePurge, table.OnceKept}} {
		for {
			res, err := m.w.ExecContext(ctx, p.text, now.Add(-p.kept).UnixMicro())
			if err != nil {
				return mysqlReadError(ctx, "what is not needed any more", err)
			}
			if n, _ := res.RowsAffected(); n < 1000 {
				break
			}
		}
	}
	return nil
}
