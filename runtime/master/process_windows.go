package master

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/windows"
)

// osHandle is a process handle of Windows, which means one process for ever.
type osHandle struct{ p *os.Process }

func detach(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{CreationFlags: syscall.CREATE_NEW_PROCESS_GROUP}
}

func childHandle(cmd *exec.Cmd) osHandle { return osHandle{cmd.Process} }

func openHandle(pid int) (osHandle, error) {
	p, err := os.FindProcess(pid)
	return osHandle{p}, err
}

func (h osHandle) wait() { _, _ = h.p.Wait() }

// terminate is kill: Windows has no signal that asks. Nodes stop by their link before that.
func (h osHandle) terminate() { h.kill() }
func (h osHandle) kill()      { _ = h.p.Kill() }
func (h osHandle) close()     {}

// startTime is when the process began.
func startTime(pid int) (string, error) {
	p, err := windows.OpenProcess(windows.PROCESS_QUERY_LIMITED_INFORMATION, false, uint32(pid))
	if err != nil {
		return "", err
	}
	defer windows.CloseHandle(p)
	var created, exited, kernel, user windows.Filetime
	if err := windows.GetProcessTimes(p, &created, &exited, &kernel, &user); err != nil {
		return "", err
	}
	return fmt.Sprint(created.Nanoseconds()), nil
}

func halted(int) bool { return false }

func lockFile(f *os.File) error {
	return windows.LockFileEx(windows.Handle(f.Fd()), windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, new(windows.Overlapped))
}
