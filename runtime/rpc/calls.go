package rpc

import "sync"

// calls are those that wait for an answer: slots that are used again, each with a count of
// its uses, so that an answer that comes late finds that its slot has moved on. A call is
// named by both.
type calls struct {
	mu     sync.Mutex
	slots  []slot
	free   int32 // the first free slot + 1, 0: none
	waits  int
	closed bool
}

type slot struct {
	c    Completion
	uses uint32
	next int32 // free slot + 1
}

// maxCalls bounds the slots; it is never near unless nobody answers.
const maxCalls = 1 << 22

// add keeps c under an id; false when the link is down or far too many wait.
func (t *calls) add(c Completion) (id uint64, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed || t.waits >= maxCalls {
		return 0, false
	}
	i := t.free - 1
	if i >= 0 {
		t.free = t.slots[i].next
	} else {
		i = int32(len(t.slots))
		t.slots = append(t.slots, slot{})
	}
	s := &t.slots[i]
	s.c = c
	t.waits++
	return uint64(s.uses)<<32 | uint64(i), true
}

// take gives the Completion of a call and forgets it; nil when nobody waits for it any more.
func (t *calls) take(id uint64) Completion {
	t.mu.Lock()
	defer t.mu.Unlock()
	i := uint32(id)
	if uint64(i) >= uint64(len(t.slots)) {
		return nil
	}
	s := &t.slots[i]
	if s.c == nil || s.uses != uint32(id>>32) {
		return nil
	}
	c := s.c
	s.c = nil
	s.uses++
	s.next = t.free
	t.free = int32(i) + 1
	t.waits--
	return c
}

// close takes no more calls and gives those that wait, in no order.
func (t *calls) close() []Completion {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	var all []Completion
	for i := range t.slots {
		if c := t.slots[i].c; c != nil {
			all = append(all, c)
		}
	}
	t.slots, t.free, t.waits = nil, 0, 0
	return all
}

func (t *calls) len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.waits
}
