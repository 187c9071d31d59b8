package node

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// roomy is how much garbage a process may gather before it is worth collecting, however
// little lives. A gate or a world keeps a few megabytes and makes hundreds of megabytes of
// garbage a second under load; Go's own rule, as much again as lives, would collect dozens of
// times a second.
const roomy = 32 << 20

// paceGC sets the collector's target to max(what lives, roomy) of garbage, anew after each
// collection. GOGC and GOMEMLIMIT in the environment go before it. It is for a process that
// is a node, so the commands call it, and fireflytest does not.
func paceGC() {
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	type collected struct{ _ *byte } // with a pointer, so that it is an object of its own
	var after func(*collected)
	after = func(c *collected) {
		s := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
		metrics.Read(s)
		live := max(s[0].Value.Uint64(), 4<<20)
		debug.SetGCPercent(int(min(800, max(100, roomy*100/live))))
		runtime.SetFinalizer(c, after) // runs once more after the next collection
	}
	after(&collected{})
}
