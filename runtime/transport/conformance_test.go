package transport

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestGluedAndCut(t *testing.T) {
	conform(t, func(t *testing.T, p *place) {
		addr, ends := p.server(t, QueueOptions{}, echo)
		c := p.raw(t, addr)
		var stream []byte
		for i := range 40 {
			stream = append(stream, strings.Repeat("x", i*7%97)+"\n"...)
		}
		back := make([]byte, len(stream))
		check := func(how string) {
			t.Helper()
			clear(back)
			if _, err := io.ReadFull(c, back); err != nil || !bytes.Equal(back, stream) {
				t.Fatalf("%s: %v\n%q", how, err, back)
			}
		}
		send := func(b []byte) {
			t.Helper()
			if _, err := c.Write(b); err != nil {
				t.Fatal(err)
			}
		}
		send(stream)
		check("glued")
		e := <-ends
		sent := e.got.Load()
		for i := 1; i < len(stream); i++ {
			send(stream[:i])
			sent += int64(i)
			await(t, "the first part", func() bool { return e.got.Load() == sent })
			send(stream[i:])
			sent += int64(len(stream) - i)
			check(fmt.Sprint("cut at ", i))
		}
		for i := range stream {
			send(stream[i : i+1])
		}
		check("byte by byte")
	})
}

// Everything that arrived before the end is given to Data before Closed.
func TestDataBeforeEnd(t *testing.T) {
	conform(t, func(t *testing.T, p *place) {
		addr, ends := p.server(t, QueueOptions{}, nil)
		for i := range 50 {
			c := p.raw(t, addr)
			size := 1 + i*i*13
			if _, err := c.Write(make([]byte, size)); err != nil {
				t.Fatal(err)
			}
			c.Close()
			e := <-ends
			if err := e.ended(); err != io.EOF {
				t.Fatalf("ended with %v, want EOF", err)
			}
			if got := e.got.Load(); got != int64(size) {
				t.Fatalf("got %d of %d bytes", got, size)
			}
		}
	})
}

func TestCloseOnce(t *testing.T) {
	conform(t, func(t *testing.T, p *place) {
		addr, ends := p.server(t, QueueOptions{}, echo)
		for i := range 60 {
			a := p.dial(t, addr, nil)
			b := <-ends
			if i%3 == 0 {
				a.conn.TryWrite([]byte("under way\n"))
			}
			// One end, the other, both; each by several goroutines.
			var wg sync.WaitGroup
			for range 4 {
				if i%4 != 1 {
					wg.Go(a.conn.Close)
				}
				if i%4 != 2 {
					wg.Go(b.conn.Close)
				}
			}
			wg.Wait()
			errA, errB := a.ended(), b.ended()
			for _, end := range []struct {
				closed bool
				err    error
			}{{i%4 != 1, errA}, {i%4 != 2, errB}} {
				if end.closed != (end.err == nil) {
					// The peer's close may have come first when both closed.
					if i%4 == 1 || i%4 == 2 {
						t.Fatalf("round %d: closed here %v, error %v", i, end.closed, end.err)
					}
				}
			}
			if _, err := a.conn.TryWrite([]byte("x")); !errors.Is(err, net.ErrClosed) {
				t.Fatalf("write after close: %v", err)
			}
			if _, err := b.queue.Begin(); err != ErrClosed {
				t.Fatalf("Begin after close: %v", err)
			}
		}
	})
}

// Besides one call that was about to begin, there is no Data after Close.
func TestNoDataAfterClose(t *testing.T) {
	conform(t, func(t *testing.T, p *place) {
		for range 20 {
			addr, ends := p.server(t, QueueOptions{}, nil)
			c := p.raw(t, addr)
			e := <-ends
			stop := make(chan struct{})
			done := make(chan struct{})
			go func() {
				defer close(done)
				for {
					select {
					case <-stop:
						return
					default:
						if _, err := c.Write([]byte("more")); err != nil {
							return
						}
					}
					if !p.sockets {
						time.Sleep(time.Microsecond)
					}
				}
			}()
			await(t, "data", func() bool { return e.got.Load() > 0 })
			e.conn.Close()
			calls := e.calls.Load()
			if err := e.ended(); err != nil {
				t.Fatal(err)
			}
			if now := e.calls.Load(); now > calls+1 {
				t.Fatalf("%d Data calls after Close", now-calls)
			}
			close(stop)
			c.Close()
			<-done
		}
	})
}

func TestCloseInCallbacks(t *testing.T) {
	conform(t, func(t *testing.T, p *place) {
		// In Data, with bytes left.
		addr, ends := p.server(t, QueueOptions{}, func(e *end, b []byte, _ *Batch) int {
			e.conn.TryWrite([]byte("bye"))
			e.conn.Close()
			return 0
		})
		c := p.raw(t, addr)
		c.Write([]byte("hello"))
		if err := (<-ends).ended(); err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(c); string(b) != "bye" || err != nil {
			t.Fatalf("%q %v", b, err)
		}
		// In accept.
		closed := make(chan *end, 1)
		ln, err := p.Listen(p.addr, func(c Conn) Handler {
			e := &end{t: t, conn: c, queue: NewQueue(c, QueueOptions{})}
			c.TryWrite([]byte("full"))
			c.Close()
			closed <- e
			return e
		})
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		c = p.raw(t, ln.Addr().String())
		if b, err := io.ReadAll(c); string(b) != "full" || err != nil {
			t.Fatalf("%q %v", b, err)
		}
		if err := (<-closed).ended(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestRefuse(t *testing.T) {
	conform(t, func(t *testing.T, p *place) {
		ln, err := p.Listen(p.addr, func(Conn) Handler { return nil })
		if err != nil {
			t.Fatal(err)
		}
		addr := ln.Addr().String()
		c := p.raw(t, addr)
		if n, err := c.Read(make([]byte, 1)); n != 0 || err == nil {
			t.Fatalf("a refused connection read %d, %v", n, err)
		}
		if _, err := p.Dial(t.Context(), addr, func(Conn) Handler { return nil }); !errors.Is(err, net.ErrClosed) {
			t.Fatalf("Dial without a handler: %v", err)
		}
		ln.Close()
		if _, err := p.Dial(t.Context(), addr, func(Conn) Handler { panic("connected") }); err == nil {
			t.Fatal("Dial reached a closed listener")
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := p.Dial(ctx, addr, func(Conn) Handler { panic("connected") }); err == nil {
			t.Fatal("Dial with a canceled ctx")
		}
		if _, err := p.Listen(addr, func(Conn) Handler { return nil }); err != nil {
			t.Fatalf("the address is not free again: %v", err)
		}
	})
}

func TestListenerClosesAloneAndOnce(t *testing.T) {
	conform(t, func(t *testing.T, p *place) {
		ends := make(chan *end, 1)
		ln, err := p.Listen(p.addr, func(c Conn) Handler {
			e := &end{t: t, conn: c, queue: NewQueue(c, QueueOptions{}), onData: echo}
			ends <- e
			return e
		})
		if err != nil {
			t.Fatal(err)
		}
		c := p.raw(t, ln.Addr().String())
		<-ends
		if err := ln.Close(); err != nil {
			t.Fatal(err)
		}
		if err := ln.Close(); err == nil {
			t.Fatal("closed twice")
		}
		c.Write([]byte("still here\n"))
		if line, err := bufio.NewReader(c).ReadString('\n'); line != "still here\n" {
			t.Fatal(line, err)
		}
	})
}

func TestReset(t *testing.T) {
	conform(t, func(t *testing.T, p *place) {
		addr, ends := p.server(t, QueueOptions{}, nil)
		c := p.raw(t, addr)
		c.Write([]byte("x"))
		e := <-ends
		await(t, "data", func() bool { return e.got.Load() == 1 })
		c.Reset()
		if err := e.ended(); err == nil || err == io.EOF {
			t.Fatalf("a reset ended with %v", err)
		}
	})
}

func TestPanic(t *testing.T) {
	conform(t, func(t *testing.T, p *place) {
		addr, ends := p.server(t, QueueOptions{}, lines(func(e *end, line []byte, batch *Batch) {
			if line[0] == '!' {
				panic("bad bytes")
			}
			e.queue.Push(batch, Class{}, line)
		}))
		good, bad := p.raw(t, addr), p.raw(t, addr)
		bad.Write([]byte("fine\n!\n"))
		good.Write([]byte("ping\n"))
		e, f := <-ends, <-ends
		await(t, "the end of one", func() bool { return e.closes.Load()+f.closes.Load() == 1 })
		if f.closes.Load() == 1 {
			e = f
		}
		var pe *PanicError
		if err := e.ended(); !errors.As(err, &pe) || pe.Value != "bad bytes" || len(pe.Stack) == 0 {
			t.Fatalf("ended with %v", err)
		}
		if line, err := bufio.NewReader(good).ReadString('\n'); line != "ping\n" {
			t.Fatal(line, err)
		}
	})
}

// counter counts what a connection takes.
type counter struct {
	Conn
	mu    sync.Mutex
	calls int // of TryWrite, those under way included
	taken int
	seen  int
}

// quiet says whether nothing was taken since it was asked last.
func (c *counter) quiet() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	was := c.seen
	c.seen = c.taken
	return was == c.taken
}

func (c *counter) writes() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.calls
}

func (c *counter) TryWrite(b []byte) (int, error) {
	c.mu.Lock()
	c.calls++
	c.mu.Unlock()
	n, err := c.Conn.TryWrite(b)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.taken += n
	return n, err
}

func TestSlowReader(t *testing.T) {
	conform(t, func(t *testing.T, p *place) {
		const limit = 300_000
		addr, ends := p.server(t, QueueOptions{}, nil)
		c := p.raw(t, addr)
		p.stall(addr)
		e := <-ends
		fulls := 0
		count := &counter{Conn: e.conn}
		e.queue = NewQueue(count, QueueOptions{MaxBytes: limit, OnFull: func() { fulls++ }})
		var want []byte
		var batch Batch
		for i := 0; ; i++ {
			frame := fmt.Appendf(nil, "%d%s\n", i, strings.Repeat("-", i%1000))
			err := e.queue.Push(&batch, Class{}, frame)
			if i%7 == 0 {
				batch.Flush()
			}
			bytes, _ := e.queue.Pending()
			if bytes > limit {
				t.Fatalf("%d bytes wait, the limit is %d", bytes, limit)
			}
			if err == nil {
				want = append(want, frame...)
			} else if err != ErrFull {
				t.Fatal(err)
			}
			// Another goroutine may be between a write and its count.
			await(t, "accepted = taken + waiting", func() bool {
				n, _ := e.queue.Pending()
				count.mu.Lock()
				defer count.mu.Unlock()
				return len(want) == count.taken+n
			})
			if err == ErrFull {
				// A socket may swallow a little more even now.
				if n, _ := e.queue.Pending(); n == bytes && bytes+len(frame) <= limit {
					t.Fatalf("refused %d bytes while %d of %d wait", len(frame), bytes, limit)
				}
				if time.Sleep(20 * time.Millisecond); count.quiet() {
					break
				}
			}
		}
		if err := e.queue.Push(&batch, Class{}, make([]byte, 2000)); err != ErrFull || fulls < 1 || fulls > 1 && !p.sockets {
			t.Fatalf("%v; OnFull was called %d times", err, fulls)
		}
		p.unstall(addr)
		got := make([]byte, len(want))
		if _, err := io.ReadFull(c, got); err != nil || sha256.Sum256(got) != sha256.Sum256(want) {
			t.Fatalf("the frames did not arrive as sent: %v", err)
		}
		await(t, "an empty queue", func() bool { b, f := e.queue.Pending(); return b == 0 && f == 0 })
		if err := e.queue.Push(nil, Class{}, []byte("again\n")); err != nil {
			t.Fatal(err)
		}
		if line, _ := bufio.NewReader(c).ReadString('\n'); line != "again\n" {
			t.Fatal(line)
		}
	})
}

// While a client stalls, a coalesced push is replaced and an old one dropped, and neither is
// ever cut in two.
func TestPolicies(t *testing.T) {
	conform(t, func(t *testing.T, p *place) {
		const limit = 100_000
		addr, ends := p.server(t, QueueOptions{MaxBytes: limit}, nil)
		c := p.raw(t, addr)
		p.stall(addr)
		e := <-ends
		count := &counter{Conn: e.conn}
		e.queue = NewQueue(count, QueueOptions{MaxBytes: limit})
		const keys, rounds = 10, 50
		coalesced := func() (n int) {
			e.queue.mu.Lock()
			defer e.queue.mu.Unlock()
			if c := e.queue.cur; c != nil {
				for _, m := range c.marks[c.done:] {
					if m.class.Policy == Coalesce && !m.isDead {
						n++
					}
				}
			}
			return n
		}
		// A socket that was full may take more for a while: only what came while nobody wrote to
		// it is sure to have been coalesced.
		for calls := -1; calls != count.writes(); {
			for { // until the socket is full
				if err := e.queue.Push(nil, Class{Policy: DropOldest, ID: 1}, []byte("fill"+strings.Repeat("-", 996)+"\n")); err != nil {
					t.Fatal(err)
				}
				if n, _ := e.queue.Pending(); n > 0 {
					break
				}
			}
			calls = count.writes()
			before := coalesced()
			for i := range rounds {
				for k := range keys {
					if err := e.queue.Push(nil, Class{Policy: Coalesce, ID: 2, Key: uint64(k)}, fmt.Appendf(nil, "at %d %d\n", k, i)); err != nil {
						t.Fatal(err)
					}
				}
			}
			await(t, "no write under way", func() bool {
				e.queue.mu.Lock()
				defer e.queue.mu.Unlock()
				return !e.queue.writing
			})
			if n := coalesced(); calls == count.writes() && n > before+keys {
				t.Fatalf("%d and then %d coalesced frames wait, %d keys", before, n, keys)
			}
		}
		old := 0
		for i := range 1000 {
			if err := e.queue.Push(nil, Class{Policy: DropOldest, ID: 3}, fmt.Appendf(nil, "old %d %s\n", i, strings.Repeat("-", 1000))); err != nil {
				t.Fatal(err)
			}
			old = i
			if n, _ := e.queue.Pending(); n > limit+1010 || n > limit && !p.sockets { // one beside a write
				t.Fatalf("%d bytes wait", n)
			}
		}
		if err := e.queue.Push(nil, Class{}, []byte("end\n")); err != nil {
			t.Fatal(err)
		}
		p.unstall(addr)
		latest := map[string]string{}
		next := -1
		for r := bufio.NewReader(c); ; {
			line, err := r.ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			var a, b int
			switch {
			case line == "end\n":
				// On a socket a write under way may have held all the room, so that even the
				// newest made room for this one.
				if next != old+1 && !p.sockets {
					t.Fatalf("the newest is missing: %d, want %d", next, old+1)
				}
				for k := range keys {
					if v := latest[fmt.Sprint(k)]; v != fmt.Sprint(rounds-1) {
						t.Fatalf("key %d ends with %q", k, v)
					}
				}
				return
			case strings.HasPrefix(line, "fill") && len(line) == 1001:
			case strings.HasPrefix(line, "at "):
				if _, err := fmt.Sscanf(line, "at %d %d\n", &a, &b); err != nil {
					t.Fatalf("%q: %v", line, err)
				}
				latest[fmt.Sprint(a)] = fmt.Sprint(b)
			case strings.HasPrefix(line, "old ") && len(line) > 1000:
				fmt.Sscanf(line, "old %d", &a)
				// Sockets may have taken some before the rest was dropped.
				if a < next || !p.sockets && next >= 0 && a != next {
					t.Fatalf("old %d follows %d", a, next-1)
				}
				next = a + 1
			default:
				t.Fatalf("a frame was cut: %q", line)
			}
		}
	})
}

func TestOrderOfManyProducers(t *testing.T) {
	conform(t, func(t *testing.T, p *place) {
		const producers, frames = 8, 3000
		addr, ends := p.server(t, QueueOptions{MaxBytes: 1 << 30, MaxFrames: 1 << 30}, nil)
		c := p.raw(t, addr)
		e := <-ends
		for k := range producers {
			go func() {
				var batch Batch
				for i := range frames {
					if k%2 == 0 {
						buf, err := e.queue.Begin()
						if err != nil {
							t.Error(err)
							return
						}
						e.queue.Commit(fmt.Appendf(buf, "%d %d\n", k, i), &batch)
					} else if err := e.queue.Push(&batch, Class{}, fmt.Appendf(nil, "%d %d\n", k, i)); err != nil {
						t.Error(err)
					}
					if i%11 == k {
						batch.Flush()
					}
				}
				batch.Flush()
			}()
		}
		var next [producers]int
		r := bufio.NewReader(c)
		for range producers * frames {
			line, err := r.ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			var k, i int
			if _, err := fmt.Sscanf(line, "%d %d\n", &k, &i); err != nil || next[k] != i {
				t.Fatalf("%q follows %d of that producer", line, next[k]-1)
			}
			next[k]++
		}
		await(t, "an empty queue", func() bool { n, _ := e.queue.Pending(); return n == 0 })
	})
}

// Both directions at once, more than any buffer holds.
func TestBulk(t *testing.T) {
	conform(t, func(t *testing.T, p *place) {
		const size = 4 << 20
		addr, _ := p.server(t, QueueOptions{MaxBytes: 1 << 30, MaxFrames: 1 << 30}, echo)
		c := p.raw(t, addr)
		data := make([]byte, size)
		for i := range data {
			data[i] = byte('a' + i*7%23)
			if i%1021 == 0 || i == size-1 {
				data[i] = '\n'
			}
		}
		go func() {
			for i := 0; i < size; i += 99_991 {
				if _, err := c.Write(data[i:min(size, i+99_991)]); err != nil {
					t.Error(err)
				}
			}
		}()
		back := make([]byte, size)
		if _, err := io.ReadFull(c, back); err != nil || !bytes.Equal(back, data) {
			t.Fatal("what came back is not what was sent", err)
		}
	})
}

// A thousand connections, each served, none with a goroutine of its own where that is promised,
// and nothing left when they are closed.
func TestThousandConnections(t *testing.T) {
	conform(t, func(t *testing.T, p *place) {
		const n = 1000
		before := runtime.NumGoroutine()
		ends := make(chan *end, n)
		ln, err := p.Listen(p.addr, func(c Conn) Handler {
			e := &end{t: t, conn: c, queue: NewQueue(c, QueueOptions{}), onData: echo}
			ends <- e
			return e
		})
		if err != nil {
			t.Fatal(err)
		}
		var peers []peer
		for range n {
			peers = append(peers, p.raw(t, ln.Addr().String()))
		}
		for round := range 2 {
			for i, c := range peers {
				fmt.Fprintf(c, "%d %d\n", i, round)
			}
			for i, c := range peers {
				want := fmt.Sprintf("%d %d\n", i, round)
				got := make([]byte, len(want))
				if _, err := io.ReadFull(c, got); err != nil || string(got) != want {
					t.Fatalf("%q %v", got, err)
				}
			}
		}
		if p.lean {
			await(t, "idle connections without goroutines", func() bool { return runtime.NumGoroutine() < before+20 })
		}
		for i, c := range peers {
			if i%2 == 0 {
				c.Close()
			}
		}
		served := 0
		for range n {
			e := <-ends
			e.conn.Close()
			e.ended()
			served++
		}
		ln.Close()
		for _, c := range peers {
			c.Close()
		}
		await(t, "goroutines to end", func() bool { return runtime.NumGoroutine() <= before+2 })
		if served != n {
			t.Fatalf("%d of %d", served, n)
		}
	})
}

// A queue that is closed while frames wait ends at once, and the peer learns of it.
func TestCloseStalled(t *testing.T) {
	conform(t, func(t *testing.T, p *place) {
		addr, ends := p.server(t, QueueOptions{MaxBytes: 8 << 20}, nil)
		c := p.raw(t, addr)
		p.stall(addr)
		e := <-ends
		for {
			e.queue.Push(nil, Class{}, make([]byte, 256<<10))
			if n, _ := e.queue.Pending(); n > 0 {
				break
			}
		}
		e.queue.Close()
		if err := e.ended(); err != nil {
			t.Fatal(err)
		}
		p.unstall(addr)
		if p.sockets {
			c.(*tcpPeer).SetReadDeadline(time.Now().Add(20 * time.Second))
		}
		if _, err := io.Copy(io.Discard, c); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal("the peer does not learn of the end")
		}
	})
}

func TestCloseAfterFlush(t *testing.T) {
	conform(t, func(t *testing.T, p *place) {
		addr, ends := p.server(t, QueueOptions{MaxBytes: 8 << 20}, nil)
		// The peer reads: it gets everything, though it never stops sending.
		c := p.raw(t, addr)
		e := <-ends
		stop := make(chan struct{})
		done := make(chan struct{})
		go func() {
			defer close(done)
			for {
				select {
				case <-stop:
					return
				case <-time.After(100 * time.Microsecond):
					c.Write([]byte("chatter"))
				}
			}
		}()
		big := bytes.Repeat([]byte("z"), 5<<20)
		if err := e.queue.Push(nil, Class{}, big); err != nil {
			t.Fatal(err)
		}
		e.queue.Push(nil, Class{}, []byte("last words"))
		e.queue.CloseAfterFlush(time.Minute)
		if err := e.queue.Push(nil, Class{}, []byte("too late")); err != ErrClosed {
			t.Fatal(err)
		}
		if _, err := e.queue.Begin(); err != ErrClosed {
			t.Fatal(err)
		}
		all, err := io.ReadAll(c)
		if err != nil || len(all) != len(big)+10 || !bytes.HasSuffix(all, []byte("zlast words")) {
			t.Fatalf("%d bytes, %v", len(all), err)
		}
		close(stop)
		<-done
		c.Close()
		if err := e.ended(); err != nil {
			t.Fatal(err)
		}

		// Nothing waits: the end comes at once.
		c = p.raw(t, addr)
		e = <-ends
		e.queue.CloseAfterFlush(time.Minute)
		if b, err := io.ReadAll(c); len(b) != 0 || err != nil {
			t.Fatal(b, err)
		}
		c.Close()
		e.ended()

		// The peer neither reads nor closes: the timeout ends it.
		c = p.raw(t, addr)
		p.stall(addr)
		e = <-ends
		for {
			e.queue.Push(nil, Class{}, make([]byte, 64<<10))
			if n, _ := e.queue.Pending(); n > 0 {
				break
			}
		}
		e.queue.CloseAfterFlush(50 * time.Millisecond)
		if err := e.ended(); err != nil {
			t.Fatal(err)
		}
		if n, f := e.queue.Pending(); n != 0 || f != 0 {
			t.Fatal("a closed queue holds", n, f)
		}
		p.unstall(addr)
		c.Close()
	})
}

// What is written before the handler is known is sent, and what the peer says meanwhile waits.
func TestEarlyWrites(t *testing.T) {
	conform(t, func(t *testing.T, p *place) {
		ln, err := p.Listen(p.addr, func(c Conn) Handler {
			e := &end{t: t, conn: c, queue: NewQueue(c, QueueOptions{}), onData: echo}
			e.queue.Push(nil, Class{}, []byte("welcome\n"))
			return e
		})
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		for range 50 {
			var got bytes.Buffer
			var mu sync.Mutex
			e := &end{t: t, onData: lines(func(e *end, line []byte, _ *Batch) {
				mu.Lock()
				defer mu.Unlock()
				got.Write(line)
			})}
			if _, err := p.Dial(t.Context(), ln.Addr().String(), func(c Conn) Handler {
				e.conn, e.queue = c, NewQueue(c, QueueOptions{})
				e.queue.Push(nil, Class{}, []byte("hello\n"))
				return e
			}); err != nil {
				t.Fatal(err)
			}
			await(t, "both lines", func() bool { mu.Lock(); defer mu.Unlock(); return got.String() == "welcome\nhello\n" })
			if e.conn.RemoteAddr().String() != ln.Addr().String() {
				t.Fatal(e.conn.RemoteAddr())
			}
			e.conn.Close()
			e.ended()
		}
	})
}
