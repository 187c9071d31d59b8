package redisstore

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/table"
)

// Poison implements table.CacheQuarantine.
func (c *Cache) Poison(ctx context.Context, shard int, image table.Image, reason string, next time.Time) error {
	p, row := c.prefixes[shard], name(image.Ref)
	_, err := c.conn.Run(ctx, sPoison, []string{p + ofDirty, p + ofTx, p + ofPoison, p + ofErrors, p + row},
		[]any{row, image.Version, next.UnixMilli(), reason})
	return err
}

// attempts fills in how often quarantined rows were refused.
func (c *Cache) attempts(ctx context.Context, shard int, images []table.Image) error {
	var at []int
	var names []string
	for i := range images {
		if images[i].Attempts > 0 {
			at, names = append(at, i), append(names, name(images[i].Ref))
		}
	}
	if at == nil {
		return nil
	}
	key := c.prefixes[shard] + ofErrors
	n, err := c.conn.Node(ctx, key)
	if err != nil {
		return readError(ctx, err)
	}
	notes, err := n.Client.HMGet(ctx, key, names...).Result()
	if err != nil {
		return readError(ctx, err)
	}
	for j, i := range at {
		s, _ := notes[j].(string)
		images[i].Attempts = max(1, note(s).Attempts)
	}
	return nil
}

// note reads "attempts version why".
func note(s string) (p table.Poisoned) {
	parts := strings.SplitN(s, " ", 3)
	if len(parts) == 3 {
		p.Attempts, _ = strconv.Atoi(parts[0])
		p.Version, _ = strconv.ParseUint(parts[1], 10, 64)
		p.Error = parts[2]
	}
	return p
}

// Poisoned implements table.CacheQuarantine. Rows of tables that this process does not know are not in it.
func (c *Cache) Poisoned(ctx context.Context, shard int) ([]table.Poisoned, error) {
	p := c.prefixes[shard]
	n, err := c.conn.Node(ctx, p)
	if err != nil {
		return nil, readError(ctx, err)
	}
	var due *redis.ZSliceCmd
	var notes *redis.MapStringStringCmd
	if _, err := n.Client.Pipelined(ctx, func(pl redis.Pipeliner) error {
		due, notes = pl.ZRangeWithScores(ctx, p+ofPoison, 0, -1), pl.HGetAll(ctx, p+ofErrors)
		return nil
	}); err != nil {
		return nil, readError(ctx, err)
	}
	out := make([]table.Poisoned, 0, len(due.Val()))
	for _, z := range due.Val() {
		row, _ := z.Member.(string)
		t, member, _ := strings.Cut(row, ":")
		l := c.layouts.named(t)
		if l == nil {
			continue
		}
		one := note(notes.Val()[row])
		one.Next = time.UnixMilli(int64(z.Score))
		one.Ref = refOf(l.spec, member)
		out = append(out, one)
	}
	return out, nil
}

// Retry implements table.CacheQuarantine.
func (c *Cache) Retry(ctx context.Context, ref table.Ref) (bool, error) {
	v, err := c.conn.Run(ctx, sRetry, []string{c.shardKey(ref.Place, ofPoison)}, []any{name(ref)})
	return v == int64(1), err
}

// discards is how often a row is read and given up until it was the same both times.
const discards = 16

// Discard implements table.CacheQuarantine.
func (c *Cache) Discard(ctx context.Context, ref table.Ref) ([]table.Value, bool, error) {
	shard := c.shardOf(ref.Place)
	p, row := c.prefixes[shard], name(ref)
	for range discards {
		n, err := c.conn.Node(ctx, p)
		if err != nil {
			return nil, false, readError(ctx, err)
		}
		fields, err := n.Client.Do(ctx, "hgetall", p+row).Result()
		if err != nil {
			return nil, false, readError(ctx, err)
		}
		m, values, err := c.layouts.of(ref.Table).row(nil, pairs(fields))
		if err != nil {
			return nil, false, firefly.Internal.Errorf("Redis: %w", err)
		}
		if m.dirty != 'q' {
			return nil, false, nil
		}
		img := table.Image{Row: table.Row{Ref: ref, Version: m.version}, Tag: tag("", m.pins)}
		keys, args := c.ended(shard, []table.Image{img}, []any{c.o.ListIdle.Milliseconds(), "q", c.newsOf("", ref.Table)}, nil)
		v, err := c.conn.Run(ctx, sYield, keys, args)
		if err != nil {
			return nil, false, err
		}
		if a, _ := v.([]any); len(a) == 1 {
			if m.state != 'L' {
				values = nil
			}
			return values, true, nil
		}
	}
	return nil, false, firefly.Unavailable.Errorf("%s: somebody else writes it again and again", ref)
}

// pairs goes through what HGETALL answered through Do: a map with RESP3, else a list.
func pairs(v any) func() (string, string, bool) {
	m, ok := v.(map[any]any)
	if !ok {
		a, _ := v.([]any)
		return flat(a)
	}
	a := make([]any, 0, 2*len(m))
	for f, v := range m {
		a = append(a, f, v)
	}
	return flat(a)
}
