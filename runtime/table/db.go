package table

import (
	"context"
	"sync"
	"time"

	"github.com/firefly-go/firefly"
)

// DBOptions are the settings of a DB; the zero value works.
type DBOptions struct {
	// IDs is how many numbers of an auto id are reserved at a time; 1000 when 0. What is left of them when
	// the process ends is never given.
	IDs int
}

// DB is the tables of one role instance: what its generated tables stand on. Its methods may be
// called by any goroutine; those that wait yield the logic loop of their ctx.
type DB struct {
	store Store
	near  NearStore // the store, if it has copies
	o     DBOptions

	mu  sync.Mutex
	ids map[*Spec]*idBlock
	wg  sync.WaitGroup
}

// NewDB makes a DB over a store. The store outlives it.
func NewDB(store Store, o DBOptions) *DB {
	if o.IDs <= 0 {
		o.IDs = 1000
	}
	near, _ := store.(NearStore)
	return &DB{store: store, near: near, o: o, ids: map[*Spec]*idBlock{}}
}

// Store is what the DB stands on.
func (db *DB) Store() Store { return db.store }

// Close waits for what the DB still asks of its store.
func (db *DB) Close() { db.wg.Wait() }

// reserveTime bounds one question for numbers.
const reserveTime = 5 * time.Second

// idBlock gives the numbers of one table. While the first half of a block is used up the next one is
// asked for, so that an insert rarely waits.
type idBlock struct {
	size      int64
	mu        sync.Mutex
	next, end int64
	spare     int64         // first number of the next block; 0 when it is not there
	asked     chan struct{} // closed when the question that is under way is answered; nil without one
	err       error         // of the last question
}

// nextID is a number that nobody else gets.
func (db *DB) nextID(ctx context.Context, t *Spec) (int64, error) {
	db.mu.Lock()
	b := db.ids[t]
	if b == nil {
		b = &idBlock{size: int64(db.o.IDs)}
		db.ids[t] = b
	}
	db.mu.Unlock()
	if id := b.take(db, t); id != 0 {
		return id, nil
	}
	return firefly.Await(ctx, func(ctx context.Context) (int64, error) {
		for {
			b.mu.Lock()
			b.ask(db, t)
			asked := b.asked
			b.mu.Unlock()
			if asked != nil {
				select {
				case <-asked:
				case <-ctx.Done():
					return 0, firefly.Unavailable.Errorf("%s: no number in time: %w", t.Name, ctx.Err())
				}
			}
			if id := b.take(db, t); id != 0 {
				return id, nil
			}
			b.mu.Lock()
			err := b.err
			b.mu.Unlock()
			if err != nil {
				return 0, err
			}
		}
	})
}

// take gives a number, 0 when there is none yet.
func (b *idBlock) take(db *DB, t *Spec) int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.next == b.end {
		if b.spare == 0 {
			return 0
		}
		b.next, b.end, b.spare = b.spare, b.spare+b.size, 0
	}
	id := b.next
	b.next++
	if b.spare == 0 && b.end-b.next < b.size/2 {
		b.ask(db, t)
	}
	return id
}

// ask asks for the next block, unless it is there or that is under way; the lock is held.
func (b *idBlock) ask(db *DB, t *Spec) {
	if b.asked != nil || b.spare != 0 {
		return
	}
	asked := make(chan struct{})
	b.asked = asked
	db.wg.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), reserveTime)
		defer cancel()
		first, err := db.store.Reserve(ctx, t, int(b.size))
		b.mu.Lock()
		b.err = err
		if err == nil {
			b.spare = first
		}
		b.asked = nil
		b.mu.Unlock()
		close(asked)
	})
}
