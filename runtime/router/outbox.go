package router

import (
	"encoding/binary"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/cluster"
	"github.com/firefly-go/firefly/runtime/rpc"
	"github.com/firefly-go/firefly/runtime/transport"
)

// outboxes are what one process keeps for the gates of other processes: by incarnation, since
// what is meant for one life of a gate is nothing for the next.
type outboxes struct {
	mu sync.RWMutex
	m  map[firefly.Incarnation]*outbox
}

func (os *outboxes) find(gate firefly.Incarnation) *outbox {
	os.mu.RLock()
	defer os.mu.RUnlock()
	return os.m[gate]
}

// of finds or begins the outbox of a gate; nil: the gate is gone.
func (os *outboxes) of(gate *cluster.Peer) *outbox {
	if o := os.find(gate.Incarnation); o != nil {
		return o
	}
	os.mu.Lock()
	defer os.mu.Unlock()
	o := os.m[gate.Incarnation]
	if o == nil && !gate.Gone() {
		if os.m == nil {
			os.m = map[firefly.Incarnation]*outbox{}
		}
		o = &outbox{gate: gate}
		os.m[gate.Incarnation] = o
	}
	return o
}

// drop forgets what was kept for a gate that is gone.
func (os *outboxes) drop(gate firefly.Incarnation) {
	os.mu.Lock()
	o := os.m[gate]
	delete(os.m, gate)
	os.mu.Unlock()
	if o != nil {
		o.end()
	}
}

// back sends again what a gate may not have got over the link that broke.
func (os *outboxes) back(gate firefly.Incarnation) {
	if o := os.find(gate); o != nil {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.flush(nil)
	}
}

// settled reports whether the gate's link has taken everything that was kept for it, so that
// what is sent now does not overtake. It tries to get there first.
func (os *outboxes) settled(gate *cluster.Peer, batch *transport.Batch) bool {
	o := os.find(gate.Incarnation)
	if o == nil {
		return true
	}
	if link, err := gate.Link(); err == nil && !o.behind.Load() && o.link.Load() == link {
		return true
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.flush(batch)
	return !o.behind.Load()
}

// What a numbered message (KindNumbered) is: the two low bits of its number.
const (
	numberedPush   = iota // the envelope of a push
	numberedClose         // a Close: OpClose, behind the pushes before it
	numberedMissed        // the envelope of a push without its body: its receivers miss pushes
	numberedLost          // nothing: any session may miss pushes
)

// The limits of an outbox, those of a link's queue; beyond them only receivers are noted.
const (
	maxKept      = 65536
	maxKeptBytes = 8 << 20
	maxMissed    = 1 << 20       // bytes of receivers that miss pushes, beyond which it is everyone
	maxEnvelope  = 1<<12 - 1<<10 // of the room that maxBody leaves in a frame
)

// stallWait is how soon a link that had no room is tried again.
const stallWait = 20 * time.Millisecond

// outbox keeps the pushes to one gate that must not be lost - those with slow: DISCONNECT -
// until the gate has acknowledged them: they are numbered, and all that are not acknowledged
// go out again over the link that follows one that broke. The gate drops those that it has
// seen. When more waits than may, the receivers of what is not kept are noted instead, and the
// gate closes their sessions: nobody misses a push and does not know.
type outbox struct {
	gate   *cluster.Peer
	behind atomic.Bool              // something waits that no link has taken
	link   atomic.Pointer[rpc.Link] // that took what was taken; written under mu

	mu     sync.Mutex
	last   uint64   // number of the newest message
	kept   [][]byte // not acknowledged, from head on, oldest first; the last has number last
	head   int
	next   int // the first that link has not taken
	bytes  int // of kept
	free   [][]byte
	missed map[string]struct{} // receivers noted and not sent yet
	noted  int                 // bytes of missed
	lost   bool                // numberedLost is noted and not sent yet
	timer  *time.Timer         // runs while the link has no room
	ended  bool
}

var numberedHeader = rpc.Header{Kind: KindNumbered}

// push takes a push whose envelope is sealed. InvalidArgument: it does not encode, or is too
// large for a frame.
func (o *outbox) push(e *envelope, batch *transport.Batch) error {
	size := e.SizeVT()
	if size > maxBody+maxEnvelope {
		return firefly.InvalidArgument.Errorf("a push to %d bytes of receivers; send it in parts", len(e.head))
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case o.ended:
		return nil
	case !o.room(size):
		o.miss(e.head)
	default:
		b := o.begin(numberedPush, size)
		n := len(b)
		b = slices.Grow(b, size)[:n+size]
		if wrote, err := e.MarshalToSizedBufferVT(b[n:]); err != nil || wrote != size {
			return &firefly.Error{Code: firefly.InvalidArgument, Message: "the push does not encode", Cause: err}
		}
		o.add(b)
	}
	o.flush(batch)
	return nil
}

// close takes a Close, so that it stays behind the pushes that were made before it. false: it
// is not kept.
func (o *outbox) close(m Close, batch *transport.Batch) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.ended || !o.room(0) {
		return false
	}
	o.add(m.Append(o.begin(numberedClose, 64)))
	o.flush(batch)
	return true
}

func (o *outbox) room(size int) bool {
	return len(o.kept)-o.head < maxKept && o.bytes+size <= maxKeptBytes
}

// begin begins the next message in a buffer that is free.
func (o *outbox) begin(kind uint64, size int) []byte {
	var b []byte
	if n := len(o.free); n > 0 {
		b = o.free[n-1][:0]
		o.free[n-1] = nil
		o.free = o.free[:n-1]
	} else {
		b = make([]byte, 0, binary.MaxVarintLen64+size)
	}
	return binary.AppendUvarint(b, (o.last+1)<<2|kind)
}

func (o *outbox) add(b []byte) {
	o.last++
	o.kept = append(o.kept, b)
	o.bytes += len(b)
}

// miss notes, in its place among the pushes, who does not get one that finds no room.
func (o *outbox) miss(head []byte) {
	if o.lost {
		return
	}
	// Who they are, without what they should have got: the id before and the key behind.
	_, n := binary.Uvarint(head)
	who := append([]byte{0}, head[n:n+2]...)
	who = append(who, make([]byte, 8)...)
	who = append(who, head[n+10:]...)
	if _, ok := o.missed[string(who)]; ok {
		return
	}
	if o.noted += len(who); o.noted > maxMissed {
		o.lost = true
		o.add(o.begin(numberedLost, 0))
		return
	}
	if o.missed == nil {
		o.missed = map[string]struct{}{}
	}
	o.missed[string(who)] = struct{}{}
	o.add(append(o.begin(numberedMissed, len(who)), who...))
}

// flush gives the link what it has not taken; the lock is held.
func (o *outbox) flush(batch *transport.Batch) {
	if o.ended {
		return
	}
	link, err := o.gate.Link()
	if err == nil && link != o.link.Load() {
		o.link.Store(link)
		o.next = o.head
	}
	for err == nil && o.next < len(o.kept) {
		b := o.kept[o.next]
		if err = link.Send(batch, &numberedHeader, rpc.Payload{Raw: b}); err != nil {
			break
		}
		o.next++
		if b[0]&3 >= numberedMissed { // what is missed from now on is noted anew
			clear(o.missed)
			o.noted = 0
			o.lost = o.lost && b[0]&3 != numberedLost
		}
	}
	o.behind.Store(o.next < len(o.kept))
	if firefly.CodeOf(err) == firefly.Overloaded && o.timer == nil {
		o.timer = time.AfterFunc(stallWait, func() {
			o.mu.Lock()
			defer o.mu.Unlock()
			o.timer = nil
			o.flush(nil)
		})
	}
	// A link that is down is followed by another, and by back.
}

// keepFrame is the largest buffer that is used again, keepFrames how many are.
const (
	keepFrame  = 4 << 10
	keepFrames = 256
)

// acknowledge takes out what the gate has.
func (o *outbox) acknowledge(number uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for first := o.last - uint64(len(o.kept)-o.head) + 1; o.head < len(o.kept) && first <= number; first++ {
		b := o.kept[o.head]
		o.kept[o.head] = nil
		o.head++
		o.bytes -= len(b)
		if cap(b) <= keepFrame && len(o.free) < keepFrames {
			o.free = append(o.free, b)
		}
	}
	o.next = max(o.next, o.head)
	if o.head > len(o.kept)/2 {
		n := copy(o.kept, o.kept[o.head:])
		clear(o.kept[n:])
		o.kept, o.next, o.head = o.kept[:n], o.next-o.head, 0
	}
	if o.behind.Load() {
		o.flush(nil)
	}
}

func (o *outbox) end() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ended = true
	o.kept, o.free, o.missed = nil, nil, nil
	o.head, o.next = 0, 0
	o.behind.Store(false)
	if o.timer != nil {
		o.timer.Stop()
		o.timer = nil
	}
}

// inbox is what a gate's process remembers of the numbered messages of another one.
type inbox struct {
	mu    sync.Mutex
	last  uint64 // the newest that has come
	count int    // since the last acknowledgement
	bytes int
}

// A gate acknowledges after so many messages or bytes: rarely, since what is kept for it is
// sent twice only when a link breaks.
const (
	ackEvery      = 128
	ackEveryBytes = 64 << 10
)

// take judges one message: whether it is new, whether some before it never came, and whether
// it is time to acknowledge.
func (in *inbox) take(number uint64, size int) (fresh, gap, ack bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	fresh, gap = number > in.last, number > in.last+1
	in.last = max(in.last, number)
	in.count++
	in.bytes += size
	if ack = in.count >= ackEvery || in.bytes >= ackEveryBytes; ack {
		in.count, in.bytes = 0, 0
	}
	return fresh, gap, ack
}
