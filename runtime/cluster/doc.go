// Package cluster knows which processes there are, which roles they play and how to reach
// them: it keeps one ordered link to each, finds the owner of a key, and says exactly once
// when a process has come and when it is gone.
//
// cluster.go composes it; messages.go are the words between nodes and master; peer.go is one
// life of another process and its link; member.go applies views of the membership and the
// rules of when a life is over; place.go finds nodes for roles and keys; join.go keeps the
// link to the master; registry.go is the master's side of that; directory.go carries
// runtime/directory over the links.
package cluster
