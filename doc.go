// Package firefly holds the words that a game, its generated code and the runtime share:
// sessions, targets, codes, nodes, and what a handler may do with its ctx.
//
// A game is declared in .proto files; ffgen emits the typed handlers, and runtime/node runs
// them. Logic of a SERIAL role runs one handler at a time; Await, All, Sleep, a call to
// another role and every method that takes a ctx yield, so that other handlers run while
// this one waits. The state of the role may have changed when they return.
package firefly
