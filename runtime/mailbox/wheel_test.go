package mailbox

import (
	"math/rand/v2"
	"testing"
)

// The wheel against a plain list, under random additions, removals and steps.
func TestWheelModel(t *testing.T) {
	for seed := range uint64(50) {
		rng := rand.New(rand.NewPCG(seed, 1))
		var w wheel
		due := map[*Context]int64{}
		now := int64(rng.Uint64N(1 << 50))
		for range 2000 {
			switch rng.IntN(4) {
			case 0, 1:
				c := new(Context)
				at := now + int64(rng.Uint64N(1<<(10+rng.IntN(40))))
				if rng.IntN(20) == 0 {
					at = 0
				}
				w.add(c, at, now)
				due[c] = at
			case 2:
				for c := range due {
					w.remove(c)
					w.remove(c)
					delete(due, c)
					break
				}
			case 3:
				step := int64(rng.Uint64N(1 << (10 + rng.IntN(36))))
				if next := w.next(); next != 0 && rng.IntN(2) == 0 {
					step = max(int64(next)*tickNanos-now, 0)
				}
				now += step
				var last uint64
				w.advance(uint64(now/tickNanos), func(c *Context) {
					at, ok := due[c]
					if !ok || at == 0 || at > now {
						t.Fatalf("seed %d: fired %v at %d, due %d", seed, ok, now, at)
					}
					if w.cur < last {
						t.Fatalf("seed %d: time runs backwards", seed)
					}
					last = w.cur
					delete(due, c)
				})
				for c, at := range due {
					if at != 0 && (at-1)/tickNanos+1 <= now/tickNanos && c.at.tick <= uint64(now/tickNanos) {
						t.Fatalf("seed %d: missed one that was due at %d, now %d", seed, at, now)
					}
				}
			}
			timed := 0
			for _, at := range due {
				if at != 0 {
					timed++
				}
			}
			if w.n != timed || (w.next() == 0) != (timed == 0) {
				t.Fatalf("seed %d: the wheel holds %d of %d", seed, w.n, timed)
			}
		}
		n := 0
		w.drain(func(*Context) { n++ })
		if n != len(due) || w.n != 0 || w.next() != 0 {
			t.Fatalf("seed %d: drained %d of %d", seed, n, len(due))
		}
	}
}

func TestWheelFarAway(t *testing.T) {
	var w wheel
	a, b := new(Context), new(Context)
	w.add(a, 1<<63-1, 5)
	w.add(b, 1, 5)
	fired := 0
	w.advance(w.next(), func(c *Context) {
		if c != b {
			t.Error("fired the wrong one")
		}
		fired++
	})
	for w.n > 0 {
		w.advance(w.next(), func(c *Context) { fired++ })
	}
	if fired != 2 || w.cur > (1<<63-1)/tickNanos+1 {
		t.Errorf("%d fired, at %d", fired, w.cur)
	}
}

func TestGoroutinesAreTold(t *testing.T) {
	g, id := goroutine(), goroutineID()
	if g != goroutine() || id != goroutineID() || id == 0 {
		t.Error("one goroutine is told as two")
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if goroutine() == g || goroutineID() == id {
			t.Error("two goroutines are told as one")
		}
	}()
	<-done
}
