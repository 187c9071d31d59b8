package transport_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/firefly-go/firefly/runtime/transport"
)

// gather is a Handler that keeps what arrives.
type gather struct {
	mu   sync.Mutex
	data []byte
}

func (g *gather) Data(_ transport.Conn, b []byte, _ *transport.Batch) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.data = append(g.data, b...)
	return len(b)
}
func (g *gather) Writable(transport.Conn)      {}
func (g *gather) Closed(transport.Conn, error) {}
func (g *gather) text() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return string(g.data)
}

// TestMemoryPauseHost: nothing comes to or from a paused host, whoever dialed, and all of it
// comes afterwards.
func TestMemoryPauseHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := transport.NewMemory()
		var in, out gather
		if _, err := m.Listen("b:1", func(transport.Conn) transport.Handler { return &in }); err != nil {
			t.Fatal(err)
		}
		c, err := m.From("a").Dial(context.Background(), "b:1", func(transport.Conn) transport.Handler { return &out })
		if err != nil {
			t.Fatal(err)
		}
		for _, host := range []string{"a", "b"} {
			before := in.text()
			m.PauseHost(host)
			if _, err := c.TryWrite([]byte(host)); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			if _, err := m.From("a").Dial(ctx, "b:1", func(transport.Conn) transport.Handler { return &out }); err == nil {
				t.Errorf("dialed while %s is paused", host)
			}
			cancel()
			synctest.Wait()
			if in.text() != before {
				t.Errorf("%s is paused and %q arrived", host, in.text())
			}
			m.ResumeHost(host)
			synctest.Wait()
			if in.text() != before+host {
				t.Errorf("after %s: %q", host, in.text())
			}
		}
		c.Close()
		synctest.Wait()
	})
}
