package node

import (
	"context"
	"os"
)

// watchParent calls gone once when the parent of this process dies. It returns when ctx
// ends; what waits for the parent ends with the process.
func watchParent(ctx context.Context, gone func()) {
	p, err := os.FindProcess(os.Getppid())
	if err != nil {
		return
	}
	ended := make(chan struct{})
	go func() {
		_, _ = p.Wait()
		close(ended)
	}()
	select {
	case <-ended:
		gone()
	case <-ctx.Done():
	}
}
