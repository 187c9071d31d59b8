package master

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// process is one running process, known by a handle that cannot come to mean another one.
type process struct {
	pid   int
	start string        // when it began, as the system tells it; with pid it names the process
	begun time.Time     // since when it is watched
	gone  chan struct{} // closed when it has ended; then cause is set
	cause string        // "exit status 2", "signal: killed"; "ended" when the system does not say
	h     handle
}

// handle is a process as the system gives it, in process_*.go. Its methods may be called by
// any goroutine, after the end of the process too.
type handle interface {
	wait()      // blocks until the process has ended
	terminate() // asks it to stop, also when it is halted
	kill()      // ends it
	close()
}

// command is how a node's process is started.
type command struct {
	argv   []string
	env    []string // added to this process's own
	output string   // file that stdout and stderr are appended to
}

// startProcess starts a process that outlives this one: its output goes to a file, never to a
// pipe, and a terminal's signals do not reach it.
func startProcess(c command) (*process, error) {
	if err := os.MkdirAll(filepath.Dir(c.output), 0o755); err != nil {
		return nil, err
	}
	out, err := os.OpenFile(c.output, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	cmd := exec.Command(c.argv[0], c.argv[1:]...)
	cmd.Env = append(os.Environ(), c.env...)
	cmd.Stdout, cmd.Stderr = out, out
	detach(cmd)
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{pid: cmd.Process.Pid, begun: time.Now(), gone: make(chan struct{})}
	p.start, _ = startTime(p.pid)
	p.h = childHandle(cmd)
	go func() {
		err := cmd.Wait()
		p.cause = "exit status 0"
		if err != nil {
			p.cause = err.Error()
		}
		p.h.close()
		close(p.gone)
	}()
	return p, nil
}

// adoptProcess watches a process that another one started. It fails when the process is not
// there any more, or its number belongs to another one.
func adoptProcess(pid int, start string) (*process, error) {
	h, err := openHandle(pid)
	if err != nil {
		return nil, err
	}
	// The handle is open, so the number cannot change hands between this look and the next.
	now, err := startTime(pid)
	if err != nil || (start != "" && now != start) {
		h.close()
		return nil, fmt.Errorf("process %d is another one", pid)
	}
	p := &process{pid: pid, start: now, begun: time.Now(), gone: make(chan struct{}), h: h}
	go func() {
		h.wait()
		p.cause = "ended"
		h.close()
		close(p.gone)
	}()
	return p, nil
}

func (p *process) alive() bool {
	select {
	case <-p.gone:
		return false
	default:
		return true
	}
}
