package redisconn

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/firefly-go/firefly"
)

// Fate says what became of a command that ended with an error.
type Fate uint8

// The fates of commands.
const (
	Refused   Fate = iota // surely not executed, and it may work a little later
	Stranger              // not executed: the server does not know the script
	Elsewhere             // not executed: another server has the key
	Full                  // not executed: the memory is full
	Unknown               // it may have been executed
	Wrong                 // executed, and something is wrong with it
)

// notNow begin the errors of servers that did not execute a command and may do it later.
var notNow = []string{"LOADING ", "TRYAGAIN ", "CLUSTERDOWN ", "BUSY ", "MASTERDOWN ", "NOREPLICAS ", "MISCONF ",
	"NOAUTH ", "NOPERM ", "WRONGPASS ", "UNBLOCKED ", "ERR max number of clients"}

// connectError is why a connection cannot be used; no command has been sent over it. It hides what it is of:
// go-redis would take an error of the server for the answer to the commands that go together, and leave each
// of them without an error and without a value.
type connectError struct{ err error }

func (e *connectError) Error() string { return "connecting: " + e.err.Error() }

// ErrNoAnswer is of a command that ended without an error and without an answer.
var ErrNoAnswer = errors.New("no answer")

// FateOf says what an error means.
func FateOf(err error) Fate {
	if ce := (*connectError)(nil); errors.As(err, &ce) {
		return Refused
	}
	var re redis.Error
	if errors.As(err, &re) {
		text := re.Error()
		switch {
		case strings.HasPrefix(text, "NOSCRIPT"):
			return Stranger
		case strings.HasPrefix(text, "MOVED "), strings.HasPrefix(text, "ASK "), strings.HasPrefix(text, "READONLY "):
			return Elsewhere
		case strings.HasPrefix(text, "OOM "):
			return Full
		}
		for _, p := range notNow {
			if strings.HasPrefix(text, p) {
				return Refused
			}
		}
		return Wrong
	}
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" {
		return Refused
	}
	for _, e := range []error{redis.ErrClosed, redis.ErrPoolTimeout, redis.ErrPoolExhausted, redis.ErrAutoPipelineQueueFull} {
		if errors.Is(err, e) {
			return Refused
		}
	}
	return Unknown
}

// Run runs a script by its number, at the server that has its keys. What surely was not executed is tried
// again for the patience of the Conn, and so is what may have been executed where that does no harm. An
// error is a *firefly.Error: Unavailable or Overloaded when it was surely not executed, Unknown when it
// may have been, Internal when something is wrong with it.
func (c *Conn) Run(ctx context.Context, script int, keys []string, args []any) (any, error) {
	return c.run(ctx, script, keys, args, how{})
}

// RunThen is Run for a long script, and sends commands that change nothing right behind it, over the same
// connection: what they answer is of the generation that the script ran in. then makes them, anew for every
// try; they have their answers when there is no error.
func (c *Conn) RunThen(ctx context.Context, script int, keys []string, args []any, then func() []redis.Cmder) (any, error) {
	return c.run(ctx, script, keys, args, how{then: then})
}

// how a script is sent.
type how struct {
	copied time.Duration        // not 0: as RunCopied says
	then   func() []redis.Cmder // not nil: as RunThen says
}

// ErrNotCopied is what the error of RunCopied is when the script was executed and no replica said in time that
// it has what was written; test for it with errors.Is.
var ErrNotCopied = errors.New("no replica has it yet")

// RunCopied is Run for a script that writes, and returns when a replica has what it wrote. When that does not
// come true within a time the answer of the script is given beside an Unknown error that is ErrNotCopied.
func (c *Conn) RunCopied(ctx context.Context, script int, keys []string, args []any, within time.Duration) (any, error) {
	return c.run(ctx, script, keys, args, how{copied: within})
}

// run is Run, RunCopied and RunThen.
func (c *Conn) run(ctx context.Context, script int, keys []string, args []any, h how) (any, error) {
	s := &c.scripts[script]
	all := make([]any, 0, 3+len(keys)+len(args))
	all = append(all, "evalsha", "", len(keys))
	for _, k := range keys {
		all = append(all, k)
	}
	all = append(all, args...)
	until := time.Now().Add(c.o.Patience)
	for try := 0; ; try++ {
		v, sent, err := c.runOnce(ctx, script, keys[0], all, h)
		if err == nil {
			return v, nil
		}
		if errors.Is(err, ErrNotCopied) {
			return v, firefly.Unknown.Errorf("Redis: %w", err)
		}
		f := FateOf(err)
		if ctx.Err() != nil && sent && s.Once {
			return nil, firefly.Unknown.Errorf("Redis did not answer in time: %w", err)
		}
		if f == Unknown && sent && s.Once {
			return nil, firefly.Unknown.Errorf("Redis did not answer: %w", err)
		}
		if f == Wrong {
			if s.Once {
				return nil, firefly.Unknown.Errorf("Redis could not go on with %s: %w", s.Name, err)
			}
			return nil, firefly.Internal.Errorf("Redis: %s: %w", s.Name, err)
		}
		if f == Full {
			return nil, firefly.Overloaded.Errorf("the memory of Redis is full: %w", err)
		}
		if ctx.Err() != nil || time.Now().After(until) {
			return nil, firefly.Unavailable.Errorf("Redis: %w", err)
		}
		if err := pause(ctx, backOff(try, f)); err != nil {
			return nil, firefly.Unavailable.Errorf("Redis: %w", err)
		}
	}
}

// RunAt runs a script without keys at a server, once. An error says nothing of what became of it.
func (c *Conn) RunAt(ctx context.Context, n *Node, script int, args []any) (any, error) {
	g, err := n.generation(ctx)
	if err != nil {
		return nil, err
	}
	all := append([]any{"evalsha", g.sha[script], 0}, args...)
	cmd := redis.NewCmd(ctx, all...)
	if err := n.Client.Process(ctx, cmd); err != nil {
		switch FateOf(err) {
		case Stranger:
			_ = n.learn(ctx, g)
		case Elsewhere:
			c.Elsewhere(ctx, n)
		}
		return nil, err
	}
	return cmd.Val(), nil
}

// runOnce sends a script; sent: it may have reached the server.
func (c *Conn) runOnce(ctx context.Context, script int, key string, all []any, h how) (v any, sent bool, err error) {
	n, err := c.Node(ctx, key)
	if err != nil {
		return nil, false, err
	}
	g, err := n.generation(ctx)
	if err != nil {
		return nil, false, err
	}
	if ctx.Err() != nil {
		return nil, false, ctx.Err()
	}
	if all[1] != "" {
		all = slices.Clone(all) // the one before may still be on its way
	}
	all[1] = g.sha[script]
	cmd := redis.NewCmd(ctx, all...)
	var alone error
	switch {
	case h.copied > 0:
		alone, err = n.writeCopied(ctx, cmd, h.copied)
	case h.then != nil:
		err = n.writeLong(ctx, cmd, h.then()...)
	case n.scripts[script].Long:
		err = n.writeLong(ctx, cmd)
	default:
		err = n.write(ctx, cmd)
	}
	if err != nil {
		switch FateOf(err) {
		case Stranger:
			// The server was started anew, or somebody flushed its scripts.
			if err := n.learn(ctx, g); err != nil && n.gen.Load() == g {
				n.doubt.Store(true)
			}
		case Elsewhere:
			c.Elsewhere(ctx, n)
		}
		return nil, true, err
	}
	if cmd.Val() == nil {
		return nil, true, ErrNoAnswer
	}
	return cmd.Val(), true, alone
}

// backOff is how long to wait before the next try.
func backOff(try int, f Fate) time.Duration {
	if f == Stranger && try == 0 {
		return 0
	}
	return min(time.Millisecond<<min(try, 7), 100*time.Millisecond)
}

func pause(ctx context.Context, d time.Duration) error {
	if d == 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
