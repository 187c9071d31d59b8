package cluster

import (
	"slices"
	"strings"

	"github.com/firefly-go/firefly"
)

// table is what readers see: it is made anew at every change and never changed.
type table struct {
	byName map[string]*Peer
	byLife map[firefly.Incarnation]*Peer
	all    []*Peer            // by name
	roles  map[string][]*Peer // by name
	nodes  map[string][]place // declared, by role
	names  map[string][]string
	topo   uint64
}

// place is a declared node with the hash of its name.
type place struct {
	name string
	hash uint64
}

// publish makes the table anew; the lock is held, or nobody else knows the cluster yet.
func (c *Cluster) publish() {
	t := &table{
		byName: map[string]*Peer{}, byLife: map[firefly.Incarnation]*Peer{},
		roles: map[string][]*Peer{}, nodes: map[string][]place{}, names: map[string][]string{}, topo: c.declared.Version,
	}
	for _, p := range c.living {
		t.byName[p.Name] = p
		t.byLife[p.Incarnation] = p
		t.all = append(t.all, p)
	}
	slices.SortFunc(t.all, func(a, b *Peer) int { return strings.Compare(a.Name, b.Name) })
	for _, p := range t.all {
		for _, r := range p.Member().Roles {
			t.roles[r] = append(t.roles[r], p)
		}
	}
	for r, names := range c.declared.Roles {
		for _, n := range names {
			t.nodes[r] = append(t.nodes[r], place{n, hashName(n)})
		}
		t.names[r] = slices.Clone(names)
	}
	c.now.Store(t)
}

// Peer is the living peer with the name, nil when there is none.
func (c *Cluster) Peer(name string) *Peer { return c.now.Load().byName[name] }

// Incarnation is the living peer with the incarnation, nil when there is none.
func (c *Cluster) Incarnation(i firefly.Incarnation) *Peer { return c.now.Load().byLife[i] }

// Peers are all living peers, this process among them, by name. The slice must not be
// changed.
func (c *Cluster) Peers() []*Peer { return c.now.Load().all }

// Role are the living peers that play the role, by name. The slice must not be changed.
func (c *Cluster) Role(role string) []*Peer { return c.now.Load().roles[role] }

// Nodes are the declared nodes of a role. The slice must not be changed.
func (c *Cluster) Nodes(role string) []string { return c.now.Load().names[role] }

// Topology is the version of the declared nodes.
func (c *Cluster) Topology() uint64 { return c.now.Load().topo }

// Owner is the declared node of the role that owns the key, "" when none is declared. It is
// the node with the highest hash of name and key (rendezvous hashing, Thaler and Ravishankar
// 1998): when a node is added, only the keys that it takes over move.
func (c *Cluster) Owner(role string, key uint64) string {
	var best string
	var top uint64
	for _, n := range c.now.Load().nodes[role] {
		if w := mix(n.hash ^ key); best == "" || w > top {
			best, top = n.name, w
		}
	}
	return best
}

// mix is the finalizer of splitmix64 (Steele, Lea, Flood 2014): every bit of the input
// changes every bit of the output half of the time.
func mix(x uint64) uint64 {
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	return x ^ x>>31
}

func hashName(s string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return mix(h)
}

// Pick is the least loaded peer of the role that is linked and not draining. One that serves
// goes before one that still starts, and that before one that the master has lost.
// Unavailable when there is none. Picks since the last news count as load, so that they
// spread between two reports.
func (c *Cluster) Pick(role string) (*Peer, error) {
	var best *Peer
	var least int64
	first := 0
	for _, p := range c.Role(role) {
		m := p.member.Load()
		if p.link.Load() == nil || m.State == Draining {
			continue
		}
		w, rank := int64(m.Load)+p.picked.Load(), 2
		switch m.State {
		case Lost:
			rank = 0
		case Starting:
			rank = 1
		}
		if best == nil || rank > first || rank == first && w < least {
			best, least, first = p, w, rank
		}
	}
	if best == nil {
		return nil, firefly.Unavailable.Errorf("no node of role %s is there", role)
	}
	best.picked.Add(1)
	return best, nil
}
