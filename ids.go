package firefly

import (
	"fmt"
	"strconv"
	"time"
)

// CommandID is the number of a client command on the wire, stable for ever.
type CommandID uint32

// PushID is the number of a push on the wire. Commands and pushes share one space of
// numbers, since a classic client has only the number to tell a reply from a push.
type PushID uint32

// PlayerID names a player for ever. 0 is nobody.
type PlayerID int64

// Incarnation names one life of one process: a restarted node has another one, and nothing
// of a dead process is taken for its successor. Later incarnations of a node are greater.
type Incarnation uint64

// NewIncarnation makes an incarnation that was never given before: 42 bits of milliseconds
// since 1970 and 22 random bits.
func NewIncarnation(now time.Time, random uint32) Incarnation {
	return Incarnation(uint64(now.UnixMilli())<<22 | uint64(random&(1<<22-1)))
}

func (i Incarnation) String() string { return strconv.FormatUint(uint64(i), 36) }

// SessionID names one client session. It carries the incarnation of the gate that owns the
// session, so ids of different gates, and of one gate before and after a restart, never meet.
type SessionID struct {
	Gate Incarnation
	Seq  uint32
}

// IsZero reports whether the id names no session.
func (id SessionID) IsZero() bool { return id == SessionID{} }

func (id SessionID) String() string { return fmt.Sprintf("%s-%d", id.Gate, id.Seq) }

// RequestID stands on every log line of one request, on all nodes that it crosses.
type RequestID uint64

func (r RequestID) String() string { return strconv.FormatUint(uint64(r), 36) }
