//go:build linux

package node_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"math/rand/v2"
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

	client "github.com/firefly-go/firefly/clients/go"
	"github.com/firefly-go/firefly/runtime/master"
)

// demo is one running game of real processes.
type demo struct {
	t      *testing.T
	base   int
	dir    string // data
	launch string
	run    string // XDG_RUNTIME_DIR
	out    *output
	env    []string // of its processes, beside the usual
}

// output is what a process said so far.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

func (o *output) has(line string) bool {
	return slices.Contains(strings.Split(o.String(), "\n"), line)
}

func newDemo(t *testing.T) *demo {
	t.Helper()
	d := &demo{t: t, dir: t.TempDir(), run: t.TempDir(), out: &output{}}
	d.launch = filepath.Join(t.TempDir(), "launch.json")
	if err := os.WriteFile(d.launch, []byte(testLaunch), 0o644); err != nil {
		t.Fatal(err)
	}
	d.base = freeBase(t)
	t.Parallel()
	t.Cleanup(d.cleanup)
	return d
}

// bases are those that tests of this process have.
var bases sync.Map

// freeBase finds free ports below those that the system gives to outgoing connections.
func freeBase(t *testing.T) int {
	for range 200 {
		base := 10000 + rand.IntN(220)*100
		if _, taken := bases.LoadOrStore(base, true); taken {
			continue
		}
		if !slices.ContainsFunc([]int{0, 1, 90, 91}, func(off int) bool {
			l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(base+off))
			if err != nil {
				return true
			}
			_ = l.Close()
			return false
		}) {
			return base
		}
	}
	t.Fatal("no free ports")
	return 0
}

func (d *demo) command(args ...string) *exec.Cmd {
	exe, err := os.Executable()
	if err != nil {
		d.t.Fatal(err)
	}
	cmd := exec.Command(exe, append(args, "--port-base", strconv.Itoa(d.base), "--data", d.dir, "--launch", d.launch)...)
	// A process with the race detector would sleep for a second before it ends.
	cmd.Env = append(os.Environ(), envGame+"=1", "GORACE=atexit_sleep_ms=0", "XDG_RUNTIME_DIR="+d.run, "XDG_CACHE_HOME="+d.run, master.EnvAdminToken+"=", master.EnvClusterSecret+"=")
	cmd.Env = append(cmd.Env, d.env...)
	return cmd
}

// start runs a command that goes on; ended is closed when it has ended.
func (d *demo) start(args ...string) (cmd *exec.Cmd, ended chan struct{}) {
	d.t.Helper()
	cmd = d.command(args...)
	cmd.Stdout, cmd.Stderr = d.out, d.out
	if err := cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	ended = make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	return cmd, ended
}

// up runs the game and waits until it is ready.
func (d *demo) up(args ...string) (cmd *exec.Cmd, ended chan struct{}) {
	d.t.Helper()
	begun := time.Now()
	cmd, ended = d.start(append([]string{"up"}, args...)...)
	d.await("ready", 40*time.Second, func() bool {
		select {
		case <-ended:
			d.t.Fatalf("up has ended")
		default:
		}
		return d.out.has("ready")
	})
	d.t.Logf("ready after %s", time.Since(begun).Round(time.Millisecond))
	return cmd, ended
}

func (d *demo) await(what string, within time.Duration, ok func() bool) {
	d.t.Helper()
	for end := time.Now().Add(within); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			d.t.Fatalf("not within %s: %s", within, what)
		}
	}
}

func (d *demo) ended(ended chan struct{}, within time.Duration) {
	d.t.Helper()
	begun := time.Now()
	select {
	case <-ended:
		d.t.Logf("ended after %s", time.Since(begun).Round(time.Millisecond))
	case <-time.After(within):
		d.t.Fatalf("it has not ended within %s", within)
	}
}

// alive are the processes of this game, by the data folder on their command lines.
func (d *demo) alive() (pids []int) {
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil || !bytes.Contains(b, []byte(d.dir+"\x00")) {
			continue
		}
		pid, _ := strconv.Atoi(strings.Split(f, "/")[2])
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if i := bytes.LastIndexByte(stat, ')'); err != nil || i < 0 || i+2 >= len(stat) || stat[i+2] == 'Z' {
			continue
		}
		pids = append(pids, pid)
	}
	return pids
}

func (d *demo) nobodyLeft() {
	d.t.Helper()
	if pids := d.alive(); len(pids) > 0 {
		d.t.Errorf("processes %v are left", pids)
	}
	for _, off := range []int{0, 90, 91} {
		l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(d.base+off))
		if err != nil {
			d.t.Errorf("port base+%d is not free: %v", off, err)
			continue
		}
		_ = l.Close()
	}
}

func (d *demo) cleanup() {
	for _, pid := range d.alive() {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	if d.t.Failed() {
		d.t.Logf("output:\n%s", d.out.String())
		files, _ := filepath.Glob(filepath.Join(d.dir, "logs", "*.log"))
		for _, f := range files {
			b, _ := os.ReadFile(f)
			d.t.Logf("%s:\n%s", filepath.Base(f), b[max(0, len(b)-4000):])
		}
	}
}

func (d *demo) status() map[string]master.Process {
	out, err := d.command("status", "--json").Output()
	if err != nil {
		return nil
	}
	var ps []master.Process
	if err := json.Unmarshal(out, &ps); err != nil {
		d.t.Errorf("status --json: %v in %s", err, out)
	}
	m := map[string]master.Process{}
	for _, p := range ps {
		m[p.Name] = p
	}
	return m
}

// tool runs a command to its end.
func (d *demo) tool(args ...string) (code int, stdout, stderr string) {
	d.t.Helper()
	cmd := d.command(args...)
	var o, e bytes.Buffer
	cmd.Stdout, cmd.Stderr = &o, &e
	err := cmd.Run()
	if err != nil && cmd.ProcessState == nil {
		d.t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), o.String(), e.String()
}

func (d *demo) dial() *client.Conn {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(d.t.Context(), 10*time.Second)
	defer cancel()
	c, err := client.Dial(ctx, "127.0.0.1:"+strconv.Itoa(d.base), &client.Options{})
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(c.Close)
	return c
}

func (d *demo) echo(c *client.Conn) {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(d.t.Context(), 10*time.Second)
	defer cancel()
	if b, err := c.Raw(ctx, cmdEcho, []byte("hello")); err != nil || string(b) != "hello" {
		d.t.Errorf("echo: %q %v", b, err)
	}
}

var everybody = []string{"master", "gate-1", "world-1", "world-2", "hall-1", "store"}

func TestUp(t *testing.T) {
	d := newDemo(t)
	up, ended := d.up()
	st := d.status()
	for _, name := range everybody {
		p := st[name]
		if p.State != "ready" || p.PID == 0 || p.Build == "" || p.Address == "" || p.Roles == nil {
			t.Errorf("%s: %+v", name, p)
		}
	}
	if st["gate-1"].Address != "127.0.0.1:"+strconv.Itoa(d.base) {
		t.Errorf("the gate's address is %s", st["gate-1"].Address)
	}
	c := d.dial()
	d.echo(c)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if b, err := c.Raw(ctx, cmdWhere, nil); err != nil || !strings.HasPrefix(string(b), "world-") {
		t.Errorf("where: %q %v", b, err)
	}
	if b, err := c.Raw(ctx, cmdHall, nil); err != nil || string(b) != strconv.Itoa(st["hall-1"].PID) {
		t.Errorf("hall: %q %v", b, err)
	}
	if b, err := c.Raw(ctx, cmdTick, nil); err != nil || !strings.HasPrefix(string(b), "hall-1 ") {
		t.Errorf("tick: %q %v", b, err)
	}
	d.await("the gate counts its session", 10*time.Second, func() bool { return d.status()["gate-1"].Sessions == 1 })

	// Secrets are this user's alone, and nowhere in the data folder.
	secrets := 0
	_ = filepath.WalkDir(d.run, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		if err == nil && info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		secrets++
		return err
	})
	if secrets != 2 {
		t.Errorf("%d files of secrets", secrets)
	}

	// The tools.
	if code, out, _ := d.tool("logs", "world-1"); code != 0 || !strings.Contains(out, "the world begins") {
		t.Errorf("logs: %d %q", code, out)
	}
	if code, out, _ := d.tool("status"); code != 0 || !strings.Contains(out, "world-2") {
		t.Errorf("status: %d %q", code, out)
	}
	if !strings.Contains(d.out.String(), "world-1    | ") {
		t.Error("up does not show the logs of its nodes")
	}

	// The same ports again: refused, and nobody is disturbed.
	other := *d
	other.dir, other.out = t.TempDir(), &output{}
	if code, _, stderr := other.tool("up"); code != 1 || !strings.Contains(stderr, "another master") {
		t.Errorf("a second up: %d %s", code, stderr)
	}
	d.echo(c)

	_ = up.Process.Signal(syscall.SIGTERM)
	d.ended(ended, 5*time.Second)
	d.nobodyLeft()
	if left, _ := filepath.Glob(filepath.Join(d.run, "firefly", "*", "*")); len(left) > 0 {
		t.Errorf("secrets are left: %v", left)
	}
	if code := up.ProcessState.ExitCode(); code != 0 {
		t.Errorf("up ended with %d", code)
	}
}

// TestSecondLife: a process with the name of one that lives is not let in, and disturbs
// nobody while it asks.
func TestSecondLife(t *testing.T) {
	d := newDemo(t)
	up, ended := d.up()
	before := d.status()["world-1"]
	second, secondEnded := d.start("node", "world-1")
	c := d.dial()
	d.echo(c)
	d.ended(secondEnded, 40*time.Second)
	if code := second.ProcessState.ExitCode(); code != 1 || !strings.Contains(d.out.String(), "runs already") {
		t.Errorf("a second world-1 ended with %d", code)
	}
	if strings.Count(d.out.String(), "the world begins") > 2 { // of the two worlds that up started
		t.Error("the second world-1 ran its code")
	}
	if p := d.status()["world-1"]; p.PID != before.PID || p.State != "ready" || p.Restarts != 0 {
		t.Errorf("the first world-1 suffered: %+v", p)
	}
	d.echo(c)
	_ = up.Process.Signal(syscall.SIGTERM)
	d.ended(ended, 5*time.Second)
	d.nobodyLeft()
}

func TestKillAndHalt(t *testing.T) {
	d := newDemo(t)
	up, ended := d.up()
	before := d.status()
	c := d.dial()
	for round := range 2 {
		victim := d.status()["world-1"].PID
		killed := time.Now()
		_ = syscall.Kill(victim, syscall.SIGKILL)
		d.echo(c)
		d.await("world-1 is back", 20*time.Second, func() bool {
			p := d.status()["world-1"]
			return p.State == "ready" && p.PID != victim
		})
		t.Logf("round %d: back after %s", round, time.Since(killed).Round(time.Millisecond))
	}
	now := d.status()
	for _, name := range everybody {
		if name != "world-1" && now[name].PID != before[name].PID {
			t.Errorf("%s was restarted too", name)
		}
	}
	if p := now["world-1"]; p.Restarts != 2 || p.Cause != "signal: killed" {
		t.Errorf("%+v", p)
	}
	// A halted node is not ready, and is again when it goes on.
	pid := now["world-2"].PID
	_ = syscall.Kill(pid, syscall.SIGSTOP)
	d.await("world-2 is not ready", 10*time.Second, func() bool { p := d.status()["world-2"]; return p.State != "ready" && p.State != "" })
	d.echo(c)
	_ = syscall.Kill(pid, syscall.SIGCONT)
	d.await("world-2 is ready again", 20*time.Second, func() bool { return d.status()["world-2"].State == "ready" })
	if d.status()["world-2"].PID != pid {
		t.Error("world-2 was restarted")
	}
	// A node that hears nothing is no reason to be late.
	_ = syscall.Kill(pid, syscall.SIGSTOP)
	_ = up.Process.Signal(syscall.SIGINT)
	d.ended(ended, 5*time.Second)
	d.nobodyLeft()
}

func TestMasterKilled(t *testing.T) {
	d := newDemo(t)
	up, ended := d.up()
	before := d.status()
	c := d.dial()
	_ = up.Process.Kill()
	<-ended
	d.echo(c)
	if code, _, stderr := d.tool("status"); code != 1 || !strings.Contains(stderr, "no master answers") {
		t.Errorf("status without a master: %d %s", code, stderr)
	}
	if code, out, _ := d.tool("logs", "gate-1"); code != 0 || out == "" {
		t.Errorf("logs without a master: %d %q", code, out)
	}
	// One dies while nobody watches.
	_ = syscall.Kill(before["hall-1"].PID, syscall.SIGKILL)
	successor, ended := d.start("master")
	d.await("the successor lists everybody", 20*time.Second, func() bool {
		st := d.status()
		for _, name := range everybody[1:] {
			if st[name].State != "ready" || (st[name].PID == before[name].PID) != (name != "hall-1") {
				return false
			}
		}
		return st["master"].PID == successor.Process.Pid
	})
	d.echo(c)
	_ = syscall.Kill(before["world-2"].PID, syscall.SIGKILL)
	d.await("world-2 is back", 20*time.Second, func() bool {
		p := d.status()["world-2"]
		return p.State == "ready" && p.PID != before["world-2"].PID
	})
	if code, _, stderr := d.tool("stop"); code != 0 {
		t.Errorf("stop: %d %s", code, stderr)
	}
	d.ended(ended, 5*time.Second)
	d.nobodyLeft()
}

// TestUpTakesOver: up again after the master was killed finds its nodes, and starts what is
// missing.
func TestUpTakesOver(t *testing.T) {
	d := newDemo(t)
	up, ended := d.up()
	before := d.status()
	_ = up.Process.Kill()
	<-ended
	d.out = &output{}
	up, ended = d.up()
	for name, p := range d.status() {
		if (p.PID == before[name].PID) != (name != "master") {
			t.Errorf("%s was process %d and is %d", name, before[name].PID, p.PID)
		}
	}
	_ = up.Process.Signal(syscall.SIGTERM)
	d.ended(ended, 5*time.Second)
	d.nobodyLeft()
}

// TestAdoptUnwritten: a master that died before it had written a process down leaves it to its
// successor all the same, since the node says that it was started by one.
func TestAdoptUnwritten(t *testing.T) {
	d := newDemo(t)
	up, ended := d.up()
	before := d.status()
	_ = up.Process.Kill()
	<-ended
	if err := os.Remove(filepath.Join(d.dir, "master.json")); err != nil {
		t.Fatal(err)
	}
	_, ended = d.start("master")
	d.await("everybody is supervised", 20*time.Second, func() bool {
		st := d.status()
		for _, name := range everybody[1:] {
			if p := st[name]; p.State != "ready" || !p.Supervised || p.PID != before[name].PID {
				return false
			}
		}
		return true
	})
	_ = syscall.Kill(before["world-2"].PID, syscall.SIGKILL)
	d.await("world-2 is back", 20*time.Second, func() bool {
		p := d.status()["world-2"]
		return p.State == "ready" && p.PID != before["world-2"].PID
	})
	if code, _, stderr := d.tool("stop"); code != 0 {
		t.Errorf("stop: %d %s", code, stderr)
	}
	d.ended(ended, 5*time.Second)
	d.nobodyLeft()
}

// TestParentDies: `go run` passes no signal on; when it dies, so does the game.
func TestParentDies(t *testing.T) {
	d := newDemo(t)
	game := d.command("up")
	parent := exec.Command("sh", append([]string{"-c", `"$@" & wait`, "sh"}, game.Args...)...)
	parent.Env, parent.Stdout, parent.Stderr = game.Env, d.out, d.out
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	d.await("ready", 40*time.Second, func() bool { return d.out.has("ready") })
	_ = parent.Process.Kill()
	d.await("everything is gone", 8*time.Second, func() bool { return len(d.alive()) == 0 })
	_ = parent.Wait()
	d.nobodyLeft()
}

func TestOneProcess(t *testing.T) {
	d := newDemo(t)
	up, ended := d.up("--one-process")
	st := d.status()
	for _, name := range everybody {
		if p := st[name]; p.State != "ready" || p.PID != up.Process.Pid {
			t.Errorf("%s: %+v", name, p)
		}
	}
	c := d.dial()
	d.echo(c)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if b, err := c.Raw(ctx, cmdHall, nil); err != nil || string(b) != strconv.Itoa(up.Process.Pid) {
		t.Errorf("hall: %q %v", b, err)
	}
	_ = up.Process.Signal(syscall.SIGTERM)
	d.ended(ended, 5*time.Second)
	d.nobodyLeft()
}

// TestNodesByHand: a master alone, and nodes that come in any order.
func TestNodesByHand(t *testing.T) {
	d := newDemo(t)
	early, earlyEnded := d.start("node", "store", "--master", "127.0.0.1:"+strconv.Itoa(d.base+91))
	d.ended(earlyEnded, 20*time.Second) // nobody has made the secret yet
	if early.ProcessState.ExitCode() != 1 || !strings.Contains(d.out.String(), "no secrets") {
		t.Errorf("%d %s", early.ProcessState.ExitCode(), d.out)
	}
	_, masterEnded := d.start("master")
	d.await("the master serves", 20*time.Second, func() bool { return d.status() != nil })
	ends := map[string]chan struct{}{}
	for _, name := range []string{"gate-1", "world-2", "hall-1", "world-1", "store"} {
		_, ends[name] = d.start("node", name, "--master", "127.0.0.1:"+strconv.Itoa(d.base+91))
	}
	d.await("ready", 40*time.Second, func() bool { return d.out.has("ready") })
	d.echo(d.dial())
	st := d.status()
	_ = syscall.Kill(st["world-1"].PID, syscall.SIGKILL)
	<-ends["world-1"]
	d.await("world-1 is not ready", 10*time.Second, func() bool { return d.status()["world-1"].State != "ready" })
	// Whoever started it starts it again.
	_, ends["world-1"] = d.start("node", "world-1", "--master", "127.0.0.1:"+strconv.Itoa(d.base+91))
	d.await("world-1 is back", 30*time.Second, func() bool { return d.status()["world-1"].State == "ready" })
	if code, _, stderr := d.tool("stop"); code != 0 {
		t.Errorf("stop: %d %s", code, stderr)
	}
	d.ended(masterEnded, 5*time.Second)
	for name, ended := range ends {
		select {
		case <-ended:
		case <-time.After(10 * time.Second):
			t.Errorf("%s goes on", name)
		}
	}
	d.nobodyLeft()
}

func TestCommandLine(t *testing.T) {
	d := newDemo(t)
	if err := os.WriteFile(d.launch, []byte("{\n  \"game\": \"demo\",\n  \"nods\": []\n}"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, cmd := range [][]string{{"up"}, {"master"}, {"node", "world-1"}, {"status"}, {"stop"}} {
		code, _, stderr := d.tool(cmd...)
		if code != 2 || !strings.Contains(stderr, `launch.json:3:3: unknown key "nods"`) {
			t.Errorf("%v: %d %s", cmd, code, stderr)
		}
	}
	if err := os.WriteFile(d.launch, []byte(testLaunch), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"fly"}, 2, "there is no command"},
		{[]string{"up", "--fly"}, 2, "not defined: -fly"},
		{[]string{"up", "now"}, 2, "wrong number of arguments"},
		{[]string{"node", "nobody"}, 2, `no node "nobody"`},
		{[]string{"status"}, 1, "does not run here"},
		{[]string{"stop"}, 1, "does not run here"},
		{[]string{"tables", "status"}, 1, "does not run here"},
		{[]string{"tables"}, 2, "quarantine, retry, discard"},
		{[]string{"tables", "quarantine", "a", "b", "c"}, 2, "it takes [TABLE [KEY]]"},
		{[]string{"bots"}, 1, "no bots"},
	} {
		code, _, stderr := d.tool(c.args...)
		if code != c.code || !strings.Contains(stderr, c.want) {
			t.Errorf("%v: %d %s", c.args, code, stderr)
		}
	}
}
