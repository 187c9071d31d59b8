package cluster

import (
	"context"
	"slices"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/directory"
	"github.com/firefly-go/firefly/runtime/rpc"
	tables "github.com/firefly-go/firefly/runtime/table"
	"github.com/firefly-go/firefly/runtime/table/remote"
	"github.com/firefly-go/firefly/runtime/transport"
)

// Directory is the directory that the store node keeps. While no store is linked its calls
// answer Unavailable.
func (c *Cluster) Directory() directory.Directory {
	return directory.NewClient(storeCaller{c, KindDirectory})
}

// Tables is the embedded store of the store node. While no store is linked its calls wait a little, and
// then answer Unavailable.
func (c *Cluster) Tables() tables.Store { return remote.NewClient(storeCaller{c, KindTables}) }

// storeCaller asks whichever process plays the store.
type storeCaller struct {
	c    *Cluster
	kind rpc.Kind
}

func (s storeCaller) Call(ctx context.Context, op uint64, body []byte) ([]byte, error) {
	for _, p := range s.c.Role(StoreRole) {
		l, err := p.Link()
		if err != nil {
			continue
		}
		var out []byte
		err = l.Call(ctx, &rpc.Header{Kind: s.kind, ID: op}, rpc.Payload{Raw: body}, func(b []byte) error {
			out = slices.Clone(b)
			return nil
		})
		return out, err
	}
	return nil, firefly.Unavailable.Errorf("the store is away")
}

// serveDirectory answers a directory call on the link's reader: the memory directory does not
// block.
func (c *Cluster) serveDirectory(h *rpc.Header, body []byte, reply rpc.Reply, batch *transport.Batch) {
	if c.o.Directory == nil {
		reply.Fail(batch, &firefly.Error{Code: firefly.Unavailable, Message: "this process keeps no directory"})
		return
	}
	out, err := c.o.Directory.Serve(c.ctx, h.ID, body)
	if err != nil {
		reply.Fail(batch, asError(err))
		return
	}
	reply.Send(batch, rpc.Payload{Raw: out})
}

// serveTables answers a request for tables, which may have to wait for the disk.
func (c *Cluster) serveTables(h *rpc.Header, body []byte, reply rpc.Reply, batch *transport.Batch) {
	s := c.o.Tables
	if s == nil {
		reply.Fail(batch, &firefly.Error{Code: firefly.Unavailable, Message: "this process keeps no tables"})
		return
	}
	op, timeout := h.ID, h.Timeout
	body = slices.Clone(body)
	c.wg.Go(func() {
		ctx := c.ctx
		if timeout > 0 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, timeout)
			defer cancel()
		}
		out, err := s.Serve(ctx, op, body)
		if err != nil {
			reply.Fail(nil, asError(err))
			return
		}
		reply.Send(nil, rpc.Payload{Raw: out})
	})
}
