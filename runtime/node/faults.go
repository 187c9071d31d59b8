package node

import (
	"context"
	"net"
	"sync"

	"github.com/firefly-go/firefly/runtime/transport"
)

// faultNetwork is the network of one node of a Local, so that the node can be cut off it: as
// its process would be by dying, whatever its goroutines still do.
type faultNetwork struct {
	transport.Network

	mu        sync.Mutex
	dead      bool
	conns     map[transport.Conn]struct{}
	listeners map[transport.Listener]struct{}
}

func newFaultNetwork(n transport.Network) *faultNetwork {
	return &faultNetwork{Network: n, conns: map[transport.Conn]struct{}{}, listeners: map[transport.Listener]struct{}{}}
}

// add counts a connection in; false: the node is dead.
func (f *faultNetwork) add(c transport.Conn) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.dead {
		f.conns[c] = struct{}{}
	}
	return !f.dead
}

func (f *faultNetwork) remove(c transport.Conn) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.conns, c)
}

// Listen implements transport.Network.
func (f *faultNetwork) Listen(addr string, accept func(transport.Conn) transport.Handler) (transport.Listener, error) {
	l, err := f.Network.Listen(addr, func(c transport.Conn) transport.Handler {
		if !f.add(c) {
			return nil
		}
		h := accept(c)
		if h == nil {
			f.remove(c)
			return nil
		}
		return faultHandler{h, f}
	})
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	dead := f.dead
	f.listeners[l] = struct{}{}
	f.mu.Unlock()
	if dead {
		_ = l.Close()
		return nil, net.ErrClosed
	}
	return l, nil
}

// Dial implements transport.Network.
func (f *faultNetwork) Dial(ctx context.Context, addr string, handler func(transport.Conn) transport.Handler) (transport.Conn, error) {
	return f.Network.Dial(ctx, addr, func(c transport.Conn) transport.Handler {
		if !f.add(c) {
			return nil
		}
		h := handler(c)
		if h == nil {
			f.remove(c)
			return nil
		}
		return faultHandler{h, f}
	})
}

// cut closes everything, for good.
func (f *faultNetwork) cut() {
	f.mu.Lock()
	f.dead = true
	var cs []transport.Conn
	for c := range f.conns {
		cs = append(cs, c)
	}
	var ls []transport.Listener
	for l := range f.listeners {
		ls = append(ls, l)
	}
	f.mu.Unlock()
	for _, l := range ls {
		_ = l.Close()
	}
	for _, c := range cs {
		c.Close()
	}
}

type faultHandler struct {
	transport.Handler
	f *faultNetwork
}

func (h faultHandler) Closed(c transport.Conn, err error) {
	h.f.remove(c)
	h.Handler.Closed(c, err)
}
