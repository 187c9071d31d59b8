package writeback

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/table"
)

// The durable commit: rows of several places, unique indexes and write-through tables. The durable store
// decides; the cache shows it afterwards.
//
//  1. The rows are locked in the cache, shard by shard in the order of their numbers, so that two commits
//     never wait for each other; a lock has a token and ends after some seconds.
//  2. One transaction of the durable store writes the rows, and the token with everything that the cache has
//     to be told. Where the cache may forget locks, it is asked for them once more when all is written: what it
//     forgets later is loaded by reads that wait for this transaction. Its end is the commit.
//  3. The cache shows the rows and lets them go.
//
// Whoever meets a lock whose time is over asks how the token was decided, which aborts it when it was not:
// the owner can then never commit. A committed one is told to the cache from what lies beside its token.

// durableOptions are the settings of a durable; the zero value works but for clear.
type durableOptions struct {
	// clear is made once per commit and called for everything that the cache refuses to lock: it brings what is
	// missing and waits for what is in the way, within its patience. An error ends the commit, surely not
	// executed.
	clear func() func(ctx context.Context, ops []*table.Op, r *table.Refused) error
	// ttl is how long a lock lasts; 10 seconds when 0.
	ttl time.Duration
	// step is called after each step, for tests that end the process there.
	step func(name string)
	log  *slog.Logger
}

// durable makes durable commits. It has no goroutines.
type durable struct {
	cache table.Cache
	store table.Durable
	specs map[string]*table.Spec // of all tables, by name
	o     durableOptions
}

func newDurable(cache table.Cache, store table.Durable, specs []*table.Spec, o durableOptions) *durable {
	if o.ttl <= 0 {
		o.ttl = 10 * time.Second
	}
	if o.step == nil {
		o.step = func(string) {}
	}
	if o.log == nil {
		o.log = slog.Default()
	}
	d := &durable{cache: cache, store: store, specs: map[string]*table.Spec{table.Once.Name: table.Once}, o: o}
	for _, s := range specs {
		d.specs[s.Name] = s
	}
	return d
}

// endWithin bounds what has to be done for a commit whose ctx may have ended: to show it, to learn how it
// ended, to let its rows go. What is not done then is done by whoever meets the locks.
const endWithin = 2 * time.Second

// part is what a commit does at one shard.
type part struct {
	shard  int
	ops    []*table.Op
	images []table.Image // of ops, when locked
}

// attempt is one try of a commit, under a token of its own.
type attempt struct {
	d     *durable
	token string
	parts []part
	n     int // that are locked
}

// commit executes c as table.Store.Commit says.
func (d *durable) commit(ctx context.Context, c *table.Commit) error {
	parts := d.parts(c)
	clear := d.o.clear()
	for {
		if err := d.unstored(ctx, c, clear); err != nil {
			return err
		}
		a := &attempt{d: d, token: durableToken(time.Now()), parts: parts}
		ops, refused, err := a.lock(ctx)
		switch {
		case err != nil:
			a.unlock(ctx)
			return notExecuted(err)
		case refused != nil:
			a.unlock(ctx)
			if err := clear(ctx, ops, refused); err != nil {
				return err
			}
			continue
		}
		err = a.write(ctx)
		if errors.Is(err, table.ErrAborted) && ctx.Err() == nil {
			continue // this was too slow for somebody; nothing was done
		}
		if e := (*table.ElsewhereError)(nil); errors.As(err, &e) && d.leaves(ctx, e.Ref) {
			// The row has been deleted there, and the database will be told: that has to come first.
			i := max(0, slices.IndexFunc(c.Ops, func(op table.Op) bool { return op.Table == e.Ref.Table && op.Key == e.Ref.Key }))
			if err := clear(ctx, []*table.Op{&c.Ops[i]}, &table.Refused{State: table.Wait}); err != nil {
				return err
			}
			continue
		}
		return err
	}
}

// unstored refuses inserts of keys that rows at other places have which the durable store does not know yet:
// of those with an auto id, whose insert did not ask it. What the durable store knows it judges itself.
func (d *durable) unstored(ctx context.Context, c *table.Commit, clear func(context.Context, []*table.Op, *table.Refused) error) error {
	for i := range c.Ops {
		op := &c.Ops[i]
		if op.Kind != table.Insert || op.Fresh || !op.Table.AutoID || !op.Table.PlacedApart() {
			continue
		}
		for again := true; again; {
			refs, err := d.cache.Unstored(ctx, op.Table, op.Key)
			if err != nil {
				return notExecuted(err)
			}
			refs = slices.DeleteFunc(refs, func(r table.Ref) bool { return r == op.Ref || c.Deletes(r) })
			out := make([]table.Cached, len(refs))
			if err := d.cache.Read(ctx, refs, out); err != nil {
				return notExecuted(err)
			}
			if slices.ContainsFunc(out, func(r table.Cached) bool { return r.State == table.Live }) {
				return op.ExistsError()
			}
			// What is neither there nor gone was stored just now, or has to be compared with the durable store.
			again = slices.ContainsFunc(out, func(r table.Cached) bool { return r.State != table.Gone })
			if again {
				if err := clear(ctx, []*table.Op{op}, &table.Refused{State: table.Wait}); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// leaves reports whether a row that the durable store has does not exist any more.
func (d *durable) leaves(ctx context.Context, ref table.Ref) bool {
	out := [1]table.Cached{}
	err := d.cache.Read(ctx, []table.Ref{ref}, out[:])
	return err == nil && out[0].State == table.Gone
}

// parts groups the ops of c by shard, in the order of shards.
func (d *durable) parts(c *table.Commit) (out []part) {
	at := map[int]int{}
	for i := range c.Ops {
		s := c.Ops[i].Place.Shard(d.cache.Shards())
		n, ok := at[s]
		if !ok {
			n = len(out)
			at[s] = n
			out = append(out, part{shard: s})
		}
		out[n].ops = append(out[n].ops, &c.Ops[i])
	}
	slices.SortFunc(out, func(a, b part) int { return a.shard - b.shard })
	return out
}

// durableToken names an attempt. It begins with the time, so that one can tell whether its decision is still
// remembered.
func durableToken(now time.Time) string {
	b := make([]byte, 12)
	_, _ = rand.Read(b) // it never fails
	return strconv.FormatInt(now.UnixMicro(), 36) + "-" + hex.EncodeToString(b)
}

// lock takes the rows. refused is about ops.
func (a *attempt) lock(ctx context.Context) (ops []*table.Op, refused *table.Refused, err error) {
	for a.n < len(a.parts) {
		p := &a.parts[a.n]
		p.images = make([]table.Image, len(p.ops))
		// An error may come after the rows were locked, so that they have to be let go too.
		a.n++
		refused, err := a.d.cache.Lock(ctx, p.shard, p.ops, a.token, a.d.o.ttl, p.images)
		if err != nil || refused != nil {
			return p.ops, refused, err
		}
		a.d.o.step("locked " + strconv.Itoa(a.n-1))
	}
	return nil, nil, nil
}

// notExecuted is the error of a step before the commit: whatever it says of itself, nothing was done.
func notExecuted(err error) error {
	switch firefly.CodeOf(err) {
	case firefly.Unknown, firefly.DeadlineExceeded, firefly.Canceled, firefly.Internal:
		return firefly.Unavailable.Errorf("nothing was done: %w", err)
	}
	return err
}

// detached is a ctx for what has to be done even though that of the commit may have ended.
func detached(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), endWithin)
}

// unlock lets the rows go as they were. What cannot be reached goes when its time is over.
func (a *attempt) unlock(ctx context.Context) {
	ctx, cancel := detached(ctx)
	defer cancel()
	for i := range a.parts[:a.n] {
		p := &a.parts[i]
		refs := make([]table.Ref, len(p.ops))
		for j, op := range p.ops {
			refs[j] = op.Ref
		}
		if err := a.d.cache.Unlock(ctx, p.shard, a.token, refs); err != nil {
			a.d.o.log.Warn("Locked rows are not let go; they are when the time of the lock is over", "shard", p.shard, "err", err)
		}
	}
	a.n = 0
}

// write commits what is locked.
func (a *attempt) write(ctx context.Context) error {
	d := a.d
	a.order()
	var shards []int
	var images []table.Image
	for i := range a.parts {
		p := &a.parts[i]
		writes := false
		for j := range p.images {
			if p.images[j].Version != 0 {
				images = append(images, p.images[j])
				writes = true
			}
		}
		if writes {
			shards = append(shards, p.shard)
		}
	}
	if len(images) == 0 {
		a.unlock(ctx)
		return nil // all is as the ops say
	}
	payload := appendPayload(nil, a.parts)
	var sure func(context.Context) error
	if d.cache.Forgets() {
		sure = a.sure
	}
	err := d.store.CommitDurably(ctx, a.token, payload, shards, images, sure)
	d.o.step("written")
	if firefly.CodeOf(err) == firefly.Unknown {
		return a.decide(ctx, err)
	}
	if err != nil {
		a.unlock(ctx)
		if firefly.CodeOf(err) == firefly.Conflict && !errors.Is(err, table.ErrAborted) {
			a.forget(ctx)
		}
		return notExecuted(err)
	}
	return a.apply(ctx)
}

// sure refuses the commit when the cache has forgotten that the rows are locked: then they may have been
// loaded and written by others. A cache that forgets from now on loads them when the durable store has them.
func (a *attempt) sure(ctx context.Context) error {
	for i := range a.parts {
		p := &a.parts[i]
		refs := make([]table.Ref, len(p.ops))
		for j, op := range p.ops {
			refs[j] = op.Ref
		}
		held, err := a.d.cache.Holds(ctx, p.shard, a.token, refs)
		switch {
		case err != nil:
			return firefly.Unavailable.Errorf("nothing was done: %w", err)
		case !held:
			return firefly.Conflict.Errorf("the cache has forgotten the locks: %w", table.ErrAborted)
		}
	}
	a.d.o.step("sure")
	return nil
}

// order gives the row of a key that is deleted at one place and inserted at another the higher version.
func (a *attempt) order() {
	type id struct {
		t *table.Spec
		k table.Key
	}
	gone := map[id]uint64{}
	for i := range a.parts {
		for _, im := range a.parts[i].images {
			if im.Deleted {
				gone[id{im.Table, im.Key}] = im.Version
			}
		}
	}
	if len(gone) == 0 {
		return
	}
	for i := range a.parts {
		p := &a.parts[i]
		for j := range p.images {
			im := &p.images[j]
			if v := gone[id{im.Table, im.Key}]; !im.Deleted && im.Version != 0 && v >= im.Version {
				im.Version = v + 1
				p.ops[j].Version = v + 1
			}
		}
	}
}

// forget has rows read anew of which the durable store has something newer.
func (a *attempt) forget(ctx context.Context) {
	ctx, cancel := detached(ctx)
	defer cancel()
	for i := range a.parts {
		for _, op := range a.parts[i].ops {
			_ = a.d.cache.Forget(ctx, []table.Ref{op.Ref}) // a dirty one is compared by the flusher
		}
	}
}

// decide ends an attempt of which it is not known whether the durable store committed it.
func (a *attempt) decide(ctx context.Context, unknown error) error {
	dctx, cancel := detached(ctx)
	defer cancel()
	committed, _, err := a.d.store.Decide(dctx, a.token)
	switch {
	case err != nil:
		return firefly.Unknown.Errorf("it is not known whether the database has made the commit: %w", unknown)
	case committed:
		return a.apply(ctx)
	}
	a.unlock(ctx)
	return firefly.Unavailable.Errorf("the database has not made the commit: %w", unknown)
}

// apply shows what is committed.
func (a *attempt) apply(ctx context.Context) error {
	ctx, cancel := detached(ctx)
	defer cancel()
	for i := range a.parts {
		p := &a.parts[i]
		if err := a.d.cache.Apply(ctx, p.shard, a.token, p.images); err != nil {
			a.d.o.log.Warn("A durable commit is made and not shown yet; it is when the time of its locks is over", "shard", p.shard, "err", err)
			return firefly.Unknown.Errorf("the database has made the commit, and the cache does not show it yet: %w", err)
		}
		a.d.o.step("applied " + strconv.Itoa(i))
	}
	return nil
}

// forgotten is how old a token is whose decision the durable store may not remember.
const forgotten = 24 * time.Hour

// resolve ends the commit of a lock that was met at a row and whose time is over: what is committed is
// shown, and otherwise it is aborted and the row let go.
func (d *durable) resolve(ctx context.Context, ref table.Ref, token string) error {
	committed, payload, err := d.store.Decide(ctx, token)
	if err != nil {
		return notExecuted(err)
	}
	if !committed {
		if err := d.cache.Unlock(ctx, ref.Place.Shard(d.cache.Shards()), token, []table.Ref{ref}); err != nil {
			return notExecuted(err)
		}
		if began, ok := tokenTime(token); !ok || time.Since(began) > forgotten {
			_ = d.cache.Forget(ctx, []table.Ref{ref})
		}
		return nil
	}
	parts, err := d.parsePayload(payload)
	if err != nil {
		return firefly.Unavailable.Errorf("%s is held by a commit that this process cannot show: %w", ref, err)
	}
	for i := range parts {
		if err := d.cache.Apply(ctx, parts[i].shard, token, parts[i].images); err != nil {
			return notExecuted(err)
		}
	}
	d.o.log.Info("A durable commit was shown in place of who made it", "row", ref.String(), "token", token)
	return nil
}

func tokenTime(token string) (time.Time, bool) {
	s, _, _ := strings.Cut(token, "-")
	n, err := strconv.ParseInt(s, 36, 64)
	return time.UnixMicro(n), err == nil
}
