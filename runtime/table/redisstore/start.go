package redisstore

import (
	"context"
	"strconv"
	"strings"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/redisconn"
	"github.com/firefly-go/firefly/runtime/table"
)

// Start implements table.Cache.
func (c *Cache) Start(ctx context.Context, specs []*table.Spec) error {
	var replicated string
	for _, t := range specs {
		if t.Durability == table.Replicated {
			replicated = t.Name
		}
	}
	if replicated != "" && c.o.KeepsAll {
		return firefly.FailedPrecondition.Errorf("the table %s is REPLICATED, and the launch file says that no replica ever takes the place of Redis (keeps_all)", replicated)
	}
	needs := redisconn.Needs{
		Who: "tables", Evicted: "rows that are not stored yet", Stopped: "what is not stored yet is lost", Log: c.o.Log,
		Also: func(addr, info string) {
			if replicated != "" && redisconn.Field(info, "connected_slaves") == "0" {
				c.o.Log.Warn("Redis has no replica: commits to tables that are REPLICATED have an unknown outcome until there is one. "+
					"With min-replicas-to-write 1 they are refused instead", "addr", addr, "table", replicated)
			}
		},
	}
	if err := c.conn.Check(ctx, &needs); err != nil {
		return err
	}
	args := []any{len(c.prefixes)}
	for _, t := range specs {
		if strings.ContainsAny(t.Name, ":*@#") {
			return firefly.InvalidArgument.Errorf("redisstore: %q is no name of a table", t.Name)
		}
		args = append(args, t.Name, strconv.FormatUint(t.Shape, 16), numbers(t))
	}
	v, err := c.conn.Run(ctx, sRegister, []string{c.o.Namespace + ":tables"}, args)
	if err != nil {
		return err
	}
	a, _ := v.([]any)
	if len(a) != 1+len(specs) {
		return firefly.Internal.Errorf("Redis answered %v to the start", v)
	}
	if n, _ := a[0].(int64); int(n) != len(c.prefixes) {
		return firefly.FailedPrecondition.Errorf("the tables of %q in Redis have %d shards, and this process has %d. "+
			"To change it, stop all processes when everything is stored, delete the keys %s:*, and start them with the new number",
			c.o.Namespace, n, len(c.prefixes), c.o.Namespace)
	}
	for i, t := range specs {
		is, _ := a[1+i].([]any)
		if len(is) == 0 {
			return firefly.Internal.Errorf("Redis answered %v to the start", v)
		}
		rev, _ := is[0].(int64)
		c.layouts.add(t, int(rev), texts(is[1:]))
	}
	return nil
}

// numbers are those of the columns of a table: "1 2 3 ".
func numbers(t *table.Spec) string {
	var b strings.Builder
	for i := range t.Columns {
		b.WriteString(strconv.Itoa(int(t.Columns[i].Number)) + " ")
	}
	return b.String()
}
