package redisstore

import (
	"context"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/table"
)

// vouch begins the member of every list that names the generation it is good in.
const vouch = "%g:"

// ReadList implements table.CacheLists.
func (c *Cache) ReadList(ctx context.Context, l table.List) ([]table.Key, table.State, error) {
	key := c.listKey(l)
	n, err := c.conn.Node(ctx, key)
	if err != nil {
		return nil, 0, readError(ctx, err)
	}
	cmd := redis.NewStringSliceCmd(ctx, "smembers", key)
	if err := n.Read(ctx, cmd); err != nil {
		var out table.Cached
		return nil, table.Absent, c.missed(ctx, n, err, table.Ref{Table: l.Table, Place: l.Place}, &out)
	}
	if len(cmd.Val()) > 0 && c.used.due(key, l.Table.Idle) {
		n.Tell(ctx, redis.NewBoolCmd(ctx, "pexpire", key, l.Table.Idle.Milliseconds(), "gt"))
	}
	keys, good := members(l.Table, cmd.Val(), n.Generation())
	if !good {
		return nil, table.Absent, nil
	}
	return keys, table.Live, nil
}

// members parts the keys of a list from who vouches for it; good: the generation does.
func members(t *table.Spec, all []string, generation string) (keys []table.Key, good bool) {
	keys = make([]table.Key, 0, len(all))
	for _, m := range all {
		if gen, ok := strings.CutPrefix(m, vouch); ok {
			good = good || gen == generation
			continue
		}
		keys = append(keys, refOf(t, m).Key)
	}
	return keys, good
}

// LeaseList implements table.CacheLists.
func (c *Cache) LeaseList(ctx context.Context, l table.List, token string) ([]table.Key, table.State, error) {
	v, err := c.conn.Run(ctx, sLeaseList, []string{c.listKey(l), c.listLease(l), c.shardKey(l.Place, ofPins)},
		[]any{token, c.o.Lease.Milliseconds()})
	if err != nil {
		return nil, 0, err
	}
	return listAnswer(l.Table, v, nil)
}

// FillList implements table.CacheLists.
func (c *Cache) FillList(ctx context.Context, l table.List, token string, keys []table.Key) ([]table.Key, table.State, error) {
	args := make([]any, 0, 2+len(keys))
	args = append(args, token, l.Table.Idle.Milliseconds())
	for _, k := range keys {
		args = append(args, member(table.Ref{Table: l.Table, Key: k, Place: l.Place}))
	}
	v, err := c.conn.Run(ctx, sFillList, []string{c.listKey(l), c.listLease(l), c.shardKey(l.Place, ofPins)}, args)
	if err != nil {
		return nil, 0, err
	}
	return listAnswer(l.Table, v, keys)
}

func listAnswer(t *table.Spec, v any, filled []table.Key) ([]table.Key, table.State, error) {
	a, _ := v.([]any)
	if len(a) == 0 {
		return nil, 0, firefly.Internal.Errorf("Redis answered nothing for a list")
	}
	switch s, _ := a[0].(string); {
	case s == "A":
		return nil, table.Absent, nil
	case s == "W":
		return nil, table.Wait, nil
	case s == "F":
		return nil, table.Filling, nil
	case s == "D":
		return filled, table.Live, nil
	case len(a) < 2:
		return nil, 0, firefly.Internal.Errorf("Redis answered half for a list")
	}
	list, _ := a[1].([]any)
	keys := make([]table.Key, 0, len(list))
	for _, m := range list {
		if s, _ := m.(string); !strings.HasPrefix(s, vouch) {
			keys = append(keys, refOf(t, s).Key)
		}
	}
	return keys, table.Live, nil
}

func (c *Cache) shardKey(p table.Place, of string) string { return c.prefixes[c.shardOf(p)] + of }
