package gate

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/cluster"
	"github.com/firefly-go/firefly/runtime/directory"
	"github.com/firefly-go/firefly/runtime/router"
	"github.com/firefly-go/firefly/runtime/rpc"
	"github.com/firefly-go/firefly/runtime/transport"
	"github.com/firefly-go/firefly/runtime/wire"
)

// The commands of the tests. What a fake node does with them is in fake.serve.
const (
	cmdEcho      = 1   // world, public: the body comes back
	cmdBind      = 2   // world, public: binds to the player in the body
	cmdHold      = 3   // world, public: answered when the test says so
	cmdJoin      = 4   // world, keyed by field 1
	cmdAuth      = 5   // world, needs a player
	cmdNoReply   = 6   // world
	cmdUnordered = 7   // world, public: the body comes back
	cmdIdem      = 8   // world, public, idempotent: held
	cmdRated     = 9   // world, public, 3/s
	cmdFail      = 10  // world: fails with the code in the body
	cmdBig       = 11  // world: answers as many bytes as the body says
	cmdKeyed     = 12  // world: keyed by field 1, public
	cmdChat      = 20  // chat, public: the body comes back
	cmdChatHold  = 21  // chat, public: answered when the test says so
	cmdHash      = 30  // hash: by player
	cmdSingle    = 31  // single
	cmdLeast     = 32  // least
	cmdRefused   = 40  // world: nodes answer MOVED the first time
	pushNews     = 201 // DISCONNECT
	pushPlace    = 202 // COALESCE
	pushTalk     = 203 // DROP_OLDEST
)

const testFingerprint = 0xF1

func testSchemas() []*firefly.Schema {
	cmd := func(id firefly.CommandID, name, role string) firefly.Command {
		return firefly.Command{ID: id, Name: "t.v1.S." + name, Role: role, Auth: firefly.AuthPublic, Timeout: 10 * time.Second,
			RawRequest: true, RawReply: true, Shape: uint64(id) * 1000, Rate: firefly.Rate{Count: -1}}
	}
	join := cmd(cmdJoin, "Join", "world")
	join.Key = firefly.KeyField{Number: 1, Kind: firefly.KeyString}
	join.Auth = firefly.AuthRequired
	keyed := cmd(cmdKeyed, "Keyed", "world")
	keyed.Key = firefly.KeyField{Number: 1, Kind: firefly.KeyString}
	auth := cmd(cmdAuth, "Auth", "world")
	auth.Auth = firefly.AuthRequired
	quiet := cmd(cmdNoReply, "Quiet", "world")
	quiet.NoReply = true
	un := cmd(cmdUnordered, "Unordered", "world")
	un.Unordered = true
	idem := cmd(cmdIdem, "Idem", "world")
	idem.Idempotent = true
	rated := cmd(cmdRated, "Rated", "world")
	rated.Rate = firefly.Rate{Count: 3, Per: time.Second}
	moved := cmd(cmdRefused, "Refused", "world")
	moved.Key = firefly.KeyField{Number: 1, Kind: firefly.KeyString}
	return []*firefly.Schema{{
		Package: "t.v1", Fingerprint: testFingerprint, Released: []uint64{0xF0},
		Commands: []firefly.Command{
			cmd(cmdEcho, "Echo", "world"), cmd(cmdBind, "Bind", "world"), cmd(cmdHold, "Hold", "world"), join, keyed, auth, quiet, un, idem,
			rated, cmd(cmdFail, "Fail", "world"), cmd(cmdBig, "Big", "world"), cmd(cmdChat, "Chat", "chat"), cmd(cmdChatHold, "ChatHold", "chat"),
			cmd(cmdHash, "Hash", "hash"), cmd(cmdSingle, "Single", "single"), cmd(cmdLeast, "Least", "least"), moved,
		},
		Pushes: []firefly.PushSpec{
			{ID: pushNews, Name: "t.v1.News", Shape: 201000},
			{ID: pushPlace, Name: "t.v1.Place", Slow: firefly.SlowCoalesce, Shape: 202000},
			{ID: pushTalk, Name: "t.v1.Talk", Slow: firefly.SlowDropOldest, Shape: 203000},
		},
		Errors: []firefly.ErrorSpec{{Code: "t.v1.Fault.POOR", Number: 1003}},
	}}
}

var testRoles = map[string]firefly.Routing{
	"world": firefly.Sticky, "chat": firefly.Sticky, "hash": firefly.Hash, "single": firefly.Single, "least": firefly.LeastLoaded,
}

// town is a cluster of fake nodes and real gates in one process, over Memory.
type town struct {
	t         *testing.T
	net       *transport.Memory
	directory directory.Directory
	incs      uint64
	declared  cluster.Declared
	version   uint64
	nodes     []*fake
	gates     []*Gate
	logs      *logs
}

// member is a process of the town.
type member struct {
	cl   *cluster.Cluster
	self cluster.Member
	dead bool
}

func newTown(t *testing.T) *town {
	w := &town{t: t, net: transport.NewMemory(), directory: directory.NewMemory(nil), incs: 1000, logs: &logs{}}
	w.declared = cluster.Declared{Version: 1, Roles: map[string][]string{}}
	t.Cleanup(w.close)
	return w
}

func (w *town) close() {
	for _, g := range w.gates {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		for _, f := range w.nodes {
			f.releaseAll()
		}
		if err := g.Stop(ctx); err != nil && !w.t.Failed() {
			w.t.Errorf("gate %s: stop: %v", g.o.Node, err)
		}
		cancel()
	}
	for _, f := range w.nodes {
		if f.host != nil {
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			if err := f.host.Stop(ctx); err != nil && !w.t.Failed() && !f.dead {
				w.t.Errorf("role of %s: stop: %v", f.self.Name, err)
			}
			cancel()
		}
		f.cl.Close()
	}
}

// host starts a node with a real role.
func (w *town) host(name, role string, register func(h *router.Host)) *fake {
	f := &fake{w: w, dispatch: router.NewDispatcher()}
	w.start(f, name, role)
	f.host = router.NewHost(router.HostOptions{
		Role: role, Node: name, Routing: testRoles[role], Cluster: f.cl, Directory: w.directory, GateRoles: []string{"gate"},
		Logger: w.logs.logger(), Strict: true,
	})
	register(f.host)
	if err := f.dispatch.AddHost(f.host); err != nil {
		w.t.Fatal(err)
	}
	if err := f.host.Start(context.Background()); err != nil {
		w.t.Fatal(err)
	}
	return f
}

// fake is a node: of roles of the game, or of a gate.
type fake struct {
	member
	w     *town
	gate  *Gate
	front *router.Dispatcher // of gate

	dispatch *router.Dispatcher // of a node with real roles
	host     *router.Host

	mu     sync.Mutex
	events []event
	held   []heldReply
	seen   map[firefly.SessionID]firefly.PlayerID
	closes bool // OpClosed is held too
	moved  map[string]bool
}

type event struct {
	what    string
	session firefly.SessionID
	player  firefly.PlayerID
	text    string
}

type heldReply struct {
	reply rpc.Reply
	body  []byte
	what  string
}

// node starts a fake node. Nodes must be started before join.
func (w *town) node(name string, roles ...string) *fake {
	f := &fake{w: w, seen: map[firefly.SessionID]firefly.PlayerID{}, moved: map[string]bool{}}
	w.start(f, name, roles...)
	return f
}

func (w *town) start(f *fake, name string, roles ...string) {
	w.incs++
	f.self = cluster.Member{Name: name, Incarnation: firefly.Incarnation(w.incs), Roles: roles, State: cluster.Ready}
	for _, r := range roles {
		if !slices.Contains(w.declared.Roles[r], name) {
			w.declared.Roles[r] = append(w.declared.Roles[r], name)
			slices.Sort(w.declared.Roles[r])
		}
	}
	f.cl = cluster.New(cluster.Options{
		Self: f.self, Listen: name + ":0", Network: w.net, Secret: []byte("secret"), Game: "t",
		Declared: w.declared, Handler: f, Lease: 2 * time.Second, Log: w.logs.logger(),
	})
	if err := f.cl.Start(context.Background()); err != nil {
		w.t.Fatal(err)
	}
	f.self.Address = f.cl.Self().Address
	w.nodes = append(w.nodes, f)
}

// kill ends a node as SIGKILL does; the others are not told before join.
func (w *town) kill(f *fake) {
	f.cl.Close()
	f.dead = true
}

// addGate starts a gate; change may change its options.
func (w *town) addGate(name string, change func(*Options)) *Gate {
	f := &fake{w: w}
	w.start(f, name, "gate")
	o := Options{
		Node: name, Incarnation: f.self.Incarnation, Network: w.net, Address: name + "-door:7700",
		Listens: firefly.Listens{Classic: &firefly.Classic{}, Rate: "none"}, Schemas: testSchemas(), Roles: testRoles,
		Cluster: f.cl, Directory: w.directory, Logger: w.logs.logger(),
	}
	if change != nil {
		change(&o)
	}
	g, err := New(o)
	if err != nil {
		w.t.Fatal(err)
	}
	f.mu.Lock()
	f.gate, f.front = g, router.NewDispatcher()
	f.front.SetGate(g)
	f.mu.Unlock()
	if err := g.Start(context.Background()); err != nil {
		w.t.Fatal(err)
	}
	w.gates = append(w.gates, g)
	return g
}

// join tells everybody of everybody, and waits until all are linked.
func (w *town) join() {
	w.t.Helper()
	w.version++
	v := cluster.View{Version: w.version, Declared: w.declared}
	for _, f := range w.nodes {
		if !f.dead {
			v.Members = append(v.Members, f.self)
		} else {
			v.Dead = append(v.Dead, cluster.Dead{Name: f.self.Name, Incarnation: f.self.Incarnation})
		}
	}
	slices.SortFunc(v.Members, func(a, b cluster.Member) int { return bytes.Compare([]byte(a.Name), []byte(b.Name)) })
	for _, f := range w.nodes {
		if !f.dead {
			f.cl.Apply(v)
		}
	}
	await(w.t, "links", func() bool {
		for _, f := range w.nodes {
			for _, m := range v.Members {
				if f.dead {
					continue
				}
				p := f.cl.Peer(m.Name)
				if p == nil || p.Incarnation != m.Incarnation {
					return false
				}
				if _, err := p.Link(); err != nil {
					return false
				}
			}
		}
		return true
	})
}

// Serve implements cluster.Handler.
func (f *fake) Serve(p *cluster.Peer, h *rpc.Header, body []byte, reply rpc.Reply, batch *transport.Batch) {
	f.mu.Lock()
	g, front := f.gate, f.front
	f.mu.Unlock()
	if f.dispatch != nil {
		f.dispatch.Serve(p, h, body, reply, batch)
		return
	}
	if g != nil {
		front.Serve(p, h, body, reply, batch)
		return
	}
	switch h.Kind {
	case router.KindCommand:
		f.command(p, h, body, reply, batch)
	case router.KindControl:
		f.control(h, body, reply, batch)
	}
}

func (f *fake) command(p *cluster.Peer, h *rpc.Header, body []byte, reply rpc.Reply, batch *transport.Batch) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, ok := f.seen[h.Session]; !ok {
		f.events = append(f.events, event{"connect", h.Session, h.Player, h.Target})
	}
	f.seen[h.Session] = h.Player
	f.events = append(f.events, event{fmt.Sprintf("command %d", h.ID), h.Session, h.Player, string(body)})
	switch h.ID {
	case cmdBind:
		go f.bind(p, h.Session, firefly.PlayerID(binary.BigEndian.Uint64(body)), reply)
	case cmdHold, cmdChatHold, cmdIdem:
		f.held = append(f.held, heldReply{reply, bytes.Clone(body), "command"})
	case cmdFail:
		reply.Fail(batch, &firefly.Error{Code: firefly.Code(body), Message: "as you wish"})
	case cmdBig:
		reply.Send(batch, rpc.Payload{Raw: make([]byte, binary.BigEndian.Uint32(body))})
	case cmdRefused:
		if !f.moved[string(body)] {
			f.moved[string(body)] = true
			reply.Fail(batch, &firefly.Error{Code: firefly.MovedAway})
			return
		}
		reply.Send(batch, rpc.Payload{Raw: body})
	case cmdNoReply:
		reply.Send(batch, rpc.Payload{})
	default:
		reply.Send(batch, rpc.Payload{Raw: body})
	}
}

// bind asks the session's gate, and answers the command with what that said.
func (f *fake) bind(gate *cluster.Peer, s firefly.SessionID, p firefly.PlayerID, reply rpc.Reply) {
	err := f.ask(gate, router.OpBind, router.Bind{Session: s, Player: p}.Append(nil))
	if err != nil {
		reply.Fail(nil, &firefly.Error{Code: firefly.CodeOf(err), Message: err.Error()})
		return
	}
	f.mu.Lock()
	f.events = append(f.events, event{"bound", s, p, ""})
	if _, ok := f.seen[s]; ok {
		f.seen[s] = p
	}
	f.mu.Unlock()
	reply.Send(nil, rpc.Payload{})
}

func (f *fake) ask(gate *cluster.Peer, op uint64, body []byte) error {
	l, err := gate.Link()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	return l.Call(ctx, &rpc.Header{Kind: router.KindControl, ID: op}, rpc.Payload{Raw: body}, nil)
}

func (f *fake) control(h *rpc.Header, body []byte, reply rpc.Reply, batch *transport.Batch) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch h.ID {
	case router.OpClosed:
		m, _ := router.ParseClose(body)
		f.events = append(f.events, event{"closed", m.Session, f.seen[m.Session], string(m.Reason)})
		delete(f.seen, m.Session)
		if f.closes {
			f.held = append(f.held, heldReply{reply: reply, what: "closed"})
			return
		}
	case router.OpBound:
		m, _ := router.ParseBound(body)
		f.events = append(f.events, event{"op bound", m.Session, m.Player, ""})
	case router.OpDropped, router.OpResumed:
		m, _ := router.ParseRef(body)
		f.events = append(f.events, event{map[uint64]string{router.OpDropped: "dropped", router.OpResumed: "resumed"}[h.ID], m.Session, 0, ""})
	}
	reply.Send(batch, rpc.Payload{})
}

// release answers what was held first.
func (f *fake) release() {
	f.mu.Lock()
	h := f.held[0]
	f.held = f.held[1:]
	f.mu.Unlock()
	h.reply.Send(nil, rpc.Payload{Raw: h.body})
}

func (f *fake) releaseAll() {
	f.mu.Lock()
	n := len(f.held)
	f.closes = false
	f.mu.Unlock()
	for range n {
		f.release()
	}
}

func (f *fake) holds() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.held)
}

// did are the events of the node so far, without those that begin otherwise.
func (f *fake) did(kinds ...string) []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var list []string
	for _, e := range f.events {
		if len(kinds) == 0 || slices.Contains(kinds, e.what) {
			list = append(list, e.what+" "+e.text)
		}
	}
	return list
}

func (f *fake) commands() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var list []string
	for _, e := range f.events {
		if e.what != "connect" && len(e.what) > 7 && e.what[:7] == "command" {
			list = append(list, e.text)
		}
	}
	return list
}

// push sends a push to every gate.
func (f *fake) push(id firefly.PushID, policy firefly.SlowPolicy, key uint64, to firefly.Target, except []firefly.PlayerID, body []byte) {
	var b []byte
	switch to := to.(type) {
	case firefly.Players:
		b = router.AppendPush(nil, id, policy, key, router.ToPlayers, nil, to, "", except)
	case firefly.Group:
		b = router.AppendPush(nil, id, policy, key, router.ToGroup, nil, nil, to, except)
	case sessionsTarget:
		b = router.AppendPush(nil, id, policy, key, router.ToSessions, to.ids, nil, "", except)
	default:
		b = router.AppendPush(nil, id, policy, key, router.ToEveryone, nil, nil, "", except)
	}
	b = append(b, body...)
	for _, g := range f.cl.Role("gate") {
		l, err := g.Link()
		if err != nil {
			continue
		}
		err = l.Send(nil, &rpc.Header{Kind: router.KindPush}, rpc.Payload{Raw: b})
		for firefly.CodeOf(err) == firefly.Overloaded {
			time.Sleep(time.Millisecond)
			err = l.Send(nil, &rpc.Header{Kind: router.KindPush}, rpc.Payload{Raw: b})
		}
		if err != nil {
			f.w.t.Errorf("push: %v", err)
		}
	}
}

// send sends a one-way message to every gate.
func (f *fake) send(h *rpc.Header, body []byte) {
	f.w.t.Helper()
	for _, g := range f.cl.Role("gate") {
		l, err := g.Link()
		if err == nil {
			err = l.Send(nil, h, rpc.Payload{Raw: body})
		}
		if err != nil {
			f.w.t.Fatalf("send: %v", err)
		}
	}
}

type sessionsTarget struct {
	firefly.IsTarget
	ids []firefly.SessionID
}

// await waits until the condition holds.
func await(t *testing.T, what string, cond func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !cond() {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

// logs keeps log lines.
type logs struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logs) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *logs) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

func (l *logs) has(parts ...string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range bytes.Lines(l.b.Bytes()) {
		all := true
		for _, p := range parts {
			all = all && bytes.Contains(line, []byte(p))
		}
		if all {
			return true
		}
	}
	return false
}

// client is a client of bare bytes.
type testClient struct {
	t     *testing.T
	conn  transport.Conn
	queue *transport.Queue
	mu    sync.Mutex
	in    []byte
	ended bool
	last  wire.Welcome
}

func (c *testClient) Data(_ transport.Conn, b []byte, _ *transport.Batch) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.in = append(c.in, b...)
	return len(b)
}

func (c *testClient) Writable(transport.Conn) { c.queue.Writable() }

func (c *testClient) Closed(transport.Conn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = true
}

func dial(t *testing.T, n transport.Network, addr string) *testClient {
	t.Helper()
	c := &testClient{t: t}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	conn, err := n.Dial(ctx, addr, func(tc transport.Conn) transport.Handler {
		c.queue = transport.NewQueue(tc, transport.QueueOptions{MaxBytes: 64 << 20, MaxFrames: 1 << 20})
		return c
	})
	if err != nil {
		t.Fatal(err)
	}
	c.conn = conn
	t.Cleanup(conn.Close)
	return c
}

// to connects to a gate without a word.
func (w *town) to(g *Gate) *testClient {
	w.t.Helper()
	return dial(w.t, w.net, g.Addr().String())
}

func (c *testClient) write(b []byte) {
	c.t.Helper()
	buf, err := c.queue.Begin()
	if err != nil {
		return // closed meanwhile
	}
	c.queue.Commit(append(buf, b...), nil)
}

func helloFrame(h wire.Hello) []byte {
	body := wire.AppendHello(nil, &h)
	b := binary.AppendUvarint([]byte{byte(wire.HelloFrame)}, uint64(len(body)))
	return append(b, body...)
}

// native connects and shakes hands.
func (w *town) native(g *Gate) *testClient {
	w.t.Helper()
	c := w.to(g)
	c.hello(wire.Hello{Protocol: wire.Version, Fingerprint: testFingerprint})
	return c
}

func (c *testClient) hello(h wire.Hello) wire.Welcome {
	c.t.Helper()
	c.write(append([]byte(wire.Preamble), helloFrame(h)...))
	return c.welcome()
}

func (c *testClient) welcome() wire.Welcome {
	c.t.Helper()
	f := c.frame()
	if f.Type != wire.WelcomeFrame {
		c.t.Fatalf("no welcome but %v %s %s", f.Type, f.Name, f.Message)
	}
	w, err := wire.ParseWelcome(f.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	c.last = w
	return w
}

// frame waits for the next native frame.
func (c *testClient) frame() wire.Frame {
	c.t.Helper()
	var f wire.Frame
	await(c.t, "a frame", func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		g, n, err := wire.Parse(c.in, 4<<20)
		if err != nil {
			c.t.Fatal(err)
		}
		if n == 0 {
			if c.ended {
				c.t.Fatalf("the connection ended; left are %d bytes", len(c.in))
			}
			return false
		}
		f = g
		c.in = c.in[n:len(c.in):len(c.in)] // what is appended goes elsewhere
		return true
	})
	return f
}

// quiet checks that nothing has come.
func (c *testClient) quiet() {
	c.t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.in) > 0 {
		c.t.Fatalf("%d bytes that should not be there: %q", len(c.in), c.in[:min(len(c.in), 100)])
	}
}

func (c *testClient) request(id uint32, seq uint64, body []byte) {
	c.t.Helper()
	c.write(wire.AppendRequest(nil, id, seq, body))
}

func (c *testClient) reply(seq uint64, body []byte) {
	c.t.Helper()
	f := c.frame()
	if f.Type != wire.Reply || f.Seq != seq || !bytes.Equal(f.Body, body) {
		c.t.Fatalf("got %v %d %.100q %s %s, want reply %d %.100q", f.Type, f.Seq, f.Body, f.Name, f.Message, seq, body)
	}
}

func (c *testClient) fails(seq uint64, code firefly.Code) {
	c.t.Helper()
	f := c.frame()
	if f.Type != wire.Error || f.Seq != seq || string(f.Name) != string(code) {
		c.t.Fatalf("got %v %d %.100q %s %s, want error %d %s", f.Type, f.Seq, f.Body, f.Name, f.Message, seq, code)
	}
	if n, ok := code.Number(); ok && f.Code != n {
		c.t.Fatalf("%s has number %d, want %d", code, f.Code, n)
	}
}

// closes waits for the close frame and the end.
func (c *testClient) closes(reason firefly.Reason) {
	c.t.Helper()
	f := c.frame()
	if f.Type != wire.Close || string(f.Name) != string(reason) {
		c.t.Fatalf("got %v %q %q, want close %s", f.Type, f.Name, f.Message, reason)
	}
	c.end()
}

// end waits for the end of the connection.
func (c *testClient) end() {
	c.t.Helper()
	await(c.t, "the end of the connection", func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.ended
	})
}

func (c *testClient) alive() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.ended
}

func playerBody(p firefly.PlayerID) []byte { return binary.BigEndian.AppendUint64(nil, uint64(p)) }

// bindTo binds the client to a player.
func (c *testClient) bindTo(p firefly.PlayerID) {
	c.t.Helper()
	c.request(cmdBind, 1<<32, playerBody(p))
	c.reply(1<<32, nil)
}

var testClassic wire.Classic

// classic waits for the next classic frame.
func (c *testClient) classic() (id uint32, body []byte) {
	c.t.Helper()
	await(c.t, "a classic frame", func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		i, b, n, err := testClassic.Parse(c.in, 4<<20)
		if err != nil {
			c.t.Fatal(err)
		}
		if n == 0 {
			if c.ended {
				c.t.Fatal("the connection ended")
			}
			return false
		}
		id, body = i, b
		c.in = c.in[n:len(c.in):len(c.in)]
		return true
	})
	return id, body
}

// key is a body whose field 1 is the string.
func key(s string) []byte { return append([]byte{1<<3 | 2, byte(len(s))}, s...) }

// keyAt gives a body whose key the node owns.
func (w *town) keyAt(f *fake, role string) []byte {
	for i := range 10000 {
		s := fmt.Sprint("k", i)
		if f.cl.Owner(role, hashBytes([]byte(s))) == f.self.Name {
			return key(s)
		}
	}
	w.t.Fatal("no key for " + f.self.Name)
	return nil
}
