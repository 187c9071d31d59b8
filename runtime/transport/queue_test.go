package transport

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// valve is a connection that takes what it is told to.
type valve struct {
	mu     sync.Mutex
	room   int
	err    error
	got    bytes.Buffer
	writes int
	short  int
	closed bool
	fin    bool
	during func() // called inside TryWrite
}

func (v *valve) TryWrite(b []byte) (int, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.writes++
	if f := v.during; f != nil {
		v.during = nil
		v.mu.Unlock()
		f()
		v.mu.Lock()
	}
	if v.closed {
		return 0, net.ErrClosed
	}
	if v.err != nil {
		return 0, v.err
	}
	n := min(len(b), v.room)
	v.room -= n
	v.got.Write(b[:n])
	if n < len(b) {
		v.short++
	}
	return n, nil
}
func (v *valve) Close() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.closed = true
}
func (v *valve) finish() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.fin = true
}
func (v *valve) ended(how *bool) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return *how
}
func (*valve) RemoteAddr() net.Addr { return nil }
func (*valve) LocalAddr() net.Addr  { return nil }

func (v *valve) open(q *Queue, n int) {
	v.mu.Lock()
	v.room += n
	v.mu.Unlock()
	q.Writable()
}

func put(t *testing.T, q *Queue, batch *Batch, frame string) {
	t.Helper()
	buf, err := q.Begin()
	if err != nil {
		t.Fatal(err)
	}
	q.Commit(append(buf, frame...), batch)
}

func pending(t *testing.T, q *Queue, bytes, frames int) {
	t.Helper()
	if b, f := q.Pending(); b != bytes || f != frames {
		t.Fatalf("%d bytes in %d frames wait, want %d in %d", b, f, bytes, frames)
	}
}

func TestQueueBatches(t *testing.T) {
	v := &valve{room: 1 << 20}
	q := NewQueue(v, QueueOptions{})
	var batch Batch
	for range 5 {
		put(t, q, &batch, "abc")
		q.Push(&batch, Class{}, []byte("de"))
	}
	if v.writes != 0 || batch.Len() != 1 {
		t.Fatalf("%d writes before the flush, %d flushers", v.writes, batch.Len())
	}
	pending(t, q, 25, 10)
	batch.Flush()
	if v.writes != 1 || v.got.String() != "abcdeabcdeabcdeabcdeabcde" || batch.Len() != 0 {
		t.Fatal(v.writes, v.got.String())
	}
	pending(t, q, 0, 0)
	if q.cur != nil {
		t.Error("an empty queue holds a buffer")
	}
	// Two batches of two goroutines: each knows the queue.
	var other Batch
	put(t, q, &batch, "1")
	put(t, q, &other, "2")
	put(t, q, &batch, "3")
	other.Flush()
	if v.got.Len() != 28 {
		t.Fatal("a flush left frames", v.got.String())
	}
	put(t, q, &batch, "4")
	batch.Flush()
	if v.got.Len() != 29 {
		t.Fatal("a flush left frames", v.got.String())
	}
	// No batch: now.
	put(t, q, nil, "5")
	if v.got.Len() != 30 {
		t.Fatal("not written at once")
	}
	// A batch that gets long does not wait for its end.
	for range 100 {
		put(t, q, &batch, string(make([]byte, 1000)))
	}
	if v.got.Len() < early {
		t.Fatal("nothing is written before the end of a long batch")
	}
	batch.Flush()
	if v.got.Len() != 30+100_000 {
		t.Fatal(v.got.Len())
	}
	// Begin without a frame.
	buf, err := q.Begin()
	if err != nil {
		t.Fatal(err)
	}
	q.Commit(buf, &batch)
	pending(t, q, 0, 0)
	buf, _ = q.Begin()
	q.Commit(append(buf, "x"...)[:len(buf)], nil)
	pending(t, q, 0, 0)
}

func TestQueueCountsWhatIsBegun(t *testing.T) {
	v := &valve{room: 4}
	q := NewQueue(v, QueueOptions{MaxBytes: 10, MaxFrames: 3})
	put(t, q, nil, "abc")
	put(t, q, nil, "def") // one byte goes
	pending(t, q, 2, 1)
	put(t, q, nil, "ghi")
	pending(t, q, 5, 2)
	if err := q.Push(nil, Class{}, []byte("123456")); err != ErrFull { // 11 bytes
		t.Fatal(err)
	}
	if err := q.Push(nil, Class{}, []byte("12345")); err != nil { // exactly full
		t.Fatal(err)
	}
	pending(t, q, 10, 3)
	if _, err := q.Begin(); err != ErrFull {
		t.Fatal(err)
	}
	v.open(q, 2)
	pending(t, q, 8, 2)
	v.open(q, 100)
	pending(t, q, 0, 0)
	if v.got.String() != "abcdefghi12345" {
		t.Fatal(v.got.String())
	}
	if err := q.Push(nil, Class{}, make([]byte, 50)); err != nil {
		t.Fatal("a frame over the limit finds no room in an empty queue:", err)
	}
}

func TestQueueWritesBeforeItRefuses(t *testing.T) {
	v := &valve{room: 1000}
	q := NewQueue(v, QueueOptions{MaxBytes: 10, OnFull: func() { t.Error("full") }})
	var batch Batch
	for range 50 {
		put(t, q, &batch, "123456") // nobody flushes, the socket has room
	}
	for range 50 {
		if err := q.Push(&batch, Class{}, []byte("123456")); err != nil {
			t.Fatal(err)
		}
	}
	batch.Flush()
	if v.got.Len() != 600 {
		t.Fatal(v.got.Len())
	}
}

func TestQueueOnFull(t *testing.T) {
	v := &valve{}
	fulls := 0
	var q *Queue
	q = NewQueue(v, QueueOptions{MaxBytes: 4, OnFull: func() {
		fulls++
		q.Pending() // no lock is held
	}})
	put(t, q, nil, "1234")
	for range 3 {
		if _, err := q.Begin(); err != ErrFull {
			t.Fatal(err)
		}
	}
	if fulls != 1 {
		t.Fatalf("told %d times", fulls)
	}
	v.open(q, 4)
	v.room = 0
	put(t, q, nil, "1234")
	if _, err := q.Begin(); err != ErrFull || fulls != 2 {
		t.Fatal("not told again after the queue was empty")
	}
}

func TestQueuePolicies(t *testing.T) {
	moved := func(k int) Class { return Class{Policy: Coalesce, ID: 7, Key: uint64(k)} }
	v := &valve{room: 3}
	q := NewQueue(v, QueueOptions{MaxBytes: 40, MaxFrames: 100})
	push := func(c Class, s string) {
		t.Helper()
		if err := q.Push(nil, c, []byte(s)); err != nil {
			t.Fatal(err)
		}
	}
	push(moved(1), "<a1>") // three bytes of it are out: it is begun and stays
	push(moved(1), "<b1>")
	push(moved(2), "<b2>")
	push(Class{}, "<keep>")
	push(moved(1), "<c1>") // replaces b1 and goes behind keep
	push(Class{Policy: Coalesce, ID: 8, Key: 2}, "<other>")
	push(moved(2), "<d2>")
	pending(t, q, len(">"+"<keep><c1><other><d2>"), 5)
	// At the limit: 22 bytes wait.
	old := Class{Policy: DropOldest, ID: 9}
	push(old, "<o1234>")
	push(old, "<p1234>") // 36
	push(old, "<q1234>") // makes o leave
	push(Class{}, "<r>") // 39
	push(Class{}, "<s>") // makes p leave
	push(Class{}, "<t1234567>")
	pending(t, q, len(">"+"<keep><c1><other><d2>"+"<r><s><t1234567>"), 8)
	push(old, "<no>")                                                 // fits: 38 + 4 do not, and nothing can leave: it is gone
	if err := q.Push(nil, moved(3), []byte("<no>")); err != ErrFull { // nor is this, but it is told
		t.Fatal(err)
	}
	v.open(q, 1000)
	if got, want := v.got.String(), "<a1><keep><c1><other><d2><r><s><t1234567>"; got != want {
		t.Fatalf("got %s, want %s", got, want)
	}
	// With room, nothing is replaced.
	var batch Batch
	for _, s := range []string{"1", "2", "3"} {
		q.Push(&batch, moved(1), []byte(s))
	}
	batch.Flush()
	if got := v.got.String(); got[len(got)-3:] != "123" {
		t.Fatal(got)
	}
}

// Writable may come while TryWrite has not returned yet.
func TestQueueEarlyWritable(t *testing.T) {
	v := &valve{room: 1}
	q := NewQueue(v, QueueOptions{})
	v.during = func() { q.Writable() }
	put(t, q, nil, "ab") // a goes, b has to wait; but Writable came already
	v.mu.Lock()
	v.room = 5
	v.mu.Unlock()
	// One more try was made, it was short again, so another Writable is owed.
	if v.writes != 2 {
		t.Fatalf("%d tries", v.writes)
	}
	q.Writable()
	if v.got.String() != "ab" {
		t.Fatal(v.got.String())
	}
}

// While a write is under way, the newest droppable frame is the one that stays.
func TestQueueDropsBesideAWrite(t *testing.T) {
	v := &valve{room: 10}
	q := NewQueue(v, QueueOptions{MaxBytes: 10})
	v.during = func() {
		for _, s := range []string{"<1>", "<2>", "<3>"} {
			if err := q.Push(nil, Class{Policy: DropOldest}, []byte(s)); err != nil {
				t.Error(err)
			}
			pending(t, q, 13, 2)
		}
		if err := q.Push(nil, Class{}, []byte("<no>")); err != ErrFull {
			t.Error(err)
		}
		q.Push(nil, Class{Policy: DropOldest}, []byte("<4>"))
	}
	v.room = 100
	put(t, q, nil, "0123456789")
	if v.got.String() != "0123456789<4>" {
		t.Fatal(v.got.String())
	}
}

func TestQueueBreaks(t *testing.T) {
	v := &valve{err: errors.New("broken")}
	q := NewQueue(v, QueueOptions{})
	put(t, q, nil, "x")
	pending(t, q, 0, 0)
	if _, err := q.Begin(); err != ErrClosed {
		t.Fatal(err)
	}
	if err := q.Push(nil, Class{}, nil); err != ErrClosed {
		t.Fatal(err)
	}
	q.Flush()
	q.Writable()
	q.CloseAfterFlush(time.Hour)
	q.Close()
	q.Close()
	// Closed while it writes.
	v = &valve{room: 100}
	q = NewQueue(v, QueueOptions{})
	v.during = q.Close
	put(t, q, nil, "x")
	pending(t, q, 0, 0)
	if !v.closed || v.got.Len() != 0 {
		t.Fatal("not closed")
	}
}

func TestQueueCloseAfterFlush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &valve{room: 2}
		q := NewQueue(v, QueueOptions{})
		put(t, q, nil, "1234")
		q.CloseAfterFlush(time.Second)
		if v.ended(&v.fin) {
			t.Fatal("finished too early")
		}
		v.open(q, 2)
		if !v.ended(&v.fin) || v.ended(&v.closed) {
			t.Fatal("not finished when all is written")
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if !v.ended(&v.closed) {
			t.Fatal("not closed at the timeout")
		}
		// No timer is left when the connection ends before.
		v = &valve{}
		q = NewQueue(v, QueueOptions{})
		q.CloseAfterFlush(time.Hour)
		if !v.ended(&v.fin) {
			t.Fatal("not finished")
		}
		q.Close()
	})
}

// model is what a Queue with one producer should do, told slowly.
type model struct {
	frames []modelFrame
	max    int
	maxN   int
	full   bool
	out    bytes.Buffer
}

type modelFrame struct {
	b     []byte
	sent  int
	class Class
}

func (m *model) bytes() (n int) {
	for _, f := range m.frames {
		n += len(f.b) - f.sent
	}
	return n
}

func (m *model) write(v int) {
	for len(m.frames) > 0 {
		f := &m.frames[0]
		n := min(v, len(f.b)-f.sent)
		m.out.Write(f.b[f.sent : f.sent+n])
		f.sent += n
		v -= n
		if f.sent < len(f.b) {
			m.full = true
			return
		}
		m.frames = m.frames[1:]
	}
}

func (m *model) remove(match func(Class) bool) bool {
	for i, f := range m.frames {
		if f.sent == 0 && match(f.class) {
			m.frames = append(append([]modelFrame(nil), m.frames[:i]...), m.frames[i+1:]...)
			return true
		}
	}
	return false
}

func (m *model) push(c Class, b []byte, room int) error {
	if m.full && c.Policy == Coalesce {
		m.remove(func(d Class) bool { return d == c })
	}
	fits := func() bool {
		n := m.bytes()
		return n == 0 || n+len(b) <= m.max && len(m.frames) < m.maxN
	}
	if m.bytes()+len(b) > m.max || len(m.frames) >= m.maxN {
		for !fits() {
			if !m.remove(func(d Class) bool { return d.Policy == DropOldest }) {
				if c.Policy == DropOldest {
					return nil
				}
				return ErrFull
			}
		}
	}
	m.frames = append(m.frames, modelFrame{b: b, class: c})
	if !m.full {
		m.write(room)
	}
	return nil
}

// A queue does what the model does, whatever comes: the same bytes, counts and refusals.
func TestQueueModel(t *testing.T) {
	for seed := range uint64(300) {
		checkModel(t, rand.New(rand.NewPCG(seed, 1)))
	}
}

func FuzzQueue(f *testing.F) {
	f.Add([]byte("any bytes will do"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var seed [32]byte
		copy(seed[:], b)
		checkModel(t, rand.New(rand.NewChaCha8(seed)))
	})
}

func checkModel(t *testing.T, r *rand.Rand) {
	v := &valve{}
	o := QueueOptions{MaxBytes: 1 + r.IntN(3000), MaxFrames: 1 + r.IntN(60)}
	if r.IntN(4) == 0 {
		o.MaxBytes, o.MaxFrames = 100_000, 10_000
	}
	q := NewQueue(v, o)
	m := &model{max: o.MaxBytes, maxN: o.MaxFrames}
	for step := range 400 {
		if r.IntN(6) == 0 && m.full {
			room := r.IntN(400)
			v.open(q, room)
			m.full = false
			m.write(room)
			v.room = 0
		} else {
			class := Class{Policy: Policy(r.IntN(3)), ID: uint32(r.IntN(2)), Key: uint64(r.IntN(5))}
			frame := make([]byte, 8+r.IntN(200))
			binary.BigEndian.PutUint64(frame, uint64(step))
			room := 0
			if !m.full {
				room = r.IntN(300)
				v.room = room
			}
			got, want := q.Push(nil, class, frame), m.push(class, frame, room)
			v.room = 0
			if got != want {
				t.Fatalf("step %d: %v, want %v", step, got, want)
			}
		}
		if b, f := q.Pending(); b != m.bytes() || f != len(m.frames) {
			t.Fatalf("step %d: %d bytes in %d frames wait, want %d in %d", step, b, f, m.bytes(), len(m.frames))
		}
		if !bytes.Equal(v.got.Bytes(), m.out.Bytes()) {
			t.Fatalf("step %d: other bytes are out", step)
		}
		if q.cur != nil && cap(q.cur.buf) > 4*o.MaxBytes+64<<10 {
			t.Fatalf("step %d: %d bytes of memory for a limit of %d", step, cap(q.cur.buf), o.MaxBytes)
		}
	}
}

func TestBatch(t *testing.T) {
	var order []string
	var b Batch
	b.Add(flush(func() {
		order = append(order, "first")
		b.Add(flush(func() { order = append(order, "third") }))
	}))
	b.Add(flush(func() { order = append(order, "second") }))
	b.Flush()
	b.Flush()
	if fmt.Sprint(order) != "[first second third]" {
		t.Fatal(order)
	}
	var none *Batch
	none.Add(flush(func() { order = nil }))
	none.Flush()
	if order != nil || none.Len() != 0 {
		t.Fatal("a nil Batch does not flush at once")
	}
}

type flush func()

func (f flush) Flush() { f() }
