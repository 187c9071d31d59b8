package main

import (
	"context"
	"fmt"

	"github.com/redis/go-redis/v9"

	"example.com/bench/benchpb"
)

// turn gives the keys of a caller's rows, one after the other.
func turn(caller int) func() benchpb.HeroKey {
	n := 0
	return func() benchpb.HeroKey {
		n++
		return benchpb.HeroKey{OwnerID: int64(1 + caller + 64*(n/each%(owners/64))), ID: int64(1 + n%each)}
	}
}

// rawKey is the name of a row in Redis.
func (w *world) rawKey(ctx context.Context, raw *redis.Client, k benchpb.HeroKey) (string, error) {
	keys, err := raw.Keys(ctx, fmt.Sprintf("*}:hero:%d:%d", k.OwnerID, k.ID)).Result()
	if err != nil || len(keys) != 1 {
		return "", fmt.Errorf("%d keys of one row: %w", len(keys), err)
	}
	return keys[0], nil
}

// benchGet reads rows that are in the cache.
func benchGet(ctx context.Context, b *bed) error {
	names := map[benchpb.HeroKey]string{}
	for caller := range 64 {
		next := turn(caller)
		for range owners / 64 * each {
			k := next()
			if names[k] != "" {
				continue
			}
			name, err := b.everysec.rawKey(ctx, b.raw, k)
			if err != nil {
				return err
			}
			names[k] = name
		}
	}
	piped, err := b.raw.AutoPipeline()
	if err != nil {
		return err
	}
	// What is read by hand is read for something: a map of the fields, as go-redis gives it.
	hgetall := func(c interface {
		HGetAll(context.Context, string) *redis.MapStringStringCmd
	}) func(int) func() error {
		return func(caller int) func() error {
			next := turn(caller)
			return func() error {
				m, err := c.HGetAll(ctx, names[next()]).Result()
				if err == nil && len(m) == 0 {
					err = errNoRow
				}
				return err
			}
		}
	}
	for _, c := range []struct {
		callers int
		wanted  string
	}{{1, "at least 0.9 of HGETALL"}, {64, "at least 1.8 of HGETALL"}} {
		cs := []contestant{
			{name: "go-redis HGETALL", caller: hgetall(b.raw)},
			{name: "go-redis HGETALL, AutoPipeline", caller: hgetall(piped)},
			{name: "firefly Get", ours: true, caller: func(caller int) func() error {
				next := turn(caller)
				return func() error {
					_, err := b.everysec.hero.Get(ctx, next())
					return err
				}
			}},
		}
		if err := b.compare(comparison{title: fmt.Sprintf("cached row, %d callers", c.callers), callers: c.callers, cs: cs, wanted: c.wanted}); err != nil {
			return err
		}
	}
	return nil
}
