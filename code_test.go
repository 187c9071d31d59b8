package firefly

import (
	"errors"
	"testing"
)

// An error says the text of its causes once, and is what each of them is.
func TestErrorf(t *testing.T) {
	one, two := errors.New("one"), errors.New("two")
	err := Unavailable.Errorf("a: %w", one)
	if err.Error() != "UNAVAILABLE: a: one" || !errors.Is(err, one) || CodeOf(err) != Unavailable {
		t.Error(err)
	}
	err = Conflict.Errorf("%w, %w", one, two)
	if err.Error() != "CONFLICT: one, two" || !errors.Is(err, one) || !errors.Is(err, two) || CodeOf(err) != Conflict {
		t.Error(err)
	}
	err = &Error{Code: Unknown, Message: "gone", Cause: two}
	if err.Error() != "UNKNOWN: gone: two" || !errors.Is(err, two) {
		t.Error(err)
	}
	// A cause with a code of its own does not take the place of the code.
	if err = Unavailable.Errorf("b: %w", err); CodeOf(err) != Unavailable || err.Error() != "UNAVAILABLE: b: UNKNOWN: gone: two" {
		t.Error(err)
	}
}
