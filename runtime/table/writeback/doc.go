// Package writeback makes one table.Store of a cache and a durable store: rows are read and written in
// the cache, which alone acknowledges a commit, and a Flusher brings them to the durable store.
//
// store.go is what tables see; load.go brings into the cache what is missing there; find.go answers
// queries; commit.go sends commits until nothing is missing or in the way; ids.go reserves numbers.
// durable.go makes the commits that the durable store decides.
//
// flusher.go is the life of a flusher; shards.go shares the shards out among those that live; flush.go
// takes what is due and stores it; quarantine.go finds what the durable store refuses and puts it aside.
package writeback
