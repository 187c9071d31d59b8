package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"time"

	"example.com/bench/internal/cost"

	"golang.org/x/sys/unix"
)

// server is one process under measurement.
type server struct {
	name string
	cmd  *exec.Cmd
	addr string
	in   io.WriteCloser
}

// start runs this program again as a server on one core and waits for the line that says
// where it listens. Servers end when their standard input does, so none outlives a crash.
func start(core int, args ...string) (*server, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self, append([]string{"-serve"}, args...)...)
	cmd.Stderr = os.Stderr
	cmd.Env = append(os.Environ(), "GOMAXPROCS=1")
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := startOn(core, cmd); err != nil {
		return nil, err
	}
	s := &server{name: args[0], cmd: cmd, in: in}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		s.stop()
		return nil, fmt.Errorf("server %s ended before it was ready: %w", s.name, err)
	}
	s.addr = strings.TrimSpace(line)
	return s, nil
}

// startOn gives the child the affinity of this thread, which is set for as long as that takes.
func startOn(core int, cmd *exec.Cmd) error {
	if core < 0 || runtime.NumCPU() < 2 {
		return cmd.Start()
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var before, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		return err
	}
	one.Set(core)
	if err := unix.SchedSetaffinity(0, &one); err != nil {
		return err
	}
	defer func() { _ = unix.SchedSetaffinity(0, &before) }()
	return cmd.Start()
}

func (s *server) stop() {
	if s == nil {
		return
	}
	s.in.Close()
	done := make(chan struct{})
	go func() { _ = s.cmd.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(3 * time.Second):
		_ = s.cmd.Process.Kill()
		<-done
	}
}

// cpu is the time that all threads of the process and of its children have run, from the
// scheduler's own accounting.
func (s *server) cpu() time.Duration { return cost.CPUOf(s.cmd.Process.Pid) }

// residentOf is the process's resident memory in bytes.
func residentOf(pid int) int64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0
	}
	f := strings.Fields(string(b))
	n, _ := strconv.ParseInt(f[1], 10, 64)
	return n * int64(os.Getpagesize())
}

// syscalls are the read and write calls of the process so far, as the kernel counts them.
func (s *server) syscalls() int64 { return syscallsOf(s.cmd.Process.Pid) }

func syscallsOf(pid int) int64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/io", pid))
	if err != nil {
		return 0
	}
	var sum int64
	for _, line := range strings.Split(string(b), "\n") {
		k, v, _ := strings.Cut(line, ": ")
		if k == "syscr" || k == "syscw" {
			n, _ := strconv.ParseInt(v, 10, 64)
			sum += n
		}
	}
	return sum
}

// untilParentEnds blocks until standard input is closed.
func untilParentEnds() {
	_, _ = io.Copy(io.Discard, os.Stdin)
}
