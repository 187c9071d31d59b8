package node

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"

	"github.com/firefly-go/firefly"
)

// Options are what a game sets in its main beside its roles. The zero value works.
type Options struct {
	// Launch is a launch file that is built into the binary, for when there is none on disk.
	Launch []byte
	// Bots is the game's own load: the command `bots`. addrs are the client addresses of the
	// launch file's gates, args what followed that node does not know. The result is the exit
	// code: 0 when all went well.
	Bots func(ctx context.Context, addrs, args []string, stdout, stderr io.Writer) int
	// Migrations are the numbered files that change the game's databases, which ffgen migrate diff
	// writes: the Files of its package migrations. nil: none; then the embedded store follows what is
	// declared as far as that only adds.
	Migrations fs.FS
	// Interceptors stand around every command and call, the first outermost.
	Interceptors []Interceptor
}

// Main is the command line of a game's binary. It does not return.
func Main(roles ...Role) { MainWith(Options{}, roles...) }

// MainWith is Main with options.
func MainWith(o Options, roles ...Role) {
	ctx, stop := signal.NotifyContext(context.Background(), stopSignals()...)
	// A reader of our output that went away is no reason to die, and not one to be handed on
	// to children as "ignored", so it is caught.
	signal.Notify(make(chan os.Signal, 1), pipeSignals()...)
	code := run(ctx, o, roles, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// commands of the game's binary, in the order of the help.
var commands = []struct {
	name, help string
	run        func(ctx context.Context, g *game, args []string) (int, error)
}{
	{"up", "run the whole game on this host until it is stopped", runUp},
	{"master", "run the master alone; it takes over the nodes of one that died", runMaster},
	{"node", "run one node: node NAME --master HOST:PORT", runNode},
	{"status", "list the processes: status [--json]", runStatus},
	{"logs", "print logs: logs [NAME] [-f] [-n LINES]", runLogs},
	{"stop", "stop the whole game", runStop},
	{"restart", "start a node again that FAILED or waits: restart NAME", runRestart},
	{"tables", "how tables are doing: tables status|quarantine|retry|discard [TABLE [KEY]] [--json]", runTables},
	{"migrate", "change the databases: migrate up, migrate status [--json]", runMigrate},
	{"bots", "play with many clients: the game's own flags", runBots},
	{"version", "print the build", runVersion},
}

// run is the command: 0 good, 1 what was asked for is wrong, 2 usage.
func run(ctx context.Context, o Options, roles []Role, args []string, _ io.Reader, stdout, stderr io.Writer) int {
	name := filepath.Base(os.Args[0])
	if len(args) == 0 || args[0] == "help" || args[0] == "-h" || args[0] == "--help" {
		out, code := stdout, 0
		if len(args) == 0 {
			out, code = stderr, 2
		}
		fmt.Fprintf(out, "usage: %s COMMAND [flags]\n\n", name)
		for _, c := range commands {
			fmt.Fprintf(out, "  %-8s %s\n", c.name, c.help)
		}
		fmt.Fprintf(out, "\nEvery command takes --launch FILE, --port-base N and --data DIR; COMMAND -h lists its flags.\n")
		return code
	}
	g := &game{o: o, roles: roles, stdout: stdout, stderr: stderr}
	for _, c := range commands {
		if c.name != args[0] {
			continue
		}
		code, err := c.run(ctx, g, args[1:])
		switch {
		case errors.Is(err, flag.ErrHelp):
			return 0
		case errors.Is(err, errUsage):
			return 2
		case err != nil:
			fmt.Fprintf(stderr, "%s %s: %v\n", name, c.name, err)
			return max(1, code)
		}
		return code
	}
	fmt.Fprintf(stderr, "%s: there is no command %q; `%s help` lists them\n", name, args[0], name)
	return 2
}

// flags begins the flags of one command.
func (g *game) flags(name string) *flag.FlagSet {
	fs := flag.NewFlagSet(name, flag.ContinueOnError)
	fs.SetOutput(g.stderr)
	g.add(fs)
	return fs
}

func runVersion(_ context.Context, g *game, _ []string) (int, error) {
	fmt.Fprintf(g.stdout, "%s (firefly %s)\n", build(), firefly.Version)
	return 0, nil
}
