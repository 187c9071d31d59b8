package master

import "time"

// The rules of restarting: at once the first time, then after half a second, doubling to
// thirty; given up after ten in five minutes. What lived for a while was healthy, so the next
// restart is the first again.
const (
	firstDelay   = 500 * time.Millisecond
	longestDelay = 30 * time.Second
	giveUpAfter  = 10
	giveUpWithin = 5 * time.Minute
	healthy      = 10 * time.Second
)

// restarts remembers when one node was restarted.
type restarts struct {
	times []time.Time // the last of them, within giveUpWithin
	quick int         // deaths in a row of processes that had not lived for healthy
}

// next says how long to wait before the process that lived for lived is started again, or
// that it is given up.
func (r *restarts) next(now time.Time, lived time.Duration) (delay time.Duration, ok bool) {
	if lived >= healthy {
		r.quick = 0
	}
	keep := r.times[:0]
	for _, t := range r.times {
		if now.Sub(t) < giveUpWithin {
			keep = append(keep, t)
		}
	}
	r.times = keep
	if len(r.times) >= giveUpAfter {
		return 0, false
	}
	r.times = append(r.times, now)
	if r.quick > 0 {
		delay = min(longestDelay, firstDelay<<min(r.quick-1, 10))
	}
	r.quick++
	return delay, true
}
