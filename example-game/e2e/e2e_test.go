// Package e2e runs the built game as its users do: real processes, real sockets, real kills.
package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// binary is the game, built once for all tests.
var binary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "arena")
	if err != nil {
		return "", err
	}
	out := filepath.Join(dir, "arena")
	cmd := exec.Command("go", "build", "-o", out, "./cmd/arena")
	cmd.Dir = ".."
	if b, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build: %w\n%s", err, b)
	}
	return out, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	maria.Close()
	if bin, err := binary(); err == nil {
		os.RemoveAll(filepath.Dir(bin))
	}
	os.Exit(code)
}

// arena is one running game.
type arena struct {
	t    *testing.T
	bin  string
	base int
	data string
	env  []string
	up   *exec.Cmd
	log  *bytes.Buffer
	mu   sync.Mutex
	done chan struct{}
}

// freeBase finds a port base whose ports are free, below those that the system gives to
// outgoing connections.
func freeBase(t *testing.T) int {
	for i := range 200 {
		base := 12000 + (os.Getpid()+i)%200*100
		if slices.IndexFunc([]int{0, 1, 10, 90, 91}, func(off int) bool {
			ln, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(base+off))
			if err != nil {
				return true
			}
			ln.Close()
			return false
		}) < 0 {
			return base
		}
	}
	t.Fatal("no free ports")
	return 0
}

func start(t *testing.T, args ...string) *arena {
	t.Helper()
	a := prepare(t)
	a.run(args...)
	return a
}

// prepare is a game that does not run yet, with ports and folders of its own.
func prepare(t *testing.T) *arena {
	t.Helper()
	bin, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	a := &arena{t: t, bin: bin, base: freeBase(t), data: t.TempDir(), log: &bytes.Buffer{}}
	a.env = append(os.Environ(), "XDG_RUNTIME_DIR="+t.TempDir())
	t.Cleanup(a.cleanup)
	return a
}

// run starts the game and waits until it is ready; again with the same ports and data after it has
// ended.
func (a *arena) run(args ...string) {
	t := a.t
	t.Helper()
	a.up, a.done = a.command(append([]string{"up"}, args...)...), make(chan struct{})
	up, done := a.up, a.done
	out, err := up.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	up.Stderr = up.Stdout
	if err := up.Start(); err != nil {
		t.Fatal(err)
	}
	ready := make(chan struct{})
	go func() {
		defer close(done)
		once := sync.OnceFunc(func() { close(ready) })
		sc := bufio.NewScanner(out)
		sc.Buffer(nil, 1<<20)
		for sc.Scan() {
			a.mu.Lock()
			a.log.WriteString(sc.Text() + "\n")
			a.mu.Unlock()
			if sc.Text() == "ready" {
				once()
			}
		}
		_ = up.Wait()
	}()
	select {
	case <-ready:
	case <-done:
		t.Fatalf("up ended before it was ready\n%s", a.logs())
	case <-time.After(60 * time.Second):
		t.Fatalf("not ready after a minute\n%s", a.logs())
	}
}

func (a *arena) command(args ...string) *exec.Cmd {
	cmd := exec.Command(a.bin, append(args, "--port-base", strconv.Itoa(a.base), "--data", a.data)...)
	cmd.Env = a.env
	cmd.Dir = ".."
	return cmd
}

func (a *arena) logs() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.log.String()
}

// cleanup ends everything that may be left, whatever the test did.
func (a *arena) cleanup() {
	if a.t.Failed() {
		a.t.Logf("up said:\n%s", tail(a.logs(), 60))
		files, _ := filepath.Glob(filepath.Join(a.data, "logs", "*"))
		for _, f := range files {
			b, _ := os.ReadFile(f)
			a.t.Logf("%s:\n%s", filepath.Base(f), tail(string(b), 30))
		}
	}
	if a.up == nil || a.up.Process == nil {
		return
	}
	_ = a.up.Process.Signal(syscall.SIGTERM)
	select {
	case <-a.done:
	case <-time.After(10 * time.Second):
		_ = a.up.Process.Kill()
	}
	for _, pid := range a.leftovers() {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
}

func tail(s string, n int) string {
	lines := strings.Split(strings.TrimRight(s, "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// leftovers are the processes of this game that still run, found by the data folder on their
// command lines.
func (a *arena) leftovers() (pids []int) {
	procs, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, p := range procs {
		b, err := os.ReadFile(p)
		if err != nil || !bytes.Contains(b, []byte(a.data)) || !bytes.HasPrefix(b, []byte(a.bin)) {
			continue
		}
		pid, _ := strconv.Atoi(strings.Split(p, "/")[2])
		stat, _ := os.ReadFile(filepath.Dir(p) + "/stat")
		if i := bytes.LastIndexByte(stat, ')'); i >= 0 && i+2 < len(stat) && stat[i+2] == 'Z' {
			continue
		}
		pids = append(pids, pid)
	}
	return pids
}

// process is one object of `status --json`.
type process struct {
	Name     string   `json:"name"`
	Roles    []string `json:"roles"`
	PID      int      `json:"pid"`
	Build    string   `json:"build"`
	Address  string   `json:"address"`
	Sessions int      `json:"sessions"`
	State    string   `json:"state"`
}

func (a *arena) status() (map[string]process, error) {
	out, err := a.command("status", "--json").Output()
	if err != nil {
		return nil, err
	}
	var list []process
	if err := json.Unmarshal(out, &list); err != nil {
		return nil, fmt.Errorf("%w in %s", err, out)
	}
	m := map[string]process{}
	for _, p := range list {
		m[p.Name] = p
	}
	return m, nil
}

// await polls until the condition holds.
func (a *arena) await(what string, within time.Duration, ok func() bool) {
	a.t.Helper()
	for end := time.Now().Add(within); ; {
		if ok() {
			return
		}
		if time.Now().After(end) {
			a.t.Fatalf("not within %s: %s", within, what)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// crowd waits until the gate has so many sessions.
func (a *arena) crowd(n int) {
	a.t.Helper()
	a.await(fmt.Sprintf("%d bots are in", n), 20*time.Second, func() bool {
		st, err := a.status()
		return err == nil && st["gate-1"].Sessions >= n
	})
}

func (a *arena) bots(args ...string) (string, error) {
	var out bytes.Buffer
	cmd := a.command(append([]string{"bots"}, args...)...)
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return out.String(), err
}

func (a *arena) classic(args ...string) string {
	a.t.Helper()
	out, err := exec.Command("python3", append([]string{"classic.py", "127.0.0.1", strconv.Itoa(a.base)}, args...)...).CombinedOutput()
	if err != nil {
		a.t.Fatalf("classic.py %v: %v\n%s", args, err, out)
	}
	return string(out)
}

func needPython(t *testing.T) {
	if _, err := exec.LookPath("python3"); err != nil {
		t.Skip("needs python3; scripts/deps.sh installs it")
	}
}

var everybody = []string{"master", "gate-1", "login-1", "world-1", "world-2", "chat-1", "store"}

func TestUpStatusStop(t *testing.T) {
	a := start(t)
	st, err := a.status()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range everybody {
		if p := st[name]; p.State != "ready" || p.PID == 0 || p.Build == "" {
			t.Errorf("%s: %+v", name, p)
		}
	}
	begin := time.Now()
	if err := a.up.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case <-a.done:
	case <-time.After(20 * time.Second):
		t.Fatal("up goes on after SIGTERM")
	}
	t.Logf("stopped after %s", time.Since(begin).Round(time.Millisecond))
	if left := a.leftovers(); len(left) > 0 {
		t.Errorf("processes %v are left", left)
	}
}

func TestClassicClient(t *testing.T) {
	needPython(t)
	a := start(t)
	t.Log(a.classic("echo"))
	t.Log(a.classic("bad"))
	for _, reason := range []string{"BAD_FRAME", "FRAME_TOO_LARGE"} {
		b, _ := os.ReadFile(filepath.Join(a.data, "logs", "gate-1.log"))
		if !bytes.Contains(b, []byte(reason)) {
			t.Errorf("the gate's log does not give the reason %s", reason)
		}
	}
	if !testing.Short() {
		t.Log(a.classic("idle"))
	}
}

func TestClassicJSON(t *testing.T) {
	needPython(t)
	b, err := os.ReadFile("../launch/dev.json")
	if err != nil {
		t.Fatal(err)
	}
	var launch map[string]any
	if err := json.Unmarshal(b, &launch); err != nil {
		t.Fatal(err)
	}
	launch["roles"] = map[string]any{"gate": map[string]any{"listens": map[string]any{
		"classic": map[string]any{"magic": []int{78, 37, 38, 48, 9}, "version": 7, "body": "JSON"},
	}}}
	b, _ = json.Marshal(launch)
	file := filepath.Join(t.TempDir(), "json.json")
	if err := os.WriteFile(file, b, 0o644); err != nil {
		t.Fatal(err)
	}
	a := start(t, "--launch", file)
	t.Log(a.classic("json", "78,37,38,48,9", "7"))
}

func TestBots(t *testing.T) {
	a := start(t)
	out, err := a.bots("-n", "100", "-d", "4s")
	t.Log(out)
	if err != nil {
		t.Fatal(err)
	}
}

// TestKillWorld kills one world under load: everybody else goes on, it is back within two
// seconds (with slack for a busy machine), and the bots all find a seat again.
func TestKillWorld(t *testing.T) {
	a := start(t)
	done := make(chan struct{})
	var out string
	var err error
	go func() {
		defer close(done)
		out, err = a.bots("-n", "60", "-d", "8s", "-chaos")
	}()
	a.crowd(60)
	before, serr := a.status()
	if serr != nil {
		t.Fatal(serr)
	}
	killed := time.Now()
	_ = syscall.Kill(before["world-1"].PID, syscall.SIGKILL)
	a.await("world-1 is back", 10*time.Second, func() bool {
		st, err := a.status()
		return err == nil && st["world-1"].State == "ready" && st["world-1"].PID != before["world-1"].PID
	})
	t.Logf("world-1 was back after %s", time.Since(killed).Round(time.Millisecond))
	<-done
	t.Log(out)
	if err != nil {
		t.Error(err)
	}
	after, serr := a.status()
	if serr != nil {
		t.Fatal(serr)
	}
	for _, name := range []string{"gate-1", "login-1", "world-2", "chat-1", "store"} {
		if after[name].PID != before[name].PID {
			t.Errorf("%s was restarted too", name)
		}
	}
}

// TestKillMaster kills the master: players notice nothing, and a new one finds all nodes.
func TestKillMaster(t *testing.T) {
	a := start(t)
	before, err := a.status()
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	var out string
	var berr error
	go func() {
		defer close(done)
		out, berr = a.bots("-n", "30", "-d", "5s")
	}()
	a.crowd(30)
	_ = a.up.Process.Kill()
	<-a.done
	<-done
	if berr != nil {
		t.Errorf("players noticed: %v\n%s", berr, out)
	}
	master := a.command("master")
	master.Stdout, master.Stderr = io.Discard, io.Discard
	if err := master.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = a.command("stop").Run()
		_ = master.Process.Kill()
		_ = master.Wait()
	}()
	a.await("the new master lists everybody", 20*time.Second, func() bool {
		st, err := a.status()
		if err != nil {
			return false
		}
		for _, name := range everybody[1:] {
			if st[name].PID != before[name].PID || st[name].State != "ready" {
				return false
			}
		}
		return st["master"].PID == master.Process.Pid
	})
	// What a predecessor started is restarted by the successor.
	_ = syscall.Kill(before["world-2"].PID, syscall.SIGKILL)
	a.await("world-2 is back", 10*time.Second, func() bool {
		st, err := a.status()
		return err == nil && st["world-2"].State == "ready" && st["world-2"].PID != before["world-2"].PID
	})
}

// TestStoppedWorld stops a world for ten seconds under load: the gate's memory stays bounded,
// and once the world goes on, everybody finds a seat again.
func TestStoppedWorld(t *testing.T) {
	a := start(t)
	before, err := a.status()
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		out, err := a.bots("-n", "60", "-d", "14s", "-chaos")
		t.Log(out)
		if err != nil {
			t.Errorf("bots: %v", err)
		}
	}()
	a.crowd(60)
	pid := before["world-1"].PID
	_ = syscall.Kill(pid, syscall.SIGSTOP)
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		if rss := resident(before["gate-1"].PID); rss > 256<<20 {
			t.Errorf("the gate holds %d MB", rss>>20)
			break
		}
	}
	_ = syscall.Kill(pid, syscall.SIGCONT)
	<-done
	for name, p := range before {
		if st, err := a.status(); err != nil || st[name].PID != p.PID {
			t.Errorf("%s was replaced: %+v, %v", name, st[name], err)
		}
	}
}

func resident(pid int) int64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0
	}
	f := strings.Fields(string(b))
	n, _ := strconv.ParseInt(f[1], 10, 64)
	return n * int64(os.Getpagesize())
}
