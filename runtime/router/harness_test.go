package router

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/cluster"
	"github.com/firefly-go/firefly/runtime/rpc"
	"github.com/firefly-go/firefly/runtime/transport"
)

// num is a message of eight bytes.
type num struct {
	proto.Message
	v uint64
}

func (n *num) SizeVT() int { return 8 }

func (n *num) MarshalToSizedBufferVT(b []byte) (int, error) {
	binary.LittleEndian.PutUint64(b[len(b)-8:], n.v)
	return 8, nil
}

func (n *num) UnmarshalVT(b []byte) error {
	if len(b) != 8 {
		return errors.New("eight bytes are needed")
	}
	n.v = binary.LittleEndian.Uint64(b)
	return nil
}

func decodeNum(b []byte) (any, error) {
	n := new(num)
	if err := n.UnmarshalVT(b); err != nil {
		return nil, firefly.InvalidArgument.Errorf("the body does not decode: %w", err)
	}
	return n, nil
}

func numBody(v uint64) []byte { return binary.LittleEndian.AppendUint64(nil, v) }

// blob is a message of any bytes.
type blob struct {
	proto.Message
	b []byte
}

func (m *blob) SizeVT() int { return len(m.b) }
func (m *blob) MarshalToSizedBufferVT(b []byte) (int, error) {
	copy(b[len(b)-len(m.b):], m.b)
	return len(m.b), nil
}
func (m *blob) UnmarshalVT(b []byte) error { m.b = slices.Clone(b); return nil }

// journal is a list of events, in order.
type journal struct {
	mu   sync.Mutex
	list []string
}

func (j *journal) add(format string, a ...any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.list = append(j.list, fmt.Sprintf(format, a...))
}

func (j *journal) take() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	l := j.list
	j.list = nil
	return l
}

func (j *journal) len() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return len(j.list)
}

func (j *journal) want(t *testing.T, want ...string) {
	t.Helper()
	if got := j.take(); !slices.Equal(got, want) {
		t.Fatalf("\n got %q\nwant %q", got, want)
	}
}

// fakeCluster is a Cluster in which keys below ten are the node's own.
type fakeCluster struct {
	Cluster
	node string
}

func (f *fakeCluster) Owner(_ string, key uint64) string {
	if key < 10 {
		return f.node
	}
	return "other"
}
func (f *fakeCluster) Topology() uint64                              { return 1 }
func (f *fakeCluster) Role(string) []*cluster.Peer                   { return nil }
func (f *fakeCluster) Incarnation(firefly.Incarnation) *cluster.Peer { return nil }

// rig is a Host with a gate in front of it, in one process and without a cluster.
type rig struct {
	t    testing.TB
	host *Host
	d    *Dispatcher
	log  *logBuffer
	gate *testGate
}

type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

const gateLife = firefly.Incarnation(70)

// testGate stands for a gate: it has a link to the node, as gates in the same process do.
type testGate struct {
	link *rpc.Link
	peer *cluster.Peer
}

type serveFunc func(l *rpc.Link, h *rpc.Header, body []byte, reply rpc.Reply, batch *transport.Batch)

func (f serveFunc) Serve(l *rpc.Link, h *rpc.Header, body []byte, reply rpc.Reply, batch *transport.Batch) {
	f(l, h, body, reply, batch)
}
func (serveFunc) Down(*rpc.Link, error) {}

func newRig(t testing.TB, o HostOptions, register func(h *Host)) *rig {
	r := &rig{t: t, log: &logBuffer{}, d: NewDispatcher()}
	o.Role, o.Node = "world", "world-1"
	if o.Cluster == nil {
		o.Cluster = &fakeCluster{node: "world-1"}
	}
	o.Logger = slog.New(slog.NewTextHandler(r.log, nil))
	o.Strict = true
	r.host = NewHost(o)
	register(r.host)
	if err := r.d.AddHost(r.host); err != nil {
		t.Fatal(err)
	}
	r.gate = r.newGate(gateLife)
	return r
}

func (r *rig) newGate(life firefly.Incarnation) *testGate {
	g := &testGate{peer: &cluster.Peer{Name: "gate-1", Incarnation: life}}
	g.link = rpc.Local(rpc.Identity{Node: "world-1"}, serveFunc(
		func(_ *rpc.Link, h *rpc.Header, body []byte, reply rpc.Reply, batch *transport.Batch) {
			r.d.Serve(g.peer, h, body, reply, batch)
		}))
	return g
}

func (r *rig) start() *rig {
	r.t.Helper()
	if err := r.host.Start(context.Background()); err != nil {
		r.t.Fatal(err)
	}
	return r
}

func (r *rig) stop() {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := r.host.Stop(ctx); err != nil {
		r.t.Errorf("stop: %v", err)
	}
}

func sid(n int) firefly.SessionID { return firefly.SessionID{Gate: gateLife, Seq: uint32(n)} }

// answer is what the gate hears.
type answer struct {
	body []byte
	err  *firefly.Error
	done chan struct{}
	then func(*answer)
}

func (a *answer) Complete(r rpc.Result, _ *transport.Batch) {
	a.body, a.err = slices.Clone(r.Body), r.Err
	if a.then != nil {
		a.then(a)
	}
	close(a.done)
}

func (a *answer) wait() *answer { <-a.done; return a }

func (a *answer) code() firefly.Code {
	<-a.done
	if a.err == nil {
		return firefly.OK
	}
	return a.err.Code
}

func (a *answer) over() bool {
	select {
	case <-a.done:
		return true
	default:
		return false
	}
}

// start sends anything to the node.
func (g *testGate) start(t testing.TB, h rpc.Header, body []byte, then func(*answer)) *answer {
	t.Helper()
	a := &answer{done: make(chan struct{}), then: then}
	if err := g.link.Start(nil, &h, rpc.Payload{Raw: body}, a); err != nil {
		t.Fatal(err)
	}
	return a
}

// command sends a command of session s; edit may change its header.
func (r *rig) command(id firefly.CommandID, s int, body []byte, edit ...func(*rpc.Header)) *answer {
	r.t.Helper()
	h := rpc.Header{Kind: KindCommand, ID: uint64(id), Session: sid(s), Request: 42, Timeout: 10 * time.Second}
	for _, f := range edit {
		f(&h)
	}
	return r.gate.start(r.t, h, body, nil)
}

func (r *rig) closed(s int, reason firefly.Reason) *answer {
	r.t.Helper()
	return r.gate.start(r.t, rpc.Header{Kind: KindControl, ID: OpClosed, Target: "world"}, Close{Session: sid(s), Reason: reason}.Append(nil), nil)
}

func as(p firefly.PlayerID, epoch uint64) func(*rpc.Header) {
	return func(h *rpc.Header) { h.Player, h.Epoch = p, epoch }
}

func unordered(h *rpc.Header) { h.Flags |= FlagUnordered }

// handle registers a command under a number.
func handle(h *Host, id firefly.CommandID, f func(ctx context.Context, s firefly.Session, req *num) (*num, error)) {
	h.HandleCommand(&firefly.Command{ID: id, Name: fmt.Sprintf("test.v1.C%d", id)}, decodeNum, func(ctx context.Context, s firefly.Session, req any) (Body, error) {
		rep, err := f(ctx, s, req.(*num))
		if err != nil {
			return Body{}, err
		}
		return Body{Msg: rep}, nil
	})
}

// park waits, with the loop given up, until the channel is closed.
func park(ctx context.Context, c <-chan struct{}) {
	_, _ = firefly.Await(ctx, func(context.Context) (struct{}, error) { <-c; return struct{}{}, nil })
}

func mustContain(t testing.TB, s, sub string) {
	t.Helper()
	if !strings.Contains(s, sub) {
		t.Errorf("%q is not in\n%s", sub, s)
	}
}

// latch is a Completion that allocates nothing.
type latch struct{ c chan struct{} }

func (l *latch) Complete(rpc.Result, *transport.Batch) { l.c <- struct{}{} }
