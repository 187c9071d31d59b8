package gate

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/wire"
)

// The defaults of firefly.Listens, and the limits that no launch file changes.
const (
	defaultMaxFrame    = 64 << 10
	defaultConnections = 20000
	defaultHandshake   = 10 * time.Second
	defaultIdle        = 60 * time.Second
	defaultClassicIdle = 15 * time.Minute
	defaultRate        = "100/s"
	defaultMaxQueue    = 1 << 20
	defaultResume      = 60 * time.Second
	defaultTimeout     = 10 * time.Second // of a command

	// What of one session is at nodes, and what more of it waits at the gate: that is input
	// which nobody has asked for, and which a reader on an event loop cannot leave in the
	// socket. Past its own room a session borrows from the gate's reserve, so that a burst of
	// one client costs nobody his life, and all of them together stay bounded.
	maxUnfinished      = 64        // commands at nodes
	maxUnfinishedBytes = 256 << 10 // their bodies
	maxWaiting         = 256 << 10 // bodies at the gate
	maxBorrowed        = 16 << 20  // the same, out of the reserve
	reserve            = 64 << 20  // of a gate
	waitingCost        = 256       // of a command at the gate, beside its body
	maxSlots           = 16 << 10  // classic requests since the oldest without a reply
	maxGroups          = 256       // of one session
	newPerAddress      = 50        // connections a second from one address, and as many at once
	maxShapes          = 64 << 10  // bytes of a second Hello
)

// limits are firefly.Listens with the defaults filled in.
type limits struct {
	maxFrame    int
	connections int
	perAddress  int // 0: no limit
	handshake   time.Duration
	idle        time.Duration
	classicIdle time.Duration
	resume      time.Duration // 0: never
	rate        rate
	maxQueue    int
	classic     *classic // nil: closed to classic clients
}

// body says how the bodies of classic frames are encoded.
type body uint8

const (
	bodyProtobuf body = iota
	bodyJSON
	bodyRaw
)

type classic struct {
	wire.Classic
	body  body
	reply bool // errors are answered
}

// newLimits fills in the defaults. Its errors name the key of the launch file.
func newLimits(l firefly.Listens) (limits, error) {
	r := limits{
		maxFrame: defaultMaxFrame, connections: defaultConnections, perAddress: int(l.MaxPerAddress),
		handshake: defaultHandshake, idle: defaultIdle, classicIdle: defaultClassicIdle,
		maxQueue: defaultMaxQueue, resume: defaultResume,
	}
	if l.MaxFrame > 1<<20 {
		return limits{}, fmt.Errorf("listens: max_frame %d is over 1 MiB", l.MaxFrame)
	}
	setInt(&r.maxFrame, l.MaxFrame)
	setInt(&r.connections, l.MaxConnections)
	setInt(&r.maxQueue, l.MaxQueue)
	if l.HandshakeTimeout != 0 {
		r.handshake = time.Duration(l.HandshakeTimeout)
	}
	if l.IdleTimeout != 0 {
		r.idle, r.classicIdle = time.Duration(l.IdleTimeout), time.Duration(l.IdleTimeout)
	}
	if l.Resume != 0 {
		r.resume = max(0, time.Duration(l.Resume))
	}
	if r.handshake < 0 || r.idle < 0 {
		return limits{}, fmt.Errorf("listens: a timeout is negative")
	}
	text := l.Rate
	if text == "" {
		text = defaultRate
	}
	var err error
	if r.rate, err = parseRate(text); err != nil {
		return limits{}, fmt.Errorf("listens: %w", err)
	}
	if l.Classic != nil {
		if r.classic, err = newClassic(l.Classic); err != nil {
			return limits{}, fmt.Errorf("listens: classic: %w", err)
		}
	}
	return r, nil
}

func setInt(dst *int, v uint32) {
	if v != 0 {
		*dst = int(v)
	}
}

func newClassic(c *firefly.Classic) (*classic, error) {
	r := &classic{}
	r.Version = c.Version
	if len(c.Magic) != 0 && len(c.Magic) != len(r.Magic) {
		return nil, fmt.Errorf("magic has %d numbers, not 5", len(c.Magic))
	}
	for i, v := range c.Magic {
		if v < 0 || v > 255 {
			return nil, fmt.Errorf("magic: %d is no byte", v)
		}
		r.Magic[i] = byte(v)
	}
	switch r.Magic[0] {
	case 255, 22, 'G', 'P':
		return nil, fmt.Errorf("magic may not begin with %d: another protocol does", r.Magic[0])
	}
	switch c.Body {
	case "", "PROTOBUF":
		r.body = bodyProtobuf
	case "JSON":
		r.body = bodyJSON
	case "RAW":
		r.body = bodyRaw
	default:
		return nil, fmt.Errorf("body %q is none of PROTOBUF, JSON, RAW", c.Body)
	}
	switch c.Errors {
	case "":
		r.reply = r.body == bodyJSON
	case "NONE":
	case "REPLY":
		if r.body != bodyJSON {
			return nil, fmt.Errorf("errors REPLY needs body JSON: no other body has a place for an error")
		}
		r.reply = true
	default:
		return nil, fmt.Errorf("errors %q is none of REPLY, NONE", c.Errors)
	}
	return r, nil
}

// rate is a token bucket as one number: the time at which the bucket would be full again. The
// zero rate lets everything pass.
type rate struct {
	interval int64 // nanoseconds that one token takes to come back
	burst    int64 // interval times the size of the bucket
}

func newRate(count int32, per time.Duration) rate {
	if count <= 0 || per <= 0 {
		return rate{}
	}
	i := max(1, int64(per)/int64(count))
	if i > math.MaxInt64/4/int64(count) {
		return rate{}
	}
	return rate{i, i * int64(count)}
}

// take takes a token from the bucket that is full at *full. The zero *full is a full bucket,
// since now never is near zero.
func (r rate) take(full *int64, now int64) bool {
	if r.interval == 0 {
		return true
	}
	t := max(*full, now) + r.interval
	if t-now > r.burst {
		return false
	}
	*full = t
	return true
}

// parseRate reads "5/s", "30/m", "1/10s", "none".
func parseRate(s string) (rate, error) {
	if s == "none" {
		return rate{}, nil
	}
	n, per, ok := strings.Cut(s, "/")
	count, err := strconv.ParseInt(n, 10, 32)
	if !ok || err != nil || count <= 0 {
		return rate{}, fmt.Errorf("rate %q is not like \"5/s\", \"30/m\", \"1/10s\" or \"none\"", s)
	}
	if per != "" && per[0] >= 'a' {
		per = "1" + per
	}
	d, err := time.ParseDuration(per)
	if err != nil || d <= 0 {
		return rate{}, fmt.Errorf("rate %q: %q is no time", s, per)
	}
	return newRate(int32(count), d), nil
}
