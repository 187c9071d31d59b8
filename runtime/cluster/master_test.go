package cluster

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/rpc"
	"github.com/firefly-go/firefly/runtime/transport"
)

// When the supervisor says that a process is dead, it is gone at once, and its successor is
// another life.
func TestSupervisorKnows(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.startMaster()
		a, b := w.join("a-1"), w.join("b-1")
		w.settle(a, b)
		synctest.Wait()
		old := a.Peer("b-1")
		b.kill()
		w.registry.Gone("b-1", 0)
		w.registry.Gone("b-1", b.life)
		w.registry.Gone("nobody", 0)
		synctest.Wait()
		a.expect(up(b), down(b))
		b2 := w.join("b-1")
		w.settle(a, b2)
		synctest.Wait()
		a.expect(up(b2))
		if p := a.Peer("b-1"); p == old || p.Gone() || !old.Gone() {
			t.Error("the successor is taken for the dead one")
		}
		if _, err := old.Link(); firefly.CodeOf(err) != firefly.Unavailable {
			t.Errorf("the dead one has a link: %v", err)
		}
	})
}

func TestLeaves(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.startMaster()
		a, b := w.join("a-1"), w.join("b-1")
		w.settle(a, b)
		synctest.Wait()
		a.sawNow()
		begin := time.Now()
		b.Close()
		b.Close()
		synctest.Wait()
		if took := time.Since(begin); took > 1500*time.Millisecond {
			t.Errorf("closing took %v", took)
		}
		a.expect(down(b))
		if v := w.registry.View(); len(v.Members) != 1 || len(v.Dead) != 1 {
			t.Errorf("the master sees %+v", v)
		}
		if err := b.Connected(t.Context()); err == nil {
			t.Error("a closed cluster is connected")
		}
	})
}

func TestSecondLifeIsRefused(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.startMaster()
		a, b := w.join("a-1"), w.join("b-1")
		w.settle(a, b)
		synctest.Wait()
		a.sawNow()
		begin := time.Now()
		second := w.join("b-1")
		err := <-second.refused
		if firefly.CodeOf(err) != firefly.AlreadyExists || !strings.Contains(err.Error(), "b-1 runs already") {
			t.Errorf("refused with %v", err)
		}
		if took := time.Since(begin); took < patience || took > 2*patience {
			t.Errorf("refused after %v", took)
		}
		time.Sleep(time.Minute)
		a.expect()
		if err := a.call("b-1"); err != nil {
			t.Errorf("the first was harmed: %v", err)
		}
		if len(second.refused) > 0 {
			t.Error("refused twice")
		}
	})
}

// A host that died says nothing: its successor waits until the master has noticed.
func TestSuccessorOfSilentHost(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.startMaster()
		a, b := w.join("a-1"), w.join("b-1")
		w.settle(a, b)
		synctest.Wait()
		a.sawNow()
		b.net.silent.Store(true)
		begin := time.Now()
		b2 := w.join("b-1")
		w.settle(a, b2)
		if took := time.Since(begin); took < 4*time.Second || took > patience {
			t.Errorf("that took %v", took)
		}
		synctest.Wait()
		if got := a.sawNow(); !slices.Equal(got, []string{down(b), up(b2)}) {
			t.Errorf("saw %q", got)
		}
		if len(b2.refused) > 0 {
			t.Error(<-b2.refused)
		}
	})
}

// A node that was declared dead and comes back has to end; nothing of it is served again.
func TestDeclaredDead(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.startMaster()
		a, b := w.join("a-1"), w.join("b-1")
		w.settle(a, b)
		synctest.Wait()
		a.sawNow()
		served := 0
		a.served = func(*Peer, *rpc.Header, []byte, rpc.Reply, *transport.Batch) { served++ }
		l, err := b.Peer("a-1").Link()
		if err != nil {
			t.Fatal(err)
		}
		w.registry.Gone("b-1", b.life)
		synctest.Wait()
		a.expect(down(b))
		_ = l.Send(nil, &rpc.Header{Kind: 1}, rpc.Payload{})
		if err := <-b.refused; err == nil {
			t.Error("refused without an error")
		}
		time.Sleep(time.Minute)
		if served > 0 {
			t.Error("a dead node was served")
		}
		a.expect()
		if len(b.refused) > 0 {
			t.Error("refused twice")
		}
	})
}

// The master dies: links stay, calls go on, nobody hears of anything. A new one, even with a
// clock that is behind, finds everybody.
func TestMasterDies(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.startMaster()
		all := []*node{w.join("a-1"), w.join("b-1"), w.join("c-1")}
		w.settle(all...)
		synctest.Wait()
		for _, n := range all {
			n.sawNow()
		}
		w.killMaster()
		for range 60 {
			time.Sleep(time.Second)
			if err := all[0].call("b-1"); err != nil {
				t.Fatal(err)
			}
		}
		for _, n := range all {
			n.Cluster.mu.Lock()
			n.Cluster.view.Version += uint64(time.Hour.Microseconds())
			n.Cluster.mu.Unlock()
		}
		w.startMaster()
		w.await("all to register again", func() bool { return len(w.registry.View().Members) == 3 })
		late := w.join("d-1")
		w.settle(append(all, late)...)
		synctest.Wait()
		for _, n := range all {
			n.expect(up(late))
		}
		time.Sleep(time.Minute)
		for _, n := range all {
			n.expect()
		}
	})
}

// Without a master a dead process is noticed, since nobody listens there; one that only does
// not answer is waited for, and both sides speak again.
func TestWithoutMaster(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.startMaster()
		a, b, c := w.join("a-1"), w.join("b-1"), w.join("c-1")
		w.settle(a, b, c)
		synctest.Wait()
		a.sawNow()
		b.sawNow()
		c.sawNow()
		w.killMaster()
		time.Sleep(time.Second)
		m := w.net.(*transport.Memory)
		m.Pause(b.Self().Address)
		m.Pause(c.Self().Address)
		time.Sleep(5 * time.Minute)
		if err := a.call("b-1"); firefly.CodeOf(err) != firefly.Unavailable {
			t.Errorf("a call to a node that does not answer: %v", err)
		}
		for _, n := range []*node{a, b, c} {
			n.expect()
		}
		m.Resume(b.Self().Address)
		m.Resume(c.Self().Address)
		w.settle(a, b, c)
		a.expect()
		// And now it dies. Both who dials and who is dialed notice.
		b.kill()
		time.Sleep(30 * time.Second)
		a.expect(down(b))
		c.expect(down(b))
		w.startMaster()
		w.settle(a, c)
		time.Sleep(time.Minute)
		a.expect()
		c.expect()
	})
}

// A member that died while there was no master is over when the new one does not hear of it.
func TestNewMasterMissesOne(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.startMaster()
		a, b := w.join("a-1"), w.join("b-1")
		w.settle(a, b)
		synctest.Wait()
		a.sawNow()
		w.killMaster()
		m := w.net.(*transport.Memory)
		m.Pause(b.Self().Address) // its host is off
		go b.kill()
		time.Sleep(time.Minute)
		a.expect()
		w.startMaster()
		w.await("a to register", func() bool { return len(w.registry.View().Members) == 1 })
		time.Sleep(4 * time.Second)
		a.expect() // it has the whole lease to register
		time.Sleep(8 * time.Second)
		a.expect(down(b))
		m.Resume(b.Self().Address)
	})
}

func TestControl(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		r := w.startMaster()
		w.join("a-1", func(o *Options) {
			o.Control = func(ctx context.Context, op string, body []byte) ([]byte, error) {
				switch op {
				case "upper":
					return bytes.ToUpper(body), nil
				case "wait":
					<-ctx.Done()
					return nil, ctx.Err()
				}
				return nil, firefly.NotFound.Errorf("no %s", op)
			}
		})
		w.join("b-1")
		w.await("both", func() bool { return len(r.View().Members) == 2 })
		ctx := t.Context()
		if b, err := r.Control(ctx, "a-1", "upper", []byte("abc")); err != nil || string(b) != "ABC" {
			t.Errorf("%q, %v", b, err)
		}
		short, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		for _, c := range []struct {
			ctx      context.Context
			node, op string
			want     firefly.Code
		}{
			{ctx, "a-1", "other", firefly.NotFound},
			{ctx, "b-1", "upper", firefly.Unimplemented},
			{ctx, "c-1", "upper", firefly.Unavailable},
			{short, "a-1", "wait", firefly.DeadlineExceeded},
		} {
			if _, err := r.Control(c.ctx, c.node, c.op, nil); firefly.CodeOf(err) != c.want {
				t.Errorf("%s at %s: %v", c.op, c.node, err)
			}
		}
	})
}

func TestStrangers(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		r := w.startMaster()
		a := w.join("a-1")
		w.join("b-1", func(o *Options) { o.Secret = []byte("guess") })
		w.join("c-1", func(o *Options) { o.Game = "another" })
		time.Sleep(time.Minute)
		if v := r.View(); len(v.Members) != 1 || v.Members[0].Name != "a-1" {
			t.Errorf("members are %+v", v.Members)
		}
		a.expect()
		// Nobody registers for another, or speaks to the master of anything else.
		l, err := rpc.Dial(t.Context(), w.net, w.master, rpc.Options{
			Self: rpc.Identity{Node: "x-1", Incarnation: 1, Game: "g"}, Secret: []byte("s"), Log: testLog()})
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close(nil)
		for _, c := range []struct {
			kind rpc.Kind
			id   uint64
			body string
			want firefly.Code
		}{
			{KindRegistry, opRegister, `{"member":{"name":"a-1","incarnation":"99"}}`, firefly.InvalidArgument},
			{KindRegistry, opRegister, `{"member":{"name":"x-1","incarnation":"2"}}`, firefly.InvalidArgument},
			{KindRegistry, opRegister, `{`, firefly.InvalidArgument},
			{KindRegistry, 77, ``, firefly.Unimplemented},
			{1, opRegister, ``, firefly.Unimplemented},
			{KindRegistry, opLeave, ``, firefly.OK}, // of nobody
		} {
			if err := l.Call(t.Context(), &rpc.Header{Kind: c.kind, ID: c.id}, rpc.Payload{Raw: []byte(c.body)}, nil); firefly.CodeOf(err) != c.want {
				t.Errorf("%+v: %v", c, err)
			}
		}
		if v := r.View(); len(v.Members) != 1 {
			t.Errorf("members are %+v", v.Members)
		}
	})
}
