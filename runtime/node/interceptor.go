package node

import (
	"context"

	"github.com/firefly-go/firefly"
)

// Interceptor runs around every command and call of every role, on the role's logic loop. It
// calls next once, or answers with an error of its own; req is the decoded message, or a
// []byte for Raw. firefly.CallOf(ctx) says what is running.
type Interceptor func(ctx context.Context, req any, next func(ctx context.Context) (Body, error)) (Body, error)

// aroundCommand puts interceptors around a command, the first outermost. Without any the
// handler stays as it is.
func aroundCommand(is []Interceptor, run func(context.Context, firefly.Session, any) (Body, error)) func(context.Context, firefly.Session, any) (Body, error) {
	for i := len(is) - 1; i >= 0; i-- {
		outer, inner := is[i], run
		run = func(ctx context.Context, s firefly.Session, req any) (Body, error) {
			return outer(ctx, req, func(ctx context.Context) (Body, error) { return inner(ctx, s, req) })
		}
	}
	return run
}

// aroundCall is aroundCommand for calls.
func aroundCall(is []Interceptor, run func(context.Context, any) (Body, error)) func(context.Context, any) (Body, error) {
	for i := len(is) - 1; i >= 0; i-- {
		outer, inner := is[i], run
		run = func(ctx context.Context, req any) (Body, error) {
			return outer(ctx, req, func(ctx context.Context) (Body, error) { return inner(ctx, req) })
		}
	}
	return run
}
