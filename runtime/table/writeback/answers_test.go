package writeback_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// answers is a server that answers a first script in a way of its own, and to a second one that there is no
// such row.
type answers struct {
	l      net.Listener
	first  string // error to answer; "": nothing at all
	mu     sync.Mutex
	n      int
	conns  []net.Conn
	ending bool
	wg     sync.WaitGroup
}

func newAnswers(t *testing.T, first string) *answers {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &answers{l: l, first: first}
	s.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.conns = append(s.conns, c)
			if s.ending {
				_ = c.Close()
			}
			s.mu.Unlock()
			s.wg.Go(func() { s.serve(c) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		s.mu.Lock()
		s.ending = true
		for _, c := range s.conns {
			_ = c.Close()
		}
		s.mu.Unlock()
		s.wg.Wait()
	})
	return s
}

func (s *answers) addr() string { return s.l.Addr().String() }

func (s *answers) commits() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.n
}

func (s *answers) serve(c net.Conn) {
	r := bufio.NewReader(c)
	for {
		args, err := request(r)
		if err != nil {
			return
		}
		reply := "+OK\r\n"
		switch strings.ToLower(args[0]) {
		case "hello":
			reply = "-ERR unknown command\r\n"
		case "info":
			text := "run_id:1\r\nmaster_replid:2\r\n"
			reply = fmt.Sprintf("$%d\r\n%s\r\n", len(text), text)
		case "script":
			reply = "$1\r\nx\r\n"
		case "evalsha":
			s.mu.Lock()
			s.n++
			n := s.n
			s.mu.Unlock()
			switch {
			case n == 1 && s.first == "":
				continue
			case n == 1:
				reply = "-" + s.first + "\r\n"
			default:
				reply = "*2\r\n$8\r\nNOTFOUND\r\n:1\r\n"
			}
		}
		if _, err := io.WriteString(c, reply); err != nil {
			return
		}
	}
}

// request reads a command.
func request(r *bufio.Reader) ([]string, error) {
	number := func() (int, error) {
		line, err := r.ReadString('\n')
		if err != nil {
			return 0, err
		}
		return strconv.Atoi(strings.TrimSpace(line[1:]))
	}
	n, err := number()
	if err != nil {
		return nil, err
	}
	args := make([]string, n)
	for i := range args {
		size, err := number()
		if err != nil {
			return nil, err
		}
		b := make([]byte, size+2)
		if _, err := io.ReadFull(r, b); err != nil {
			return nil, err
		}
		args[i] = string(b[:size])
	}
	return args, nil
}

func (r *rig) client(addr string) *redis.Client {
	return redis.NewClient(&redis.Options{Addr: addr, MaxRetries: -1})
}

// infoOf is a field of what INFO says.
func infoOf(info, field string) string {
	for line := range strings.Lines(info) {
		if v, ok := strings.CutPrefix(line, field+":"); ok {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

// until waits for a condition.
func (r *rig) until(cond func() bool) {
	r.Helper()
	for end := time.Now().Add(30 * time.Second); !cond(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			r.Fatal("it did not happen in 30 s")
		}
	}
}
