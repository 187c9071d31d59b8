package table

import (
	"context"
	"errors"
	"slices"
)

// Row is a row as a store gives it. The zero Row, with Version 0, says that there is none.
type Row struct {
	Ref
	// Version rises with every write of the row: max(last + 1, the store's time in microseconds).
	Version uint64
	// Values has one Value per column of the Spec. It belongs to who got the Row.
	Values []Value
}

// Store is what tables stand on. Its methods may be called by any goroutine, overlap, and block
// until ctx ends. Errors are *firefly.Error with these codes, and their text names table, key and
// field:
//   - NotFound, AlreadyExists, Conflict (Op.If), OutOfRange (Add), NotUnique: as Op says; nothing of
//     the commit was done. Of several ops that fail, any may be the one that the error is of.
//   - InvalidArgument: a value that the store cannot keep; nothing was done.
//   - Unavailable, Overloaded: surely not executed.
//   - Unknown: sent, and the answer did not come; a commit may have been executed.
//   - DeadlineExceeded: of reads only; a commit whose ctx ends after it was sent is Unknown.
type Store interface {
	// Read gives the rows of refs, in out[i] for refs[i]; out has the length of refs and Values in it
	// may be reused. Rows that do not exist are zero but for their Ref. The refs of one call may be of
	// several tables. Every row is at least as new as the last write that was acknowledged before the
	// call, to anybody.
	Read(ctx context.Context, refs []Ref, out []Row) error
	// Find gives the rows that a query names, in the order of their keys.
	Find(ctx context.Context, q *Query) ([]Row, error)
	// Commit executes all ops of c or none, and returns when that is as durable as the tables of c
	// declare. It fills the results in the ops.
	Commit(ctx context.Context, c *Commit) error
	// Reserve gives n numbers for the auto id of a table that nobody gets again: first, first + 1 and so on.
	Reserve(ctx context.Context, t *Spec, n int) (first int64, err error)
}

// Query asks for rows by an index. With an exact index the answer has every write acknowledged
// before it. Any other is answered by the durable store: a row that another process wrote may be
// missing for as long as Spec.Flush, what this process wrote is there, and no row is given that no
// longer fits.
type Query struct {
	Table *Spec
	Index int     // in Table.Indexes
	By    []Value // one per column of the index
	After Key     // give rows behind this key; "" from the beginning
	Limit int     // at most this many; 0 all
}

// OpKind is what an Op does.
type OpKind uint8

// The kinds of ops.
const (
	// Insert makes a row of Set, which has every column. AlreadyExists when there is one.
	Insert OpKind = iota
	// Update changes columns of a row. NotFound when there is none.
	Update
	// Delete removes a row. NotFound when there is none.
	Delete
	// Check does nothing but look that the row is as If says; NotFound when there is none.
	Check
	// CheckAbsent looks that there is no row; AlreadyExists when there is one.
	CheckAbsent
)

// Op is a part of a Commit; a Commit has at most one Op per row.
type Op struct {
	Kind OpKind
	Ref
	// Fresh, of Insert: the key has a number from Reserve, so no store needs to be asked whether such
	// a row exists.
	Fresh bool
	// If is the version that the row must have, else Conflict; 0: any.
	If uint64
	// Before is what the caller believes the row to be, by a read; nil when it has not read it. Stores
	// use it to know the old values of indexed columns and check it themselves.
	Before []Value
	Set    []Assign
	Add    []AddTo

	// Results, filled by Commit.
	Version uint64  // the new version; 0 of Delete
	Sums    []int64 // one per Add: the new value
}

// Assign sets a column. Key columns and the place are set by Insert only.
type Assign struct {
	Column int
	Value  Value
}

// AddTo adds to a counter column in one step. OutOfRange when the sum is below Column.Min or above
// Column.Max; the bounds are those of the caller's Spec.
type AddTo struct {
	Column int
	Delta  int64
}

// Commit is a set of ops that are done together or not at all.
type Commit struct {
	Ops []Op
	// Once makes the commit run one time per key: a second commit with the key at the same place, which
	// is that of the first op, is AlreadyExists with ErrOnce and does nothing. "" for no such key. Keys are
	// remembered for OnceKept.
	Once string
	// Token tells a repetition of this very commit from another one with the same Once: a store that
	// finds the key taken by this token answers as if it had executed it just now, except for Sums.
	Token uint64
	// Copied asks for what a table that is Replicated asks for, whatever the tables of the ops do.
	Copied bool
}

// ErrNotReplicated is what an Unknown error is when a commit to a table that is Replicated was executed, others
// see it, and no second copy of the cache said in time that it has it: it is lost only if the server is lost
// before a replica or the durable store has it. Test for it with errors.Is.
var ErrNotReplicated = errors.New("written, but not known to be in a second copy")

// Replicated reports whether c is done only when a second copy of the cache has it.
func (c *Commit) Replicated() bool {
	if c.Copied {
		return true
	}
	for i := range c.Ops {
		if o := &c.Ops[i]; o.Table.Durability == Replicated && o.Kind != Check && o.Kind != CheckAbsent {
			return true
		}
	}
	return false
}

// Durable reports whether c needs the durable commit: ops at several places, a write-through table,
// a write that sets a column of a unique index, or an insert with a key that a row at another place may
// have. A store with one database for everything treats all commits alike.
func (c *Commit) Durable() bool {
	for i := range c.Ops {
		o := &c.Ops[i]
		if o.Place != c.Ops[0].Place {
			return true
		}
		if o.Kind == Check || o.Kind == CheckAbsent {
			continue
		}
		if o.Table.Durability == WriteThrough || o.touchesUnique() || o.mayLieElsewhere() {
			return true
		}
	}
	return false
}

// OnlyChecks reports whether c changes nothing. Its rows may be checked one after the other then, as long as
// none of them is held by a commit that is not finished: all were so when the first check began.
func (c *Commit) OnlyChecks() bool {
	for i := range c.Ops {
		if k := c.Ops[i].Kind; k != Check && k != CheckAbsent {
			return false
		}
	}
	return true
}

// Deletes reports whether c removes a row.
func (c *Commit) Deletes(ref Ref) bool {
	return slices.ContainsFunc(c.Ops, func(o Op) bool { return o.Kind == Delete && o.Ref == ref })
}

// touchesUnique reports whether o may change what a unique index says. A Delete frees a value, which
// must not be given to another row before the durable store has forgotten this one.
func (o *Op) touchesUnique() bool {
	for i := range o.Table.Indexes {
		x := &o.Table.Indexes[i]
		if !x.Unique {
			continue
		}
		if o.Kind != Update {
			return true
		}
		for _, c := range x.By {
			if o.Sets(c) {
				return true
			}
		}
	}
	return false
}

// mayLieElsewhere reports whether o makes a row whose key another row, at another place, may have: of those
// only the durable store knows. A number from Reserve nobody else has.
func (o *Op) mayLieElsewhere() bool { return o.Kind == Insert && !o.Fresh && o.Table.PlacedApart() }

// Sets reports whether o gives the column a new value.
func (o *Op) Sets(column int) bool {
	for i := range o.Set {
		if o.Set[i].Column == column {
			return true
		}
	}
	for i := range o.Add {
		if o.Add[i].Column == column {
			return true
		}
	}
	return false
}
