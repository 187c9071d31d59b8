package table

import (
	"context"

	"github.com/firefly-go/firefly"
)

// NearStore is a Store that keeps copies of rows in the process, of tables with Spec.Near. Stores that are no
// NearStore have no copies, whatever a Spec says.
type NearStore interface {
	Store
	// Near gives the copy of a row, if there is one that may be used. It does not wait. The Values belong to
	// the store.
	Near(ref Ref) (row Row, ok bool)
	// ReadNear is Read, and keeps copies of what it gives.
	ReadNear(ctx context.Context, refs []Ref, out []Row) error
}

// News tells whether writes at some place are heard, so that copies of rows may be used.
type News interface {
	// Term is 0 while writes are not heard. As long as it is the same number as when a copy was made, every write
	// since then was heard that was acknowledged longer ago than the time that CacheNews says.
	Term() uint64
}

// CacheNews is what copies of rows outside of a cache need. It is a part that a Cache may have.
type CacheNews interface {
	// Hear has f called for every write to a row of a table with Spec.Near, by any process, soon after it; version
	// is that of the write, 0 when any copy is old. f may be called twice for a write and for none at all. It is
	// called by several goroutines, and must not wait.
	Hear(f func(ref Ref, version uint64))
	// News is what tells of writes at a place; the first question begins to listen. What a term promises is
	// not older than 3 heartbeats of the cache, 3 seconds.
	News(ctx context.Context, p Place) (News, error)
}

// hasNear reports whether there may be copies of rows of t that ctx may be given: those of a transaction and
// what begins a compare-and-set come from the store.
func (db *DB) hasNear(ctx context.Context, t *Spec) bool {
	return db.near != nil && t.Near.Rows > 0 && txOf(ctx, db) == nil
}

// readNear is read for a table with copies. Where there is a copy it does not wait, so it does not give the
// logic loop up.
func (db *DB) readNear(ctx context.Context, ref Ref) (Row, error) {
	if row, ok := db.near.Near(ref); ok {
		return row, nil
	}
	return firefly.Await(ctx, func(ctx context.Context) (Row, error) {
		refs, out := [1]Ref{ref}, [1]Row{}
		err := db.near.ReadNear(ctx, refs[:], out[:])
		return out[0], err
	})
}

// readsNear does so for rows of one table.
func (db *DB) readsNear(ctx context.Context, refs []Ref) ([]Row, error) {
	out := make([]Row, len(refs))
	var missing []int
	for i, ref := range refs {
		var ok bool
		if out[i], ok = db.near.Near(ref); !ok {
			missing = append(missing, i)
		}
	}
	if missing == nil {
		return out, nil
	}
	some, got := make([]Ref, len(missing)), make([]Row, len(missing))
	for j, i := range missing {
		some[j] = refs[i]
	}
	_, err := firefly.Await(ctx, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, db.near.ReadNear(ctx, some, got)
	})
	for j, i := range missing {
		out[i] = got[j]
	}
	return out, err
}
