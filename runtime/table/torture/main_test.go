//go:build unix

package torture

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"testing"
	"time"

	"github.com/firefly-go/firefly/runtime/table"
	"github.com/firefly-go/firefly/runtime/table/redisstore"
	"github.com/firefly-go/firefly/runtime/table/sqlstore"
	"github.com/firefly-go/firefly/runtime/table/tabletest"
	"github.com/firefly-go/firefly/runtime/table/writeback"
)

// roleVar has the role of a process of the torture, as JSON.
const roleVar = "FIREFLY_TORTURE_ROLE"

// role is what a process is told.
type role struct {
	Kind     string // writer or flusher
	N        int    // of its kind
	Redis    string
	MySQL    string // DSN
	Log      string // file that it appends to
	Seed     uint64
	KeepsAll bool
	Strict   bool // nothing that was acknowledged may be missing at any time
}

func TestMain(m *testing.M) {
	text := os.Getenv(roleVar)
	if text == "" {
		os.Exit(m.Run())
	}
	var r role
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	go func() { // the process ends with the one that started it
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(3)
	}()
	run := map[string]func(*role) error{"writer": runWriter, "flusher": runFlusher}[r.Kind]
	if err := run(&r); err != nil {
		fmt.Fprintf(os.Stderr, "%s %d: %v\n", r.Kind, r.N, err)
		os.Exit(1)
	}
}

const (
	shards  = 16
	lease   = time.Second     // of a flusher
	holding = 2 * time.Second // of a durable commit
)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// stores are what a process has open.
type stores struct {
	tables *tabletest.Tables
	cache  *redisstore.Cache
	mysql  *sqlstore.MySQL
	store  *writeback.Store
	db     *table.DB
}

// tables are those of the torture; rows are due soon, so that flushers always have work.
func newTables() *tabletest.Tables {
	t := tabletest.NewTables("")
	for _, s := range t.Specs() {
		if s.Flush > 0 {
			s.Flush = 30 * time.Millisecond
		}
		s.Idle = 3 * time.Second // so that rows are loaded again and again
	}
	return t
}

// open opens what a process needs, again until that works or ctx ends: servers may be away. late makes some
// calls of the store late; nil: none.
func open(ctx context.Context, redis, dsn string, keepsAll bool, late *dice) (*stores, error) {
	for {
		s, err := openOnce(ctx, redis, dsn, keepsAll, late)
		if err == nil {
			return s, nil
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func openOnce(ctx context.Context, redis, dsn string, keepsAll bool, late *dice) (_ *stores, err error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	s := &stores{tables: newTables()}
	s.cache, err = redisstore.Open(redisstore.Options{URL: "redis://" + redis, Shards: shards, KeepsAll: keepsAll,
		Lease: time.Second, Patience: 200 * time.Millisecond, Log: quiet()})
	if err != nil {
		return nil, err
	}
	if s.mysql, err = sqlstore.OpenMySQL(dsn, sqlstore.MySQLOptions{Log: quiet()}); err != nil {
		_ = s.cache.Close()
		return nil, err
	}
	specs := s.tables.Specs()
	if err = s.cache.Start(ctx, append([]*table.Spec{table.Once}, specs...)); err == nil {
		err = s.mysql.Start(ctx, specs)
	}
	if err != nil {
		_ = s.cache.Close()
		_ = s.mysql.Close()
		return nil, err
	}
	cache, durable := table.Cache(s.cache), table.Durable(s.mysql)
	if late != nil {
		cache, durable = &lateCache{cache, late}, &lateDurable{durable, late}
	}
	s.store = writeback.New(cache, durable, specs, writeback.Options{Patience: 2 * time.Second, Lock: holding, Log: quiet()})
	s.db = table.NewDB(s.store, table.DBOptions{IDs: 20})
	return s, nil
}

func (s *stores) close() {
	s.db.Close()
	_ = s.store.Close()
	_ = s.cache.Close()
	_ = s.mysql.Close()
}
