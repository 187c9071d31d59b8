// Package gate is the code of role gate: what is answered at the door.
package gate

import (
	"context"

	"example.com/arena/arenapb"

	"github.com/firefly-go/firefly"
)

// Gate answers Probe.
type Gate struct {
	*arenapb.GateDeps
}

// New makes the handler of one gate node.
func New(d *arenapb.GateDeps) arenapb.GateHandler { return &Gate{GateDeps: d} }

// Echo gives the bytes back.
func (g *Gate) Echo(_ context.Context, _ firefly.Session, body []byte) ([]byte, error) {
	return body, nil
}
