package mailbox

import (
	"context"
	"sync/atomic"
	"time"
)

// Job is what a task runs; the struct that embeds Task implements it.
type Job interface {
	// Run is the handler. It is called on the loop and may yield through ctx, which is
	// valid until Run returns.
	Run(ctx *Context)
	// Refused is called instead of Run, on the loop, and must not block: ErrExpired when the
	// deadline passed while the task waited, ErrStopped when the loop was closed.
	Refused(err error)
	// Panicked is called on the loop after a panic of Run was contained and reported. v is
	// ErrGoexit when Run ended its goroutine instead. It must not block.
	Panicked(v any)
	Values
}

// Values is what a ctx knows beyond the loop.
type Values interface {
	// Value answers ctx.Value for keys that the loop does not know; nil for unknown ones.
	// Any goroutine that was given the ctx calls it, also beside the handler.
	Value(key any) any
	// Fork gives the values for a handler that Context.Go begins; nil is none. It runs on
	// the goroutine that calls Go.
	Fork() Values
}

// Task is one handler to run. It is embedded in the struct that implements Job, so that a
// task costs one allocation, and holds the Context that the handler is given.
type Task struct {
	ctx Context
}

// Init prepares t. name is for reports, lane may be nil, a zero deadline is none. The loop
// has t until a little after Run, Refused or Panicked has returned; only what runs on the
// loop later may prepare t again, and only when nobody has kept its ctx.
func (t *Task) Init(job Job, name string, lane *Lane, deadline time.Time) {
	c := &t.ctx
	if c.task != nil {
		*c = Context{}
	}
	// Field by field: nearly every task is new, and zero already.
	c.task, c.job, c.name, c.lane, c.deadline = t, job, name, lane, deadline
}

// Name is the name given to Init.
func (t *Task) Name() string { return t.ctx.name }

// Context is the ctx that Run will be given. Only the goroutine that submits the task may use
// it before.
func (t *Task) Context() *Context { return &t.ctx }

// Lane is the order of one session: its tasks run one after the other, each when the former
// has returned. The zero value is ready. A lane belongs to one loop.
type Lane struct {
	n atomic.Int32 // submitted and not returned

	// The holder of the loop has these.
	busy    bool // a task of the lane was begun, or is the next to begin
	waiting list // behind it
}

// Len is how many tasks were submitted with this lane and have not returned. Any goroutine
// may ask.
func (l *Lane) Len() int { return int(l.n.Load()) }

// list is a queue of tasks, linked through them. A task stands in one at a time.
type list struct {
	head, tail *Context
}

func (q *list) empty() bool { return q.head == nil }

func (q *list) push(c *Context) {
	if q.tail == nil {
		q.head = c
	} else {
		q.tail.next = c
	}
	q.tail = c
}

func (q *list) pop() *Context {
	c := q.head
	if c == nil {
		return nil
	}
	q.head = c.next
	if q.head == nil {
		q.tail = nil
	}
	c.next = nil
	return c
}

// funcJob is the job of a plain function.
type funcJob struct {
	Task
	values Values
	f      func(context.Context)
}

// Func makes a task of a function. values may be nil. A refusal of it is silent.
func (l *Loop) Func(name string, values Values, f func(ctx context.Context)) *Task {
	j := &funcJob{values: values, f: f}
	j.Init(j, name, nil, time.Time{})
	return &j.Task
}

func (j *funcJob) Run(ctx *Context) { j.f(ctx) }
func (j *funcJob) Refused(error)    {}
func (j *funcJob) Panicked(any)     {}

func (j *funcJob) Value(key any) any {
	if j.values == nil {
		return nil
	}
	return j.values.Value(key)
}

func (j *funcJob) Fork() Values {
	if j.values == nil {
		return nil
	}
	return j.values.Fork()
}
