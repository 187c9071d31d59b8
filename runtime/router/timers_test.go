package router

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/firefly-go/firefly"
)

// at says when something happens, since the test began.
func at(begin time.Time) time.Duration { return time.Since(begin) }

func TestTimers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		var j journal
		var ticks int
		var every firefly.Timer
		r := newRig(t, HostOptions{}, func(h *Host) {
			n := h.Node()
			every = n.Every(time.Second, "every", func(ctx context.Context) {
				ticks++
				j.add("every %v", at(begin))
				if ticks == 2 { // it overlaps neither itself nor is the late tick made up for
					_ = firefly.Sleep(ctx, 2500*time.Millisecond)
				}
				if c := firefly.CallOf(ctx); c.Name != "every" || c.Session != nil || c.Request == 0 {
					t.Errorf("the ctx knows %+v", c)
				}
			})
			n.After(1500*time.Millisecond, "after", func(context.Context) { j.add("after %v", at(begin)) })
			n.After(4*time.Second, "never", func(context.Context) { j.add("never") }).Stop()
		}).start()
		defer r.stop()
		time.Sleep(6100 * time.Millisecond)
		every.Stop()
		time.Sleep(10 * time.Second)
		j.want(t, "every 1s", "after 1.5s", "every 2s", "every 5s", "every 6s")
	})
}

// A timer may be set and stopped by a handler; a stopped one does not begin again, also when
// its tick is queued already.
func TestTimersInHandlers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var j journal
		r := newRig(t, HostOptions{}, func(h *Host) {
			var tm firefly.Timer
			handle(h, 1, func(ctx context.Context, _ firefly.Session, _ *num) (*num, error) {
				n := 0
				tm = h.Node().Every(time.Second, "tick", func(context.Context) {
					if n++; n == 3 {
						tm.Stop()
					}
					j.add("tick %d", n)
				})
				h.Node().After(0, "panics", func(context.Context) { panic("tick of a timer") })
				return &num{}, nil
			})
		}).start()
		defer r.stop()
		r.command(1, 1, numBody(0)).wait()
		time.Sleep(time.Minute)
		j.want(t, "tick 1", "tick 2", "tick 3")
		mustContain(t, r.log.String(), "tick of a timer")
		ts := &r.host.timers
		ts.mu.Lock()
		defer ts.mu.Unlock()
		if n := len(ts.all); n != 0 {
			t.Errorf("%d timers are kept", n)
		}
	})
}

func TestCron(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // begins at midnight UTC of 2000-01-01, a Saturday
		var j journal
		format := "Mon 02 15:04"
		r := newRig(t, HostOptions{}, func(h *Host) {
			n := h.Node()
			n.Cron("30 4 * * 1-5", "workdays", func(context.Context) { j.add("%s", time.Now().Format(format)) })
			n.Cron("0 0 31 2 *", "never", func(context.Context) { t.Error("the 31st of February") })
		}).start()
		defer r.stop()
		y, m, d := time.Now().Date()
		first := time.Date(y, m, d, 4, 30, 0, 0, time.Local)
		var want []string
		for day := first; len(want) < 7; day = day.AddDate(0, 0, 1) {
			if w := day.Weekday(); w != time.Saturday && w != time.Sunday && day.After(time.Now()) {
				want = append(want, day.Format(format))
			}
		}
		for j.len() < len(want) {
			time.Sleep(time.Hour)
			synctest.Wait()
		}
		j.want(t, want...)
	})
}

func TestWrongTimers(t *testing.T) {
	r := newRig(t, HostOptions{}, func(*Host) {})
	n := r.host.Node()
	for name, f := range map[string]func(){
		"every 0":     func() { n.Every(0, "x", nil) },
		"six fields":  func() { n.Cron("0 0 0 * * *", "x", nil) },
		"no numbers":  func() { n.Cron("a b c d e", "x", nil) },
		"descriptors": func() { n.Cron("@hourly", "x", nil) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s is taken", name)
				}
			}()
			f()
		}()
	}
}

// A day of a thousand timers: nothing is lost and nothing ticks twice.
func TestManyTimers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		counts := make([]int, 1000)
		r := newRig(t, HostOptions{}, func(h *Host) {
			for i := range counts {
				h.Node().Every(time.Duration(i+1)*time.Minute, fmt.Sprint(i), func(context.Context) { counts[i]++ })
			}
		}).start()
		time.Sleep(24*time.Hour + time.Second)
		r.stop()
		for i, n := range counts {
			if want := 24 * 60 / (i + 1); n != want {
				t.Errorf("every %d minutes: %d ticks, want %d", i+1, n, want)
			}
		}
	})
}
