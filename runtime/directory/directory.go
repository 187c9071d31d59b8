package directory

import (
	"context"
	"errors"
	"time"

	"github.com/firefly-go/firefly"
)

// Entry says which session a player is bound to. Its gate is Session.Gate.
type Entry struct {
	Player  firefly.PlayerID
	Session firefly.SessionID
	Epoch   uint64
}

// IsZero reports whether the entry says nothing.
func (e Entry) IsZero() bool { return e == Entry{} }

// TTL is the lease of a gate's entries, and of a name.
const TTL = 5 * time.Second

// Errors of a Directory. Any other error means that it is away: the operation may or may not
// have happened.
var (
	// ErrSuperseded: the player was bound elsewhere later.
	ErrSuperseded = errors.New("directory: the player was bound elsewhere later")
	// ErrHeld: another process holds the name.
	ErrHeld = errors.New("directory: the name is held by another process")
	// ErrDead: the process that asks, or in whose name is asked, was declared dead.
	ErrDead = errors.New("directory: this process was declared dead")
)

// Directory knows who is where. Its methods may be called by any goroutine and may block
// until ctx ends.
type Directory interface {
	// Claim binds a player to a session and gives the epoch of that: max(last + 1, the time
	// in microseconds). previous are the player's other sessions that are not known to have
	// ended, the latest first: those that were claimed, and neither released since nor of a
	// gate whose lease has ended. The caller sees to it that they end, and releases them; until
	// then every Claim of the player names them again, so that none is forgotten when an
	// answer is lost. Claiming again for the same session gives a new epoch. A claim for a gate
	// without a lease begins one.
	Claim(ctx context.Context, player firefly.PlayerID, session firefly.SessionID) (epoch uint64, previous []Entry, err error)
	// Release says that a session of the player has ended, claimed with that epoch; 0 is any,
	// for who never heard it. When it was the player's, the one before that is not known to
	// have ended is again.
	Release(ctx context.Context, player firefly.PlayerID, session firefly.SessionID, epoch uint64) error
	// Lookup gives the entry of a player; false when there is none or its gate's lease ended.
	Lookup(ctx context.Context, player firefly.PlayerID) (Entry, bool, error)
	// Renew prolongs the lease of all entries of a gate, or begins one; ttl is how long it
	// lasts from now on. known is false when the gate had none: it ended, or the store came
	// back empty. Then the gate puts each of its entries back with Reclaim.
	Renew(ctx context.Context, gate firefly.Incarnation) (ttl time.Duration, known bool, err error)
	// Reclaim puts back an entry with the epoch that it was claimed with. ErrSuperseded says
	// that the player was claimed later: that session has lost and must end.
	Reclaim(ctx context.Context, player firefly.PlayerID, session firefly.SessionID, epoch uint64) error
	// Left is how long the lease of a gate still lasts, 0 when it has ended: who cannot reach
	// the gate of a former session waits for this.
	Left(ctx context.Context, gate firefly.Incarnation) (time.Duration, error)
	// Forget ends everything of a process that is surely dead, its entries and names, and
	// refuses what it may still ask.
	Forget(ctx context.Context, dead firefly.Incarnation) error
	// Hold takes or prolongs a name for owner. epoch rises when the owner changes. The owner
	// must stop what the name allows when ttl has passed since it asked and it could not
	// prolong; Keep does that. With ErrHeld, ttl is how long the other holds it at least.
	Hold(ctx context.Context, name string, owner firefly.Incarnation) (epoch uint64, ttl time.Duration, err error)
	// Drop gives a name back, if owner holds it.
	Drop(ctx context.Context, name string, owner firefly.Incarnation) error
}
