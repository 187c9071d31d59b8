package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/table"
)

// EmbeddedOptions are the settings of an Embedded; the zero value works.
type EmbeddedOptions struct {
	// Ephemeral: nothing has to survive the process, as in tests. The file is not synced.
	Ephemeral bool
	// Queue is how many commits may wait; 10000 when 0. Beyond that they are OVERLOADED.
	Queue int
	// Migrations are those of the game, see Migrations; nil: it has none. A new file gets them all, and those
	// that only add are executed; OpenEmbedded refuses a file that waits for others: MigrateEmbedded.
	Migrations fs.FS
	Log        *slog.Logger // nil: slog.Default
}

// Embedded is a table.Store over one SQLite file that this process owns. A commit is acknowledged
// when it is on disk; commits that come while one is written share the next write.
//
// It owns one goroutine, which writes; Close ends it.
type Embedded struct {
	o     EmbeddedOptions
	file  string
	lock  *os.File
	specs map[*table.Spec]*prepared
	r     *sql.DB // readers
	w     *sql.DB // one connection, the writer's
	wc    *sql.Conn

	queue  chan *job
	done   chan struct{} // the writer has ended
	mu     sync.RWMutex  // guards closed against queue being closed
	closed bool

	high     uint64 // the last version; the writer's
	promised uint64 // no version up to here is given after a restart; the writer's
	purged   time.Time
	writerStmts
	stats embeddedStats
}

type embeddedStats struct {
	commits, batches, refused atomic.Uint64
	taken                     atomic.Uint64 // turns of the writer that began
	rate                      rate
}

// rate counts what was done in each of the last seconds.
type rate struct {
	mu      sync.Mutex
	seconds [rateSeconds + 2]struct {
		at int64
		n  uint64
	}
}

// rateSeconds is the time over which a rate is the mean.
const rateSeconds = 5

func (r *rate) add(now time.Time, n uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	at := now.Unix()
	s := &r.seconds[at%int64(len(r.seconds))]
	if s.at != at {
		s.at, s.n = at, 0
	}
	s.n += n
}

// perSecond is the mean of the last whole seconds.
func (r *rate) perSecond(now time.Time) float64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	sum := uint64(0)
	for i := range r.seconds {
		if s := &r.seconds[i]; s.at < now.Unix() && s.at >= now.Unix()-rateSeconds {
			sum += s.n
		}
	}
	return float64(sum) / rateSeconds
}

// EmbeddedStats is a glance at an Embedded.
type EmbeddedStats struct {
	Commits   uint64  // executed
	PerSecond float64 // commits, over the last five seconds
	Batches   uint64  // transactions of SQLite that they took
	Refused   uint64  // commits that failed
	Waiting   int     // in the queue now
	File      string
	Bytes     int64 // of the file and its log
}

// prepared are the statements of one table: g for readers, and those of the writer.
type prepared struct {
	get, wget, upsert, del *sql.Stmt
	find, findAfter        []*sql.Stmt
}

// writerStmts are those of the system tables.
type writerStmts struct {
	onceGet, oncePut, seqGet, seqPut *sql.Stmt
}

// SystemSQLite makes the tables of the embedded store itself.
const SystemSQLite = "CREATE TABLE IF NOT EXISTS `ff_seq` (`tbl` TEXT NOT NULL PRIMARY KEY, `next` INTEGER NOT NULL) WITHOUT ROWID;\n" +
	"CREATE TABLE IF NOT EXISTS `ff_once` (`place` TEXT NOT NULL, `once` TEXT NOT NULL, `token` INTEGER NOT NULL, `at` INTEGER NOT NULL, PRIMARY KEY (`place`, `once`)) WITHOUT ROWID;\n"

const (
	sqlOnceGet   = "SELECT `token` FROM `ff_once` WHERE `place` = ? AND `once` = ?"
	sqlOncePut   = "INSERT INTO `ff_once` (`place`, `once`, `token`, `at`) VALUES (?, ?, ?, ?)"
	sqlOncePurge = "DELETE FROM `ff_once` WHERE `at` < ?"
	sqlSeqGet    = "SELECT `next` FROM `ff_seq` WHERE `tbl` = ?"
	sqlSeqPut    = "INSERT INTO `ff_seq` (`tbl`, `next`) VALUES (?, ?) ON CONFLICT (`tbl`) DO UPDATE SET `next` = excluded.`next`"
)

// seqVersion is the row of ff_seq with the version that was promised; no table has this name.
const seqVersion = "ff_v"

// OpenEmbedded opens the file, or makes it, with the tables of specs. What specs have more than the file
// - tables, columns, indexes - is added; what they have otherwise is refused. ctx bounds the start.
func OpenEmbedded(ctx context.Context, file string, specs []*table.Spec, o EmbeddedOptions) (*Embedded, error) {
	if o.Queue <= 0 {
		o.Queue = 10000
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return nil, err
	}
	lock, err := lockFile(file + ".lock")
	if err != nil {
		return nil, err
	}
	e := &Embedded{o: o, file: file, lock: lock, specs: map[*table.Spec]*prepared{}, queue: make(chan *job, o.Queue), done: make(chan struct{})}
	if err := e.open(ctx, specs); err != nil {
		e.release()
		return nil, fmt.Errorf("store %s: %w", file, err)
	}
	go e.write()
	return e, nil
}

func (e *Embedded) open(ctx context.Context, specs []*table.Spec) (err error) {
	sync := "FULL"
	if e.o.Ephemeral {
		sync = "OFF"
	}
	name := sqliteURL(e.file)
	pragmas := "?_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(" + sync + ")&_pragma=foreign_keys(0)"
	if e.w, err = sql.Open("sqlite", name+pragmas); err != nil {
		return err
	}
	e.w.SetMaxOpenConns(1)
	if e.wc, err = e.w.Conn(ctx); err != nil {
		return err
	}
	if err := execAll(ctx, e.wc, SystemSQLite); err != nil {
		return err
	}
	if e.o.Migrations != nil {
		m, err := NewMigrator(e.wc, DialectSQLite, e.o.Migrations, e.o.Log)
		if err == nil {
			err = m.settle(ctx)
		}
		if err != nil {
			return err
		}
	}
	for _, t := range specs {
		if err := e.ensure(ctx, t); err != nil {
			return err
		}
	}
	if e.r, err = sql.Open("sqlite", name+pragmas+"&_pragma=query_only(1)"); err != nil {
		return err
	}
	e.r.SetMaxOpenConns(8)
	e.r.SetMaxIdleConns(8)
	for _, t := range specs {
		if e.specs[t], err = e.prepare(ctx, t); err != nil {
			return fmt.Errorf("table %s: %w", t.Name, err)
		}
	}
	for _, s := range []struct {
		to   **sql.Stmt
		text string
	}{{&e.onceGet, sqlOnceGet}, {&e.oncePut, sqlOncePut}, {&e.seqGet, sqlSeqGet}, {&e.seqPut, sqlSeqPut}} {
		if *s.to, err = e.wc.PrepareContext(ctx, s.text); err != nil {
			return err
		}
	}
	var promised int64
	if err := e.seqGet.QueryRowContext(ctx, seqVersion).Scan(&promised); err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	e.promised = uint64(promised)
	e.high = max(e.promised, uint64(time.Now().UnixMicro()))
	return nil
}

func (e *Embedded) prepare(ctx context.Context, t *table.Spec) (*prepared, error) {
	q := &t.SQLite
	p := &prepared{find: make([]*sql.Stmt, len(t.Indexes)), findAfter: make([]*sql.Stmt, len(t.Indexes))}
	var errs []error
	on := func(c interface {
		PrepareContext(context.Context, string) (*sql.Stmt, error)
	}, text string) *sql.Stmt {
		s, err := c.PrepareContext(ctx, text)
		if err != nil {
			errs = append(errs, fmt.Errorf("%w in %s", err, text))
		}
		return s
	}
	p.get, p.wget = on(e.r, q.Get), on(e.wc, q.Get)
	p.upsert = on(e.wc, q.Upsert+q.UpsertRow+q.UpsertEnd)
	p.del = on(e.wc, q.Delete+q.DeleteRow)
	for i := range t.Indexes {
		p.find[i], p.findAfter[i] = on(e.r, q.Find[i]), on(e.r, q.FindAfter[i])
	}
	return p, errors.Join(errs...)
}

// sqliteURL names a file for the driver.
func sqliteURL(file string) string {
	return (&url.URL{Scheme: "file", Opaque: strings.ReplaceAll(url.PathEscape(file), "%2F", "/")}).String()
}

// execAll executes statements that end with ";\n".
func execAll(ctx context.Context, c *sql.Conn, text string) error {
	for s := range strings.SplitSeq(text, ";\n") {
		if strings.TrimSpace(s) == "" {
			continue
		}
		if _, err := c.ExecContext(ctx, s); err != nil {
			return fmt.Errorf("%w in %s", err, s)
		}
	}
	return nil
}

// Stats may be called at any time.
func (e *Embedded) Stats() EmbeddedStats {
	s := EmbeddedStats{
		Commits: e.stats.commits.Load(), PerSecond: e.stats.rate.perSecond(time.Now()), Batches: e.stats.batches.Load(),
		Refused: e.stats.refused.Load(), Waiting: len(e.queue), File: e.file,
	}
	for _, name := range []string{e.file, e.file + "-wal"} {
		if f, err := os.Stat(name); err == nil {
			s.Bytes += f.Size()
		}
	}
	return s
}

// Close finishes what waits and lets the file go. Reads and commits that come later are UNAVAILABLE.
func (e *Embedded) Close() error {
	e.mu.Lock()
	if e.closed {
		e.mu.Unlock()
		<-e.done
		return nil
	}
	e.closed = true
	close(e.queue)
	e.mu.Unlock()
	<-e.done
	return e.release()
}

func (e *Embedded) release() error {
	var errs []error
	if e.wc != nil {
		errs = append(errs, e.wc.Close())
	}
	for _, db := range []*sql.DB{e.r, e.w} {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	errs = append(errs, e.lock.Close())
	return errors.Join(errs...)
}

var errClosed = firefly.Unavailable.Errorf("the store is closed")

// known are the statements of a table.
func (e *Embedded) known(t *table.Spec) (*prepared, error) {
	if p := e.specs[t]; p != nil {
		return p, nil
	}
	return nil, firefly.FailedPrecondition.Errorf("the store was opened without the table %s", t.Name)
}

// Read implements table.Store.
func (e *Embedded) Read(ctx context.Context, refs []table.Ref, out []table.Row) error {
	var s *scanner
	for i, ref := range refs {
		p, err := e.known(ref.Table)
		if err != nil {
			return err
		}
		if s == nil || s.spec != ref.Table {
			s = newScanner(ref.Table)
		}
		if out[i], err = readRow(ctx, p.get, s, ref); err != nil {
			return readError(ctx, err)
		}
		if out[i].Place != ref.Place { // a row that lies elsewhere is not there
			out[i] = table.Row{Ref: ref}
		}
	}
	return nil
}

// readRow reads the row with the key of ref, wherever it lies; Version 0 when there is none.
func readRow(ctx context.Context, get *sql.Stmt, s *scanner, ref table.Ref) (table.Row, error) {
	key, err := ref.Table.Values(ref.Key)
	if err != nil {
		return table.Row{}, err
	}
	row, err := s.scan(get.QueryRowContext(ctx, args(make([]any, 0, 4), key)...))
	if errors.Is(err, sql.ErrNoRows) {
		return table.Row{Ref: ref}, nil
	}
	return row, err
}

// readError is what a caller hears of a read that failed.
func readError(ctx context.Context, err error) error {
	var fe *firefly.Error
	switch {
	case errors.As(err, &fe):
		return err
	case ctx.Err() != nil:
		return firefly.DeadlineExceeded.Errorf("the store did not answer in time: %w", err)
	}
	return firefly.Unavailable.Errorf("the store cannot read: %w", err)
}

// Find implements table.Store.
func (e *Embedded) Find(ctx context.Context, q *table.Query) ([]table.Row, error) {
	p, err := e.known(q.Table)
	if err != nil {
		return nil, err
	}
	stmt, as := p.find[q.Index], args(make([]any, 0, 8), q.By)
	if q.After != "" {
		key, err := q.Table.Values(q.After)
		if err != nil {
			return nil, firefly.InvalidArgument.Errorf("%v", err)
		}
		stmt, as = p.findAfter[q.Index], args(as, key)
	}
	limit := -1
	if q.Limit > 0 {
		limit = q.Limit
	}
	rows, err := stmt.QueryContext(ctx, append(as, limit)...)
	if err != nil {
		return nil, readError(ctx, err)
	}
	defer rows.Close()
	s := newScanner(q.Table)
	var out []table.Row
	for rows.Next() {
		row, err := s.scan(rows)
		if err != nil {
			return nil, readError(ctx, err)
		}
		out = append(out, row)
	}
	if err := rows.Err(); err != nil {
		return nil, readError(ctx, err)
	}
	return out, nil
}
