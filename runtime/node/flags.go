package node

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/firefly-go/firefly/runtime/master"
)

// common are the flags that every command takes.
type common struct {
	launch   string
	portBase int
	data     string
}

func (c *common) add(fs *flag.FlagSet) {
	fs.StringVar(&c.launch, "launch", "", "the launch file; default "+defaultLaunch+" of the game's module")
	fs.IntVar(&c.portBase, "port-base", 0, "shift all ports: clients on `N`, WebSocket N+1, admin N+90, links N+91")
	fs.StringVar(&c.data, "data", "", "folder for everything that is written but the secrets; default .firefly/ADMIN-PORT beside go.mod")
}

// errUsage: the command line is wrong, and that was said already.
var errUsage = errors.New("usage")

// parse reads flags and arguments in any order. With max < 0 there may be any number of
// arguments.
func parse(fs *flag.FlagSet, args []string, minArgs, maxArgs int) (rest []string, err error) {
	for {
		if err := fs.Parse(args); err != nil {
			if errors.Is(err, flag.ErrHelp) {
				return nil, err
			}
			return nil, errUsage
		}
		args = fs.Args()
		if len(args) == 0 {
			break
		}
		rest, args = append(rest, args[0]), args[1:]
	}
	if len(rest) < minArgs || maxArgs >= 0 && len(rest) > maxArgs {
		fmt.Fprintf(fs.Output(), "%s: wrong number of arguments\n", fs.Name())
		fs.Usage()
		return nil, errUsage
	}
	return rest, nil
}

// split takes the common flags out of args and leaves the others: for the game's own
// commands, which node does not know the flags of.
func (c *common) split(args []string) (rest []string, err error) {
	fs := flag.NewFlagSet("", flag.ContinueOnError)
	c.add(fs)
	for i := 0; i < len(args); i++ {
		a := args[i]
		if a == "--" {
			return append(rest, args[i+1:]...), nil
		}
		name, value, inline := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(a, "-"), "-"), "=")
		if !strings.HasPrefix(a, "-") || fs.Lookup(name) == nil {
			rest = append(rest, a)
			continue
		}
		if !inline {
			i++
			if i == len(args) {
				return nil, fmt.Errorf("flag %s needs a value", a)
			}
			value = args[i]
		}
		if err := fs.Set(name, value); err != nil {
			return nil, fmt.Errorf("flag %s: %q is no good value", a, value)
		}
	}
	return rest, nil
}

// game is what a command knows after its flags are read.
type game struct {
	o      Options
	roles  []Role
	launch *Launch
	common
	stdout, stderr io.Writer
}

// load reads the launch file and finds the data folder.
func (g *game) load() error {
	wd, err := os.Getwd()
	if err != nil {
		return err
	}
	file, text := g.common.launch, []byte(nil)
	if file == "" {
		exe, _ := os.Executable()
		found, ok := findLaunch(wd, exe)
		switch {
		case ok:
			file = found
		case g.o.Launch != nil:
			file, text = "(built in) "+defaultLaunch, g.o.Launch
		default:
			return fmt.Errorf("there is no %s here or above; name a launch file with --launch", defaultLaunch)
		}
	}
	if text == nil {
		if text, err = os.ReadFile(file); err != nil {
			return err
		}
		if file, err = filepath.Abs(file); err != nil {
			return err
		}
		g.common.launch = file
	}
	shown := file
	if rel, err := filepath.Rel(wd, file); err == nil && !strings.HasPrefix(rel, "..") {
		shown = rel
	}
	if g.launch, err = ParseLaunch(shown, text); err != nil {
		return err
	}
	if err := g.launch.Check(g.roles); err != nil {
		return err
	}
	if g.portBase != 0 {
		if err := g.launch.Shift(g.portBase); err != nil {
			return err
		}
	}
	if g.data == "" {
		g.data = filepath.Join(moduleDir(wd), ".firefly", strconv.Itoa(g.adminPort()))
	}
	g.data, err = filepath.Abs(g.data)
	return err
}

// moduleDir is the folder of go.mod at or above dir, or dir.
func moduleDir(dir string) string {
	for d := dir; ; d = filepath.Dir(d) {
		if _, err := os.Stat(filepath.Join(d, "go.mod")); err == nil {
			return d
		}
		if d == filepath.Dir(d) {
			return dir
		}
	}
}

func (g *game) adminPort() int {
	_, port := splitPort(g.launch.Master.Admin)
	return port
}

// adminClient speaks to the master of this game; an address that is bound to every interface
// is reached on this host.
func (g *game) adminClient() (master.Client, error) {
	s, err := master.FindSecrets(g.adminPort())
	if err != nil && s.AdminToken == "" {
		if errors.Is(err, master.ErrNoSecrets) {
			return master.Client{}, fmt.Errorf("%s does not run here with admin port %d: `up` starts it, and with %s in the environment this asks one that somebody else started",
				g.launch.Game, g.adminPort(), master.EnvAdminToken)
		}
		return master.Client{}, fmt.Errorf("no master of %s is known at %s: %w", g.launch.Game, g.launch.Master.Admin, err)
	}
	return master.Client{Addr: reachable(g.launch.Master.Admin), Token: s.AdminToken}, nil
}

func reachable(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	if ip := net.ParseIP(host); err == nil && (host == "" || ip != nil && ip.IsUnspecified()) {
		return net.JoinHostPort("127.0.0.1", port)
	}
	return addr
}

// nodeArgs are the arguments by which this binary runs one node of this game.
func (g *game) nodeArgs(node string, more ...string) []string {
	args := []string{"node", node, "--master", reachable(g.launch.Master.Link), "--data", g.data}
	if g.common.launch != "" {
		args = append(args, "--launch", g.common.launch)
	}
	if g.portBase != 0 {
		args = append(args, "--port-base", strconv.Itoa(g.portBase))
	}
	return slices.Concat(args, more)
}

// makeData makes the data folder; one that stands in a module keeps itself out of git.
func (g *game) makeData() error {
	if err := os.MkdirAll(g.data, 0o755); err != nil {
		return err
	}
	parent := filepath.Dir(g.data)
	if filepath.Base(parent) != ".firefly" {
		return nil
	}
	ignore := filepath.Join(parent, ".gitignore")
	if _, err := os.Stat(ignore); err == nil {
		return nil
	}
	return os.WriteFile(ignore, []byte("*\n"), 0o644)
}
