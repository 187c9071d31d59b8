package servers

import (
	"bufio"
	"context"
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

var maria Shared

func TestMain(m *testing.M) {
	code := m.Run()
	maria.Close()
	os.Exit(code)
}

// What was committed is there after kill -9, and a paused server answers nobody until it goes on.
func TestMariaDB(t *testing.T) {
	m := maria.Get(t)
	name := m.Database(t)
	m.Exec(t, name, "CREATE TABLE a (b INT)", "INSERT INTO a VALUES (7)")
	m.Kill()
	if m.Running() {
		t.Error("it runs after kill")
	}
	if err := m.Start(); err != nil {
		t.Fatal(err)
	}
	db := m.Open(t, name)
	var n int
	if err := db.QueryRow("SELECT b FROM a").Scan(&n); err != nil || n != 7 {
		t.Errorf("%d, %v", n, err)
	}
	m.Pause()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if err := db.QueryRowContext(ctx, "SELECT b FROM a").Scan(&n); err == nil {
		t.Error("a paused server answers")
	}
	m.Resume()
	if err := db.QueryRowContext(t.Context(), "SELECT b FROM a").Scan(&n); err != nil {
		t.Error(err)
	}
}

func ask(t *testing.T, addr, line string) (string, error) {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := c.Write([]byte(line + "\r\n")); err != nil {
		return "", err
	}
	s, err := bufio.NewReader(c).ReadString('\n')
	return strings.TrimSpace(s), err
}

// A cut tail of the append-only file is a lost write; a lost reply is a write that was done.
func TestRedis(t *testing.T) {
	r := NewRedis(t, "always")
	p := NewProxy(t, r.Addr())
	say := func(line, want string) {
		t.Helper()
		if got, err := ask(t, p.Addr(), line); err != nil || got != want {
			t.Errorf("%s: %q, %v; want %q", line, got, err, want)
		}
	}
	say("SET a 1", "+OK")
	_, before, err := r.AOF()
	if err != nil {
		t.Fatal(err)
	}
	lost := p.Lose("a 2", LoseReply)
	if got, err := ask(t, p.Addr(), "SET a 2"); err == nil {
		t.Errorf("a lost reply came: %q", got)
	}
	<-lost
	lost = p.Lose("a 3", LoseRequest)
	if got, err := ask(t, p.Addr(), "SET a 3"); err == nil {
		t.Errorf("a lost request was answered: %q", got)
	}
	<-lost
	say("STRLEN a", ":1")
	say("INCRBY a 0", ":2")
	r.Kill()
	if err := r.Start(); err != nil {
		t.Fatal(err)
	}
	say("INCRBY a 0", ":2")
	r.Kill()
	_, size, err := r.AOF()
	if err != nil {
		t.Fatal(err)
	}
	if err := r.CutAOF(size - before); err != nil {
		t.Fatal(err)
	}
	if err := r.Start(); err != nil {
		t.Fatal(err)
	}
	say("INCRBY a 0", ":1")
}
