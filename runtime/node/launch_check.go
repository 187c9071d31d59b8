package node

import (
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/firefly-go/firefly"
)

var nodeName = regexp.MustCompile(`^[a-z][a-z0-9_]*(-[a-z0-9_]+)*$`)

// Check holds the topology against the game's roles, fills in what was left out, and reports
// all that is wrong at once, as a LaunchError.
func (l *Launch) Check(roles []Role) error {
	l.faults = nil
	if l.Game == "" {
		l.say("/game", "game needs a name")
	}
	l.checkMaster()
	known := map[string]*Role{storeRole: {Name: storeRole, Routing: l.storeRouting()}}
	for i := range roles {
		known[roles[i].Name] = &roles[i]
	}
	l.checkRoles(known)
	l.checkNodes(known)
	l.checkTables(roles)
	if l.MinClient != "" && !dotted.MatchString(l.MinClient) {
		l.say("/min_client", "min_client %q is no version of dotted numbers", l.MinClient)
	}
	if len(l.faults) == 0 {
		return nil
	}
	slices.SortStableFunc(l.faults, func(a, b Fault) int {
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return a.Col - b.Col
	})
	return l.faults
}

var dotted = regexp.MustCompile(`^[0-9]+(\.[0-9]+){0,3}$`)

func (l *Launch) checkMaster() {
	if l.Master.Admin == "" {
		l.Master.Admin = "127.0.0.1:7790"
	}
	host, port, ok := l.address("/master/admin", "master.admin", l.Master.Admin)
	if ok && port == 0 {
		l.say("/master/admin", "master.admin needs a port of its own: the other commands find the master by it")
	}
	if l.Master.Link == "" && ok {
		l.Master.Link = net.JoinHostPort(host, strconv.Itoa(port+1))
	}
	if l.Master.Link != "" {
		l.address("/master/link", "master.link", l.Master.Link)
	}
}

// address reads host:port, or notes what is wrong with it.
func (l *Launch) address(p jsontext.Pointer, what, addr string) (host string, port int, ok bool) {
	host, portText, err := net.SplitHostPort(addr)
	if err != nil {
		l.say(p, "%s: %q is not host:port", what, addr)
		return "", 0, false
	}
	port, err = strconv.Atoi(portText)
	if err != nil || port < 0 || port > 65535 {
		l.say(p, "%s: %q is no port", what, portText)
		return "", 0, false
	}
	return host, port, true
}

func (l *Launch) checkRoles(known map[string]*Role) {
	for _, name := range sortedKeys(l.Roles) {
		at := ptrTo("roles", name)
		role, ok := known[name]
		if !ok {
			l.say(at, "no role is called %q; there are %s", name, strings.Join(sortedKeys(known), ", "))
			continue
		}
		c := l.Roles[name]
		if c.Listens == nil {
			continue
		}
		if role.Listens == nil {
			l.say(at.AppendToken("listens"), "role %q listens to no clients", name)
			continue
		}
		l.checkListens(at.AppendToken("listens"), c.Listens)
	}
}

// embedded is the store of tables that the store node keeps.
const embedded = "embedded"

func (l *Launch) checkTables(roles []Role) {
	i := slices.IndexFunc(roles, func(r Role) bool { return len(r.Tables) > 0 })
	switch {
	case l.Tables == nil && i >= 0:
		l.say("", "role %q uses tables, and the launch file does not say where they are kept; write \"tables\": {\"store\": %q}", roles[i].Name, embedded)
	case l.Tables == nil:
	case l.Tables.Store == storeCached:
		l.checkCached()
		l.checkReplicated(roles)
		if i >= 0 && !l.played(storeRole) {
			l.say("/tables/store", "tables.store is %q, and no node has the role %q, which brings rows to the database", storeCached, storeRole)
		}
	case l.Tables.Store != embedded:
		l.say("/tables/store", "tables.store %q is no store; there are %q and %q", l.Tables.Store, embedded, storeCached)
	case l.Tables.Redis != nil || l.Tables.MySQL != nil || l.Tables.Namespace != "" || l.Tables.Shards != 0:
		l.say("/tables", "tables.store is %q, which has no redis, mysql, namespace or shards; they belong to %q", embedded, storeCached)
	case i >= 0 && !l.played(storeRole):
		l.say("/tables/store", "tables.store is %q, and no node has the role %q, which keeps them", embedded, storeRole)
	}
}

// played reports whether a node plays a role.
func (l *Launch) played(role string) bool {
	return slices.ContainsFunc(l.Nodes, func(n firefly.NodeConfig) bool { return slices.Contains(n.Roles, role) })
}

func (l *Launch) checkListens(at jsontext.Pointer, c *firefly.Listens) {
	if c.MaxFrame > 1<<20 {
		l.say(at.AppendToken("max_frame"), "max_frame %d is over 1 MiB", c.MaxFrame)
	}
	if c.Rate != "" && !rateText.MatchString(c.Rate) {
		l.say(at.AppendToken("rate"), "rate %q is not like 100/s, 5/m or none", c.Rate)
	}
	for _, d := range []struct {
		key string
		v   firefly.Duration
	}{{"handshake_timeout", c.HandshakeTimeout}, {"idle_timeout", c.IdleTimeout}} {
		if _, given := l.at[at.AppendToken(d.key)]; given && d.v == 0 {
			l.say(at.AppendToken(d.key), "%s has to be over 0", d.key)
		}
	}
	// A zero value means "as declared", so that "never" is told apart by a negative one.
	if _, given := l.at[at.AppendToken("resume")]; given && c.Resume == 0 {
		c.Resume = -1
	}
	if c.Classic == nil {
		return
	}
	at = at.AppendToken("classic")
	if m := c.Classic.Magic; m != nil {
		if len(m) != 5 {
			l.say(at.AppendToken("magic"), "magic has %d numbers; it needs five", len(m))
		}
		for i, n := range m {
			if n < 0 || n > 255 {
				l.say(ptrTo2(at, "magic", i), "magic: %d is no byte", n)
			} else if i == 0 && (n == 255 || n == 22 || n == 'G' || n == 'P') {
				l.say(ptrTo2(at, "magic", i), "magic may not begin with %d: native, TLS or HTTP clients begin with it", n)
			}
		}
	}
	if b := c.Classic.Body; b != "" && b != "PROTOBUF" && b != "JSON" && b != "RAW" {
		l.say(at.AppendToken("body"), "body %q is none of PROTOBUF, JSON, RAW", b)
	}
	if e := c.Classic.Errors; e != "" && e != "REPLY" && e != "NONE" {
		l.say(at.AppendToken("errors"), "errors %q is none of REPLY, NONE", e)
	}
}

var rateText = regexp.MustCompile(`^(none|[1-9][0-9]{0,8}/(ms|s|m|h|d))$`)

func ptrTo2(p jsontext.Pointer, key string, i int) jsontext.Pointer {
	return p.AppendToken(key).AppendToken(strconv.Itoa(i))
}

func (l *Launch) checkNodes(known map[string]*Role) {
	if len(l.Nodes) == 0 {
		l.say("/nodes", "there are no nodes")
	}
	names, playedBy, doors := map[string]bool{}, map[string]string{}, map[string]string{}
	for i := range l.Nodes {
		n := &l.Nodes[i]
		at := ptrTo("nodes", i)
		switch {
		case !nodeName.MatchString(n.Name) || len(n.Name) > 64:
			l.say(at.AppendToken("name"), "%q is no name for a node; write it like world-1", n.Name)
		case n.Name == masterName:
			l.say(at.AppendToken("name"), "%q is the master's name", n.Name)
		case names[n.Name]:
			l.say(at.AppendToken("name"), "two nodes are called %q", n.Name)
		}
		names[n.Name] = true
		if len(n.Roles) == 0 {
			l.say(at.AppendToken("roles"), "node %q plays no role", n.Name)
		}
		var gate *Role
		for j, r := range n.Roles {
			rat := ptrTo2(at, "roles", j)
			role, ok := known[r]
			if !ok {
				l.say(rat, "no role is called %q; there are %s", r, strings.Join(sortedKeys(known), ", "))
				continue
			}
			if slices.Contains(n.Roles[:j], r) {
				l.say(rat, "node %q plays role %q twice", n.Name, r)
			}
			if other, ok := playedBy[r]; ok && role.Routing == firefly.Single && other != n.Name {
				l.say(rat, "role %q is SINGLE and node %q plays it already", r, other)
			}
			playedBy[r] = n.Name
			if role.Listens != nil {
				if gate != nil {
					l.say(rat, "roles %q and %q both listen; a node is one gate", gate.Name, r)
				}
				gate = role
			}
		}
		if n.Link == "" {
			n.Link = "127.0.0.1:0"
		}
		l.address(at.AppendToken("link"), "link", n.Link)
		l.checkDoors(at, n, gate, doors)
	}
	l.checkDirectory(playedBy[storeRole] != "")
}

// checkDoors holds the listen object against the role that the node plays as a gate, and
// fills in what the role declares when it is left out.
func (l *Launch) checkDoors(at jsontext.Pointer, n *firefly.NodeConfig, gate *Role, doors map[string]string) {
	if gate == nil {
		if n.Listen != nil {
			l.say(at.AppendToken("listen"), "no role of node %q listens to clients", n.Name)
		}
		return
	}
	if n.Listen == nil {
		n.Listen = &firefly.ListenConfig{
			TCP:       declared(gate.Listens.TCP),
			WebSocket: declared(gate.Listens.WebSocket),
			HTTP:      declared(gate.Listens.HTTP),
		}
	}
	for _, d := range doorsOf(n.Listen) {
		if *d.addr == "" {
			continue
		}
		p := at.AppendToken("listen").AppendToken(d.key)
		_, port, ok := l.address(p, "listen."+d.key, *d.addr)
		if !ok || port == 0 {
			continue
		}
		if other, taken := doors[*d.addr]; taken {
			l.say(p, "%s is taken by node %q", *d.addr, other)
		}
		doors[*d.addr] = n.Name
	}
}

func declared(port int) string {
	if port == 0 {
		return ""
	}
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
}
