package gate

import (
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/transport"
)

// door counts connections by address and refuses what is over a limit.
type door struct {
	mu        sync.Mutex
	open      int
	addresses map[netip.Addr]*address
	refusals  int64 // bucket of log lines about refusals
	unlogged  int
}

// address is what is known of one address: of one /64 with IPv6, since that is what a
// subscriber gets.
type address struct {
	open int
	full int64 // bucket of new connections
}

// newConnections is how fast one address may connect.
var newConnections = newRate(newPerAddress, time.Second)

// refusalLog is how often refused connections are logged one by one.
var refusalLog = newRate(10, time.Second)

// addressOf is the address that counts for limits; the zero one for what has none. Loopback
// may connect as often as it likes.
func addressOf(a net.Addr) (addr netip.Addr, exempt bool) {
	t, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.Addr{}, true
	}
	addr = t.AddrPort().Addr().Unmap().WithZone("")
	exempt = addr.IsLoopback()
	if addr.Is6() {
		p, _ := addr.Prefix(64)
		addr = p.Addr()
	}
	return addr, exempt
}

// enter counts a connection in, or says why not.
func (d *door) enter(l *limits, a netip.Addr, exempt bool, now int64) (why string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.open >= l.connections {
		return "max_connections are open"
	}
	k := d.addresses[a]
	if k == nil {
		if d.addresses == nil {
			d.addresses = map[netip.Addr]*address{}
		}
		k = &address{}
		d.addresses[a] = k
	}
	if a.IsValid() && l.perAddress > 0 && k.open >= l.perAddress {
		return "max_per_address are open from this address"
	}
	if !exempt && !newConnections.take(&k.full, now) {
		return "over 50 new connections a second from this address"
	}
	k.open++
	d.open++
	return ""
}

func (d *door) leave(a netip.Addr) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.open--
	if k := d.addresses[a]; k != nil {
		k.open--
	}
}

// forget drops addresses without connections whose bucket is full again.
func (d *door) forget(now int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for a, k := range d.addresses {
		if k.open == 0 && k.full <= now {
			delete(d.addresses, a)
		}
	}
}

// log says whether this refusal gets a line of its own, and how many before it got none.
func (d *door) log(now int64) (ok bool, skipped int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !refusalLog.take(&d.refusals, now) {
		d.unlogged++
		return false, 0
	}
	skipped, d.unlogged = d.unlogged, 0
	return true, skipped
}

// accept runs on the acceptor.
func (g *Gate) accept(conn transport.Conn) transport.Handler {
	now := g.now()
	addr, exempt := g.addressOf(conn.RemoteAddr())
	why := "the gate stops"
	if !g.stopping.Load() {
		why = g.door.enter(&g.limits, addr, exempt, now)
	}
	if why != "" {
		g.count(firefly.TooMany)
		if ok, skipped := g.door.log(now); ok {
			g.log.Warn("connection refused", "reason", firefly.TooMany, "why", why, "address", conn.RemoteAddr().String(), "skipped", skipped)
		}
		return nil
	}
	c := &client{gate: g, conn: conn, addr: addr, opened: now}
	c.seen.Store(now)
	c.queue.Init(conn, transport.QueueOptions{MaxBytes: g.limits.maxQueue})
	g.wheel.add(c, tickOf(now+int64(min(g.limits.handshake, g.limits.idle, g.limits.classicIdle))))
	return c
}
