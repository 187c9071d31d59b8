package idl

import (
	"fmt"
	"slices"
	"strings"
)

// waits is an edge of the graph of roles: one calls a method of the other and waits for it.
type waits struct {
	from, to *Role
	use      Use
}

// checkCircles warns of roles that wait for each other: nothing hangs, but a slow one slows all.
// Of roles that are tied together by several circles the shortest one through the first is told.
func (r *run) checkCircles() {
	edges := map[*Role][]waits{}
	for _, role := range r.sys.Roles {
		for _, u := range role.Uses {
			if u.Service == nil || u.Service.Role == nil || u.Service.Role == role {
				continue
			}
			if slices.ContainsFunc(u.Service.Methods, func(m *Method) bool { return m.Call != nil && m.Reply != WireNoReply }) {
				edges[role] = append(edges[role], waits{role, u.Service.Role, u})
			}
		}
	}
	for _, group := range tied(r.sys.Roles, edges) {
		way := shortest(group, edges)
		names := []string{way[0].from.Name}
		var related []Related
		for i, e := range way {
			names = append(names, e.to.Name)
			if i < len(way)-1 {
				related = append(related, at(e.use.Pos, fmt.Sprintf("is %s to %s", e.from.Name, e.to.Name)))
			}
		}
		r.warn(CodeCircle, way[len(way)-1].use.Pos, fmt.Sprintf("roles wait for each other in a circle: %s; let one method return firefly.v1.NoReply, or move it", strings.Join(names, " -> ")), related...)
	}
}

// tied gives the groups of roles each of which waits, over others, for all of its group
// (Tarjan's strongly connected components of more than one), in the order of declaration.
func tied(roles []*Role, edges map[*Role][]waits) (groups [][]*Role) {
	type state struct {
		index, low int
		open       bool
	}
	states := map[*Role]*state{}
	var stack []*Role
	var visit func(role *Role) *state
	visit = func(role *Role) *state {
		s := &state{index: len(states), low: len(states), open: true}
		states[role] = s
		stack = append(stack, role)
		for _, e := range edges[role] {
			if next := states[e.to]; next == nil {
				s.low = min(s.low, visit(e.to).low)
			} else if next.open {
				s.low = min(s.low, next.index)
			}
		}
		if s.low == s.index {
			i := slices.Index(stack, role)
			for _, x := range stack[i:] {
				states[x].open = false
			}
			if len(stack)-i > 1 {
				groups = append(groups, slices.Clone(stack[i:]))
			}
			stack = stack[:i]
		}
		return s
	}
	for _, role := range roles {
		if states[role] == nil {
			visit(role)
		}
	}
	return groups
}

// shortest is the shortest way from the first role of a group back to it.
func shortest(group []*Role, edges map[*Role][]waits) []waits {
	start := group[0]
	came := map[*Role]waits{}
	for queue := []*Role{start}; len(queue) > 0; queue = queue[1:] {
		for _, e := range edges[queue[0]] {
			if _, seen := came[e.to]; !seen {
				came[e.to] = e
				queue = append(queue, e.to)
			}
		}
	}
	way := []waits{came[start]}
	for way[0].from != start {
		way = slices.Insert(way, 0, came[way[0].from])
	}
	return way
}
