package servers

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
)

// NewSentinel is a sentinel of the test alone, which watches the server at a port of this host as name and
// makes a replica the master when it is away for milliseconds.
func NewSentinel(t testing.TB, name string, master, milliseconds int) *Server {
	t.Helper()
	needs(t, "redis-server")
	dir := t.TempDir()
	port, err := FreePort()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "sentinel.conf")
	text := fmt.Sprintf("port %d\nbind 127.0.0.1\ndir %s\nsentinel monitor %s 127.0.0.1 %d 1\n"+
		"sentinel down-after-milliseconds %s %d\nsentinel failover-timeout %s 10000\n", port, dir, name, master, name, milliseconds, name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s := &Server{Port: port, name: find("redis-server"), log: filepath.Join(dir, "sentinel.log"), args: []string{file, "--sentinel"}}
	s.ping = (&Redis{Server: s}).pong
	if err := s.Start(); err != nil {
		t.Fatal(err, strconv.Quote(s.tail()))
	}
	t.Cleanup(s.Kill)
	return s
}
