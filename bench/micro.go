package main

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/firefly-go/firefly/runtime/mailbox"
	"github.com/firefly-go/firefly/runtime/wire"
)

// benchFrames times encoding and decoding of one frame, without any socket.
func benchFrames(*settings) error {
	body := bytes.Repeat([]byte{7}, 34)
	request := wire.AppendRequest(nil, 101, 70000, body)
	classic := wire.Classic{}
	old := classic.Append(nil, 101, body)
	buf := make([]byte, 0, 256)
	for _, c := range []struct {
		name string
		f    func()
	}{
		{"native frame, encode", func() { buf = wire.AppendRequest(buf[:0], 101, 70000, body) }},
		{"native frame, decode", func() { _, _, _ = wire.Parse(request, 65536) }},
		{"classic frame, encode", func() { buf = classic.Append(buf[:0], 101, body) }},
		{"classic frame, decode", func() { _, _, _, _ = classic.Parse(old, 65536) }},
		{"limit: copy of the same bytes", func() { buf = append(buf[:0], request...) }},
	} {
		r := testing.Benchmark(func(b *testing.B) {
			b.ReportAllocs()
			for range b.N {
				c.f()
			}
		})
		fmt.Printf("%-34s %8.1f ns %4d allocs\n", c.name, perOp(r), r.AllocsPerOp())
	}
	return nil
}

func perOp(r testing.BenchmarkResult) float64 { return float64(r.T.Nanoseconds()) / float64(r.N) }

// benchLoop times handlers on one logic loop, out of a queue that is full when it begins.
func benchLoop(*settings) error {
	for _, c := range []struct {
		name string
		f    func(context.Context)
	}{
		{"handler, no await", func(context.Context) {}},
		{"handler with an await done in place", func(ctx context.Context) { mailbox.From(ctx).Await(func(context.Context) {}) }},
		{"handler with an await done by another goroutine", func(ctx context.Context) {
			var w mailbox.Wait
			go w.Wake()
			_ = mailbox.From(ctx).Wait(&w)
		}},
	} {
		fmt.Printf("%-48s %8.0f ns\n", c.name, loopRun(c.f))
	}
	return nil
}

// loopRun gives the time per handler: a first one holds the loop until all are queued.
func loopRun(f func(context.Context)) float64 {
	const n, rounds = 8000, 25
	l := mailbox.New(mailbox.Options{Name: "bench", Slow: -1})
	defer l.Close()
	var best []float64
	for range rounds {
		full, done := make(chan struct{}), make(chan time.Time, 1)
		submit := func(g func(context.Context)) {
			if err := l.Submit(l.Func("bench", nil, g)); err != nil {
				panic(err)
			}
		}
		var begin time.Time
		submit(func(context.Context) { <-full; begin = time.Now() })
		left := n // counted down on the loop
		for range n {
			submit(func(ctx context.Context) {
				f(ctx)
				if left--; left == 0 {
					done <- time.Now()
				}
			})
		}
		close(full)
		best = append(best, float64((<-done).Sub(begin).Nanoseconds())/n)
	}
	slices.Sort(best)
	return best[len(best)/2]
}
