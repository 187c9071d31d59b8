package remote

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/table"
)

// full is how many bytes of rows one reply has at most, but for its last row. With table.MaxRow it keeps
// within a frame between nodes.
const full = 256 << 10

// Server answers what Clients ask.
type Server struct {
	store table.Store
	specs map[string]*table.Spec
	limit int64
	busy  atomic.Int64
}

// NewServer makes a server before store for the tables of specs. At most limit requests run at a time,
// 20000 when 0; others are OVERLOADED.
func NewServer(store table.Store, specs []*table.Spec, limit int) *Server {
	if limit <= 0 {
		limit = 20000
	}
	s := &Server{store: store, specs: map[string]*table.Spec{}, limit: int64(limit)}
	for _, t := range specs {
		s.specs[t.Name] = t
	}
	return s
}

// Serve answers one request, and blocks while the store works: it runs on a goroutine of its own. body is
// not kept, and the result is the caller's.
func (s *Server) Serve(ctx context.Context, op uint64, body []byte) ([]byte, error) {
	if s.busy.Add(1) > s.limit {
		s.busy.Add(-1)
		return nil, firefly.Overloaded.Errorf("the store has %d requests at work", s.limit)
	}
	defer s.busy.Add(-1)
	r := &reader{b: body, specs: s.specs}
	w := &writer{b: make([]byte, 0, 64)}
	w.uint(statusOK)
	var err error
	switch op {
	case opRead:
		err = s.read(ctx, r, w)
	case opFind:
		err = s.find(ctx, r, w)
	case opCommit:
		err = s.commit(ctx, r, w)
	case opReserve:
		t, n := r.spec(), r.uint()
		if r.err == nil && (n == 0 || n > 1<<20) {
			r.err = errMessage
		}
		if err = r.end(); err == nil {
			var first int64
			first, err = s.store.Reserve(ctx, t, int(n))
			w.int(first)
		}
	default:
		err = firefly.Unimplemented.Errorf("tables: no such operation")
	}
	return w.b, err
}

func (s *Server) read(ctx context.Context, r *reader, w *writer) error {
	refs := make([]table.Ref, 0, r.count())
	for range cap(refs) {
		refs = append(refs, r.ref())
	}
	if err := r.end(); err != nil {
		return err
	}
	// A few at a time, so that what does not fit is not read for nothing.
	const step = 64
	var rows [step]table.Row
	for len(refs) > 0 && len(w.b) < full {
		n := min(step, len(refs))
		if err := s.store.Read(ctx, refs[:n], rows[:n]); err != nil {
			return err
		}
		for i := 0; i < n && len(w.b) < full; i++ {
			w.row(rows[i])
		}
		refs = refs[n:]
	}
	return nil
}

func (s *Server) find(ctx context.Context, r *reader, w *writer) error {
	q := &table.Query{Table: r.spec()}
	if q.Table != nil {
		index := r.uint()
		if index >= uint64(len(q.Table.Indexes)) {
			return errMessage
		}
		q.Index = int(index)
		for _, c := range q.Table.Indexes[q.Index].By {
			q.By = append(q.By, r.fitting(q.Table, c))
		}
	}
	q.After, q.Limit = table.Key(r.text()), int(min(r.uint(), 1<<31))
	if err := r.end(); err != nil {
		return err
	}
	if q.After != "" {
		if _, err := q.Table.Values(q.After); err != nil {
			return errMessage
		}
	}
	// Pages grow: most lists are short, and a long one is cut where the reply is full.
	const page = 256
	limit := q.Limit
	for {
		ask := *q
		ask.Limit = page
		if limit > 0 {
			ask.Limit = min(page, limit)
		}
		rows, err := s.store.Find(ctx, &ask)
		if err != nil {
			return err
		}
		for i, row := range rows {
			w.row(row)
			if limit > 0 {
				limit--
			}
			if len(w.b) >= full && (i+1 < len(rows) || len(rows) == ask.Limit) && (q.Limit == 0 || limit > 0) {
				w.uint(0)
				w.flag(true) // there may be more
				return nil
			}
		}
		if len(rows) < ask.Limit || q.Limit > 0 && limit == 0 {
			w.uint(0)
			w.flag(false)
			return nil
		}
		q.After = rows[len(rows)-1].Key
	}
}

func (s *Server) commit(ctx context.Context, r *reader, w *writer) error {
	c := &table.Commit{Once: r.text(), Token: r.uint()}
	n := r.count()
	for range n {
		c.Ops = append(c.Ops, r.op())
		if r.err != nil {
			break
		}
	}
	if r.err == nil && n == 0 {
		r.err = errMessage
	}
	if err := r.end(); err != nil {
		return err
	}
	err := s.store.Commit(ctx, c)
	if errors.Is(err, table.ErrOnce) {
		w.b = w.b[:0]
		w.uint(statusOnce)
		return nil
	}
	if err != nil {
		return err
	}
	for i := range c.Ops {
		w.uint(c.Ops[i].Version)
		w.uint(uint64(len(c.Ops[i].Sums)))
		for _, v := range c.Ops[i].Sums {
			w.int(v)
		}
	}
	return nil
}
