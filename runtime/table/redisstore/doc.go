// Package redisstore is the cache of writeback: rows, lists and what is not stored yet, in Redis. A
// commit is one script on one shard, and a shard is one hash tag, so that it works on a cluster too.
//
// What a key holds, and which script does what, is written in lua/. keys.go names keys; values.go turns
// hashes into rows; rows.go, lists.go, commit.go, durable.go, dirty.go and quarantine.go are the parts of
// table.Cache; start.go checks what must hold.
//
// Rows carry the generation of the server (see redisconn) under which they were last known to be good;
// after a restart or a failover they are dropped, or wait until the flusher has compared them with the
// durable store.
package redisstore
