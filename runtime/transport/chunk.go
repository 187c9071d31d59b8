package transport

import "sync"

// chunk is a run of frames that wait to be written, one behind the other.
type chunk struct {
	buf   []byte
	off   int    // what is before it has been written
	marks []mark // one for each frame, in order
	done  int    // marks before it have been written
	dead  int    // bytes of dropped frames, all behind off
	drops int    // marks before it are not to be dropped
}

// mark is one frame of a chunk; it begins where the former ends.
type mark struct {
	end    int
	class  Class
	isDead bool
}

func (c *chunk) start(i int) int {
	if i == 0 {
		return 0
	}
	return c.marks[i-1].end
}

// live is how many bytes are still to be written.
func (c *chunk) live() int { return len(c.buf) - c.off - c.dead }

// add notes the frame that has been appended to buf.
func (c *chunk) add(class Class) {
	c.marks = append(c.marks, mark{end: len(c.buf), class: class})
}

// wrote notes that n more bytes are written, of a chunk without dead frames, and gives how
// many frames that completes.
func (c *chunk) wrote(n int) (frames int) {
	c.off += n
	for c.done < len(c.marks) && c.marks[c.done].end <= c.off {
		c.done++
		frames++
	}
	return frames
}

// drop takes frame i out, unless it is written, begun or dropped already, and gives its size.
func (c *chunk) drop(i int) (size int, ok bool) {
	m := &c.marks[i]
	if i < c.done || m.isDead || c.start(i) < c.off {
		return 0, false
	}
	m.isDead = true
	size = m.end - c.start(i)
	c.dead += size
	return size, true
}

// oldest finds the first frame that may be dropped, -1 when there is none.
func (c *chunk) oldest() int {
	for i := max(c.drops, c.done); i < len(c.marks); i++ {
		m := &c.marks[i]
		if m.class.Policy == DropOldest && !m.isDead && c.start(i) >= c.off {
			c.drops = i
			return i
		}
	}
	c.drops = len(c.marks)
	return -1
}

// wasted says that so much of the buffer is written or dropped that moving the rest down is
// cheap against it.
func (c *chunk) wasted() bool { return c.off+c.dead > 4096 && c.off+c.dead > len(c.buf)/2 }

// compact moves the frames down over what is written and dropped. A frame that is begun keeps
// only its unwritten bytes.
func (c *chunk) compact() {
	if c.off == 0 && c.dead == 0 {
		return
	}
	size, n := 0, 0
	start := c.start(c.done)
	for _, m := range c.marks[c.done:] {
		frame, from := start, max(start, c.off)
		start = m.end
		if m.isDead {
			continue
		}
		if from > frame {
			m.class = Class{} // begun, and its offset will not show it any more
		}
		size += copy(c.buf[size:], c.buf[from:m.end])
		c.marks[n] = mark{end: size, class: m.class}
		n++
	}
	c.buf, c.marks = c.buf[:size], c.marks[:n]
	c.off, c.done, c.dead, c.drops = 0, 0, 0, 0
}

// join puts the frames of d behind those of c.
func (c *chunk) join(d *chunk) {
	base := len(c.buf)
	c.buf = append(c.buf, d.buf...)
	for _, m := range d.marks {
		m.end += base
		c.marks = append(c.marks, m)
	}
	c.dead += d.dead
}

// chunkPool keeps chunks of one network's queues, so that a queue with nothing to write holds
// no memory.
type chunkPool struct{ p sync.Pool }

// What a pooled chunk may hold at most: no pool keeps a giant.
const (
	maxPooledBytes = 64 << 10
	maxPooledMarks = 2 << 10
)

func (p *chunkPool) get() *chunk {
	if c, _ := p.p.Get().(*chunk); c != nil {
		return c
	}
	return &chunk{buf: make([]byte, 0, 1024), marks: make([]mark, 0, 8)}
}

func (p *chunkPool) put(c *chunk) {
	if cap(c.buf) > maxPooledBytes || cap(c.marks) > maxPooledMarks {
		return
	}
	*c = chunk{buf: c.buf[:0], marks: c.marks[:0]}
	p.p.Put(c)
}
