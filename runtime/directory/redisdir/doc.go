// Package redisdir is the session directory in Redis: who is where outlives every process of the game.
//
// Everything is one script, directory.lua, on a few keys with one hash tag. Nothing ends by a key's time to
// live: leases are times that the script compares, and what has ended is told from what stands when it is
// looked at.
//
// After a restart or a failover of Redis nobody knows what the server forgot. All leases of gates have
// ended then, so every gate puts its entries back, as with any directory that comes back empty; and names
// go to nobody new before a whole lease has passed. That needs a server that keeps something: from one that
// comes back with nothing at all, a name can be had at once.
package redisdir
