package main

import (
	"context"
	"database/sql"
	"os"
	"strings"
	"testing"

	"github.com/firefly-go/firefly/runtime/table/tabletest/servers"
)

var maria servers.Shared

func TestMain(m *testing.M) {
	code := m.Run()
	maria.Close()
	os.Exit(code)
}

// mariaDB makes an empty database and gives its name for --mysql.
func mariaDB(t *testing.T) (*sql.DB, string) {
	t.Helper()
	m := maria.Get(t)
	name := m.Database(t)
	return m.Open(t, name), m.RootDSN(name)
}

// execFile runs a file of statements, one a line.
func execFile(t *testing.T, db *sql.DB, text string) {
	t.Helper()
	con, err := db.Conn(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer con.Close()
	for l := range strings.Lines(text) {
		l = strings.TrimSpace(l)
		if l == "" || strings.HasPrefix(l, "--") {
			continue
		}
		if !strings.HasSuffix(l, ";") {
			t.Fatalf("a line is no statement: %s", l)
		}
		if _, err := con.ExecContext(context.Background(), strings.TrimSuffix(l, ";")); err != nil {
			t.Fatalf("%v: %s", err, l)
		}
	}
}
