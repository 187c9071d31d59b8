package master

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/cluster"
	"github.com/firefly-go/firefly/runtime/transport"
)

// Supervised is the Member.Detail of a node that a master started, and may start again.
const Supervised = "supervised"

// The operations that a master asks of nodes: cluster.Options.Control.
const (
	OpStop = "stop" // stop in order; answered at once
	OpSync = "sync" // the body is a version of the view; answered when the node has it
	// OpTables is for the nodes that keep tables; question and answer are JSON of runtime/node.
	OpTables = "tables"
)

// storeRole is the framework's own role, which keeps tables.
const storeRole = "store"

// Options are those of a Master.
type Options struct {
	Topology *firefly.Topology // checked, ports shifted
	Secrets  Secrets
	Network  transport.Network
	Log      *slog.Logger
	Build    string
	Logs     Logs
	// Data is where the file for a successor stands; "" keeps none, and supervises nothing.
	Data string
	// Command gives arguments and additions to the environment by which a node is started.
	Command func(node string) (argv, env []string)
	// Start are the nodes that this master starts; those of a predecessor come by themselves.
	Start []string
	// StopOrder are groups of nodes: a group is asked to stop when the former has ended.
	StopOrder [][]string
	// Patient: a node that is not heard of is never given up, for debuggers.
	Patient bool
}

// Master is the registry, the supervisor and the admin API of one cluster.
type Master struct {
	o        Options
	registry *cluster.Registry
	sup      *supervisor // nil without Data
	state    *state
	admin    *admin
	unlock   func()

	asked   chan struct{} // closed when the admin API was told to stop everything
	askOnce sync.Once
	ended   chan struct{} // closed by Stop
	endOnce sync.Once
	changed chan struct{} // has room for one: the view or a child changed
	watch   sync.WaitGroup

	mu   sync.Mutex
	view cluster.View
}

// Start makes a master and starts what it has to start. What it gives must be stopped.
func Start(o Options) (*Master, error) {
	m := &Master{
		o: o, unlock: func() {}, asked: make(chan struct{}), ended: make(chan struct{}), changed: make(chan struct{}, 1),
	}
	if err := m.start(); err != nil {
		m.close()
		return nil, err
	}
	return m, nil
}

func (m *Master) start() (err error) {
	o := &m.o
	m.admin = &admin{
		token: o.Secrets.AdminToken, log: o.Log, logs: o.Logs, status: m.Processes,
		stop: m.ask, restart: m.restart, tables: m.tables, stopped: m.ended,
	}
	// The port goes first: whoever has it is the master.
	if err := m.admin.listen(o.Topology.Master.Admin); err != nil {
		return err
	}
	declared := cluster.DeclaredOf(o.Topology)
	if o.Data != "" {
		if m.unlock, err = lockDir(o.Data); err != nil {
			return err
		}
		if m.state, err = openState(o.Data); err != nil {
			return err
		}
		if d := m.state.declared(); d != nil && d.Version > declared.Version {
			o.Log.Warn("the nodes of a predecessor were declared later than this launch file says; theirs hold", "version", d.Version, "launch", declared.Version)
			declared = *d
		}
		if err := m.state.change(func(d *stateData) { d.Declared = &declared }); err != nil {
			return err
		}
	}
	host, _ := os.Hostname()
	grace, silence := 10*time.Second, time.Duration(0)
	if o.Patient {
		grace, silence = 24*time.Hour, 24*time.Hour
	}
	m.registry = cluster.NewRegistry(cluster.RegistryOptions{
		Self: cluster.Member{
			Name: "master", Incarnation: firefly.NewIncarnation(time.Now(), randomBits()), Roles: []string{},
			PID: os.Getpid(), Host: host, Build: o.Build, State: cluster.Ready,
		},
		Network: o.Network, Secret: []byte(o.Secrets.ClusterSecret), Game: o.Topology.Game,
		Declared: declared, Grace: grace, Silence: silence, OnChange: m.onView, Log: o.Log,
	})
	if _, err := m.registry.Listen(o.Topology.Master.Link); err != nil {
		return fmt.Errorf("the master cannot listen for nodes: %w", err)
	}
	m.admin.serve()
	if o.Data != "" {
		m.sup = newSupervisor(o.Log, m.state, m.command, func(node string) []string { return o.Logs.Tail(node, 10) })
		m.sup.changed = m.onChild
		m.sup.inherit(func(node string) bool {
			return slices.ContainsFunc(o.Topology.Nodes, func(n firefly.NodeConfig) bool { return n.Name == node })
		})
		for _, node := range o.Start {
			m.sup.keep(node, nil)
		}
	}
	m.watch.Go(m.adoptSupervised)
	m.watch.Go(m.trimLogs)
	return nil
}

func (m *Master) command(node string) command {
	argv, env := m.o.Command(node)
	return command{argv: argv, env: env, output: m.o.Logs.Path(node)}
}

// ask begins the stop that the admin API was asked for: Asked tells whoever runs the master.
func (m *Master) ask() { m.askOnce.Do(func() { close(m.asked) }) }

// Asked is closed when the admin API was asked to stop everything.
func (m *Master) Asked() <-chan struct{} { return m.asked }

func (m *Master) restart(node string) bool { return m.sup != nil && m.sup.again(node) }

// Admin is the address of the admin API.
func (m *Master) Admin() net.Addr { return m.admin.ln.Addr() }

// onView takes a new view; it is called by the registry and must not block.
func (m *Master) onView(v cluster.View) {
	m.mu.Lock()
	m.view = v
	m.mu.Unlock()
	m.wake()
}

func (m *Master) wake() {
	select {
	case m.changed <- struct{}{}:
	default:
	}
}

func (m *Master) snapshot() cluster.View {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.view
}

// onChild tells the registry of a process that is surely dead, long before its silence would.
func (m *Master) onChild(node string, dead int) {
	if dead != 0 {
		for _, x := range m.snapshot().Members {
			if x.Name == node && x.PID == dead {
				m.registry.Gone(node, x.Incarnation)
			}
		}
	}
	m.wake()
}

// adoptSupervised takes over processes that a predecessor started and had not written down
// when it died, and ends those whose life is over as far as the cluster is concerned: they
// were silent for too long, and nobody will speak to them again.
func (m *Master) adoptSupervised() {
	host, _ := os.Hostname()
	lives := map[string]cluster.Member{}
	for {
		select {
		case <-m.ended:
			return
		case <-m.changed:
		}
		if m.sup == nil {
			continue
		}
		v := m.snapshot()
		for _, x := range v.Members {
			if x.Detail == Supervised && x.Host == host && x.State != cluster.Lost && x.PID > 0 && x.PID != os.Getpid() {
				m.sup.adopt(x.Name, x.PID)
			}
			lives[x.Name] = x
		}
		for _, d := range v.Dead {
			if x, ok := lives[d.Name]; ok && x.Host == host && x.Incarnation <= d.Incarnation {
				delete(lives, d.Name)
				m.sup.end(d.Name, x.PID)
			}
		}
	}
}

// trimLogs keeps the logs of this host's nodes from filling the disk.
func (m *Master) trimLogs() {
	t := time.NewTicker(30 * time.Second)
	defer t.Stop()
	for {
		for _, node := range m.o.Logs.Nodes() {
			m.o.Logs.Trim(node)
		}
		select {
		case <-t.C:
		case <-m.ended:
			return
		}
	}
}

// Ready waits until every declared node serves and knows of all others. It calls failed once
// for each node that is given up meanwhile.
func (m *Master) Ready(ctx context.Context, failed func(p Process)) error {
	told := map[string]bool{}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		missing := false
		for _, p := range m.Processes() {
			missing = missing || p.State != StateReady
			if p.State == StateFailed && !told[p.Name] {
				told[p.Name] = true
				failed(p)
			}
		}
		if !missing {
			break
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	v := m.registry.View()
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	var wg sync.WaitGroup
	for _, x := range v.Members {
		if x.Name != "master" {
			wg.Go(func() {
				_, _ = m.registry.Control(ctx, x.Name, OpSync, []byte(strconv.FormatUint(v.Version, 10)))
			})
		}
	}
	wg.Wait()
	return nil
}

// tables asks the node that keeps tables, every such node when it is "", in the order of their names. One that
// is declared and not there answers with an error.
func (m *Master) tables(ctx context.Context, node string, ask []byte) []Answer {
	ctx, cancel := context.WithTimeout(ctx, tablesTime)
	defer cancel()
	answers := []Answer{}
	for _, n := range m.o.Topology.Nodes {
		if slices.Contains(n.Roles, storeRole) && (node == "" || node == n.Name) {
			answers = append(answers, Answer{Node: n.Name})
		}
	}
	slices.SortFunc(answers, func(a, b Answer) int { return strings.Compare(a.Node, b.Node) })
	var wg sync.WaitGroup
	for i := range answers {
		wg.Go(func() {
			body, err := m.registry.Control(ctx, answers[i].Node, OpTables, ask)
			switch {
			case err != nil:
				answers[i].Error = err.Error()
			case !json.Valid(body):
				answers[i].Error = "its answer is no JSON; it may be of another version"
			default:
				answers[i].Body = body
			}
		})
	}
	wg.Wait()
	return answers
}

// tablesTime is what nodes have for an answer about their tables.
const tablesTime = 10 * time.Second

// Processes are all processes, the master first, then those of the launch file in its order,
// then any others that have registered.
func (m *Master) Processes() []Process {
	host, _ := os.Hostname()
	state := StateReady
	select {
	case <-m.ended:
		state = StateStopping
	case <-m.asked:
		state = StateStopping
	default:
	}
	ps := []Process{{
		Name: "master", Roles: []string{}, PID: os.Getpid(), Build: m.o.Build, Address: m.admin.ln.Addr().String(),
		State: state, Host: host,
	}}
	members := map[string]cluster.Member{}
	for _, x := range m.registry.View().Members { // not the last view sent: loads and vitals are newer here
		members[x.Name] = x
	}
	for _, n := range m.o.Topology.Nodes {
		x, known := members[n.Name]
		delete(members, n.Name)
		p := Process{Name: n.Name, Roles: n.Roles, State: StateMissing}
		if known {
			p = processOf(x)
		}
		m.supervision(&p, known)
		ps = append(ps, p)
	}
	for _, name := range sortedNames(members) {
		if name == "master" {
			continue
		}
		p := processOf(members[name])
		m.supervision(&p, true)
		ps = append(ps, p)
	}
	return ps
}

func processOf(x cluster.Member) Process {
	p := Process{
		Name: x.Name, Roles: x.Roles, PID: x.PID, Build: x.Build, Address: x.Address, Sessions: x.Sessions, Vitals: x.Vitals,
		Host: x.Host, Incarnation: x.Incarnation.String(),
	}
	if len(x.Clients) > 0 {
		p.Address = x.Clients[0]
	}
	switch x.State {
	case cluster.Ready:
		p.State = StateReady
	case cluster.Draining:
		p.State = StateStopping
	case cluster.Lost:
		p.State = StateSilent
	default:
		p.State = StateStarting
	}
	return p
}

// supervision adds what the supervisor knows: it sees an end, and a halt, at once.
func (m *Master) supervision(p *Process, registered bool) {
	if m.sup == nil {
		return
	}
	c, ok := m.sup.get(p.Name)
	if !ok {
		return
	}
	p.Supervised, p.Restarts, p.Cause = true, c.restarts, c.cause
	switch {
	case c.failed:
		p.State, p.PID, p.Log = StateFailed, 0, c.lines
	case !c.running:
		p.State, p.PID = StateRestart, 0
	case !registered || p.PID != c.pid:
		p.State, p.PID = StateStarting, c.pid
	case p.State == StateReady && halted(c.pid):
		p.State = StateSilent
	}
}

// Stop stops the nodes that are supervised here and then the master itself; with all set it
// asks every other node to stop as well. It takes less than five seconds.
func (m *Master) Stop(all bool) {
	if all {
		m.stopOthers()
	}
	if m.sup != nil {
		m.sup.halt(m.o.StopOrder)
	}
	m.close()
}

// stopOthers asks nodes that other hosts, schedulers or hands have started.
func (m *Master) stopOthers() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	var wg sync.WaitGroup
	for _, x := range m.snapshot().Members {
		if x.Name == "master" {
			continue
		}
		if m.sup != nil {
			if _, ours := m.sup.get(x.Name); ours {
				continue
			}
		}
		wg.Go(func() {
			if _, err := m.registry.Control(ctx, x.Name, OpStop, nil); err != nil {
				m.o.Log.Warn("a node could not be asked to stop", "member", x.Name, "err", err)
			}
		})
	}
	wg.Wait()
}

// close ends everything that runs here, and no node.
func (m *Master) close() {
	m.endOnce.Do(func() {
		close(m.ended)
		m.watch.Wait()
		if m.admin != nil {
			m.admin.close()
		}
		if m.registry != nil {
			m.registry.Close()
		}
		m.unlock()
	})
}

func sortedNames(m map[string]cluster.Member) []string {
	names := make([]string, 0, len(m))
	for n := range m {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

// ErrLocked: another master uses the data folder.
var ErrLocked = errors.New("another master uses it")

func lockDir(dir string) (func(), error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(dir, "master.lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := lockFile(f); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("%s: %w: %w", dir, ErrLocked, err)
	}
	return func() { _ = f.Close() }, nil
}
