package idl

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/firefly-go/firefly/idl/fireflypb"
)

// Doors of gates and their limits.

// Fields of the options Listen and Classic.
const (
	listenTCP = iota + 1
	listenWebSocket
	listenHTTP
	listenClassic
	listenMaxFrame
	listenMaxConnections
	listenMaxPerAddress
	listenHandshake
	listenIdle
	listenRate
	listenMaxQueue
	listenResume

	classicMagic  = 1
	classicErrors = 4
)

// Defaults and bounds of a listener.
const (
	defaultMaxFrame       = 64 << 10
	maxMaxFrame           = 1 << 20
	defaultMaxConnections = 20000
	defaultMaxQueue       = 1 << 20
	maxMaxQueue           = 256 << 20
	defaultHandshake      = 10 * time.Second
	defaultIdle           = time.Minute
	defaultClassicIdle    = 15 * time.Minute
	defaultResume         = time.Minute
)

var defaultListenRate = Rate{Count: 100, Per: time.Second}

func (r *run) buildListen(role *Role) {
	o := role.Listens
	if o == nil {
		return
	}
	pos := func(path ...int32) Pos { return r.roleOpt(role, append([]int32{roleListens}, path...)...) }
	at := func(field int32) func() Pos { return func() Pos { return pos(field) } }
	l := &Listen{
		Pos: pos(), TCP: o.Tcp, WebSocket: o.Websocket, HTTP: o.Http,
		MaxFrame:       int(orDefault(o.MaxFrame, defaultMaxFrame)),
		MaxConnections: int(min(orDefault(o.MaxConnections, defaultMaxConnections), math.MaxInt32)),
		MaxPerAddress:  int(min(o.MaxPerAddress, math.MaxInt32)),
		MaxQueue:       int(min(orDefault(o.MaxQueue, defaultMaxQueue), math.MaxInt32)),
		Handshake:      r.duration(o.HandshakeTimeout, at(listenHandshake), defaultHandshake, 100*time.Millisecond, time.Hour),
		Idle:           r.duration(o.IdleTimeout, at(listenIdle), defaultIdle, time.Second, 30*24*time.Hour),
		Resume:         r.duration(o.Resume, at(listenResume), defaultResume, 0, 24*time.Hour),
		Rate:           r.rate(o.Rate, at(listenRate)),
	}
	if l.Rate == (Rate{}) {
		l.Rate = defaultListenRate
	}
	role.Gate = l
	if o.MaxFrame > maxMaxFrame {
		r.fault(CodeMaxFrame, pos(listenMaxFrame), fmt.Sprintf("max_frame %d is over %d; send what is larger in parts", o.MaxFrame, maxMaxFrame))
	} else if l.MaxQueue < l.MaxFrame {
		r.fault(CodeMaxQueue, pos(listenMaxQueue), fmt.Sprintf("max_queue %d has no room for one frame of %d bytes", l.MaxQueue, l.MaxFrame))
	}
	if o.MaxQueue > maxMaxQueue {
		r.fault(CodeMaxQueue, pos(listenMaxQueue), fmt.Sprintf("max_queue %d is over %d, and every client has one", o.MaxQueue, maxMaxQueue))
	}
	if c := o.Classic; c != nil {
		l.Classic = &Classic{Version: c.Version, Body: c.Body, Errors: c.Errors, Idle: l.Idle}
		if o.IdleTimeout == "" {
			l.Classic.Idle = defaultClassicIdle
		}
		r.buildMagic(c, l.Classic, func(i ...int32) Pos { return pos(append([]int32{listenClassic, classicMagic}, i...)...) })
	}
}

func orDefault(v, def uint32) uint32 {
	if v == 0 {
		return def
	}
	return v
}

// firstBytes tell connections of other kinds from classic ones.
var firstBytes = map[uint32]string{255: "a native connection", 22: "TLS", 'G': "an HTTP GET", 'P': "an HTTP POST or PUT"}

func (r *run) buildMagic(o *fireflypb.Classic, c *Classic, pos func(i ...int32) Pos) {
	if len(o.Magic) == 0 {
		return
	}
	if len(o.Magic) != len(c.Magic) {
		r.fault(CodeMagic, pos(0), fmt.Sprintf("magic has %s; the classic header has %d, each 0 to 255", count(len(o.Magic), "byte"), len(c.Magic)))
		return
	}
	for i, b := range o.Magic {
		if b > 255 {
			r.fault(CodeMagic, pos(int32(i)), fmt.Sprintf("%d is no byte; the classic header has %d, each 0 to 255", b, len(c.Magic)))
			return
		}
		c.Magic[i] = byte(b)
	}
	if what := firstBytes[o.Magic[0]]; what != "" {
		r.fault(CodeMagic, pos(0), fmt.Sprintf("magic cannot begin with %d: by this byte the gate knows %s", o.Magic[0], what))
	}
}

func count(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}

// checkListens checks ports over all roles, and that clients have a way in.
func (r *run) checkListens() {
	type taken struct {
		role *Role
		what string
		pos  Pos
	}
	ports := map[uint32]taken{}
	open, http := false, false
	for _, role := range r.sys.Roles {
		o := role.Listens
		if o == nil {
			continue
		}
		open = true
		http = http || o.Http != 0
		for _, p := range []struct {
			port  uint32
			field int32
			what  string
		}{{o.Tcp, listenTCP, "tcp"}, {o.Websocket, listenWebSocket, "websocket"}, {o.Http, listenHTTP, "http"}} {
			if p.port == 0 {
				continue
			}
			pos := r.roleOpt(role, roleListens, p.field)
			if p.port > 65535 {
				r.fault(CodePortRange, pos, fmt.Sprintf("port %d is over 65535", p.port))
				continue
			}
			if first, ok := ports[p.port]; ok {
				r.fault(CodePortTaken, pos, fmt.Sprintf("port %d is taken by %s of role %q", p.port, first.what, first.role.Name), at(first.pos, "is the other one"))
				continue
			}
			ports[p.port] = taken{role, p.what, pos}
		}
		if c := o.Classic; c != nil && c.Body == fireflypb.Classic_RAW {
			r.checkRawOnly(role)
		}
	}
	for _, role := range r.sys.Roles {
		for _, s := range role.Serves {
			if !open && len(s.Commands()) > 0 {
				r.fault(CodeNoListener, s.rolePos, fmt.Sprintf("no role listens, so no client can reach the commands of %s; add listens: { tcp: 7700 } to a role", s.FullName))
				return
			}
			if !http && slices.ContainsFunc(s.Methods, func(m *Method) bool { return m.HTTP != nil }) {
				r.warn(CodeNoHTTPPort, s.rolePos, fmt.Sprintf("no role has an http port, so the HTTP methods of %s are reachable only when a launch file gives one", s.FullName))
				http = true // once
			}
		}
	}
}

// checkRawOnly: a classic listener with raw bodies can only pass on what is Raw.
func (r *run) checkRawOnly(gate *Role) {
	for _, role := range r.sys.Roles {
		for _, s := range role.Serves {
			for _, m := range s.Commands() {
				if m.Request == WireRaw && m.Reply != WireMessage || m.Request == WireEmpty && m.Reply != WireMessage {
					continue
				}
				r.fault(CodeClassicRaw, r.roleOpt(gate, roleListens, listenClassic, 3), fmt.Sprintf("body is RAW, and %s takes or gives a message; make it Raw, or the body PROTOBUF or JSON", m.FullName), at(m.Pos, "is the command"))
				return
			}
		}
	}
}
