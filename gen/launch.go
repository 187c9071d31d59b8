package gen

import (
	"encoding/json"
	"fmt"
	"net"
	"reflect"
	"strconv"

	"github.com/firefly-go/firefly"
)

// The ports of launch/dev.json, as offsets from the first client port of the first gate. They
// hold for hosts of developers: --port-base of the game binary moves all of them together.
const (
	defaultPort = 7700 // clients, when the IDL names no port
	adminOffset = 90
	linkOffset  = 91
	replicaStep = 100 // between the ports of one gate and the next of its role
)

// emitLaunch writes launch/dev.json: the declared topology on one host, with a store node
// that keeps the directory and the tables. A second gate of a role listens 100 ports further.
//
//	{
//		"game": "arena",
//		"version": 1,
//		"master": {"admin": "127.0.0.1:7790", "link": "127.0.0.1:7791"},
//		"directory": "store",
//		"tables": {"store": "embedded"},
//		"nodes": [
//			{"name": "gate-1", "roles": ["gate"], "listen": {"tcp": "127.0.0.1:7700"}},
//			...
//		]
//	}
//
// The version rises when the nodes change.
func (g *generator) emitLaunch() ([]File, error) {
	base := defaultPort
	for _, r := range g.sys.Roles {
		if r.Listens != nil && r.Listens.GetTcp() != 0 {
			base = int(r.Listens.GetTcp())
			break
		}
	}
	t := firefly.Topology{
		Game:      g.sys.Game,
		Version:   1,
		Master:    firefly.MasterConfig{Admin: local(base + adminOffset), Link: local(base + linkOffset)},
		Directory: "store",
	}
	for _, r := range g.sys.Roles {
		if len(tablesOf(r)) > 0 {
			t.Tables = &firefly.TablesConfig{Store: "embedded"}
		}
	}
	used := map[int]string{base + adminOffset: "the master", base + linkOffset: "the master"}
	var errs Errors
	for _, r := range g.sys.Roles {
		for i := range max(r.Replicas, 1) {
			n := firefly.NodeConfig{Name: fmt.Sprintf("%s-%d", r.Name, i+1), Roles: []string{r.Name}}
			if r.Listens != nil {
				n.Listen = &firefly.ListenConfig{}
				door := func(port uint32, to *string) {
					if port == 0 {
						return
					}
					p := int(port) + i*replicaStep
					if by, ok := used[p]; ok {
						errs.add(r.Pos, "port %d of %s in %s is taken by %s; a gate's replicas listen %d ports apart", p, n.Name, LaunchPath, by, replicaStep)
						return
					}
					if p > 65535 {
						errs.add(r.Pos, "port %d of %s in %s is over 65535", p, n.Name, LaunchPath)
						return
					}
					used[p] = n.Name
					*to = local(p)
				}
				tcp := r.Listens.GetTcp()
				if tcp == 0 && r.Listens.GetWebsocket() == 0 && r.Listens.GetHttp() == 0 {
					tcp = defaultPort
				}
				door(tcp, &n.Listen.TCP)
				door(r.Listens.GetWebsocket(), &n.Listen.WebSocket)
				door(r.Listens.GetHttp(), &n.Listen.HTTP)
			}
			t.Nodes = append(t.Nodes, n)
		}
	}
	t.Nodes = append(t.Nodes, firefly.NodeConfig{Name: "store", Roles: []string{"store"}})
	if len(errs) > 0 {
		return nil, errs
	}
	var before firefly.Topology
	if json.Unmarshal(g.o.Launch, &before) == nil && before.Version > 0 {
		t.Version = before.Version
		if !reflect.DeepEqual(before.Nodes, t.Nodes) {
			t.Version++
		}
	}
	b, err := json.MarshalIndent(t, "", "\t")
	if err != nil {
		return nil, err
	}
	return []File{{Path: LaunchPath, Data: append(b, '\n')}}, nil
}

func local(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
