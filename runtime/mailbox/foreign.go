package mailbox

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// Own tells whether the calling goroutine is the one that runs c's handler and holds the
// loop, so that it may touch what the loop's holder has, such as a batch of links. It costs
// some nanoseconds.
func (c *Context) Own() bool { return c.mine() }

// mine tells whether the calling goroutine runs c's handler and holds the loop. It is asked
// at every yield: a goroutine that the handler has started may have c, and so may code
// inside Await that has kept the outer ctx, but neither holds the loop.
func (c *Context) mine() bool {
	w := c.w
	// The fields of w that are its own goroutine's are read only when we are that one.
	return w != nil && w.g == goroutine() && w.cur.Load() == c && !w.off
}

// foreign is told of a yield that is not the holder's.
func (c *Context) foreign(what string) {
	if c.l == nil {
		panic("mailbox: " + what + " with the ctx of a task that was not submitted")
	}
	c.l.foreigns.Add(1)
	if c.l.o.Strict {
		panic(fmt.Sprintf("mailbox: %s at %s does not hold the logic loop of %q: only the goroutine that runs the handler may yield, with the ctx it was given and not from inside Await or All; fan out with firefly.All, enter with Node.Go",
			what, caller(), c.name))
	}
}

func (c *Context) sleepForeign(d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return c.Err()
	case <-c.Done():
		return c.Err()
	}
}

func (c *Context) waitForeign(w *Wait) error {
	w.ch = make(chan struct{})
	if !w.state.CompareAndSwap(waitFresh, waitForeign) {
		return w.result(w.state.Load())
	}
	select {
	case <-w.ch:
		return w.result(w.state.Load())
	case <-c.Done():
		if w.state.CompareAndSwap(waitForeign, waitGone) {
			return c.Err()
		}
		<-w.ch
		return w.result(w.state.Load())
	}
}

// caller is the nearest line on the stack that is neither Firefly's nor generated.
func caller() string {
	var pcs [64]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs[:])])
	first := ""
	for {
		f, more := frames.Next()
		at := f.File + ":" + strconv.Itoa(f.Line)
		if first == "" {
			first = at
		}
		if !ours(f) {
			return at
		}
		if !more {
			return first
		}
	}
}

// module is the path of the root package, whose functions stand between a game and the loop.
const module = "github.com/firefly-go/firefly"

func ours(f runtime.Frame) bool {
	if strings.HasSuffix(f.File, "_test.go") {
		return false
	}
	if strings.HasSuffix(f.File, ".ff.go") {
		return true
	}
	// The package is what stands before the first dot after the last slash.
	pkg := f.Function
	slash := strings.LastIndexByte(pkg, '/') + 1
	if dot := strings.IndexByte(pkg[slash:], '.'); dot >= 0 {
		pkg = pkg[:slash+dot]
	}
	return pkg == module || strings.HasPrefix(pkg, module+"/runtime/") || pkg == "context" || pkg == "sync" || pkg == "runtime"
}

// goroutineID is the number by which stack dumps name the calling goroutine. It takes a
// microsecond.
func goroutineID() uint64 {
	var buf [64]byte
	b := bytes.TrimPrefix(buf[:runtime.Stack(buf[:], false)], []byte("goroutine "))
	if i := bytes.IndexByte(b, ' '); i >= 0 {
		b = b[:i]
	}
	id, _ := strconv.ParseUint(string(b), 10, 64)
	return id
}

var _ context.Context = (*Context)(nil)
