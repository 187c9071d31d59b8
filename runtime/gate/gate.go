package gate

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/cluster"
	"github.com/firefly-go/firefly/runtime/directory"
	"github.com/firefly-go/firefly/runtime/transport"
)

// Options say what a gate is made of. All but those marked optional must be set.
type Options struct {
	Node        string // its name, "gate-1"
	Incarnation firefly.Incarnation
	Network     transport.Network
	Address     string                     // of the tcp door; empty opens none
	Listens     firefly.Listens            // as declared, with the launch file's settings over it
	Schemas     []*firefly.Schema          // of every package; the first has the game's fingerprint
	Roles       map[string]firefly.Routing // of every role that serves commands
	Plays       []string                   // optional: roles that this process plays; their commands stay here
	Cluster     *cluster.Cluster
	Directory   directory.Directory
	MinClient   string       // optional: older clients are refused
	Logger      *slog.Logger // optional: slog.Default
}

// Gate owns the sessions of one node. It holds two goroutines of its own, which end with
// Stop: the sweeper and the keeper of its lease.
type Gate struct {
	o        Options
	limits   limits
	declared *declared
	log      *slog.Logger
	began    time.Time
	base     uint64 // of request ids

	listener transport.Listener
	ctx      context.Context // ends with Stop; of all workers
	cancel   context.CancelFunc
	draining atomic.Bool // commands are refused
	stopping atomic.Bool // connections are refused too

	door       door
	addressOf  func(net.Addr) (netip.Addr, bool)
	wheel      wheel
	groups     groups
	exchanges  sync.Pool
	deliveries sync.Pool
	sequence   atomic.Uint32 // of sessions
	requests   atomic.Uint64
	reserve    atomic.Int64 // bytes that sessions may still borrow

	mu       sync.RWMutex // inside a session's lock, never around it
	sessions map[uint32]*session
	players  map[firefly.PlayerID]*session
	bound    []*session
	empty    chan struct{} // closed when the last session ends; nil until somebody waits
	releases []release
	stopped  bool // no worker starts any more
	workers  sync.WaitGroup
	wake     chan struct{} // has room for one: there are releases

	counts  sync.Mutex // inside every other lock
	reasons map[firefly.Reason]uint64
	fails   map[firefly.Code]uint64
}

// New makes a gate; Start opens its door. Its errors are faults of the settings.
func New(o Options) (*Gate, error) {
	l, err := newLimits(o.Listens)
	if err != nil {
		return nil, fmt.Errorf("gate: %w", err)
	}
	d, err := newDeclared(o.Schemas, func(role string) firefly.Routing { return o.Roles[role] })
	if err != nil {
		return nil, fmt.Errorf("gate: %w", err)
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	g := &Gate{
		o: o, limits: l, declared: d, log: o.Logger, began: time.Now().Add(-time.Hour), addressOf: addressOf,
		base:     uint64(o.Incarnation) * 0x9E3779B97F4A7C15,
		sessions: map[uint32]*session{}, players: map[firefly.PlayerID]*session{},
		reasons: map[firefly.Reason]uint64{}, fails: map[firefly.Code]uint64{}, wake: make(chan struct{}, 1),
	}
	g.wheel.now = g.now() / int64(tick)
	g.reserve.Store(reserve)
	g.ctx, g.cancel = context.WithCancel(context.Background())
	return g, nil
}

// Start opens the door. ctx is not kept.
func (g *Gate) Start(ctx context.Context) error {
	g.workers.Go(g.sweep)
	g.workers.Go(g.keepLease)
	g.workers.Go(g.releaser)
	if g.o.Address == "" {
		return nil
	}
	l, err := g.o.Network.Listen(g.o.Address, g.accept)
	if err != nil {
		g.cancel()
		g.workers.Wait()
		return fmt.Errorf("gate: %w", err)
	}
	g.listener = l
	return nil
}

// Addr is where the tcp door is, nil when there is none.
func (g *Gate) Addr() net.Addr {
	if g.listener == nil {
		return nil
	}
	return g.listener.Addr()
}

// Drain takes no more connections and commands, and returns when every command has its
// answer, or with the error of ctx. Sessions stay.
func (g *Gate) Drain(ctx context.Context) error {
	g.stopping.Store(true)
	g.draining.Store(true)
	if g.listener != nil {
		g.listener.Close()
	}
	t := time.NewTicker(tick)
	defer t.Stop()
	for g.Stats().Unfinished > 0 {
		select {
		case <-t.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// Stop drains, for a quarter of the time that ctx leaves and a second at most, closes every
// session with Shutdown and returns when all nodes have let go of them and the directory
// knows, or with the error of ctx; then what is left is abandoned: its nodes close it when
// this incarnation is gone.
func (g *Gate) Stop(ctx context.Context) error {
	grace := time.Second
	if d, ok := ctx.Deadline(); ok {
		grace = min(grace, time.Until(d)/4)
	}
	short, cancel := context.WithTimeout(ctx, grace)
	_ = g.Drain(short) // what has no answer by then gets none
	cancel()
	g.mu.Lock()
	list := make([]*session, 0, len(g.sessions))
	for _, s := range g.sessions {
		list = append(list, s)
	}
	empty := make(chan struct{})
	if len(list) == 0 {
		close(empty)
	} else {
		g.empty = empty
	}
	g.mu.Unlock()
	batch := &transport.Batch{}
	for _, s := range list {
		s.close(firefly.Shutdown, "", batch)
	}
	batch.Flush()
	var err error
	select {
	case <-empty:
		err = g.released(ctx)
	case <-ctx.Done():
		err = ctx.Err()
	}
	g.mu.Lock()
	g.stopped = true
	g.mu.Unlock()
	g.cancel()
	g.workers.Wait()
	return err
}

// emptied is called when the last session has ended.
func (g *Gate) emptied() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.empty != nil && len(g.sessions) == 0 {
		close(g.empty)
		g.empty = nil
	}
}

// work counts a worker in, unless the gate has stopped. The worker ends with workers.Done.
func (g *Gate) work() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.stopped {
		return false
	}
	g.workers.Add(1)
	return true
}

// later runs f on a goroutine of its own, for what may not run under a lock.
func (g *Gate) later(f func()) {
	if g.work() {
		go func() {
			defer g.workers.Done()
			f()
		}()
	}
}

// Stats are the figures of a gate.
type Stats struct {
	Connections int // also before their handshake
	Sessions    int
	Bound       int // sessions with a player
	Dropped     int // sessions that wait for their client
	Unfinished  int // commands
	Held        int // of these, waiting at the gate for the session's order
	Groups      int
	Closed      map[firefly.Reason]uint64 // connections and sessions by reason, since the start
	Failed      map[firefly.Code]uint64   // commands by code, since the start
}

// Stats counts. It looks at every session: for seconds, not for milliseconds.
func (g *Gate) Stats() Stats {
	g.mu.RLock()
	st := Stats{Sessions: len(g.sessions), Bound: len(g.bound)}
	list := make([]*session, 0, len(g.sessions))
	for _, s := range g.sessions {
		list = append(list, s)
	}
	g.mu.RUnlock()
	for _, s := range list {
		s.mu.Lock()
		if s.state == dropped {
			st.Dropped++
		}
		st.Unfinished += s.count
		for e := s.held.first; e != nil; e = e.links[inHeld].next {
			st.Held++
		}
		s.mu.Unlock()
	}
	g.counts.Lock()
	st.Closed, st.Failed = maps.Clone(g.reasons), maps.Clone(g.fails)
	g.counts.Unlock()
	g.door.mu.Lock()
	st.Connections = g.door.open
	g.door.mu.Unlock()
	g.groups.mu.RLock()
	st.Groups = len(g.groups.sets)
	g.groups.mu.RUnlock()
	return st
}

// Sessions is how many sessions there are: what a node reports as its load.
func (g *Gate) Sessions() int {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return len(g.sessions)
}

// Record is the record of a session as of now.
func (g *Gate) Record(id firefly.SessionID) (SessionRecord, bool) {
	s := g.session(id)
	if s == nil {
		return SessionRecord{}, false
	}
	return s.record(g.now()), true
}

func (g *Gate) count(r firefly.Reason) {
	g.counts.Lock()
	g.reasons[r]++
	g.counts.Unlock()
}

// failed counts a command that failed, and logs what its client is not told.
func (g *Gate) failed(s *session, e *exchange, err *firefly.Error) {
	g.counts.Lock()
	g.fails[err.Code]++
	g.counts.Unlock()
	if err.Cause != nil {
		g.log.Debug("command failed", "method", e.cmd.Name, "code", err.Code, "error", err, "request", e.request.String(), "session", s.rec.ID.String())
	}
}

// request makes a request id: those of different gates, and of one gate before and after a
// restart, don't meet.
func (g *Gate) request() firefly.RequestID { return firefly.RequestID(g.base + g.requests.Add(1)) }

// now is the gate's clock, in nanoseconds; never near zero.
func (g *Gate) now() int64 { return int64(time.Since(g.began)) }

// clock is what the gate's clock shows at t.
func (g *Gate) clock(t time.Time) int64 { return int64(t.Sub(g.began)) }

// tickOf is the first tick of the wheel at which t has passed.
func tickOf(t int64) int64 { return t/int64(tick) + 1 }

// sweep drives the wheel.
func (g *Gate) sweep() {
	t := time.NewTicker(tick)
	defer t.Stop()
	for n := 0; ; n++ {
		select {
		case <-t.C:
			now := g.now()
			g.wheel.sweep(now / int64(tick))
			if n%int(time.Second/tick) == 0 {
				g.door.forget(now)
			}
		case <-g.ctx.Done():
			return
		}
	}
}
