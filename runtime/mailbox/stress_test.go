package mailbox_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/firefly-go/firefly/runtime/mailbox"
)

func TestStress(t *testing.T) {
	producers, each := 8, 3000
	if testing.Short() {
		each = 300
	}
	r := newRig(t, mailbox.Options{Limit: -1, Strict: true, Turn: func() {}})
	shared := map[int]int{} // plain, for -race
	lanes := make([]mailbox.Lane, 100)
	lastOf := make([][8]int, len(lanes))
	for i := range lastOf {
		for p := range lastOf[i] {
			lastOf[i][p] = -1
		}
	}
	wakes := make(chan *mailbox.Wait, 1000)
	var wakers, senders sync.WaitGroup
	for range 3 {
		wakers.Go(func() {
			for w := range wakes {
				w.Wake()
			}
		})
	}
	for p := range producers {
		senders.Go(func() {
			for i := range each {
				lane := (p*each + i) % len(lanes)
				timeout := time.Duration(0)
				if i%3 == 0 {
					timeout = time.Minute
				}
				r.submit("stress", &lanes[lane], timeout, func(c *mailbox.Context) {
					if last := lastOf[lane][p]; last >= i {
						t.Errorf("lane %d: %d after %d", lane, i, last)
					}
					lastOf[lane][p] = i
					for k := range (p + i) % 4 {
						var w mailbox.Wait
						switch (i + k) % 6 {
						case 0:
							w.Wake()
							_ = r.wait(c, &w)
						case 1, 2:
							wakes <- &w
							if err := r.wait(c, &w); err != nil {
								t.Error(err)
							}
						case 3:
							_ = r.sleep(c, time.Duration(i%3)*time.Millisecond)
						case 4:
							r.await(c, func(context.Context) {})
						case 5:
							c.Go("waker", func(context.Context) { w.Wake() })
							if err := r.wait(c, &w); err != nil {
								t.Error(err)
							}
						}
						shared[lane]++
					}
					shared[-1]++
				})
			}
		})
	}
	senders.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := r.Drain(ctx); err != nil {
		t.Fatalf("%v; %+v", err, r.Stats())
	}
	close(wakes)
	wakers.Wait()
	r.end()
	if shared[-1] != producers*each {
		t.Errorf("%d of %d handlers returned", shared[-1], producers*each)
	}
}

func TestStressClose(t *testing.T) {
	for round := range 20 {
		r := newRig(t, mailbox.Options{Limit: 500})
		var accepted, returned atomic.Int64
		var senders sync.WaitGroup
		for range 4 {
			senders.Go(func() {
				for i := range 2000 {
					j := &job{r: r, f: func(c *mailbox.Context) {
						defer returned.Add(1)
						var w mailbox.Wait
						switch i % 4 {
						case 0:
							go w.Wake()
							_ = r.wait(c, &w)
						case 1:
							_ = r.sleep(c, time.Hour)
						case 2:
							r.await(c, func(ctx context.Context) {
								select {
								case <-ctx.Done():
								case <-time.After(time.Duration(i) * time.Microsecond):
								}
							})
						}
					}}
					j.Init(j, "close", nil, time.Time{})
					switch err := r.Submit(&j.Task); {
					case err == nil:
						accepted.Add(1)
					case errors.Is(err, mailbox.ErrClosed):
						return
					}
				}
			})
		}
		time.Sleep(time.Duration(round) * 200 * time.Microsecond)
		r.end()
		senders.Wait()
		if s := r.Stats(); s.Done != returned.Load() || s.Done+s.Stopped != accepted.Load() {
			t.Errorf("accepted %d, returned %d, %+v", accepted.Load(), returned.Load(), s)
		}
	}
}
