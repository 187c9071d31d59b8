package rpc

import (
	"errors"
	"runtime"
	"testing"
	"time"

	"github.com/firefly-go/firefly/runtime/transport"
)

// A link owns no goroutine, and leaves none behind however it ends. (Inside synctest a
// goroutine that is left fails the test by itself; this is over real sockets.)
func TestNoGoroutineLeaks(t *testing.T) {
	n := transport.TCP()
	once := func(links int) {
		var downs []*server
		for i := range links {
			here, there := idle(), idle()
			near, far := pair(t, n, here, there)
			if err := near.Call(t.Context(), &Header{}, Payload{}, nil); err != nil {
				t.Fatal(err)
			}
			switch i % 4 {
			case 0:
				near.Close(nil)
			case 1:
				far.Close(errors.New("enough"))
			case 2:
				near.conn.Close()
			case 3:
				near.raw([]byte{0})
			}
			downs = append(downs, here, there)
		}
		for _, s := range downs {
			<-s.downs
		}
	}
	once(4) // what the network itself starts
	before := runtime.NumGoroutine()
	once(40)
	for end := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > before; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			buf := make([]byte, 1<<16)
			t.Fatalf("%d goroutines, %d before\n%s", runtime.NumGoroutine(), before, buf[:runtime.Stack(buf, true)])
		}
	}
}
