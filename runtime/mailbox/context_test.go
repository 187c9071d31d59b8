package mailbox_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/firefly-go/firefly/runtime/mailbox"
)

func TestDeadlineWhileParked(t *testing.T) {
	bubble(t, mailbox.Options{}, func(t *testing.T, r *rig) {
		var lane mailbox.Lane
		var never, more mailbox.Wait
		begin := time.Now()
		var watched context.Context
		r.submit("first", &lane, 5*time.Second, func(c *mailbox.Context) {
			watched = c
			go func() { // the layer above answers the client when the ctx ends
				<-c.Done()
				r.t.Logf("answered after %v: %v", time.Since(begin), c.Err())
			}()
			err := r.wait(c, &never)
			r.say("%v at %v", err, time.Since(begin))
			r.await(c, func(off context.Context) {
				if off.Err() == nil {
					t.Error("the ctx inside Await has not ended")
				}
				time.Sleep(2 * time.Second) // deaf to its ctx
			})
			if err := r.wait(c, &more); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("a wait after the deadline: %v", err)
			}
			r.say("first returns")
		})
		r.submit("second", &lane, 0, func(c *mailbox.Context) {
			r.say("second at %v", time.Since(begin))
			if c.Err() != nil {
				t.Error("its ctx has ended")
			}
		})
		time.Sleep(5*time.Second - time.Nanosecond)
		synctest.Wait()
		if err := watched.Err(); err != nil {
			t.Errorf("before the deadline: %v", err)
		}
		time.Sleep(time.Millisecond)
		synctest.Wait()
		if err := watched.Err(); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("at the deadline: %v", err)
		}
		if r.Stats().Parked != 1 {
			t.Errorf("%+v", r.Stats())
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		expect(t, r.log, "context deadline exceeded at 5s", "first returns", "second at 7s")
		never.Wake() // too late, and harmless
		more.Wake()
	})
}

func TestErrDoesNotWaitForTheWheel(t *testing.T) {
	bubble(t, mailbox.Options{}, func(t *testing.T, r *rig) {
		r.submit("slow", nil, time.Second, func(c *mailbox.Context) {
			at, ok := c.Deadline()
			if left := time.Until(at); !ok || left != time.Second {
				t.Errorf("deadline in %v, %v", left, ok)
			}
			done := c.Done()
			time.Sleep(time.Second)
			if err := c.Err(); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Err: %v", err)
			}
			select {
			case <-done:
			default:
				t.Error("Err is set and Done is open")
			}
		})
		synctest.Wait()
		time.Sleep(2 * time.Second)
	})
}

func TestCtxEndsWithItsHandler(t *testing.T) {
	bubble(t, mailbox.Options{}, func(t *testing.T, r *rig) {
		var kept, child context.Context
		r.submit("short", nil, time.Hour, func(c *mailbox.Context) {
			kept = c
			var cancel context.CancelFunc
			child, cancel = context.WithCancel(c)
			_ = cancel
			if r.Stats().Goroutines != 1 {
				t.Errorf("%+v", r.Stats())
			}
		})
		synctest.Wait()
		<-kept.Done()
		<-child.Done()
		if !errors.Is(kept.Err(), context.Canceled) || !errors.Is(child.Err(), context.Canceled) {
			t.Errorf("%v, %v", kept.Err(), child.Err())
		}
		var later context.Context
		r.submit("unwatched", nil, time.Hour, func(c *mailbox.Context) { later = c })
		synctest.Wait()
		if err := later.Err(); !errors.Is(err, context.Canceled) {
			t.Errorf("a ctx that nobody watched: %v", err)
		}
		<-later.Done()
	})
}

func TestAfterFunc(t *testing.T) {
	bubble(t, mailbox.Options{}, func(t *testing.T, r *rig) {
		var fired, kept atomic.Int32
		var w mailbox.Wait
		r.submit("hooked", nil, time.Second, func(c *mailbox.Context) {
			stop := c.AfterFunc(func() { t.Error("a stopped hook was called") })
			c.AfterFunc(func() { fired.Add(1) })
			if !stop() || stop() {
				t.Error("stop does not say once that it stopped")
			}
			short, cancel := context.WithTimeout(c, time.Minute)
			defer cancel()
			context.AfterFunc(short, func() { kept.Add(1) })
			_ = r.wait(c, &w)
			stop = c.AfterFunc(func() { fired.Add(1) })
			if stop() {
				t.Error("stopped what had begun")
			}
		})
		time.Sleep(time.Hour)
		synctest.Wait()
		if fired.Load() != 2 || kept.Load() != 1 {
			t.Errorf("%d and %d hooks were called", fired.Load(), kept.Load())
		}
	})
}

func TestSleep(t *testing.T) {
	bubble(t, mailbox.Options{}, func(t *testing.T, r *rig) {
		begin := time.Now()
		for i, d := range []time.Duration{3 * time.Second, time.Second, 2 * time.Second, time.Second, 0} {
			r.submit("sleeper", nil, 0, func(c *mailbox.Context) {
				if err := r.sleep(c, d); err != nil {
					t.Error(err)
				}
				r.say("%d at %v", i, time.Since(begin))
			})
		}
		r.submit("cut short", nil, 1500*time.Millisecond, func(c *mailbox.Context) {
			done := c.Done()
			if err := r.sleep(c, time.Second); err != nil {
				t.Error(err)
			}
			if err := r.sleep(c, time.Hour); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("slept through its deadline: %v", err)
			}
			<-done
			r.say("cut at %v", time.Since(begin))
		})
		time.Sleep(time.Minute)
		synctest.Wait()
		expect(t, r.log, "4 at 0s", "1 at 1s", "3 at 1s", "cut at 1.5s", "2 at 2s", "0 at 3s")
	})
}

func TestSleepNeverEndsEarly(t *testing.T) {
	bubble(t, mailbox.Options{}, func(t *testing.T, r *rig) {
		for i := range 2000 {
			d := time.Duration(i*i) * 7919 * time.Microsecond / 10
			r.submit("sleeper", nil, 0, func(c *mailbox.Context) {
				begin := time.Now()
				_ = r.sleep(c, d)
				if late := time.Since(begin) - d; late < 0 || late > time.Millisecond {
					t.Errorf("slept %v for %v", time.Since(begin), d)
				}
			})
		}
		time.Sleep(time.Hour)
	})
}

func TestDayOfTimers(t *testing.T) {
	real := time.Now()
	bubble(t, mailbox.Options{}, func(t *testing.T, r *rig) {
		begin := time.Now()
		beats := 0
		r.submit("heart", nil, 0, func(c *mailbox.Context) {
			for range 24 {
				_ = r.sleep(c, time.Hour)
				beats++
			}
		})
		r.submit("day", nil, 25*time.Hour, func(c *mailbox.Context) { _ = r.sleep(c, 24*time.Hour) })
		r.submit("deadline", nil, 24*time.Hour, func(c *mailbox.Context) {
			var never mailbox.Wait
			_ = r.wait(c, &never)
		})
		if err := r.Drain(context.Background()); err != nil {
			t.Error(err)
		}
		if d := time.Since(begin); beats != 24 || d < 24*time.Hour || d > 24*time.Hour+time.Second {
			t.Errorf("%d beats in %v", beats, d)
		}
	})
	t.Logf("a day took %v; bubbles of other tests run beside this one", time.Since(real))
}

func TestAwaitRunsOthersMeanwhile(t *testing.T) {
	bubble(t, mailbox.Options{}, func(t *testing.T, r *rig) {
		r.submit("first", nil, 0, func(c *mailbox.Context) {
			r.say("first")
			r.await(c, func(context.Context) { time.Sleep(time.Second) })
			r.say("first again")
		})
		r.submit("second", nil, 0, func(*mailbox.Context) { r.say("second") })
		time.Sleep(2 * time.Second)
		synctest.Wait()
		expect(t, r.log, "first", "second", "first again")
	})
}

func TestWakeAtAnyTime(t *testing.T) {
	bubble(t, mailbox.Options{}, func(t *testing.T, r *rig) {
		var before, during, after mailbox.Wait
		before.Wake()
		before.Wake()
		r.submit("waiter", nil, time.Minute, func(c *mailbox.Context) {
			if err := r.wait(c, &before); err != nil {
				t.Errorf("woken before: %v", err)
			}
			go func() {
				time.Sleep(time.Second)
				during.Wake()
				during.Wake()
			}()
			if err := r.wait(c, &during); err != nil {
				t.Errorf("woken during: %v", err)
			}
			if err := r.wait(c, &after); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("never woken: %v", err)
			}
			after.Wake()
			after.Wake()
			r.say("ok")
		})
		time.Sleep(time.Hour)
		synctest.Wait()
		expect(t, r.log, "ok")
	})
}

func TestWaitInDerivedCtx(t *testing.T) {
	bubble(t, mailbox.Options{}, func(t *testing.T, r *rig) {
		begin := time.Now()
		r.submit("caller", nil, time.Minute, func(c *mailbox.Context) {
			in := func(ctx context.Context, w *mailbox.Wait) error {
				r.leave()
				defer r.enter()
				return c.WaitIn(ctx, w)
			}
			short, cancel := context.WithTimeout(c, time.Second)
			var w, woken, late mailbox.Wait
			if err := in(short, &w); !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) != time.Second {
				t.Errorf("%v after %v", err, time.Since(begin))
			}
			if err := in(short, &late); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("with an ended ctx: %v", err)
			}
			cancel()
			w.Wake()
			long, cancel := context.WithTimeout(c, 10*time.Second)
			defer cancel()
			time.AfterFunc(time.Second, woken.Wake)
			if err := in(long, &woken); err != nil {
				t.Error(err)
			}
			type key struct{}
			var valued, own mailbox.Wait
			time.AfterFunc(time.Second, valued.Wake)
			if err := in(context.WithValue(c, key{}, 1), &valued); err != nil {
				t.Error(err)
			}
			if err := in(c, &own); !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) != time.Minute {
				t.Errorf("%v after %v", err, time.Since(begin))
			}
			r.say("ok")
		})
		time.Sleep(time.Hour)
		synctest.Wait()
		expect(t, r.log, "ok")
	})
}

func TestGoHasTheTimeoutAndNoLane(t *testing.T) {
	bubble(t, mailbox.Options{Timeout: 30 * time.Second, Limit: 1}, func(t *testing.T, r *rig) {
		var lane mailbox.Lane
		r.submit("parent", &lane, 0, func(c *mailbox.Context) {
			if at, ok := c.Deadline(); !ok || time.Until(at) != 30*time.Second {
				t.Errorf("deadline %v %v", at, ok)
			}
			c.Go("child", func(ctx context.Context) {
				begin := time.Now()
				err := mailbox.From(ctx).Sleep(time.Hour)
				r.say("child: %v after %v", err, time.Since(begin))
			})
			_ = r.sleep(c, time.Second)
			r.say("parent")
		})
		time.Sleep(time.Minute)
		synctest.Wait()
		expect(t, r.log, "parent", "child: context deadline exceeded after 30s")
	})
}
