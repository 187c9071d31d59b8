package transport

import "time"

// Flusher has something to write at the end of a turn.
type Flusher interface{ Flush() }

// Batch collects what must be flushed at the end of a turn: of a readable event, of a logic
// loop. The zero Batch is ready. One goroutine at a time; it may be kept and used again. A
// nil *Batch flushes everything at once.
type Batch struct {
	list []Flusher

	reading bool      // between the transport's call of Data and Flush
	now     time.Time // of this event; zero until somebody asks

	// Since the poller has let others run.
	events int
	posted int
}

// Add has f flushed by the next Flush; at once when b is nil. The same f may be added again.
func (b *Batch) Add(f Flusher) {
	if b == nil {
		f.Flush()
		return
	}
	b.list = append(b.list, f)
}

// Flush flushes everything added, what is added meanwhile too, in the order of Add.
func (b *Batch) Flush() {
	if b == nil {
		return
	}
	b.reading, b.now = false, time.Time{}
	if len(b.list) == 0 {
		return
	}
	for i := 0; i < len(b.list); i++ {
		b.list[i].Flush()
	}
	clear(b.list)
	b.list = b.list[:0]
	if cap(b.list) > maxBatch {
		b.list = nil
	}
}

// maxBatch bounds what an idle Batch keeps.
const maxBatch = 1024

// Len is how many Flushers wait.
func (b *Batch) Len() int {
	if b == nil {
		return 0
	}
	return len(b.list)
}

// begin marks b as the one of a readable event, until Flush.
func (b *Batch) begin() { b.reading = true }

// Reading reports whether b belongs to a readable event: it is flushed as soon as Data has
// returned, and Data does not block.
func (b *Batch) Reading() bool { return b != nil && b.reading }

// Now is the clock, read once in a readable event however many frames came with it: reading
// it costs a tenth of what a small command does.
func (b *Batch) Now() time.Time {
	if !b.Reading() {
		return time.Now()
	}
	if b.now.IsZero() {
		b.now = time.Now()
	}
	return b.now
}

// Posted says that a handler was queued for a goroutine which l wakes when it is flushed;
// asleep: it has to be woken. b must be Reading.
func (b *Batch) Posted(l Flusher, asleep bool) {
	b.posted++
	if n := len(b.list); asleep && (n == 0 || b.list[n-1] != l) {
		b.list = append(b.list, l)
	}
}

// How much a poller hands to other goroutines before it lets them run.
const (
	maxPosted = 256 // handlers
	maxEvents = 16  // readable events that had a handler each, or more
)

// ended counts a readable event, and reports whether the poller should now let those run to
// whom it has given work. If it went on for as long as there is input, that would grow cold
// in the caches, and the clients would all wait at the same time and then all come at once.
func (b *Batch) ended() bool {
	if b.posted > 0 {
		b.events++
	}
	if b.posted < maxPosted && b.events < maxEvents {
		return false
	}
	b.events, b.posted = 0, 0
	return true
}
