package firefly

import (
	"errors"
	"fmt"
	"strings"
)

// Code says what went wrong, to programs. The codes of the framework are below; a game
// declares its own as an enum with (firefly.v1.errors). In Go a code is its full name; the
// number that clients see is put on where it leaves the cluster.
type Code string

// The codes of the framework. "Surely not executed" is a promise that the handler did not
// start.
const (
	OK                 Code = ""
	Internal           Code = "INTERNAL"          // the handler failed; its text stays in the log, under the id that the client gets
	Unknown            Code = "UNKNOWN"           // sent, and the node was lost before it answered: it may have been executed
	Unavailable        Code = "UNAVAILABLE"       // no node serves it now; surely not executed
	Overloaded         Code = "OVERLOADED"        // a queue is full; surely not executed
	RateLimited        Code = "RATE_LIMITED"      // over the command's rate; surely not executed
	MovedAway          Code = "MOVED"             // the key is owned by another node; surely not executed
	StateLost          Code = "STATE_LOST"        // the node that kept the session's state is gone; the next command starts anew
	DeadlineExceeded   Code = "DEADLINE_EXCEEDED" // no answer in time: it may have been executed
	Unauthenticated    Code = "UNAUTHENTICATED"   // the command needs a bound session
	InvalidArgument    Code = "INVALID_ARGUMENT"  // a field breaks its rule, or the body does not decode
	NotFound           Code = "NOT_FOUND"
	AlreadyExists      Code = "ALREADY_EXISTS"
	Conflict           Code = "CONFLICT" // another writer came between
	OutOfRange         Code = "OUT_OF_RANGE"
	FailedPrecondition Code = "FAILED_PRECONDITION"
	PermissionDenied   Code = "PERMISSION_DENIED"
	Unimplemented      Code = "UNIMPLEMENTED"  // no such command or call
	Incompatible       Code = "STALE_CLIENT"   // the client was built from a declaration of this command that no longer fits
	TooManyHops        Code = "LOOP"           // a call crossed more than 16 hops
	SessionClosed      Code = "SESSION_CLOSED" // the session has ended
	Canceled           Code = "CANCELED"       // the node stops
	NotUnique          Code = "NOT_UNIQUE"     // another row has the value of a unique index
)

// codeNumbers are the framework's codes on the client wire: 1 to 99. Games begin at 100.
var codeNumbers = map[Code]uint32{
	OK: 0, Internal: 1, Unknown: 2, Unavailable: 3, Overloaded: 4, RateLimited: 5, MovedAway: 6,
	StateLost: 7, DeadlineExceeded: 8, Unauthenticated: 9, InvalidArgument: 10, NotFound: 11,
	AlreadyExists: 12, Conflict: 13, OutOfRange: 14, FailedPrecondition: 15, PermissionDenied: 16,
	Unimplemented: 17, Incompatible: 18, TooManyHops: 19, SessionClosed: 20, Canceled: 21, NotUnique: 22,
}

// FirstGameCode is the smallest number that a game may give to a code of its own.
const FirstGameCode = 100

// Number is the number of a code of the framework on the client wire.
func (c Code) Number() (n uint32, ok bool) {
	n, ok = codeNumbers[c]
	return n, ok
}

// CodeOfNumber is the framework's code with the number n.
func CodeOfNumber(n uint32) (Code, bool) {
	for c, m := range codeNumbers {
		if m == n {
			return c, true
		}
	}
	return "", false
}

// Error is an error with a code. It is the only kind of error whose text reaches a client.
type Error struct {
	Code    Code
	Message string
	Cause   error // for the log; never travels
}

func (e *Error) Error() string {
	s := string(e.Code)
	if e.Message != "" {
		s += ": " + e.Message
	}
	// Errorf has the text of the cause in the message already.
	if e.Cause != nil && !strings.Contains(e.Message, e.Cause.Error()) {
		s += ": " + e.Cause.Error()
	}
	return s
}

func (e *Error) Unwrap() error { return e.Cause }

// Errorf makes an error with the code. Every %w keeps its cause for the log and for errors.Is; the
// client gets the whole text.
func (c Code) Errorf(format string, a ...any) error {
	err := fmt.Errorf(format, a...)
	cause := errors.Unwrap(err)
	if _, several := err.(interface{ Unwrap() []error }); several {
		cause = err
	}
	return &Error{Code: c, Message: err.Error(), Cause: cause}
}

// CodeOf is the code of err: OK for nil, Internal for an error that carries none.
func CodeOf(err error) Code {
	if err == nil {
		return OK
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return Internal
}
