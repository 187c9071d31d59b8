package table

import (
	"context"
	"time"
)

// The ports of writeback: a cache that holds the latest state of resident rows (Redis), in four
// small parts, and a durable store (MySQL, MariaDB). Their methods may be called by any goroutine,
// overlap, and block until ctx ends. An error of a port is a *firefly.Error: Unavailable or
// Overloaded when it was surely not executed, Unknown when it may have been.

// State is what a cache knows of a row or a list.
type State uint8

// The states of what is cached.
const (
	Absent  State = iota // not here: the durable store has the latest
	Live                 // here
	Gone                 // a row that does not exist, known without asking the durable store
	Filling              // absent, and somebody else is filling it: ask again a little later
	Wait                 // it may only be used when it was stored, or compared with the durable store: ask again a little later
	Locked               // held by a durable commit; reads still see the former state
)

// Cached is a row as the cache has it.
type Cached struct {
	Row
	State State
	Dirty bool // the durable store does not have this version yet
	// Lock is the token of the durable commit that holds the row, "" when none does; Expired says that its
	// time is over.
	Lock    string
	Expired bool
}

// List names the list of an exact index for certain values.
type List struct {
	Table *Spec
	Index int     // in Table.Indexes
	By    []Value // one per column of the index
	Place Place
}

// CacheRows reads and fills rows.
type CacheRows interface {
	// Read gives what is cached of refs, in out[i] for refs[i]. It is one round trip of plain pipelined
	// commands and does not change anything, but that rows in use stay.
	Read(ctx context.Context, refs []Ref, out []Cached) error
	// Lease is Read, and where that finds Absent it takes a lease for the caller's token, with which
	// alone it may Fill. Filling when somebody else has the lease.
	Lease(ctx context.Context, refs []Ref, token string, out []Cached) error
	// Fill puts rows into the cache that the durable store gave after Lease; a Row with Version 0 becomes
	// Gone. out[i] is what is cached afterwards: a row that came meanwhile wins over rows[i], and Absent says
	// that the lease was lost: begin anew.
	Fill(ctx context.Context, rows []Row, token string, out []Cached) error
	// Unstored gives the rows with a key of a table that is placed apart, at whatever place, of which the durable
	// store does not have the latest version. It looks through all that is not stored, and is for what is rare.
	Unstored(ctx context.Context, t *Spec, key Key) ([]Ref, error)
	// Forget drops rows that are not dirty, so that they are read anew; dirty ones are refused with
	// FailedPrecondition.
	Forget(ctx context.Context, refs []Ref) error
}

// CacheLists does the same for the lists of exact indexes. A list is the set of the keys of its rows.
type CacheLists interface {
	ReadList(ctx context.Context, l List) (keys []Key, s State, err error)
	LeaseList(ctx context.Context, l List, token string) (keys []Key, s State, err error)
	FillList(ctx context.Context, l List, token string, keys []Key) (after []Key, s State, err error)
}

// Refused says why a cache did not execute a commit, when that is no error: what is missing has to be
// filled, or what is in the way has to go, and then the commit is sent again.
type Refused struct {
	State   State // Absent: the row of the op, or List, must be filled; Filling, Wait or Locked
	Op      int
	List    *List  // the list that is not there; nil: the row of the op
	Lock    string // of Locked: the token of the durable commit
	Expired bool   // of Locked: the time of that commit is over, so it has to be decided
}

// CacheCommits writes.
type CacheCommits interface {
	// Commit executes c, whose ops are all at one place and need no durable commit. refused is nil when it
	// was executed; the results are in the ops then. Errors are those of Store.Commit.
	Commit(ctx context.Context, c *Commit) (refused *Refused, err error)
	// Lock takes the rows of a durable commit that lie at one shard, for the token and until ttl has passed:
	// it checks the ops, and fills out, in out[i] for ops[i], with the rows as they will be under their new
	// versions and as they were before, without showing them to anybody; Check and CheckAbsent give an Image of
	// Version 0. It fills the results in the ops. Writes of others are refused with Locked from then on. Wait is
	// also the answer for a row of a transaction that is not stored yet, which then is due at once.
	Lock(ctx context.Context, shard int, ops []*Op, token string, ttl time.Duration, out []Image) (refused *Refused, err error)
	// Apply shows what the durable store has committed under the token, in lists too, and lets the rows go.
	// after are images that Lock gave; those of Version 0 are only let go. Applying twice does no harm, and
	// neither does it when the lock was lost: then older versions that are not dirty are overwritten.
	Apply(ctx context.Context, shard int, token string, after []Image) error
	// Holds reports whether the token still has all of the rows, which lie at one shard.
	Holds(ctx context.Context, shard int, token string, refs []Ref) (bool, error)
	// Unlock lets the rows of the token go as they were.
	Unlock(ctx context.Context, shard int, token string, refs []Ref) error
}

// Image is a row on its way to the durable store.
type Image struct {
	Row              // Version is that of the write; Values is nil when Deleted
	Deleted   bool   //
	Tx        bool   // written together with others: the group reaches the durable store as one
	Attempts  int    // of a quarantined row: how often it was refused
	Reconcile bool   // left from before a restart of the cache: the durable store may be ahead
	Tag       string // what the cache wants to see again at Ack, Yield, Poison and Discard
	// Lock, of Take, is the token of a durable commit that holds the row though its time is over; "" for none.
	Lock string
	// Before is what Lock found; nil when there was no such row.
	Before []Value
	// Unknown are columns that whoever wrote the row did not know, as it was of an older build: Values does not
	// have them, and what is there stays.
	Unknown []int
}

// CacheDirty is what a flusher works with.
type CacheDirty interface {
	// Living says that owner, a flusher, lives for ttl, and gives how many do; with a ttl of 0 it ends.
	Living(ctx context.Context, owner string, ttl time.Duration) (flushers int, err error)
	// Hold takes or prolongs the flusher's lease of a shard; held is false when another owner has it. With a
	// ttl of 0 a lease of owner's is given up.
	Hold(ctx context.Context, shard int, owner string, ttl time.Duration) (held bool, err error)
	// Take gives what has to be stored: at most max rows that are due, and all rows of transactions when one of
	// them is due. all ignores due times. held is false when the lease is lost.
	Take(ctx context.Context, shard int, owner string, max int, all bool) (images []Image, held bool, err error)
	// Same reports whether the cache has not forgotten anything since the images of batch were taken. When it has,
	// what was loaded since may be older than they are.
	Same(ctx context.Context, batch []ShardBatch) (bool, error)
	// Ack says that the durable store has these versions; a row that was written meanwhile stays dirty.
	Ack(ctx context.Context, shard int, stored []Image) error
	// Delay says that images, which cannot be stored now, are not due before a time; rows of transactions
	// wait together.
	Delay(ctx context.Context, shard int, images []Image, until time.Time) error
	// Yield drops rows of which the durable store has a newer state.
	Yield(ctx context.Context, shard int, ahead []Image) error
}

// Poisoned is a row that the durable store refuses.
type Poisoned struct {
	Ref
	Version  uint64
	Error    string
	Attempts int
	Next     time.Time // of the next attempt
}

// CacheQuarantine keeps rows that the durable store refuses out of the way of all others.
type CacheQuarantine interface {
	// Poison puts a row aside, if it still has this version.
	Poison(ctx context.Context, shard int, image Image, reason string, next time.Time) error
	// Poisoned lists the rows of a shard that are put aside.
	Poisoned(ctx context.Context, shard int) ([]Poisoned, error)
	// Retry makes a row due at once. found is false when it is not put aside.
	Retry(ctx context.Context, ref Ref) (found bool, err error)
	// Discard gives the row up: what the durable store has counts again. The values that are lost are given back.
	Discard(ctx context.Context, ref Ref) (lost []Value, found bool, err error)
}

// DirtyCount is how much of a shard is not stored yet.
type DirtyCount struct {
	Plain, Tx, Poisoned int
	Oldest              time.Time // since when the oldest of them waits; zero when none does
}

// Cache is a whole cache.
type Cache interface {
	CacheRows
	CacheLists
	CacheCommits
	CacheDirty
	CacheQuarantine
	// Start checks what must hold (version, eviction policy, shard count) and gives a clear refusal. specs are
	// all tables that the process uses; their Shapes get an order here, by which processes that were built
	// from a former declaration leave rows alone that they do not know all columns of.
	Start(ctx context.Context, specs []*Spec) error
	// Shards is how many shards there are; it never changes while something is cached.
	Shards() int
	// Forgets reports whether the cache may lose what it has acknowledged last, locks too: then a row can be
	// loaded and written by somebody else while a durable commit believes that it has it.
	Forgets() bool
	// Count says how much of a shard is not stored.
	Count(ctx context.Context, shard int) (DirtyCount, error)
	Close() error
}
