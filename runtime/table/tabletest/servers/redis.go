package servers

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Redis is a Redis server with an append-only file.
type Redis struct {
	*Server
	dir string
}

// StartRedis makes a server with its data in dir, which exists. fsync is what appendfsync says: always,
// everysec or no. args go behind the program's own: "--maxmemory", "64mb".
func StartRedis(dir, fsync string, args ...string) (*Redis, error) {
	port, err := FreePort()
	if err != nil {
		return nil, err
	}
	r := &Redis{Server: &Server{Port: port, name: find("redis-server"), log: filepath.Join(dir, "redis.log")}, dir: dir}
	r.args = append([]string{"--port", strconv.Itoa(port), "--bind", "127.0.0.1", "--dir", dir, "--appendonly", "yes",
		"--appendfsync", fsync, "--save", "", "--auto-aof-rewrite-percentage", "0", "--daemonize", "no"}, args...)
	r.ping = r.pong
	return r, r.Start()
}

// pong asks whether the server has loaded its data.
func (r *Redis) pong() error {
	c, err := net.DialTimeout("tcp", r.Addr(), time.Second)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(2 * time.Second))
	if _, err := c.Write([]byte("PING\r\n")); err != nil {
		return err
	}
	line, err := bufio.NewReader(c).ReadString('\n')
	if err == nil && !strings.HasPrefix(line, "+PONG") {
		err = errors.New(strings.TrimSpace(line))
	}
	return err
}

// AOF is the file that grows with every write, and its size.
func (r *Redis) AOF() (file string, size int64, err error) {
	files, err := filepath.Glob(filepath.Join(r.dir, "appendonlydir", "*.incr.aof"))
	if err != nil || len(files) == 0 {
		return "", 0, fmt.Errorf("no append-only file in %s: %w", r.dir, err)
	}
	number := func(file string) int {
		parts := strings.Split(filepath.Base(file), ".")
		n, _ := strconv.Atoi(parts[len(parts)-3])
		return n
	}
	file = slices.MaxFunc(files, func(a, b string) int { return number(a) - number(b) })
	st, err := os.Stat(file)
	if err != nil {
		return "", 0, err
	}
	return file, st.Size(), nil
}

// CutAOF takes the last n bytes off the append-only file of a server that is not running, as a crash of its
// host does with what was not synced.
func (r *Redis) CutAOF(n int64) error {
	if r.Running() {
		return errors.New("the server runs")
	}
	file, size, err := r.AOF()
	if err != nil {
		return err
	}
	return os.Truncate(file, max(size-n, 0))
}

// GoBack kills the server and starts it again with its append-only file as it was when it was size bytes long:
// what it acknowledged later is forgotten, as after a crash of its host. An error when nothing was written since.
func (r *Redis) GoBack(size int64) error {
	r.Kill()
	_, now, err := r.AOF()
	if err == nil && now <= size {
		err = fmt.Errorf("the file has %d bytes, and is to go back to %d", now, size)
	}
	if err == nil {
		err = r.CutAOF(now - size)
	}
	return errors.Join(err, r.Start())
}

// NewRedis is a server of the test alone; the test is skipped where the program is missing, but not when the
// environment has CI.
func NewRedis(t testing.TB, fsync string, args ...string) *Redis {
	t.Helper()
	needs(t, "redis-server")
	r, err := StartRedis(t.TempDir(), fsync, args...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Kill)
	return r
}
