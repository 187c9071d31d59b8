package table

import (
	"context"
	"errors"
)

// Durable is the database behind a cache. Errors as for the ports of the cache; besides these
// a write can fail with a *WriteError.
type Durable interface {
	DurableReads
	DurableFlush
	DurableCommits
	// Start checks what must hold (version, SQL mode, isolation, tables and columns of specs) and gives a clear
	// refusal that says what to do.
	Start(ctx context.Context, specs []*Spec) error
	Close() error
}

// DurableReads reads what is stored.
type DurableReads interface {
	// Load gives rows of one table by key, in out[i] for refs[i]. settled: a commit that has written one of them
	// and not ended yet is waited for.
	Load(ctx context.Context, refs []Ref, out []Row, settled bool) error
	// Find answers a query from what is stored. settled as of Load, for rows that fit or did.
	Find(ctx context.Context, q *Query, settled bool) ([]Row, error)
	// Reserve gives n numbers of a table's auto id.
	Reserve(ctx context.Context, t *Spec, n int) (first int64, err error)
	// Skip sees to it that Reserve gives none up to last any more, and says the first that it may give.
	Skip(ctx context.Context, t *Spec, last int64) (next int64, err error)
}

// DurableFlush is what a flusher writes with.
type DurableFlush interface {
	// Fence makes owner the only one whose Flush of these shards succeeds, and gives the epochs of that.
	Fence(ctx context.Context, shards []int, owner string) (epochs []uint64, err error)
	// Purge forgets bookkeeping that is too old to matter.
	Purge(ctx context.Context) error
	// Flush writes the images of several shards in one transaction, deletes first; each newer than what is
	// stored, or it is skipped. fenced are shards whose epoch is not the given one any more: nothing of them was
	// written. ahead are images of which something newer is stored. Everything else is stored when err is nil.
	// sure is called as by CommitDurably; its error ends the flush, and nothing is written.
	Flush(ctx context.Context, batch []ShardBatch, sure func(context.Context) error) (fenced []int, ahead []Image, err error)
}

// ShardBatch are the images of one shard.
type ShardBatch struct {
	Shard  int
	Epoch  uint64
	Images []Image
}

// DurableCommits is where durable commits are decided.
type DurableCommits interface {
	// CommitDurably writes the images in one transaction together with the token and payload. The shards are
	// locked against flushers. When everything is written, so that whoever loads one of the rows settled waits for
	// the end, and before it is committed, sure is called, unless it is nil; its error ends the commit, and is
	// given back. Conflict: nothing was done, because the token was aborted (ErrAborted), or
	// because something newer than an image is stored. NotUnique: a unique index refuses it. AlreadyExists,
	// with an *ElsewhereError: an image without Before has the key of a row at another place, which the commit
	// does not delete.
	CommitDurably(ctx context.Context, token string, payload []byte, shards []int, images []Image, sure func(context.Context) error) error
	// Decide says how the commit of a token ended. One that has not ended is aborted by the question, and can
	// never succeed afterwards.
	Decide(ctx context.Context, token string) (committed bool, payload []byte, err error)
}

// ErrAborted is a Conflict of CommitDurably: somebody who waited for the commit has decided that it is not
// made.
var ErrAborted = errors.New("the commit was given up by somebody who waited for it")

// ElsewhereError is an AlreadyExists of CommitDurably: a row that lies at another place has the key.
type ElsewhereError struct {
	Ref Ref // where it lies
	Err error
}

func (e *ElsewhereError) Error() string { return e.Err.Error() }

func (e *ElsewhereError) Unwrap() error { return e.Err }

// WriteClass says what to do about a write that the database refused.
type WriteClass uint8

// The classes of refused writes.
const (
	Transient WriteClass = iota // try again later: connection, deadlock, read-only, disk full
	OfTable                     // the table or a column of it is missing or forbidden: keep its rows, write others
	OfRow                       // a value breaks a constraint: find the row and put it aside
	OfUnique                    // a value of a unique index is taken
	OfUnknown                   // the answer did not come: the same write again does no harm
)

// WriteError is a write that the database refused.
type WriteError struct {
	Class WriteClass
	Table string // when known
	Err   error
}

func (e *WriteError) Error() string { return e.Err.Error() }

func (e *WriteError) Unwrap() error { return e.Err }
