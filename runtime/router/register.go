package router

import (
	"context"
	"fmt"

	"github.com/firefly-go/firefly"
)

// Body is what one message of a command or call carries: a message, raw bytes, or neither
// (Empty, NoReply).
type Body struct {
	Msg firefly.Message
	Raw []byte
}

// DecodeFunc makes the request of its bytes: it looks through hostile bytes, decodes, and
// checks the rules of the fields. It runs on the reader of a link, so several calls overlap,
// and must neither block nor keep the bytes. A nil DecodeFunc stands for Raw and Empty: the
// request is then a []byte, a copy that is the handler's until it returns.
type DecodeFunc = func(body []byte) (any, error)

// CommandFunc is the code of a command. It runs on the logic loop.
type CommandFunc = func(ctx context.Context, s firefly.Session, req any) (Body, error)

// CallFunc is the code of a call. It runs on the logic loop.
type CallFunc = func(ctx context.Context, req any) (Body, error)

// handler is one registered command or call.
type handler struct {
	host    *Host
	name    string
	decode  DecodeFunc
	command CommandFunc
	call    CallFunc
	keyed   bool // its key picks the node, so it is checked
}

// HandleCommand registers the code of a command. Before Start only; registering one twice
// panics.
func (h *Host) HandleCommand(spec *firefly.Command, decode DecodeFunc, run CommandFunc) {
	h.mustBeOpen("HandleCommand")
	if h.commands[spec.ID] != nil {
		panic(fmt.Sprintf("router: command %d (%s) is registered twice", spec.ID, spec.Name))
	}
	h.commands[spec.ID] = &handler{host: h, name: spec.Name, decode: decode, command: run, keyed: h.keyed}
}

// HandleCall registers the code of a call. Before Start only; registering one twice panics.
func (h *Host) HandleCall(spec *firefly.CallSpec, decode DecodeFunc, run CallFunc) {
	h.mustBeOpen("HandleCall")
	if h.calls[spec.ID] != nil {
		panic(fmt.Sprintf("router: call %s is registered twice", spec.Name))
	}
	h.calls[spec.ID] = &handler{host: h, name: spec.Name, decode: decode, call: run, keyed: h.keyed}
}
