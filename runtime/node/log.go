package node

import (
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/firefly-go/firefly/runtime/master"
)

// Environment of the logger.
const (
	envLogFormat = "FIREFLY_LOG"       // text (default) or json
	envLogLevel  = "FIREFLY_LOG_LEVEL" // debug, info (default), warn, error
)

// newLogger is the logger of one process: every line names the node and the build.
func newLogger(w io.Writer, node string) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(os.Getenv(envLogLevel))) // info when it says nothing sensible
	o := &slog.HandlerOptions{Level: level}
	var h slog.Handler = slog.NewTextHandler(w, o)
	if strings.EqualFold(os.Getenv(envLogFormat), "json") {
		h = slog.NewJSONHandler(w, o)
	}
	return slog.New(h).With("node", node, "build", build())
}

// logs are the nodes' log files.
func (g *game) logs() master.Logs { return master.Logs{Dir: filepath.Join(g.data, "logs")} }

// lockedWriter lets several goroutines write whole lines. An error is nobody's concern: the
// reader of our output may go away.
type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (w *lockedWriter) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, _ = w.w.Write(b)
	return len(b), nil
}
