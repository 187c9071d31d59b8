package transport

import (
	"context"
	"fmt"
	"net"
	"runtime/debug"
	"time"
)

// Conn is one connection.
type Conn interface {
	// TryWrite writes what the socket takes and never blocks. A short n without an error
	// means that it is full: Handler.Writable is called once when there is room, maybe before
	// TryWrite has returned. After an error (net.ErrClosed when the connection is closed) no
	// byte goes out any more and Handler.Closed follows. One caller at a time; b is free
	// after return.
	TryWrite(b []byte) (n int, err error)
	// Close ends the connection at once, from any goroutine, any number of times; what
	// TryWrite has taken is still sent. Handler.Closed follows on another goroutine, so Close
	// may be called with locks held.
	Close()
	RemoteAddr() net.Addr
	LocalAddr() net.Addr
}

// Handler is the side of a connection that gets its events. For one connection Data calls
// come one at a time; Writable may overlap Data. Nothing here may block: other connections
// wait behind it. A panic in Data ends this connection only, with a *PanicError.
type Handler interface {
	// Data gets all bytes that are not yet consumed and gives how many it consumes. The rest
	// is kept and comes again in front of new bytes, so a Handler refuses a frame over its
	// limit as soon as it knows its length. b is valid until return. The transport flushes
	// batch after return. After Close there is no more call, except one that was about to
	// begin.
	Data(c Conn, b []byte, batch *Batch) (n int)
	// Writable follows a short TryWrite, once, when there is room.
	Writable(c Conn)
	// Closed is the last call, exactly once, after everything that arrived before the end
	// has been given to Data; it overlaps neither Data nor Writable. err is nil when the
	// connection was closed here, io.EOF when the peer closed it, else what broke it.
	Closed(c Conn, err error)
}

// Network makes connections.
type Network interface {
	// Listen accepts connections at addr ("host:port", port 0 picks one). accept is called
	// for each on the acceptor and must not block; nil refuses the connection, which is then
	// closed at once. The first call of the Handler comes after accept has returned.
	// Running out of file descriptors does not end a listener.
	Listen(addr string, accept func(Conn) Handler) (Listener, error)
	// Dial connects to addr. handler is called before any event, on the caller's goroutine;
	// a nil Handler closes the connection and Dial gives net.ErrClosed. Events may come
	// before Dial has returned, on other goroutines.
	Dial(ctx context.Context, addr string, handler func(Conn) Handler) (Conn, error)
}

// Listener accepts connections until it is closed.
type Listener interface {
	Addr() net.Addr
	// Close stops accepting; when it has returned, accept runs no more (so accept must not
	// call it). Connections that were accepted stay open.
	Close() error
}

// PanicError is what Handler.Closed gets when Data panicked.
type PanicError struct {
	Value any
	Stack []byte
}

func (e *PanicError) Error() string {
	return fmt.Sprintf("transport: Data panicked: %v\n%s", e.Value, e.Stack)
}

// input calls Data and catches what it does wrong: hostile bytes that find a fault there must
// not end the other connections of the process.
func input(h Handler, c Conn, b []byte, batch *Batch) (n int, err error) {
	defer func() {
		if v := recover(); v != nil {
			n, err = len(b), &PanicError{Value: v, Stack: debug.Stack()}
		}
	}()
	batch.begin()
	n = h.Data(c, b, batch)
	if n < 0 || n > len(b) {
		panic(fmt.Sprintf("Data consumed %d of %d bytes", n, len(b)))
	}
	return n, nil
}

// rest holds the bytes of a connection that Data has not consumed.
type rest []byte

// join gives the bytes to show to Data: new ones behind what is kept. Without kept bytes
// nothing is copied.
func (r *rest) join(b []byte) []byte {
	if len(*r) == 0 {
		return b
	}
	*r = append(*r, b...)
	return *r
}

// keep stores what is left of all, which join gave, after n bytes of it were consumed.
func (r *rest) keep(all []byte, n int) {
	left := all[n:]
	switch {
	case len(left) == 0:
		*r = nil
	case n == 0 && len(*r) == len(all): // all of it is ours already
	default:
		if len(*r) > 0 && cap(*r) <= 2*len(left)+512 {
			*r = (*r)[:copy(*r, left)]
			return
		}
		*r = append(make([]byte, 0, len(left)+128), left...)
	}
}

// finisher is a Conn that can be closed for writing first: Closed follows when the peer has
// closed too. Data is not called any more.
type finisher interface{ finish() }

// aborter is a Conn that can be closed without sending what TryWrite has taken.
type aborter interface{ abort() }

// pooler is a Conn whose network has buffers for queues.
type pooler interface{ chunks() *chunkPool }

// How long TCP waits before it asks a silent peer whether it is there, between questions, and
// how often it asks.
const (
	keepIdle     = 60 * time.Second
	keepInterval = 15 * time.Second
	keepCount    = 4
)

// How long to wait when a connection cannot be accepted for want of something.
const (
	shortPause = 5 * time.Millisecond
	longPause  = 200 * time.Millisecond
)
