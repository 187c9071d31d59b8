// Package directory knows who is where: which session a player is bound to, cluster-wide,
// and who holds a name that only one process may hold.
//
// An entry of a player belongs to the gate of its session and lives as long as the gate
// renews its lease. Every claim has an epoch, higher than any before it, so that what a
// former session still sends can be told and refused.
//
// directory.go is the port; memory.go the adapter that keeps everything in the process;
// remote.go asks the directory of another process and answers such questions; lease.go keeps
// a name for as long as it can.
package directory
