//go:build unix

package node

import (
	"context"
	"os"
	"time"
)

// watchParent calls gone once when the parent of this process dies: `go run` hands no signal
// on, and a game whose starter is gone is nobody's. It returns when ctx ends.
func watchParent(ctx context.Context, gone func()) {
	parent := os.Getppid()
	t := time.NewTicker(200 * time.Millisecond)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			if os.Getppid() != parent {
				gone()
				return
			}
		case <-ctx.Done():
			return
		}
	}
}
