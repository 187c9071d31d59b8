package master

import (
	"log/slog"
	"sync"
	"time"
)

// supervisor keeps processes running. One goroutine per node owns its process, its restarts
// and the state that others read; halt ends all of them and waits.
type supervisor struct {
	log     *slog.Logger
	state   *state
	command func(node string) command
	start   func(command) (*process, error)
	tail    func(node string) []string  // the last lines of its log
	changed func(node string, dead int) // a node ended (dead is its pid) or was given up; must not block

	mu       sync.Mutex
	children map[string]*child
	halted   chan struct{} // closed by halt: nothing is started any more
	done     sync.WaitGroup
}

// child is one node under supervision.
type child struct {
	node     string
	p        *process // the running one, or the last
	running  bool
	restarts int
	failed   bool
	cause    string   // why the last one ended
	lines    []string // what its log said then
	retry    chan struct{}
}

func newSupervisor(log *slog.Logger, st *state, command func(string) command, tail func(string) []string) *supervisor {
	return &supervisor{
		log: log, state: st, command: command, start: startProcess, tail: tail,
		changed: func(string, int) {}, children: map[string]*child{}, halted: make(chan struct{}),
	}
}

// inherit takes over what a predecessor started: what still runs is watched, what has died
// meanwhile is started again, unless the launch file does not name it any more.
func (s *supervisor) inherit(named func(node string) bool) {
	for node, ps := range s.state.processes() {
		p, err := adoptProcess(ps.PID, ps.Start)
		switch {
		case err == nil:
			s.log.Info("took over", "member", node, "pid", ps.PID)
			s.keep(node, p)
		case named(node):
			s.log.Info("a node of a predecessor is gone", "member", node, "pid", ps.PID, "why", err)
			s.keep(node, nil)
		}
	}
}

// keep starts to keep node running, with p as its process when there is one. A node that is
// kept already stays as it is.
func (s *supervisor) keep(node string, p *process) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.children[node]; ok || s.isHalted() {
		return
	}
	c := &child{node: node, p: p, running: p != nil, retry: make(chan struct{}, 1)}
	s.children[node] = c
	s.done.Go(func() { s.run(c, p) })
}

// adopt keeps a process that nobody knew of: it was started by a predecessor that died before
// it had written so.
func (s *supervisor) adopt(node string, pid int) {
	s.mu.Lock()
	_, known := s.children[node]
	s.mu.Unlock()
	if known {
		return
	}
	p, err := adoptProcess(pid, "")
	if err != nil {
		return
	}
	s.log.Info("took over", "member", node, "pid", pid)
	s.remember(node, p)
	s.keep(node, p)
}

// end kills the process of a node whose life was declared over while it still runs, so that
// it is started again. Nothing happens when the node has another process by now.
func (s *supervisor) end(node string, pid int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, ok := s.children[node]
	if !ok || !c.running || c.p.pid != pid || s.isHalted() {
		return
	}
	s.log.Warn("a node was silent for too long and is killed", "member", node, "pid", pid)
	c.p.h.kill()
}

func (s *supervisor) isHalted() bool {
	select {
	case <-s.halted:
		return true
	default:
		return false
	}
}

// run owns c.
func (s *supervisor) run(c *child, p *process) {
	var r restarts
	first := p == nil
	for {
		if p == nil {
			var err error
			if p, err = s.launch(c, first); err != nil {
				s.ended(c, "cannot be started: "+err.Error(), nil)
				s.log.Error("a node cannot be started", "member", c.node, "err", err)
			}
			if p == nil && s.isHalted() {
				return
			}
		}
		first = false
		var lived time.Duration
		if p != nil {
			<-p.gone
			lived = time.Since(p.begun)
			s.ended(c, p.cause, s.tail(c.node))
			s.changed(c.node, p.pid)
			p = nil
		}
		if s.isHalted() {
			return
		}
		delay, ok := r.next(time.Now(), lived)
		if !ok {
			s.log.Error("a node is given up: it ended too often", "member", c.node, "cause", c.cause)
			s.setFailed(c, true)
			s.changed(c.node, 0)
			select {
			case <-c.retry:
				r = restarts{}
				s.setFailed(c, false)
			case <-s.halted:
				return
			}
			continue
		}
		s.log.Warn("a node ended and is started again", "member", c.node, "cause", c.cause, "after", lived.Round(time.Millisecond), "in", delay)
		t := time.NewTimer(delay)
		select {
		case <-t.C:
		case <-c.retry:
			t.Stop()
		case <-s.halted:
			t.Stop()
			return
		}
	}
}

// launch starts the process of c. It holds the lock, so that halt finds every process that
// there is.
func (s *supervisor) launch(c *child, first bool) (*process, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.isHalted() {
		return nil, nil
	}
	p, err := s.start(s.command(c.node))
	if err != nil {
		return nil, err
	}
	c.p, c.running = p, true
	if !first {
		c.restarts++
	}
	s.remember(c.node, p)
	return p, nil
}

func (s *supervisor) remember(node string, p *process) {
	err := s.state.change(func(d *stateData) { d.Processes[node] = processState{p.pid, p.start} })
	if err != nil {
		s.log.Error("a successor will not know a process", "member", node, "pid", p.pid, "err", err)
	}
}

func (s *supervisor) ended(c *child, cause string, lines []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.running, c.cause, c.lines = false, cause, lines
}

func (s *supervisor) setFailed(c *child, failed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.failed = failed
}

// again starts a node at once that waits for its restart or was given up.
func (s *supervisor) again(node string) bool {
	s.mu.Lock()
	c, ok := s.children[node]
	s.mu.Unlock()
	if !ok {
		return false
	}
	select {
	case c.retry <- struct{}{}:
	default:
	}
	return true
}

// childState is what others see of a child.
type childState struct {
	pid      int
	running  bool
	failed   bool
	restarts int
	cause    string
	lines    []string
}

func (s *supervisor) get(node string) (childState, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, ok := s.children[node]
	if !ok {
		return childState{}, false
	}
	st := childState{running: c.running, failed: c.failed, restarts: c.restarts, cause: c.cause, lines: c.lines}
	if c.running {
		st.pid = c.p.pid
	}
	return st, true
}

// The times of a stop: what a group of nodes may take before the next is asked, and what all
// of them may take before the rest is killed.
const (
	groupPatience = 1500 * time.Millisecond
	stopPatience  = 3500 * time.Millisecond
)

// halt stops all processes and returns when they are gone: group after group is asked, and
// what has not gone in time is killed. Nodes of no group go with the last.
func (s *supervisor) halt(groups [][]string) {
	s.mu.Lock()
	if s.isHalted() {
		s.mu.Unlock()
		s.done.Wait()
		return
	}
	close(s.halted)
	left := map[string]*process{}
	for node, c := range s.children {
		if c.running {
			left[node] = c.p
		}
	}
	s.mu.Unlock()

	var rest []string
	grouped := map[string]bool{}
	for _, g := range groups {
		for _, n := range g {
			grouped[n] = true
		}
	}
	for node := range left {
		if !grouped[node] {
			rest = append(rest, node)
		}
	}
	end := time.NewTimer(stopPatience)
	defer end.Stop()
	for _, g := range append(groups, rest) {
		patience := time.NewTimer(groupPatience)
		for _, node := range g {
			if p := left[node]; p != nil {
				p.h.terminate()
			}
		}
		for _, node := range g {
			p := left[node]
			if p == nil {
				continue
			}
			select {
			case <-p.gone:
				delete(left, node)
				continue
			case <-patience.C:
				patience.Reset(0) // the others of the group have used it up too
			case <-end.C:
				end.Reset(0)
			}
		}
		patience.Stop()
	}
	for node, p := range left {
		select {
		case <-p.gone:
		default:
			s.log.Warn("a node did not stop in time and is killed", "member", node, "pid", p.pid)
			p.h.kill()
		}
	}
	s.done.Wait()
	if err := s.state.change(func(d *stateData) { *d = stateData{Processes: map[string]processState{}} }); err != nil {
		s.log.Error("the file for a successor is not cleared", "err", err)
	}
}
