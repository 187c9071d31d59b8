package table

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/firefly-go/firefly"
)

// ErrOnce is what an AlreadyExists error is when the key of Tx.Once was used before; test for it with
// errors.Is.
var ErrOnce = errors.New("this key was used before")

// OnceError is AlreadyExists for a key of Tx.Once.
func OnceError(key string) error {
	return firefly.AlreadyExists.Errorf("the key %q: %w", key, ErrOnce)
}

// OnceKept is how long keys of Tx.Once are remembered at least.
const OnceKept = 30 * 24 * time.Hour

// Tx is a transaction: it collects writes, and they are committed together when the function that
// got it has returned without an error. It is used by that function alone, and not after its end.
type Tx struct {
	db *DB

	mu    sync.Mutex
	ended bool // the function has returned
	rows  map[Ref]*staged
	order []*staged
	once  string
	token uint64
	moves []func(context.Context) error // asked for by Writes without a ctx
	after []func()
	err   error // of a write that could not say it
}

type txKey struct{}

// txOf is the transaction of db that ctx belongs to, nil when there is none.
func txOf(ctx context.Context, db *DB) *Tx {
	tx, _ := ctx.Value(txKey{}).(*Tx)
	if tx != nil && tx.db.store == db.store {
		return tx
	}
	return nil
}

// InTx reports whether ctx belongs to a transaction, and at which place it writes: ok is false while it
// has written nothing yet.
func InTx(ctx context.Context) (in bool, place Place, ok bool) {
	tx, _ := ctx.Value(txKey{}).(*Tx)
	if tx == nil {
		return false, "", false
	}
	tx.mu.Lock()
	defer tx.mu.Unlock()
	for _, s := range tx.order {
		if s.write != Check {
			return true, s.Place, true
		}
	}
	return true, "", false
}

// AfterCommit has f run when the transaction of ctx is committed, in order and on the goroutine that
// committed; never when it is not. false: ctx belongs to none, and f was not taken.
func AfterCommit(ctx context.Context, f func()) bool {
	tx, _ := ctx.Value(txKey{}).(*Tx)
	if tx == nil {
		return false
	}
	tx.mu.Lock()
	defer tx.mu.Unlock()
	if tx.ended {
		return false
	}
	tx.after = append(tx.after, f)
	return true
}

// Tx runs f and commits what it wrote, all or nothing; an error or a panic of f drops it. Writes with the
// ctx that f gets belong to the transaction, and so does a Tx that is begun with it. When somebody else
// wrote a row that it read through the transaction, f runs again from the beginning: it must not do
// anything else than read and write rows. That holds when it writes nothing, too: several rows are seen
// as they were at one moment. Rows of several places, unique indexes and write-through tables need the
// durable commit, which is slower; see Commit.Durable.
func (db *DB) Tx(ctx context.Context, f func(ctx context.Context, tx *Tx) error) error {
	if tx := txOf(ctx, db); tx != nil {
		return f(ctx, tx)
	}
	for try := 0; ; try++ {
		tx := &Tx{db: db, rows: map[Ref]*staged{}, token: rand.Uint64() | 1}
		err := tx.run(ctx, f)
		if err == nil {
			for _, f := range tx.after {
				f()
			}
			return nil
		}
		if firefly.CodeOf(err) != firefly.Conflict || try >= conflicts {
			return err
		}
		if err := backOff(ctx, try); err != nil {
			return err
		}
	}
}

// run is one try.
func (tx *Tx) run(ctx context.Context, f func(context.Context, *Tx) error) error {
	inside := context.WithValue(ctx, txKey{}, tx)
	defer tx.end()
	if err := f(inside, tx); err != nil {
		return err
	}
	for _, m := range tx.moves {
		if err := m(inside); err != nil {
			return err
		}
	}
	tx.end()
	if tx.err != nil {
		return tx.err
	}
	c, err := tx.commit()
	if err != nil || c == nil {
		return err
	}
	err = tx.db.commitOnce(ctx, c)
	switch code := firefly.CodeOf(err); {
	case code == firefly.AlreadyExists && !errors.Is(err, ErrOnce) && tx.appeared(ctx):
		return firefly.Conflict.Errorf("a row that was not there when the transaction looked: %w", err)
	case code == firefly.Unknown && !tx.writes():
		return firefly.Unavailable.Errorf("nothing was to be written: %w", err)
	}
	return err
}

// appeared reports whether a row is there that the transaction read as none.
func (tx *Tx) appeared(ctx context.Context) bool {
	for _, s := range tx.order {
		if s.read && s.check && s.base == nil {
			if row, err := tx.db.read(ctx, s.Ref); err == nil && row.Version != 0 {
				return true
			}
		}
	}
	return false
}

// writes reports whether the transaction changes anything.
func (tx *Tx) writes() bool {
	return slices.ContainsFunc(tx.order, func(s *staged) bool { return s.write != Check })
}

func (tx *Tx) end() {
	tx.mu.Lock()
	tx.ended = true
	tx.mu.Unlock()
}

// repeats is how often a commit with a Once is sent again when its outcome is not known.
const repeats = 20

// commitOnce commits, and sends a commit that runs one time anyway again when nobody knows what became of it.
// From then on only an answer about its rows says what did: that a repetition was not executed does not.
func (db *DB) commitOnce(ctx context.Context, c *Commit) error {
	var unknown error
	for try := 0; ; try++ {
		err := db.commit(ctx, c)
		if err == nil || c.Once == "" {
			return err
		}
		switch firefly.CodeOf(err) {
		case firefly.Unknown:
			unknown = err
		case firefly.Unavailable, firefly.Overloaded, firefly.DeadlineExceeded, firefly.Canceled, firefly.Internal:
			if unknown == nil {
				return err
			}
		default:
			return err
		}
		if try >= repeats || firefly.Sleep(ctx, min(time.Millisecond<<min(try, 8), 100*time.Millisecond)) != nil {
			return unknown
		}
	}
}

// Once makes the transaction run one time per key: when a transaction with the key was committed before,
// this one is dropped with ALREADY_EXISTS, which is ErrOnce. Keys belong to the place of the first row
// that the transaction writes - the player, say - and are remembered for OnceKept. A transaction with a
// key whose outcome got lost is repeated by itself.
func (tx *Tx) Once(key string) {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	switch {
	case key == "" || len(key) > 128:
		tx.fail(firefly.InvalidArgument.Errorf("a key of Once has 1 to 128 bytes, and %q has %d", key, len(key)))
	case tx.once != "" && tx.once != key:
		tx.fail(firefly.InvalidArgument.Errorf("a transaction has one key of Once, and this one has %q and %q", tx.once, key))
	}
	tx.once = key
}

// fail keeps the first error that nobody was told; the lock is held.
func (tx *Tx) fail(err error) {
	if tx.err == nil {
		tx.err = err
	}
}

var errOver = firefly.FailedPrecondition.Errorf("the transaction is over")
