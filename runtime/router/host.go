package router

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/cluster"
	"github.com/firefly-go/firefly/runtime/directory"
	"github.com/firefly-go/firefly/runtime/mailbox"
	"github.com/firefly-go/firefly/runtime/rpc"
	"github.com/firefly-go/firefly/runtime/transport"
)

const (
	// maxRun is how long a handler may run, whatever its caller allows; longer waits are timers.
	maxRun = 30 * time.Second
	// maxHops is how many calls may lie between a client's command and a handler.
	maxHops = 16
	// maxBody is what a frame between nodes takes, its header and an envelope taken off.
	maxBody = 1<<20 - 1<<12
	// defaultLimit is how many handlers a role instance queues and parks.
	defaultLimit = 10_000
)

// HostOptions describe one role instance. Role, Node and Cluster are needed; the other zero
// values work.
type HostOptions struct {
	Role    string
	Node    string // "world-1"
	Routing firefly.Routing
	Cluster Cluster
	// Directory knows where players are; nil: only those of this host's sessions are known.
	Directory directory.Directory
	// GateRoles are the roles whose nodes have sessions: where pushes to groups and to
	// everyone go.
	GateRoles []string
	Logger    *slog.Logger  // should name the node; default slog.Default()
	Limit     int           // queued and parked handlers; default 10,000
	MaxReply  int           // bytes of a command's reply: the gates' max_frame; default what a link takes
	Slow      time.Duration // a handler that holds the loop longer is reported; default 200 ms, < 0 never
	Strict    bool          // a yield from a foreign goroutine panics, naming the line
	Patient   bool          // handlers and calls take as long as they like: for debuggers
}

// Host is one role instance at one node: it runs the role's handlers on one logic loop and
// keeps the records of the sessions that they serve.
//
// Its life: NewHost; registration by the constructor of the role; Dispatcher.AddHost; Start;
// Stop. It owns the loop's goroutines and one timer for each timer of the game; Stop ends
// them and waits for them.
type Host struct {
	o          HostOptions
	role, node string
	keyed      bool // keys pick nodes of this role, so a key that is not its own is refused
	log        *slog.Logger
	loop       *mailbox.Loop
	batch      transport.Batch // what the turn has to flush; used by the holder of the loop only
	router     *Router
	timers     timers
	stack      []byte // of the panic that Panicked is about to hear of; on the loop

	// Registered until sealed, read only afterwards.
	sealed    atomic.Bool
	newState  func() any
	commands  map[firefly.CommandID]*handler
	calls     map[uint64]*handler
	onStart   []func(context.Context) error
	onStop    []func(context.Context)
	onConnect []func(context.Context, firefly.Session)
	onDrop    []func(context.Context, firefly.Session)
	onResume  []func(context.Context, firefly.Session)
	onClose   []func(context.Context, firefly.Session, firefly.Reason)
	onPeer    []func(ctx context.Context, role, node string, up bool)
	early     []*job // Node.Go before Start; under mu

	life     atomic.Int32  // life
	busy     atomic.Int64  // tasks that were taken and have not returned
	idle     chan struct{} // has something when busy came to zero while stopping
	refused  atomic.Uint64 // OVERLOADED answers
	internal atomic.Uint64 // INTERNAL answers

	tasks atomic.Pointer[tasks] // to be used next

	// last is the session whose command came last: commands come in runs. It is set under mu,
	// and never one that is not in sessions.
	last atomic.Pointer[Session]

	mu       sync.Mutex
	sessions map[firefly.SessionID]*Session
	players  map[firefly.PlayerID]*Session // of several sessions the one with the highest epoch
	gone     epochs                        // of players whose sessions have ended here
	lost     map[firefly.Incarnation]bool  // gates that will not come back
}

// The states of a Host.
const (
	starting int32 = iota
	serving
	paused // a SINGLE role without its lease
	stopping
	stopped
)

// NewHost makes a role instance that serves nothing yet.
func NewHost(o HostOptions) *Host {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Limit == 0 {
		o.Limit = defaultLimit
	}
	if o.MaxReply <= 0 || o.MaxReply > maxBody {
		o.MaxReply = maxBody
	}
	h := &Host{
		o: o, role: o.Role, node: o.Node,
		keyed:    o.Routing == firefly.Sticky || o.Routing == firefly.Hash,
		log:      o.Logger.With("role", o.Role),
		commands: map[firefly.CommandID]*handler{},
		calls:    map[uint64]*handler{},
		idle:     make(chan struct{}, 1),
		sessions: map[firefly.SessionID]*Session{},
		players:  map[firefly.PlayerID]*Session{},
		lost:     map[firefly.Incarnation]bool{},
	}
	h.timers.host = h
	h.loop = mailbox.New(mailbox.Options{
		Name: o.Node + "/" + o.Role, Limit: o.Limit, Timeout: h.longest(), Slow: o.Slow, Strict: o.Strict,
		Turn:    h.batch.Flush,
		OnSlow:  h.slow,
		OnPanic: func(_ *mailbox.Task, _ any, stack []byte) { h.stack = stack },
	})
	h.router = newRouter(h, RouterOptions{
		Node: o.Node, Role: o.Role, Cluster: o.Cluster, Directory: o.Directory, GateRoles: o.GateRoles,
	})
	return h
}

// Role is the name of the role.
func (h *Host) Role() string { return h.role }

// Router makes the calls and pushes of this role.
func (h *Host) Router() *Router { return h.router }

// Loop is the logic loop, for tests and for whatever else runs on it.
func (h *Host) Loop() *mailbox.Loop { return h.loop }

// SessionState sets the factory of the message that the role keeps for each session; it
// must not block. Registration, as HandleCommand.
func (h *Host) SessionState(empty func() any) {
	h.mustBeOpen("SessionState")
	h.newState = empty
}

func (h *Host) seal() { h.sealed.Store(true) }

func (h *Host) mustBeOpen(what string) {
	if h.sealed.Load() {
		panic("firefly: " + what + " after the constructor of role " + h.role + " has returned; hooks and handlers are registered in it")
	}
}

// Stats is a glance at a Host.
type Stats struct {
	Sessions   int
	Overloaded uint64 // refused with OVERLOADED
	Internal   uint64 // answered with INTERNAL
	Loop       mailbox.Stats
}

// Stats may be called by any goroutine.
func (h *Host) Stats() Stats {
	h.mu.Lock()
	n := len(h.sessions)
	h.mu.Unlock()
	return Stats{Sessions: n, Overloaded: h.refused.Load(), Internal: h.internal.Load(), Loop: h.loop.Stats()}
}

// Load is what least load compares: sessions, and handlers that have not returned.
func (h *Host) Load() int {
	h.mu.Lock()
	n := len(h.sessions)
	h.mu.Unlock()
	return n + int(h.busy.Load())
}

func (h *Host) slow(r mailbox.SlowReport) {
	h.log.Warn("a handler holds the logic loop; nobody else of this role is served meanwhile",
		"handler", r.Task, "held", r.Held, "stack", string(r.Stack))
}

// take counts a task in before it is queued; false: it is refused.
func (h *Host) take() *firefly.Error {
	n := h.busy.Add(1)
	if h.life.Load() != serving {
		h.release()
		return errNotServing
	}
	if h.o.Limit > 0 && n > int64(h.o.Limit) {
		h.release()
		h.refused.Add(1)
		return errOverloaded
	}
	return nil
}

// release counts a task out that has returned or was not queued.
func (h *Host) release() {
	if h.busy.Add(-1) == 0 && h.life.Load() >= stopping {
		select {
		case h.idle <- struct{}{}:
		default:
		}
	}
}

var (
	errNotServing = &firefly.Error{Code: firefly.Unavailable, Message: "the node does not serve now"}
	errOverloaded = &firefly.Error{Code: firefly.Overloaded, Message: "the node has too much to do"}
	errMoved      = &firefly.Error{Code: firefly.MovedAway, Message: "the key is owned by another node"}
	errLoop       = &firefly.Error{Code: firefly.TooManyHops, Message: "the call crossed more than 16 hops"}
	errExpired    = &firefly.Error{Code: firefly.DeadlineExceeded, Message: "the deadline passed before the handler was started"}
	errStopped    = &firefly.Error{Code: firefly.Unavailable, Message: "the node stops"}
)

// admit decides about a command or call before its body is looked at. After nil, release
// must follow.
func (h *Host) admit(e *handler, hd *rpc.Header) *firefly.Error {
	if hd.Hops > maxHops {
		return errLoop
	}
	if err := h.take(); err != nil {
		return err
	}
	if e.keyed && hd.Key != 0 && h.o.Cluster.Owner(h.role, hd.Key) != h.node {
		h.release()
		return errMoved
	}
	return nil
}

// queueError is what the caller hears when the loop took no task.
func (h *Host) queueError(err error) *firefly.Error {
	if err == mailbox.ErrOverloaded {
		h.refused.Add(1)
		return errOverloaded
	}
	return errStopped
}

// command takes a client's command; on the reader of a link.
func (h *Host) command(from *cluster.Peer, e *handler, hd *rpc.Header, body []byte, reply rpc.Reply, batch *transport.Batch) {
	if err := h.admit(e, hd); err != nil {
		reply.Fail(batch, err)
		return
	}
	t := h.task(e, reply)
	err := t.decode(body)
	if err == nil {
		err = h.enter(from, hd, t, batch)
	}
	if err != nil {
		h.release()
		reply.Fail(batch, err)
	}
}

// serveCall takes a call of a role; on the reader of a link, or on the caller's loop.
func (h *Host) serveCall(e *handler, hd *rpc.Header, body []byte, reply rpc.Reply, batch *transport.Batch) {
	err := h.admit(e, hd)
	if err != nil {
		reply.Fail(batch, err)
		return
	}
	t := &task{e: e, reply: reply}
	if err = t.decode(body); err == nil {
		t.env.from(h, e, hd)
		if s := h.find(hd.Session); s != nil {
			t.call.Session = s
		}
		t.Init(t, e.name, nil, h.deadline(hd.Timeout, batch))
		if qerr := h.submit(t, batch); qerr != nil {
			err = h.queueError(qerr)
		}
	}
	if err != nil {
		h.release()
		reply.Fail(batch, err)
	}
}

// deadline of a handler whose caller waits for timeout; 0: as long as a handler may run.
func (h *Host) deadline(timeout time.Duration, batch *transport.Batch) time.Time {
	longest := h.longest()
	if timeout <= 0 || timeout > longest || h.o.Patient {
		timeout = longest
	}
	return batch.Now().Add(timeout)
}

// submit queues t. The loop hears of all that one readable event brought at once, so that one
// goroutine is woken and the replies leave together. On a loop, whose turn may last, it hears
// of t now.
func (h *Host) submit(t *task, batch *transport.Batch) error {
	if !batch.Reading() {
		return h.loop.Submit(&t.Task)
	}
	wake, err := h.loop.Post(&t.Task)
	if err == nil {
		batch.Posted(h.loop, wake)
	}
	return err
}

// longest is how long a handler may run.
func (h *Host) longest() time.Duration {
	if h.o.Patient {
		return 24 * time.Hour
	}
	return maxRun
}

// enter finds the session of a command, or begins it here, and queues t.
func (h *Host) enter(from *cluster.Peer, hd *rpc.Header, t *task, batch *transport.Batch) *firefly.Error {
	s, err := h.session(from, hd)
	if err != nil {
		return err
	}
	// s.mu is held: nothing comes between a session's beginning and its first command.
	t.s = s
	t.env.from(h, t.e, hd)
	t.call.Session = s
	if s.phase != open {
		err = s.refusal()
		s.mu.Unlock()
		return err
	}
	if s.wish != "" {
		// The game has closed it and the gate did not know yet, or never heard of it.
		s.mu.Unlock()
		s.askClose(nil)
		return errSessionClosed
	}
	lane := &s.lane
	if hd.Flags&FlagUnordered != 0 && s.ready.Load() {
		lane, t.loose = nil, true
		s.loose++
	}
	t.Init(t, t.e.name, lane, h.deadline(hd.Timeout, batch))
	if qerr := h.submit(t, batch); qerr != nil {
		err = h.queueError(qerr)
		if t.loose {
			s.loose-- // phase is open, so nobody waits for it
		}
	}
	s.mu.Unlock()
	return err
}

func newRequest() firefly.RequestID { return firefly.RequestID(rand.Uint64()) }
