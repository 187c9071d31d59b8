package writeback

import (
	"context"
	"time"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/table"
)

// Commit implements table.Store.
func (s *Store) Commit(ctx context.Context, c *table.Commit) error {
	if len(c.Ops) == 0 {
		return nil
	}
	if c.Once != "" {
		return s.commitOnce(ctx, c)
	}
	return s.execute(ctx, c)
}

// execute sends a commit the way that it needs.
func (s *Store) execute(ctx context.Context, c *table.Commit) error {
	err := s.skip(ctx, c)
	switch {
	case err != nil:
		return err
	case !c.Durable():
		err = s.commit(ctx, c)
	case c.OnlyChecks():
		return s.check(ctx, c)
	default:
		err = s.decider.commit(ctx, c)
	}
	if code := firefly.CodeOf(err); err == nil || code == firefly.Unknown {
		s.recent.note(c)
	}
	if s.copies != nil {
		s.copies.wrote(c.Ops)
	}
	return err
}

// check is a commit of several places that changes nothing.
func (s *Store) check(ctx context.Context, c *table.Commit) error {
	places := map[table.Place][]table.Op{}
	for _, op := range c.Ops {
		places[op.Place] = append(places[op.Place], op)
	}
	for _, ops := range places {
		if err := s.commit(ctx, &table.Commit{Ops: ops}); err != nil {
			return err
		}
	}
	return nil
}

// commit sends a commit to the cache until nothing is missing there or in its way.
func (s *Store) commit(ctx context.Context, c *table.Commit) error {
	for w := s.wait(); ; {
		refused, err := s.cache.Commit(ctx, c)
		if err != nil || refused == nil {
			return err
		}
		ops := make([]*table.Op, len(c.Ops))
		for i := range c.Ops {
			ops[i] = &c.Ops[i]
		}
		if err := s.clear(ctx, w, ops, refused); err != nil {
			return err
		}
	}
}

// clear does something about why the cache refused ops: it brings what is missing, and waits for what is in
// the way. An error says that the ops surely were not executed, and why.
func (s *Store) clear(ctx context.Context, w *waiting, ops []*table.Op, r *table.Refused) error {
	if err := s.bring(ctx, w, ops, r); err != nil {
		if code := firefly.CodeOf(err); code == firefly.DeadlineExceeded || code == firefly.Unknown {
			// That of a read. The commit itself was not executed.
			return firefly.Unavailable.Errorf("%s: %w", ops[r.Op].Ref, err)
		}
		return err
	}
	return nil
}

func (s *Store) bring(ctx context.Context, w *waiting, ops []*table.Op, r *table.Refused) error {
	ref := ops[r.Op].Ref
	if w.over() {
		return firefly.Unavailable.Errorf("%s: %s for too long", ref, inTheWay(r))
	}
	switch {
	case r.State == table.Absent && r.List != nil:
		_, err := s.keys(ctx, *r.List)
		return err
	case r.State == table.Absent:
		// The other rows are probably missing too; they come along.
		var refs []table.Ref
		for _, op := range ops {
			if op.Kind != table.Insert || !op.Fresh {
				refs = append(refs, op.Ref)
			}
		}
		return s.Read(ctx, refs, make([]table.Row, len(refs)))
	case r.State == table.Locked && r.Expired:
		return s.decider.resolve(ctx, ref, r.Lock)
	}
	return w.pause(ctx)
}

// clearing is clear with a patience of its own, for one durable commit.
func (s *Store) clearing() func(context.Context, []*table.Op, *table.Refused) error {
	w := s.wait()
	return func(ctx context.Context, ops []*table.Op, r *table.Refused) error { return s.clear(ctx, w, ops, r) }
}

func inTheWay(r *table.Refused) string {
	switch r.State {
	case table.Locked:
		return "a transaction over several places holds it"
	case table.Wait:
		return "what was written to it before is not stored"
	}
	return "it comes and goes"
}

// commitOnce is a commit with a key that it runs once for: the key is a row too.
func (s *Store) commitOnce(ctx context.Context, c *table.Commit) error {
	ref := table.OnceRef(c.Ops[0].Place, c.Once)
	used := func() (bool, error) {
		row := [1]table.Row{}
		if err := s.Read(ctx, []table.Ref{ref}, row[:]); err != nil {
			return false, err
		}
		if row[0].Version == 0 {
			return false, nil
		}
		if row[0].Values[table.OnceToken].Uint() != c.Token {
			return true, table.OnceError(c.Once)
		}
		// This very commit was executed before. That it was replicated, nobody knows: a write behind it tells.
		if c.Replicated() && !c.Durable() {
			token := table.Assign{Column: table.OnceToken, Value: table.UintOf(c.Token)}
			touch := table.Op{Kind: table.Update, Ref: ref, If: row[0].Version, Before: row[0].Values, Set: []table.Assign{token}}
			if err := s.commit(ctx, &table.Commit{Ops: []table.Op{touch}, Copied: true}); err != nil {
				return true, firefly.Unknown.Errorf("the key %q: %w: %v", c.Once, table.ErrNotReplicated, err)
			}
		}
		return true, nil
	}
	// Whether the key is there has to be known anyway, so it is asked for first.
	if done, err := used(); done {
		return err
	} else if err != nil {
		if code := firefly.CodeOf(err); code == firefly.DeadlineExceeded || code == firefly.Unknown {
			return firefly.Unavailable.Errorf("the key %q: %w", c.Once, err)
		}
		return err
	}
	key, err := table.Once.Values(ref.Key)
	if err != nil {
		return firefly.InvalidArgument.Errorf("the key %q: %w", c.Once, err)
	}
	with := &table.Commit{Ops: append(c.Ops[:len(c.Ops):len(c.Ops)], table.Op{Kind: table.Insert, Ref: ref, Set: []table.Assign{
		{Column: table.OncePlace, Value: key[table.OncePlace]},
		{Column: table.OnceKey, Value: key[table.OnceKey]},
		{Column: table.OnceToken, Value: table.UintOf(c.Token)},
		{Column: table.OnceAt, Value: table.IntOf(time.Now().UnixMicro())},
	}})}
	err = s.execute(ctx, with)
	copy(c.Ops, with.Ops) // the results
	if firefly.CodeOf(err) == firefly.AlreadyExists {
		// Of the key, when somebody else used it just now; or of a row.
		if done, uerr := used(); done {
			return uerr
		}
	}
	return err
}
