package cluster

import (
	"encoding/json"
	"slices"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/rpc"
)

// The kinds of messages that the cluster itself sends: rpc.Header.Kind. Those of the layers
// above are smaller.
const (
	KindTables    rpc.Kind = 249 // ID: the operation of runtime/table/remote; to the store
	KindDirectory rpc.Kind = 250 // ID: the operation of runtime/directory; to the store
	KindRegistry  rpc.Kind = 251 // between a node and the master; bodies are JSON
)

// StoreRole is the framework's own role that keeps the directory.
const StoreRole = "store"

// The states of a Member.
const (
	Starting = "starting" // registered, does not serve yet
	Ready    = "ready"    // it serves
	Draining = "draining" // it stops: gets nothing new
	Lost     = "lost"     // its link to the master is down; it may come back
)

// Member is one life of one process, as the registry knows it.
type Member struct {
	Name        string              `json:"name"`
	Incarnation firefly.Incarnation `json:"incarnation,string"`
	Address     string              `json:"address"` // of its links
	Roles       []string            `json:"roles"`
	PID         int                 `json:"pid"`
	Host        string              `json:"host"`
	Build       string              `json:"build"`
	State       string              `json:"state"`
	Sessions    int                 `json:"sessions"`
	Load        int                 `json:"load"` // any measure; the least loaded is picked by it
	Vitals
	Detail  string   `json:"detail,omitempty"`  // whatever the node wants to be shown
	Clients []string `json:"clients,omitempty"` // doors of a gate
}

// Vitals are what a process says of its own health, every second.
type Vitals struct {
	Goroutines int    `json:"goroutines,omitempty"`
	Allocs     uint64 `json:"allocs,omitempty"` // objects allocated since the start
	Heap       uint64 `json:"heap,omitempty"`   // bytes of live and unswept objects
	// Tables is what the process says of the tables that it keeps; passed on as it is.
	Tables json.RawMessage `json:"tables,omitempty"`
}

// Plays reports whether the member plays the role.
func (m *Member) Plays(role string) bool { return slices.Contains(m.Roles, role) }

// Declared are the nodes of each role, as declared. Keys are placed over them, so they change
// only by scaling and deploying, and then Version rises.
type Declared struct {
	Version uint64              `json:"version"`
	Roles   map[string][]string `json:"roles"` // names of nodes by role, sorted
}

// Dead is a life that is over, for good.
type Dead struct {
	Name        string              `json:"name"`
	Incarnation firefly.Incarnation `json:"incarnation,string"` // and all before it
}

// View is the membership at one moment.
type View struct {
	Version  uint64   `json:"version"`
	Declared Declared `json:"declared"`
	Members  []Member `json:"members"`        // by name
	Dead     []Dead   `json:"dead,omitempty"` // the last life of each name that is over
}

// DeclaredOf are the declared nodes of a launch file.
func DeclaredOf(t *firefly.Topology) Declared {
	d := Declared{Version: t.Version, Roles: map[string][]string{}}
	for _, n := range t.Nodes {
		for _, r := range n.Roles {
			d.Roles[r] = append(d.Roles[r], n.Name)
		}
	}
	for _, names := range d.Roles {
		slices.Sort(names)
	}
	return d
}
