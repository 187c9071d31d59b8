package cluster

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/rpc"
	"github.com/firefly-go/firefly/runtime/transport"
)

// Peer is one life of one process. Its methods may be called by any goroutine.
type Peer struct {
	Name        string
	Incarnation firefly.Incarnation

	c      *Cluster
	member atomic.Pointer[Member]
	link   atomic.Pointer[rpc.Link]
	misfit atomic.Pointer[map[string]bool] // full names that both sides understand differently
	gone   atomic.Bool
	picked atomic.Int64 // how often it was picked since its load was last heard

	// Guarded by the cluster's lock.
	told    bool // observers know that it is linked
	serves  bool // observers know that it serves
	dialing bool
	lease   *time.Timer // runs while it is unreachable
}

// Link is the link to the peer; Unavailable while it is down.
func (p *Peer) Link() (*rpc.Link, error) {
	if l := p.link.Load(); l != nil && !p.gone.Load() {
		return l, nil
	}
	return nil, firefly.Unavailable.Errorf("no link to %s", p.Name)
}

// Self reports whether the peer is this process.
func (p *Peer) Self() bool { return p.c != nil && p == p.c.me }

// Member is what is known of the peer.
func (p *Peer) Member() Member { return *p.member.Load() }

// Plays reports whether the peer plays the role.
func (p *Peer) Plays(role string) bool { return p.member.Load().Plays(role) }

// Gone reports whether this life is over.
func (p *Peer) Gone() bool { return p.gone.Load() }

// Fits is nil when both sides understand the same by the command, call or push of this full
// name, or the peer does not know it; else Incompatible.
func (p *Peer) Fits(name string) error {
	m := p.misfit.Load()
	if m == nil || !(*m)[name] {
		return nil
	}
	return firefly.Incompatible.Errorf("%s was built from another declaration of %s", p.Name, name)
}

// compare notes what a link's other side understands differently.
func (p *Peer) compare(shapes []rpc.Shape) {
	var misfit map[string]bool
	for _, theirs := range shapes {
		ours, ok := p.c.hashes[theirs.Name]
		if !ok || ours.Hash == theirs.Hash || slices.Contains(ours.Accepts, theirs.Hash) || slices.Contains(theirs.Accepts, ours.Hash) {
			continue
		}
		if misfit == nil {
			misfit = map[string]bool{}
		}
		misfit[theirs.Name] = true
		p.c.log.Warn("declared differently by a peer", "peer", p.Name, "name", theirs.Name)
	}
	p.misfit.Store(&misfit)
}

var (
	errSelf    = errors.New("cluster: this process has the same name")
	errDead    = errors.New("cluster: this life was declared dead")
	errClosing = errors.New("cluster: closing")

	errWrongSide = errors.New("cluster: of two processes the one with the lower name dials")
	errStranger  = errors.New("cluster: another process than the one that was meant")
	errBusy      = errors.New("cluster: the former link is not down yet")
)

// accept decides about a link that a peer has dialed.
func (c *Cluster) accept(l *rpc.Link) rpc.Handler {
	if l.Peer().Node > c.o.Self.Name {
		l.Close(errWrongSide)
		return nil
	}
	return c.attach(l, "")
}

// attach takes a link, dialed or accepted, on its reader: it finds the life that is on the
// other side, or refuses the link. dialed is who was meant, if this side dialed. A new link
// of a peer waits until the former is down, and a new life until the link of the former is,
// so that nothing of the two is mixed; the dialer comes again soon.
func (c *Cluster) attach(l *rpc.Link, dialed string) rpc.Handler {
	c.mu.Lock()
	defer c.mu.Unlock()
	p, err := c.judge(l.Peer(), dialed)
	if err != nil {
		l.Close(err)
		return nil
	}
	id := l.Peer()
	c.links.Add(1)
	p.link.Store(l)
	if p.lease != nil {
		p.lease.Stop()
	}
	p.compare(id.Shapes)
	c.publish()
	if p.told {
		c.events = append(c.events, event{p, Back, nil})
		c.tell()
	}
	c.announce(p, Linked)
	c.notify()
	c.log.Info("linked", "peer", p.Name, "incarnation", p.Incarnation.String())
	return &inbound{c, p}
}

// judge finds the life that a link belongs to, or why it is refused; the lock is held.
func (c *Cluster) judge(id rpc.Identity, dialed string) (*Peer, error) {
	switch {
	case c.closed:
		return nil, errClosing
	case id.Node == c.self.Name:
		return nil, errSelf
	case id.Node == "" || id.Incarnation == 0 || dialed != "" && id.Node != dialed:
		return nil, errStranger
	case c.ending[id.Node] != nil:
		return nil, errBusy
	}
	if p := c.living[id.Node]; p != nil && p.link.Load() != nil {
		switch {
		case p.Incarnation < id.Incarnation:
			c.end(p)
			return nil, errBusy
		case p.Incarnation == id.Incarnation: // it dialed again, so it knows that the former is dead
			p.link.Load().Close(errBusy)
			return nil, errBusy
		}
	}
	p := c.adopt(id.Node, id.Incarnation, func() *Member {
		// Whether it serves already is the master's to say.
		return &Member{Name: id.Node, Incarnation: id.Incarnation, Address: id.Address, Roles: id.Roles, State: Starting}
	})
	if p == nil {
		return nil, errDead
	}
	return p, nil
}

// inbound is a Peer as the Handler of its link.
type inbound struct {
	c *Cluster
	p *Peer
}

func (in *inbound) Serve(_ *rpc.Link, h *rpc.Header, body []byte, reply rpc.Reply, batch *transport.Batch) {
	c, p := in.c, in.p
	if p.gone.Load() {
		reply.Fail(batch, &firefly.Error{Code: firefly.Unavailable, Message: "this process counts as dead"})
		return
	}
	if h.Kind == KindDirectory {
		c.serveDirectory(h, body, reply, batch)
		return
	}
	if h.Kind == KindTables {
		c.serveTables(h, body, reply, batch)
		return
	}
	if c.o.Handler == nil {
		reply.Fail(batch, &firefly.Error{Code: firefly.Unavailable, Message: "nothing is served here"})
		return
	}
	c.o.Handler.Serve(p, h, body, reply, batch)
}

func (in *inbound) Down(l *rpc.Link, err error) {
	c, p := in.c, in.p
	if p == c.me {
		return
	}
	defer c.links.Done()
	c.mu.Lock()
	defer c.mu.Unlock()
	p.link.CompareAndSwap(l, nil)
	if p.gone.Load() {
		delete(c.ending, p.Name)
		c.announce(p, Over)
		return
	}
	if c.closed {
		return
	}
	c.log.Warn("link lost", "peer", p.Name, "incarnation", p.Incarnation.String(), "error", err)
	c.watch(p)
	c.dial(p)
	c.publish()
	c.notify()
}

// dial keeps trying to reach the peer, when it is for this side to dial; the lock is held.
// Of two processes the one with the lower name dials.
func (c *Cluster) dial(p *Peer) {
	if p.dialing || c.closed || c.ln == nil || p == c.me || c.self.Name > p.Name || p.gone.Load() || p.link.Load() != nil {
		return
	}
	p.dialing = true
	c.wg.Go(func() {
		wait := 50 * time.Millisecond
		for c.ctx.Err() == nil {
			if addr := p.Member().Address; addr != "" {
				c.mu.Lock()
				o := c.linkOptions()
				c.mu.Unlock()
				o.Accept = func(l *rpc.Link) rpc.Handler { return c.attach(l, p.Name) }
				ctx, cancel := context.WithTimeout(c.ctx, 5*time.Second)
				_, err := rpc.Dial(ctx, c.o.Network, addr, o)
				cancel()
				if err != nil {
					c.log.Debug("dial failed", "peer", p.Name, "address", addr, "error", err)
				}
			}
			c.mu.Lock()
			if p.gone.Load() || p.link.Load() != nil || c.closed {
				p.dialing = false
				c.mu.Unlock()
				return
			}
			c.mu.Unlock()
			t := time.NewTimer(wait)
			select {
			case <-t.C:
			case <-c.ctx.Done():
				t.Stop()
			}
			wait = min(2*wait, 2*time.Second)
		}
	})
}
