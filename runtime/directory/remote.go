package directory

import (
	"context"
	"encoding/binary"
	"time"

	"github.com/firefly-go/firefly"
)

// Caller asks the process that keeps the directory; runtime/cluster has one over its links.
// The result is the callee's no more.
type Caller interface {
	Call(ctx context.Context, op uint64, body []byte) ([]byte, error)
}

// The operations, as numbers on the wire. Requests and replies are fixed fields, big-endian,
// a name at the end; a reply begins with a status.
const (
	opClaim   = 1 // player, session -> epoch, session and epoch of each of the previous
	opRelease = 2 // player, session, epoch
	opLookup  = 3 // player -> session, epoch
	opRenew   = 4 // incarnation -> ttl in microseconds, known
	opReclaim = 5 // player, session, epoch
	opLeft    = 6 // incarnation -> microseconds
	opForget  = 7 // incarnation
	opHold    = 8 // incarnation, name -> epoch, ttl
	opDrop    = 9 // incarnation, name
)

// The statuses of a reply.
const (
	statusOK = iota
	statusSuperseded
	statusHeld
	statusDead
	statusAway // the directory behind the server failed
)

// maxName bounds the name of a Hold on the wire.
const maxName = 1024

var errRequest = &firefly.Error{Code: firefly.InvalidArgument, Message: "directory: malformed request"}

// Server answers what Clients ask.
type Server struct{ d Directory }

// NewServer makes a server before d.
func NewServer(d Directory) *Server { return &Server{d} }

// Directory is what the server answers from.
func (s *Server) Directory() Directory { return s.d }

// Serve answers one request. It blocks only if its Directory does, and Memory never does.
// body is not kept and the result is the caller's. An error is a *firefly.Error and says that
// the request cannot be read.
func (s *Server) Serve(ctx context.Context, op uint64, body []byte) ([]byte, error) {
	r := reader{b: body}
	out := make([]byte, 1, 40)
	var err error
	switch op {
	case opClaim:
		player, session := r.player(), r.session()
		if !r.end() {
			return nil, errRequest
		}
		var epoch uint64
		var previous []Entry
		epoch, previous, err = s.d.Claim(ctx, player, session)
		out = put(out, epoch)
		for _, e := range previous {
			out = putEntry(out, e)
		}
	case opRelease, opReclaim:
		player, session, epoch := r.player(), r.session(), r.uint64()
		if !r.end() {
			return nil, errRequest
		}
		if op == opRelease {
			err = s.d.Release(ctx, player, session, epoch)
		} else {
			err = s.d.Reclaim(ctx, player, session, epoch)
		}
	case opLookup:
		player := r.player()
		if !r.end() {
			return nil, errRequest
		}
		var e Entry
		e, _, err = s.d.Lookup(ctx, player)
		out = putEntry(out, e)
	case opRenew:
		gate := r.incarnation()
		if !r.end() {
			return nil, errRequest
		}
		var ttl time.Duration
		var known bool
		ttl, known, err = s.d.Renew(ctx, gate)
		out = put(out, uint64(ttl.Microseconds()))
		out = append(out, 0)
		if known {
			out[len(out)-1] = 1
		}
	case opLeft:
		gate := r.incarnation()
		if !r.end() {
			return nil, errRequest
		}
		var left time.Duration
		left, err = s.d.Left(ctx, gate)
		out = put(out, uint64((left+time.Microsecond-1)/time.Microsecond))
	case opForget:
		gate := r.incarnation()
		if !r.end() {
			return nil, errRequest
		}
		err = s.d.Forget(ctx, gate)
	case opHold, opDrop:
		owner := r.incarnation()
		name := string(r.b)
		if r.bad || len(name) > maxName {
			return nil, errRequest
		}
		if op == opDrop {
			err = s.d.Drop(ctx, name, owner)
			break
		}
		var epoch uint64
		var ttl time.Duration
		epoch, ttl, err = s.d.Hold(ctx, name, owner)
		out = put(out, epoch)
		out = put(out, uint64(ttl.Microseconds()))
	default:
		return nil, &firefly.Error{Code: firefly.Unimplemented, Message: "directory: no such operation"}
	}
	switch err {
	case nil:
	case ErrSuperseded:
		out[0] = statusSuperseded
	case ErrHeld:
		out[0] = statusHeld
	case ErrDead:
		out[0] = statusDead
	default:
		out[0] = statusAway
	}
	return out, nil
}

// Client is a Directory that another process keeps. Errors other than those of this package
// are those of its Caller, or firefly.Unavailable.
type Client struct{ c Caller }

// NewClient makes a client over c.
func NewClient(c Caller) *Client { return &Client{c} }

// call asks; the error of an answer is that of the reader's last value too.
func (c *Client) call(ctx context.Context, op uint64, body []byte) (reader, error) {
	b, err := c.c.Call(ctx, op, body)
	if err != nil {
		return reader{}, err
	}
	r := reader{b: b}
	switch status := r.take(1); {
	case status == nil:
		return r, errReply
	case status[0] == statusOK:
		return r, nil
	case status[0] == statusSuperseded:
		return r, ErrSuperseded
	case status[0] == statusHeld:
		return r, ErrHeld
	case status[0] == statusDead:
		return r, ErrDead
	default:
		return r, errAway
	}
}

var (
	errReply = &firefly.Error{Code: firefly.Internal, Message: "directory: malformed reply"}
	errAway  = &firefly.Error{Code: firefly.Unavailable, Message: "directory: the store cannot answer"}
)

func (r *reader) err(err error) error {
	if err == nil && r.bad {
		return errReply
	}
	return err
}

// Claim implements Directory.
func (c *Client) Claim(ctx context.Context, player firefly.PlayerID, session firefly.SessionID) (uint64, []Entry, error) {
	r, err := c.call(ctx, opClaim, putSession(put(nil, uint64(player)), session))
	epoch := r.uint64()
	var previous []Entry
	for len(r.b) > 0 {
		previous = append(previous, r.entry(player))
	}
	if err = r.err(err); err != nil {
		return 0, nil, err
	}
	return epoch, previous, nil
}

// Release implements Directory.
func (c *Client) Release(ctx context.Context, player firefly.PlayerID, session firefly.SessionID, epoch uint64) error {
	_, err := c.call(ctx, opRelease, put(putSession(put(nil, uint64(player)), session), epoch))
	return err
}

// Lookup implements Directory.
func (c *Client) Lookup(ctx context.Context, player firefly.PlayerID) (Entry, bool, error) {
	r, err := c.call(ctx, opLookup, put(nil, uint64(player)))
	e := r.entry(player)
	if err = r.err(err); err != nil {
		return Entry{}, false, err
	}
	return e, !e.IsZero(), nil
}

// Renew implements Directory.
func (c *Client) Renew(ctx context.Context, gate firefly.Incarnation) (time.Duration, bool, error) {
	r, err := c.call(ctx, opRenew, put(nil, uint64(gate)))
	ttl, known := r.micros(), r.take(1)
	return ttl, known != nil && known[0] == 1, r.err(err)
}

// Reclaim implements Directory.
func (c *Client) Reclaim(ctx context.Context, player firefly.PlayerID, session firefly.SessionID, epoch uint64) error {
	_, err := c.call(ctx, opReclaim, put(putSession(put(nil, uint64(player)), session), epoch))
	return err
}

// Left implements Directory.
func (c *Client) Left(ctx context.Context, gate firefly.Incarnation) (time.Duration, error) {
	r, err := c.call(ctx, opLeft, put(nil, uint64(gate)))
	left := r.micros()
	return left, r.err(err)
}

// Forget implements Directory.
func (c *Client) Forget(ctx context.Context, dead firefly.Incarnation) error {
	_, err := c.call(ctx, opForget, put(nil, uint64(dead)))
	return err
}

// Hold implements Directory.
func (c *Client) Hold(ctx context.Context, name string, owner firefly.Incarnation) (uint64, time.Duration, error) {
	r, err := c.call(ctx, opHold, append(put(nil, uint64(owner)), name...))
	epoch, ttl := r.uint64(), r.micros()
	return epoch, ttl, r.err(err)
}

// Drop implements Directory.
func (c *Client) Drop(ctx context.Context, name string, owner firefly.Incarnation) error {
	_, err := c.call(ctx, opDrop, append(put(nil, uint64(owner)), name...))
	return err
}

func put(b []byte, v uint64) []byte { return binary.BigEndian.AppendUint64(b, v) }

func putSession(b []byte, id firefly.SessionID) []byte {
	return binary.BigEndian.AppendUint32(put(b, uint64(id.Gate)), id.Seq)
}

func putEntry(b []byte, e Entry) []byte { return put(putSession(b, e.Session), e.Epoch) }

// reader takes values off b; after the first that is not there it gives zeros.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) take(n int) []byte {
	if n > len(r.b) {
		r.b, r.bad = nil, true
		return nil
	}
	v := r.b[:n]
	r.b = r.b[n:]
	return v
}

func (r *reader) uint64() uint64 {
	if v := r.take(8); v != nil {
		return binary.BigEndian.Uint64(v)
	}
	return 0
}

func (r *reader) player() firefly.PlayerID         { return firefly.PlayerID(r.uint64()) }
func (r *reader) incarnation() firefly.Incarnation { return firefly.Incarnation(r.uint64()) }

func (r *reader) session() firefly.SessionID {
	id := firefly.SessionID{Gate: r.incarnation()}
	if v := r.take(4); v != nil {
		id.Seq = binary.BigEndian.Uint32(v)
	}
	return id
}

// entry is that of player, zero when none was written.
func (r *reader) entry(player firefly.PlayerID) Entry {
	e := Entry{Session: r.session(), Epoch: r.uint64()}
	if r.bad || e.IsZero() {
		return Entry{}
	}
	e.Player = player
	return e
}

// micros reads a duration, of a year at most.
func (r *reader) micros() time.Duration {
	return time.Duration(min(r.uint64(), uint64(365*24*time.Hour/time.Microsecond))) * time.Microsecond
}

// end reports whether everything was there and nothing else is.
func (r *reader) end() bool { return !r.bad && len(r.b) == 0 }
