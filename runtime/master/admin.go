package master

import (
	"bufio"
	"context"
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/firefly-go/firefly/runtime/cluster"
)

// Process is one process of the cluster as status shows it; the master is one of them.
type Process struct {
	Name     string   `json:"name"`
	Roles    []string `json:"roles"`
	PID      int      `json:"pid"`
	Build    string   `json:"build"`
	Address  string   `json:"address"` // where clients come in; else where other nodes do
	Sessions int      `json:"sessions"`
	State    string   `json:"state"`

	cluster.Vitals

	Host        string   `json:"host,omitempty"`
	Incarnation string   `json:"incarnation,omitempty"`
	Supervised  bool     `json:"supervised,omitempty"` // started, and started again, by the master
	Restarts    int      `json:"restarts,omitempty"`
	Cause       string   `json:"cause,omitempty"` // why the last process of the node ended
	Log         []string `json:"log,omitempty"`   // the last lines of its log, when it FAILED
}

// The states of a process.
const (
	StateReady    = "ready"    // it serves
	StateStarting = "starting" // it runs, and does not serve yet
	StateStopping = "stopping"
	StateSilent   = "silent"  // it has not been heard of for a while, but may live
	StateMissing  = "missing" // it is declared, and has not registered
	StateRestart  = "restarting"
	StateFailed   = "FAILED" // it ended too often and is not started again
)

// admin is the HTTP side of the master. Everything wants the token, and a Host that is the
// master's own, so that no page in a browser can reach it by a name of its own making.
type admin struct {
	token string
	log   *slog.Logger
	logs  Logs

	status  func() []Process
	stop    func()            // begins the stop of everything; returns at once
	restart func(string) bool // starts a node again that waits or FAILED
	tables  func(ctx context.Context, node string, ask []byte) []Answer
	stopped <-chan struct{}

	server *http.Server
	ln     net.Listener
	hosts  map[string]bool
	wg     sync.WaitGroup
}

// listen opens the port; serve begins to answer.
func (a *admin) listen(addr string) error {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("the admin API cannot listen; is another master running? %w", err)
	}
	a.ln = ln
	a.hosts = map[string]bool{"localhost": true, "127.0.0.1": true, "::1": true}
	if host, _, err := net.SplitHostPort(addr); err == nil && host != "" {
		a.hosts[strings.ToLower(host)] = true
	}
	if t, ok := ln.Addr().(*net.TCPAddr); ok && t.IP.IsUnspecified() {
		// Bound to every address by whoever runs it: any of them names the master.
		addrs, _ := net.InterfaceAddrs()
		for _, x := range addrs {
			if n, ok := x.(*net.IPNet); ok {
				a.hosts[n.IP.String()] = true
			}
		}
	}
	return nil
}

func (a *admin) serve() {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/status", a.serveStatus)
	mux.HandleFunc("GET /v1/logs", a.serveLogs)
	mux.HandleFunc("POST /v1/stop", a.serveStop)
	mux.HandleFunc("POST /v1/restart", a.serveRestart)
	mux.HandleFunc("POST /v1/tables", a.serveTables)
	a.server = &http.Server{
		Handler:           a.guard(mux),
		ReadHeaderTimeout: 5 * time.Second,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(a.log.Handler(), slog.LevelDebug),
	}
	a.wg.Go(func() { _ = a.server.Serve(a.ln) })
}

// close ends the API; requests that run get a moment.
func (a *admin) close() {
	if a.server == nil {
		if a.ln != nil {
			_ = a.ln.Close()
		}
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
	defer cancel()
	if a.server.Shutdown(ctx) != nil {
		_ = a.server.Close()
	}
	a.wg.Wait()
}

func (a *admin) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if h, _, err := net.SplitHostPort(host); err == nil {
			host = h
		}
		if !a.hosts[strings.ToLower(strings.Trim(host, "[]"))] {
			http.Error(w, "this is not the host that you asked for", http.StatusMisdirectedRequest)
			return
		}
		token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if !ok || subtle.ConstantTimeCompare([]byte(token), []byte(a.token)) != 1 {
			w.Header().Set("WWW-Authenticate", "Bearer")
			http.Error(w, "the admin token is missing or wrong", http.StatusUnauthorized)
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, 1<<20)
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		next.ServeHTTP(w, r)
	})
}

func (a *admin) serveStatus(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	_ = enc.Encode(a.status())
}

func (a *admin) serveStop(w http.ResponseWriter, r *http.Request) {
	a.log.Info("stop was asked for", "from", r.RemoteAddr)
	a.stop()
	w.WriteHeader(http.StatusAccepted)
}

func (a *admin) serveRestart(w http.ResponseWriter, r *http.Request) {
	if !a.restart(r.URL.Query().Get("name")) {
		http.Error(w, "no such node is supervised here", http.StatusNotFound)
		return
	}
	w.WriteHeader(http.StatusAccepted)
}

// Answer is what one node that keeps tables says.
type Answer struct {
	Node  string          `json:"node"`
	Body  json.RawMessage `json:"body,omitempty"`
	Error string          `json:"error,omitempty"` // instead
}

// serveTables passes a question on to the nodes that keep tables.
func (a *admin) serveTables(w http.ResponseWriter, r *http.Request) {
	ask, err := io.ReadAll(r.Body)
	if err != nil || !json.Valid(ask) {
		http.Error(w, "the question is no JSON", http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(a.tables(r.Context(), r.URL.Query().Get("node"), ask))
}

// serveLogs gives the last lines of one node, or of all with their names in front, and with
// follow=1 what comes after them.
func (a *admin) serveLogs(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	name, lines := q.Get("name"), 100
	if text := q.Get("lines"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 || n > 100000 {
			http.Error(w, "lines: want a number from 0 to 100000", http.StatusBadRequest)
			return
		}
		lines = n
	}
	nodes := a.logs.Nodes()
	if name != "" {
		known := false
		for _, n := range nodes {
			known = known || n == name
		}
		if !known {
			http.Error(w, fmt.Sprintf("no log of %q on the master's host; there are %s", name, strings.Join(nodes, ", ")), http.StatusNotFound)
			return
		}
		nodes = []string{name}
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	out := bufio.NewWriter(w)
	write := func(node string, line []byte) {
		if name == "" {
			fmt.Fprintf(out, "%-10s | ", node)
		}
		_, _ = out.Write(line)
		_ = out.WriteByte('\n')
	}
	offsets := map[string]int64{}
	for _, n := range nodes {
		offsets[n] = a.logs.Size(n)
		for _, line := range a.logs.Tail(n, lines) {
			write(n, []byte(line))
		}
	}
	_ = out.Flush()
	if q.Get("follow") == "" {
		return
	}
	flush := http.NewResponseController(w)
	_ = flush.Flush()
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	go func() {
		select {
		case <-a.stopped:
			cancel()
		case <-ctx.Done():
		}
	}()
	a.logs.Follow(ctx, offsets, func(node string, line []byte) {
		write(node, line)
		if out.Flush() != nil || flush.Flush() != nil {
			cancel()
		}
	})
}
