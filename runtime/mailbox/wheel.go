package mailbox

import "math/bits"

// tickNanos is the grain of deadlines and sleeps: they come up to a millisecond late and
// never early.
const tickNanos = 1_000_000

const wheelLevels = 8 // of 64 slots each: 2^48 ms, more than an int64 of nanoseconds

// wheel is a hierarchical timing wheel of contexts. Adding and removing take a few
// instructions, since nearly every deadline is removed before it comes. It has no clock and
// no timer of its own: next says when advance is worth calling. Loop.mu guards it.
type wheel struct {
	cur   uint64 // the tick that it stands at
	n     int    // contexts with a time
	full  [wheelLevels]uint64
	slot  [wheelLevels][64]ring
	never ring // contexts that only Close ends
}

// ring is one slot, first in first out, so that equal times come up in the order of asking.
type ring struct{ head, tail *Context }

// place says where a context stands in the wheel.
type place struct {
	next, prev *Context
	tick       uint64
	level      int8 // 0: nowhere; -1: never; else the level + 1
	slot       uint8
}

// add puts c in for the time due, 0 for never. now is the clock.
func (w *wheel) add(c *Context, due, now int64) {
	if due == 0 {
		c.at.level = -1
		w.link(c, &w.never)
		return
	}
	if w.n == 0 {
		w.cur = max(w.cur, uint64(now/tickNanos))
	}
	c.at.tick = uint64((due-1)/tickNanos + 1)
	w.insert(c)
}

func (w *wheel) insert(c *Context) {
	c.at.tick = max(c.at.tick, w.cur+1)
	level := (63 - bits.LeadingZeros64(c.at.tick^w.cur)) / 6
	slot := c.at.tick >> (6 * level) & 63
	c.at.level, c.at.slot = int8(level+1), uint8(slot)
	w.full[level] |= 1 << slot
	w.n++
	w.link(c, &w.slot[level][slot])
}

func (w *wheel) link(c *Context, r *ring) {
	c.at.prev, c.at.next = r.tail, nil
	if r.tail != nil {
		r.tail.at.next = c
	} else {
		r.head = c
	}
	r.tail = c
}

// remove takes c out; it may be out already.
func (w *wheel) remove(c *Context) {
	if c.at.level == 0 {
		return
	}
	r := &w.never
	if c.at.level > 0 {
		r = &w.slot[c.at.level-1][c.at.slot]
		w.n--
	}
	if c.at.prev != nil {
		c.at.prev.at.next = c.at.next
	} else {
		r.head = c.at.next
	}
	if c.at.next != nil {
		c.at.next.at.prev = c.at.prev
	} else {
		r.tail = c.at.prev
	}
	if c.at.level > 0 && r.head == nil {
		w.full[c.at.level-1] &^= 1 << c.at.slot
	}
	c.at = place{}
}

// next is the first tick at which something may be due, or 0. On the upper levels it is
// the beginning of a slot, where advance spreads its contexts over the levels below.
func (w *wheel) next() uint64 {
	_, _, tick := w.first()
	return tick
}

func (w *wheel) first() (level, slot int, tick uint64) {
	for level := range wheelLevels {
		here := w.cur >> (6 * level) & 63
		later := w.full[level] &^ (2<<here - 1) // a slot of an upper level is never the one we stand in
		if later != 0 {
			slot := bits.TrailingZeros64(later)
			above := 6 * (level + 1)
			return level, slot, w.cur>>above<<above | uint64(slot)<<(6*level)
		}
	}
	return 0, 0, 0
}

// advance moves to tick and calls fire for every context whose tick has come, earliest
// first, after taking it out.
func (w *wheel) advance(tick uint64, fire func(*Context)) {
	for {
		level, slot, at := w.first()
		if at == 0 || at > tick {
			w.cur = max(w.cur, tick)
			return
		}
		w.cur = at
		for {
			c := w.slot[level][slot].head
			if c == nil {
				break
			}
			t := c.at.tick
			w.remove(c)
			if t <= at {
				fire(c)
			} else {
				c.at.tick = t
				w.insert(c)
			}
		}
	}
}

// drain calls f for every context after taking it out.
func (w *wheel) drain(f func(*Context)) {
	for w.never.head != nil {
		c := w.never.head
		w.remove(c)
		f(c)
	}
	for level := range w.slot {
		for slot := range w.slot[level] {
			for w.slot[level][slot].head != nil {
				c := w.slot[level][slot].head
				w.remove(c)
				f(c)
			}
		}
	}
}
