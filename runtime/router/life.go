package router

import (
	"context"
	"time"

	"github.com/firefly-go/firefly"
)

// Start runs the OnStart hooks, and then serves and starts the timers. An error of a hook is
// given back, and nothing is served.
func (h *Host) Start(ctx context.Context) error {
	h.seal()
	var err error
	if len(h.onStart) > 0 {
		err = h.runNow(ctx, "OnStart", func(ctx context.Context) error {
			for _, f := range h.onStart {
				if err := f(ctx); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err != nil {
		return err
	}
	h.mu.Lock()
	h.life.Store(serving)
	early := h.early
	h.early = nil
	h.mu.Unlock()
	for _, j := range early {
		h.queue(j)
	}
	h.timers.start()
	return nil
}

// SetServing stops and resumes serving, for a SINGLE role that has lost its lease: meanwhile
// commands and calls are refused with UNAVAILABLE and timers don't run; what runs goes on.
// Only between Start and Stop.
func (h *Host) SetServing(on bool) {
	if on {
		h.life.CompareAndSwap(paused, serving)
	} else {
		h.life.CompareAndSwap(serving, paused)
	}
}

// Stop ends the role instance: commands and calls are refused with UNAVAILABLE from now on;
// what was taken is finished; every session ends with Shutdown; then the OnStop hooks run and
// the loop ends. What has not returned when ctx ends sees its own ctx end. The error is that
// of ctx when that happened. A quarter of the time that ctx leaves is kept for OnStop.
func (h *Host) Stop(ctx context.Context) error {
	h.seal()
	h.mu.Lock()
	was := h.life.Swap(stopping)
	if was >= stopping {
		h.mu.Unlock()
		return h.loop.Drain(ctx)
	}
	h.early = nil
	all := make([]*Session, 0, len(h.sessions))
	for _, s := range h.sessions {
		all = append(all, s)
	}
	h.mu.Unlock()
	h.timers.stop()
	for _, s := range all {
		s.close(firefly.Shutdown, nil)
	}
	first, cancel := ctx, context.CancelFunc(func() {})
	if d, ok := ctx.Deadline(); ok && len(h.onStop) > 0 {
		first, cancel = context.WithDeadline(ctx, time.Now().Add(time.Until(d)*3/4))
	}
	err := h.waitIdle(first)
	cancel()
	if len(h.onStop) > 0 && was != starting {
		if e := h.runNow(ctx, "OnStop", func(ctx context.Context) error {
			for _, f := range h.onStop {
				f(ctx)
			}
			return nil
		}); err == nil {
			err = e
		}
	}
	if err == nil {
		err = h.loop.Drain(ctx)
	}
	h.life.Store(stopped)
	h.loop.Close()
	last, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if e := h.loop.Drain(last); e != nil && err == nil {
		err = e
	}
	return err
}

// waitIdle waits until every task that was taken has returned.
func (h *Host) waitIdle(ctx context.Context) error {
	for h.busy.Load() != 0 {
		select {
		case <-h.idle:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}
