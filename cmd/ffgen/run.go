package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"

	"github.com/firefly-go/firefly"
)

// Exit codes.
const (
	good  = 0
	wrong = 1 // what was asked about is wrong
	usage = 2
)

// A command is one word of the tool. graph has its place here when it comes.
type command struct {
	name, args, story string
	run               func(ctx context.Context, c *call) int
}

func commands() []command {
	return []command{
		{"new", "NAME", "make a new game in the directory NAME", cmdNew},
		{"generate", "[--scaffold]", "write everything that follows from the .proto files (default)", cmdGenerate},
		{"check", "", "say whether anything is stale or invalid", cmdCheck},
		{"breaking", "[--against DIR|REF|LOCK]", "say what released clients no longer understand", cmdBreaking},
		{"release", "VERSION", "record the present declaration in ffgen.lock as released", cmdRelease},
		{"import", "mysql SCHEMA.sql", "declare the tables of an existing schema", cmdImport},
		{"migrate", "diff NAME", "write the next migration of the databases", cmdMigrate},
		{"describe", "[--json]", "print what is declared", cmdDescribe},
		{"version", "", "print the version", cmdVersion},
	}
}

// call is one run of a command.
type call struct {
	name   string
	args   []string
	stdin  io.Reader
	stdout io.Writer
	stderr io.Writer
}

// run is the whole tool; main only gives it the process. Diagnostics go to stderr.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	// A run lives a second and uses little: collecting garbage would be a tenth of its time.
	defer debug.SetGCPercent(debug.SetGCPercent(800))
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	if len(args) > 2 && args[0] == "-C" && !strings.HasPrefix(args[2], "-") {
		// -C before the command, as git and go have it.
		args = append([]string{args[2], "-C", args[1]}, args[3:]...)
	}
	c := &call{name: "generate", args: args, stdin: stdin, stdout: stdout, stderr: stderr}
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		c.name, c.args = args[0], args[1:]
	}
	if len(args) > 0 && slices.Contains([]string{"-h", "-help", "--help"}, args[0]) || c.name == "help" {
		printUsage(stdout)
		return good
	}
	for _, cmd := range commands() {
		if cmd.name == c.name {
			return cmd.run(ctx, c)
		}
	}
	fmt.Fprintf(stderr, "ffgen: there is no command %q\n\n", c.name)
	printUsage(stderr)
	return usage
}

func printUsage(w io.Writer) {
	fmt.Fprint(w, "ffgen turns the .proto files of a game into its Go code.\n\n")
	for _, cmd := range commands() {
		fmt.Fprintf(w, "  ffgen %-36s %s\n", strings.TrimSpace(cmd.name+" "+cmd.args), cmd.story)
	}
	fmt.Fprint(w, "\nIt works on the Go module around the current directory, or around the one given with\n-C DIR, and reads the .proto files in the module's proto folder.\n\nExit codes: 0 good, 1 what you asked about is wrong, 2 usage.\n")
}

// flags makes the flag set of a command; every command knows -C.
func (c *call) flags() (*flag.FlagSet, *string) {
	f := flag.NewFlagSet("ffgen "+c.name, flag.ContinueOnError)
	f.SetOutput(c.stderr)
	dir := f.String("C", ".", "work on the module around this `directory`")
	return f, dir
}

// parse reads the arguments; flags may stand before and behind the n words that the command
// takes. ok is false when there is nothing more to do but to exit with code.
func (c *call) parse(f *flag.FlagSet, n int) (words []string, code int, ok bool) {
	rest := c.args
	for {
		if err := f.Parse(rest); err != nil {
			if errors.Is(err, flag.ErrHelp) {
				return nil, good, false
			}
			return nil, usage, false
		}
		if f.NArg() == 0 {
			break
		}
		words = append(words, f.Arg(0))
		rest = f.Args()[1:]
	}
	if len(words) != n {
		for _, cmd := range commands() {
			if cmd.name == c.name {
				fmt.Fprintf(c.stderr, "usage: ffgen %s\n", strings.TrimSpace(cmd.name+" "+cmd.args))
			}
		}
		return nil, usage, false
	}
	return words, good, true
}

// warn prints lines that stop nothing.
func (c *call) warn(lines []string) {
	for _, l := range lines {
		fmt.Fprintln(c.stderr, l)
	}
}

// fail prints err and gives the exit code for it.
func (c *call) fail(err error) int {
	fmt.Fprintln(c.stderr, err)
	return wrong
}

func cmdVersion(_ context.Context, c *call) int {
	f, _ := c.flags()
	if _, code, ok := c.parse(f, 0); !ok {
		return code
	}
	fmt.Fprintf(c.stdout, "ffgen %s\n", firefly.Version)
	return good
}
