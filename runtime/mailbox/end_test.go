package mailbox_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/firefly-go/firefly/runtime/mailbox"
)

func TestPanicHarmsNothingElse(t *testing.T) {
	o := mailbox.Options{Turn: func() {}}
	bubble(t, o, func(t *testing.T, r *rig) {
		var lane mailbox.Lane
		var other mailbox.Wait
		r.submit("other", nil, 0, func(c *mailbox.Context) {
			_ = r.wait(c, &other)
			r.say("other")
		})
		fail := func(name string, f func(c *mailbox.Context)) {
			j := r.job(name, &lane, time.Minute, f)
			j.panicked = func(v any) { r.say("%s: %v", name, v) }
			if err := r.Submit(&j.Task); err != nil {
				t.Error(err)
			}
		}
		fail("plain", func(*mailbox.Context) { panic("one") })
		fail("after a yield", func(c *mailbox.Context) {
			_ = r.sleep(c, time.Second)
			panic("two")
		})
		fail("inside Await", func(c *mailbox.Context) {
			r.await(c, func(context.Context) { panic("three") })
		})
		fail("nil", func(*mailbox.Context) { panic(nil) })
		fail("Goexit", func(c *mailbox.Context) {
			_ = r.sleep(c, time.Second)
			goexit()
		})
		fail("Goexit inside Await", func(c *mailbox.Context) {
			r.await(c, func(context.Context) { goexit() })
		})
		j := r.job("twice", &lane, 0, func(*mailbox.Context) { panic("four") })
		j.panicked = func(any) { panic("five") }
		_ = r.Submit(&j.Task)
		r.submit("last", &lane, 0, func(*mailbox.Context) { r.say("last") })
		time.Sleep(time.Minute)
		other.Wake()
		synctest.Wait()
		expect(t, r.log, "plain: one", "after a yield: two", "inside Await: three",
			"nil: panic called with nil argument",
			"Goexit: mailbox: the handler ended its goroutine", "Goexit inside Await: mailbox: the handler ended its goroutine",
			"last", "other")
		if s := r.Stats(); s.Panics != 8 || s.Done != 9 || len(r.panics) != 8 || r.panics[7] != "-: five" {
			t.Errorf("%+v %q", s, r.panics)
		}
	})
}

func TestPanicOfTheLayersAbove(t *testing.T) {
	turns := 0
	bubble(t, mailbox.Options{
		Turn:    func() { turns++; panic("turn") },
		OnPanic: func(*mailbox.Task, any, []byte) { panic("report") },
	}, func(t *testing.T, r *rig) {
		r.submit("fails", nil, 0, func(*mailbox.Context) { panic("handler") })
		r.submit("works", nil, 0, func(*mailbox.Context) { r.say("works") })
		synctest.Wait()
		expect(t, r.log, "works")
		if turns == 0 {
			t.Error("no turn has ended")
		}
	})
}

func TestGoexitOfTheLayersAbove(t *testing.T) {
	turns := 0
	bubble(t, mailbox.Options{
		Turn:    func() { turns++; goexit() },
		OnPanic: func(*mailbox.Task, any, []byte) { goexit() },
	}, func(t *testing.T, r *rig) {
		var lane mailbox.Lane
		r.submit("fails", &lane, 0, func(*mailbox.Context) { panic("handler") })
		j := r.job("leaves", &lane, 0, func(*mailbox.Context) { goexit() })
		j.panicked = func(any) { goexit() }
		_ = r.Submit(&j.Task)
		j = r.job("late", &lane, -time.Second, nil)
		j.refuse = func(error) { goexit() }
		_ = r.Submit(&j.Task)
		for i := range 200 {
			r.submit("works", &lane, 0, func(*mailbox.Context) { r.say("%d", i) })
		}
		synctest.Wait()
		if len(r.log) != 200 || turns < 4 || lane.Len() != 0 {
			t.Errorf("%d of 200 have run, %d turns, %d in the lane", len(r.log), turns, lane.Len())
		}
		if s := r.Stats(); s.Done != 202 || s.Expired != 1 || s.Parked != 0 {
			t.Errorf("%+v", s)
		}
	})
}

func TestDrain(t *testing.T) {
	bubble(t, mailbox.Options{}, func(t *testing.T, r *rig) {
		var lane mailbox.Lane
		r.submit("parked", &lane, 0, func(c *mailbox.Context) {
			_ = r.sleep(c, time.Second)
			r.say("parked")
			c.Go("child", func(ctx context.Context) {
				_ = mailbox.From(ctx).Sleep(time.Second)
				r.say("child")
			})
		})
		r.submit("queued", &lane, 0, func(*mailbox.Context) { r.say("queued") })
		synctest.Wait()
		short, cancel := context.WithTimeout(context.Background(), time.Millisecond)
		defer cancel()
		if err := r.Drain(short); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Drain that has no time: %v", err)
		}
		late := r.job("late", nil, 0, func(*mailbox.Context) { r.say("late") })
		for _, submit := range []func(*mailbox.Task) error{r.Submit, r.SubmitFree} {
			if err := submit(&late.Task); !errors.Is(err, mailbox.ErrClosed) {
				t.Errorf("submitted to a loop that drains: %v", err)
			}
		}
		if err := r.Drain(context.Background()); err != nil {
			t.Error(err)
		}
		if err := r.Drain(context.Background()); err != nil {
			t.Error(err)
		}
		expect(t, r.log, "parked", "queued", "child")
	})
}

func TestClose(t *testing.T) {
	bubble(t, mailbox.Options{}, func(t *testing.T, r *rig) {
		var lane mailbox.Lane
		var never mailbox.Wait
		r.submit("waits", &lane, time.Hour, func(c *mailbox.Context) {
			r.say("waits: %v", r.wait(c, &never))
			r.say("again: %v", r.sleep(c, time.Second))
			c.Go("child", func(context.Context) { t.Error("begun after Close") })
		})
		r.submit("behind", &lane, 0, func(*mailbox.Context) { t.Error("started after Close") })
		r.submit("sleeps", nil, 0, func(c *mailbox.Context) { r.say("sleeps: %v", r.sleep(c, time.Hour)) })
		r.submit("awaits", nil, 0, func(c *mailbox.Context) {
			r.await(c, func(ctx context.Context) {
				<-ctx.Done()
				if !errors.Is(ctx.Err(), mailbox.ErrStopped) {
					t.Errorf("inside Await: %v", ctx.Err())
				}
			})
			r.say("awaits: %v", c.Err())
		})
		synctest.Wait()
		held, let := make(chan struct{}), make(chan struct{})
		r.submit("holds", nil, 0, func(c *mailbox.Context) {
			close(held)
			<-let
			r.say("holds: %v", c.Err())
		})
		<-held
		r.submit("queued", nil, 0, func(*mailbox.Context) { t.Error("started after Close") })
		r.Close()
		r.Close()
		synctest.Wait()
		if len(r.log) != 0 {
			t.Errorf("ran beside the holder: %v", r.log)
		}
		late := r.job("late", nil, 0, func(*mailbox.Context) { t.Error("started after Close") })
		if err := r.Submit(&late.Task); !errors.Is(err, mailbox.ErrClosed) {
			t.Errorf("submitted to a closed loop: %v", err)
		}
		close(let)
		if err := r.Drain(context.Background()); err != nil {
			t.Error(err)
		}
		slices.Sort(r.log)
		const stopped = "mailbox: the loop has stopped"
		expect(t, r.log, "again: "+stopped, "awaits: "+stopped, "holds: "+stopped, "sleeps: "+stopped, "waits: "+stopped)
		if len(r.refused) != 2 || r.refused["behind"] != mailbox.ErrStopped || r.refused["queued"] != mailbox.ErrStopped {
			t.Errorf("refused: %v", r.refused)
		}
		if n := lane.Len(); n != 0 {
			t.Errorf("%d in the lane", n)
		}
	})
}

func TestCloseOfAnUnusedLoop(t *testing.T) {
	bubble(t, mailbox.Options{}, func(t *testing.T, r *rig) {})
	bubble(t, mailbox.Options{}, func(t *testing.T, r *rig) {
		if err := r.Drain(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

func TestMisuseIsTold(t *testing.T) {
	bubble(t, mailbox.Options{}, func(t *testing.T, r *rig) {
		told := func(name string, f func()) {
			defer func() {
				if recover() == nil {
					t.Errorf("%s was accepted", name)
				}
			}()
			f()
		}
		told("a task without Init", func() { _ = r.Submit(new(mailbox.Task)) })
		j := r.job("twice", nil, 0, func(*mailbox.Context) {})
		_ = r.Submit(&j.Task)
		told("a task submitted twice", func() { _ = r.Submit(&j.Task) })
	})
}
