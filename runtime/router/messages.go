package router

import (
	"encoding/binary"
	"errors"
	"iter"
	"math"

	"github.com/firefly-go/firefly"
)

// The kinds of messages between nodes: rpc.Header.Kind.
const (
	// KindCommand is a client's command, from its gate to a role. Header: ID (command),
	// Session, Player, Epoch, Request, Timeout, Key, Topology, Flags. The body is the
	// protobuf request. It is always answered, also a NoReply command (with nothing): the
	// gate wants to know when it is finished.
	KindCommand = 1
	// KindCall is from role to role. Header: ID (firefly.CallSpec.ID), Player and Session in
	// whose name it runs, Request, Timeout, Hops, Key, Topology. A call to a NoReply method
	// is sent one way.
	KindCall = 2
	// KindPush is from a role to a gate, one way: one Push, however many receive it.
	KindPush = 3
	// KindControl is everything else; Header.ID is one of the Op constants. Header.Target
	// names the role that a gate means when it speaks to a node, or that speaks to a gate.
	KindControl = 4
	// KindNumbered is from a role to a gate, one way, and kept by the sender until the gate
	// has acknowledged it with OpNumber; after a broken link it may come twice. The body is
	// the varint of the number, shifted by two bits for the kind of message, and that: the
	// envelope of a push (0), a Close (1), the envelope of a push that some receivers miss,
	// without its body (2), or nothing, when nobody knows who misses what (3).
	KindNumbered = 6
)

// FlagUnordered in Header.Flags marks a command that may overtake others of its session.
const FlagUnordered = 1

// The control operations: rpc.Header.ID of a KindControl.
const (
	// Node to gate.
	OpBind  = 1 // Bind -> BindReply
	OpClose = 2 // Close, one way
	OpJoin  = 3 // Membership -> nothing; in order with the pushes of the same node
	OpLeave = 4 // Membership -> nothing; in order with the pushes of the same node
	OpPin   = 5 // Pin -> PinReply: where a player is pinned; chosen as at first use when nowhere

	// Gate to node. Header.Target is the role instance.
	OpClosed  = 6  // Close -> nothing, when the OnClose hooks have returned; also when the session was never seen
	OpBound   = 7  // Bound, one way
	OpDropped = 8  // Ref, one way
	OpResumed = 9  // Ref, one way
	OpNumber  = 11 // varint, one way: every KindNumbered up to this number has come

	// Gate to gate.
	OpKick = 10 // Kick -> nothing, when the session is closed at every node that it touched
)

// ErrMessage is a control message or push envelope that cannot be read.
var ErrMessage = errors.New("router: malformed control message")

// Bind asks a session's gate to bind it to a player.
type Bind struct {
	Session firefly.SessionID
	Player  firefly.PlayerID
}

// BindReply says that the session is bound.
type BindReply struct{ Epoch uint64 }

// Close says that a session is to be closed (OpClose) or was (OpClosed).
type Close struct {
	Session firefly.SessionID
	Reason  firefly.Reason
}

// Membership puts a session into a group, or takes it out.
type Membership struct {
	Session firefly.SessionID
	Group   firefly.Group
}

// Pin asks a player's gate where the player is pinned for a role.
type Pin struct {
	Player firefly.PlayerID
	Role   string
}

// PinReply is one life of one node.
type PinReply struct {
	Node        string
	Incarnation firefly.Incarnation
}

// Bound tells a node that has seen a session who it is now.
type Bound struct {
	Session firefly.SessionID
	Player  firefly.PlayerID
	Epoch   uint64
}

// Ref is a session that was dropped or came back.
type Ref struct{ Session firefly.SessionID }

// Kick asks another gate to close the former session of a player.
type Kick struct {
	Player  firefly.PlayerID
	Session firefly.SessionID
	Epoch   uint64
}

// Append appends the encoded message.
func (m Bind) Append(b []byte) []byte { return appendPlayer(appendSession(b, m.Session), m.Player) }

// ParseBind reads what Append wrote; so do the other Parse functions. Nothing of a result is
// a slice of b. Bytes behind a message are ignored: a newer peer may say more.
func ParseBind(b []byte) (m Bind, err error) {
	r := reader{b: b}
	m = Bind{r.session(), r.player()}
	return m, r.err()
}

// Append appends the encoded message.
func (m BindReply) Append(b []byte) []byte { return binary.AppendUvarint(b, m.Epoch) }

// ParseBindReply reads what Append wrote.
func ParseBindReply(b []byte) (m BindReply, err error) {
	r := reader{b: b}
	m = BindReply{r.uvarint()}
	return m, r.err()
}

// Append appends the encoded message.
func (m Close) Append(b []byte) []byte {
	return appendString(appendSession(b, m.Session), string(m.Reason))
}

// ParseClose reads what Append wrote.
func ParseClose(b []byte) (m Close, err error) {
	r := reader{b: b}
	m = Close{r.session(), firefly.Reason(r.bytes())}
	return m, r.err()
}

// Append appends the encoded message.
func (m Membership) Append(b []byte) []byte {
	return appendString(appendSession(b, m.Session), string(m.Group))
}

// ParseMembership reads what Append wrote.
func ParseMembership(b []byte) (m Membership, err error) {
	r := reader{b: b}
	m = Membership{r.session(), firefly.Group(r.bytes())}
	return m, r.err()
}

// Append appends the encoded message.
func (m Pin) Append(b []byte) []byte { return appendString(appendPlayer(b, m.Player), m.Role) }

// ParsePin reads what Append wrote.
func ParsePin(b []byte) (m Pin, err error) {
	r := reader{b: b}
	m = Pin{r.player(), string(r.bytes())}
	return m, r.err()
}

// Append appends the encoded message.
func (m PinReply) Append(b []byte) []byte {
	return binary.AppendUvarint(appendString(b, m.Node), uint64(m.Incarnation))
}

// ParsePinReply reads what Append wrote.
func ParsePinReply(b []byte) (m PinReply, err error) {
	r := reader{b: b}
	m = PinReply{string(r.bytes()), firefly.Incarnation(r.uvarint())}
	return m, r.err()
}

// Append appends the encoded message.
func (m Bound) Append(b []byte) []byte {
	return binary.AppendUvarint(appendPlayer(appendSession(b, m.Session), m.Player), m.Epoch)
}

// ParseBound reads what Append wrote.
func ParseBound(b []byte) (m Bound, err error) {
	r := reader{b: b}
	m = Bound{r.session(), r.player(), r.uvarint()}
	return m, r.err()
}

// Append appends the encoded message.
func (m Ref) Append(b []byte) []byte { return appendSession(b, m.Session) }

// ParseRef reads what Append wrote.
func ParseRef(b []byte) (m Ref, err error) {
	r := reader{b: b}
	m = Ref{r.session()}
	return m, r.err()
}

// Append appends the encoded message.
func (m Kick) Append(b []byte) []byte {
	return binary.AppendUvarint(appendSession(appendPlayer(b, m.Player), m.Session), m.Epoch)
}

// ParseKick reads what Append wrote.
func ParseKick(b []byte) (m Kick, err error) {
	r := reader{b: b}
	m = Kick{r.player(), r.session(), r.uvarint()}
	return m, r.err()
}

// To is the kind of target that a Push has.
type To uint8

// The kinds of targets.
const (
	ToSessions To = 1 + iota
	ToPlayers
	ToGroup
	ToEveryone
)

// Push is a push on its way to a gate: who gets it, and the body. Of the receivers that it
// names, a gate passes over those that are not its own.
type Push struct {
	ID     firefly.PushID
	Policy firefly.SlowPolicy
	Key    uint64 // of the pushed message, for SlowCoalesce
	To     To
	Group  []byte // ToGroup; a slice of the input
	Body   []byte // the protobuf message; a slice of the input

	list    []byte // encoded sessions or players
	count   int
	except  []byte
	excepts int
}

// AppendPush appends the envelope of a push; the body follows it. One of sessions, players
// and group is used, as to says.
func AppendPush(b []byte, id firefly.PushID, policy firefly.SlowPolicy, key uint64, to To,
	sessions []firefly.SessionID, players []firefly.PlayerID, group firefly.Group, except []firefly.PlayerID) []byte {
	b = binary.AppendUvarint(b, uint64(id))
	b = append(b, byte(policy), byte(to))
	b = binary.BigEndian.AppendUint64(b, key)
	switch to {
	case ToSessions:
		b = binary.AppendUvarint(b, uint64(len(sessions)))
		for _, s := range sessions {
			b = appendSession(b, s)
		}
	case ToPlayers:
		b = appendPlayers(b, players)
	case ToGroup:
		b = appendString(b, string(group))
	}
	return appendPlayers(b, except)
}

// ParsePush reads a push. Everything in the result is a slice of b.
func ParsePush(b []byte) (Push, error) {
	r := reader{b: b}
	var p Push
	p.ID = firefly.PushID(r.uint32())
	p.Policy = firefly.SlowPolicy(r.byte())
	p.To = To(r.byte())
	p.Key = r.uint64()
	switch p.To {
	case ToSessions:
		p.count = r.count(9)
		from := r.b
		for range p.count {
			r.session()
		}
		p.list = from[:len(from)-len(r.b)]
	case ToPlayers:
		p.list, p.count = r.players()
	case ToGroup:
		p.Group = r.bytes()
	case ToEveryone:
	default:
		r.fail()
	}
	p.except, p.excepts = r.players()
	p.Body = r.b
	if p.Policy > firefly.SlowCoalesce {
		r.fail()
	}
	if err := r.err(); err != nil {
		return Push{}, err
	}
	return p, nil
}

// Len is how many sessions or players are named.
func (p *Push) Len() int { return p.count }

// Sessions are the receivers of a ToSessions.
func (p *Push) Sessions() iter.Seq[firefly.SessionID] {
	return func(yield func(firefly.SessionID) bool) {
		if p.To != ToSessions {
			return
		}
		r := reader{b: p.list}
		for range p.count {
			if !yield(r.session()) {
				return
			}
		}
	}
}

// Players are the receivers of a ToPlayers.
func (p *Push) Players() iter.Seq[firefly.PlayerID] {
	return func(yield func(firefly.PlayerID) bool) {
		if p.To == ToPlayers {
			eachPlayer(p.list, p.count, yield)
		}
	}
}

// Excepts is how many players are excepted.
func (p *Push) Excepts() int { return p.excepts }

// ExceptPlayers are the players who don't get the push.
func (p *Push) ExceptPlayers() iter.Seq[firefly.PlayerID] {
	return func(yield func(firefly.PlayerID) bool) { eachPlayer(p.except, p.excepts, yield) }
}

// Except reports whether the player is excepted. It looks through the whole list: for lists
// longer than a few, make a set of ExceptPlayers.
func (p *Push) Except(player firefly.PlayerID) bool {
	r := reader{b: p.except}
	for range p.excepts {
		if r.player() == player {
			return true
		}
	}
	return false
}

func eachPlayer(b []byte, n int, yield func(firefly.PlayerID) bool) {
	r := reader{b: b}
	for range n {
		if !yield(r.player()) {
			return
		}
	}
}

func appendSession(b []byte, id firefly.SessionID) []byte {
	b = binary.BigEndian.AppendUint64(b, uint64(id.Gate))
	return binary.AppendUvarint(b, uint64(id.Seq))
}

// Players' ids are eight bytes: those that are hashes of a name would take ten as varints.
func appendPlayer(b []byte, p firefly.PlayerID) []byte {
	return binary.BigEndian.AppendUint64(b, uint64(p))
}

func appendPlayers(b []byte, ps []firefly.PlayerID) []byte {
	b = binary.AppendUvarint(b, uint64(len(ps)))
	for _, p := range ps {
		b = appendPlayer(b, p)
	}
	return b
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// reader takes values from b; after the first that is not there everything is zero.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) err() error {
	if r.bad {
		return ErrMessage
	}
	return nil
}

func (r *reader) fail() { r.b, r.bad = nil, true }

func (r *reader) byte() byte {
	if len(r.b) == 0 {
		r.fail()
		return 0
	}
	v := r.b[0]
	r.b = r.b[1:]
	return v
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) uint32() uint32 {
	v := r.uvarint()
	if v > math.MaxUint32 {
		r.fail()
		return 0
	}
	return uint32(v)
}

func (r *reader) uint64() uint64 {
	if len(r.b) < 8 {
		r.fail()
		return 0
	}
	v := binary.BigEndian.Uint64(r.b)
	r.b = r.b[8:]
	return v
}

func (r *reader) player() firefly.PlayerID { return firefly.PlayerID(r.uint64()) }

func (r *reader) session() firefly.SessionID {
	return firefly.SessionID{Gate: firefly.Incarnation(r.uint64()), Seq: r.uint32()}
}

func (r *reader) bytes() []byte {
	n := r.uvarint()
	if n > uint64(len(r.b)) {
		r.fail()
		return nil
	}
	v := r.b[:n:n]
	r.b = r.b[n:]
	return v
}

// count takes the length of a list whose elements take at least size bytes each.
func (r *reader) count(size int) int {
	n := r.uvarint()
	if n > uint64(len(r.b)/size) {
		r.fail()
		return 0
	}
	return int(n)
}

func (r *reader) players() ([]byte, int) {
	n := r.count(8)
	v := r.b[: 8*n : 8*n]
	r.b = r.b[8*n:]
	return v, n
}
