//go:build unix && !linux

package master

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// osHandle is a process number: these systems have no better name for somebody else's process,
// so startTime is looked at before a signal is sent.
type osHandle struct {
	pid   int
	start string
}

func detach(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

func childHandle(cmd *exec.Cmd) osHandle {
	start, _ := startTime(cmd.Process.Pid)
	return osHandle{cmd.Process.Pid, start}
}

func openHandle(pid int) (osHandle, error) {
	start, err := startTime(pid)
	if err != nil {
		return osHandle{}, err
	}
	return osHandle{pid, start}, nil
}

func (h osHandle) same() bool {
	now, err := startTime(h.pid)
	return err == nil && now == h.start
}

func (h osHandle) wait() {
	for h.same() {
		time.Sleep(500 * time.Millisecond)
	}
}

func (h osHandle) signal(s syscall.Signal) {
	if h.same() {
		_ = syscall.Kill(h.pid, s)
	}
}

func (h osHandle) terminate() {
	h.signal(syscall.SIGTERM)
	h.signal(syscall.SIGCONT)
}

func (h osHandle) kill()  { h.signal(syscall.SIGKILL) }
func (h osHandle) close() {}

// startTime is when the process began, as ps tells it.
func startTime(pid int) (string, error) {
	out, err := exec.Command("ps", "-o", "stat=,lstart=", "-p", fmt.Sprint(pid)).Output()
	if err != nil {
		return "", fmt.Errorf("process %d: %w", pid, err)
	}
	state, start, _ := strings.Cut(strings.TrimSpace(string(out)), " ")
	if state == "" || strings.HasPrefix(state, "Z") {
		return "", fmt.Errorf("process %d has ended", pid)
	}
	return strings.TrimSpace(start), nil
}

func halted(int) bool { return false }

func lockFile(f *os.File) error { return unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) }
