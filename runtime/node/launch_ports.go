package node

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"

	"github.com/firefly-go/firefly"
)

// door is one address that clients come to, by its key in the launch file.
type door struct {
	key  string
	addr *string
}

func doorsOf(c *firefly.ListenConfig) []door {
	return []door{{"tcp", &c.TCP}, {"websocket", &c.WebSocket}, {"http", &c.HTTP}}
}

// Shift moves all fixed ports so that the first gate's clients come to base, its WebSocket
// to base+1, the admin API to base+90 and the master's links to base+91; every other port
// keeps its distance to the first gate's. Port 0 stays 0. It goes after Check.
func (l *Launch) Shift(base int) error {
	if base < 1 || base > 65535-91 {
		return fmt.Errorf("--port-base %d: want 1 to %d", base, 65535-91)
	}
	origin, fixed := 0, map[*string]int{&l.Master.Admin: base + 90, &l.Master.Link: base + 91}
	for i := range l.Nodes {
		c := l.Nodes[i].Listen
		if c == nil || c.TCP == "" {
			continue
		}
		_, origin = splitPort(c.TCP)
		fixed[&c.TCP], fixed[&c.WebSocket] = base, base+1
		break
	}
	if origin == 0 {
		_, admin := splitPort(l.Master.Admin)
		origin = admin - 90
	}
	users := map[string]string{}
	move := func(what string, addr *string) error {
		host, port := splitPort(*addr)
		if *addr == "" || port == 0 {
			return nil
		}
		to, ok := fixed[addr]
		if !ok {
			to = port - origin + base
		}
		if to < 1 || to > 65535 {
			return fmt.Errorf("--port-base %d: %s of %s would get port %d", base, *addr, what, to)
		}
		*addr = net.JoinHostPort(host, strconv.Itoa(to))
		if other, taken := users[*addr]; taken {
			return fmt.Errorf("--port-base %d: %s and %s would both get %s", base, other, what, *addr)
		}
		users[*addr] = what
		return nil
	}
	errs := []error{move("the admin API", &l.Master.Admin), move("the master", &l.Master.Link)}
	for i := range l.Nodes {
		n := &l.Nodes[i]
		if n.Listen != nil {
			for _, d := range doorsOf(n.Listen) {
				errs = append(errs, move(n.Name, d.addr))
			}
		}
		errs = append(errs, move(n.Name, &n.Link))
	}
	return errors.Join(errs...)
}

func splitPort(addr string) (host string, port int) {
	host, text, err := net.SplitHostPort(addr)
	if err != nil {
		return addr, 0
	}
	port, _ = strconv.Atoi(text)
	return host, port
}

// defaultLaunch is where a game's launch file stands in its module.
const defaultLaunch = "launch/dev.json"

// findLaunch looks for launch/dev.json in the working folder and above it, up to the root of
// the module, and then beside the binary.
func findLaunch(wd, exe string) (string, bool) {
	for _, start := range []string{wd, filepath.Dir(exe)} {
		for dir := start; dir != "" && dir != "."; dir = filepath.Dir(dir) {
			file := filepath.Join(dir, filepath.FromSlash(defaultLaunch))
			if st, err := os.Stat(file); err == nil && st.Mode().IsRegular() {
				return file, true
			}
			if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil || dir == filepath.Dir(dir) {
				break
			}
		}
	}
	return "", false
}
