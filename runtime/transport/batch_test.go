package transport

import (
	"testing"
	"testing/synctest"
	"time"
)

type flushes int

func (f *flushes) Flush() { *f++ }

// One readable event reads the clock once, and everywhere else it is read anew.
func TestBatchClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b Batch
		pause := func() { time.Sleep(time.Second) }
		first := b.Now()
		pause()
		if !b.Now().After(first) || b.Reading() {
			t.Fatal("a Batch of a loop keeps a time")
		}
		b.begin()
		first = b.Now()
		pause()
		if !b.Now().Equal(first) || !b.Reading() {
			t.Fatal("a readable event has two times")
		}
		b.Flush()
		if !b.Now().After(first) || b.Reading() {
			t.Fatal("the time of an event outlives it")
		}
		b.begin()
		if !b.Now().After(first) {
			t.Fatal("the next event has the time of the former")
		}
		var none *Batch
		if none.Reading() || none.Now().IsZero() {
			t.Fatal("a nil Batch has no clock")
		}
	})
}

// A loop that sleeps is woken once an event, and one that runs is not.
func TestBatchPosted(t *testing.T) {
	var b Batch
	var awake, asleep flushes
	b.begin()
	for range 16 {
		b.Posted(&asleep, true)
	}
	b.Posted(&awake, false)
	b.Flush()
	if asleep != 1 || awake != 0 {
		t.Fatalf("flushed %d and %d times", asleep, awake)
	}
}

// A poller lets others run after so many handlers, or after so many events that had one.
func TestBatchEnds(t *testing.T) {
	var b Batch
	var f flushes
	turns := func(posted int) (n int) {
		for n = 1; n < 1000; n++ {
			b.begin()
			for range posted {
				b.Posted(&f, false)
			}
			b.Flush()
			if b.ended() {
				return n
			}
		}
		return n
	}
	for range 2 { // it counts anew
		for posted, want := range map[int]int{0: 1000, 1: maxEvents, 16: maxPosted / 16, maxPosted: 1} {
			if n := turns(posted); n != want {
				t.Fatalf("with %d handlers an event, it ended after %d events, not %d", posted, n, want)
			}
		}
	}
}
