package remote

import (
	"context"
	"time"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/table"
)

// Caller asks the process that owns the store. The result is the callee's no more. Errors are
// *firefly.Error: Unavailable and Overloaded when it was surely not executed, Unknown when the process was
// lost before it answered, and what the other side answered.
type Caller interface {
	Call(ctx context.Context, op uint64, body []byte) ([]byte, error)
}

// Patience is how long a Client asks again while the store is away: that of `up` is back within a moment
// when it dies. Only what was surely not executed is asked again, and reads.
const Patience = 3 * time.Second

// maxCommit bounds a commit on the wire: a frame between nodes has 1 MiB.
const maxCommit = 1<<20 - 4096

// Client is a table.Store that another process owns.
type Client struct{ c Caller }

// NewClient makes a client over c.
func NewClient(c Caller) *Client { return &Client{c} }

// call asks, and asks again for as long as it may. again: an unknown outcome does no harm.
func (c *Client) call(ctx context.Context, op uint64, body []byte, again bool) (*reader, error) {
	wait := 2 * time.Millisecond
	end := time.Now().Add(Patience)
	for {
		b, err := c.c.Call(ctx, op, body)
		if err == nil {
			return &reader{b: b}, nil
		}
		code := firefly.CodeOf(err)
		if ctx.Err() != nil || code == firefly.DeadlineExceeded || code == firefly.Canceled {
			if again {
				return nil, firefly.DeadlineExceeded.Errorf("the store did not answer in time: %w", err)
			}
			if code != firefly.Unavailable {
				return nil, firefly.Unknown.Errorf("the store did not answer in time: %w", err)
			}
			return nil, err
		}
		if code != firefly.Unavailable && !(again && code == firefly.Unknown) {
			return nil, err
		}
		if time.Now().After(end) {
			if code == firefly.Unknown {
				return nil, firefly.Unavailable.Errorf("the store is away: %w", err)
			}
			return nil, err
		}
		t := time.NewTimer(wait)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return nil, err
		}
		wait = min(2*wait, 50*time.Millisecond)
	}
}

var errReply = firefly.Internal.Errorf("tables: malformed reply of the store")

// Read implements table.Store.
func (c *Client) Read(ctx context.Context, refs []table.Ref, out []table.Row) error {
	for len(refs) > 0 {
		w := &writer{b: make([]byte, 0, 64)}
		n := min(len(refs), 4096)
		w.uint(uint64(n))
		for _, ref := range refs[:n] {
			w.ref(ref)
		}
		r, err := c.call(ctx, opRead, w.b, true)
		if err != nil {
			return err
		}
		if r.uint() != statusOK {
			return errReply
		}
		got := 0
		for ; got < n && len(r.b) > 0; got++ {
			out[got] = r.row(refs[got].Table)
			if out[got].Version == 0 {
				out[got].Ref = refs[got]
			}
		}
		if r.end() != nil || got == 0 {
			return errReply
		}
		refs, out = refs[got:], out[got:]
	}
	return nil
}

// Find implements table.Store.
func (c *Client) Find(ctx context.Context, q *table.Query) ([]table.Row, error) {
	var out []table.Row
	after, limit := q.After, q.Limit
	for {
		w := &writer{b: make([]byte, 0, 64)}
		w.spec(q.Table)
		w.uint(uint64(q.Index))
		for _, v := range q.By {
			w.value(v)
		}
		w.text(string(after))
		w.uint(uint64(limit))
		r, err := c.call(ctx, opFind, w.b, true)
		if err != nil {
			return nil, err
		}
		if r.uint() != statusOK {
			return nil, errReply
		}
		before := len(out)
		for {
			row := r.row(q.Table)
			if row.Version == 0 {
				break
			}
			out = append(out, row)
		}
		more := r.flag()
		if r.end() != nil || more && len(out) == before {
			return nil, errReply
		}
		if !more {
			return out, nil
		}
		after = out[len(out)-1].Key
		if q.Limit > 0 {
			limit = q.Limit - len(out)
		}
	}
}

// Commit implements table.Store.
func (c *Client) Commit(ctx context.Context, commit *table.Commit) error {
	if len(commit.Ops) == 0 {
		return nil
	}
	w := &writer{b: make([]byte, 0, 128)}
	w.text(commit.Once)
	w.uint(commit.Token)
	w.uint(uint64(len(commit.Ops)))
	for i := range commit.Ops {
		w.op(&commit.Ops[i])
	}
	if len(w.b) > maxCommit {
		return firefly.InvalidArgument.Errorf("a commit of %d bytes; at most %d go to the store at once", len(w.b), maxCommit)
	}
	r, err := c.call(ctx, opCommit, w.b, false)
	if err != nil {
		return err
	}
	switch r.uint() {
	case statusOK:
	case statusOnce:
		return table.OnceError(commit.Once)
	default:
		return errReply
	}
	for i := range commit.Ops {
		op := &commit.Ops[i]
		op.Version, op.Sums = r.uint(), nil
		for range r.count() {
			op.Sums = append(op.Sums, r.int())
		}
	}
	if r.end() != nil {
		return firefly.Unknown.Errorf("the answer of the store cannot be read")
	}
	return nil
}

// Reserve implements table.Store.
func (c *Client) Reserve(ctx context.Context, t *table.Spec, n int) (int64, error) {
	w := &writer{}
	w.spec(t)
	w.uint(uint64(n))
	r, err := c.call(ctx, opReserve, w.b, true) // numbers that nobody gets are lost, and no more
	if err != nil {
		return 0, err
	}
	if r.uint() != statusOK {
		return 0, errReply
	}
	first := r.int()
	if r.end() != nil {
		return 0, errReply
	}
	return first, nil
}
