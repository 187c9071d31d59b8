package rpc

import (
	"crypto/hmac"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/firefly-go/firefly/runtime/transport"
)

// Why a link ended.
var (
	// ErrClosed: it was closed, here or by the peer, without another reason.
	ErrClosed = errors.New("rpc: link closed")
	// ErrSilent: no byte came for Options.Silence.
	ErrSilent = errors.New("rpc: the peer is silent")
	// ErrStalled: the peer does not read the replies that it asked for.
	ErrStalled = errors.New("rpc: the peer does not read its replies")

	errHandshakeTime = errors.New("rpc: the handshake took too long")
)

// PeerError is why the peer closed the link.
type PeerError struct{ Reason string }

func (e *PeerError) Error() string { return "rpc: closed by the peer: " + e.Reason }

// Link is one link. Its methods may be called by any goroutine and do not block, but for
// Call. It owns no goroutine: it runs on its connection's events and on one timer.
type Link struct {
	o     Options
	local *local // not nil: the link of the process to itself, and nothing below is used

	conn  transport.Conn
	q     transport.Queue
	calls calls
	pool  sync.Pool // *call

	handler Handler  // set when the link comes up
	peer    Identity // likewise

	phase atomic.Uint32 // joining, known, up, closing
	heard atomic.Bool   // a byte came since the last beat

	mu      sync.Mutex
	cause   error       // the first reason to end
	dropped bool        // the queue is closed
	timer   *time.Timer // of the handshake, then of the heartbeat

	// The connection's events, one at a time.
	stage stage
	hs    *handshake // nil when it is done
	hdr   Header     // of the message that is being served
	names names

	silent int // beats without a byte; only beat's
}

// The phases of a link, for those who send.
const (
	joining uint32 = iota
	known          // not up yet, but the peer has proved itself and may be told something
	up
	closing
)

// stage is what the link expects to read next.
type stage uint8

const (
	expectGreet stage = iota
	expectProof
	expectIdentity
	expectReady // dialer only
	expectFrames
)

func newLink(o Options, hs *handshake) *Link {
	l := &Link{o: o, hs: hs}
	_, _ = rand.Read(hs.own[:])
	return l
}

// attach wires the link to its connection before any event.
func (l *Link) attach(c transport.Conn) transport.Handler {
	l.conn = c
	// Replies may take as much room again as messages: who asks must get an answer.
	l.q.Init(c, transport.QueueOptions{MaxBytes: 2*l.o.MaxBytes + l.o.MaxFrame, MaxFrames: 2 * l.o.MaxFrames})
	l.mu.Lock()
	l.timer = time.AfterFunc(l.o.Handshake, func() { l.fail(errHandshakeTime) })
	l.mu.Unlock()
	return (*events)(l)
}

// Peer is who is on the other side.
func (l *Link) Peer() Identity { return l.peer }

// Err is nil while the link is up, and afterwards what ended it.
func (l *Link) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.cause
}

// Stats are what a link has to do.
type Stats struct {
	Bytes  int // wait to be written
	Frames int
	Calls  int // wait for an answer
}

// Stats gives what the link has to do now.
func (l *Link) Stats() Stats {
	if l.local != nil {
		return Stats{}
	}
	bytes, frames := l.q.Pending()
	return Stats{bytes, frames, l.calls.len()}
}

// lingers is how long a link that was closed without an error may take to write what it has
// taken.
const lingers = time.Second

// Close ends the link; Handler.Down follows. Without an error everything that was queued is
// sent first, for at most a second; with one the link ends at once, and its text is what the
// peer gets as the reason, if it can be sent. Nothing that the peer sends is served after
// Close, but for a call of Serve that runs already.
func (l *Link) Close(err error) {
	if l.local != nil {
		l.local.close(l, err)
		return
	}
	if err == nil {
		l.end(ErrClosed, "", true)
	} else {
		l.end(err, err.Error(), false)
	}
}

// fail ends the link for a reason that is our own.
func (l *Link) fail(err error) { l.end(err, err.Error(), false) }

// abandon is fail for a link that is not up yet; one that came up stays so.
func (l *Link) abandon(err error) {
	for p := l.phase.Load(); p == joining || p == known; p = l.phase.Load() {
		if l.phase.CompareAndSwap(p, closing) {
			l.fail(err)
			return
		}
	}
}

func (l *Link) end(err error, reason string, gently bool) {
	l.mu.Lock()
	first := l.cause == nil
	if first {
		l.cause = err
	}
	drop := !gently && !l.dropped
	l.dropped = l.dropped || !gently
	l.mu.Unlock()
	was := l.phase.Swap(closing)
	if first && (was == known || was == up) {
		b := begin(make([]byte, 0, prefixSize+len(reason)), frameClose)
		b = append(b, reason[:min(len(reason), maxText)]...)
		end(b, 0)
		l.raw(b)
	}
	if first && gently {
		l.q.CloseAfterFlush(lingers)
	} else if drop {
		l.q.Close()
	}
}

// raw sends bytes that are no message, at once and beside all limits but the last.
func (l *Link) raw(b []byte) {
	buf, err := l.q.Begin()
	if err != nil {
		return
	}
	l.q.Commit(append(buf, b...), nil)
}

// beat is the heartbeat. Whatever waits in the queue is a sign of life by itself, so a full
// queue never holds one up, and a beat never adds to it.
func (l *Link) beat() {
	if l.phase.Load() != up {
		return
	}
	if l.heard.Swap(false) {
		l.silent = 0
	} else {
		// The first of them may have come right behind a byte.
		l.silent++
		if time.Duration(l.silent)*l.o.Heartbeat > l.o.Silence {
			l.fail(ErrSilent)
			return
		}
	}
	if bytes, _ := l.q.Pending(); bytes == 0 {
		l.raw([]byte{frameAlive, 0, 0, 0})
	} else {
		l.q.Flush()
	}
	l.mu.Lock()
	if l.cause == nil {
		l.timer.Reset(l.o.Heartbeat)
	}
	l.mu.Unlock()
}

// events is a Link as the Handler of its connection.
type events Link

func (e *events) Writable(transport.Conn) { (*Link)(e).q.Writable() }

func (e *events) Closed(_ transport.Conn, err error) {
	l := (*Link)(e)
	l.phase.Store(closing)
	l.mu.Lock()
	if l.cause == nil {
		l.cause = l.lost(err)
	}
	err = l.cause
	l.timer.Stop()
	l.mu.Unlock()
	l.q.Close()
	var batch transport.Batch
	for _, c := range l.calls.close() {
		l.complete(c, Result{Err: errUnknown}, &batch)
	}
	batch.Flush()
	if l.hs != nil {
		hs := l.hs
		l.hs = nil
		hs.done(err)
	} else {
		defer l.recovered("Down", nil)
		l.handler.Down(l, err)
	}
}

// lost says what the end of a connection means.
func (l *Link) lost(err error) error {
	switch {
	case err == nil:
		return ErrClosed
	case l.stage == expectProof:
		return fmt.Errorf("%w, or closed: %w", ErrSecret, err)
	case errors.Is(err, io.EOF):
		return fmt.Errorf("rpc: connection lost: %w", io.ErrUnexpectedEOF)
	}
	return fmt.Errorf("rpc: connection lost: %w", err)
}

func (e *events) Data(_ transport.Conn, b []byte, batch *transport.Batch) int {
	l := (*Link)(e)
	if !l.heard.Load() {
		l.heard.Store(true)
	}
	all := len(b)
	for len(b) > 0 {
		if l.phase.Load() == closing {
			return all
		}
		n, err := l.read(b, batch)
		if err != nil {
			l.fail(err)
			return all
		}
		if n == 0 {
			break
		}
		b = b[n:]
	}
	return all - len(b)
}

// read takes one thing off b.
func (l *Link) read(b []byte, batch *transport.Batch) (n int, err error) {
	switch l.stage {
	case expectGreet:
		nonce, ok, err := parseGreet(b)
		if err != nil || !ok {
			return 0, err
		}
		l.hs.theirs = nonce
		l.stage = expectProof
		if l.hs.dialer {
			l.raw(l.hs.proof(l.o.Secret, dialing))
		} else {
			l.raw(greet(&l.hs.own))
		}
		return greetSize, nil

	case expectProof:
		if len(b) < proofSize {
			return 0, nil
		}
		side := dialing
		if l.hs.dialer {
			side = accepting
		}
		if !hmac.Equal(b[:proofSize], l.hs.proof(l.o.Secret, side)) {
			return 0, ErrSecret
		}
		l.stage = expectIdentity
		l.phase.CompareAndSwap(joining, known)
		if !l.hs.dialer {
			l.raw(l.appendSelf(l.hs.proof(l.o.Secret, accepting)))
		}
		return proofSize, nil
	}

	typ, payload, n, err := parse(b, l.o.MaxFrame)
	if err != nil || n == 0 {
		return 0, err
	}
	if typ == frameClose {
		l.refused(string(payload))
		return n, nil
	}
	switch l.stage {
	case expectIdentity:
		if typ != frameIdentity {
			return 0, fmt.Errorf("%w: type %d where the identity belongs", ErrMalformed, typ)
		}
		if l.peer, err = parseIdentity(payload, &l.o.Self); err != nil {
			return 0, err
		}
		if l.peer.Game != l.o.Self.Game {
			return 0, fmt.Errorf("rpc: %s is of game %q, this is %q", l.peer.Node, l.peer.Game, l.o.Self.Game)
		}
		if l.hs.dialer {
			l.raw(l.appendSelf(nil))
			l.stage = expectReady
			return n, nil
		}
		l.accepted()
		return n, nil
	case expectReady:
		// The first frame that is no Close says that the link was accepted: who got it there
		// may have sent before Ready.
		if !l.accepted() {
			return n, nil
		}
	}
	return n, l.frame(typ, payload, batch)
}

// frame takes one frame of a link that is up.
func (l *Link) frame(typ byte, b []byte, batch *transport.Batch) error {
	switch typ {
	case frameRequest:
		if len(b) < callSize {
			return ErrMalformed
		}
		body, err := parseHeader(b[callSize:], &l.hdr, &l.names)
		if err != nil {
			return err
		}
		l.serve(&l.hdr, body, Reply{link: l, id: binary.BigEndian.Uint64(b)}, batch)
	case frameOneWay:
		body, err := parseHeader(b, &l.hdr, &l.names)
		if err != nil {
			return err
		}
		l.serve(&l.hdr, body, Reply{}, batch)
	case frameReply:
		if len(b) < callSize {
			return ErrMalformed
		}
		if c := l.calls.take(binary.BigEndian.Uint64(b)); c != nil {
			l.complete(c, Result{Body: b[callSize:]}, batch)
		}
	case frameFailure:
		if len(b) < callSize {
			return ErrMalformed
		}
		e, err := parseFailure(b[callSize:])
		if err != nil {
			return err
		}
		if c := l.calls.take(binary.BigEndian.Uint64(b)); c != nil {
			l.complete(c, Result{Err: e}, batch)
		}
	case frameAlive, frameReady:
	default:
		return fmt.Errorf("%w: type %d on a link that is up", ErrMalformed, typ)
	}
	return nil
}

func (l *Link) serve(h *Header, body []byte, reply Reply, batch *transport.Batch) {
	defer l.recovered("Serve", func() { reply.Fail(batch, errPanicked) })
	l.handler.Serve(l, h, body, reply, batch)
}

func (l *Link) complete(c Completion, r Result, batch *transport.Batch) {
	defer func() {
		if v := recover(); v != nil {
			l.panicked("Complete", &Header{}, v)
		}
	}()
	c.Complete(r, batch)
}

func (l *Link) completeMessage(c Forwarded, m Marshaler, batch *transport.Batch) {
	defer func() {
		if v := recover(); v != nil {
			l.panicked("CompleteMessage", &Header{}, v)
		}
	}()
	c.CompleteMessage(m, batch)
}

// recovered, deferred, keeps a panic of the layer above from harming anything else.
func (l *Link) recovered(where string, then func()) {
	if v := recover(); v != nil {
		l.panicked(where, &l.hdr, v)
		if then != nil {
			then()
		}
	}
}

func (l *Link) panicked(where string, h *Header, v any) {
	l.o.Log.Error("panic in a handler of a link", "where", where, "peer", l.peer.Node,
		"kind", h.Kind, "id", h.ID, "panic", v, "stack", string(debug.Stack()))
}
