package redisstore_test

import (
	"context"
	"log/slog"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/firefly-go/firefly/runtime/table"
	"github.com/firefly-go/firefly/runtime/table/redisstore"
	"github.com/firefly-go/firefly/runtime/table/tabletest"
	"github.com/firefly-go/firefly/runtime/table/tabletest/servers"
)

// bench is a cache with one player in it.
type bench struct {
	cache  *redisstore.Cache
	raw    *redis.Client
	key    string
	player table.Ref
	tables *tabletest.Tables
}

func newBench(b *testing.B) *bench {
	s := servers.NewRedis(b, "everysec")
	c, err := redisstore.Open(redisstore.Options{URL: "redis://" + s.Addr(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = c.Close() })
	x := &bench{cache: c, raw: redis.NewClient(&redis.Options{Addr: s.Addr()}), tables: tabletest.NewTables("")}
	b.Cleanup(func() { _ = x.raw.Close() })
	ctx := context.Background()
	if err := c.Start(ctx, x.tables.Specs()); err != nil {
		b.Fatal(err)
	}
	values, err := x.tables.Player.Values(&tabletest.Player{ID: 42, Name: "Ann", Gold: 12345, Wins: 7, Rating: 1502.5, Face: make([]byte, 40), Guild: 9}, nil)
	if err != nil {
		b.Fatal(err)
	}
	op := table.Op{Kind: table.Insert, Ref: x.tables.Player.Ref(42), Fresh: true}
	for i, v := range values {
		op.Set = append(op.Set, table.Assign{Column: i, Value: v})
	}
	if refused, err := c.Commit(ctx, &table.Commit{Ops: []table.Op{op}}); err != nil || refused != nil {
		b.Fatal(refused, err)
	}
	x.player = op.Ref
	keys := x.raw.Keys(ctx, "*:player:42").Val()
	if len(keys) != 1 {
		b.Fatal(keys)
	}
	x.key = keys[0]
	return x
}

// callers runs f b.N times from n goroutines.
func callers(b *testing.B, n int, f func() error) {
	b.ReportAllocs()
	var wg sync.WaitGroup
	per := b.N/n + 1
	b.ResetTimer()
	for range n {
		wg.Go(func() {
			for range per {
				if err := f(); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func both(b *testing.B, name string, f func() error) {
	b.Run(name+"/1", func(b *testing.B) { callers(b, 1, f) })
	b.Run(name+"/64", func(b *testing.B) { callers(b, 64, f) })
}

func BenchmarkTables(b *testing.B) {
	x := newBench(b)
	ctx := context.Background()
	both(b, "hgetall", func() error { return x.raw.HGetAll(ctx, x.key).Err() })
	refs := []table.Ref{x.player}
	both(b, "read", func() error {
		var out [1]table.Cached
		if err := x.cache.Read(ctx, refs, out[:]); err != nil || out[0].State != table.Live {
			b.Fatal(out[0].State, err)
		}
		return nil
	})
	both(b, "commit", func() error {
		_, err := x.cache.Commit(ctx, &table.Commit{Ops: []table.Op{{Kind: table.Update, Ref: x.player, Set: []table.Assign{{Column: tabletest.PlayerGold, Value: table.IntOf(5)}}}}})
		return err
	})
	both(b, "add", func() error {
		_, err := x.cache.Commit(ctx, &table.Commit{Ops: []table.Op{{Kind: table.Update, Ref: x.player, Add: []table.AddTo{{Column: tabletest.PlayerGold, Delta: 1}}}}})
		return err
	})
	both(b, "hset", func() error { return x.raw.HSet(ctx, x.key, "3", 5).Err() })
}
