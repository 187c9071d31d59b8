package master

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func startAdmin(t *testing.T) (*admin, Client) {
	t.Helper()
	a := &admin{
		token: "right", log: slog.New(slog.DiscardHandler), logs: Logs{t.TempDir()},
		status:  func() []Process { return []Process{{Name: "master", Roles: []string{}, State: StateReady}} },
		stop:    func() {},
		restart: func(n string) bool { return n == "world-1" },
		tables: func(_ context.Context, node string, ask []byte) []Answer {
			return []Answer{{Node: "store" + node, Body: ask}, {Node: "store-2", Error: "away"}}
		},
		stopped: make(chan struct{}),
	}
	if err := a.listen("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	a.serve()
	t.Cleanup(a.close)
	return a, Client{a.ln.Addr().String(), "right"}
}

func TestAdminGuard(t *testing.T) {
	_, c := startAdmin(t)
	ps, err := c.Status(t.Context())
	if err != nil || len(ps) != 1 || ps[0].Name != "master" {
		t.Fatalf("%v %v", ps, err)
	}
	if _, err := (Client{c.Addr, "wrong"}).Status(t.Context()); err == nil || !strings.Contains(err.Error(), "401") {
		t.Errorf("a wrong token: %v", err)
	}
	if err := (Client{c.Addr, ""}).Stop(t.Context()); err == nil || !strings.Contains(err.Error(), "401") {
		t.Errorf("stop without a token: %v", err)
	}
	req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+c.Addr+"/v1/status", http.NoBody)
	req.Header.Set("Authorization", "Bearer right")
	req.Host = "evil.example:7790"
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode != http.StatusMisdirectedRequest {
		t.Errorf("another Host: %s", res.Status)
	}
	if err := c.Restart(t.Context(), "world-1"); err != nil {
		t.Error(err)
	}
	if as, err := c.Tables(t.Context(), "-1", []byte(`{"do":"x"}`)); err != nil || len(as) != 2 || as[0].Node != "store-1" || string(as[0].Body) != `{"do":"x"}` || as[1].Error != "away" {
		t.Errorf("%+v %v", as, err)
	}
	if _, err := c.Tables(t.Context(), "", []byte("{")); err == nil || !strings.Contains(err.Error(), "no JSON") {
		t.Errorf("a question that is no JSON: %v", err)
	}
	if err := c.Restart(t.Context(), "nobody"); err == nil {
		t.Error("restarted nobody")
	}
}

func TestAdminNobodyThere(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	_ = ln.Close()
	if _, err := (Client{addr, "x"}).Status(t.Context()); !errors.Is(err, ErrNoMaster) {
		t.Errorf("%v", err)
	}
}

// lineWriter counts what a follower was given.
type lineWriter struct {
	lines atomic.Int64
	last  atomic.Value
}

func (w *lineWriter) Write(b []byte) (int, error) {
	w.lines.Add(int64(strings.Count(string(b), "\n")))
	w.last.Store(string(b))
	return len(b), nil
}

func TestAdminLogs(t *testing.T) {
	a, c := startAdmin(t)
	write := func(name, text string) {
		f, err := os.OpenFile(a.logs.Path(name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := f.WriteString(text); err != nil {
			t.Fatal(err)
		}
	}
	write("world-1", "one\ntwo\nthree\n")
	write("gate-1", "door\n")
	var out strings.Builder
	if err := c.Logs(t.Context(), &out, "world-1", 2, false); err != nil || out.String() != "two\nthree\n" {
		t.Errorf("%q %v", out.String(), err)
	}
	out.Reset()
	if err := c.Logs(t.Context(), &out, "", 10, false); err != nil || !strings.Contains(out.String(), "gate-1     | door\n") {
		t.Errorf("%q %v", out.String(), err)
	}
	if err := c.Logs(t.Context(), &out, "../../etc/passwd", 2, false); err == nil {
		t.Error("a log of nobody")
	}
	ctx, cancel := context.WithCancel(t.Context())
	var w lineWriter
	done := make(chan error)
	go func() { done <- c.Logs(ctx, &w, "gate-1", 10, true) }()
	await(t, func() bool { return w.lines.Load() == 1 })
	write("gate-1", "half")
	write("gate-1", " and half\nnext\n")
	await(t, func() bool { return w.lines.Load() == 3 })
	if s, _ := w.last.Load().(string); !strings.Contains(s, "next\n") {
		t.Errorf("%q", s)
	}
	// The file is put aside and begun anew.
	if err := os.Rename(a.logs.Path("gate-1"), a.logs.Path("gate-1")+".1"); err != nil {
		t.Fatal(err)
	}
	write("gate-1", "anew\n")
	await(t, func() bool { return w.lines.Load() == 4 })
	// It grows too large, and is emptied while its process has it open.
	f, err := os.OpenFile(a.logs.Path("gate-1"), os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	a.logs.trim("gate-1", 1)
	if b, _ := os.ReadFile(a.logs.Path("gate-1") + ".1"); string(b) != "anew\n" {
		t.Errorf("put aside: %q", b)
	}
	if _, err := f.WriteString("x\n"); err != nil {
		t.Fatal(err)
	}
	await(t, func() bool { return w.lines.Load() == 5 })
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func await(t *testing.T, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it did not come to that")
		}
	}
}
