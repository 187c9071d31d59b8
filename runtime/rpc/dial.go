package rpc

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/transport"
)

var errNoSecret = errors.New("rpc: Options.Secret is empty")

// Dial makes a link to addr and returns when the peer has accepted it.
func Dial(ctx context.Context, network transport.Network, addr string, o Options) (*Link, error) {
	if len(o.Secret) == 0 {
		return nil, errNoSecret
	}
	o = o.withDefaults()
	accept := o.Accept
	if accept == nil {
		h := o.Handler
		if h == nil {
			h = nobody{}
		}
		accept = func(*Link) Handler { return h }
	}
	done := make(chan error, 1)
	hs := &handshake{dialer: true, accept: accept, done: func(err error) { done <- err }}
	l := newLink(o, hs)
	ctx, cancel := context.WithTimeout(ctx, o.Handshake)
	defer cancel()
	if _, err := network.Dial(ctx, addr, l.attach); err != nil {
		l.mu.Lock()
		if l.timer != nil {
			l.timer.Stop()
		}
		l.mu.Unlock()
		return nil, fmt.Errorf("rpc: %w", err)
	}
	l.raw(greet(&hs.own))
	select {
	case err := <-done:
		if err != nil {
			return nil, err
		}
		return l, nil
	case <-ctx.Done():
		l.fail(fmt.Errorf("rpc: handshake with %s: %w", addr, ctx.Err()))
		if err := <-done; err != nil {
			return nil, err
		}
		return l, nil
	}
}

// nobody is the Handler of a link that nothing is asked over.
type nobody struct{}

func (nobody) Serve(_ *Link, _ *Header, _ []byte, reply Reply, batch *transport.Batch) {
	reply.Fail(batch, &firefly.Error{Code: firefly.Unimplemented, Message: "nothing is served on this link"})
}

func (nobody) Down(*Link, error) {}

// Listener accepts links.
type Listener struct {
	ln transport.Listener
	o  Options

	mu      sync.Mutex
	pending map[*Link]struct{} // whose handshake is under way
	closed  bool
}

// maxPending bounds the connections that have not proved anything yet.
const maxPending = 1024

// Listen accepts links at addr. accept runs on the link's reader, after the peer has proved
// that it knows the secret and before anything that it sent is served; it must not block. Nil
// refuses the link; when accept has called Close, the peer gets that error as the reason. A
// link that is refused must not have been handed to anybody.
func Listen(network transport.Network, addr string, o Options, accept func(*Link) Handler) (*Listener, error) {
	if len(o.Secret) == 0 {
		return nil, errNoSecret
	}
	ln := &Listener{o: o.withDefaults(), pending: make(map[*Link]struct{})}
	t, err := network.Listen(addr, func(c transport.Conn) transport.Handler {
		l := newLink(ln.o, &handshake{accept: accept})
		l.hs.done = func(err error) { ln.done(l, err) }
		ln.mu.Lock()
		defer ln.mu.Unlock()
		if ln.closed || len(ln.pending) >= maxPending {
			return nil
		}
		ln.pending[l] = struct{}{}
		return l.attach(c)
	})
	if err != nil {
		return nil, fmt.Errorf("rpc: %w", err)
	}
	ln.ln = t
	return ln, nil
}

// done is the end of a handshake.
func (ln *Listener) done(l *Link, err error) {
	ln.mu.Lock()
	delete(ln.pending, l)
	closed := ln.closed
	ln.mu.Unlock()
	if err != nil && !closed {
		ln.o.Log.Warn("link refused", "from", l.conn.RemoteAddr().String(), "error", err)
	}
}

// Addr is where it listens.
func (ln *Listener) Addr() net.Addr { return ln.ln.Addr() }

// Close stops accepting and ends handshakes under way; links that are up stay so.
func (ln *Listener) Close() error {
	ln.mu.Lock()
	ln.closed = true
	var pending []*Link
	for l := range ln.pending {
		pending = append(pending, l)
	}
	ln.mu.Unlock()
	err := ln.ln.Close()
	for _, l := range pending {
		l.abandon(ErrClosed)
	}
	return err
}
