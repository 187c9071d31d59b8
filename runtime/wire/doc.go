// Package wire is the bytes between clients and gates, as pure functions on slices: native
// and classic frames, handshakes, the check of hostile messages, and the key field of a
// message that is not decoded.
//
// Nothing here reads, writes, waits or keeps state. Append functions append to a slice of
// the caller and return it; parse functions return slices of their input, valid as long as
// it is. Neither allocates, except where a handshake makes lists and strings. docs/wire.md
// describes the format for those who write clients.
package wire
