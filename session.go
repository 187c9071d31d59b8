package firefly

import "context"

// Session is one client, as long as it is connected or may come back.
//
// A Session may be kept and used by all code of the role instance that got it, on the logic
// loop; it must not be handed to another role. Methods with a ctx yield the loop.
type Session interface {
	Target
	// ID names the session in the cluster.
	ID() SessionID
	// Player is the player that the session is bound to, 0 until then.
	Player() PlayerID
	// Bind says who the client is. Another session of the player, on any gate, is closed with
	// Replaced first; Bind returns when the OnClose hooks of that session have returned on
	// every node that it had touched. Codes: Unavailable (not bound: the directory is away, or
	// the player logs in elsewhere at the same time), SessionClosed (this session ended, or was itself replaced, meanwhile),
	// FailedPrecondition (bound to another player already).
	Bind(ctx context.Context, p PlayerID) error
	// Join adds the session to a group, in order with the pushes of this node.
	Join(ctx context.Context, g Group) error
	// Leave takes the session out of a group, in order with the pushes of this node.
	Leave(ctx context.Context, g Group) error
	// Close ends the session; the client is told the reason. It does not wait.
	Close(r Reason)
}

// Reason says why a session or a connection ended. Clients get it in a close frame; classic
// clients see the connection close.
type Reason string

// The reasons of the framework. docs/wire.md documents each for client developers.
const (
	ClientLeft       Reason = "CLIENT_LEFT"       // the client closed the connection
	ConnectionLost   Reason = "CONNECTION_LOST"   // the connection broke
	Kicked           Reason = "KICKED"            // the game closed the session
	Replaced         Reason = "REPLACED"          // the player logged in elsewhere
	Idle             Reason = "IDLE"              // no frame for idle_timeout
	HandshakeTimeout Reason = "HANDSHAKE_TIMEOUT" // no good frame within handshake_timeout
	TooSlow          Reason = "SLOW"              // max_queue bytes wait for the client
	PushLost         Reason = "PUSH_LOST"         // a push with slow: DISCONNECT could not reach the gate
	Flood            Reason = "FLOOD"             // too many unfinished commands
	BadFrame         Reason = "BAD_FRAME"         // bytes that are no frame, or a wrong magic
	FrameTooLarge    Reason = "FRAME_TOO_LARGE"   // a body over max_frame
	TooMany          Reason = "TOO_MANY"          // a limit of connections is reached
	StaleClient      Reason = "STALE_CLIENT"      // older than min_client of the launch file
	Shutdown         Reason = "SHUTDOWN"          // the gate stops
	GateLost         Reason = "GATE_LOST"         // the gate process died
	Moved            Reason = "MOVED_AWAY"        // a key moved the session's pin to another node
	ClusterLost      Reason = "CLUSTER_LOST"      // the gate lost the lease of its sessions
)
