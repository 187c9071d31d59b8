// Package redisconn talks to Redis, one server or a Cluster: it runs scripts and says what became of them,
// and it knows the generation of every server.
//
// A generation is one server process in one term as a master. Scripts have it in their text, and are loaded
// only over a connection that was asked which one it leads to: a server that was started anew does not know
// the scripts of before, so no script ever runs under another generation than it believes.
//
// nodes.go knows servers and their generations; call.go runs scripts; script.go puts them together.
package redisconn
