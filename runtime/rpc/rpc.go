package rpc

import (
	"log/slog"
	"time"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/transport"
)

// Kind says to the layer above what the ID of a header means.
type Kind uint8

// Header stands before every request and one-way message.
type Header struct {
	Kind     Kind
	ID       uint64
	Session  firefly.SessionID
	Player   firefly.PlayerID
	Epoch    uint64
	Request  firefly.RequestID
	Timeout  time.Duration // what is left of it, to the microsecond, upwards; 0: none
	Hops     uint8
	Topology uint64
	Key      uint64 // hash of the routing key, 0: none
	Flags    uint8
	Target   string // role instance, at most 255 bytes; may be ""
}

// Marshaler is a message with its fast codec; firefly.Message is one. It must not change
// while it is being sent.
type Marshaler interface {
	SizeVT() int
	MarshalToSizedBufferVT([]byte) (int, error)
}

// Payload is a body: one of the two, or nothing. Both are read before Start, Send or Reply
// return and belong to the caller again.
type Payload struct {
	Msg Marshaler
	Raw []byte
}

// Result is the answer to a call.
type Result struct {
	Body []byte         // valid until Complete returns
	Err  *firefly.Error // nil: it went well
}

// Completion gets the answer to a call, exactly once: on the link's reader, or on the
// goroutine that found the link dead. It must not block. What it sends should go with batch.
type Completion interface {
	Complete(r Result, batch *transport.Batch)
}

// Forwarded is the Completion of a call that was forwarded.
type Forwarded interface {
	Completion
	// Place is where a call on a Local link stands until it is completed: a field of the
	// Completion, always the same and never copied or cleared. A Completion may be used again
	// from its completion on, and has one call at a time.
	Place() *LocalCall
	// CompleteMessage is Complete for the reply of a Local link that is still a message, so
	// that it is encoded once, where it leaves from. m may not be used after return, and
	// nothing of it kept. It may panic or fail to encode: that is the replier's fault, and to
	// be answered with Internal.
	CompleteMessage(m Marshaler, batch *transport.Batch)
}

// Handler gets what the peer sends. For one link Serve calls come one at a time and in the
// order in which the peer sent; they must not block. h and body are valid until return; reply
// is a value to keep. A panic in Serve answers that request with Internal and harms no other.
type Handler interface {
	Serve(l *Link, h *Header, body []byte, reply Reply, batch *transport.Batch)
	// Down is the last call, exactly once, after every pending call has been completed.
	Down(l *Link, err error)
}

// Shape is what one side understands by one command, call or push.
type Shape struct {
	Name    string // full name
	Hash    uint64
	Accepts []uint64 // hashes of released declarations that it still understands
}

// Identity is what the sides of a link tell each other about themselves, after both have
// proved that they know the secret.
type Identity struct {
	Node        string
	Incarnation firefly.Incarnation
	Game        string // links between different games are refused
	Address     string // where it accepts links, "" nowhere
	Roles       []string
	Shapes      []Shape // must not be changed
}

// Options are those of a link. Self and Secret are needed, the rest has defaults.
type Options struct {
	Self   Identity
	Secret []byte // of the cluster; must not be empty
	// Handler serves what the peer sends on a dialed link; nil refuses every request with
	// Unimplemented.
	Handler Handler
	// Accept, when set, gives the Handler of a dialed link instead: on the link's reader,
	// before anything that the peer sent is served. Nil refuses the link.
	Accept func(*Link) Handler

	MaxBytes  int           // that wait for the peer before messages are refused; 8 MiB
	MaxFrames int           // 65,536
	MaxFrame  int           // bytes of one message with its header, both ways; 1 MiB
	Heartbeat time.Duration // how often a sign of life is sent; 1 s
	Silence   time.Duration // without any byte for so long, the link is dead; 5 s
	Handshake time.Duration // it must be done after so long; 5 s
	Log       *slog.Logger  // panics of handlers, refused links; slog.Default()
}

func (o Options) withDefaults() Options {
	def(&o.MaxBytes, 8<<20)
	def(&o.MaxFrames, 65536)
	def(&o.MaxFrame, 1<<20)
	def(&o.Heartbeat, time.Second)
	def(&o.Silence, 5*time.Second)
	def(&o.Handshake, 5*time.Second)
	if o.Log == nil {
		o.Log = slog.Default()
	}
	return o
}

func def[T int | time.Duration](v *T, d T) {
	if *v <= 0 {
		*v = d
	}
}
