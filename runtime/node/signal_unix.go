//go:build unix

package node

import (
	"os"
	"os/signal"
	"syscall"
)

// stopSignals ask the process to stop in order. Under nohup a hangup is none of them.
func stopSignals() []os.Signal {
	s := []os.Signal{syscall.SIGTERM, syscall.SIGINT}
	if !signal.Ignored(syscall.SIGHUP) {
		s = append(s, syscall.SIGHUP)
	}
	return s
}

func pipeSignals() []os.Signal { return []os.Signal{syscall.SIGPIPE} }
