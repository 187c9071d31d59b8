// Package scanpb is messages that the tests of wire decode: generated as ffgen generates a
// game's, by go generate, and checked in.
package scanpb

//go:generate go run make.go
