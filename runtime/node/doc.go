// Package node is one process of a game: it reads the launch file, composes cluster, router,
// gate and store for the roles that this process plays, stops them in reverse order, and is
// the command line of the game's binary.
//
// Its other half is the door for generated code: Role, Builder and the generic functions by
// which generated packages register handlers and make calls. A person may use them as well.
//
// The way through the package: role.go, builder.go, serve.go and call.go are the door;
// launch*.go and config.go read the launch file; instance.go composes one node, with lease.go
// for SINGLE roles and gc.go for the collector; local.go runs all nodes in one process; main.go, flags.go, up.go and
// tools.go are the commands.
package node
