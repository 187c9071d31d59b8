package redisconn

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"
)

// loading is a server that takes connections and answers like one that still reads its data.
func loading(t *testing.T) (addr string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	serve := func(c net.Conn) {
		defer func() { _ = c.Close() }()
		r := bufio.NewReader(c)
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				return
			}
			n, _ := strconv.Atoi(strings.TrimSpace(line[1:]))
			args := make([]string, n)
			for i := range args {
				if line, err = r.ReadString('\n'); err != nil {
					return
				}
				size, _ := strconv.Atoi(strings.TrimSpace(line[1:]))
				b := make([]byte, size+2)
				if _, err := io.ReadFull(r, b); err != nil {
					return
				}
				args[i] = string(b[:size])
			}
			reply := "-LOADING Redis is loading the dataset in memory\r\n"
			switch strings.ToLower(args[0]) {
			case "hello":
				reply = "-ERR unknown command\r\n"
			case "info":
				text := "run_id:1\r\nmaster_replid:2\r\n"
				reply = fmt.Sprintf("$%d\r\n%s\r\n", len(text), text)
			}
			if _, err := io.WriteString(c, reply); err != nil {
				return
			}
		}
	}
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { serve(c) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		wg.Wait()
	})
	return l.Addr().String()
}

// Commands that never left, since their connection could not be set up, each have an error and surely were not
// executed.
func TestLoading(t *testing.T) {
	c, err := Open(Options{URL: "redis://" + loading(t)}, []Script{{Name: "x", Text: "return 1"}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	read := func() redis.Cmder { return redis.NewRawCmd(t.Context(), "get", "x") }
	if err := c.one.Read(t.Context(), read()); err == nil || FateOf(err) != Refused {
		t.Errorf("alone: %v", err)
	}
	p := c.one.Client.Pipeline()
	together := []redis.Cmder{read(), read()}
	for _, cmd := range together {
		_ = p.Process(t.Context(), cmd)
	}
	if _, err := p.Exec(t.Context()); err == nil {
		t.Error("the pipeline has no error")
	}
	for _, cmd := range together {
		if err := cmd.Err(); err == nil || FateOf(err) != Refused {
			t.Errorf("together: %v", err)
		}
	}
}
