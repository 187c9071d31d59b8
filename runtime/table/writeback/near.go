package writeback

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/firefly-go/firefly/runtime/table"
)

// copies are rows that the process has beside the cache, of tables with Spec.Near. A copy is used while it is
// younger than the table's TTL and every write since it was made is heard, late by what table.CacheNews
// says. Its own process hears of a write before that is answered.
type copies struct {
	news   table.CacheNews
	tables map[string]*copiesOf // by the name of the table; nobody changes it
}

// copiesOf are those of one table.
type copiesOf struct {
	ttl     time.Duration
	stripes []stripe
}

// stripesOf is how many parts the copies of a large table have, so that callers rarely wait for each other.
const stripesOf = 16

// stripe is a part of the copies of a table; the one that was not used for longest goes first.
type stripe struct {
	most int

	mu      sync.Mutex
	changes uint64 // writes that were heard
	rows    map[table.Key]*copied
	used    copied // head of a ring, the one used last comes next
}

// copied is one copy. Who has it without the lock reads row only.
type copied struct {
	row        table.Row
	news       table.News
	term       uint64
	until      time.Time
	prev, next *copied
}

// newCopies is nil when the cache has no news, or no table wants copies.
func newCopies(cache table.Cache, specs []*table.Spec) *copies {
	news, ok := cache.(table.CacheNews)
	if !ok {
		return nil
	}
	c := &copies{news: news, tables: map[string]*copiesOf{}}
	for _, t := range specs {
		if t.Near.Rows <= 0 {
			continue
		}
		n := stripesOf
		if t.Near.Rows < 64*stripesOf {
			n = 1
		}
		of := &copiesOf{ttl: t.Near.TTL, stripes: make([]stripe, n)}
		for i := range of.stripes {
			s := &of.stripes[i]
			s.most, s.rows = t.Near.Rows/n, map[table.Key]*copied{}
			s.used.prev, s.used.next = &s.used, &s.used
		}
		c.tables[t.Name] = of
	}
	if len(c.tables) == 0 {
		return nil
	}
	news.Hear(c.old)
	return c
}

// stripe is where a row has its copy; nil: it has none.
func (c *copies) stripe(ref table.Ref) (*copiesOf, *stripe) {
	of := c.tables[ref.Table.Name]
	if of == nil {
		return nil, nil
	}
	if len(of.stripes) == 1 {
		return of, &of.stripes[0]
	}
	return of, &of.stripes[xxhash.Sum64String(string(ref.Key))%uint64(len(of.stripes))]
}

// get gives a copy that may be used.
func (c *copies) get(ref table.Ref) (table.Row, bool) {
	_, s := c.stripe(ref)
	if s == nil {
		return table.Row{}, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.rows[ref.Key]
	if e == nil || e.row.Place != ref.Place {
		return table.Row{}, false
	}
	if e.news.Term() != e.term || time.Now().After(e.until) {
		s.remove(e)
		return table.Row{}, false
	}
	e.unlink()
	s.link(e)
	return e.row, true
}

// ticket is taken before a row is read. With it a copy of the row may be kept, unless a write was heard
// meanwhile: the row may be older than that.
type ticket struct {
	of      *copiesOf
	s       *stripe
	changes uint64
	news    table.News
	term    uint64 // 0: no copy may be kept
	at      time.Time
}

func (c *copies) ticket(ctx context.Context, ref table.Ref) (t ticket) {
	if t.of, t.s = c.stripe(ref); t.s == nil {
		return t
	}
	var err error
	if t.news, err = c.news.News(ctx, ref.Place); err != nil {
		return t
	}
	t.term, t.at = t.news.Term(), time.Now()
	t.s.mu.Lock()
	t.changes = t.s.changes
	t.s.mu.Unlock()
	return t
}

// keep makes a copy of a row that was read with a ticket.
func (t *ticket) keep(row table.Row) {
	if t.term == 0 || row.Version == 0 {
		return
	}
	s := t.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.changes != t.changes || t.news.Term() != t.term {
		return
	}
	if e := s.rows[row.Key]; e != nil {
		s.remove(e)
	}
	for len(s.rows) >= s.most {
		s.remove(s.used.prev)
	}
	row.Values = slices.Clone(row.Values) // the caller's may be used again
	e := &copied{row: row, news: t.news, term: t.term, until: t.at.Add(t.of.ttl)}
	s.rows[row.Key] = e
	s.link(e)
}

// old drops the copy of a row that was written, and keeps what is being read from becoming one.
func (c *copies) old(ref table.Ref, version uint64) {
	_, s := c.stripe(ref)
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changes++
	if e := s.rows[ref.Key]; e != nil && (version == 0 || e.row.Version < version) {
		s.remove(e)
	}
}

// wrote drops the copies of rows that this process wrote, or may have written.
func (c *copies) wrote(ops []table.Op) {
	for i := range ops {
		if k := ops[i].Kind; k != table.Check && k != table.CheckAbsent {
			c.old(ops[i].Ref, 0)
		}
	}
}

func (s *stripe) link(e *copied) {
	e.prev, e.next = &s.used, s.used.next
	e.prev.next, e.next.prev = e, e
}

func (e *copied) unlink() { e.prev.next, e.next.prev = e.next, e.prev }

func (s *stripe) remove(e *copied) {
	e.unlink()
	delete(s.rows, e.row.Key)
}

// Near implements table.NearStore.
func (s *Store) Near(ref table.Ref) (table.Row, bool) {
	if s.copies == nil {
		return table.Row{}, false
	}
	return s.copies.get(ref)
}

// ReadNear implements table.NearStore.
func (s *Store) ReadNear(ctx context.Context, refs []table.Ref, out []table.Row) error {
	if s.copies == nil {
		return s.Read(ctx, refs, out)
	}
	tickets := make([]ticket, len(refs))
	for i := range refs {
		tickets[i] = s.copies.ticket(ctx, refs[i])
	}
	if err := s.Read(ctx, refs, out); err != nil {
		return err
	}
	for i := range refs {
		tickets[i].keep(out[i])
	}
	return nil
}
