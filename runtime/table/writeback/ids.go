package writeback

import (
	"context"
	"sync"
	"time"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/table"
)

// Numbers are taken from the durable store for a quarter of an hour ahead, so that rows can be inserted
// while it is away.
const (
	aheadFor = 15 * time.Minute
	aheadMax = 10_000_000 // at a time
	rateOver = time.Minute
)

// stocks are the numbers that this process has, per table.
type stocks struct {
	mu sync.Mutex
	m  map[*table.Spec]*stock
}

type stock struct {
	mu     sync.Mutex
	blocks []block
	asked  chan struct{} // closed when the question under way is answered; nil without one
	err    error         // of the last question
	begin  time.Time     // of what is counted
	given  int64         // since then
	rate   float64       // a second, in the time before
	top    int64         // none up to it is given anew, but those of blocks
}

type block struct{ next, end int64 }

func (b block) left() int64 { return b.end - b.next }

// Reserve implements table.Store.
func (s *Store) Reserve(ctx context.Context, t *table.Spec, n int) (int64, error) {
	if n <= 0 {
		return 0, firefly.InvalidArgument.Errorf("%s: %d numbers were asked for", t.Name, n)
	}
	st := s.ids.of(t)
	failed := false
	for {
		st.mu.Lock()
		if first, ok := st.take(int64(n)); ok {
			if st.left() < st.want(int64(n))/2 {
				s.refill(st, t, int64(n))
			}
			st.mu.Unlock()
			return first, nil
		}
		if failed && st.asked == nil && st.err != nil {
			err := st.err
			st.mu.Unlock()
			return 0, err
		}
		s.refill(st, t, int64(n))
		asked := st.asked
		st.mu.Unlock()
		select {
		case <-asked:
			failed = true
		case <-ctx.Done():
			return 0, firefly.Unavailable.Errorf("%s: no number in time: %w", t.Name, ctx.Err())
		}
	}
}

func (i *stocks) of(t *table.Spec) *stock {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.m == nil {
		i.m = map[*table.Spec]*stock{}
	}
	st := i.m[t]
	if st == nil {
		st = &stock{begin: time.Now()}
		i.m[t] = st
	}
	return st
}

// skipAhead is how many numbers are left out behind one that an insert brings along.
const skipAhead = 100

// skip sees to it that no number is given that an insert brings along: a row with a new number is not looked
// for, so it would take the place of that one.
func (s *Store) skip(ctx context.Context, c *table.Commit) error {
	for i := range c.Ops {
		op := &c.Ops[i]
		if op.Kind != table.Insert || op.Fresh || !op.Table.AutoID {
			continue
		}
		key, err := op.Table.Values(op.Key)
		if err != nil {
			return firefly.InvalidArgument.Errorf("%w", err)
		}
		id, st := key[len(key)-1].Int(), s.ids.of(op.Table)
		st.mu.Lock()
		known := id <= st.top
		st.leave(id)
		st.mu.Unlock()
		if known {
			continue
		}
		// Ids that are brought along often rise one by one: not each of them asks.
		last := min(id, op.Table.Columns[op.Table.Key[len(key)-1]].Max-skipAhead) + skipAhead
		next, err := s.durable.Skip(ctx, op.Table, max(id, last))
		if err != nil {
			return notExecuted(err)
		}
		st.mu.Lock()
		for st.asked != nil { // the answer may have the number
			asked := st.asked
			st.mu.Unlock()
			select {
			case <-asked:
			case <-ctx.Done():
				return firefly.Unavailable.Errorf("%s: no number in time: %w", op.Ref, ctx.Err())
			}
			st.mu.Lock()
		}
		st.leave(id)
		st.top = max(st.top, next-1)
		st.mu.Unlock()
	}
	return nil
}

// leave takes a number out of the blocks, and those before it; the lock is held.
func (st *stock) leave(id int64) {
	for i := range st.blocks {
		if b := &st.blocks[i]; b.next <= id && id < b.end {
			b.next = id + 1
		}
	}
}

// take gives n numbers that follow each other; the lock is held. What is too short for that is not used.
func (st *stock) take(n int64) (first int64, ok bool) {
	for i := range st.blocks {
		b := &st.blocks[i]
		if b.left() < n {
			continue
		}
		first = b.next
		b.next += n
		st.blocks = st.blocks[i:]
		st.count(n)
		return first, true
	}
	return 0, false
}

// count keeps the rate at which numbers are given.
func (st *stock) count(n int64) {
	st.given += n
	if d := time.Since(st.begin); d >= rateOver {
		st.rate = float64(st.given) / d.Seconds()
		st.begin, st.given = time.Now(), 0
	}
}

func (st *stock) left() (n int64) {
	for _, b := range st.blocks {
		n += b.left()
	}
	return n
}

// want is how many numbers should be here when n are asked for at a time.
func (st *stock) want(n int64) int64 {
	rate := max(st.rate, float64(st.given)/max(time.Since(st.begin), rateOver).Seconds())
	return min(max(int64(rate*aheadFor.Seconds()), 2*n), aheadMax)
}

// reserveTime bounds one question for numbers.
const reserveTime = 10 * time.Second

// refill asks for numbers, unless that is under way; the lock is held.
func (s *Store) refill(st *stock, t *table.Spec, n int64) {
	if st.asked != nil {
		return
	}
	asked := make(chan struct{})
	st.asked = asked
	want := max(st.want(n)-st.left(), n)
	s.wg.Go(func() {
		ctx, cancel := context.WithTimeout(s.run, reserveTime)
		defer cancel()
		first, err := s.durable.Reserve(ctx, t, int(want))
		st.mu.Lock()
		if st.err = err; err == nil {
			st.blocks = append(st.blocks, block{first, first + want})
			st.top = max(st.top, first+want-1)
		}
		st.asked = nil
		st.mu.Unlock()
		close(asked)
	})
}
