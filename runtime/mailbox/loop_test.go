package mailbox_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/firefly-go/firefly/runtime/mailbox"
)

func TestLaneKeepsOrderAcrossYields(t *testing.T) {
	bubble(t, mailbox.Options{}, func(t *testing.T, r *rig) {
		var a, b mailbox.Lane
		for i := range 3 {
			r.submit("a", &a, 0, func(c *mailbox.Context) {
				r.say("a%d begins", i)
				_ = r.sleep(c, time.Duration(3-i)*time.Second)
				r.say("a%d ends", i)
			})
		}
		r.submit("b", &b, 0, func(c *mailbox.Context) { r.say("b") })
		if n := a.Len(); n != 3 {
			t.Errorf("lane a holds %d, want 3", n)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		expect(t, r.log, "a0 begins", "b", "a0 ends", "a1 begins", "a1 ends", "a2 begins", "a2 ends")
		if n := a.Len() + b.Len(); n != 0 {
			t.Errorf("%d left in the lanes", n)
		}
	})
}

func TestStalledLaneHoldsUpNobody(t *testing.T) {
	bubble(t, mailbox.Options{}, func(t *testing.T, r *rig) {
		const lanes, each = 1000, 3
		var stalled mailbox.Lane
		var stall mailbox.Wait
		for i := range 10 {
			r.submit("stalled", &stalled, 0, func(c *mailbox.Context) {
				if i == 0 {
					_ = r.wait(c, &stall)
				}
				r.say("stalled %d", i)
			})
		}
		others := make([]mailbox.Lane, lanes)
		for i := range each {
			for k := range others {
				r.submit("other", &others[k], 0, func(c *mailbox.Context) {
					if k%2 == 0 {
						_ = r.sleep(c, time.Millisecond)
					}
					r.say("%d.%d", k, i)
				})
			}
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if len(r.log) != lanes*each {
			t.Fatalf("%d of %d handlers have run beside the stalled lane", len(r.log), lanes*each)
		}
		next := map[int]int{}
		for _, line := range r.log {
			var k, i int
			if _, err := fmt.Sscanf(line, "%d.%d", &k, &i); err != nil || next[k] != i {
				t.Fatalf("%q out of its lane's order", line)
			}
			next[k]++
		}
		r.log = nil
		stall.Wake()
		synctest.Wait()
		for i, line := range r.log {
			if line != fmt.Sprintf("stalled %d", i) {
				t.Fatalf("the stalled lane went on as %v", r.log)
			}
		}
		if len(r.log) != 10 {
			t.Errorf("%d of 10 in the stalled lane have run", len(r.log))
		}
	})
}

func TestResumedRunBeforeNew(t *testing.T) {
	bubble(t, mailbox.Options{}, func(t *testing.T, r *rig) {
		waits := make([]mailbox.Wait, 3)
		for i := range waits {
			r.submit("old", nil, 0, func(c *mailbox.Context) {
				_ = r.wait(c, &waits[i])
				r.say("old %d", i)
			})
		}
		synctest.Wait()
		// The waker and some new ones are in the batch that the holder has at hand, others
		// in the inbox.
		held := make(chan struct{})
		r.submit("holder", nil, 0, func(*mailbox.Context) { <-held })
		synctest.Wait()
		r.submit("waker", nil, 0, func(*mailbox.Context) {
			r.submit("new", nil, 0, func(*mailbox.Context) { r.say("new 2") })
			for _, i := range []int{2, 0, 1} {
				waits[i].Wake()
			}
		})
		for i := range 2 {
			r.submit("new", nil, 0, func(*mailbox.Context) { r.say("new %d", i) })
		}
		close(held)
		synctest.Wait()
		expect(t, r.log, "old 2", "old 0", "old 1", "new 0", "new 1", "new 2")
	})
}

func TestExpiredIsNotStarted(t *testing.T) {
	bubble(t, mailbox.Options{}, func(t *testing.T, r *rig) {
		var lane mailbox.Lane
		var w mailbox.Wait
		r.submit("first", &lane, 0, func(c *mailbox.Context) { _ = r.wait(c, &w) })
		r.submit("late", &lane, time.Second, func(*mailbox.Context) { r.say("late") })
		r.submit("in time", &lane, time.Hour, func(*mailbox.Context) { r.say("in time") })
		r.submit("past", nil, -time.Second, func(*mailbox.Context) { r.say("past") })
		time.Sleep(2 * time.Second)
		w.Wake()
		synctest.Wait()
		expect(t, r.log, "in time")
		if len(r.refused) != 2 || !errors.Is(r.refused["late"], mailbox.ErrExpired) || !errors.Is(r.refused["past"], mailbox.ErrExpired) {
			t.Errorf("refused: %v", r.refused)
		}
		if s := r.Stats(); s.Expired != 2 || s.Done != 2 {
			t.Errorf("%+v", s)
		}
	})
}

func TestLimit(t *testing.T) {
	bubble(t, mailbox.Options{Limit: 4}, func(t *testing.T, r *rig) {
		var w, hold mailbox.Wait
		r.submit("parked", nil, 0, func(c *mailbox.Context) { _ = r.wait(c, &w) })
		synctest.Wait()
		held := make(chan struct{})
		r.submit("inside", nil, 0, func(*mailbox.Context) { <-held })
		synctest.Wait()
		r.submit("queued 1", nil, 0, func(*mailbox.Context) { r.say("1") })
		r.submit("queued 2", nil, 0, func(*mailbox.Context) { r.say("2") })
		over := r.job("over", nil, 0, func(*mailbox.Context) { r.say("over") })
		if err := r.Submit(&over.Task); !errors.Is(err, mailbox.ErrOverloaded) {
			t.Errorf("the fifth of four: %v", err)
		}
		if s := r.Stats(); s.Queued != 2 || s.Parked != 1 || s.Overloaded != 1 {
			t.Errorf("%+v", s)
		}
		free := r.job("free", nil, 0, func(*mailbox.Context) { r.say("free") })
		if err := r.SubmitFree(&free.Task); err != nil {
			t.Errorf("free: %v", err)
		}
		close(held)
		synctest.Wait()
		// It was not touched, so it may come again.
		if err := r.Submit(&over.Task); err != nil {
			t.Errorf("with room again: %v", err)
		}
		w.Wake()
		hold.Wake()
		synctest.Wait()
		expect(t, r.log, "1", "2", "free", "over")
	})
}

func TestOverloadFinishesInTime(t *testing.T) {
	bubble(t, mailbox.Options{Limit: 100}, func(t *testing.T, r *rig) {
		var inTime, late, refused int
		for range 2000 { // 1.5 times what the loop can take: 1.5 ms of work come each ms
			j := r.job("work", nil, 500*time.Millisecond, func(c *mailbox.Context) {
				time.Sleep(750 * time.Microsecond)
				_ = r.sleep(c, 10*time.Millisecond)
				time.Sleep(750 * time.Microsecond)
				if c.Err() == nil {
					inTime++
				} else {
					late++
				}
			})
			if r.Submit(&j.Task) != nil {
				refused++
			}
			time.Sleep(time.Millisecond)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if inTime < 1200 || late > 0 {
			t.Errorf("%d in time, %d late, %d refused, %d expired", inTime, late, refused, len(r.refused))
		}
	})
}

func TestCircleOfCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		loops := []*rig{newRig(t, mailbox.Options{}), newRig(t, mailbox.Options{})}
		var lane mailbox.Lane
		var call func(hop int, done *mailbox.Wait) func(*mailbox.Context)
		deepest := 0
		call = func(hop int, done *mailbox.Wait) func(*mailbox.Context) {
			return func(c *mailbox.Context) {
				defer done.Wake()
				deepest = max(deepest, hop)
				if hop == 16 {
					return
				}
				var reply mailbox.Wait
				loops[(hop+1)%2].submit("call", nil, 0, call(hop+1, &reply))
				if err := loops[hop%2].wait(c, &reply); err != nil {
					t.Error(err)
				}
			}
		}
		var all mailbox.Wait
		loops[0].submit("command", &lane, time.Minute, call(0, &all))
		synctest.Wait()
		if deepest != 16 || lane.Len() != 0 {
			t.Errorf("hop %d, %d in the lane", deepest, lane.Len())
		}
		for _, r := range loops {
			r.end()
		}
	})
}

func TestTurns(t *testing.T) {
	var r *rig
	ends := 0
	o := mailbox.Options{Turn: func() { ends++; r.say("turn") }}
	synctest.Test(t, func(t *testing.T) {
		r = newRig(t, o)
		// What a handler has written is flushed before the loop waits for the answer.
		var reply mailbox.Wait
		r.submit("caller", nil, 0, func(c *mailbox.Context) {
			r.say("calls")
			_ = r.wait(c, &reply)
			r.say("returns")
		})
		synctest.Wait()
		expect(t, r.log, "calls", "turn")
		reply.Wake()
		synctest.Wait()
		expect(t, r.log, "calls", "turn", "returns", "turn")

		// A full queue is flushed now and then.
		r.log, ends = nil, 0
		r.submit("holder", nil, 0, func(c *mailbox.Context) {
			for range 64 * 4 {
				r.submit("quick", nil, 0, func(*mailbox.Context) {})
			}
		})
		synctest.Wait()
		if ends != 5 { // after 64, 128, 192, 256 and at the end
			t.Errorf("%d turns for 257 handlers", ends)
		}
		r.log, ends = nil, 0
		r.submit("holder", nil, 0, func(c *mailbox.Context) {
			for range 10 {
				r.submit("slow", nil, 0, func(*mailbox.Context) { time.Sleep(150 * time.Microsecond) })
			}
		})
		time.Sleep(time.Second)
		synctest.Wait()
		if ends < 4 || ends > 6 {
			t.Errorf("%d turns for ten handlers of 150 us", ends)
		}

		// Handlers that only resume each other leave the queue empty never, and are flushed.
		r.log, ends = nil, 0
		for range 2 {
			r.submit("yields", nil, 0, func(c *mailbox.Context) {
				for range 320 {
					_ = r.sleep(c, 0)
				}
			})
		}
		synctest.Wait()
		if ends < 9 {
			t.Errorf("%d turns for 640 yields", ends)
		}
		r.end()
	})
}

func TestWorkersFollowThePeakSlowly(t *testing.T) {
	bubble(t, mailbox.Options{}, func(t *testing.T, r *rig) {
		const peak = 1000
		waits := make([]mailbox.Wait, peak)
		round := func() {
			clear(waits)
			for i := range waits {
				r.submit("parks", nil, 0, func(c *mailbox.Context) { _ = r.wait(c, &waits[i]) })
			}
			synctest.Wait()
			if s := r.Stats(); s.Parked != peak || s.Goroutines > peak+1 {
				t.Fatalf("%+v", s)
			}
			for i := range waits {
				waits[i].Wake()
			}
			synctest.Wait()
		}
		round()
		if s := r.Stats(); s.Idle < peak {
			t.Errorf("%d workers are kept after a peak of %d", s.Idle, peak)
		}
		time.Sleep(15 * time.Second)
		if s := r.Stats(); s.Idle < peak/2 {
			t.Errorf("%d workers after 15 s", s.Idle)
		}
		for range 6 { // a peak every 9 s keeps them
			round()
			time.Sleep(9 * time.Second)
		}
		if s := r.Stats(); s.Idle < peak {
			t.Errorf("%d workers while peaks go on", s.Idle)
		}
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if s := r.Stats(); s.Idle > 2 || s.Goroutines != s.Idle {
			t.Errorf("%d workers ten minutes later", s.Idle)
		}
	})
}

func TestTenThousandParked(t *testing.T) {
	bubble(t, mailbox.Options{}, func(t *testing.T, r *rig) {
		const n = 10000
		waits := make([]mailbox.Wait, n)
		sum := 0
		for i := range waits {
			r.submit("parks", nil, time.Minute, func(c *mailbox.Context) {
				if r.wait(c, &waits[i]) == nil {
					sum++
				}
			})
		}
		synctest.Wait()
		over := r.job("over", nil, 0, nil)
		if err := r.Submit(&over.Task); !errors.Is(err, mailbox.ErrOverloaded) {
			t.Errorf("one more than the default limit: %v", err)
		}
		for i := range waits {
			waits[i].Wake()
		}
		synctest.Wait()
		if sum != n {
			t.Errorf("%d of %d went on", sum, n)
		}
	})
}

func TestPost(t *testing.T) {
	bubble(t, mailbox.Options{Turn: func() {}}, func(t *testing.T, r *rig) {
		post := func(name string) bool {
			wake, err := r.Post(&r.job(name, nil, 0, func(*mailbox.Context) { r.say("%s", name) }).Task)
			if err != nil {
				t.Error(err)
			}
			return wake
		}
		if !post("a") || !post("b") {
			t.Error("an idle loop need not be woken")
		}
		synctest.Wait()
		expect(t, r.log)
		if s := r.Stats(); s.Queued != 2 || s.Goroutines != 0 {
			t.Errorf("%+v", s)
		}
		r.Flush()
		r.Flush()
		synctest.Wait()
		expect(t, r.log, "a", "b")
		if s := r.Stats(); s.Turns != 1 {
			t.Errorf("%+v", s)
		}
		// Whoever else comes takes along what was posted.
		post("c")
		r.submit("d", nil, 0, func(*mailbox.Context) {
			r.say("d")
			if post("e") {
				t.Error("a held loop must be woken")
			}
		})
		synctest.Wait()
		expect(t, r.log, "a", "b", "c", "d", "e")
		var w mailbox.Wait
		r.submit("parks", nil, 0, func(c *mailbox.Context) { _ = r.wait(c, &w) })
		synctest.Wait()
		post("f")
		w.Wake()
		synctest.Wait()
		expect(t, r.log, "a", "b", "c", "d", "e", "f")
		post("g")
		r.Close()
		synctest.Wait()
		if r.refused["g"] != mailbox.ErrStopped {
			t.Errorf("posted before Close: %v", r.refused)
		}
	})
}

func TestTasksAreFree(t *testing.T) {
	if runtime.GOARCH != "amd64" && runtime.GOARCH != "arm64" {
		t.Skip("telling goroutines apart allocates here")
	}
	l := mailbox.New(mailbox.Options{})
	defer l.Close()
	var w mailbox.Wait
	ran := make(chan struct{}, 1)
	var lane mailbox.Lane
	s := &step{f: func(ctx *mailbox.Context) {
		w = mailbox.Wait{}
		ctx.Await(func(context.Context) {})
		_ = ctx.Sleep(0)
		w.Wake()
		_ = ctx.Wait(&w)
		ran <- struct{}{}
	}}
	allocs := testing.AllocsPerRun(1000, func() {
		s.Init(s, "step", &lane, time.Now().Add(time.Minute))
		if err := l.Submit(&s.Task); err != nil {
			t.Fatal(err)
		}
		<-ran
		for l.Stats().Done == 0 || lane.Len() > 0 {
			time.Sleep(0)
		}
	})
	if allocs >= 1 {
		t.Errorf("a task costs %v allocations", allocs)
	}
}
