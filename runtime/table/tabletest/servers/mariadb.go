package servers

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
)

// The account that games use in tests: it may do everything with its tables, and cannot write to a
// read-only server.
const user, password = "game", "game"

// MariaDB is a MariaDB server. Its commits are on disk when they are answered.
type MariaDB struct {
	*Server
	next atomic.Int64 // of the names of databases
}

// StartMariaDB makes a new server with its data in dir, which exists. args go behind the program's own.
func StartMariaDB(dir string, args ...string) (*MariaDB, error) {
	data := filepath.Join(dir, "data")
	// An account with all rights on tables and none on the server.
	init := filepath.Join(dir, "init.sql")
	rights := "SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, ALTER, INDEX, REFERENCES, LOCK TABLES"
	text := "CREATE USER IF NOT EXISTS '" + user + "'@'%' IDENTIFIED BY '" + password + "';\n" +
		"GRANT " + rights + " ON *.* TO '" + user + "'@'%';\n" +
		"CREATE USER IF NOT EXISTS 'root'@'127.0.0.1';\nGRANT ALL ON *.* TO 'root'@'127.0.0.1' WITH GRANT OPTION;\n"
	if err := os.WriteFile(init, []byte(text), 0o600); err != nil {
		return nil, err
	}
	asRoot := []string{}
	if os.Getuid() == 0 {
		asRoot = append(asRoot, "--user=root")
	}
	install := exec.Command("mariadb-install-db", append([]string{"--no-defaults", "--datadir=" + data,
		"--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve"}, asRoot...)...)
	if out, err := install.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("mariadb-install-db: %w: %s", err, out)
	}
	port, err := FreePort()
	if err != nil {
		return nil, err
	}
	m := &MariaDB{Server: &Server{Port: port, name: find("mariadbd"), log: filepath.Join(dir, "log")}}
	m.args = append([]string{"--no-defaults", "--datadir=" + data, "--port=" + strconv.Itoa(port), "--bind-address=127.0.0.1",
		// A path of a socket is short, and dir need not be.
		"--socket=" + filepath.Join(os.TempDir(), fmt.Sprintf("ff-maria-%d-%d.sock", os.Getpid(), port)),
		"--pid-file=" + filepath.Join(dir, "pid"), "--tmpdir=" + dir, "--init-file=" + init, "--skip-name-resolve",
		"--innodb-flush-log-at-trx-commit=1", "--innodb-buffer-pool-size=64M", "--innodb-log-file-size=48M",
		"--performance-schema=OFF", "--max-connections=400", "--innodb-buffer-pool-load-at-startup=OFF"}, asRoot...)
	m.args = append(m.args, args...)
	m.ping = func() error {
		db, err := m.open(m.RootDSN(""))
		if err != nil {
			return err
		}
		defer func() { _ = db.Close() }()
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		return db.PingContext(ctx)
	}
	return m, m.Start()
}

func (m *MariaDB) open(dsn string) (*sql.DB, error) {
	c, err := mysql.ParseDSN(dsn)
	if err != nil {
		return nil, err
	}
	c.Logger = log.New(io.Discard, "", 0)
	conn, err := mysql.NewConnector(c)
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(conn), nil
}

// DSN is how go-sql-driver/mysql reaches a database with the account of games.
func (m *MariaDB) DSN(database string) string {
	return user + ":" + password + "@tcp(" + m.Addr() + ")/" + database
}

// RootDSN is the same with the account that may do everything.
func (m *MariaDB) RootDSN(database string) string { return "root@tcp(" + m.Addr() + ")/" + database }

// Database makes an empty database for the test, gives its name, and drops it afterwards when the server
// is up.
func (m *MariaDB) Database(t testing.TB) string {
	t.Helper()
	name := fmt.Sprintf("t%d", m.next.Add(1))
	m.Exec(t, "", "CREATE DATABASE "+name)
	t.Cleanup(func() {
		db, err := m.open(m.RootDSN(""))
		if err != nil || !m.Running() {
			return
		}
		defer func() { _ = db.Close() }()
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		_, _ = db.ExecContext(ctx, "SET lock_wait_timeout = 5")
		_, _ = db.ExecContext(ctx, "DROP DATABASE "+name)
	})
	return name
}

// Open is a pool of connections with all rights, which the test closes by ending.
func (m *MariaDB) Open(t testing.TB, database string) *sql.DB {
	t.Helper()
	db, err := m.open(m.RootDSN(database))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// Exec runs statements one by one with all rights.
func (m *MariaDB) Exec(t testing.TB, database string, statements ...string) {
	t.Helper()
	db, err := m.open(m.RootDSN(database))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	for _, s := range statements {
		if _, err := db.ExecContext(t.Context(), s); err != nil {
			t.Fatalf("%v in %s", err, s)
		}
	}
}

// NewMariaDB is a server of the test alone; the test is skipped where the program is missing, but not when the
// environment has CI.
func NewMariaDB(t testing.TB, args ...string) *MariaDB {
	t.Helper()
	needs(t, "mariadbd")
	m, err := StartMariaDB(t.TempDir(), args...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Kill)
	return m
}
