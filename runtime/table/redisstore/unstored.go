package redisstore

import (
	"context"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/firefly-go/firefly/runtime/redisconn"
	"github.com/firefly-go/firefly/runtime/table"
)

// unstoredStep is how many names a server looks at for one answer.
const unstoredStep = 10_000

var globs = strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`, "]", `\]`)

// Unstored implements table.CacheRows.
func (c *Cache) Unstored(ctx context.Context, t *table.Spec, key table.Key) ([]table.Ref, error) {
	pattern := globs.Replace(t.Name+":"+string(key)+":") + "*"
	type scan struct {
		n      *redisconn.Node
		key    string
		cursor uint64
		cmd    *redis.ScanCmd
	}
	var left []*scan
	for _, p := range c.prefixes {
		for _, of := range []string{ofDirty, ofTx, ofPoison} {
			n, err := c.conn.Node(ctx, p)
			if err != nil {
				return nil, readError(ctx, err)
			}
			left = append(left, &scan{n: n, key: p + of})
		}
	}
	var out []table.Ref
	for len(left) > 0 {
		pipes := map[*redisconn.Node]redis.Pipeliner{}
		for _, s := range left {
			if pipes[s.n] == nil {
				pipes[s.n] = s.n.Client.Pipeline()
			}
			s.cmd = pipes[s.n].ZScan(ctx, s.key, s.cursor, pattern, unstoredStep)
		}
		for _, p := range pipes {
			if _, err := p.Exec(ctx); err != nil {
				return nil, readError(ctx, err)
			}
		}
		rest := left[:0]
		for _, s := range left {
			names, cursor := s.cmd.Val()
			for i := 0; i+1 < len(names); i += 2 { // each has its score behind it
				_, member, _ := strings.Cut(names[i], ":")
				out = append(out, refOf(t, member))
			}
			if s.cursor = cursor; cursor != 0 {
				rest = append(rest, s)
			}
		}
		left = rest
	}
	return out, nil
}
