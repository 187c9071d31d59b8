package mailbox_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/firefly-go/firefly/runtime/mailbox"
)

// step is a job as the layers above make them: one allocation holds it all.
type step struct {
	mailbox.Task
	f func(*mailbox.Context)
}

func (s *step) Run(ctx *mailbox.Context) { s.f(ctx) }
func (s *step) Refused(err error)        { panic(err) }
func (s *step) Panicked(v any)           {}
func (s *step) Value(any) any            { return nil }
func (s *step) Fork() mailbox.Values     { return nil }

func steps(n int, f func(*mailbox.Context)) []*step {
	all := make([]*step, n)
	for i := range all {
		all[i] = &step{f: f}
	}
	return all
}

// benchQueue measures handlers in a full queue. A filler, itself a handler, queues a round of
// them; the time counts from the first to the last, so that it holds no goroutine's wake.
func benchQueue(b *testing.B, submitToo bool, lane *mailbox.Lane, timeout time.Duration, f func(*mailbox.Context)) {
	l := mailbox.New(mailbox.Options{Limit: -1})
	defer l.Close()
	const round = 8192
	var under int // handlers of this round that have not returned
	over := make(chan struct{})
	all := steps(round, func(c *mailbox.Context) {
		f(c)
		if under--; under == 0 {
			b.StopTimer()
			over <- struct{}{}
		}
	})
	first := &step{f: func(*mailbox.Context) { b.StartTimer() }}
	submit := func(s *step, lane *mailbox.Lane, deadline time.Time) {
		s.Init(s, "step", lane, deadline)
		if err := l.Submit(&s.Task); err != nil {
			b.Error(err)
		}
	}
	b.ReportAllocs()
	b.StopTimer()
	b.ResetTimer()
	for left := b.N; left > 0; left -= round {
		filler := &step{f: func(*mailbox.Context) {
			under = min(left, round)
			var deadline time.Time
			if timeout != 0 {
				deadline = time.Now().Add(timeout)
			}
			if submitToo {
				b.StartTimer()
			} else {
				submit(first, nil, time.Time{})
			}
			for _, s := range all[:under] {
				submit(s, lane, deadline)
			}
		}}
		submit(filler, nil, time.Time{})
		<-over
	}
}

func BenchmarkHandler(b *testing.B) {
	nothing := func(*mailbox.Context) {}
	b.Run("queued", func(b *testing.B) { benchQueue(b, false, nil, 0, nothing) })
	b.Run("queued/deadline", func(b *testing.B) { benchQueue(b, false, nil, time.Hour, nothing) })
	b.Run("queued/lane", func(b *testing.B) { benchQueue(b, false, new(mailbox.Lane), 0, nothing) })
	b.Run("init+submit+run", func(b *testing.B) { benchQueue(b, true, nil, 0, nothing) })
	b.Run("await/in-place", func(b *testing.B) {
		benchQueue(b, false, nil, 0, func(ctx *mailbox.Context) { ctx.Await(func(context.Context) {}) })
	})
}

// BenchmarkProducer keeps 1024 tasks under way from another goroutine.
func BenchmarkProducer(b *testing.B) {
	run := func(b *testing.B, deadline bool, f func(*mailbox.Context, *mailbox.Wait)) {
		l := mailbox.New(mailbox.Options{})
		defer l.Close()
		const window = 1024
		free := make(chan *step, window)
		waits := map[*step]*mailbox.Wait{}
		for range window {
			s, w := new(step), new(mailbox.Wait)
			s.f = func(ctx *mailbox.Context) {
				*w = mailbox.Wait{}
				f(ctx, w)
				free <- s
			}
			waits[s] = w
			free <- s
		}
		b.ReportAllocs()
		b.ResetTimer()
		for range b.N {
			s := <-free
			var due time.Time
			if deadline {
				due = time.Now().Add(time.Minute)
			}
			s.Init(s, "step", nil, due)
			if err := l.Submit(&s.Task); err != nil {
				b.Fatal(err)
			}
		}
		for range window {
			<-free
		}
	}
	b.Run("no-await", func(b *testing.B) { run(b, false, func(*mailbox.Context, *mailbox.Wait) {}) })
	wakes := make(chan *mailbox.Wait, 4096)
	defer close(wakes)
	go func() {
		for w := range wakes {
			w.Wake()
		}
	}()
	wait := func(ctx *mailbox.Context, w *mailbox.Wait) {
		wakes <- w
		_ = ctx.Wait(w)
	}
	b.Run("await", func(b *testing.B) { run(b, false, wait) })
	b.Run("await/deadline", func(b *testing.B) { run(b, true, wait) })
}

// BenchmarkPingPong has two handlers that wake each other.
func BenchmarkPingPong(b *testing.B) {
	l := mailbox.New(mailbox.Options{})
	defer l.Close()
	var waits [2][]mailbox.Wait
	for i := range waits {
		waits[i] = make([]mailbox.Wait, b.N)
	}
	var wg sync.WaitGroup
	wg.Add(2)
	b.ResetTimer()
	for me := range waits {
		_ = l.Submit(l.Func("player", nil, func(ctx context.Context) {
			defer wg.Done()
			c := mailbox.From(ctx)
			for i := range b.N {
				if me == 0 {
					waits[1][i].Wake()
					_ = c.Wait(&waits[0][i])
				} else {
					_ = c.Wait(&waits[1][i])
					waits[0][i].Wake()
				}
			}
		}))
	}
	wg.Wait()
}

// BenchmarkIdle is the time from Submit on an idle loop to the beginning of the handler.
func BenchmarkIdle(b *testing.B) {
	l := mailbox.New(mailbox.Options{})
	defer l.Close()
	began := make(chan time.Time, 1)
	s := &step{f: func(*mailbox.Context) { began <- time.Now() }}
	var sum time.Duration
	for range b.N {
		s.Init(s, "step", nil, time.Time{})
		at := time.Now()
		_ = l.Submit(&s.Task)
		sum += (<-began).Sub(at)
		for l.Stats().Idle == 0 {
			time.Sleep(time.Microsecond)
		}
	}
	b.ReportMetric(float64(sum.Nanoseconds())/float64(b.N), "ns/start")
}

// BenchmarkParked keeps 10,000 handlers parked and wakes them in turn.
func BenchmarkParked(b *testing.B) {
	const parked = 10000
	l := mailbox.New(mailbox.Options{Limit: -1})
	waits := make([]mailbox.Wait, parked)
	var began, ended sync.WaitGroup
	b.ResetTimer()
	for left := b.N; left > 0; left -= parked {
		n := min(left, parked)
		clear(waits)
		began.Add(n)
		ended.Add(n)
		for i := range n {
			s := &step{f: func(ctx *mailbox.Context) {
				began.Done()
				_ = ctx.Wait(&waits[i])
				ended.Done()
			}}
			s.Init(s, "step", nil, time.Time{})
			_ = l.Submit(&s.Task)
		}
		began.Wait()
		for i := range n {
			waits[i].Wake()
		}
		ended.Wait()
	}
	b.StopTimer()
	l.Close()
	_ = l.Drain(context.Background())
}

// BenchmarkReadable submits 16 tasks at a time, as a reader does with what one readable event
// brought, and waits for them.
func BenchmarkReadable(b *testing.B) {
	const depth = 16
	run := func(b *testing.B, submit func(*mailbox.Loop, *step, bool)) {
		l := mailbox.New(mailbox.Options{Turn: func() {}})
		defer l.Close()
		var under int
		over := make(chan struct{})
		all := steps(depth, func(*mailbox.Context) {
			if under--; under == 0 {
				over <- struct{}{}
			}
		})
		for left := b.N; left > 0; left -= depth {
			under = depth
			for i, s := range all {
				s.Init(s, "step", nil, time.Time{})
				submit(l, s, i == depth-1)
			}
			<-over
		}
		b.ReportMetric(float64(l.Stats().Turns)/float64(b.N), "turns/op")
	}
	b.Run("submit", func(b *testing.B) {
		run(b, func(l *mailbox.Loop, s *step, last bool) { _ = l.Submit(&s.Task) })
	})
	b.Run("post", func(b *testing.B) {
		run(b, func(l *mailbox.Loop, s *step, last bool) {
			_, _ = l.Post(&s.Task)
			if last {
				l.Flush()
			}
		})
	})
}
