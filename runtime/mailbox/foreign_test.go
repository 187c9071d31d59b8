package mailbox_test

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/mailbox"
)

func goexit() { runtime.Goexit() }

// here is the line of the caller.
func here(t *testing.T) string {
	_, file, line, ok := runtime.Caller(1)
	if !ok {
		t.Fatal("no caller")
	}
	return fmt.Sprintf("%s:%d", file, line)
}

func TestForeignYieldPanicsInStrict(t *testing.T) {
	bubble(t, mailbox.Options{Strict: true}, func(t *testing.T, r *rig) {
		var places []string
		var said []any
		catch := func(wg *sync.WaitGroup, f func()) {
			defer wg.Done()
			defer func() { said = append(said, recover()) }()
			f()
		}
		r.submit("Arena.Join", nil, 0, func(c *mailbox.Context) {
			var wg sync.WaitGroup
			ctx := context.Context(c)
			one := func(f func()) {
				wg.Add(1)
				go catch(&wg, f)
				wg.Wait()
			}
			one(func() { places = append(places, here(t)); _ = c.Sleep(time.Second) })
			one(func() { places = append(places, here(t)); c.Await(func(context.Context) { t.Error("ran") }) })
			one(func() { places = append(places, here(t)); _ = c.Wait(new(mailbox.Wait)) })
			one(func() { places = append(places, here(t)); _ = firefly.Sleep(ctx, time.Second) })
			one(func() { places = append(places, here(t)); _ = firefly.All(ctx) })
			r.say("on")
		})
		synctest.Wait()
		expect(t, r.log, "on")
		if len(said) != 5 {
			t.Fatalf("%d panics", len(said))
		}
		for i, v := range said {
			if s, _ := v.(string); !strings.Contains(s, places[i]) || !strings.Contains(s, `"Arena.Join"`) {
				t.Errorf("the panic names not %s: %v", places[i], v)
			}
		}
		if s := r.Stats(); s.ForeignYields != 5 {
			t.Errorf("%+v", s)
		}
	})
}

// Code inside Await that has kept the outer ctx stands on the handler's own goroutine, and
// yet does not hold the loop.
func TestYieldInsideAwait(t *testing.T) {
	bubble(t, mailbox.Options{Strict: true}, func(t *testing.T, r *rig) {
		r.submit("outer", nil, 0, func(c *mailbox.Context) {
			r.await(c, func(context.Context) { _ = c.Sleep(time.Second) })
		})
		synctest.Wait()
		if len(r.panics) != 1 || !strings.Contains(r.panics[0], "foreign_test.go") {
			t.Errorf("%q", r.panics)
		}
	})
	bubble(t, mailbox.Options{}, func(t *testing.T, r *rig) {
		r.submit("outer", nil, 0, func(c *mailbox.Context) {
			r.await(c, func(context.Context) {
				begin := time.Now()
				if c.Own() {
					t.Error("holds the loop inside Await")
				}
				_ = c.Sleep(time.Second)
				r.say("slept %v", time.Since(begin))
			})
			if !c.Own() {
				t.Error("does not hold the loop after Await")
			}
		})
		time.Sleep(time.Minute)
		synctest.Wait()
		expect(t, r.log, "slept 1s")
		if s := r.Stats(); s.ForeignYields != 1 {
			t.Errorf("%+v", s)
		}
	})
}

// A handler that uses the ctx of another, parked or gone, does not hold what that one held.
func TestCtxOfAnother(t *testing.T) {
	bubble(t, mailbox.Options{}, func(t *testing.T, r *rig) {
		var parked, gone *mailbox.Context
		var w mailbox.Wait
		r.submit("gone", nil, 0, func(c *mailbox.Context) { gone = c })
		synctest.Wait()
		r.submit("parked", nil, 0, func(c *mailbox.Context) {
			parked = c
			_ = r.wait(c, &w)
		})
		synctest.Wait()
		r.submit("confused", nil, 0, func(c *mailbox.Context) {
			for _, other := range []*mailbox.Context{parked, gone} {
				if other.Own() {
					t.Error("owns the ctx of another")
				}
				ran := false
				other.Await(func(context.Context) { ran = true })
				if !ran || !c.Own() {
					t.Error("lost the loop")
				}
			}
		})
		synctest.Wait()
		if s := r.Stats(); s.ForeignYields != 2 || s.Parked != 1 {
			t.Errorf("%+v", s)
		}
		w.Wake()
	})
}

// Fifty goroutines of a handler call stubs with its ctx, in production. None of them may
// come onto the loop, which others hold in turn.
func TestForeignYieldsNeverEnter(t *testing.T) {
	r := newRig(t, mailbox.Options{})
	const foreigns = 50
	var calls atomic.Int64
	wakes := make(chan *mailbox.Wait, foreigns)
	go func() {
		for w := range wakes {
			w.Wake()
		}
	}()
	for range 20 {
		r.submit("careless", nil, time.Minute, func(c *mailbox.Context) {
			var wg sync.WaitGroup
			for i := range foreigns {
				wg.Go(func() {
					switch i % 3 {
					case 0:
						_ = c.Sleep(time.Millisecond)
					case 1:
						c.Await(func(context.Context) { runtime.Gosched() })
					case 2:
						w := new(mailbox.Wait)
						wakes <- w
						if err := c.Wait(w); err != nil {
							t.Error(err)
						}
					}
					calls.Add(1)
				})
			}
			_ = r.sleep(c, time.Millisecond)
			r.await(c, func(context.Context) { wg.Wait() })
		})
		for range 50 {
			r.submit("other", nil, 0, func(c *mailbox.Context) { _ = r.sleep(c, 0) })
		}
	}
	if err := r.Drain(context.Background()); err != nil {
		t.Error(err)
	}
	close(wakes)
	if s := r.Stats(); s.ForeignYields != 20*foreigns || calls.Load() != 20*foreigns {
		t.Errorf("%d calls, %+v", calls.Load(), s)
	}
	r.end()
}

func TestForeignWaitEndsWithTheCtx(t *testing.T) {
	bubble(t, mailbox.Options{}, func(t *testing.T, r *rig) {
		errs := make(chan error, 4)
		r.submit("careless", nil, time.Second, func(c *mailbox.Context) {
			go func() { errs <- c.Wait(new(mailbox.Wait)) }()
			go func() { errs <- c.Sleep(time.Hour) }()
			short, cancel := context.WithTimeout(c, time.Millisecond)
			go func() {
				defer cancel()
				errs <- c.WaitIn(short, new(mailbox.Wait))
			}()
			_ = r.sleep(c, time.Hour)
		})
		for range 3 {
			if err := <-errs; err != context.DeadlineExceeded {
				t.Error(err)
			}
		}
	})
}

// The ctx of a loop is what the root package expects of one.
var _ firefly.Loop = (*mailbox.Context)(nil)

// call is a job that knows the request, as the router's are.
type call struct {
	job
	call firefly.Call
}

func (c *call) Value(key any) any {
	if _, ok := key.(firefly.CallKey); ok {
		return &c.call
	}
	return nil
}

func (c *call) Fork() mailbox.Values {
	return &call{call: c.call}
}

func onRoot(t *testing.T, f func(t *testing.T, r *rig, ctx context.Context)) {
	t.Helper()
	bubble(t, mailbox.Options{Strict: true}, func(t *testing.T, r *rig) {
		c := &call{call: firefly.Call{Player: 7, Name: "arena.Arena.Join"}}
		c.r = r
		c.f = func(ctx *mailbox.Context) { f(t, r, ctx) }
		c.Init(c, "arena.Arena.Join", new(mailbox.Lane), time.Now().Add(10*time.Second))
		if err := r.Submit(&c.Task); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if len(r.panics) > 0 {
			t.Error(r.panics)
		}
	})
}

func TestRootAwait(t *testing.T) {
	onRoot(t, func(t *testing.T, r *rig, ctx context.Context) {
		loop := ctx.Value(firefly.LoopKey{})
		if loop != any(ctx) || mailbox.From(ctx) == nil || mailbox.From(ctx).Loop() != r.Loop {
			t.Errorf("the loop of the ctx is %v", loop)
		}
		if firefly.CallOf(ctx).Player != 7 {
			t.Error("the ctx does not know the player")
		}
		r.leave()
		v, err := firefly.Await(ctx, func(off context.Context) (int, error) {
			if off.Value(firefly.LoopKey{}) != nil || mailbox.From(off) != nil {
				t.Error("the ctx inside Await is not marked off-loop")
			}
			if firefly.CallOf(off).Player != 7 {
				t.Error("the ctx inside Await does not know the player")
			}
			a, _ := off.Deadline()
			b, _ := ctx.Deadline()
			if !a.Equal(b) {
				t.Errorf("deadline %v inside, %v outside", a, b)
			}
			// Off the loop, the words of the root package block and do not yield.
			child, cancel := context.WithCancel(off)
			defer cancel()
			if err := firefly.Sleep(child, time.Second); err != nil {
				t.Error(err)
			}
			n, err := firefly.Await(off, func(context.Context) (int, error) { return 41, nil })
			return n + 1, err
		})
		r.enter()
		if v != 42 || err != nil {
			t.Errorf("%d, %v", v, err)
		}
	})
}

func TestRootAll(t *testing.T) {
	onRoot(t, func(t *testing.T, r *rig, ctx context.Context) {
		begin := time.Now()
		done := 0
		r.submit("other", nil, 0, func(*mailbox.Context) { done++ })
		var fs []func(context.Context) error
		for i := range 10 {
			fs = append(fs, func(off context.Context) error {
				if mailbox.From(off) != nil {
					t.Error("the ctx inside All is not marked off-loop")
				}
				if err := firefly.Sleep(off, time.Second); err != nil {
					return err
				}
				if i == 3 {
					return os.ErrExist
				}
				return nil
			})
		}
		r.leave()
		err := firefly.All(ctx, fs...)
		r.enter()
		if err == nil || !strings.Contains(err.Error(), os.ErrExist.Error()) || done != 1 || time.Since(begin) != time.Second {
			t.Errorf("%v, %d, %v", err, done, time.Since(begin))
		}
		defer func() {
			r.enter()
			if v := recover(); v != "inside" {
				t.Errorf("the panic inside All came out as %v", v)
			}
		}()
		r.leave()
		_ = firefly.All(ctx, func(context.Context) error { panic("inside") })
	})
}

// What a game derives from the ctx of its handler holds inside Await, All and Sleep too.
func TestRootWithDerivedCtx(t *testing.T) {
	onRoot(t, func(t *testing.T, r *rig, ctx context.Context) {
		type key struct{}
		begin := time.Now()
		short, cancel := context.WithTimeout(context.WithValue(ctx, key{}, "value"), time.Second)
		defer cancel()
		r.submit("other", nil, 0, func(*mailbox.Context) { r.say("other at %v", time.Since(begin)) })
		inside := func(off context.Context) error {
			if mailbox.From(off) != nil || off.Value(firefly.LoopKey{}) != nil {
				t.Error("not marked off-loop")
			}
			if off.Value(key{}) != "value" || firefly.CallOf(off) == nil {
				t.Error("the values are lost")
			}
			<-off.Done()
			return off.Err()
		}
		r.leave()
		_, err := firefly.Await(short, func(off context.Context) (int, error) { return 0, inside(off) })
		if err != context.DeadlineExceeded || time.Since(begin) != time.Second {
			t.Errorf("Await: %v after %v", err, time.Since(begin))
		}
		if err := firefly.All(short, inside); err == nil || time.Since(begin) != time.Second {
			t.Errorf("All: %v after %v", err, time.Since(begin))
		}
		next, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		if err := firefly.Sleep(next, time.Hour); err != context.DeadlineExceeded || time.Since(begin) != 2*time.Second {
			t.Errorf("Sleep: %v after %v", err, time.Since(begin))
		}
		r.enter()
		expect(t, r.log, "other at 0s")
		if !mailbox.From(next).Own() {
			t.Error("the handler has lost its loop")
		}
	})
}

func TestRootSleepAndGo(t *testing.T) {
	onRoot(t, func(t *testing.T, r *rig, ctx context.Context) {
		begin := time.Now()
		firefly.Go(ctx, "child", func(child context.Context) {
			if c := firefly.CallOf(child); c == nil || c.Player != 7 {
				t.Errorf("the child's call: %v", c)
			}
			if _, ok := child.Deadline(); ok {
				t.Error("the child has the deadline of its parent")
			}
			if !mailbox.From(child).Own() {
				t.Error("the child is not on the loop")
			}
			_ = firefly.Sleep(child, time.Minute)
			r.say("child after %v", time.Since(begin))
		})
		r.leave()
		if err := firefly.Sleep(ctx, time.Second); err != nil || time.Since(begin) != time.Second {
			t.Errorf("%v after %v", err, time.Since(begin))
		}
		if err := firefly.Sleep(ctx, time.Hour); err != context.DeadlineExceeded || time.Since(begin) != 10*time.Second {
			t.Errorf("%v after %v", err, time.Since(begin))
		}
		r.enter()
	})
	defer func() {
		if recover() == nil {
			t.Error("Go without a loop was accepted")
		}
	}()
	firefly.Go(context.Background(), "lost", func(context.Context) {})
}
