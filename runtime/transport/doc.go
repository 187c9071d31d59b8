// Package transport moves bytes over connections: TCP over netpoll on Linux, over package net
// elsewhere, and an in-process twin for tests. It is the only package that names netpoll.
//
// A connection hands its incoming bytes to a Handler and takes outgoing bytes without ever
// blocking; a Queue stands in front of it and keeps frames whole, in order and bounded; a
// Batch says when queues write: once per readable event and once per turn of a logic loop,
// never once per frame.
package transport
