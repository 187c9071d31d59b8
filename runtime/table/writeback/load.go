package writeback

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/table"
)

// rowID names a row, or a list, within a process.
type rowID struct {
	t    *table.Spec
	key  string
	list int // 0: a row; else the index of a list, from 1; -1: a durable commit, of which key is the token
}

func idOf(r table.Ref) rowID { return rowID{r.Table, string(r.Place) + "\x00" + string(r.Key), 0} }

// flights are the loads under way in this process: everybody else who misses the same waits for the one
// who loads, and asks the cache again then. They do not take over what was loaded, since that may be older
// than their question.
type flights struct {
	mu sync.Mutex
	m  map[rowID]*flight
}

type flight struct {
	done chan struct{}
	err  error // set before done is closed
}

// claim begins a load; or gives the one that is under way.
func (f *flights) claim(id rowID) (mine, other *flight) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if other = f.m[id]; other != nil {
		return nil, other
	}
	if f.m == nil {
		f.m = map[rowID]*flight{}
	}
	mine = &flight{done: make(chan struct{})}
	f.m[id] = mine
	return mine, nil
}

func (f *flights) end(id rowID, fl *flight, err error) {
	f.mu.Lock()
	delete(f.m, id)
	f.mu.Unlock()
	fl.err = err
	close(fl.done)
}

// await waits for a load, and gives the error that it had.
func (fl *flight) await(ctx context.Context) error {
	select {
	case <-fl.done:
		return fl.err
	case <-ctx.Done():
		return firefly.DeadlineExceeded.Errorf("the tables did not answer in time: %w", ctx.Err())
	}
}

// loadWithin bounds what is done beside its caller; the lease of a load has ended by then.
const loadWithin = 5 * time.Second

// beside runs a load beside its caller, who may give up waiting: others wait for it too, and the lease that it
// takes would keep everybody else from loading. f must not touch what is the caller's.
func (s *Store) beside(f func(ctx context.Context)) {
	s.wg.Go(func() {
		ctx, cancel := context.WithTimeout(s.run, max(loadWithin, s.o.Patience))
		defer cancel()
		f(ctx)
	})
}

// fetch reads rows that the cache did not have.
func (s *Store) fetch(ctx context.Context, refs []table.Ref, out []table.Row) error {
	left := make([]int, len(refs)) // positions that have no answer
	for i := range left {
		left[i] = i
	}
	for w := s.wait(); ; {
		var others []*flight
		var l loading
		claimed := map[rowID]bool{}
		for _, i := range left {
			id := idOf(refs[i])
			if claimed[id] {
				continue // asked for twice
			}
			if m, o := s.loads.claim(id); o != nil {
				others = append(others, o)
			} else {
				claimed[id] = true
				l.add(m, i, refs[i])
			}
		}
		var err error
		if len(l.refs) > 0 {
			s.beside(func(ctx context.Context) {
				err := s.load(ctx, w, &l)
				for j, fl := range l.flights {
					s.loads.end(idOf(l.refs[j]), fl, err)
				}
			})
			err = l.flights[len(l.flights)-1].await(ctx)
			if err == nil {
				left = l.give(left, out)
			}
		}
		for _, o := range others {
			if oerr := o.await(ctx); oerr != nil && err == nil {
				err = oerr
			}
		}
		if err != nil {
			return err
		}
		if len(left) == 0 {
			return nil
		}
		if left, err = s.reread(ctx, refs, left, out); err != nil || len(left) == 0 {
			return err
		}
	}
}

// loading are rows that one call loads. It belongs to the load until the last of the flights ends.
type loading struct {
	flights  []*flight
	at       []int // positions among the rows of the caller
	refs     []table.Ref
	rows     []table.Row
	answered []bool
}

func (l *loading) add(fl *flight, at int, ref table.Ref) {
	l.flights, l.at, l.refs = append(l.flights, fl), append(l.at, at), append(l.refs, ref)
	l.rows, l.answered = append(l.rows, table.Row{}), append(l.answered, false)
}

// give tells the caller what was answered, and gives what is left.
func (l *loading) give(left []int, out []table.Row) (rest []int) {
	got := map[int]bool{}
	for j, i := range l.at {
		if l.answered[j] {
			out[i], got[i] = l.rows[j], true
		}
	}
	return slices.DeleteFunc(left, func(i int) bool { return got[i] })
}

// reread asks the cache again and gives what it does not have.
func (s *Store) reread(ctx context.Context, refs []table.Ref, left []int, out []table.Row) ([]int, error) {
	again, cached := make([]table.Ref, len(left)), make([]table.Cached, len(left))
	for j, i := range left {
		again[j] = refs[i]
	}
	if err := s.cache.Read(ctx, again, cached); err != nil {
		return nil, err
	}
	rest := left[:0]
	for j, i := range left {
		if !take(&cached[j], &out[i]) {
			rest = append(rest, i)
		}
	}
	return rest, nil
}

// load brings rows into the cache, once: what is answered afterwards is marked. It waits when all of them
// are somebody else's.
func (s *Store) load(ctx context.Context, w *waiting, l *loading) error {
	token := newToken()
	cached := make([]table.Cached, len(l.refs))
	if err := s.cache.Lease(ctx, l.refs, token, cached); err != nil {
		return err
	}
	var leased, filling []int
	for j := range l.refs {
		switch cached[j].State {
		case table.Absent:
			leased = append(leased, j)
		case table.Filling:
			filling = append(filling, j)
		case table.Wait, table.Locked:
			if err := s.stuck(ctx, &cached[j]); err != nil {
				return err
			}
			if w.over() {
				return firefly.Unavailable.Errorf("%s: the cache was restarted, and the row is not yet compared with the database", l.refs[j])
			}
		default:
			l.answered[j] = take(&cached[j], &l.rows[j])
		}
	}
	if leased != nil {
		rows, err := s.stored(ctx, l.refs, leased)
		if err != nil {
			return err
		}
		after := make([]table.Cached, len(rows))
		if err := s.cache.Fill(ctx, rows, token, after); err != nil {
			return err
		}
		for n, j := range leased {
			if l.answered[j] = take(&after[n], &l.rows[j]); !l.answered[j] && w.over() {
				// It comes and goes. It was absent during this call, so what is stored is the latest.
				l.rows[j], l.answered[j] = rows[n], true
			}
		}
		return nil
	}
	if len(filling) > 0 && w.over() {
		// Who has the lease is slow or dead. The row was absent during this call, so what is stored is the latest.
		rows, err := s.stored(ctx, l.refs, filling)
		if err != nil {
			return err
		}
		for n, j := range filling {
			l.rows[j], l.answered[j] = rows[n], true
		}
		return nil
	}
	if !slices.Contains(l.answered, true) {
		return w.pause(ctx)
	}
	return nil
}

// stuck looks after a row that has to wait: the commit that holds it may be over.
func (s *Store) stuck(ctx context.Context, c *table.Cached) error {
	if c.Lock == "" || !c.Expired {
		return nil
	}
	return s.decider.resolve(ctx, c.Ref, c.Lock)
}

// stored reads rows from the durable store, those of one table together.
func (s *Store) stored(ctx context.Context, refs []table.Ref, at []int) ([]table.Row, error) {
	rows := make([]table.Row, len(at))
	byTable := map[*table.Spec][]int{}
	for j, i := range at {
		byTable[refs[i].Table] = append(byTable[refs[i].Table], j)
	}
	for _, js := range byTable {
		some, got := make([]table.Ref, len(js)), make([]table.Row, len(js))
		for n, j := range js {
			some[n] = refs[at[j]]
		}
		if err := s.durable.Load(ctx, some, got, s.cache.Forgets()); err != nil {
			return nil, err
		}
		for n, j := range js {
			rows[j] = got[n]
			if rows[j].Version == 0 || rows[j].Place != some[n].Place {
				rows[j] = table.Row{} // there is none at this place
			}
			rows[j].Ref = some[n]
		}
	}
	return rows, nil
}

// keys gives the keys of an exact list, from the cache, or loads them into it.
func (s *Store) keys(ctx context.Context, l table.List) ([]table.Key, error) {
	for w := s.wait(); ; {
		keys, state, err := s.cache.ReadList(ctx, l)
		if err != nil || state == table.Live {
			return keys, err
		}
		id := rowID{l.Table, string(l.Place) + "\x00" + string(table.KeyOf(l.By...)), l.Index + 1}
		mine, other := s.loads.claim(id)
		if other != nil {
			if err := other.await(ctx); err != nil {
				return nil, err
			}
			continue
		}
		var loaded []table.Key // of the load until mine ends
		live := false
		s.beside(func(ctx context.Context) {
			keys, state, err := s.loadList(ctx, w, l)
			loaded, live = keys, state == table.Live
			s.loads.end(id, mine, err)
		})
		if err := mine.await(ctx); err != nil {
			return nil, err
		}
		if live {
			return loaded, nil
		}
	}
}

// loadList brings a list into the cache, once; the state is Live when keys is it.
func (s *Store) loadList(ctx context.Context, w *waiting, l table.List) ([]table.Key, table.State, error) {
	token := newToken()
	keys, state, err := s.cache.LeaseList(ctx, l, token)
	if err != nil {
		return nil, 0, err
	}
	switch state {
	case table.Live:
		return keys, state, nil
	case table.Absent:
		if keys, err = s.storedList(ctx, l); err != nil {
			return nil, 0, err
		}
		return s.cache.FillList(ctx, l, token, keys)
	case table.Filling:
		if w.over() {
			keys, err = s.storedList(ctx, l)
			return keys, table.Live, err
		}
	default:
		if w.over() {
			return nil, 0, firefly.Unavailable.Errorf("%s: the cache was restarted, and rows of a list are not stored yet", l.Table.Name)
		}
	}
	return nil, state, w.pause(ctx)
}

func (s *Store) storedList(ctx context.Context, l table.List) ([]table.Key, error) {
	rows, err := s.durable.Find(ctx, &table.Query{Table: l.Table, Index: l.Index, By: l.By}, s.cache.Forgets())
	if err != nil {
		return nil, err
	}
	keys := make([]table.Key, 0, len(rows))
	for i := range rows {
		keys = append(keys, rows[i].Key)
	}
	return keys, nil
}
