package main

import (
	"context"
	"net"

	"example.com/bench/benchpb"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// The grpc peer is declared by hand, so that no plugin is needed: one unary method over the
// same message.
const grpcMethod = "/bench.v1.Peer/Echo"

type grpcPeer interface {
	Echo(context.Context, *benchpb.Blob) (*benchpb.Blob, error)
}

type grpcEcho struct{}

func (grpcEcho) Echo(_ context.Context, b *benchpb.Blob) (*benchpb.Blob, error) { return b, nil }

var grpcDesc = grpc.ServiceDesc{
	ServiceName: "bench.v1.Peer",
	HandlerType: (*grpcPeer)(nil),
	Methods: []grpc.MethodDesc{{
		MethodName: "Echo",
		Handler: func(srv any, ctx context.Context, dec func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
			in := new(benchpb.Blob)
			if err := dec(in); err != nil {
				return nil, err
			}
			return srv.(grpcPeer).Echo(ctx, in)
		},
	}},
}

func serveGRPC(addr string) (string, error) {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return "", err
	}
	s := grpc.NewServer()
	s.RegisterService(&grpcDesc, grpcEcho{})
	go func() { _ = s.Serve(ln) }()
	return ln.Addr().String(), nil
}

// dialGRPC gives a caller over one connection.
func dialGRPC(addr string) (call func(context.Context, *benchpb.Blob) error, done func(), err error) {
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, nil, err
	}
	return func(ctx context.Context, b *benchpb.Blob) error {
		return conn.Invoke(ctx, grpcMethod, b, new(benchpb.Blob))
	}, func() { conn.Close() }, nil
}
