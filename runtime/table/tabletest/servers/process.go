package servers

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"
)

// startWithin bounds how long a server may take to accept connections.
const startWithin = 60 * time.Second

// Server is a server process that can be stopped and started again at the same port. Its methods may be
// called by any goroutine, one at a time.
type Server struct {
	Port int
	name string // program, for texts
	log  string // file
	args []string
	ping func() error // nil when it serves

	mu   sync.Mutex
	cmd  *exec.Cmd
	done chan struct{} // closed when cmd has ended
}

// Addr is host and port.
func (s *Server) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.Port)) }

// Start starts the server, when it is not running, and returns when it serves.
func (s *Server) Start() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running() {
		return nil
	}
	log, err := os.OpenFile(s.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	cmd := exec.Command(s.name, s.args...)
	cmd.Stdout, cmd.Stderr = log, log
	started, done := make(chan error), make(chan struct{})
	go func() {
		// The system ends the server with the thread that started it, so the thread stays.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(done)
		defer func() { _ = log.Close() }()
		endWithParent(cmd)
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		return err
	}
	s.cmd, s.done = cmd, done
	deadline := time.Now().Add(startWithin)
	for {
		err := s.ping()
		if err == nil && s.running() {
			return nil
		}
		if !s.running() {
			return fmt.Errorf("%s ended while it started: %s", s.name, s.tail())
		}
		if time.Now().After(deadline) {
			s.kill(syscall.SIGKILL)
			return fmt.Errorf("%s did not start: %w: %s", s.name, err, s.tail())
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func (s *Server) running() bool {
	if s.cmd == nil {
		return false
	}
	select {
	case <-s.done:
		return false
	default:
		return true
	}
}

// Running reports whether the process is there; a paused one is.
func (s *Server) Running() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.running()
}

// PID is the number of the process that was started last.
func (s *Server) PID() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cmd.Process.Pid
}

func (s *Server) kill(sig syscall.Signal) {
	if s.running() {
		_ = s.cmd.Process.Signal(sig)
		if sig == syscall.SIGTERM {
			_ = s.cmd.Process.Signal(resumeSignal)
		}
		<-s.done
	}
}

// Kill ends the server as kill -9 does, and waits until it is gone.
func (s *Server) Kill() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kill(syscall.SIGKILL)
}

// Stop ends the server in order, and waits until it is gone.
func (s *Server) Stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kill(syscall.SIGTERM)
}

// Pause stops the process where it is: connections stay and nothing is answered.
func (s *Server) Pause() { s.signal(pauseSignal, awaitPause) }

// Resume lets a paused process go on.
func (s *Server) Resume() { s.signal(resumeSignal, func(int) {}) }

func (s *Server) signal(sig syscall.Signal, await func(pid int)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running() {
		_ = s.cmd.Process.Signal(sig)
		await(s.cmd.Process.Pid)
	}
}

// tail is the end of the server's log.
func (s *Server) tail() string {
	b, err := os.ReadFile(s.log)
	if err != nil {
		return err.Error()
	}
	if len(b) > 1500 {
		b = b[len(b)-1500:]
	}
	return string(b)
}

// needs skips the test when the program is not there, but not on a CI machine.
func needs(t testing.TB, program string) {
	t.Helper()
	if _, err := exec.LookPath(find(program)); err == nil {
		return
	}
	if os.Getenv("CI") != "" {
		t.Fatalf("%s is missing", program)
	}
	t.Skipf("%s is missing", program)
}

// find looks for a program, also where users have no path to.
func find(program string) string {
	for _, p := range []string{program, "/usr/sbin/" + program, "/usr/local/sbin/" + program} {
		if path, err := exec.LookPath(p); err == nil {
			return path
		}
	}
	return program
}

// FreePort is a port that nobody has now, below those that the system gives to outgoing connections.
func FreePort() (int, error) {
	for range 500 {
		p := 10000 + rand.IntN(22000)
		l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(p))
		if err == nil {
			_ = l.Close()
			return p, nil
		}
	}
	return 0, errors.New("no free port")
}
