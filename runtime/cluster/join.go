package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/metrics"
	"time"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/rpc"
	"github.com/firefly-go/firefly/runtime/transport"
)

// What nodes and master say to each other: rpc.Header.ID of a KindRegistry. Bodies are JSON.
const (
	opRegister = 1 // node to master: registration -> View; refused with AlreadyExists or FailedPrecondition
	opReport   = 2 // node to master, one way: report
	opView     = 3 // master to node, one way: View
	opControl  = 4 // master to node: control -> bytes
	opLeave    = 5 // node to master: nothing -> nothing; this life ends in order
)

type registration struct {
	Member   Member   `json:"member"`
	Declared Declared `json:"declared"`
}

type report struct {
	State    string `json:"state"`
	Sessions int    `json:"sessions"`
	Load     int    `json:"load"`
	Detail   string `json:"detail,omitempty"`
	Vitals
}

// vitals asks the Go runtime and the store; it costs microseconds and stops nothing.
func (c *Cluster) vitals() Vitals {
	s := []metrics.Sample{{Name: "/sched/goroutines:goroutines"}, {Name: "/gc/heap/allocs:objects"}, {Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(s)
	v := Vitals{Goroutines: int(s[0].Value.Uint64()), Allocs: s[1].Value.Uint64(), Heap: s[2].Value.Uint64()}
	if c.o.TablesStatus != nil {
		v.Tables = c.o.TablesStatus()
	}
	return v
}

type control struct {
	Op   string `json:"op"`
	Body []byte `json:"body,omitempty"`
}

// patience is how long a process asks for its name while another seems to live under it: one
// whose host died is noticed only by its silence.
const patience = 8 * time.Second

// Join keeps a link to the master: it registers, reports every second and takes views. When
// the link is lost it is made again, for ever; meanwhile the last view holds.
func (c *Cluster) Join(addr string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || c.asked.Swap(true) {
		return
	}
	c.wg.Go(func() {
		wait := 50 * time.Millisecond
		var disputed time.Time // since when another has the name
		for c.ctx.Err() == nil {
			begin := time.Now()
			err := c.membership(addr)
			c.joined.Store(false)
			switch firefly.CodeOf(err) {
			case firefly.FailedPrecondition:
				go c.over(err)
				return
			case firefly.AlreadyExists:
				if disputed.IsZero() {
					disputed = begin
					c.log.Warn("the master refuses this process; it asks again", "error", err)
				}
				if time.Since(disputed) >= patience {
					go c.over(err)
					return
				}
			default:
				disputed = time.Time{}
			}
			if time.Since(begin) > 5*time.Second {
				wait = 50 * time.Millisecond
			}
			c.log.Debug("no master", "address", addr, "error", err)
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

// membership is one stay with the master: from dialing the master to losing it.
func (c *Cluster) membership(addr string) error {
	down := make(chan error, 1)
	c.mu.Lock()
	o := c.linkOptions()
	c.mu.Unlock()
	o.Accept = func(*rpc.Link) rpc.Handler { return &fromMaster{c, down} }
	l, err := rpc.Dial(c.ctx, c.o.Network, addr, o)
	if err != nil {
		return err
	}
	defer l.Close(nil)
	c.mu.Lock()
	reg := registration{Member: c.self, Declared: c.declared}
	c.mu.Unlock()
	reg.Member.Vitals = c.vitals()
	if c.o.Load != nil {
		reg.Member.Sessions, reg.Member.Load = c.o.Load()
	}
	body, err := json.Marshal(reg)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(c.ctx, 5*time.Second)
	defer cancel()
	var v View
	err = l.Call(ctx, &rpc.Header{Kind: KindRegistry, ID: opRegister}, rpc.Payload{Raw: body}, func(b []byte) error {
		if err := json.Unmarshal(b, &v); err != nil {
			return err
		}
		// Here, on the reader, so that no later view is overwritten.
		c.joined.Store(true)
		c.apply(v, true)
		return nil
	})
	if err != nil {
		return err
	}
	c.setMaster(l)
	defer c.setMaster(nil)
	c.log.Info("registered", "master", addr)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case err := <-down:
			return err
		case <-c.ctx.Done():
			return c.ctx.Err()
		case <-tick.C:
		case <-c.report:
		}
		r := report{Vitals: c.vitals()}
		c.mu.Lock()
		r.State, r.Detail = c.self.State, c.self.Detail
		c.mu.Unlock()
		if c.o.Load != nil {
			r.Sessions, r.Load = c.o.Load()
		}
		if body, err = json.Marshal(r); err != nil {
			return err
		}
		if err := l.Send(nil, &rpc.Header{Kind: KindRegistry, ID: opReport}, rpc.Payload{Raw: body}); err != nil {
			return err
		}
	}
}

func (c *Cluster) setMaster(l *rpc.Link) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.master = l
}

// fromMaster serves what the master sends.
type fromMaster struct {
	c    *Cluster
	down chan error
}

func (f *fromMaster) Serve(_ *rpc.Link, h *rpc.Header, body []byte, reply rpc.Reply, batch *transport.Batch) {
	if h.Kind != KindRegistry {
		reply.Fail(batch, &firefly.Error{Code: firefly.Unimplemented, Message: "the master asks for what nodes do not know"})
		return
	}
	switch h.ID {
	case opView:
		var v View
		if err := json.Unmarshal(body, &v); err != nil {
			f.c.log.Error("a view does not decode", "error", err)
			return
		}
		f.c.Apply(v)
	case opControl:
		var ask control
		err := json.Unmarshal(body, &ask)
		if err == nil && f.c.o.Control == nil {
			err = firefly.Unimplemented.Errorf("%s takes no orders", f.c.o.Self.Name)
		}
		if err != nil {
			reply.Fail(batch, asError(err))
			return
		}
		timeout := h.Timeout
		if timeout == 0 {
			timeout = 30 * time.Second
		}
		f.c.mu.Lock()
		defer f.c.mu.Unlock()
		if f.c.closed {
			reply.Fail(batch, &firefly.Error{Code: firefly.Unavailable, Message: "the node stops"})
			return
		}
		f.c.wg.Go(func() {
			ctx, cancel := context.WithTimeout(f.c.ctx, timeout)
			defer cancel()
			out, err := f.c.o.Control(ctx, ask.Op, ask.Body)
			if err != nil {
				reply.Fail(nil, asError(err))
				return
			}
			reply.Send(nil, rpc.Payload{Raw: out})
		})
	default:
		reply.Fail(batch, &firefly.Error{Code: firefly.Unimplemented, Message: fmt.Sprintf("registry operation %d", h.ID)})
	}
}

func (f *fromMaster) Down(_ *rpc.Link, err error) { f.down <- err }

// asError gives an error the shape that travels.
func asError(err error) *firefly.Error {
	var e *firefly.Error
	if errors.As(err, &e) {
		return e
	}
	code := firefly.Internal
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		code = firefly.DeadlineExceeded
	case errors.Is(err, context.Canceled):
		code = firefly.Canceled
	}
	return &firefly.Error{Code: code, Message: err.Error()}
}
