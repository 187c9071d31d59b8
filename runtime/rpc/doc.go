// Package rpc carries multiplexed calls and one-way messages over one authenticated link
// between two processes.
//
// A link proves that both sides know the cluster secret before anything else is read, keeps
// everything that one side sends in order, writes in batches, and is bounded: what finds no
// room fails at once. What an id means, and who may call what, is the business of the layers
// above.
//
// The way through the package: rpc.go has the words; frame.go is the bytes of a message and
// handshake.go those before it, both pure functions; dial.go makes links and link.go is their
// life and what they read; send.go is what they write; calls.go keeps the calls that wait for
// a reply; call.go waits for one; local.go is the link of a process to itself.
package rpc
