package firefly

import (
	"context"
	"time"
)

// Node is the process, or the role instance in it, as its own code sees it. Hooks and timers
// are registered in the constructor of the role; a registration later than that panics.
// Everything registered runs on the logic loop of the role instance, one at a time.
type Node interface {
	// Name is "world-1".
	Name() string
	// OnStart runs before the first command; an error stops the node.
	OnStart(f func(context.Context) error)
	// OnStop runs after the last command, before tables are drained.
	OnStop(f func(context.Context))
	// OnConnect runs before the first command of a session at this node.
	OnConnect(f func(context.Context, Session))
	// OnDrop runs when the client's connection is lost and the session may come back.
	OnDrop(f func(context.Context, Session))
	// OnResume runs when the client came back.
	OnResume(f func(context.Context, Session))
	// OnClose runs exactly once per OnConnect. Player() and the session state still answer.
	OnClose(f func(context.Context, Session, Reason))
	// OnPeer runs when a node of a role can be reached and serves, and when it is lost.
	OnPeer(f func(ctx context.Context, role, node string, up bool))
	// Every runs f again and again. It never overlaps itself; a late tick is skipped.
	Every(d time.Duration, name string, f func(context.Context)) Timer
	// After runs f once.
	After(d time.Duration, name string, f func(context.Context)) Timer
	// Cron runs f by a five-field cron expression in the local time of the process, on every
	// node of the role; once per cluster when the role is SINGLE.
	Cron(spec, name string, f func(context.Context)) Timer
	// Go runs f as a new handler on the loop. It is how a goroutine of the game's own enters
	// the logic; any goroutine may call it at any time.
	Go(name string, f func(context.Context))
}

// Timer is a timer of a Node. Every, After and Cron of Node may also be called by running
// handlers of the role.
type Timer interface {
	// Stop ends the timer; f is not started again.
	Stop()
}
