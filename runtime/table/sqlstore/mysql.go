package sqlstore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"math"
	"strings"
	"sync"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/table"
)

// MySQLOptions are the settings of a MySQL; the zero value works.
type MySQLOptions struct {
	// Readers and Writers bound the connections for reads, and for flushes, commits and numbers; 16 and 8
	// when 0. What finds them all in use waits; loads of single rows that wait are joined in one statement.
	Readers, Writers int
	// Abandoned is how long the database keeps the transaction, and the locks, of a process that has stopped in
	// the middle of it, in whole seconds; 1 minute when 0.
	Abandoned time.Duration
	Log       *slog.Logger // nil: slog.Default
}

// MySQL is the table.Durable of MySQL 8 and MariaDB. Every connection has a strict sql_mode, READ COMMITTED
// and UTC, and is refused when it has not. It owns two pools of connections; Close ends them.
type MySQL struct {
	o      MySQLOptions
	r, w   *sql.DB
	mu     sync.RWMutex // guards tables
	tables map[*table.Spec]*mysqlTable
	packet int // the longest statement, in bytes; set by Start
	gather gatherer
}

// mysqlTable is what a MySQL knows of a table.
type mysqlTable struct {
	spec  *table.Spec
	hints []columnHint
	// exact: the text protocol gives a column less exactly than it is, so rows are read by prepared statements.
	exact bool
	// tells: values of the key are numbers, so the database takes no two of them for the same, as it may with
	// text under the collation of an older schema.
	tells bool

	scanners sync.Pool // *mysqlScanner
	mu       sync.Mutex
	prepared map[string]*sql.Stmt // by text
}

// sqlMode makes the database refuse what it would otherwise cut or turn into something else. Dates of zero
// are let be: older schemas have them.
const sqlMode = "STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION"

// The statements that a connection begins with. The names of variables that MySQL and MariaDB share.
const (
	sqlSession = "SET SESSION sql_mode = '" + sqlMode + "', SESSION time_zone = '+00:00', SESSION innodb_lock_wait_timeout = 10, SESSION lock_wait_timeout = 30, SESSION autocommit = 1"
	sqlWait    = "SET SESSION wait_timeout = ?"
	sqlRC      = "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED"
	sqlVerify  = "SELECT @@SESSION.sql_mode, @@SESSION.time_zone, @@SESSION.innodb_lock_wait_timeout"
)

// OpenMySQL prepares for a database; nothing is sent before Start. dsn is that of go-sql-driver/mysql:
// user:password@tcp(host:port)/database, with at most TLS and timeouts behind it.
func OpenMySQL(dsn string, o MySQLOptions) (*MySQL, error) {
	if o.Readers <= 0 {
		o.Readers = 16
	}
	if o.Writers <= 0 {
		o.Writers = 8
	}
	if o.Abandoned <= 0 {
		o.Abandoned = time.Minute
	}
	o.Abandoned = max(o.Abandoned, time.Second)
	if o.Log == nil {
		o.Log = slog.Default()
	}
	c, err := mysql.ParseDSN(dsn)
	if err != nil {
		return nil, firefly.InvalidArgument.Errorf("the address of the database is no user:password@tcp(host:port)/database") // its text has the password
	}
	if c.DBName == "" {
		return nil, firefly.InvalidArgument.Errorf("the address of the database names no database: user:password@tcp(host:port)/database")
	}
	c.InterpolateParams = true // a statement is one round trip; prepared ones stay what they are
	c.ParseTime, c.Loc = false, time.UTC
	c.ClientFoundRows = false
	c.MultiStatements = false
	c.Collation = "utf8mb4_bin"
	c.Logger = log.New(io.Discard, "", 0) // what it says comes as an error too
	if c.Timeout == 0 {
		c.Timeout = 5 * time.Second
	}
	// Every call has a ctx; these end what hangs without one.
	if c.ReadTimeout == 0 {
		c.ReadTimeout = 2 * time.Minute
	}
	if c.WriteTimeout == 0 {
		c.WriteTimeout = time.Minute
	}
	inner, err := mysql.NewConnector(c)
	if err != nil {
		return nil, firefly.InvalidArgument.Errorf("the database: %w", err)
	}
	m := &MySQL{o: o, tables: map[*table.Spec]*mysqlTable{}, packet: 1 << 20}
	pool := func(size int) *sql.DB {
		db := sql.OpenDB(&sessionConnector{inner, o.Abandoned})
		db.SetMaxOpenConns(size)
		db.SetMaxIdleConns(size)
		db.SetConnMaxIdleTime(o.Abandoned * 4 / 5) // before the database closes it
		db.SetConnMaxLifetime(time.Hour)
		return db
	}
	m.r, m.w = pool(o.Readers), pool(o.Writers)
	m.gather = gatherer{m: m, limit: max(o.Readers*3/4, 1)} // the others are for lists and for many rows
	return m, nil
}

// Forget has the connections that are not in use opened anew, as after a change of rights.
func (m *MySQL) Forget() {
	for db, size := range map[*sql.DB]int{m.r: m.o.Readers, m.w: m.o.Writers} {
		db.SetMaxIdleConns(0)
		db.SetMaxIdleConns(size)
	}
}

// Close ends all connections.
func (m *MySQL) Close() error {
	return errors.Join(m.r.Close(), m.w.Close())
}

// sessionConnector gives connections whose session is as it must be.
type sessionConnector struct {
	driver.Connector
	abandoned time.Duration
}

func (s *sessionConnector) Connect(ctx context.Context) (driver.Conn, error) {
	c, err := s.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	if err := setSession(ctx, c, s.abandoned); err != nil {
		_ = c.Close()
		return nil, err
	}
	return c, nil
}

func setSession(ctx context.Context, c driver.Conn, abandoned time.Duration) error {
	x, q := c.(driver.ExecerContext), c.(driver.QueryerContext)
	for _, s := range []string{sqlSession, sqlRC} {
		if _, err := x.ExecContext(ctx, s, nil); err != nil {
			return fmt.Errorf("%s: %w", s, err)
		}
	}
	if _, err := x.ExecContext(ctx, sqlWait, []driver.NamedValue{{Ordinal: 1, Value: int64(abandoned / time.Second)}}); err != nil {
		return fmt.Errorf("%s: %w", sqlWait, err)
	}
	rows, err := q.QueryContext(ctx, sqlVerify, nil)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	got := make([]driver.Value, 3)
	if err := rows.Next(got); err != nil {
		return err
	}
	mode, zone, wait := driverText(got[0]), driverText(got[1]), driverText(got[2])
	if !strings.Contains(mode, "STRICT_ALL_TABLES") || zone != "+00:00" || wait != "10" {
		return fmt.Errorf("the session has sql_mode %s, time_zone %s, innodb_lock_wait_timeout %s in spite of being set; a proxy that shares sessions does not do", mode, zone, wait)
	}
	return nil
}

func driverText(v driver.Value) string {
	if b, ok := v.([]byte); ok {
		return string(b)
	}
	return fmt.Sprint(v)
}

func (m *MySQL) table(t *table.Spec) (*mysqlTable, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if mt := m.tables[t]; mt != nil {
		return mt, nil
	}
	return nil, firefly.FailedPrecondition.Errorf("the store was started without the table %s", t.Name)
}

// add makes a table known.
func (m *MySQL) add(t *table.Spec) *mysqlTable {
	mt := &mysqlTable{spec: t, tells: true, prepared: map[string]*sql.Stmt{}}
	for i := range t.Columns {
		h := hintOf(t, i)
		mt.hints = append(mt.hints, h)
		mt.exact = mt.exact || h.float
	}
	for _, c := range t.Key {
		mt.tells = mt.tells && (t.Columns[c].Kind == table.Int || t.Columns[c].Kind == table.Uint)
	}
	mt.scanners.New = func() any { return newMySQLScanner(mt) }
	m.mu.Lock()
	defer m.mu.Unlock()
	if old := m.tables[t]; old != nil {
		return old
	}
	m.tables[t] = mt
	return mt
}

// stmt is the prepared statement of a text; there are few per table.
func (m *MySQL) stmt(ctx context.Context, mt *mysqlTable, text string) (*sql.Stmt, error) {
	mt.mu.Lock()
	s := mt.prepared[text]
	mt.mu.Unlock()
	if s != nil {
		return s, nil
	}
	s, err := m.r.PrepareContext(ctx, text)
	if err != nil {
		return nil, err
	}
	mt.mu.Lock()
	defer mt.mu.Unlock()
	if old := mt.prepared[text]; old != nil {
		_ = s.Close()
		return old, nil
	}
	mt.prepared[text] = s
	return s, nil
}

// noLimit is LIMIT for all rows.
const noLimit = int64(math.MaxInt64)
