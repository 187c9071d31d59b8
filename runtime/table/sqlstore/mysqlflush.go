package sqlstore

import (
	"context"
	"database/sql"
	"slices"
	"strings"
	"time"

	"github.com/firefly-go/firefly/runtime/table"
)

// The statements of the epochs of flushers. A list is `?, ?`.
const (
	sqlFence    = "INSERT INTO `ff_shard` (`shard`, `epoch`, `owner`) VALUES "
	sqlFenceRow = "(?, 1, ?)"
	sqlFenceEnd = " ON DUPLICATE KEY UPDATE `epoch` = `epoch` + 1, `owner` = VALUES(`owner`)"
	sqlEpochs   = "SELECT `shard`, `epoch` FROM `ff_shard` WHERE `shard` IN ("
	sqlLocked   = ") ORDER BY `shard` FOR UPDATE"
	sqlShardAdd = "INSERT INTO `ff_shard` (`shard`, `epoch`, `owner`) VALUES "
	sqlShardRow = "(?, 0, '')"
	sqlShardEnd = " ON DUPLICATE KEY UPDATE `epoch` = `epoch`"
)

// Fence implements table.DurableFlush. It waits for transactions that have the shards.
func (m *MySQL) Fence(ctx context.Context, shards []int, owner string) ([]uint64, error) {
	var epochs map[int]uint64
	sorted := slices.Sorted(slices.Values(shards))
	err := m.inTx(ctx, func(tx *mysqlTx) (err error) {
		args := make([]any, 0, 2*len(sorted))
		for _, s := range sorted {
			args = append(args, s, owner)
		}
		if err := tx.exec(ctx, nil, inList(sqlFence, sqlFenceRow, sqlFenceEnd, len(sorted)), args...); err != nil {
			return err
		}
		epochs, err = tx.epochs(ctx, sorted)
		return err
	})
	if err != nil {
		return nil, err
	}
	out := make([]uint64, len(shards))
	for i, s := range shards {
		out[i] = epochs[s]
	}
	return out, nil
}

// epochs locks the rows of shards, which are sorted, against everybody else who writes rows of them.
func (tx *mysqlTx) epochs(ctx context.Context, shards []int) (map[int]uint64, error) {
	args := make([]any, 0, len(shards))
	for _, s := range shards {
		args = append(args, s)
	}
	out := make(map[int]uint64, len(shards))
	err := tx.each(ctx, nil, inList(sqlEpochs, "?", sqlLocked, len(shards)), args, func(rows *sql.Rows) error {
		var shard int
		var epoch uint64
		err := rows.Scan(&shard, &epoch)
		out[shard] = epoch
		return err
	})
	return out, err
}

// Flush implements table.DurableFlush. An error is a *table.WriteError.
func (m *MySQL) Flush(ctx context.Context, batch []table.ShardBatch, sure func(context.Context) error) (fenced []int, ahead []table.Image, err error) {
	if len(batch) == 0 {
		return nil, nil, nil
	}
	shards := make([]int, 0, len(batch))
	for i := range batch {
		shards = append(shards, batch[i].Shard)
	}
	slices.Sort(shards)
	shards = slices.Compact(shards)
	err = m.inTx(ctx, func(tx *mysqlTx) error {
		fenced, ahead = nil, nil
		epochs, err := tx.epochs(ctx, shards)
		if err != nil {
			return err
		}
		var images []*table.Image
		for i := range batch {
			b := &batch[i]
			if epochs[b.Shard] != b.Epoch {
				fenced = append(fenced, b.Shard)
				continue
			}
			for j := range b.Images {
				images = append(images, &b.Images[j])
			}
		}
		late, err := tx.write(ctx, images, false)
		for _, im := range late {
			ahead = append(ahead, *im)
		}
		if err == nil && sure != nil {
			err = sure(ctx)
		}
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	return fenced, ahead, nil
}

// tableImages are the images of one table, sorted by key.
type tableImages struct {
	mt   *mysqlTable
	rows []keyedImage               // to be written
	gone []keyedImage               // to be deleted
	at   map[table.Key]*table.Image // the newest of a key; there are two when the row has moved to another place
}

type keyedImage struct {
	*table.Image
	key []table.Value
}

// group sorts images by table and key.
func (m *MySQL) group(images []*table.Image) ([]*tableImages, error) {
	by := map[*table.Spec]*tableImages{}
	var out []*tableImages
	for _, im := range images {
		g := by[im.Table]
		if g == nil {
			mt, err := m.table(im.Table)
			if err != nil {
				return nil, writeError(table.OfTable, im.Table, err)
			}
			g = &tableImages{mt: mt, at: map[table.Key]*table.Image{}}
			by[im.Table] = g
			out = append(out, g)
		}
		key, err := im.Table.Values(im.Key)
		if err != nil {
			return nil, writeError(table.OfRow, im.Table, err)
		}
		if im.Deleted {
			g.gone = append(g.gone, keyedImage{im, key})
		} else {
			g.rows = append(g.rows, keyedImage{im, key})
		}
		if old := g.at[im.Key]; old == nil || old.Version < im.Version {
			g.at[im.Key] = im
		}
	}
	slices.SortFunc(out, func(a, b *tableImages) int { return strings.Compare(a.mt.spec.Name, b.mt.spec.Name) })
	for _, g := range out {
		for _, s := range [][]keyedImage{g.rows, g.gone} {
			slices.SortFunc(s, func(a, b keyedImage) int { return slices.CompareFunc(a.key, b.key, table.Compare) })
		}
	}
	return out, nil
}

// write puts the images into their tables and gives those of which something newer is there. force: a value
// of a unique index that one of the images has and another one gives up is no reason to refuse.
func (tx *mysqlTx) write(ctx context.Context, images []*table.Image, force bool) (ahead []*table.Image, err error) {
	groups, err := tx.m.group(images)
	if err != nil || len(groups) == 0 {
		return nil, err
	}
	for _, g := range groups {
		g.rows = slices.DeleteFunc(g.rows, func(r keyedImage) bool {
			if g.at[r.Key] != r.Image {
				ahead = append(ahead, r.Image)
			}
			return g.at[r.Key] != r.Image
		})
	}
	buried, err := tx.tombs(ctx, groups)
	if err != nil {
		return nil, err
	}
	ahead = append(ahead, buried...)
	if err := tx.bury(ctx, groups); err != nil {
		return nil, err
	}
	for _, g := range groups {
		if err := tx.remove(ctx, g.mt, g.gone); err != nil {
			return nil, err
		}
	}
	for _, g := range groups {
		late, err := tx.store(ctx, g, force)
		if err != nil {
			return nil, err
		}
		ahead = append(ahead, late...)
	}
	return ahead, nil
}

// The statements of deleted rows. A delete is remembered so that an older image of the row, in the hands of
// a cache that was set back or of a late flusher, does not bring it back.
const (
	sqlTombs    = "SELECT `tbl`, `pk`, `ff_v` FROM `ff_tomb` WHERE "
	sqlTombsAny = "(SELECT `tbl` FROM `ff_tomb` WHERE `tbl` = ? LIMIT 1)"
	sqlTombsOf  = "(`tbl` = ? AND `pk` IN ("
	sqlTombsEnd = "))"
	sqlBury     = "INSERT INTO `ff_tomb` (`tbl`, `pk`, `ff_v`, `at`) VALUES "
	sqlBuryRow  = "(?, ?, ?, ?)"
	sqlBuryEnd  = " ON DUPLICATE KEY UPDATE `ff_v` = GREATEST(`ff_v`, VALUES(`ff_v`)), `at` = VALUES(`at`)"
)

// fewRows is up to how many rows are asked for by name at once. With more it is asked first whether any row of
// their tables was deleted lately, which is rare.
const fewRows = 16

// tombs takes rows out of groups that were deleted later than they were written.
func (tx *mysqlTx) tombs(ctx context.Context, groups []*tableImages) (ahead []*table.Image, err error) {
	names, rows := map[string]*tableImages{}, 0
	for _, g := range groups {
		if len(g.rows) > 0 {
			names[g.mt.spec.Name] = g
			rows += len(g.rows)
		}
	}
	if rows > fewRows {
		if names, err = tx.anyTombs(ctx, names); err != nil {
			return nil, err
		}
	}
	if len(names) == 0 {
		return nil, nil
	}
	var text strings.Builder
	var args []any
	text.WriteString(sqlTombs)
	for name, g := range names {
		if len(args) > 0 {
			text.WriteString(" OR ")
		}
		text.WriteString(inList(sqlTombsOf, "?", sqlTombsEnd, len(g.rows)))
		args = append(args, name)
		for _, r := range g.rows {
			args = append(args, tombKey(r.Key))
		}
	}
	found := map[*tableImages]map[string]uint64{}
	err = tx.each(ctx, nil, text.String(), args, func(rows *sql.Rows) error {
		var name, pk string
		var version uint64
		if err := rows.Scan(&name, &pk, &version); err != nil {
			return err
		}
		g := names[name]
		if found[g] == nil {
			found[g] = map[string]uint64{}
		}
		found[g][pk] = version
		return nil
	})
	if err != nil {
		return nil, err
	}
	for g, versions := range found {
		g.rows = slices.DeleteFunc(g.rows, func(r keyedImage) bool {
			late := versions[string(tombKey(r.Key))] >= r.Version
			if late {
				ahead = append(ahead, r.Image)
			}
			return late
		})
	}
	return ahead, nil
}

// anyTombs gives those of the tables of which deletes are remembered.
func (tx *mysqlTx) anyTombs(ctx context.Context, names map[string]*tableImages) (map[string]*tableImages, error) {
	args := make([]any, 0, len(names))
	for name := range names {
		args = append(args, name)
	}
	out := map[string]*tableImages{}
	text := strings.Repeat(sqlTombsAny+" UNION ALL ", len(names)-1) + sqlTombsAny
	err := tx.each(ctx, nil, text, args, func(rows *sql.Rows) error {
		var name string
		err := rows.Scan(&name)
		out[name] = names[name]
		return err
	})
	return out, err
}

// bury remembers the deletes of groups.
func (tx *mysqlTx) bury(ctx context.Context, groups []*tableImages) error {
	var args []any
	n, now := 0, time.Now().UnixMicro()
	for _, g := range groups {
		for _, r := range g.gone {
			args = append(args, g.mt.spec.Name, tombKey(r.Key), r.Version, now)
			n++
		}
	}
	if n == 0 {
		return nil
	}
	return tx.exec(ctx, nil, inList(sqlBury, sqlBuryRow, sqlBuryEnd, n), args...)
}

// remove deletes rows that are not newer than the images.
func (tx *mysqlTx) remove(ctx context.Context, mt *mysqlTable, gone []keyedImage) error {
	for chunk := range slices.Chunk(gone, loadChunk) {
		var text strings.Builder
		text.WriteString(mt.spec.MySQL.Delete)
		args := make([]any, 0, len(chunk)*(len(mt.spec.Key)+1))
		for i, r := range chunk {
			if i > 0 {
				text.WriteString(" OR ")
			}
			text.WriteString(mt.spec.MySQL.DeleteRow)
			args = append(mt.keyArgs(args, r.key), r.Version)
		}
		if err := tx.exec(ctx, mt.spec, text.String(), args...); err != nil {
			return err
		}
	}
	return nil
}

// upsertChunk is how many rows a statement writes at most.
const upsertChunk = 2000

// upsert writes rows that are newer than what is there. all: every one of them took the place of an older
// one.
func (tx *mysqlTx) upsert(ctx context.Context, mt *mysqlTable, rows []keyedImage) (all bool, err error) {
	q := &mt.spec.MySQL
	all = true
	for len(rows) > 0 {
		n, size := 0, 0
		for n < len(rows) && n < upsertChunk && (n == 0 || size < tx.m.packet/8) {
			for i := range rows[n].Values {
				size += 24 + len(rows[n].Values[i].Text())
			}
			n++
		}
		args := make([]any, 0, n*(len(mt.hints)+1))
		for _, r := range rows[:n] {
			for i := range r.Values {
				args = append(args, mysqlArg(&mt.hints[i], r.Values[i]))
			}
			args = append(args, r.Version)
		}
		affected, err := tx.affect(ctx, mt.spec, inList(q.Upsert, q.UpsertRow, q.UpsertEnd, n), args...)
		if err != nil {
			return false, err
		}
		// A row counts 2 when it was changed, 1 when it is new, and not at all when it stays as it was.
		all = all && affected == int64(2*n)
		rows = rows[n:]
	}
	return all, nil
}

// store writes the rows of a table and looks what is there then.
func (tx *mysqlTx) store(ctx context.Context, g *tableImages, force bool) (ahead []*table.Image, err error) {
	old, others := older(g.rows)
	all, err := tx.upsert(ctx, g.mt, others)
	if err == nil && len(old) > 0 {
		all, err = false, tx.upsertOlder(ctx, g.mt, old)
	}
	if err != nil && !(force && isUnique(err)) {
		return nil, err
	}
	if err == nil && len(g.gone) == 0 && g.mt.tells {
		// The usual case: all are there as they should be, which is known without reading them back.
		if !all {
			if all, err = tx.same(ctx, g); err != nil {
				return nil, err
			}
		}
		if all {
			return nil, nil
		}
	}
	var have map[table.Key]uint64
	if err == nil {
		if have, err = tx.versions(ctx, g); err != nil {
			return nil, err
		}
	}
	missing := func(r keyedImage) bool { return have[r.Key] == 0 }
	if force && (have == nil || slices.ContainsFunc(g.rows, missing)) {
		// One of the images has a value of a unique index that another one gives up: all go, and come as they
		// will be.
		if err := tx.remove(ctx, g.mt, g.rows); err != nil {
			return nil, err
		}
		if _, err := tx.upsert(ctx, g.mt, g.rows); err != nil {
			return nil, err
		}
		if have, err = tx.versions(ctx, g); err != nil {
			return nil, err
		}
	}
	for _, r := range g.rows {
		switch v := have[r.Key]; {
		case v == 0:
			// Nothing but another row with the same value of a unique index keeps a row out.
			return nil, tx.notUnique(ctx, g.mt, r.Image)
		case v > r.Version:
			ahead = append(ahead, r.Image)
		}
	}
	for _, r := range g.gone {
		if have[r.Key] > r.Version && g.at[r.Key] == r.Image {
			ahead = append(ahead, r.Image)
		}
	}
	return ahead, nil
}

// The sum of the versions that are there, around a statement that reads them.
const sqlSum, sqlSumEnd = "SELECT COUNT(*), COALESCE(SUM(`ff_v`), 0) FROM (", ") AS `rows`"

// same reports whether all rows of g are there in the versions of their images. No row that is there has a
// lower one, so that it is enough to count them and to add their versions.
func (tx *mysqlTx) same(ctx context.Context, g *tableImages) (bool, error) {
	q := &g.mt.spec.MySQL
	for chunk := range slices.Chunk(g.rows, loadChunk) {
		args := make([]any, 0, len(chunk)*len(g.mt.spec.Key))
		var want uint64 // of times in microseconds there is room for 18000
		for _, r := range chunk {
			args = g.mt.keyArgs(args, r.key)
			want += r.Version
		}
		text := sqlSum + inList(q.Versions, q.GetInRow, q.GetInEnd, len(chunk)) + sqlSumEnd
		same := false
		err := tx.each(ctx, g.mt.spec, text, args, func(rows *sql.Rows) error {
			var n int
			var sum uint64
			err := rows.Scan(&n, &sum)
			same = n == len(chunk) && sum == want
			return err
		})
		if err != nil || !same {
			return false, err
		}
	}
	return true, nil
}

// versions reads what rows of g are there, with 1 for a version of 0.
func (tx *mysqlTx) versions(ctx context.Context, g *tableImages) (map[table.Key]uint64, error) {
	mt := g.mt
	have := make(map[table.Key]uint64, len(g.rows)+len(g.gone))
	key := make([]table.Value, len(mt.spec.Key))
	cells := make([]mysqlCell, len(key))
	dst := make([]any, len(key)+1)
	for i := range cells {
		cells[i] = mysqlCell{&key[i], mt.hints[mt.spec.Key[i]]}
		dst[i] = &cells[i]
	}
	var version uint64
	dst[len(key)] = (*versionCell)(&version)
	for _, part := range [][]keyedImage{g.rows, g.gone} {
		for chunk := range slices.Chunk(part, loadChunk) {
			args := make([]any, 0, len(chunk)*len(key))
			for _, r := range chunk {
				args = mt.keyArgs(args, r.key)
			}
			text := inList(mt.spec.MySQL.Versions, mt.spec.MySQL.GetInRow, mt.spec.MySQL.GetInEnd, len(chunk))
			err := tx.each(ctx, mt.spec, text, args, func(rows *sql.Rows) error {
				err := rows.Scan(dst...)
				have[table.KeyOf(key...)] = stored(version)
				return err
			})
			if err != nil {
				return nil, err
			}
		}
	}
	return have, nil
}
