package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/transport"
)

func byName(a, b Member) int { return strings.Compare(a.Name, b.Name) }

// Apply takes a view of the membership. An older one than the last is ignored. A member that
// the view does not name is not thereby over: a new master has yet to hear of everyone.
func (c *Cluster) Apply(v View) { c.apply(v, false) }

// apply takes a view. The first of a master counts whatever its version is: the clock of a
// new master may be behind that of the former.
func (c *Cluster) apply(v View, fresh bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || !fresh && v.Version < c.view.Version {
		return
	}
	c.view = v
	if fresh {
		// Who is unreachable gets the whole lease to register with this master.
		for _, p := range c.living {
			if p != c.me && p.link.Load() == nil {
				c.watch(p)
			}
		}
	}
	raised := v.Declared.Version > c.declared.Version
	if raised {
		c.declared = v.Declared
	}
	for _, d := range v.Dead {
		c.bury(d.Name, d.Incarnation)
	}
	for i := range v.Members {
		m := v.Members[i]
		if m.Name == c.self.Name {
			if m.Incarnation > c.self.Incarnation {
				err := fmt.Errorf("cluster: another process has the name %s", m.Name)
				go c.over(err)
			}
			continue
		}
		p := c.adopt(m.Name, m.Incarnation, func() *Member { return &m })
		if p == nil {
			continue
		}
		p.member.Store(&m)
		p.picked.Store(0)
		c.serving(p)
		c.dial(p)
	}
	c.publish()
	c.notify()
	if raised && c.o.OnDeclared != nil {
		c.wg.Go(func() { c.o.OnDeclared(v.Declared) }) // after it can be seen
	}
}

// adopt finds the life with this name and incarnation, or begins it; an earlier life of the
// name is over then. Nil: this life itself is over. The lock is held.
func (c *Cluster) adopt(name string, i firefly.Incarnation, m func() *Member) *Peer {
	if i <= c.dead[name] {
		return nil
	}
	p := c.living[name]
	if p != nil && p.Incarnation == i {
		return p
	}
	if p != nil && p.Incarnation > i {
		return nil
	}
	if p != nil {
		c.end(p)
	}
	p = &Peer{Name: name, Incarnation: i, c: c}
	p.member.Store(m())
	c.living[name] = p
	c.watch(p)
	return p
}

// bury notes that a life, and all before it, is over; the lock is held.
func (c *Cluster) bury(name string, i firefly.Incarnation) {
	if i <= c.dead[name] {
		return
	}
	c.dead[name] = i
	if name == c.self.Name {
		if i >= c.self.Incarnation {
			go c.over(errDead)
		}
		return
	}
	if p := c.living[name]; p != nil && p.Incarnation <= i {
		c.end(p)
	}
}

// end is the end of a life; the lock is held.
func (c *Cluster) end(p *Peer) {
	if p.gone.Swap(true) {
		return
	}
	if c.living[p.Name] == p {
		delete(c.living, p.Name)
	}
	c.dead[p.Name] = max(c.dead[p.Name], p.Incarnation)
	if p.lease != nil {
		p.lease.Stop()
	}
	c.log.Warn("gone", "peer", p.Name, "incarnation", p.Incarnation.String())
	if l := p.link.Load(); l != nil {
		c.ending[p.Name] = p // observers hear of it when the link is down
		l.Close(errDead)
	} else {
		c.announce(p, Over)
	}
	c.publish()
	c.notify()
}

// watch begins the lease of a peer that is not linked; the lock is held. When it ends, the
// life is over unless the master says that it is not. While the master is away nobody can
// know, but that a process listens for as long as it lives: two that cannot reach each other
// and called each other dead would never speak again.
func (c *Cluster) watch(p *Peer) {
	if p.lease != nil {
		p.lease.Stop()
	}
	p.lease = time.AfterFunc(c.o.Lease, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		switch {
		case !c.lapsed(p):
		case c.vouched(p):
			c.watch(p)
		case c.asked.Load() && !c.joined.Load():
			c.wg.Go(func() { c.probe(p) })
		default:
			c.end(p)
		}
	})
}

// lapsed reports whether the peer is still unreachable; the lock is held.
func (c *Cluster) lapsed(p *Peer) bool {
	return !c.closed && !p.gone.Load() && p.link.Load() == nil
}

// probe ends the life of a peer when nobody listens where it did, and goes on watching it
// otherwise.
func (c *Cluster) probe(p *Peer) {
	ctx, cancel := context.WithTimeout(c.ctx, time.Second)
	defer cancel()
	_, err := c.o.Network.Dial(ctx, p.Member().Address, func(transport.Conn) transport.Handler { return nil })
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case !c.lapsed(p):
	case errors.Is(err, syscall.ECONNREFUSED) && !c.joined.Load():
		c.end(p)
	default:
		c.watch(p)
	}
}

// vouched reports whether the master says that the life goes on; the lock is held.
func (c *Cluster) vouched(p *Peer) bool {
	return c.joined.Load() && slices.ContainsFunc(c.view.Members, func(m Member) bool {
		return m.Name == p.Name && m.Incarnation == p.Incarnation
	})
}
