package main

import (
	"context"

	"example.com/bench/benchpb"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/node"
)

// game runs the bench's own small game, with the arguments of any game binary.
func game() {
	node.Main(benchpb.GateRole(newNear), benchpb.WorldRole(newFar))
}

type near struct{}

func newNear(*benchpb.GateDeps) benchpb.GateHandler { return near{} }

func (near) Echo(_ context.Context, _ firefly.Session, req *benchpb.Blob) (*benchpb.Blob, error) {
	return req, nil
}

func (near) Login(ctx context.Context, s firefly.Session, req *benchpb.Who) (*benchpb.Blob, error) {
	return &benchpb.Blob{}, s.Bind(ctx, firefly.PlayerID(req.PlayerId))
}

type far struct{}

func newFar(*benchpb.WorldDeps) benchpb.WorldHandler { return far{} }

func (far) Echo(_ context.Context, _ firefly.Session, req *benchpb.Blob) (*benchpb.Blob, error) {
	return req, nil
}
