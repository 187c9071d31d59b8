// Package master is the registry and supervisor of a cluster: nodes register here and learn
// of each other, processes of this host are started, watched and started again, and the
// admin API tells operators and tools how it all is.
//
// The master is not on the data path: killing it stops no traffic, and a new one finds the
// running nodes again, since nodes register anew by themselves and processes stand in a file.
//
// The way through the package: master.go composes it; supervisor.go keeps processes running,
// by the rules of restart.go, over process_*.go, which know the system; state.go is what a
// successor has to know; admin.go is the HTTP API and client.go its client; logs.go reads
// the nodes' log files; secrets.go hands out token and cluster secret.
package master
