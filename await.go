package firefly

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"
)

// Call is what the ctx of a handler knows of the request that it runs for. Games read it
// through the functions of this package; nothing of it can be set by a game.
type Call struct {
	Node    string    // the node that runs the handler
	Name    string    // full name of the method, timer or hook
	Request RequestID // on every log line, on every node that the request crosses
	Player  PlayerID  // in whose name the handler runs, 0 for nobody
	Session Session   // nil when no client's command runs
	Hops    uint8     // calls between the client's command and this one
	Logger  *slog.Logger
}

// CallKey is the key under which a ctx of the runtime holds its *Call.
type CallKey struct{}

// LoopKey is the key under which a ctx of the runtime holds its Loop while the holder of
// the ctx is on it. It has a method so that the loop, which does not know this package,
// knows the key.
type LoopKey struct{}

// FireflyLoop marks the key.
func (LoopKey) FireflyLoop() {}

// Loop is the logic loop as a ctx gives it. runtime/mailbox implements it.
type Loop interface {
	// Await gives the loop up, runs f on the calling goroutine with a ctx that is marked
	// off-loop, and takes the loop back. It panics, in development, when the calling
	// goroutine is not the handler's own.
	Await(f func(context.Context))
	// Sleep gives the loop up for d, or until the ctx ends.
	Sleep(d time.Duration) error
	// Go queues f as a new handler on this loop.
	Go(name string, f func(context.Context))
}

func loopOf(ctx context.Context) Loop {
	l, _ := ctx.Value(LoopKey{}).(Loop)
	return l
}

// offLoop is a ctx that a game has derived from a handler's, for code that left the loop.
type offLoop struct{ context.Context }

func (o offLoop) Value(key any) any {
	if _, ok := key.(interface{ FireflyLoop() }); ok {
		return nil
	}
	return o.Context.Value(key)
}

// leave gives the loop up for f. Its ctx is what ctx is without the loop: given by the loop
// itself for a handler's own ctx, wrapped for one that a game has derived from it, whose
// deadline and values must hold inside too.
func leave(l Loop, ctx context.Context, f func(context.Context)) {
	if any(l) == any(ctx) {
		l.Await(f)
		return
	}
	l.Await(func(context.Context) { f(offLoop{ctx}) })
}

func callOf(ctx context.Context) *Call {
	c, _ := ctx.Value(CallKey{}).(*Call)
	return c
}

// Await runs f off the logic loop and gives its result; other handlers run meanwhile. It is
// the way to wait for anything that Firefly does not know: an HTTP request, a file, a
// channel. f must not touch the state of the role; its ctx ends with the handler's deadline.
func Await[T any](ctx context.Context, f func(context.Context) (T, error)) (T, error) {
	l := loopOf(ctx)
	if l == nil {
		return f(ctx)
	}
	var v T
	var err error
	leave(l, ctx, func(ctx context.Context) { v, err = f(ctx) })
	return v, err
}

// All runs the functions beside each other, off the logic loop, and returns when all of them
// have. The error is the join of theirs. A panic of one of them is raised again in the
// caller after the others have returned.
func All(ctx context.Context, fs ...func(context.Context) error) error {
	errs := make([]error, len(fs))
	run := func(ctx context.Context) {
		var (
			wg     sync.WaitGroup
			once   sync.Once
			raised any
		)
		for i, f := range fs {
			wg.Go(func() {
				defer func() {
					if v := recover(); v != nil {
						once.Do(func() { raised = v })
					}
				}()
				errs[i] = f(ctx)
			})
		}
		wg.Wait()
		if raised != nil {
			panic(raised)
		}
	}
	if l := loopOf(ctx); l != nil {
		leave(l, ctx, run)
	} else {
		run(ctx)
	}
	return errors.Join(errs...)
}

// Go runs f as a handler of its own on the loop of ctx, with a fresh ctx that carries no
// session's order. Without a loop in ctx it panics.
func Go(ctx context.Context, name string, f func(context.Context)) {
	l := loopOf(ctx)
	if l == nil {
		panic("firefly.Go: this ctx has no logic loop; it is not a handler's, or belongs to code inside Await or All")
	}
	l.Go(name, f)
}

// Sleep waits and lets others run. It ends early, with the ctx's error, when the ctx ends.
func Sleep(ctx context.Context, d time.Duration) error {
	if l := loopOf(ctx); l != nil {
		if any(l) == any(ctx) {
			return l.Sleep(d)
		}
		var err error
		leave(l, ctx, func(ctx context.Context) { err = sleep(ctx, d) })
		return err
	}
	return sleep(ctx, d)
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Now is the time. Under a test's fake clock it is the fake one.
func Now(context.Context) time.Time { return time.Now() }

// Log is the logger of the handler: session, player, command and request id stand on every
// line of it.
func Log(ctx context.Context) *slog.Logger {
	c := callOf(ctx)
	if c == nil || c.Logger == nil {
		return slog.Default()
	}
	l := c.Logger.With("method", c.Name, "request", c.Request.String())
	if c.Session != nil {
		l = l.With("session", c.Session.ID().String())
	}
	if c.Player != 0 {
		l = l.With("player", int64(c.Player))
	}
	return l
}

// CallOf is what ctx knows of the running request, or nil outside a handler. The result
// must not be changed.
func CallOf(ctx context.Context) *Call { return callOf(ctx) }
