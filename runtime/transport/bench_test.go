package transport

import (
	"io"
	"net"
	"testing"
)

// sink is a connection that takes everything.
type sink struct{ n int }

func (s *sink) TryWrite(b []byte) (int, error) { s.n += len(b); return len(b), nil }
func (*sink) Close()                           {}
func (*sink) RemoteAddr() net.Addr             { return nil }
func (*sink) LocalAddr() net.Addr              { return nil }

func BenchmarkQueue(b *testing.B) {
	frame := make([]byte, 49)
	b.Run("begin and commit, 16 a flush", func(b *testing.B) {
		q := NewQueue(&sink{}, QueueOptions{})
		var batch Batch
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			buf, err := q.Begin()
			if err != nil {
				b.Fatal(err)
			}
			q.Commit(append(buf, frame...), &batch)
			if i%16 == 15 {
				batch.Flush()
			}
		}
	})
	b.Run("push, one a flush", func(b *testing.B) {
		q := NewQueue(&sink{}, QueueOptions{})
		var batch Batch
		b.ReportAllocs()
		for b.Loop() {
			if err := q.Push(&batch, Class{}, frame); err != nil {
				b.Fatal(err)
			}
			batch.Flush()
		}
	})
	b.Run("coalesce, stalled", func(b *testing.B) {
		q := NewQueue(&valve{}, QueueOptions{})
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			if err := q.Push(nil, Class{Policy: Coalesce, Key: uint64(i % 1000)}, frame); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("drop oldest, stalled", func(b *testing.B) {
		q := NewQueue(&valve{}, QueueOptions{})
		b.ReportAllocs()
		for b.Loop() {
			if err := q.Push(nil, Class{Policy: DropOldest}, frame); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// One connection, one frame at a time: what a round trip costs in this process.
func BenchmarkEcho(b *testing.B) {
	for name, n := range map[string]Network{"TCP": TCP(), "Std": Std()} {
		b.Run(name, func(b *testing.B) {
			ln, err := n.Listen("127.0.0.1:0", func(c Conn) Handler {
				return &bounce{q: NewQueue(c, QueueOptions{})}
			})
			if err != nil {
				b.Fatal(err)
			}
			defer ln.Close()
			c, err := net.Dial("tcp", ln.Addr().String())
			if err != nil {
				b.Fatal(err)
			}
			defer c.Close()
			frame := make([]byte, 49)
			b.ReportAllocs()
			for b.Loop() {
				c.Write(frame)
				if _, err := io.ReadFull(c, frame); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

type bounce struct{ q *Queue }

func (e *bounce) Data(_ Conn, b []byte, batch *Batch) int {
	buf, err := e.q.Begin()
	if err != nil {
		return len(b)
	}
	e.q.Commit(append(buf, b...), batch)
	return len(b)
}
func (e *bounce) Writable(Conn)      { e.q.Writable() }
func (e *bounce) Closed(Conn, error) { e.q.Close() }
