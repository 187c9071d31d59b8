// Package remote carries the operations of a table.Store between processes: a Server stands before the
// embedded store in the process that owns it, a Client is the store everywhere else.
//
// The encoding: numbers are varints, texts are length and bytes. Tables are named once in a message, with
// the hash of their declaration: two sides that declare a table otherwise do not speak of it.
package remote
