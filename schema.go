package firefly

import (
	"time"

	"google.golang.org/protobuf/proto"
)

// Message is a generated message with its fast codec.
type Message interface {
	proto.Message
	SizeVT() int
	MarshalToSizedBufferVT([]byte) (int, error)
	UnmarshalVT([]byte) error
}

// Schema is what a generated package declares, as data. ffgen writes it; gates route by it,
// nodes and clients compare what they share of it.
type Schema struct {
	Package  string // "arena.v1"
	Commands []Command
	Calls    []CallSpec
	Pushes   []PushSpec
	Errors   []ErrorSpec
	// Fingerprint is the hash of the whole declaration.
	Fingerprint uint64
	// Released are the fingerprints of releases that this build still serves whole (ffgen.lock).
	Released []uint64
}

// Auth says who may send a command.
type Auth uint8

// The values of firefly.v1.Command.Auth.
const (
	AuthRequired Auth = iota
	AuthPublic
)

// Routing says which node of a role gets a command or call.
type Routing uint8

// The values of firefly.v1.Role.Routing.
const (
	Sticky Routing = iota
	Hash
	LeastLoaded
	Single
)

func (r Routing) String() string {
	return [...]string{"STICKY", "HASH", "LEAST_LOADED", "SINGLE"}[r]
}

// KeyKind says how the bytes of a key field are read.
type KeyKind uint8

// The kinds of key fields, by their encoding. Those of 32 bits cut a varint as a decoder cuts
// it, so that gate and handler always see the same key.
const (
	NoKey       KeyKind = iota
	KeyString           // string
	KeyVarint           // int64 uint64
	KeyZigzag           // sint64
	KeyFixed32          // fixed32
	KeyFixed64          // fixed64 sfixed64
	KeyInt32            // int32 enum
	KeyUint32           // uint32
	KeyBool             // bool
	KeyZigzag32         // sint32
	KeySfixed32         // sfixed32
)

// KeyField is a field of a request that picks the node.
type KeyField struct {
	Number int32
	Kind   KeyKind
}

// Rate is a token bucket that starts full and holds Count tokens. The zero Rate means the
// listener's; Count < 0 means no limit.
type Rate struct {
	Count int32
	Per   time.Duration
}

// Command is one client command.
type Command struct {
	ID         CommandID
	Name       string // "arena.v1.Arena.Join"
	Role       string // the role that serves it
	Auth       Auth
	Rate       Rate
	Timeout    time.Duration
	Key        KeyField
	Unordered  bool
	Idempotent bool
	NoReply    bool
	RawRequest bool
	RawReply   bool
	Shape      uint64   // hash of request and reply shapes
	Accepts    []uint64 // shapes of released declarations that this build still understands
	// Request and Reply make empty messages; nil for Raw, Empty and NoReply.
	Request func() Message
	Reply   func() Message
}

// CallSpec is one method that roles call.
type CallSpec struct {
	Name       string // "arena.v1.Hall.Announce"
	ID         uint64 // FNV-1a of Name
	Role       string // the role that serves it
	Routing    Routing
	Timeout    time.Duration // 0: what is left of the caller's deadline, at most 10 s
	Key        KeyField
	PlayerKey  bool // Key holds a player id: the node where this player is pinned
	Idempotent bool
	NoReply    bool
	Shape      uint64
	Accepts    []uint64 // as in Command
}

// SlowPolicy says what happens to a push for a client that reads too slowly.
type SlowPolicy uint8

// The values of firefly.v1.Push.Slow.
const (
	SlowDisconnect SlowPolicy = iota
	SlowDropOldest
	SlowCoalesce
)

// PushSpec is one push.
type PushSpec struct {
	ID      PushID
	Name    string // "arena.v1.Moved"
	Slow    SlowPolicy
	Key     KeyField
	Shape   uint64
	Accepts []uint64 // as in Command
	New     func() Message
}

// ErrorSpec is one code of a game's own with its number on the client wire.
type ErrorSpec struct {
	Code   Code
	Number uint32
}
