package master

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/firefly-go/firefly/runtime/cluster"
)

func awaitGone(t *testing.T, p *process) {
	t.Helper()
	select {
	case <-p.gone:
	case <-time.After(10 * time.Second):
		t.Fatal("the process is not gone")
	}
}

func TestProcessStartAndKill(t *testing.T) {
	out := filepath.Join(t.TempDir(), "logs", "x.log")
	p, err := startProcess(command{argv: []string{"sh", "-c", "echo $WORD; exec sleep 100"}, env: []string{"WORD=hello"}, output: out})
	if err != nil {
		t.Fatal(err)
	}
	if p.start == "" || !p.alive() {
		t.Errorf("%+v", p)
	}
	await(t, func() bool { b, _ := os.ReadFile(out); return strings.TrimSpace(string(b)) == "hello" })
	p.h.kill()
	awaitGone(t, p)
	if p.cause != "signal: killed" {
		t.Errorf("cause %q", p.cause)
	}
	p.h.kill() // of nobody: nothing happens
}

// TestProcessAdopt: a process of somebody else is watched by its pidfd, also when it is
// halted, and another process with its number is not taken for it.
func TestProcessAdopt(t *testing.T) {
	// The grandchild is nobody's child here, as the node of a master that died.
	sh := exec.Command("sh", "-c", "sleep 100 >/dev/null 2>&1 & echo $!")
	b, err := sh.Output()
	if err != nil {
		t.Fatal(err)
	}
	var pid int
	for _, c := range strings.TrimSpace(string(b)) {
		pid = pid*10 + int(c-'0')
	}
	start, err := startTime(pid)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := adoptProcess(pid, "another boot/1"); err == nil {
		t.Error("adopted a process that began at another time")
	}
	p, err := adoptProcess(pid, start)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if !p.alive() {
		t.Error("a halted process is taken for dead")
	}
	p.h.terminate()
	awaitGone(t, p)
	if _, err := adoptProcess(pid, start); err == nil {
		t.Error("adopted a dead process")
	}
}

func TestStateSurvives(t *testing.T) {
	dir := t.TempDir()
	s, err := openState(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.change(func(d *stateData) {
		d.Declared = &cluster.Declared{Version: 7}
		d.Processes["world-1"] = processState{42, "x"}
	}); err != nil {
		t.Fatal(err)
	}
	s, err = openState(dir)
	if err != nil {
		t.Fatal(err)
	}
	if s.declared().Version != 7 || s.processes()["world-1"].PID != 42 {
		t.Errorf("%+v", s.data)
	}
}
