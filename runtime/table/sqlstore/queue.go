package sqlstore

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/table"
)

// job is what the writer has to do: a commit, or numbers to reserve. The writer alone touches it between
// submit and done.
type job struct {
	ctx    context.Context
	commit *table.Commit
	spec   *table.Spec // numbers of this table
	n      int
	first  int64
	err    error
	done   chan struct{}
	mine   atomic.Bool // the writer has begun with it, or who submitted it has given up: who is first
}

// batch is how many jobs share one transaction at most.
const batch = 512

// submit queues a job and waits for it.
func (e *Embedded) submit(j *job) error {
	j.done = make(chan struct{})
	e.mu.RLock()
	if e.closed {
		e.mu.RUnlock()
		return errClosed
	}
	select {
	case e.queue <- j:
		e.mu.RUnlock()
	default:
		e.mu.RUnlock()
		return firefly.Overloaded.Errorf("%d commits wait for the store", cap(e.queue))
	}
	select {
	case <-j.done:
		return j.err
	case <-j.ctx.Done():
		if j.mine.CompareAndSwap(false, true) {
			return firefly.Unavailable.Errorf("the store did not begin in time: %w", j.ctx.Err())
		}
		return firefly.Unknown.Errorf("the store did not answer in time: %w", j.ctx.Err())
	}
}

// Commit implements table.Store.
func (e *Embedded) Commit(ctx context.Context, c *table.Commit) error {
	if len(c.Ops) == 0 {
		return nil
	}
	for i := range c.Ops {
		if _, err := e.known(c.Ops[i].Table); err != nil {
			return err
		}
	}
	// The writer works on a copy: who has given up waiting may use c again.
	own := &table.Commit{Ops: make([]table.Op, len(c.Ops)), Once: c.Once, Token: c.Token}
	copy(own.Ops, c.Ops)
	if err := e.submit(&job{ctx: ctx, commit: own}); err != nil {
		return err
	}
	for i := range c.Ops {
		c.Ops[i].Version, c.Ops[i].Sums = own.Ops[i].Version, own.Ops[i].Sums
	}
	return nil
}

// Reserve implements table.Store.
func (e *Embedded) Reserve(ctx context.Context, t *table.Spec, n int) (int64, error) {
	if _, err := e.known(t); err != nil {
		return 0, err
	}
	if !t.AutoID || n <= 0 {
		return 0, firefly.InvalidArgument.Errorf("%s: %d numbers of an auto id", t.Name, n)
	}
	j := &job{ctx: ctx, spec: t, n: n}
	if err := e.submit(j); err != nil {
		return 0, err
	}
	return j.first, nil
}

// write is the writer: it takes what waits, executes it in one transaction, and acknowledges it when
// that is on disk.
func (e *Embedded) write() {
	defer close(e.done)
	jobs := make([]*job, 0, batch)
	for j := range e.queue {
		jobs = append(jobs[:0], j)
	more:
		for len(jobs) < batch {
			select {
			case j, ok := <-e.queue:
				if !ok {
					break more
				}
				jobs = append(jobs, j)
			default:
				break more
			}
		}
		e.stats.taken.Add(1)
		e.turn(jobs)
		done := uint64(0)
		for _, j := range jobs {
			switch {
			case j.err != nil:
				e.stats.refused.Add(1)
			case j.commit != nil:
				done++
			}
		}
		e.stats.commits.Add(done)
		e.stats.rate.add(time.Now(), done)
		for _, j := range jobs {
			close(j.done)
		}
	}
}

// turn executes jobs in one transaction. The error of a job is its own; when the transaction fails, that of
// all: what was judged in it may have been judged by what is not there now.
func (e *Embedded) turn(jobs []*job) {
	ctx := context.Background()
	fail := func(err error) {
		for _, j := range jobs {
			j.err = err
		}
	}
	if _, err := e.wc.ExecContext(ctx, "BEGIN IMMEDIATE"); err != nil {
		fail(firefly.Unavailable.Errorf("the store cannot write: %w", err))
		return
	}
	e.stats.batches.Add(1)
	err := e.promise(ctx)
	for _, j := range jobs {
		if err != nil {
			break
		}
		if !j.mine.CompareAndSwap(false, true) {
			j.err = errGivenUp
			continue
		}
		if j.ctx.Err() != nil {
			j.err = firefly.Unavailable.Errorf("the deadline passed before the store began: %w", j.ctx.Err())
			continue
		}
		err = e.execute(ctx, j)
	}
	unsure := false
	if err == nil {
		if _, err = e.wc.ExecContext(ctx, "COMMIT"); err == nil {
			return
		}
		unsure = !cut(err)
	}
	_, _ = e.wc.ExecContext(ctx, "ROLLBACK") // fails when SQLite has rolled back by itself
	e.promised, e.purged = 0, time.Time{}    // what was noted of them may be gone
	if unsure {
		// Whether the disk has it shows when the file is opened the next time.
		for _, j := range jobs {
			if j.err == nil {
				j.err = firefly.Unknown.Errorf("the store could not finish writing: %w", err)
			}
		}
		return
	}
	fail(firefly.Unavailable.Errorf("the store cannot write: %w", err))
}

// errGivenUp is that of a job that nobody waits for; nobody hears it.
var errGivenUp = errors.New("nobody waits for it")

// cut reports whether a COMMIT failed before its end was written: the disk was full, a write failed, or the
// file was busy. Then no later opening of the file finds it.
func cut(err error) bool {
	var se *sqlite.Error
	if !errors.As(err, &se) {
		return false
	}
	base := se.Code() & 0xff
	return base == sqlite3.SQLITE_FULL || base == sqlite3.SQLITE_BUSY || se.Code() == sqlite3.SQLITE_IOERR_WRITE
}

// execute does one job inside a savepoint, so that one that is refused leaves no trace. The error given
// back is that of the transaction; the job's own is in the job.
func (e *Embedded) execute(ctx context.Context, j *job) error {
	if _, err := e.wc.ExecContext(ctx, "SAVEPOINT job"); err != nil {
		return err
	}
	err := e.do(ctx, j)
	var fe *firefly.Error
	if err != nil {
		if !errors.As(err, &fe) {
			return err // of the database: nothing in this transaction can be trusted
		}
		j.err = err
		if _, err := e.wc.ExecContext(ctx, "ROLLBACK TO job"); err != nil {
			return err
		}
	}
	_, err = e.wc.ExecContext(ctx, "RELEASE job")
	return err
}

func (e *Embedded) do(ctx context.Context, j *job) (err error) {
	if j.commit != nil {
		return e.commit(ctx, j.commit)
	}
	j.first, err = e.reserve(ctx, j.spec, j.n)
	return err
}

// ahead is for how long versions are promised at a time.
const ahead = 10 * time.Second

// promise sees to it that versions rise over a restart, also when the clock was set back: those that are
// given until the next promise are noted before they are. It also forgets old keys of Once.
func (e *Embedded) promise(ctx context.Context) error {
	now := time.Now()
	if uint64(now.UnixMicro()) > e.high {
		e.high = uint64(now.UnixMicro())
	}
	if e.high+1_000_000 > e.promised {
		p := e.high + uint64(ahead.Microseconds())
		if _, err := e.seqPut.ExecContext(ctx, seqVersion, int64(p)); err != nil {
			return err
		}
		e.promised = p
	}
	if now.Sub(e.purged) > time.Hour {
		if _, err := e.wc.ExecContext(ctx, sqlOncePurge, now.Add(-table.OnceKept).UnixMicro()); err != nil {
			return err
		}
		e.purged = now
	}
	return nil
}
