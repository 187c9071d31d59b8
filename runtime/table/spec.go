package table

import (
	"slices"
	"time"
)

// Durability says when a write counts as done.
type Durability uint8

// The values of firefly.v1.Table.Durability.
const (
	WriteBehind  Durability = iota // the cache has it; the store follows within Spec.Flush
	Replicated                     // a second copy of the cache has it
	WriteThrough                   // the store has it
)

// Spec describes one table to stores. Generated code makes one per table, as a package-level
// variable that nobody changes; a Spec is known by its pointer within a process and by its Name
// between processes.
type Spec struct {
	Name    string // in SQL and in the cache: "player"
	Message string // full proto name, for texts: "arena.v1.Player"
	Columns []Column
	// Key are the columns of the primary key, as positions in Columns.
	Key []int
	// Place is the column whose value places the row: rows of all tables with the same value there
	// lie together and commit together. It is Key[0] unless declared, and never changes.
	Place int
	// AutoID: the last key column is given by Store.Reserve when it is 0.
	AutoID     bool
	Indexes    []Index
	Durability Durability
	Flush      time.Duration // the longest that a change waits for the durable store
	Idle       time.Duration // how long an unused row stays cached
	Near       Near          // zero: no copies in the process
	// Shape is the hash of the declaration of all columns; processes that disagree say so.
	Shape uint64
	// MySQL and SQLite are the statements, as generated constants.
	MySQL, SQLite SQL
}

// PlacedApart reports whether the column that places rows is not in the key, so that one key may be asked for
// at several places.
func (t *Spec) PlacedApart() bool { return !slices.Contains(t.Key, t.Place) }

// Near says how many rows the process keeps copies of, and for how long.
type Near struct {
	Rows int
	TTL  time.Duration
}

// Column is one column, in the order of the message's fields.
type Column struct {
	Number   int32  // of the proto field: its name in the cache, for ever
	Field    string // proto name, for texts: "gold"
	Name     string // in SQL
	Kind     Kind
	Nullable bool // `optional`, or a message: Null when absent. Any other column is Zero when absent.
	// Counter: an integer that is not in the key, so additions exist.
	Counter bool
	// Min and Max bound an Int or Uint: the declared rule within what the column's SQL type holds. Of a
	// Uint of 64 bits Max is math.MaxInt64, which bounds additions only.
	Min, Max int64
	// MaxLen bounds Text in characters, and Bytes, or Text when LenBytes is set, in bytes; 0: MaxRow alone.
	MaxLen   int
	LenBytes bool
	// Enum are the numbers that an enum has, ascending; nil: the column is no enum.
	Enum []int32
	// Datetime: an Int of microseconds that SQL keeps as DATETIME in UTC, with Fraction digits of a
	// second; values are cut to them before they are written.
	Datetime bool
	Fraction uint8
}

// Index finds rows by other columns than the key.
type Index struct {
	Name   string // in SQL: "by_owner_id"
	By     []int  // positions in Spec.Columns
	Unique bool   // the durable store judges it, before a write is answered
	// Exact: By begins with the column that places the row, so the cache keeps the list. Any other
	// index is answered by the durable store, which may be behind by Spec.Flush.
	Exact bool
}

// SQL are the statements of one table in one dialect. None is put together from values; where a
// statement takes any number of rows, a part of it is repeated. `cols` below are all columns in the
// order of Spec.Columns and then ff_v, the version.
type SQL struct {
	// Create makes the table and its indexes, if it is not there; statements end with ";\n".
	Create string
	// Get reads a row by key: SELECT cols FROM t WHERE k1 = ? AND k2 = ?
	Get string
	// GetIn + GetInRow, GetInRow... + GetInEnd reads rows by keys.
	GetIn, GetInRow, GetInEnd string
	// Versions + GetInRow... + GetInEnd reads the key columns and ff_v of rows by keys.
	Versions string
	// Upsert + UpsertRow, UpsertRow... + UpsertEnd writes rows whose ff_v is newer than what is there.
	Upsert, UpsertRow, UpsertEnd string
	// Delete + DeleteRow OR DeleteRow... removes rows by key whose ff_v is at most the given one.
	Delete, DeleteRow string
	// MaxID reads the highest number of the auto id: SELECT MAX(id) FROM t; "" without one.
	MaxID string
	// Find has a statement per index: SELECT cols FROM t WHERE b1 = ? AND b2 = ? ORDER BY key LIMIT ?
	Find []string
	// FindAfter has the same per index, for rows behind a key: ... AND (k1, k2) > (?, ?) ..., and for MySQL
	// ... AND (k1 > ? OR k1 = ? AND k2 > ?) ..., which has the values of the key as k1, k1, k2.
	FindAfter []string
	// Types are the types of the columns, as Create has them.
	Types []string
	// Adds has a statement per column that adds it to a table that has it not, "" for columns of the key,
	// and Indexes one per index;
	// the embedded store applies them by itself when a declaration grew.
	Adds, Indexes []string
}
