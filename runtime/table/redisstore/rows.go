package redisstore

import (
	"context"
	"fmt"
	"strings"
	"time"
	"unsafe"

	"github.com/redis/go-redis/v9"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/redisconn"
	"github.com/firefly-go/firefly/runtime/table"
)

// Read implements table.CacheRows.
func (c *Cache) Read(ctx context.Context, refs []table.Ref, out []table.Cached) error {
	if len(refs) == 1 {
		return c.readOne(ctx, refs[0], &out[0])
	}
	if len(refs) == 0 {
		return nil
	}
	return c.readMany(ctx, refs, out)
}

// readOne is the hot path: one plain command, sent together with those of others.
func (c *Cache) readOne(ctx context.Context, ref table.Ref, out *table.Cached) error {
	l := c.layouts.of(ref.Table)
	key := c.rowKey(ref)
	n, err := c.conn.Node(ctx, key)
	if err != nil {
		return readError(ctx, err)
	}
	cmd := redis.NewRawCmd(ctx, "hgetall", key)
	err = n.Read(ctx, cmd)
	if err = rawError(err, cmd.Val()); err != nil {
		return c.missed(ctx, n, err, ref, out)
	}
	if err := l.cached(n, ref, cmd.Val(), out); err != nil {
		return err
	}
	c.keep(ctx, n, key, out)
	return nil
}

// keep sees to it that a row which is read now and then does not run out of time. Nobody waits for that. What
// is not stored yet has no time to run out of, and that a row does not exist is not worth keeping.
func (c *Cache) keep(ctx context.Context, n *redisconn.Node, key string, row *table.Cached) {
	if idle := row.Table.Idle; row.State == table.Live && !row.Dirty && c.used.due(key, idle) {
		// GT leaves alone what has no time to live, because somebody wrote it meanwhile.
		n.Tell(ctx, redis.NewBoolCmd(ctx, "pexpire", key, idle.Milliseconds(), "gt"))
	}
}

// replyError is an error that a server answered, in an answer that is read by us.
type replyError string

func (e replyError) Error() string { return string(e) }

// RedisError implements redis.Error.
func (replyError) RedisError() {}

func rawError(err error, reply []byte) error {
	if err == nil && len(reply) == 0 {
		return redisconn.ErrNoAnswer
	}
	if err == nil && len(reply) > 0 && reply[0] == '-' {
		return replyError(strings.TrimSpace(string(reply[1:])))
	}
	return err
}

// missed is what a read gives that did not work: nothing is known when the server is another one now, and
// the script that asks next finds it.
func (c *Cache) missed(ctx context.Context, n *redisconn.Node, err error, ref table.Ref, out *table.Cached) error {
	if f := redisconn.FateOf(err); f == redisconn.Elsewhere {
		c.conn.Elsewhere(ctx, n)
	} else if f == redisconn.Wrong {
		return firefly.Internal.Errorf("Redis: %s: %w", ref, err)
	} else if ctx.Err() != nil {
		return readError(ctx, ctx.Err())
	}
	*out = table.Cached{Row: table.Row{Ref: ref, Values: out.Values}, State: table.Absent}
	return nil
}

// cached reads a row as HGETALL gave it.
func (l *layout) cached(n *redisconn.Node, ref table.Ref, reply []byte, out *table.Cached) error {
	values := out.Values
	*out = table.Cached{Row: table.Row{Ref: ref, Values: values[:0]}}
	// The reply is read once into its own memory, which belongs to the row from here on.
	r := newReplies(unsafe.String(unsafe.SliceData(reply), len(reply)))
	if r.left == 0 && !r.bad {
		return nil
	}
	m, values, err := l.row(values, r.next)
	if err == nil && r.bad {
		err = fmt.Errorf("%s: %q is no answer to HGETALL", ref, reply)
	}
	if err != nil {
		return firefly.Internal.Errorf("Redis: %w", err)
	}
	// What was read after this generation was known is at most as new; a row of another one is looked at by a
	// script.
	if n.Generation() != m.gen || m.rev < l.rev {
		return nil
	}
	m.fill(values, out)
	return nil
}

// fill turns a usable row into what the port has.
func (m *meta) fill(values []table.Value, out *table.Cached) {
	out.Dirty = m.dirty != 0
	if m.lock != "" {
		out.Lock, out.Expired = m.locked(), m.over || m.passed()
	}
	if m.state != 'L' {
		out.State, out.Values = table.Gone, values[:0]
		return
	}
	out.State, out.Version, out.Values = table.Live, m.version, values
}

// readMany reads rows in one round trip per server.
func (c *Cache) readMany(ctx context.Context, refs []table.Ref, out []table.Cached) error {
	type batch struct {
		n    *redisconn.Node
		p    redis.Pipeliner
		cmds []*redis.RawCmd
		keys []string
		at   []int
	}
	var batches []*batch
	for i, ref := range refs {
		key := c.rowKey(ref)
		n, err := c.conn.Node(ctx, key)
		if err != nil {
			return readError(ctx, err)
		}
		var b *batch
		for _, have := range batches {
			if have.n == n {
				b = have
			}
		}
		if b == nil {
			b = &batch{n: n, p: n.Client.Pipeline()}
			batches = append(batches, b)
		}
		cmd := redis.NewRawCmd(ctx, "hgetall", key)
		_ = b.p.Process(ctx, cmd)
		b.cmds, b.keys, b.at = append(b.cmds, cmd), append(b.keys, key), append(b.at, i)
	}
	all(len(batches), func(i int) { _, _ = batches[i].p.Exec(ctx) })
	for _, b := range batches {
		for j, cmd := range b.cmds {
			i := b.at[j]
			err := rawError(cmd.Err(), cmd.Val())
			if err != nil {
				err = c.missed(ctx, b.n, err, refs[i], &out[i])
			} else {
				err = c.layouts.of(refs[i].Table).cached(b.n, refs[i], cmd.Val(), &out[i])
			}
			if err == nil {
				c.keep(ctx, b.n, b.keys[j], &out[i])
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// byShard calls f at once for the rows of each shard, with their positions in refs.
func (c *Cache) byShard(refs []table.Ref, f func(shard int, at []int) error) error {
	groups := map[int][]int{}
	var order []int
	for i := range refs {
		s := c.shardOf(refs[i].Place)
		if groups[s] == nil {
			order = append(order, s)
		}
		groups[s] = append(groups[s], i)
	}
	errs := make([]error, len(order))
	all(len(order), func(i int) { errs[i] = f(order[i], groups[order[i]]) })
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// Lease implements table.CacheRows.
func (c *Cache) Lease(ctx context.Context, refs []table.Ref, token string, out []table.Cached) error {
	return c.byShard(refs, func(_ int, at []int) error {
		keys := make([]string, 0, 2*len(at))
		args := []any{token, c.o.Lease.Milliseconds()}
		for _, i := range at {
			keys = append(keys, c.rowKey(refs[i]), c.leaseKey(refs[i]))
			args = append(args, c.layouts.of(refs[i].Table).rev)
		}
		v, err := c.conn.Run(ctx, sLease, keys, args)
		if err != nil {
			return err
		}
		return c.looked(v, refs, at, nil, out)
	})
}

// looked reads the answers of lease and fill; rows are those that were filled.
func (c *Cache) looked(v any, refs []table.Ref, at []int, rows []table.Row, out []table.Cached) error {
	list, _ := v.([]any)
	if len(list) != len(at) {
		return firefly.Internal.Errorf("Redis answered for %d rows of %d", len(list), len(at))
	}
	for j, i := range at {
		a, _ := list[j].([]any)
		if len(a) == 0 {
			return firefly.Internal.Errorf("Redis answered nothing for %s", refs[i])
		}
		o := &out[i]
		values := o.Values
		*o = table.Cached{Row: table.Row{Ref: refs[i], Values: values[:0]}}
		switch s, _ := a[0].(string); s {
		case "A":
		case "W":
			o.State = table.Wait
			if len(a) == 3 {
				o.Lock, _ = a[1].(string)
				o.Lock = (&meta{lock: o.Lock}).locked()
				over, _ := a[2].(int64)
				o.Expired = over == 1
			}
		case "F":
			o.State = table.Filling
		case "D":
			if i >= len(rows) {
				return firefly.Internal.Errorf("Redis answered for %s that it was filled", refs[i])
			}
			o.Row, o.State = rows[i], table.Live
			if rows[i].Version == 0 {
				o.State = table.Gone
			}
		default:
			if len(a) < 2 {
				return firefly.Internal.Errorf("Redis answered half for %s", refs[i])
			}
			fields, _ := a[1].([]any)
			m, values, err := c.layouts.of(refs[i].Table).row(values, flat(fields))
			if err != nil {
				return firefly.Internal.Errorf("Redis: %w", err)
			}
			m.fill(values, o)
		}
	}
	return nil
}

// Fill implements table.CacheRows.
func (c *Cache) Fill(ctx context.Context, rows []table.Row, token string, out []table.Cached) error {
	refs := make([]table.Ref, len(rows))
	for i := range rows {
		refs[i] = rows[i].Ref
	}
	return c.byShard(refs, func(_ int, at []int) error {
		keys := make([]string, 0, 2*len(at))
		args := []any{token}
		for _, i := range at {
			l := c.layouts.of(refs[i].Table)
			keys = append(keys, c.rowKey(refs[i]), c.leaseKey(refs[i]))
			if rows[i].Version == 0 {
				args = append(args, l.rev, 0, c.negative(refs[i].Table).Milliseconds(), 0)
				continue
			}
			args = append(args, l.rev, rows[i].Version, refs[i].Table.Idle.Milliseconds(), 0)
			at := len(args) - 1
			var n int
			args, n = l.sets(args, rows[i].Values)
			args[at] = n
		}
		v, err := c.conn.Run(ctx, sFill, keys, args)
		if err != nil {
			return err
		}
		return c.looked(v, refs, at, rows, out)
	})
}

// negative is how long it is remembered that a row does not exist.
func (c *Cache) negative(t *table.Spec) time.Duration { return min(t.Idle, c.o.Negative) }

// Forget implements table.CacheRows.
func (c *Cache) Forget(ctx context.Context, refs []table.Ref) error {
	return c.byShard(refs, func(_ int, at []int) error {
		channel := ""
		keys := make([]string, 0, 2*len(at))
		for _, i := range at {
			keys = append(keys, c.rowKey(refs[i]), c.leaseKey(refs[i]))
			channel = c.newsOf(channel, refs[i].Table)
		}
		v, err := c.conn.Run(ctx, sForget, keys, []any{channel})
		if err != nil {
			return err
		}
		var kept []string
		list, _ := v.([]any)
		for _, n := range list {
			if i, _ := n.(int64); i >= 1 && int(i) <= len(at) {
				kept = append(kept, refs[at[i-1]].String())
			}
		}
		if kept != nil {
			return firefly.FailedPrecondition.Errorf("not stored yet, so not to be forgotten: %s", strings.Join(kept, ", "))
		}
		return nil
	})
}

// readError is the error of a read.
func readError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return firefly.DeadlineExceeded.Errorf("Redis did not answer in time: %w", err)
	}
	return firefly.Unavailable.Errorf("Redis: %w", err)
}
