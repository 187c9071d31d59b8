package redisconn

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/firefly-go/firefly"
)

// Needs are what Check looks for, and the words that it says it in.
type Needs struct {
	Who     string // needs the server, in the plural: "tables"
	Evicted string // what an eviction would throw away: "rows that are not stored yet"
	Stopped string // what happens when a server stops that keeps nothing: "what is not stored yet is lost"
	Log     *slog.Logger
	// Also is asked about every server that is good otherwise, by its address and what INFO says; nil: nothing.
	Also func(addr, info string)
}

// Check asks every master whether it is as its users need it. The error is FailedPrecondition and says what to
// change, or Unavailable when a server cannot be asked. It tries again for the patience of the Conn.
func (c *Conn) Check(ctx context.Context, needs *Needs) error {
	until := time.Now().Add(c.o.Patience)
	for try := 0; ; try++ {
		err := c.Each(ctx, func(ctx context.Context, client *redis.Client) error { return c.check(ctx, client, needs) })
		if err == nil || firefly.CodeOf(err) == firefly.FailedPrecondition {
			return err
		}
		f := FateOf(err)
		if f != Refused || time.Now().After(until) || pause(ctx, backOff(try, f)) != nil {
			return firefly.Unavailable.Errorf("Redis cannot be asked how it is set up: %w", err)
		}
	}
}

// check refuses a server that would lose what it must not.
func (c *Conn) check(ctx context.Context, client *redis.Client, needs *Needs) error {
	info, err := client.Info(ctx, "server", "memory", "persistence", "replication", "cluster").Result()
	if err != nil {
		return err
	}
	addr := client.Options().Addr
	refuse := func(format string, a ...any) error {
		return firefly.FailedPrecondition.Errorf("Redis at %s %s", addr, fmt.Sprintf(format, a...))
	}
	version := Field(info, "redis_version")
	if major, _, _ := strings.Cut(version, "."); !atLeast(major, 7) {
		return refuse("has version %s; %s need 7.0", version, needs.Who)
	}
	if role := Field(info, "role"); role != "master" {
		return refuse("is a %s; %s need the master", role, needs.Who)
	}
	if Field(info, "cluster_enabled") == "1" && !c.o.Cluster {
		return refuse("is a node of a cluster, and the launch file does not say so")
	}
	if p := Field(info, "maxmemory_policy"); p != "noeviction" && !strings.HasPrefix(p, "volatile-") {
		return refuse("has maxmemory-policy %s, which throws away %s; set volatile-lru, or noeviction", p, needs.Evicted)
	}
	if Field(info, "aof_enabled") != "1" {
		if c.o.KeepsAll {
			return refuse("has no append-only file, and the launch file says that it keeps everything; set appendonly yes")
		}
		needs.Log.Warn("Redis has no append-only file: when it stops, "+needs.Stopped+"; set appendonly yes", "addr", addr)
	}
	if needs.Also != nil {
		needs.Also(addr, info)
	}
	if !c.o.KeepsAll {
		return nil
	}
	conf, err := client.ConfigGet(ctx, "appendfsync").Result()
	if err != nil {
		return refuse("does not say its appendfsync, so it cannot be trusted to keep everything: %v", err)
	}
	if conf["appendfsync"] != "always" {
		return refuse("has appendfsync %s, and the launch file says that it keeps everything; set appendfsync always", conf["appendfsync"])
	}
	if n := Field(info, "connected_slaves"); n != "0" {
		return refuse("has %s replicas, and one that takes over may not have everything; the launch file says that this does not happen", n)
	}
	return nil
}

func atLeast(s string, n int) bool {
	have, err := strconv.Atoi(s)
	return err == nil && have >= n
}
