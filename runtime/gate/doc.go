// Package gate holds client sessions: it accepts connections, shakes hands, keeps the limits
// of its doors, forwards commands to the nodes that serve them and brings replies and pushes
// back.
//
// Everything happens on goroutines that exist anyway: the reader of a client's connection,
// the reader of a link, the loop of a role in this process. A gate owns one sweeper, which
// looks at deadlines every 50 ms, one goroutine that renews its lease, a few that release
// sessions in the directory, and one for each Bind under way. No session owns a goroutine, a
// timer or a closure.
//
// The way through the package: door.go accepts; client.go is one connection, its frames and
// its handshake; session.go is what a client is while connected; forward.go brings its
// commands to nodes, which route.go finds, exchange.go and reply.go bring the answers back;
// closing.go ends a session, resume.go goes on with it; bind.go says who it is; push.go brings
// pushes; control.go answers nodes and other gates.
package gate
