package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"example.com/bench/benchpb"
	"example.com/bench/internal/cost"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/rpc"
	"github.com/firefly-go/firefly/runtime/transport"
)

var rpcSecret = []byte("only for measuring")

// echoer answers calls of the bench: it decodes the message and sends it back.
type echoer struct{}

func (echoer) Serve(_ *rpc.Link, _ *rpc.Header, body []byte, reply rpc.Reply, batch *transport.Batch) {
	b := new(benchpb.Blob)
	if err := b.UnmarshalVT(body); err != nil {
		reply.Fail(batch, &firefly.Error{Code: firefly.InvalidArgument, Message: err.Error()})
		return
	}
	reply.Send(batch, rpc.Payload{Msg: b})
}

func (echoer) Down(*rpc.Link, error) {}

func serveRPC(addr string) (string, error) {
	ln, err := rpc.Listen(transport.TCP(), addr, rpc.Options{Self: rpc.Identity{Node: "server", Incarnation: 1, Game: "bench"}, Secret: rpcSecret},
		func(*rpc.Link) rpc.Handler { return echoer{} })
	if err != nil {
		return "", err
	}
	return ln.Addr().String(), nil
}

// benchRPC lets 1, 16 and 256 goroutines call a server in another process over one
// connection. CPU is that of both processes.
func benchRPC(s *settings) error {
	raw, err := start(serverCore, "raw-calls")
	if err != nil {
		return err
	}
	defer raw.stop()
	ours, err := start(serverCore, "rpc")
	if err != nil {
		return err
	}
	defer ours.stop()
	peer, err := start(serverCore, "grpc")
	if err != nil {
		return err
	}
	defer peer.stop()

	rawConn, err := dialRaw(raw.addr)
	if err != nil {
		return err
	}
	link, err := rpc.Dial(context.Background(), transport.TCP(), ours.addr, rpc.Options{
		Self: rpc.Identity{Node: "client", Incarnation: 2, Game: "bench"}, Secret: rpcSecret, Handler: echoer{}})
	if err != nil {
		return err
	}
	defer link.Close(nil)
	grpcCall, grpcDone, err := dialGRPC(peer.addr)
	if err != nil {
		return err
	}
	defer grpcDone()

	for _, callers := range []int{1, 16, 256} {
		wanted := ""
		if callers == 256 {
			wanted = "cpu of Firefly at most a quarter of grpc-go's"
		}
		err := compare(fmt.Sprintf("rpc unary, %d callers", callers), s.rounds, []contestant{
			{"raw multiplexed call", func() (figure, error) {
				return callMany(callers, s.d, raw, func() func() error {
					done := make(chan []byte, 1)
					body := make([]byte, 34)
					return func() error { _, err := rawConn.call(body, done); return err }
				})
			}},
			{"firefly rpc", func() (figure, error) {
				return callMany(callers, s.d, ours, func() func() error {
					req := &benchpb.Blob{Data: bytes.Repeat([]byte{7}, 32)}
					h := &rpc.Header{Kind: 2, ID: 1}
					return func() error {
						rep := new(benchpb.Blob)
						return link.Call(context.Background(), h, rpc.Payload{Msg: req}, rep.UnmarshalVT)
					}
				})
			}},
			{"grpc-go", func() (figure, error) {
				return callMany(callers, s.d, peer, func() func() error {
					req := &benchpb.Blob{Data: bytes.Repeat([]byte{7}, 32)}
					return func() error { return grpcCall(context.Background(), req) }
				})
			}},
		}, wanted)
		if err != nil {
			return err
		}
	}
	return nil
}

// callMany lets callers goroutines call for d.
func callMany(callers int, d time.Duration, srv *server, newCaller func() func() error) (figure, error) {
	var stop atomic.Bool
	var n atomic.Int64
	var mu sync.Mutex
	var errs []error
	var samples []time.Duration
	var wg sync.WaitGroup
	run := func(d time.Duration) {
		stop.Store(false)
		for i := range callers {
			call := newCaller()
			wg.Go(func() {
				for !stop.Load() {
					begin := time.Now()
					if err := call(); err != nil {
						mu.Lock()
						errs = append(errs, err)
						mu.Unlock()
						return
					}
					n.Add(1)
					if i == 0 {
						samples = append(samples, time.Since(begin))
					}
				}
			})
		}
		time.Sleep(d)
		stop.Store(true)
		wg.Wait()
	}
	run(d / 10)
	n.Store(0)
	samples = samples[:0]
	c0, begin := srv.cpu()+cost.CPU(), time.Now()
	s0 := srv.syscalls()
	run(d)
	took, c1, s1 := time.Since(begin), srv.cpu()+cost.CPU(), srv.syscalls()
	if len(errs) > 0 {
		return figure{}, errors.Join(errs[0])
	}
	slices.Sort(samples)
	f := figure{perSecond: float64(n.Load()) / took.Seconds(), cpu: (c1 - c0) / time.Duration(max(1, n.Load())), syscalls: float64(s1-s0) / float64(max(1, n.Load()))}
	if len(samples) > 0 {
		f.p50 = samples[len(samples)/2]
	}
	return f, nil
}
