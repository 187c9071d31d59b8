package mailbox_test

import (
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/firefly-go/firefly/runtime/mailbox"
)

// holdsTheLoop is the name to look for in the stacks.
func holdsTheLoop(d time.Duration) { time.Sleep(d) }

func TestSlowHandlerIsReportedOnce(t *testing.T) {
	var mu sync.Mutex
	var reports []mailbox.SlowReport
	o := mailbox.Options{Name: "world", Slow: 200 * time.Millisecond, OnSlow: func(r mailbox.SlowReport) {
		mu.Lock()
		defer mu.Unlock()
		reports = append(reports, r)
	}}
	count := func() int {
		mu.Lock()
		defer mu.Unlock()
		return len(reports)
	}
	bubble(t, o, func(t *testing.T, r *rig) {
		var stay [100]mailbox.Wait
		for i := range stay {
			r.submit("parked", nil, 0, func(c *mailbox.Context) { _ = r.wait(c, &stay[i]) })
		}
		r.submit("quick", nil, 0, func(c *mailbox.Context) {
			for range 100 { // long, but it yields
				time.Sleep(50 * time.Millisecond)
				_ = r.sleep(c, time.Millisecond)
			}
		})
		time.Sleep(time.Minute)
		if n := count(); n != 0 {
			t.Errorf("%d reports without a slow handler", n)
		}
		begin := time.Now()
		r.submit("Arena.Strike", nil, 0, func(c *mailbox.Context) { holdsTheLoop(10 * time.Second) })
		for count() == 0 && time.Since(begin) < 10*time.Second {
			time.Sleep(time.Millisecond)
		}
		if took := time.Since(begin); took > 400*time.Millisecond {
			t.Errorf("reported after %v", took)
		}
		time.Sleep(time.Minute)
		if n := count(); n != 1 {
			t.Fatalf("%d reports of one incident", n)
		}
		if got := reports[0]; got.Loop != "world" || got.Task != "Arena.Strike" || got.Held < 200*time.Millisecond ||
			!strings.Contains(string(got.Stack), "holdsTheLoop") || strings.Contains(string(got.Stack), "\n\n") {
			t.Errorf("%s %s %v\n%s", got.Loop, got.Task, got.Held, got.Stack)
		}
		// More of them in a row are all reported; the dumps back off.
		r.submit("many", nil, 0, func(c *mailbox.Context) {
			for range 20 {
				r.submit("again", nil, 0, func(c *mailbox.Context) { holdsTheLoop(time.Second) })
			}
		})
		time.Sleep(time.Minute)
		if n := count(); n != 21 {
			t.Fatalf("%d reports of 21 incidents", n)
		}
		dumps := 0
		for _, got := range reports {
			if got.Stack != nil {
				dumps++
			}
		}
		if dumps < 2 || dumps > 8 {
			t.Errorf("%d dumps for 21 incidents", dumps)
		}
		if s := r.Stats(); s.Slow != 21 {
			t.Errorf("%+v", s)
		}
	})
}

// A handler that is slow after a yield, and one that yields after it was slow.
func TestSlowBetweenYields(t *testing.T) {
	var reports atomic.Int32
	bubble(t, mailbox.Options{OnSlow: func(mailbox.SlowReport) { reports.Add(1) }}, func(t *testing.T, r *rig) {
		r.submit("slow", nil, 0, func(c *mailbox.Context) {
			for range 3 {
				_ = r.sleep(c, time.Millisecond)
				time.Sleep(time.Second)
				_ = r.sleep(c, time.Millisecond)
			}
		})
		time.Sleep(time.Minute)
		synctest.Wait()
		if reports.Load() != 3 {
			t.Errorf("%d reports of 3 incidents", reports.Load())
		}
	})
	bubble(t, mailbox.Options{Slow: -1, OnSlow: func(mailbox.SlowReport) { t.Error("reported, though switched off") }}, func(t *testing.T, r *rig) {
		r.submit("slow", nil, 0, func(c *mailbox.Context) { time.Sleep(time.Hour) })
		time.Sleep(2 * time.Hour)
	})
}
