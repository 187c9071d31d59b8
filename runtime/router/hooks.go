package router

import (
	"context"
	"runtime/debug"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/mailbox"
	"github.com/firefly-go/firefly/runtime/transport"
)

// Node is the role instance as its own code sees it.
func (h *Host) Node() firefly.Node { return nodeView{h} }

// nodeView implements firefly.Node.
type nodeView struct{ h *Host }

func (n nodeView) Name() string { return n.h.node }

func (n nodeView) OnStart(f func(context.Context) error) {
	n.h.mustBeOpen("OnStart")
	n.h.onStart = append(n.h.onStart, f)
}

func (n nodeView) OnStop(f func(context.Context)) {
	n.h.mustBeOpen("OnStop")
	n.h.onStop = append(n.h.onStop, f)
}

func (n nodeView) OnConnect(f func(context.Context, firefly.Session)) {
	n.h.mustBeOpen("OnConnect")
	n.h.onConnect = append(n.h.onConnect, f)
}

func (n nodeView) OnDrop(f func(context.Context, firefly.Session)) {
	n.h.mustBeOpen("OnDrop")
	n.h.onDrop = append(n.h.onDrop, f)
}

func (n nodeView) OnResume(f func(context.Context, firefly.Session)) {
	n.h.mustBeOpen("OnResume")
	n.h.onResume = append(n.h.onResume, f)
}

func (n nodeView) OnClose(f func(context.Context, firefly.Session, firefly.Reason)) {
	n.h.mustBeOpen("OnClose")
	n.h.onClose = append(n.h.onClose, f)
}

func (n nodeView) OnPeer(f func(ctx context.Context, role, node string, up bool)) {
	n.h.mustBeOpen("OnPeer")
	n.h.onPeer = append(n.h.onPeer, f)
}

func (n nodeView) Go(name string, f func(context.Context)) {
	h := n.h
	j := h.newJob(name, nil, nil, func(c *mailbox.Context) { f(c) }, nil)
	h.mu.Lock()
	if h.life.Load() == starting {
		h.early = append(h.early, j)
		h.mu.Unlock()
		return
	}
	h.mu.Unlock()
	h.queue(j)
}

// Peer tells the OnPeer hooks that a node of a role has come or is lost. Any goroutine.
func (h *Host) Peer(role, node string, up bool) {
	if len(h.onPeer) == 0 {
		return
	}
	var j *job
	j = h.newJob("OnPeer", nil, nil, func(c *mailbox.Context) {
		for _, f := range h.onPeer {
			j.guard(func() { f(c, role, node, up) })
		}
	}, nil)
	h.mu.Lock()
	if h.life.Load() == starting {
		h.early = append(h.early, j)
		h.mu.Unlock()
		return
	}
	h.mu.Unlock()
	h.queue(j)
}

// hello makes the task that begins a session: it waits until the player's former session has
// ended here, and runs the OnConnect hooks.
func (s *Session) hello(former *Session) *job {
	h := s.host
	var ended *mailbox.Wait
	if former != nil {
		ended = new(mailbox.Wait)
		c := newCountdown(func(*transport.Batch) { ended.Wake() })
		former.close(firefly.Replaced, c)
		c.done(nil)
	}
	var j *job
	j = h.newJob("OnConnect", s, &s.lane, func(c *mailbox.Context) {
		if ended != nil {
			_ = c.Wait(ended) // its error is that of a loop that stops: then the hooks fail by themselves
		}
		for _, f := range h.onConnect {
			j.guard(func() { f(c, s) })
		}
	}, func() { s.ready.Store(true) })
	return j
}

// goodbye makes the task that ends a session.
func (s *Session) goodbye() *job {
	h := s.host
	var j *job
	j = h.newJob("OnClose", s, &s.lane, func(c *mailbox.Context) {
		for _, f := range h.onClose {
			j.guard(func() { f(c, s, s.reason) }) // nobody writes reason any more
		}
	}, func() { s.ended(&h.batch) })
	return j
}

// dropped hears from the gate that the client's connection is lost, or is back.
func (h *Host) dropped(id firefly.SessionID, back bool) {
	name, hooks := "OnDrop", h.onDrop
	if back {
		name, hooks = "OnResume", h.onResume
	}
	s := h.find(id)
	if s == nil || len(hooks) == 0 {
		return
	}
	var j *job
	j = h.newJob(name, s, &s.lane, func(c *mailbox.Context) {
		for _, f := range hooks {
			j.guard(func() { f(c, s) })
		}
	}, nil)
	s.mu.Lock()
	if s.phase == open {
		h.queue(j)
	}
	s.mu.Unlock()
}

func stackHere() []byte { return debug.Stack() }
