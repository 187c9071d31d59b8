package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/firefly-go/firefly/runtime/master"
	"github.com/firefly-go/firefly/runtime/transport"
)

// envSupervised is set for a node that a master starts.
const envSupervised = "FIREFLY_SUPERVISED"

func runUp(ctx context.Context, g *game, args []string) (int, error) {
	fs := g.flags("up")
	one := fs.Bool("one-process", false, "run all nodes in this process: for debuggers, and where nothing may be started")
	patient := fs.Bool("no-timeouts", false, "let commands, calls and silent nodes take as long as they like: for debuggers")
	if _, err := parse(fs, args, 0, 0); err != nil {
		return 2, err
	}
	if err := g.load(); err != nil {
		return 2, err
	}
	var start []string
	for _, n := range g.launch.Nodes {
		start = append(start, n.Name)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go watchParent(ctx, func() { cancel(errParent) })
	return g.lead(ctx, leadOptions{start: start, one: *one, patient: *patient, up: true})
}

var errParent = errors.New("the process that started this one is gone")

func runMaster(ctx context.Context, g *game, args []string) (int, error) {
	fs := g.flags("master")
	patient := fs.Bool("no-timeouts", false, "as for up")
	if _, err := parse(fs, args, 0, 0); err != nil {
		return 2, err
	}
	if err := g.load(); err != nil {
		return 2, err
	}
	return g.lead(ctx, leadOptions{patient: *patient})
}

type leadOptions struct {
	start   []string // nodes that this process starts
	one     bool     // and runs in itself
	patient bool
	up      bool // the whole game ends with this process
}

// lead is a master, with what it supervises, until ctx ends or somebody asks it to stop.
func (g *game) lead(ctx context.Context, o leadOptions) (int, error) {
	if err := g.makeData(); err != nil {
		return 1, err
	}
	secrets, err := master.MakeSecrets(g.adminPort())
	if err != nil {
		return 1, err
	}
	out := &lockedWriter{w: g.stdout}
	logFile, err := g.openMasterLog()
	if err != nil {
		return 1, err
	}
	defer logFile.Close()
	log := newLogger(io.MultiWriter(out, logFile), masterName)
	exe, err := os.Executable()
	if err != nil {
		return 1, err
	}
	mo := master.Options{
		Topology: &g.launch.Topology, Secrets: secrets, Network: transport.TCP(), Log: log, Build: build(),
		Logs: g.logs(), Data: g.data, StopOrder: g.stopOrder(), Patient: o.patient,
		Command: func(node string) (argv, env []string) {
			var more []string
			if o.patient {
				more = []string{"--no-timeouts"}
			}
			return append([]string{exe}, g.nodeArgs(node, more...)...), []string{envSupervised + "=1"}
		},
	}
	if !o.one {
		mo.Start = o.start
	}
	offsets := map[string]int64{}
	for _, n := range g.launch.Nodes {
		offsets[n.Name] = mo.Logs.Size(n.Name)
	}
	m, err := master.Start(mo)
	if err != nil {
		return 1, err
	}
	log.Info("the master serves", "admin", m.Admin().String(), "links", g.launch.Master.Link, "data", g.data)

	var local *Local
	if o.one {
		local, err = g.startLocal(ctx, secrets, log, o.patient)
		if err != nil {
			m.Stop(true)
			return 1, err
		}
	}
	followCtx, endFollow := context.WithCancel(context.Background())
	var follow sync.WaitGroup
	if !o.one {
		follow.Go(func() {
			mo.Logs.Follow(followCtx, offsets, func(node string, line []byte) { fmt.Fprintf(out, "%-10s | %s\n", node, line) })
		})
	}
	begun := time.Now()
	ready := make(chan struct{})
	readyCtx, endReady := context.WithCancel(ctx)
	go func() {
		defer close(ready)
		err := m.Ready(readyCtx, func(p master.Process) {
			fmt.Fprintf(g.stderr, "%s is given up: %s\n", p.Name, p.Cause)
			for _, line := range p.Log {
				fmt.Fprintf(g.stderr, "  %s\n", line)
			}
		})
		if err == nil {
			log.Info("every node serves", "after", time.Since(begun).Round(time.Millisecond))
			fmt.Fprintln(out, "ready")
		}
	}()

	stopAll := o.up
	select {
	case <-ctx.Done():
		log.Info("stops", "why", context.Cause(ctx))
	case <-m.Asked():
		stopAll = true
	}
	endReady()
	<-ready
	if local != nil {
		stopCtx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
		if err := local.Stop(stopCtx); err != nil {
			log.Warn("not everything stopped in order", "err", err)
		}
		cancel()
	}
	m.Stop(stopAll)
	endFollow()
	follow.Wait()
	if stopAll {
		master.ForgetSecrets(g.adminPort())
	}
	return 0, nil
}

func (g *game) openMasterLog() (*os.File, error) {
	g.logs().Trim(masterName)
	file := g.logs().Path(masterName)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return nil, err
	}
	return os.OpenFile(file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
}

// stopOrder: gates let go of their clients first, while everybody is there to hear of it;
// the store goes last.
func (g *game) stopOrder() [][]string {
	gates := map[string]bool{}
	for _, r := range g.roles {
		gates[r.Name] = r.Listens != nil
	}
	groups := make([][]string, 3)
	for _, n := range g.launch.Nodes {
		at := 1
		for _, r := range n.Roles {
			switch {
			case gates[r]:
				at = 0
			case r == storeRole && at != 0:
				at = 2
			}
		}
		groups[at] = append(groups[at], n.Name)
	}
	return groups
}

func runNode(ctx context.Context, g *game, args []string) (int, error) {
	fs := g.flags("node")
	masterAddr := fs.String("master", "", "where the master's links are, `HOST:PORT`; default as in the launch file")
	patient := fs.Bool("no-timeouts", false, "as for up")
	rest, err := parse(fs, args, 1, 1)
	if err != nil {
		return 2, err
	}
	if err := g.load(); err != nil {
		return 2, err
	}
	paceGC()
	name := rest[0]
	if _, ok := g.launch.node(name); !ok {
		return 2, fmt.Errorf("%s has no node %q", g.launch.File, name)
	}
	secrets, err := master.FindSecrets(g.adminPort())
	if err != nil && secrets.ClusterSecret == "" {
		return 1, err
	}
	if *masterAddr == "" {
		*masterAddr = reachable(g.launch.Master.Link)
	}
	log := newLogger(g.stderr, name)
	no := nodeOptions{
		launch: g.launch, roles: g.roles, name: name, network: transport.TCP(), doors: transport.TCP(),
		secret: []byte(secrets.ClusterSecret), log: log, interceptors: g.o.Interceptors, patient: *patient,
		master: *masterAddr, supervised: os.Getenv(envSupervised) != "",
		// In development a mistake stops at its line; in production it is counted.
		strict: raceEnabled || os.Getenv(envSupervised) != "", getenv: os.Getenv, data: g.data,
		migrations: g.o.Migrations,
	}
	begun := time.Now()
	n, err := startNode(ctx, no)
	switch {
	case err != nil && ctx.Err() != nil:
		log.Info("stopped before it served")
		return 0, nil
	case err != nil:
		log.Error("the node cannot start", "err", err)
		return 1, nil
	}
	log.Info("the node serves", "link", n.cluster.Self().Address, "clients", n.cluster.Self().Clients, "after", time.Since(begun).Round(time.Millisecond))
	code := 0
	select {
	case <-ctx.Done():
	case <-n.asked:
	case err := <-n.fatal:
		log.Error("the node ends", "err", err)
		code = 1
	}
	stopCtx, cancel := context.WithTimeout(context.Background(), nodeStopTime)
	defer cancel()
	if err := n.stop(stopCtx); err != nil {
		log.Warn("not everything stopped in order", "err", err)
	}
	log.Info("the node has stopped")
	return code, nil
}

// nodeStopTime is what a node may take to stop; the master kills it somewhat later.
const nodeStopTime = 1300 * time.Millisecond

// startLocal runs all nodes in this process, linked with the master over TCP, so that status
// and the other commands work as ever.
func (g *game) startLocal(ctx context.Context, s master.Secrets, log *slog.Logger, patient bool) (*Local, error) {
	return StartLocal(ctx, LocalOptions{
		Launch: g.launch, Roles: g.roles, Network: transport.TCP(), Doors: transport.TCP(), Secret: []byte(s.ClusterSecret),
		Log: log, Interceptors: g.o.Interceptors, NoTimeouts: patient, Master: g.launch.Master.Link, Getenv: os.Getenv, Data: g.data,
		Migrations: g.o.Migrations,
	})
}
