package router

import (
	"context"
	"strconv"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/table"
)

// What a transaction of tables does to pushes and calls that are made with its ctx.

// later keeps a push until the transaction of ctx is committed; false: ctx belongs to none.
func (r *Router) later(ctx context.Context, to firefly.Target, spec *firefly.PushSpec, key Key, msg firefly.Message) (bool, error) {
	if in, _, _ := table.InTx(ctx); !in {
		return false, nil
	}
	b, err := encode(Body{Msg: msg}) // msg is the caller's again when Push returns
	if err != nil {
		return true, firefly.InvalidArgument.Errorf("push %s does not encode: %w", spec.Name, err)
	}
	return table.AfterCommit(ctx, func() {
		if err := r.Push(ctx, to, spec, key, encoded{b: b}); err != nil {
			firefly.Log(ctx).Warn("a push of a transaction was not sent", "push", spec.Name, "err", err)
		}
	}), nil
}

// encoded is a message that was encoded already; Push asks for nothing else of it.
type encoded struct {
	firefly.Message
	b []byte
}

func (e encoded) SizeVT() int { return len(e.b) }

func (e encoded) MarshalToSizedBufferVT(b []byte) (int, error) {
	return copy(b[len(b)-len(e.b):], e.b), nil
}

// joins says whether a call that is made in a transaction may be made: it must stay a plain function call,
// which joins the transaction, and be keyed by the value that places the rows which the transaction writes.
// Anything else is refused however many nodes there are, or it would fail only when there are several.
func (r *Router) joins(ctx context.Context, c *caller, spec *firefly.CallSpec, key Key, stays bool) error {
	in, place, ok := table.InTx(ctx)
	if !in {
		return nil
	}
	why := "it may leave this node"
	switch {
	case !ok:
		why = "the transaction has written nothing yet, so it has no place that the call could share"
	case !r.placed(c, key, string(place)):
		why = "it is not keyed by " + string(place) + ", which places the rows of the transaction"
	case stays:
		return nil
	}
	return firefly.FailedPrecondition.Errorf("%s cannot be called in a transaction: %s; call it before or after", spec.Name, why)
}

// placed reports whether a key is the value behind a place.
func (r *Router) placed(c *caller, key Key, place string) bool {
	n, err := strconv.ParseInt(place, 10, 64)
	switch key.kind {
	case playerKey:
		return err == nil && firefly.PlayerID(n) == firefly.PlayerID(key.value)
	case noKey:
		return err == nil && c.env != nil && c.env.call.Player == firefly.PlayerID(n) && n != 0
	}
	return err == nil && IntKey(n) == key || StringKey(place) == key
}
