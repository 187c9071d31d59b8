package idl

import (
	"errors"
	"testing"
	"time"

	"github.com/bufbuild/protocompile"
)

// TestCompilerPanic: a panic inside the compiler is a fault of the file that it was reading.
func TestCompilerPanic(t *testing.T) {
	tr := &translator{src: &sources{}}
	tr.failed(protocompile.PanicError{File: "a.proto", Value: "boom", Stack: "..."})
	if len(tr.diags) != 1 || tr.diags[0].Code != CodeCompiler || tr.diags[0].String() != `a.proto: the compiler broke on this file: panic handling "a.proto": boom` {
		t.Errorf("got %v", tr.diags)
	}
	tr.failed(errors.New("later")) // what was reported already is not told again
	if len(tr.diags) != 1 {
		t.Errorf("got %v", tr.diags)
	}
}

func TestDurations(t *testing.T) {
	for s, want := range map[string]time.Duration{
		"0s": 0, "250ms": 250 * time.Millisecond, "1.5s": 1500 * time.Millisecond, "7d": 7 * 24 * time.Hour, "0.5ms": 500 * time.Microsecond,
	} {
		if got, err := parseDuration(s); err != nil || got != want {
			t.Errorf("%q: %v, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "s", "1", "1 s", "-1s", "+1s", "1.s", ".5s", "1.5.5s", "1us", "1w", "1e3s", "366d", "1S", "１s"} {
		if got, err := parseDuration(s); err == nil {
			t.Errorf("%q is %v", s, got)
		}
	}
	for _, d := range []time.Duration{0, time.Millisecond, 90 * time.Second, time.Hour, 48 * time.Hour, 1500 * time.Millisecond} {
		if got, err := parseDuration(formatDuration(d)); err != nil || got != d {
			t.Errorf("%v is %q is %v, %v", d, formatDuration(d), got, err)
		}
	}
}

func TestNearest(t *testing.T) {
	names := []string{"Arena", "Chat", "Hall", "Weapon", "owner_id"}
	for name, want := range map[string]string{
		"Arenaa": "Arena", "Arean": "Arena", "Chta": "Chat", "arena": "Arena", "HALL": "Hall", "Wepon": "Weapon",
		"owner": "", "Weeeapon": "Weapon", "Xyz": "", "C": "", "Ha": "",
	} {
		if got := nearest(name, names); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
}

func TestSnake(t *testing.T) {
	for name, want := range map[string]string{
		"Item": "item", "PlayerItem": "player_item", "HTTPLine": "http_line", "PlayerID": "player_id", "Line2D": "line2_d", "a_b": "a_b", "A_B": "a_b",
	} {
		if got := snake(name); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
}

func TestGoCamel(t *testing.T) {
	for name, want := range map[string]string{
		"do_it": "DoIt", "DoIt": "DoIt", "_x": "XX", "a_1": "A_1", "a__b": "A_B", "marshalVT": "MarshalVT", "Join": "Join",
	} {
		if got := goCamel(name); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
}
