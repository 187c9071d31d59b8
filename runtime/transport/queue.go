package transport

import (
	"errors"
	"sync"
	"time"
)

// Errors of a Queue. The frame was not and will not be sent.
var (
	ErrFull   = errors.New("transport: queue is full")
	ErrClosed = errors.New("transport: queue is closed")
)

// Policy says what happens to a frame that waits because the peer reads too slowly.
type Policy uint8

// The policies, as those of firefly.SlowPolicy.
const (
	Disconnect Policy = iota // it waits, and at the limits OnFull is called
	DropOldest               // at the limits it makes room for newer frames, the oldest first
	Coalesce                 // a newer frame of the same ID and Key replaces it
)

// Class says what may replace a waiting frame, and what it may replace.
type Class struct {
	Policy Policy
	ID     uint32
	Key    uint64
}

// QueueOptions are the limits of a Queue.
type QueueOptions struct {
	// MaxBytes is the limit of all frames that wait; 0: 1 MiB. It may be passed by one frame,
	// as Begin and Push say.
	MaxBytes  int
	MaxFrames int // that wait; 0: 65,536
	// OnFull is called when a frame found no room, on its goroutine, without locks; not again
	// before the queue was empty. It may Close.
	OnFull func()
}

// Queue is the outgoing side of one connection: whole frames in order, of any number of
// producers, exactly counted and bounded. Nothing here blocks for longer than a write to a
// socket that has room; a peer that does not read costs its bytes and no goroutine. An empty
// Queue holds no buffer.
//
// Wire it so: Handler.Writable calls Queue.Writable, Handler.Closed calls Queue.Close.
type Queue struct {
	mu   sync.Mutex
	conn Conn
	pool *chunkPool
	o    QueueOptions

	cur *chunk // frames that no TryWrite has been given, or all that waits while full
	// bytes and frames count all that waits, also what a TryWrite under way has been given.
	bytes, frames int

	writing bool // a goroutine is in TryWrite, without mu
	again   bool // somebody asked to write meanwhile
	full    bool // the socket is; Writable will come
	told    bool // OnFull has been called
	shut    bool // no more frames
	closed  bool // nothing more is written

	batch  *Batch        // the last batch that holds this queue since the last Flush
	begun  int           // length of cur.buf at Begin
	latest map[Class]int // index of waiting Coalesce frames in cur, while full; nil: not made
	linger *time.Timer   // of CloseAfterFlush
}

// NewQueue makes a queue before c.
func NewQueue(c Conn, o QueueOptions) *Queue {
	q := &Queue{}
	q.Init(c, o)
	return q
}

// Init makes the zero Queue ready: for a Queue that is a field.
func (q *Queue) Init(c Conn, o QueueOptions) {
	if o.MaxBytes <= 0 {
		o.MaxBytes = 1 << 20
	}
	if o.MaxFrames <= 0 {
		o.MaxFrames = 65536
	}
	q.conn, q.o = c, o
	if p, ok := c.(pooler); ok {
		q.pool = p.chunks()
	} else {
		q.pool = &chunkPool{}
	}
}

// early is how much a batch collects before it is written without waiting for its end.
const early = 64 << 10

// Begin locks the queue and gives the slice to append one frame to; Commit must follow, with
// nothing slow between. ErrFull, ErrClosed: then it is not locked. As the size of the frame
// is not known yet, it is taken as long as less than the limits waits, so the bytes may
// exceed MaxBytes by one frame less one byte.
func (q *Queue) Begin() ([]byte, error) {
	q.mu.Lock()
	if q.shut {
		q.mu.Unlock()
		return nil, ErrClosed
	}
	if q.bytes >= q.o.MaxBytes || q.frames >= q.o.MaxFrames {
		if !q.room(1) {
			return nil, q.refuse()
		}
		if q.shut { // writing found the connection broken
			q.mu.Unlock()
			return nil, ErrClosed
		}
	}
	c := q.chunk()
	q.begun = len(c.buf)
	return c.buf, nil
}

// Commit takes what Begin gave with one frame behind it and unlocks; the frame leaves with
// batch, or now when batch is nil. Without a frame behind it nothing happens.
func (q *Queue) Commit(buf []byte, batch *Batch) {
	q.cur.buf = buf
	size := len(buf) - q.begun
	if size <= 0 {
		q.cur.buf = buf[:q.begun]
		if len(q.cur.marks) == 0 {
			q.recycle(q.cur)
			q.cur = nil
		}
		q.mu.Unlock()
		return
	}
	q.cur.add(Class{})
	q.bytes += size
	q.frames++
	q.leave(batch)
}

// Push sends a copy of frame under a policy; it leaves with batch. While the socket is full,
// a Coalesce frame replaces the waiting one of its ID and Key and goes to the end of the
// queue, so that it overtakes nothing; at the limits the oldest DropOldest frames make room
// for any frame, and a DropOldest frame that still finds none is dropped without an error,
// unless it is the only one beside a write under way: that one is kept over the limit.
// A frame of which a byte has been given to the socket stays.
func (q *Queue) Push(batch *Batch, class Class, frame []byte) error {
	q.mu.Lock()
	if q.shut {
		q.mu.Unlock()
		return ErrClosed
	}
	if q.full && class.Policy == Coalesce {
		q.replace(class)
	}
	if q.bytes+len(frame) > q.o.MaxBytes || q.frames >= q.o.MaxFrames {
		if !q.room(len(frame)) {
			if class.Policy != DropOldest {
				return q.refuse()
			}
			// A write under way may hold all the room, and what it leaves is not known yet:
			// keep the newest frame beside it, one over the limit.
			if !q.writing || q.cur != nil && q.cur.live() > 0 {
				q.mu.Unlock()
				return nil
			}
		}
		if q.shut {
			q.mu.Unlock()
			return ErrClosed
		}
	}
	c := q.chunk()
	c.buf = append(c.buf, frame...)
	c.add(class)
	q.bytes += len(frame)
	q.frames++
	if q.full && class.Policy == Coalesce && q.latest != nil {
		class.Policy = 0
		q.latest[class] = len(c.marks) - 1
	}
	q.leave(batch)
	return nil
}

// chunk is the one that takes the next frame.
func (q *Queue) chunk() *chunk {
	if q.cur == nil {
		q.cur = q.pool.get()
	} else if q.cur.wasted() {
		q.cur.compact()
		q.latest = nil
	}
	return q.cur
}

func (q *Queue) recycle(c *chunk) { q.pool.put(c) }

// leave sees to it that what was added gets written, and unlocks.
func (q *Queue) leave(batch *Batch) {
	switch {
	case q.full:
	case batch == nil:
		q.write()
	case len(q.cur.buf) >= early && !q.writing:
		q.write()
	case q.batch != batch:
		q.batch = batch
		batch.Add(q)
	}
	q.mu.Unlock()
}

// room tries to make room for a frame of size bytes: by writing, when the socket is not known
// to be full, else by dropping. A frame over MaxBytes finds room in an empty queue.
func (q *Queue) room(size int) bool {
	fits := func() bool {
		return q.bytes == 0 || q.bytes+size <= q.o.MaxBytes && q.frames < q.o.MaxFrames
	}
	if !q.full && !q.writing {
		q.write()
	}
	for !fits() && (q.full || q.writing) && q.cur != nil {
		i := q.cur.oldest()
		if i < 0 {
			return false
		}
		q.drop(i)
	}
	return fits()
}

func (q *Queue) drop(i int) {
	if size, ok := q.cur.drop(i); ok {
		q.bytes -= size
		q.frames--
	}
}

// refuse unlocks and tells about a frame that found no room.
func (q *Queue) refuse() error {
	tell := !q.told && q.o.OnFull != nil
	q.told = true
	q.mu.Unlock()
	if tell {
		q.o.OnFull()
	}
	return ErrFull
}

// replace drops the waiting frame of the class.
func (q *Queue) replace(class Class) {
	if q.cur == nil {
		return
	}
	if q.latest == nil {
		q.latest = make(map[Class]int)
		for i, m := range q.cur.marks {
			if m.class.Policy == Coalesce && !m.isDead {
				m.class.Policy = 0
				q.latest[m.class] = i
			}
		}
	}
	class.Policy = 0
	if i, ok := q.latest[class]; ok {
		q.drop(i)
		delete(q.latest, class)
	}
}

// turns bounds how long one goroutine writes for others that keep committing.
const turns = 16

// write writes what waits until the socket is full. mu is held before and after, not
// meanwhile.
func (q *Queue) write() {
	if q.writing {
		q.again = true
		return
	}
	if q.full || q.closed {
		return
	}
	q.writing = true
	for turn := 0; q.cur != nil && !q.closed; turn++ {
		if turn == turns {
			q.writing = false
			go q.Flush()
			return
		}
		c := q.cur
		q.cur, q.latest, q.again = nil, nil, false
		if c.dead > 0 {
			c.compact()
		}
		q.mu.Unlock()
		n, err := q.conn.TryWrite(c.buf[c.off:])
		q.mu.Lock()
		if q.closed {
			break
		}
		q.bytes -= n
		q.frames -= c.wrote(n)
		if err != nil {
			q.end()
			break
		}
		if c.off < len(c.buf) {
			if q.cur != nil {
				c.join(q.cur)
				q.recycle(q.cur)
			}
			q.cur = c
			if q.again { // Writable may have come already
				continue
			}
			q.full = true
			break
		}
		q.recycle(c)
		if !q.again {
			break
		}
	}
	q.writing = false
	if q.bytes == 0 && !q.closed {
		q.told = false
		if q.shut {
			q.finish()
		}
	}
}

// finish ends the connection of a queue that is shut and empty: gently, so that the peer gets
// to read the last frame.
func (q *Queue) finish() {
	q.closed = true
	if f, ok := q.conn.(finisher); ok {
		f.finish()
	} else {
		q.conn.Close()
	}
}

// end drops everything.
func (q *Queue) end() {
	q.shut, q.closed = true, true
	q.cur, q.latest, q.batch = nil, nil, nil
	q.bytes, q.frames = 0, 0
}

// Flush writes what waits, as far as the socket takes it.
func (q *Queue) Flush() {
	q.mu.Lock()
	q.batch = nil
	q.write()
	q.mu.Unlock()
}

// Writable goes on writing; for Handler.Writable.
func (q *Queue) Writable() {
	q.mu.Lock()
	q.full, q.latest = false, nil
	q.write()
	q.mu.Unlock()
}

// Close drops what waits and closes the connection. If something did wait, the peer gets a
// reset after what it has read so far: the stream is cut inside a frame, and the system need
// not keep what a peer that does not read will never ask for. Any goroutine, any number of
// times.
func (q *Queue) Close() {
	q.mu.Lock()
	stalled := q.bytes > 0
	q.end()
	linger := q.linger
	q.linger = nil
	q.mu.Unlock()
	if linger != nil {
		linger.Stop()
	}
	if a, ok := q.conn.(aborter); ok && stalled {
		a.abort()
	} else {
		q.conn.Close()
	}
}

// CloseAfterFlush takes no more frames. When all that waits is written it closes the
// connection for writing and waits for the peer to close it too, so that the last frame is
// not lost over bytes that the peer is still sending; Handler.Data gets none of them. After
// timeout it closes the connection in any case. It does not block.
func (q *Queue) CloseAfterFlush(timeout time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.shut {
		return
	}
	q.shut = true
	q.linger = time.AfterFunc(timeout, q.Close)
	q.write()
	if q.bytes == 0 && !q.closed && !q.writing {
		q.finish()
	}
}

// Pending is what waits: exact bytes not yet taken by the socket, and frames of which some
// byte is not.
func (q *Queue) Pending() (bytes, frames int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.bytes, q.frames
}
