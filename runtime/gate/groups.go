package gate

import (
	"slices"
	"sync"

	"github.com/firefly-go/firefly"
)

// groups are the sets of this gate's sessions: one for each group that a session of it is in.
// The lock is taken inside a session's lock, never around it.
type groups struct {
	mu   sync.RWMutex
	sets map[firefly.Group]*group
}

type group struct {
	name    firefly.Group
	members []*membership
}

// membership is a session's place in a group.
type membership struct {
	session *session
	group   *group
	at      int // in group.members
}

// join adds the session. Called with the session's lock; so are leave and leaveAll.
func (g *groups) join(s *session, name firefly.Group) *firefly.Error {
	if s.member(name) >= 0 {
		return nil
	}
	if len(s.groups) >= maxGroups {
		return &firefly.Error{Code: firefly.FailedPrecondition, Message: "a session is in 256 groups at most"}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	k := g.sets[name]
	if k == nil {
		if g.sets == nil {
			g.sets = map[firefly.Group]*group{}
		}
		k = &group{name: name}
		g.sets[name] = k
	}
	m := &membership{s, k, len(k.members)}
	s.groups = append(s.groups, m)
	k.members = append(k.members, m)
	return nil
}

// member is the place of a group in the session's list, -1 when it is not in it.
func (s *session) member(name firefly.Group) int {
	return slices.IndexFunc(s.groups, func(m *membership) bool { return m.group.name == name })
}

func (g *groups) leave(s *session, name firefly.Group) {
	i := s.member(name)
	if i < 0 {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.remove(s.groups[i])
	s.groups = slices.Delete(s.groups, i, i+1)
}

func (g *groups) leaveAll(s *session) {
	if len(s.groups) == 0 {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, m := range s.groups {
		g.remove(m)
	}
	s.groups = nil
}

// remove puts the last member into the place that becomes free.
func (g *groups) remove(m *membership) {
	k := m.group
	last := len(k.members) - 1
	moved := k.members[last]
	k.members[m.at] = moved
	moved.at = m.at
	k.members[last] = nil
	k.members = k.members[:last]
	if last == 0 {
		delete(g.sets, k.name)
	}
}

// appendMembers appends the sessions of a group.
func (g *groups) appendMembers(list []*session, name []byte) []*session {
	g.mu.RLock()
	defer g.mu.RUnlock()
	if k := g.sets[firefly.Group(name)]; k != nil {
		for _, m := range k.members {
			list = append(list, m.session)
		}
	}
	return list
}
