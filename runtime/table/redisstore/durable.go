package redisstore

import (
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/table"
)

// Lock implements table.CacheCommits.
func (c *Cache) Lock(ctx context.Context, shard int, ops []*table.Op, token string, ttl time.Duration, out []table.Image) (*table.Refused, error) {
	p := c.prefixes[shard]
	keys := append(make([]string, 0, 2+2*len(ops)), p+ofTx, p+ofDirty)
	args := append(make([]any, 0, 2+4*len(ops)), token, ttl.Milliseconds())
	for _, op := range ops {
		row := name(op.Ref)
		keys = append(keys, p+row, p+"*"+row)
		args = append(args, c.kind(op), c.layouts.of(op.Table).rev, casOf(op), row)
	}
	v, err := c.conn.Run(ctx, sLock, keys, args)
	if err != nil {
		return nil, err
	}
	a, _ := v.([]any)
	if len(a) != 2+len(ops) || a[0] != "OK" {
		return c.notLocked(a, ops)
	}
	text, _ := a[1].(string)
	version, err := strconv.ParseUint(text, 10, 64)
	for i, op := range ops {
		if err != nil {
			break
		}
		fields, _ := a[2+i].([]any)
		out[i], err = c.willBe(op, version, fields)
	}
	if err != nil {
		refs := make([]table.Ref, len(ops))
		for i := range ops {
			refs[i] = ops[i].Ref
		}
		// When this fails too, the time of the lock ends, and whoever meets it finds that nothing was committed.
		_ = c.Unlock(context.WithoutCancel(ctx), shard, token, refs)
		return nil, err
	}
	return nil, nil
}

// notLocked reads why a lock was refused.
func (c *Cache) notLocked(a []any, ops []*table.Op) (*table.Refused, error) {
	if len(a) < 2 {
		return nil, firefly.Internal.Errorf("Redis answered %v to a lock", a)
	}
	n, _ := a[1].(int64)
	i := int(n) - 1
	if i < 0 || i >= len(ops) {
		return nil, firefly.Internal.Errorf("Redis answered %v to a lock", a)
	}
	switch a[0] {
	case "LOCKED":
		if len(a) == 4 {
			token, _ := a[2].(string)
			return &table.Refused{State: table.Locked, Op: i, Lock: token, Expired: a[3] == int64(1)}, nil
		}
	case "WAIT":
		return &table.Refused{State: table.Wait, Op: i}, nil
	case "MISS":
		return &table.Refused{State: table.Absent, Op: i}, nil
	case "EXISTS":
		return nil, ops[i].ExistsError()
	case "NOTFOUND":
		return nil, ops[i].NotFoundError()
	case "CAS":
		return nil, ops[i].ConflictError()
	}
	return nil, firefly.Internal.Errorf("Redis answered %v to a lock", a)
}

// willBe is a locked row as it will be when the op is done.
func (c *Cache) willBe(op *table.Op, version uint64, fields []any) (table.Image, error) {
	l := c.layouts.of(op.Table)
	m, values, err := l.row(nil, flat(fields))
	if err != nil {
		return table.Image{}, firefly.Internal.Errorf("Redis: %w", err)
	}
	img := table.Image{Row: table.Row{Ref: op.Ref}, Tx: true}
	if m.state == 'L' {
		img.Before = values
	}
	op.Version, op.Sums = 0, nil
	switch op.Kind {
	case table.Check, table.CheckAbsent:
		return img, nil
	case table.Delete:
		img.Version, img.Deleted = version, true
		return img, nil
	}
	// Unset columns of an inserted row are what an empty hash says.
	now := slices.Clone(values)
	for _, s := range op.Set {
		now[s.Column] = s.Value
	}
	for _, a := range op.Add {
		if now[a.Column], err = op.Table.Sum(op.Ref, a.Column, now[a.Column], a.Delta); err != nil {
			return img, err
		}
		op.Sums = append(op.Sums, now[a.Column].Int())
	}
	img.Version, img.Values, op.Version = version, now, version
	return img, nil
}

// Apply implements table.CacheCommits.
func (c *Cache) Apply(ctx context.Context, shard int, token string, after []table.Image) error {
	p := c.prefixes[shard]
	keys := append(make([]string, 0, 1+2*len(after)), p+ofPins)
	args := append(make([]any, 0, 3+20*len(after)), token, c.o.ListIdle.Milliseconds(), "")
	for i := range after {
		img := &after[i]
		l := c.layouts.of(img.Table)
		row := name(img.Ref)
		args[2] = c.newsOf(args[2].(string), img.Table)
		keys = append(keys, p+row, p+"*"+row)
		what := "L"
		switch {
		case img.Version == 0:
			what = "U"
		case img.Deleted:
			what = "N"
		}
		rev := l.rev
		if len(img.Unknown) > 0 {
			rev = 0 // that of the row stays
		}
		args = append(args, what, img.Version, member(img.Ref), img.Table.Idle.Milliseconds(), c.negative(img.Table).Milliseconds(), rev, 0)
		at := len(args) - 1
		gone := 0
		if what == "L" {
			var n int
			args, n = l.sets(args, img.Values)
			args[at] = n // what is unknown is Zero, and not among them
			at = len(args)
			args = append(args, 0)
			for col, v := range img.Values {
				if _, keep := l.stored(col, v); !keep && !slices.Contains(img.Unknown, col) {
					args = append(args, l.fields[col])
					gone++
				}
			}
			args[at] = gone
		} else {
			args = append(args, 0)
		}
		at = len(args)
		args = append(args, 0)
		n := 0
		if what != "U" {
			for _, x := range l.exact {
				for join, values := range [][]table.Value{img.Before, img.Values} {
					if values == nil || img.Before != nil && img.Values != nil && sameBy(img.Table.Indexes[x].By, img.Before, img.Values) {
						continue
					}
					list := c.listName(img.Table, x, by(img.Table.Indexes[x].By, values))
					keys = append(keys, p+list, p+"*"+list)
					args = append(args, join)
					n++
				}
			}
		}
		args[at] = n
	}
	_, err := c.conn.Run(ctx, sApply, keys, args)
	return err
}

func by(columns []int, values []table.Value) []table.Value {
	out := make([]table.Value, len(columns))
	for i, col := range columns {
		out[i] = values[col]
	}
	return out
}

func sameBy(columns []int, a, b []table.Value) bool {
	for _, col := range columns {
		if a[col] != b[col] {
			return false
		}
	}
	return true
}

// Holds implements table.CacheCommits.
func (c *Cache) Holds(ctx context.Context, shard int, token string, refs []table.Ref) (bool, error) {
	keys := make([]string, len(refs))
	for i, r := range refs {
		keys[i] = c.prefixes[shard] + name(r)
	}
	v, err := c.conn.Run(ctx, sHolds, keys, []any{token})
	return v == int64(1), err
}

// Unlock implements table.CacheCommits.
func (c *Cache) Unlock(ctx context.Context, shard int, token string, refs []table.Ref) error {
	images := make([]table.Image, len(refs))
	for i := range refs {
		images[i].Ref = refs[i]
	}
	return c.Apply(ctx, shard, token, images)
}
