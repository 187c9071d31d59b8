package master

import (
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestRestartDelays(t *testing.T) {
	var r restarts
	now := time.Now()
	want := []time.Duration{0, 500 * time.Millisecond, time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 16 * time.Second, 30 * time.Second, 30 * time.Second, 30 * time.Second}
	for i, w := range want {
		d, ok := r.next(now, time.Millisecond)
		if !ok || d != w {
			t.Fatalf("restart %d: %v %v, want %v", i, d, ok, w)
		}
		now = now.Add(d)
	}
	if _, ok := r.next(now, time.Millisecond); ok {
		t.Error("not given up after ten in five minutes")
	}
	r = restarts{}
	for i := range 50 { // dies every minute: for ever at once
		if d, ok := r.next(now, time.Minute); !ok || d != 0 {
			t.Fatalf("death %d: %v %v", i, d, ok)
		}
		now = now.Add(time.Minute)
	}
}

// fakeHandle is a process of fakeSystem.
type fakeHandle struct {
	p        *process
	end      func(cause string)
	deaf     bool // does not go when asked
	asked    *[]string
	name     string
	asksLock *sync.Mutex
}

func (h fakeHandle) wait() { <-h.p.gone }
func (h fakeHandle) terminate() {
	h.asksLock.Lock()
	*h.asked = append(*h.asked, h.name)
	h.asksLock.Unlock()
	if !h.deaf {
		h.end("signal: terminated")
	}
}
func (h fakeHandle) kill()  { h.end("signal: killed") }
func (h fakeHandle) close() {}

type fakeSystem struct {
	mu     sync.Mutex
	begun  map[string][]time.Time
	living map[string]fakeHandle
	asked  []string
	deaf   map[string]bool
	lives  map[string]time.Duration // ends by itself
}

func newFakeSystem(t *testing.T) (*fakeSystem, *supervisor) {
	f := &fakeSystem{begun: map[string][]time.Time{}, living: map[string]fakeHandle{}, deaf: map[string]bool{}, lives: map[string]time.Duration{}}
	st, err := openState(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	s := newSupervisor(slog.New(slog.DiscardHandler), st, func(n string) command { return command{argv: []string{n}} }, func(string) []string { return []string{"last words"} })
	s.start = f.start
	return f, s
}

func (f *fakeSystem) start(c command) (*process, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	name := c.argv[0]
	p := &process{pid: 1000 + len(f.begun[name]), begun: time.Now(), gone: make(chan struct{})}
	f.begun[name] = append(f.begun[name], time.Now())
	var once sync.Once
	h := fakeHandle{p: p, deaf: f.deaf[name], asked: &f.asked, name: name, asksLock: &f.mu, end: func(cause string) {
		once.Do(func() { p.cause = cause; close(p.gone) })
	}}
	p.h = h
	f.living[name] = h
	if d := f.lives[name]; d > 0 {
		time.AfterFunc(d, func() { h.end("exit status 2") })
	}
	return p, nil
}

// TestSupervisorRestarts: a process that always dies is started at once, then later and
// later, and is given up with the last lines of its log; asking for it starts it again.
func TestSupervisorRestarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, s := newFakeSystem(t)
		f.lives["world-1"] = 10 * time.Millisecond
		begin := time.Now()
		s.keep("world-1", nil)
		time.Sleep(4 * time.Minute)
		synctest.Wait()
		f.mu.Lock()
		starts := slices.Clone(f.begun["world-1"])
		f.lives["world-1"] = 0
		f.mu.Unlock()
		if len(starts) != 11 {
			t.Fatalf("%d starts", len(starts))
		}
		if d := starts[1].Sub(begin); d != 10*time.Millisecond {
			t.Errorf("the first restart came after %v", d)
		}
		if d := starts[3].Sub(starts[2]); d != 1010*time.Millisecond {
			t.Errorf("the third restart came after %v", d)
		}
		c, _ := s.get("world-1")
		if !c.failed || c.running || c.cause != "exit status 2" || len(c.lines) != 1 || c.restarts != 10 {
			t.Errorf("%+v", c)
		}
		if !s.again("world-1") || s.again("nobody") {
			t.Error("again")
		}
		synctest.Wait()
		if c, _ := s.get("world-1"); c.failed || !c.running {
			t.Errorf("asked for and not started: %+v", c)
		}
		s.halt(nil)
	})
}

// TestSupervisorHalt: groups are asked in their order, what is deaf is killed, and all of it
// takes less than five seconds.
func TestSupervisorHalt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, s := newFakeSystem(t)
		f.deaf["world-2"] = true
		for _, n := range []string{"gate-1", "world-1", "world-2", "store"} {
			s.keep(n, nil)
		}
		synctest.Wait()
		begin := time.Now()
		s.halt([][]string{{"gate-1"}, {"world-1", "world-2"}, {"store"}})
		if d := time.Since(begin); d > 4*time.Second || d < time.Second {
			t.Errorf("halt took %v", d)
		}
		if !slices.Equal(f.asked, []string{"gate-1", "world-1", "world-2", "store"}) {
			t.Errorf("asked %v", f.asked)
		}
		for n, h := range f.living {
			if h.p.alive() {
				t.Errorf("%s lives", n)
			}
		}
		if len(s.state.processes()) != 0 {
			t.Error("processes are still written down")
		}
		if f.begun["world-1"] = append(f.begun["world-1"], time.Time{}); len(f.begun["world-1"]) != 2 {
			t.Error("something was started again")
		}
	})
}

// TestSupervisorEnd: a life that the cluster gave up is replaced, and only that one.
func TestSupervisorEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, s := newFakeSystem(t)
		f.deaf["world-1"] = true
		s.keep("world-1", nil)
		synctest.Wait()
		s.end("world-1", 77)
		s.end("nobody", 1000)
		synctest.Wait()
		if c, _ := s.get("world-1"); c.pid != 1000 || c.restarts != 0 {
			t.Errorf("%+v", c)
		}
		s.end("world-1", 1000)
		synctest.Wait()
		if c, _ := s.get("world-1"); c.pid != 1001 || !c.running || c.restarts != 1 {
			t.Errorf("%+v", c)
		}
		s.halt(nil)
	})
}
