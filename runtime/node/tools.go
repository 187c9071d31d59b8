package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/firefly-go/firefly/runtime/master"
)

func runStatus(ctx context.Context, g *game, args []string) (int, error) {
	fs := g.flags("status")
	asJSON := fs.Bool("json", false, "print a JSON array with an object for each process")
	if _, err := parse(fs, args, 0, 0); err != nil {
		return 2, err
	}
	if err := g.load(); err != nil {
		return 2, err
	}
	c, err := g.adminClient()
	if err != nil {
		return 1, err
	}
	ps, err := c.Status(ctx)
	if err != nil {
		return 1, err
	}
	if *asJSON {
		enc := json.NewEncoder(g.stdout)
		enc.SetIndent("", "  ")
		return 0, enc.Encode(ps)
	}
	w := tabwriter.NewWriter(g.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "NAME\tROLES\tSTATE\tPID\tSESSIONS\tADDRESS\tBUILD\tRESTARTS")
	for _, p := range ps {
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%d\t%s\t%s\t%d\n", p.Name, strings.Join(p.Roles, ","), p.State, p.PID, p.Sessions, p.Address, p.Build, p.Restarts)
	}
	if err := w.Flush(); err != nil {
		return 1, err
	}
	for _, p := range ps {
		if p.State == master.StateFailed {
			fmt.Fprintf(g.stdout, "\n%s FAILED: %s\n", p.Name, p.Cause)
			for _, line := range p.Log {
				fmt.Fprintf(g.stdout, "  %s\n", line)
			}
		}
	}
	return 0, nil
}

func runLogs(ctx context.Context, g *game, args []string) (int, error) {
	fs := g.flags("logs")
	follow := fs.Bool("f", false, "go on with what is written from now on")
	lines := fs.Int("n", 100, "how many lines of the past, of each node")
	rest, err := parse(fs, args, 0, 1)
	if err != nil {
		return 2, err
	}
	if err := g.load(); err != nil {
		return 2, err
	}
	name := ""
	if len(rest) == 1 {
		name = rest[0]
	}
	c, err := g.adminClient()
	if err == nil {
		err = c.Logs(ctx, g.stdout, name, *lines, *follow)
	}
	if c.Token != "" && !errors.Is(err, master.ErrNoMaster) {
		return 0, err
	}
	// Nobody answers; the files are there all the same.
	logs := g.logs()
	nodes := logs.Nodes()
	if name != "" {
		nodes = []string{name}
	}
	found := false
	for _, n := range nodes {
		for _, line := range logs.Tail(n, *lines) {
			found = true
			g.printLog(name == "", n, []byte(line))
		}
	}
	if !found {
		return 1, err
	}
	if *follow {
		return 1, fmt.Errorf("these lines are all: %w", err)
	}
	return 0, nil
}

func (g *game) printLog(named bool, node string, line []byte) {
	if named {
		fmt.Fprintf(g.stdout, "%-10s | %s\n", node, line)
		return
	}
	fmt.Fprintf(g.stdout, "%s\n", line)
}

func runStop(ctx context.Context, g *game, args []string) (int, error) {
	if _, err := parse(g.flags("stop"), args, 0, 0); err != nil {
		return 2, err
	}
	if err := g.load(); err != nil {
		return 2, err
	}
	c, err := g.adminClient()
	if err != nil {
		return 1, err
	}
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	if err := c.Stop(ctx); err != nil {
		if errors.Is(err, master.ErrNoMaster) {
			return 1, fmt.Errorf("%w; if nodes live on without it, `master` takes them over and can stop them", err)
		}
		return 1, err
	}
	return 0, nil
}

func runRestart(ctx context.Context, g *game, args []string) (int, error) {
	rest, err := parse(g.flags("restart"), args, 1, 1)
	if err != nil {
		return 2, err
	}
	if err := g.load(); err != nil {
		return 2, err
	}
	c, err := g.adminClient()
	if err != nil {
		return 1, err
	}
	return 0, c.Restart(ctx, rest[0])
}

func runBots(ctx context.Context, g *game, args []string) (int, error) {
	rest, err := g.split(args)
	if err != nil {
		fmt.Fprintf(g.stderr, "bots: %v\n", err)
		return 2, errUsage
	}
	if g.o.Bots == nil {
		return 1, errors.New("this game has no bots; node.Options.Bots is where they go")
	}
	if err := g.load(); err != nil {
		return 2, err
	}
	var addrs []string
	for _, a := range g.launch.gateAddrs() {
		addrs = append(addrs, reachable(a))
	}
	return g.o.Bots(ctx, addrs, rest, g.stdout, g.stderr), nil
}
