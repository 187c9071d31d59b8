package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"example.com/bench/benchpb"

	"github.com/firefly-go/firefly/runtime/table"
)

// benchCoalesce writes one row a thousand times within one flush interval, and asks MariaDB what reached it.
func benchCoalesce(ctx context.Context, b *bed) error {
	w := b.everysec
	if err := w.drain(); err != nil {
		return err
	}
	names := []string{"Handler_update", "Handler_write", "Handler_delete"}
	before, err := b.counters(ctx)
	if err != nil {
		return err
	}
	const updates = 1000
	begin := time.Now()
	key := benchpb.HoardKey{OwnerID: 1, ID: 1}
	var last *benchpb.Hoard
	for range updates {
		if last, err = w.hoard.Update(ctx, key, func(h *benchpb.Hoard) error { h.Gold++; return nil }); err != nil {
			return err
		}
	}
	took := time.Since(begin)
	if err := w.drain(); err != nil {
		return err
	}
	after, err := b.counters(ctx)
	if err != nil {
		return err
	}
	row := [1]table.Row{}
	if err := w.durable.Load(ctx, []table.Ref{benchpb.HoardSpec().RefTo(table.KeyOf(table.IntOf(1), table.IntOf(1)))}, row[:], false); err != nil {
		return err
	}
	if row[0].Values[4].Int() != last.Gold {
		return errors.New("the last value is not stored")
	}
	fmt.Printf("%d updates of one row in one interval, in %v; in MariaDB:\n", updates, took.Round(time.Millisecond))
	for _, n := range names {
		fmt.Printf("  %-44s %9d\n", n, after[n]-before[n])
	}
	fmt.Println("  wanted: one row write (Handler_write is the attempt of INSERT ... ON DUPLICATE KEY that finds the row)")
	return nil
}

// counters are those of MariaDB, for all that it ever did.
func (b *bed) counters(ctx context.Context) (map[string]int64, error) {
	rows, err := b.direct.QueryContext(ctx, "SHOW GLOBAL STATUS WHERE Variable_name LIKE 'Handler%' OR Variable_name LIKE 'Innodb_rows%'")
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	out := map[string]int64{}
	for rows.Next() {
		var name string
		var n int64
		if err := rows.Scan(&name, &n); err != nil {
			return nil, err
		}
		out[name] = n
	}
	return out, rows.Err()
}

// What a flusher has in one transaction, and how many of these it has under way.
const flushBatch, flushParallel = 2000, 4

// benchFlush stores rows that all changed.
func benchFlush(ctx context.Context, b *bed) error {
	s := benchpb.HoardSpec()
	plain := s.MySQL.Upsert + strings.Repeat(s.MySQL.UpsertRow+", ", flushBatch-1) + s.MySQL.UpsertRow + " ON DUPLICATE KEY UPDATE "
	for i, c := range s.Columns[2:] {
		if i > 0 {
			plain += ", "
		}
		plain += "`" + c.Name + "` = VALUES(`" + c.Name + "`)"
	}
	plain += ", `ff_v` = VALUES(`ff_v`)"
	version := uint64(time.Now().UnixMicro())
	bare := func(parallel int) func() (figure, error) {
		return func() (figure, error) {
			version++
			var batches [][]any
			for at := 0; at < b.s.rows; at += flushBatch {
				var args []any
				for i := at; i < at+flushBatch; i++ {
					r := hero(int64(i/each+1), int64(i%each+1))
					r[4], r[9] = int64(version), version
					args = append(args, r...)
				}
				batches = append(batches, args)
			}
			return b.timed(func() error { return upsert(ctx, b.direct, plain, batches, parallel) })
		}
	}
	cs := []struct {
		name  string
		round func() (figure, error)
		all   []figure
	}{
		{name: fmt.Sprintf("bare upsert, %d rows, %d at once", flushBatch, flushParallel), round: bare(flushParallel)},
		{name: fmt.Sprintf("bare upsert, %d rows, one after the other", flushBatch), round: bare(1)},
		{name: "firefly Durable.Flush, one after the other", round: func() (figure, error) { return b.flushOnly(ctx, 1) }},
		{name: fmt.Sprintf("firefly Durable.Flush, %d at once", flushParallel), round: func() (figure, error) { return b.flushOnly(ctx, flushParallel) }},
		{name: "firefly flusher, out of Redis", round: func() (figure, error) { return b.flushAll(ctx) }},
	}
	for r := range b.s.rounds {
		for i := range cs {
			i = (i + r) % len(cs)
			f, err := cs[i].round()
			if err != nil {
				return fmt.Errorf("%s: %w", cs[i].name, err)
			}
			cs[i].all = append(cs[i].all, f)
		}
	}
	header(fmt.Sprintf("%d rows that changed, rows per s", b.s.rows))
	for i := range cs {
		line(cs[i].name, cs[i].all, cs[0].all)
	}
	fmt.Println("  wanted: the flusher at least 0.8 of the bare upsert; it checks its epochs, deletes and versions in the same transaction")
	low, mid, high := ratios(cs[2].all, cs[1].all, func(f figure) float64 { return f.perSecond })
	fmt.Printf("  Durable.Flush against the bare upsert, one after the other: %.2f (%.2f - %.2f)\n", mid, low, high)
	low, mid, high = ratios(cs[3].all, cs[0].all, func(f figure) float64 { return f.perSecond })
	fmt.Printf("  Durable.Flush against the bare upsert, %d at once: %.2f (%.2f - %.2f)\n", flushParallel, mid, low, high)
	return nil
}

// timed is what f costs for each of the rows.
func (b *bed) timed(f func() error) (figure, error) {
	before := b.usage()
	begin := time.Now()
	err := f()
	return b.since(before, int64(b.s.rows), time.Since(begin)), err
}

// upsert runs a statement for each of the batches.
func upsert(ctx context.Context, db *sql.DB, text string, batches [][]any, parallel int) error {
	return atOnce(parallel, batches, func(_ int, args []any) error {
		_, err := db.ExecContext(ctx, text, args...)
		return err
	})
}

// atOnce runs f for all of the batches, by so many goroutines.
func atOnce[T any](parallel int, batches []T, f func(worker int, batch T) error) error {
	errs := make([]error, parallel)
	next := make(chan T, len(batches))
	for _, b := range batches {
		next <- b
	}
	close(next)
	var wg sync.WaitGroup
	for i := range parallel {
		wg.Go(func() {
			for b := range next {
				if err := f(i, b); err != nil {
					errs[i] = err
				}
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// flushOnly stores images that are made up, without Redis. Each goroutine has a shard of its own.
func (b *bed) flushOnly(ctx context.Context, parallel int) (figure, error) {
	w, s := b.always, benchpb.HoardSpec()
	shards := make([]int, parallel)
	for i := range shards {
		shards[i] = 1<<20 + i // of no flusher
	}
	epochs, err := w.durable.Fence(ctx, shards, "bench")
	if err != nil {
		return figure{}, err
	}
	version := uint64(time.Now().UnixMicro())
	var images []table.Image
	for i := range b.s.rows {
		r := hero(int64(i/each+1), int64(i%each+1))
		values := make([]table.Value, len(s.Columns))
		for c, v := range r[:len(values)] {
			switch v := v.(type) {
			case int64:
				values[c] = table.IntOf(v)
			case int:
				values[c] = table.IntOf(int64(v))
			case string:
				values[c] = table.TextOf(v)
			case float64:
				values[c] = table.FloatOf(v)
			case []byte:
				values[c] = table.BytesOf(v)
			}
		}
		values[4] = table.IntOf(int64(version))
		images = append(images, table.Image{Row: table.Row{Ref: s.RefOf(values), Version: version, Values: values}})
	}
	return b.timed(func() error {
		return atOnce(parallel, slices.Collect(slices.Chunk(images, flushBatch)), func(worker int, some []table.Image) error {
			_, ahead, err := w.durable.Flush(ctx, []table.ShardBatch{{Shard: shards[worker], Epoch: epochs[worker], Images: some}}, nil)
			if err == nil && len(ahead) > 0 {
				err = fmt.Errorf("%d rows were ahead", len(ahead))
			}
			return err
		})
	})
}

// flushAll changes rows and has them stored; only the second counts.
func (b *bed) flushAll(ctx context.Context) (figure, error) {
	w := b.everysec
	if err := w.drain(); err != nil {
		return figure{}, err
	}
	errs := make([]error, 64)
	var wg sync.WaitGroup
	for c := range errs {
		wg.Go(func() {
			for i := c; i < b.s.rows; i += len(errs) {
				if _, err := w.hoard.AddGold(ctx, benchpb.HoardKey{OwnerID: int64(i/each + 1), ID: int64(i%each + 1)}, 1); err != nil {
					errs[c] = err
				}
			}
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return figure{}, err
	}
	rows := w.flusher.Stats().Rows
	drained := make(chan error, 1)
	stop, err := b.profiled("flusher")
	if err != nil {
		return figure{}, err
	}
	defer stop()
	return b.timed(func() error {
		go func() { drained <- w.drain() }()
		for w.flusher.Stats().Rows < rows+uint64(b.s.rows) {
			select {
			case err := <-drained:
				if n := w.flusher.Stats().Rows - rows; err != nil || n < uint64(b.s.rows) {
					return fmt.Errorf("%d rows were stored: %w", n, err)
				}
				return nil
			case <-time.After(time.Millisecond):
			}
		}
		return nil
	})
}
