package redisstore

import (
	"context"
	"slices"
	"strings"
	"time"
	"unsafe"

	"github.com/redis/go-redis/v9"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/redisconn"
	"github.com/firefly-go/firefly/runtime/table"
)

// Living implements table.CacheDirty.
func (c *Cache) Living(ctx context.Context, owner string, ttl time.Duration) (int, error) {
	v, err := c.conn.Run(ctx, sLiving, []string{c.o.Namespace + ":flushers"}, []any{owner, ttl.Milliseconds()})
	n, _ := v.(int64)
	return int(n), err
}

// Hold implements table.CacheDirty.
func (c *Cache) Hold(ctx context.Context, shard int, owner string, ttl time.Duration) (bool, error) {
	v, err := c.conn.Run(ctx, sHold, []string{c.prefixes[shard] + ofHolder}, []any{owner, ttl.Milliseconds()})
	return v == int64(1), err
}

// snapshots is how often rows are named and read until all of transactions were the same both times; the last
// time a script reads what it finds.
const snapshots = 3

// Take implements table.CacheDirty.
func (c *Cache) Take(ctx context.Context, shard int, owner string, most int, all bool) ([]table.Image, bool, error) {
	p := c.prefixes[shard]
	whole := 0
	if all {
		whole = 1
	}
	for try := range snapshots {
		v, err := c.conn.Run(ctx, sDue, []string{p + ofHolder, p + ofDirty, p + ofTx, p + ofPoison, p + ofSettled}, []any{owner, most, whole})
		if err != nil {
			return nil, false, err
		}
		a, _ := v.([]any)
		if len(a) != 6 {
			return nil, false, nil // the lease is lost
		}
		x, d, q := texts(a[1]), texts(a[2]), texts(a[3])
		settled := a[0] == int64(1)
		due, _ := a[4].(int64)
		if c.named != nil {
			c.named()
		}
		t := taking{shard: shard, owner: owner, x: x, d: d, q: q, due: int(due), last: try == snapshots-1}
		images, stale, again, held, err := c.snapshot(ctx, &t)
		switch {
		case err != nil || !held:
			return nil, held, err
		case again:
			continue
		case !settled && !stale && len(d) < most:
			// Everything that waits was looked at, and nothing of it is of another generation.
			if _, err := c.conn.Run(ctx, sSettle, []string{p + ofHolder, p + ofSettled}, []any{owner, a[5]}); err != nil {
				return nil, true, err
			}
		}
		return images, true, c.attempts(ctx, shard, images)
	}
	return nil, true, nil
}

func texts(v any) []string {
	a, _ := v.([]any)
	out := make([]string, 0, len(a))
	for _, s := range a {
		t, _ := s.(string)
		out = append(out, t)
	}
	return out
}

// taking are the names of rows that wait at a shard: all of transactions when one of them is due, single ones,
// and quarantined ones, of which more than due are wanted only when they are of another generation. last:
// the rows of transactions are those that are there by now.
type taking struct {
	shard   int
	owner   string
	x, d, q []string
	due     int
	last    bool
}

// snapshot reads rows by their names. stale: among the single ones are some of another generation. again:
// those of transactions are not all any more.
func (c *Cache) snapshot(ctx context.Context, t *taking) (images []table.Image, stale, again, held bool, err error) {
	p := c.prefixes[t.shard]
	if len(t.x)+len(t.d)+len(t.q) == 0 {
		return nil, false, false, true, nil
	}
	keys := append(make([]string, 0, 2+len(t.x)), p+ofHolder, p+ofTx)
	prefix, names := "", t.x
	if t.last && len(t.x) > 0 {
		prefix, names = p, nil
	}
	for _, n := range names {
		keys = append(keys, p+n)
	}
	// Those of transactions are read by a script, all at one moment; single ones by plain commands behind it,
	// which cost the server a third. Of these the server says by _d what became of them since they were named.
	var single []*redis.RawCmd
	v, err := c.conn.RunThen(ctx, sSnapshot, keys, []any{t.owner, len(t.x), prefix}, func() []redis.Cmder {
		out := make([]redis.Cmder, 0, len(t.d)+len(t.q))
		single = single[:0]
		for _, names := range [][]string{t.d, t.q} {
			for _, n := range names {
				cmd := redis.NewRawCmd(ctx, "hgetall", p+n)
				single, out = append(single, cmd), append(out, cmd)
			}
		}
		return out
	})
	if err != nil {
		return nil, false, false, false, err
	}
	if v == "AGAIN" {
		return nil, false, true, true, nil
	}
	a, ok := v.([]any)
	if !ok || len(a) != 3 {
		return nil, false, false, false, nil
	}
	if prefix != "" {
		names = texts(a[0])
	}
	x, quarantined := len(names), len(names)+len(t.d)
	rows, _ := a[1].([]any)
	if len(rows) != x {
		return nil, false, false, true, firefly.Internal.Errorf("Redis answered for %d rows of %d", len(rows), x)
	}
	names = slices.Concat(names, t.d, t.q)
	gen, _ := a[2].(string)
	partOfTx := true
	var others []string // that are not for this process to store
	for i, n := range names {
		var empty bool
		var next func() (string, string, bool)
		reply := &replies{}
		if i < x {
			fields, _ := rows[i].([]any)
			empty, next = len(fields) == 0, flat(fields)
		} else {
			if reply, err = replied(single[i-x]); err != nil {
				return nil, false, false, true, err
			}
			empty, next = reply.left == 0, reply.next
		}
		img, m, ok, err := c.image(ctx, t.shard, n, empty, next)
		if err == nil && reply.bad {
			err = firefly.Internal.Errorf("Redis: half an answer for %s", n)
		}
		if err != nil {
			return nil, false, false, true, err
		}
		if !ok {
			if partOfTx = partOfTx && (i >= x || empty); i >= x && !empty {
				others = append(others, n)
			}
			continue
		}
		if i >= x && m.dirty == 'x' {
			continue // since it was named it was written together with others, and is stored with them
		}
		img.Reconcile = m.gen != gen
		img.Tag = tag(gen, m.pins)
		if m.lock != "" && m.passed() {
			img.Lock = m.locked()
		}
		if i >= quarantined+t.due && !img.Reconcile {
			continue
		}
		stale = stale || img.Reconcile && i < quarantined
		img.Tx = i < x
		if m.dirty == 'q' {
			img.Attempts = 1
		}
		images = append(images, img)
	}
	if !partOfTx {
		// One of a transaction is not for this process to store, so none of them is.
		out := images[:0]
		for _, img := range images {
			if !img.Tx {
				out = append(out, img)
			}
		}
		images = out
	}
	return images, stale, false, true, c.postpone(ctx, t.shard, others)
}

// otherwiseIn is how long rows are left alone that another build has to store. Without that they would be the
// first that are due, again and again, and all others behind them.
const otherwiseIn = time.Second

// postpone leaves rows alone for a while.
func (c *Cache) postpone(ctx context.Context, shard int, names []string) error {
	if len(names) == 0 {
		return nil
	}
	p := c.prefixes[shard]
	args := append(make([]any, 0, 1+2*len(names)), time.Now().Add(otherwiseIn).UnixMilli())
	for _, n := range names {
		args = append(args, 0, n)
	}
	_, err := c.conn.Run(ctx, sDelay, []string{p + ofDirty, p + ofTx, p + ofPoison}, args)
	return err
}

// image reads a row that waits. ok is false when it is not to be stored by this process: its table is not
// known here, or who wrote it knew columns that are not, or it is not there.
func (c *Cache) image(ctx context.Context, shard int, name string, empty bool, next func() (field, value string, ok bool)) (img table.Image, m meta, ok bool, err error) {
	if empty {
		return img, m, false, c.vanished(ctx, shard, name)
	}
	t, member, _ := strings.Cut(name, ":")
	l := c.layouts.named(t)
	if l == nil {
		c.warn.once("table "+t, "Rows wait of a table that this process does not know", "table", t)
		return img, m, false, nil
	}
	m, values, err := l.row(nil, next)
	if err != nil {
		return img, m, false, firefly.Internal.Errorf("Redis: %w", err)
	}
	if m.rev > l.rev {
		c.warn.once("newer "+t, "Rows wait that were written by a newer build; a flusher of that build stores them", "table", t)
		return img, m, false, nil
	}
	img.Row = table.Row{Ref: refOf(l.spec, member), Version: m.version}
	if m.state == 'T' {
		img.Deleted = true
	} else {
		img.Values = values
		img.Unknown = l.missing(m.rev)
	}
	return img, m, true, nil
}

// replied is the answer of a HGETALL that did not fail. What is read of it belongs to the row from here on.
func replied(cmd *redis.RawCmd) (*replies, error) {
	b := cmd.Val()
	if err := rawError(cmd.Err(), b); err != nil {
		return nil, firefly.Internal.Errorf("Redis: %w", err)
	}
	r := newReplies(unsafe.String(unsafe.SliceData(b), len(b)))
	if r.bad {
		return nil, firefly.Internal.Errorf("Redis: %q is no answer to HGETALL", b)
	}
	return r, nil
}

// vanished is called when a row waits that is not there: somebody deleted keys past this cache.
func (c *Cache) vanished(ctx context.Context, shard int, name string) error {
	c.lost.Add(1)
	c.o.Log.Error("A row that was not stored is not there: somebody deletes keys of the cache", "row", name)
	p := c.prefixes[shard]
	_, err := c.conn.Run(ctx, sDrop, []string{p + ofDirty, p + ofTx, p + ofPoison, p + ofErrors, p + name}, []any{name})
	return err
}

// tag keeps in an image in which generation it was taken, and the lists that its row pinned.
func tag(gen, pins string) string { return gen + "\x00" + pins }

func tagged(img *table.Image) (gen string, pins []string) {
	gen, all, _ := strings.Cut(img.Tag, "\x00")
	if all == "" {
		return gen, nil
	}
	return gen, strings.Split(all, "\x00")
}

// Same implements table.CacheDirty.
func (c *Cache) Same(ctx context.Context, batch []table.ShardBatch) (bool, error) {
	now := map[*redisconn.Node]any{} // the generations of the servers
	for i := range batch {
		p := c.prefixes[batch[i].Shard]
		n, err := c.conn.Node(ctx, p)
		if err != nil {
			return false, readError(ctx, err)
		}
		if now[n] == nil {
			if now[n], err = c.conn.Run(ctx, sGeneration, []string{p + ofHolder}, nil); err != nil {
				return false, err
			}
		}
		for j := range batch[i].Images {
			if gen, _ := tagged(&batch[i].Images[j]); gen != now[n] {
				return false, nil
			}
		}
	}
	return true, nil
}

// Ack implements table.CacheDirty.
func (c *Cache) Ack(ctx context.Context, shard int, stored []table.Image) error {
	keys, args := c.ended(shard, stored, []any{c.o.ListIdle.Milliseconds()}, func(args []any, img *table.Image) []any {
		gen, _ := tagged(img)
		return append(args, img.Table.Idle.Milliseconds(), c.negative(img.Table).Milliseconds(), img.Table.Flush.Milliseconds(), gen)
	})
	_, err := c.conn.Run(ctx, sAck, keys, args)
	return err
}

// Delay implements table.CacheDirty.
func (c *Cache) Delay(ctx context.Context, shard int, images []table.Image, until time.Time) error {
	p := c.prefixes[shard]
	args := append(make([]any, 0, 1+2*len(images)), until.UnixMilli())
	for i := range images {
		tx := 0
		if images[i].Tx {
			tx = 1
		}
		args = append(args, tx, name(images[i].Ref))
	}
	_, err := c.conn.Run(ctx, sDelay, []string{p + ofDirty, p + ofTx, p + ofPoison}, args)
	return err
}

// Yield implements table.CacheDirty.
func (c *Cache) Yield(ctx context.Context, shard int, ahead []table.Image) error {
	channel := ""
	for i := range ahead {
		channel = c.newsOf(channel, ahead[i].Table)
	}
	keys, args := c.ended(shard, ahead, []any{c.o.ListIdle.Milliseconds(), "", channel}, nil)
	_, err := c.conn.Run(ctx, sYield, keys, args)
	return err
}

// ended puts images into the shape that scripts have that end their waiting.
func (c *Cache) ended(shard int, images []table.Image, args []any, times func([]any, *table.Image) []any) ([]string, []any) {
	p := c.prefixes[shard]
	keys := append(make([]string, 0, 5+2*len(images)), p+ofDirty, p+ofTx, p+ofPoison, p+ofErrors, p+ofPins)
	for i := range images {
		img := &images[i]
		row := name(img.Ref)
		_, lists := tagged(img)
		keys = append(append(keys, p+row), lists...)
		args = append(args, row, img.Version)
		if times != nil {
			args = times(args, img)
		}
		args = append(args, len(lists))
	}
	return keys, args
}

// Count implements table.Cache.
func (c *Cache) Count(ctx context.Context, shard int) (table.DirtyCount, error) {
	p := c.prefixes[shard]
	n, err := c.conn.Node(ctx, p)
	if err != nil {
		return table.DirtyCount{}, readError(ctx, err)
	}
	var d, x, q *redis.IntCmd
	var first [2]*redis.ZSliceCmd
	_, err = n.Client.Pipelined(ctx, func(pl redis.Pipeliner) error {
		d, x, q = pl.ZCard(ctx, p+ofDirty), pl.ZCard(ctx, p+ofTx), pl.ZCard(ctx, p+ofPoison)
		first[0], first[1] = pl.ZRangeWithScores(ctx, p+ofDirty, 0, 0), pl.ZRangeWithScores(ctx, p+ofTx, 0, 0)
		return nil
	})
	if err != nil {
		return table.DirtyCount{}, readError(ctx, err)
	}
	out := table.DirtyCount{Plain: int(d.Val()), Tx: int(x.Val()), Poisoned: int(q.Val())}
	for _, f := range first {
		for _, z := range f.Val() {
			at := time.UnixMilli(int64(z.Score))
			if row, ok := z.Member.(string); ok {
				// What is written there is when it is due.
				if t, _, _ := strings.Cut(row, ":"); c.layouts.named(t) != nil {
					at = at.Add(-c.layouts.named(t).spec.Flush)
				}
			}
			if out.Oldest.IsZero() || at.Before(out.Oldest) {
				out.Oldest = at
			}
		}
	}
	return out, nil
}
