package router

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/mailbox"
	"github.com/firefly-go/firefly/runtime/rpc"
)

// env is what the ctx of everything that runs on a Host answers.
type env struct {
	host *Host
	call firefly.Call
	sid  firefly.SessionID // in whose name it runs, known here or not
	key  uint64            // the hash of the key that brought the handler here, 0 for none
}

type envKey struct{}

// from fills an env that is new, field by field: that is cheaper than a copy of the whole.
func (e *env) from(h *Host, f *handler, hd *rpc.Header) {
	e.host, e.key, e.sid = h, hd.Key, hd.Session
	e.call.Node, e.call.Name, e.call.Logger = h.node, f.name, h.log
	e.call.Request, e.call.Player, e.call.Hops = hd.Request, hd.Player, hd.Hops
}

// Value implements mailbox.Values.
func (e *env) Value(key any) any {
	switch key.(type) {
	case firefly.CallKey:
		return &e.call
	case envKey:
		return e
	case rpc.BatchKey:
		return &e.host.batch // rpc asks for it on the loop only
	}
	return nil
}

// Fork implements mailbox.Values: what Go begins runs in the same name.
func (e *env) Fork() mailbox.Values {
	f := *e
	return &f
}

// envOf is what ctx knows, nil outside of the runtime.
func envOf(ctx context.Context) *env {
	e, _ := ctx.Value(envKey{}).(*env)
	return e
}

// task is one command or call on its way through a Host: with the decoded request all that the
// runtime allocates for it.
type task struct {
	mailbox.Task
	env
	e     *handler
	s     *Session // nil for a call
	req   any
	reply rpc.Reply
	loose bool // unordered: counted by the session, since no lane holds its end up
}

// tasks are made several at a time: that spares most of the allocator's work. They are never
// used again, since a game may keep the ctx that is in them; one that is kept keeps the others,
// but not their requests.
type tasks struct {
	used int
	list [8]task
}

// task makes a task. Two readers at once may waste a few.
func (h *Host) task(e *handler, reply rpc.Reply) *task {
	all := h.tasks.Swap(nil)
	if all == nil {
		all = new(tasks)
	}
	t := &all.list[all.used]
	if all.used++; all.used < len(all.list) {
		h.tasks.Store(all)
	}
	t.e, t.reply = e, reply
	return t
}

// decode makes the request; on the reader of a link.
func (t *task) decode(body []byte) (err *firefly.Error) {
	if t.e.decode == nil {
		if len(body) > 0 {
			t.req = slices.Clone(body)
		} else {
			t.req = noBytes
		}
		return nil
	}
	defer func() {
		if v := recover(); v != nil {
			t.e.host.log.Error("a request could not be decoded", "method", t.e.name, "panic", v)
			err = &firefly.Error{Code: firefly.InvalidArgument, Message: "the body does not decode"}
		}
	}()
	req, derr := t.e.decode(body)
	if derr != nil {
		var e *firefly.Error
		if errors.As(derr, &e) {
			return e
		}
		return &firefly.Error{Code: firefly.InvalidArgument, Message: "the body does not decode", Cause: derr}
	}
	t.req = req
	return nil
}

var noBytes any = []byte{}

// Run implements mailbox.Job.
func (t *task) Run(ctx *mailbox.Context) {
	if t.s != nil && t.s.cut.Load() {
		t.fail(errSessionClosed)
		return
	}
	var body Body
	var err error
	if t.s != nil {
		if t.call.Player == 0 {
			t.call.Player = t.s.Player() // bound while the command waited
		}
		body, err = t.e.command(ctx, t.s, t.req)
	} else {
		body, err = t.e.call(ctx, t.req)
	}
	if err != nil {
		if t.reply.OneWay() {
			t.host.log.Warn("a call that nobody waits for failed", "method", t.e.name, "request", t.call.Request.String(), "err", err)
		}
		t.fail(t.host.travel(&t.call, err))
		return
	}
	t.answer(body)
}

// answer sends the reply, on the loop.
func (t *task) answer(body Body) {
	size, limit := len(body.Raw), maxBody
	if body.Msg != nil {
		size = body.Msg.SizeVT()
	}
	if t.s != nil {
		limit = t.host.o.MaxReply
	}
	if size > limit {
		t.fail(t.host.inner(&t.call, fmt.Errorf("the reply has %d bytes; at most %d fit into a frame", size, limit), nil))
		return
	}
	t.reply.Send(&t.host.batch, rpc.Payload{Msg: body.Msg, Raw: body.Raw})
	t.end()
}

func (t *task) fail(err *firefly.Error) {
	t.reply.Fail(&t.host.batch, err)
	t.end()
}

func (t *task) end() {
	t.req = nil // a neighbour that lives on must not keep it
	if t.loose {
		t.s.loosen()
	}
	t.host.release()
}

// Refused implements mailbox.Job.
func (t *task) Refused(err error) {
	if err == mailbox.ErrExpired {
		t.fail(errExpired)
	} else {
		t.fail(errStopped)
	}
}

// Panicked implements mailbox.Job.
func (t *task) Panicked(v any) {
	t.fail(t.host.inner(&t.call, fmt.Errorf("panic: %v", v), t.host.takeStack()))
}

// takeStack gives the stack of the panic that the loop has just contained.
func (h *Host) takeStack() []byte {
	s := h.stack
	h.stack = nil
	return s
}

// travel is what an error of a handler is to whoever asked: codes travel, other errors stay
// in the log.
func (h *Host) travel(c *firefly.Call, err error) *firefly.Error {
	var e *firefly.Error
	switch {
	case errors.As(err, &e) && e.Code == firefly.MovedAway:
		// MOVED is the word of the runtime for "not begun, ask another node". A handler that
		// says it has begun.
		return &firefly.Error{Code: firefly.Unavailable, Message: e.Message}
	case e != nil && e.Code != firefly.OK:
		return e
	case errors.Is(err, context.DeadlineExceeded):
		return &firefly.Error{Code: firefly.DeadlineExceeded, Message: "the handler ran out of time"}
	case errors.Is(err, mailbox.ErrStopped):
		return &firefly.Error{Code: firefly.Canceled, Message: "the node stops"}
	}
	return h.inner(c, err, nil)
}

// inner logs what went wrong inside and gives the error that may be seen outside: with the
// id under which the log has it.
func (h *Host) inner(c *firefly.Call, err error, stack []byte) *firefly.Error {
	h.internal.Add(1)
	l := h.log.With("method", c.Name, "request", c.Request.String())
	if c.Session != nil {
		l = l.With("session", c.Session.ID().String())
	}
	if c.Player != 0 {
		l = l.With("player", int64(c.Player))
	}
	if stack != nil {
		l = l.With("stack", string(stack))
	}
	l.Error("handler failed", "err", err)
	return &firefly.Error{Code: firefly.Internal, Message: "internal error, request " + c.Request.String()}
}

// job is everything that runs on a Host and is neither command nor call: hooks, timers, and
// what Node.Go brings in. It is never refused for load.
type job struct {
	mailbox.Task
	env
	run  func(ctx *mailbox.Context)
	done func() // on the loop, whatever has happened to run; may be nil
}

// newJob makes a job; lane may be nil, s too.
func (h *Host) newJob(name string, s *Session, lane *mailbox.Lane, run func(*mailbox.Context), done func()) *job {
	j := &job{run: run, done: done}
	j.env = env{host: h, call: firefly.Call{Node: h.node, Name: name, Request: newRequest(), Logger: h.log}}
	if s != nil {
		j.call.Session, j.call.Player, j.sid = s, s.Player(), s.id
	}
	j.Init(j, name, lane, time.Time{})
	return j
}

// queue submits a job; false: the loop is closed and nothing of it runs.
func (h *Host) queue(j *job) bool {
	h.busy.Add(1)
	if h.loop.SubmitFree(&j.Task) != nil {
		h.release()
		return false
	}
	return true
}

// Run implements mailbox.Job.
func (j *job) Run(ctx *mailbox.Context) {
	j.run(ctx)
	j.end()
}

// Refused implements mailbox.Job: the loop was closed.
func (j *job) Refused(error) { j.end() }

// Panicked implements mailbox.Job.
func (j *job) Panicked(v any) {
	j.host.inner(&j.call, fmt.Errorf("panic: %v", v), j.host.takeStack())
	j.end()
}

func (j *job) end() {
	if j.done != nil {
		j.done()
	}
	j.host.release()
}

// guard runs a hook and contains its panic, so that the hooks behind it run too.
func (j *job) guard(f func()) {
	defer func() {
		if v := recover(); v != nil {
			j.host.inner(&j.call, fmt.Errorf("panic: %v", v), stackHere())
		}
	}()
	f()
}

// runNow runs f on the loop and waits for it, on a goroutine that is no handler's.
func (h *Host) runNow(ctx context.Context, name string, f func(context.Context) error) error {
	result := make(chan error, 1)
	result <- errors.New("firefly: " + name + " did not finish")
	done := make(chan struct{})
	j := h.newJob(name, nil, nil, func(c *mailbox.Context) {
		err := f(c)
		<-result
		result <- err
	}, func() { close(done) })
	if d, ok := ctx.Deadline(); ok {
		j.Init(j, name, nil, d)
	} else {
		j.Init(j, name, nil, time.Now().Add(10*time.Minute))
	}
	if !h.queue(j) {
		return mailbox.ErrClosed
	}
	select {
	case <-done:
		return <-result
	case <-ctx.Done():
		return ctx.Err()
	}
}
