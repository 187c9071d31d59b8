package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"example.com/bench/benchpb"
	"example.com/bench/internal/cost"

	"github.com/firefly-go/firefly/runtime/wire"
)

const (
	commandNear = 101
	commandFar  = 102
	commandIn   = 103
	serverCore  = 0
)

// request makes traffic of native frames with a protobuf body of 32 bytes of data.
func request(command uint32, native bool) traffic {
	blob := &benchpb.Blob{Data: bytes.Repeat([]byte{7}, 32)}
	body, err := blob.MarshalVT()
	if err != nil {
		panic(err)
	}
	t := traffic{
		frame:  func(dst []byte, seq uint64) []byte { return wire.AppendRequest(dst, command, seq&0x3fff|0x2000, body) },
		length: nativeLength,
	}
	if native {
		hello := wire.AppendHello(nil, &wire.Hello{Protocol: wire.Version})
		t.hello = append([]byte(wire.Preamble), byte(wire.HelloFrame), byte(len(hello)))
		t.hello = append(t.hello, hello...)
	}
	return t
}

// logins makes traffic of which every frame logs another player in.
func logins() traffic {
	t := request(commandIn, true)
	player := int64(0)
	t.frame = func(dst []byte, seq uint64) []byte {
		player++
		body, err := (&benchpb.Who{PlayerId: player}).MarshalVT()
		if err != nil {
			panic(err)
		}
		return wire.AppendRequest(dst, commandIn, seq, body)
	}
	return t
}

// measured runs the load once and divides what the servers used by what came back.
func measured(l *load, t traffic, depth int, d time.Duration, cpu func() time.Duration, calls func() int64) (figure, error) {
	warm, _, err := l.run(t, depth, d/10)
	if err != nil {
		return figure{}, err
	}
	c0, s0 := cpu(), calls()
	n, took, err := l.run(t, depth, d)
	if err != nil {
		return figure{}, err
	}
	c1, s1 := cpu(), calls()
	return figure{
		requests:  warm + n,
		perSecond: float64(n) / took.Seconds(),
		cpu:       (c1 - c0) / time.Duration(n),
		syscalls:  float64(s1-s0) / float64(n),
		p50:       l.p50(),
	}, nil
}

// withAllocs adds the objects that the node allocated per request, which it reports every
// second: the figure is read before, and a report later than the end.
func (g *running) withAllocs(node string, round func() (figure, error)) (figure, error) {
	before, err := g.vitals(node)
	if err != nil {
		return figure{}, err
	}
	f, err := round()
	if err != nil {
		return f, err
	}
	time.Sleep(1200 * time.Millisecond)
	after, err := g.vitals(node)
	f.allocs = float64(after.Allocs-before.Allocs) / float64(f.requests)
	return f, err
}

type vitals struct {
	Name, State string
	PID         int
	Goroutines  int
	Allocs      uint64
}

// status asks the game's own tool.
func (g *running) status() ([]vitals, error) {
	cmd := exec.Command(g.self, append([]string{"status", "--json"}, g.flags...)...)
	cmd.Env = g.env
	out, err := cmd.Output()
	if err != nil {
		return nil, err
	}
	var list []vitals
	return list, json.Unmarshal(out, &list)
}

func (g *running) vitals(node string) (vitals, error) {
	list, err := g.status()
	for _, p := range list {
		if p.Name == node {
			return p, err
		}
	}
	return vitals{}, fmt.Errorf("no node %s: %w", node, err)
}

// running is a game of this program as its users start it: `game up` with a launch file.
type running struct {
	up   *exec.Cmd
	addr string
	dir  string
	pids map[string]int

	self       string
	flags, env []string
}

func startGame(nodes ...string) (*running, error) {
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		return nil, err
	}
	base := freeBase()
	launch := map[string]any{
		"game": "bench", "version": 1, "directory": "store",
		"master": map[string]any{"admin": "127.0.0.1:7790", "link": "127.0.0.1:7791"},
	}
	list := []map[string]any{{"name": "store", "roles": []string{"store"}}}
	for _, n := range nodes {
		node := map[string]any{"name": n + "-1", "roles": []string{n}}
		if n == "gate" {
			node["listen"] = map[string]any{"tcp": "127.0.0.1:7700"}
		}
		list = append(list, node)
	}
	launch["nodes"] = list
	b, _ := json.Marshal(launch)
	file := filepath.Join(dir, "launch.json")
	if err := os.WriteFile(file, b, 0o600); err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	flags := []string{"--launch", file, "--data", dir, "--port-base", strconv.Itoa(base)}
	env := append(os.Environ(), "GOMAXPROCS=1", "XDG_RUNTIME_DIR="+dir)
	g := &running{dir: dir, addr: fmt.Sprintf("127.0.0.1:%d", base), pids: map[string]int{}, self: self, flags: flags, env: env}
	g.up = exec.Command(self, append([]string{"up"}, flags...)...)
	g.up.Env = env
	if err := startOn(serverCore, g.up); err != nil {
		return nil, err
	}
	for end := time.Now().Add(30 * time.Second); ; {
		list, err := g.status()
		ready := 0
		if err == nil {
			for _, p := range list {
				if p.State == "ready" {
					ready++
					g.pids[p.Name] = p.PID
				}
			}
		}
		if ready == len(nodes)+2 {
			return g, nil
		}
		if time.Now().After(end) {
			g.stop()
			return nil, fmt.Errorf("the game is not ready after 30 s")
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func freeBase() int {
	for base := 10000; base < 32000; base += 100 {
		free := true
		for _, off := range []int{0, 1, 90, 91} {
			ln, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", base+off))
			if err != nil {
				free = false
				break
			}
			ln.Close()
		}
		if free {
			return base
		}
	}
	return 10000
}

func (g *running) stop() {
	_ = g.up.Process.Signal(syscall.SIGTERM)
	done := make(chan struct{})
	go func() { _ = g.up.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		_ = g.up.Process.Kill()
	}
	os.RemoveAll(g.dir)
}

func (g *running) cpu(names ...string) func() time.Duration {
	return func() (sum time.Duration) {
		for _, n := range names {
			sum += cost.CPUOf(g.pids[n])
		}
		return sum
	}
}

func (g *running) syscalls(names ...string) func() int64 {
	return func() (sum int64) {
		for _, n := range names {
			sum += syscallsOf(g.pids[n])
		}
		return sum
	}
}

// benchEcho sets the gate's own command against a server that gives bytes back.
func benchEcho(s *settings) error {
	raw, err := start(serverCore, "raw-echo")
	if err != nil {
		return err
	}
	defer raw.stop()
	g, err := startGame("gate")
	if err != nil {
		return err
	}
	defer g.stop()
	rawLoad, err := connect(raw.addr, s.conns, request(commandNear, false))
	if err != nil {
		return err
	}
	defer rawLoad.close()
	nearLoad, err := connect(g.addr, s.conns, request(commandNear, true))
	if err != nil {
		return err
	}
	defer nearLoad.close()
	for _, depth := range []int{1, 16} {
		wanted := "cpu ratio at most 1.4; 3 allocs, besides the one that netpoll makes a readable event"
		if depth > 1 {
			wanted = "req/s ratio at least 0.5; 3 allocs"
		}
		err := compare(fmt.Sprintf("echo, %d connections, depth %d", s.conns, depth), s.rounds, []contestant{
			{"raw netpoll", func() (figure, error) {
				return measured(rawLoad, request(commandNear, false), depth, s.d, raw.cpu, raw.syscalls)
			}},
			{"gate: frame, session, loop, codec", func() (figure, error) {
				return g.withAllocs("gate-1", func() (figure, error) {
					return measured(nearLoad, request(commandNear, true), depth, s.d, g.cpu("gate-1"), g.syscalls("gate-1"))
				})
			}},
		}, wanted)
		if err != nil {
			return err
		}
	}
	return nil
}

// benchHops sets gate, world and back against a relay written by hand for these frames.
func benchHops(s *settings) error {
	behind, err := start(serverCore, "raw-echo")
	if err != nil {
		return err
	}
	defer behind.stop()
	relay, err := start(serverCore, "relay", behind.addr)
	if err != nil {
		return err
	}
	defer relay.stop()
	g, err := startGame("gate", "world")
	if err != nil {
		return err
	}
	defer g.stop()
	rawLoad, err := connect(relay.addr, s.conns, request(commandFar, false))
	if err != nil {
		return err
	}
	defer rawLoad.close()
	farLoad, err := connect(g.addr, s.conns, request(commandFar, true))
	if err != nil {
		return err
	}
	defer farLoad.close()
	for _, depth := range []int{1, 8} {
		wanted := "cpu ratio at most 2"
		if depth > 1 {
			wanted = "cpu ratio at most 3"
		}
		err := compare(fmt.Sprintf("two hops, %d connections, depth %d", s.conns, depth), s.rounds, []contestant{
			{"relay and echo, by hand", func() (figure, error) {
				return measured(rawLoad, request(commandFar, false), depth, s.d,
					func() time.Duration { return relay.cpu() + behind.cpu() },
					func() int64 { return relay.syscalls() + behind.syscalls() })
			}},
			{"gate and world", func() (figure, error) {
				return measured(farLoad, request(commandFar, true), depth, s.d, g.cpu("gate-1", "world-1"), g.syscalls("gate-1", "world-1"))
			}},
		}, wanted)
		if err != nil {
			return err
		}
	}
	return nil
}

// benchMemory counts the resident bytes of a gate by its connections: those that only shook
// hands (never spoke a command), and after one echo each.
func benchMemory(s *settings) error {
	g, err := startGame("gate")
	if err != nil {
		return err
	}
	defer g.stop()
	pid := g.pids["gate-1"]
	before := residentOf(pid)
	silent, err := connect(g.addr, s.idle, traffic{length: nativeLength})
	if err != nil {
		return err
	}
	time.Sleep(2 * time.Second)
	perSilent := float64(residentOf(pid)-before) / float64(s.idle)
	silent.close()
	fmt.Printf("resident per connection, never spoken     %7.1f KB  (wanted at most 6)\n", perSilent/1024)
	g.stop()

	g, err = startGame("gate")
	if err != nil {
		return err
	}
	defer g.stop()
	pid = g.pids["gate-1"]
	before = residentOf(pid)
	still, err := g.vitals("gate-1")
	if err != nil {
		return err
	}
	// A hundred at a time, as players come: all at once would measure the handlers that wait
	// for ten thousand logins, not the connections.
	in := logins()
	for n := 0; n < s.idle; n += 100 {
		l, err := connect(g.addr, min(100, s.idle-n), request(commandNear, true))
		if err != nil {
			return err
		}
		defer l.close()
		for _, t := range []traffic{in, request(commandNear, true)} {
			if _, _, err := l.run(t, 1, 0); err != nil {
				return err
			}
		}
	}
	time.Sleep(3 * time.Second)
	fmt.Printf("resident per connection, login and echo   %7.1f KB  (wanted at most 15)\n", float64(residentOf(pid)-before)/1024/float64(s.idle))
	full, err := g.vitals("gate-1")
	if err != nil {
		return err
	}
	fmt.Printf("goroutines of the gate, before and after  %d, %d  (wanted none per connection; those of a hundred waiting logins are given back in time)\n", still.Goroutines, full.Goroutines)
	return nil
}
