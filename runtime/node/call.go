package node

import (
	"context"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/router"
)

// Key picks the node of a call or a command, and tells coalescing pushes apart: a hash of a
// declared field, or a player.
type Key = router.Key

// NoKey is the key of a call that names none: it goes by the player in whose name the caller
// runs, else to the node with the least load.
func NoKey() Key { return router.NoKey() }

// StringKey is the FNV-1a hash of s.
func StringKey(s string) Key { return router.StringKey(s) }

// IntKey is the FNV-1a hash of the eight big-endian bytes of i.
func IntKey(i int64) Key { return router.IntKey(i) }

// PlayerKey is the node where the player is pinned.
func PlayerKey(p firefly.PlayerID) Key { return router.PlayerKey(p) }

// Caller makes calls to other roles. Tests may fake it.
type Caller interface {
	// Call sends req and gives the body of the reply to reply (nil: dropped), which may use
	// it until it returns, and runs on another goroutine while the caller waits. It yields
	// the logic loop of ctx. When spec.NoReply is set it returns as soon as the message is
	// queued; it yields then only when it must ask where a player is.
	Call(ctx context.Context, spec *firefly.CallSpec, key Key, req Body, reply func(body []byte) error) error
	// CallAt is Call to a node by its name, whatever a key would say; Unavailable when no
	// living node of that name plays the role.
	CallAt(ctx context.Context, node string, spec *firefly.CallSpec, req Body, reply func(body []byte) error) error
	// Each makes the call to every living node that plays the role, beside each other, and
	// gives what came of it to reply, one at a time, in the order of the nodes' names, before
	// it returns. The first error of reply ends it and is returned.
	Each(ctx context.Context, spec *firefly.CallSpec, req Body, reply func(node string, body []byte, err error) error) error
}

// Pusher sends pushes. Tests may fake it.
type Pusher interface {
	// Push queues msg for the target and does not wait; msg is the caller's again when it
	// returns. A target that is nobody is no error.
	Push(ctx context.Context, to firefly.Target, spec *firefly.PushSpec, key Key, msg firefly.Message) error
}

// Call makes a call: message to message.
func Call[Rep any, PRep ptr[Rep]](ctx context.Context, c Caller, spec *firefly.CallSpec, key Key, req firefly.Message) (*Rep, error) {
	rep := new(Rep)
	if err := c.Call(ctx, spec, key, Body{Msg: req}, PRep(rep).UnmarshalVT); err != nil {
		return nil, err
	}
	return rep, nil
}

// Send makes a call that answers nothing: it returns when the message is queued.
func Send(ctx context.Context, c Caller, spec *firefly.CallSpec, key Key, req firefly.Message) error {
	return c.Call(ctx, spec, key, Body{Msg: req}, nil)
}

// CallFunc makes a call of any shape. reply may use body until it returns; nil drops it.
func CallFunc(ctx context.Context, c Caller, spec *firefly.CallSpec, key Key, req Body, reply func(body []byte) error) error {
	return c.Call(ctx, spec, key, req, reply)
}

// At makes a Caller of which every Call goes to one node, by its name, whatever the key says.
func At(c Caller, node string) Caller { return at{c, node} }

type at struct {
	Caller
	node string
}

func (a at) Call(ctx context.Context, spec *firefly.CallSpec, _ Key, req Body, reply func(body []byte) error) error {
	return a.CallAt(ctx, a.node, spec, req, reply)
}

// CallEach makes a call to every node that plays the role; replies are messages.
func CallEach[Rep any, PRep ptr[Rep]](ctx context.Context, c Caller, spec *firefly.CallSpec, req Body) firefly.Answers[*Rep] {
	return each(ctx, c, spec, req, func(body []byte) (*Rep, error) {
		rep := new(Rep)
		if err := PRep(rep).UnmarshalVT(body); err != nil {
			return nil, err
		}
		return rep, nil
	})
}

// CallEachRaw is CallEach for replies of opaque bytes, which are the caller's.
func CallEachRaw(ctx context.Context, c Caller, spec *firefly.CallSpec, req Body) firefly.Answers[[]byte] {
	return each(ctx, c, spec, req, func(body []byte) ([]byte, error) { return body, nil })
}

// SendEach is CallEach for methods that answer nothing. The error joins those of the nodes.
func SendEach(ctx context.Context, c Caller, spec *firefly.CallSpec, req Body) error {
	return each(ctx, c, spec, req, func([]byte) (struct{}, error) { return struct{}{}, nil }).Err()
}

func each[T any](ctx context.Context, c Caller, spec *firefly.CallSpec, req Body, decode func([]byte) (T, error)) firefly.Answers[T] {
	var all firefly.Answers[T]
	_ = c.Each(ctx, spec, req, func(node string, body []byte, err error) error {
		a := firefly.Answer[T]{Node: node, Err: err}
		if err == nil {
			a.Reply, a.Err = decode(body)
		}
		all = append(all, a)
		return nil
	})
	return all
}
