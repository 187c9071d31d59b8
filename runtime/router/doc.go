// Package router brings commands and calls to the code of a role, and calls and pushes of
// that code to where they belong.
//
// Host is one role instance: its logic loop, its sessions, its handlers, hooks and timers.
// Router is its way out: calls by key, by player or by load, and pushes to gates. Dispatcher
// stands between the links of a node and both of them. What gates and nodes say to each
// other is in messages.go.
//
// The way through the package: dispatch.go takes what arrives on a link; host.go admits and
// queues it and task.go runs it; records.go keeps the sessions and session.go is one of them;
// life.go starts and stops a Host; register.go, hooks.go and timers.go are what a game
// registers; key.go, call.go and push.go send.
package router
