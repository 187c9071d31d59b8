package node

import (
	"context"
	"errors"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/router"
	"github.com/firefly-go/firefly/runtime/wire"
)

// Body is what one message of a command or call carries: a message, raw bytes, or neither
// (Empty, NoReply).
type Body = router.Body

// ptr is the pointer type of a generated message T.
type ptr[T any] interface {
	*T
	firefly.Message
}

// Command registers a command: message to message.
func Command[Req, Rep any, PReq ptr[Req], PRep ptr[Rep]](b *Builder, id firefly.CommandID, h func(context.Context, firefly.Session, *Req) (*Rep, error)) {
	b.command(id, Decode[Req, PReq](), func(ctx context.Context, s firefly.Session, req any) (Body, error) {
		rep, err := h(ctx, s, req.(*Req))
		if err != nil {
			return Body{}, err
		}
		if rep == nil {
			return Body{}, errNilReply
		}
		return Body{Msg: PRep(rep)}, nil
	})
}

// errNilReply is the answer of a handler that gave neither a reply nor an error.
var errNilReply = errors.New("the handler returned neither a reply nor an error")

// Notify registers a command that sends no reply.
func Notify[Req any, PReq ptr[Req]](b *Builder, id firefly.CommandID, h func(context.Context, firefly.Session, *Req) error) {
	b.command(id, Decode[Req, PReq](), func(ctx context.Context, s firefly.Session, req any) (Body, error) {
		return Body{}, h(ctx, s, req.(*Req))
	})
}

// RawCommand registers a command of opaque bytes. The handler has the bytes until it returns.
func RawCommand(b *Builder, id firefly.CommandID, h func(context.Context, firefly.Session, []byte) ([]byte, error)) {
	b.command(id, nil, func(ctx context.Context, s firefly.Session, req any) (Body, error) {
		raw, _ := req.([]byte)
		rep, err := h(ctx, s, raw)
		return Body{Raw: rep}, err
	})
}

// CommandFunc registers a command of any shape. decode makes the request of its bytes; when
// it is nil, req is the []byte itself, which is valid until run returns.
func CommandFunc(b *Builder, id firefly.CommandID, decode func([]byte) (any, error), run func(ctx context.Context, s firefly.Session, req any) (Body, error)) {
	b.command(id, decode, run)
}

// Serve registers a call: message to message.
func Serve[Req, Rep any, PReq ptr[Req], PRep ptr[Rep]](b *Builder, spec *firefly.CallSpec, h func(context.Context, *Req) (*Rep, error)) {
	b.call(spec, Decode[Req, PReq](), func(ctx context.Context, req any) (Body, error) {
		rep, err := h(ctx, req.(*Req))
		if err != nil {
			return Body{}, err
		}
		if rep == nil {
			return Body{}, errNilReply
		}
		return Body{Msg: PRep(rep)}, nil
	})
}

// ServeNotify registers a call that nobody waits for.
func ServeNotify[Req any, PReq ptr[Req]](b *Builder, spec *firefly.CallSpec, h func(context.Context, *Req) error) {
	b.call(spec, Decode[Req, PReq](), func(ctx context.Context, req any) (Body, error) {
		return Body{}, h(ctx, req.(*Req))
	})
}

// ServeFunc registers a call of any shape, as CommandFunc does a command.
func ServeFunc(b *Builder, spec *firefly.CallSpec, decode func([]byte) (any, error), run func(ctx context.Context, req any) (Body, error)) {
	b.call(spec, decode, run)
}

// Decode makes the decoder of a request message: it bounds depth and checks UTF-8 before it
// decodes, and then checks the rules of the fields. Its errors are INVALID_ARGUMENT. The
// decoder may be used by several goroutines.
func Decode[T any, P ptr[T]]() func([]byte) (any, error) {
	scan := wire.NewScan(descriptor[T, P]())
	return func(b []byte) (any, error) {
		if err := scan.Check(b); err != nil {
			return nil, firefly.InvalidArgument.Errorf("the body does not decode: %w", err)
		}
		m := new(T)
		if err := P(m).UnmarshalVT(b); err != nil {
			return nil, firefly.InvalidArgument.Errorf("the body does not decode: %w", err)
		}
		if r, ok := any(m).(interface{ CheckRules() error }); ok {
			if err := r.CheckRules(); err != nil {
				return nil, err
			}
		}
		return m, nil
	}
}

func descriptor[T any, P ptr[T]]() protoreflect.MessageDescriptor {
	return P(new(T)).ProtoReflect().Descriptor()
}
