package master

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// osHandle is a pidfd: it means one process for ever, whatever becomes of the number.
type osHandle struct {
	mu *sync.Mutex
	fd *int // -1: closed
}

func detach(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

func childHandle(cmd *exec.Cmd) osHandle {
	h, err := openHandle(cmd.Process.Pid) // it is not waited for yet, so the number is its own
	if err != nil {
		return osHandle{&sync.Mutex{}, new(-1)}
	}
	return h
}

func openHandle(pid int) (osHandle, error) {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return osHandle{}, fmt.Errorf("process %d: %w", pid, err)
	}
	h := osHandle{&sync.Mutex{}, new(fd)}
	if st, err := procStat(pid); err == nil && strings.HasPrefix(st, "Z") {
		h.close()
		return osHandle{}, fmt.Errorf("process %d has ended", pid)
	}
	return h, nil
}

// wait blocks until the process has ended.
func (h osHandle) wait() {
	h.mu.Lock()
	fd := *h.fd
	h.mu.Unlock()
	for fd >= 0 {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, -1)
		if n > 0 || (err != nil && !errors.Is(err, unix.EINTR)) {
			return
		}
	}
}

func (h osHandle) signal(s unix.Signal) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if *h.fd >= 0 {
		_ = unix.PidfdSendSignal(*h.fd, s, nil, 0) // fails only when it has ended
	}
}

func (h osHandle) terminate() {
	h.signal(unix.SIGTERM)
	h.signal(unix.SIGCONT)
}

func (h osHandle) kill() { h.signal(unix.SIGKILL) }

func (h osHandle) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if *h.fd >= 0 {
		_ = unix.Close(*h.fd)
		*h.fd = -1
	}
}

// procStat is /proc/PID/stat from the state on: behind the name, which may hold anything.
func procStat(pid int) (string, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", err
	}
	i := bytes.LastIndexByte(b, ')')
	if i < 0 || i+2 > len(b) {
		return "", fmt.Errorf("/proc/%d/stat is cut", pid)
	}
	return strings.TrimSpace(string(b[i+1:])), nil
}

// startTime is when the process began: the boot, and clock ticks since it.
func startTime(pid int) (string, error) {
	st, err := procStat(pid)
	if err != nil {
		return "", err
	}
	f := strings.Fields(st)
	if len(f) < 20 {
		return "", fmt.Errorf("/proc/%d/stat is cut", pid)
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		boot = nil // the ticks alone are nearly as good
	}
	return strings.TrimSpace(string(boot)) + "/" + f[19], nil
}

// halted reports whether the process was stopped by a signal or a debugger.
func halted(pid int) bool {
	st, err := procStat(pid)
	return err == nil && (strings.HasPrefix(st, "T") || strings.HasPrefix(st, "t"))
}

func lockFile(f *os.File) error { return unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) }
