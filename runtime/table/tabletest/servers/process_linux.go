package servers

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

const pauseSignal, resumeSignal = syscall.SIGSTOP, syscall.SIGCONT

// endWithParent has the system kill the server when the thread that starts it ends.
func endWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}

// awaitPause returns when all threads of a process stand still: a signal reaches them one by one.
func awaitPause(pid int) {
	for deadline := time.Now().Add(startWithin); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
		if !slices.ContainsFunc(tasks, func(task string) bool {
			b, _ := os.ReadFile(task)
			// The state is behind the name, which is in brackets.
			i := bytes.LastIndexByte(b, ')')
			return i > 0 && i+2 < len(b) && b[i+2] != 'T'
		}) {
			return
		}
	}
}
