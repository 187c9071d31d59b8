package node

import (
	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/table"
)

// Role is one role of a game: its declaration and the constructor of its code. Generated
// packages make it, Main takes it.
type Role struct {
	Name     string
	Routing  firefly.Routing
	Replicas int
	// Listens is what a gate opens; nil: the role is no gate.
	Listens *Listens
	// Uses are the full proto names of the services that the role calls.
	Uses []string
	// Tables are the tables that the role uses.
	Tables []*table.Spec
	// Schemas are those of every package of the game, the same in every role. The first is
	// that of the roles' own package; its fingerprint is the game's.
	Schemas []*firefly.Schema
	// New makes the code of the role, once per node, and registers its handlers, hooks and
	// timers at b. It runs before anything is served and must not block.
	New func(b *Builder)
}

// Listens are the doors of a gate as declared: ports, 0 is closed, and limits.
type Listens struct {
	TCP, WebSocket, HTTP int
	Limits               firefly.Listens
}
