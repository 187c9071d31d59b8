package writeback

import (
	"fmt"

	"github.com/anishathalye/porcupine"

	"github.com/firefly-go/firefly"
)

type callKind uint8

// The calls of a history. callEnd stands behind all others: what has not been executed by then, never was.
const (
	callGet callKind = iota
	callSet
	callAdd
	callInsert
	callDelete
	callEnd
)

// linearCall is what a client asked.
type linearCall struct {
	kind               callKind
	row                int
	version            uint64 // of callSet: what the row must have
	mark, count, delta int64
}

func (c linearCall) String() string {
	switch c.kind {
	case callGet:
		return "get"
	case callSet:
		return fmt.Sprintf("set %d if %d", c.mark, c.version)
	case callAdd:
		return fmt.Sprintf("add %d", c.delta)
	case callInsert:
		return fmt.Sprintf("insert %d %d", c.mark, c.count)
	case callDelete:
		return "delete"
	}
	return "end"
}

// linearAnswer is what it was told.
type linearAnswer struct {
	code        firefly.Code // OK, UNKNOWN, or what the row said
	there       bool         // of callGet
	mark, count int64        // of callGet; of callAdd count is the sum
	version     uint64
}

// linearState is one row.
type linearState struct {
	ended       bool
	there       bool
	mark, count int64
	version     uint64 // 0: not known, since nobody was told the answer of the write
	least       uint64 // versions are above this one, or are it
}

// is takes the version that an answer tells for that of the row, if that can be.
func (s *linearState) is(version uint64) bool {
	if s.version == 0 && version > s.least {
		s.version, s.least = version, version
	}
	return s.version == version
}

// becomes gives the row a version after a write; 0 when it is not known.
func (s *linearState) becomes(version uint64) bool {
	if version != 0 && version <= s.least {
		return false
	}
	s.version, s.least = version, max(s.least, version)
	return true
}

// step says whether a row in a state can answer a call so, and what the state is then.
func step(s linearState, in linearCall, out linearAnswer) (bool, linearState) {
	if in.kind == callEnd {
		s.ended = true
		return true, s
	}
	if out.code == firefly.Unknown {
		if s.ended {
			return true, s // it never was executed
		}
		// Otherwise it was, so it must have had an effect here.
		out.code, out.version = firefly.OK, 0
		if in.kind == callAdd {
			out.count = s.count + in.delta
		}
	}
	switch in.kind {
	case callGet:
		if !out.there {
			return !s.there, s
		}
		return s.there && s.mark == out.mark && s.count == out.count && s.is(out.version), s
	case callInsert:
		if out.code == firefly.AlreadyExists {
			return s.there, s
		}
		if s.there || !s.becomes(out.version) {
			return false, s
		}
		s.there, s.mark, s.count = true, in.mark, in.count
	case callSet:
		if out.code == firefly.Conflict {
			return !s.there || s.version != in.version, s
		}
		if !s.there || !s.is(in.version) || !s.becomes(out.version) {
			return false, s
		}
		s.mark = in.mark
	case callAdd:
		switch {
		case out.code == firefly.NotFound:
			return !s.there, s
		case out.code == firefly.OutOfRange:
			return s.there && s.count+in.delta < 0, s
		case !s.there || s.count+in.delta != out.count || out.count < 0 || !s.becomes(out.version):
			return false, s
		}
		s.count = out.count
	case callDelete:
		if out.code == firefly.NotFound {
			return !s.there, s
		}
		if !s.there {
			return false, s
		}
		s.there, s.mark, s.count, s.version = false, 0, 0, 0
	}
	return out.code == firefly.OK, s
}

// linearModel is one row for the checker.
var linearModel = porcupine.Model{
	Init: func() any { return linearState{} },
	Step: func(state, in, out any) (bool, any) {
		return step(state.(linearState), in.(linearCall), out.(linearAnswer))
	},
	DescribeOperation: func(in, out any) string { return fmt.Sprintf("%v: %+v", in, out) },
}
