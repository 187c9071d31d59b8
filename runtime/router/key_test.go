package router

import (
	"hash/fnv"
	"testing"
)

// The hashes are on the wire between nodes of different builds, and gates make the same from
// bodies that they do not decode.
func TestKeys(t *testing.T) {
	for _, s := range []string{"", "a", "room 17", "\xff\x00"} {
		h := fnv.New64a()
		h.Write([]byte(s))
		if got := StringKey(s).Hash(); got != h.Sum64() {
			t.Errorf("%q: %x, want %x", s, got, h.Sum64())
		}
	}
	for _, i := range []int64{0, 1, -1, 1 << 40, -1 << 63} {
		h := fnv.New64a()
		h.Write([]byte{byte(i >> 56), byte(i >> 48), byte(i >> 40), byte(i >> 32), byte(i >> 24), byte(i >> 16), byte(i >> 8), byte(i)})
		if got := IntKey(i).Hash(); got != h.Sum64() {
			t.Errorf("%d: %x, want %x", i, got, h.Sum64())
		}
	}
	if NoKey().Hash() != 0 || HashKey(0).Hash() == 0 || PlayerKey(7).Hash() != IntKey(7).Hash() {
		t.Error("no key, hash 0, or a player's key")
	}
}
