package router

import "github.com/firefly-go/firefly"

// Key picks the node of a call or a command, and tells coalescing pushes apart: the hash of
// a declared field, or a player. The zero Key is none.
type Key struct {
	kind  keyKind
	value uint64
}

type keyKind uint8

const (
	noKey keyKind = iota
	hashKey
	playerKey
)

const (
	fnvOffset = 14695981039346656037
	fnvPrime  = 1099511628211
)

// NoKey is the key of a call that names none: it goes by the player in whose name the caller
// runs, else to the node with the least load.
func NoKey() Key { return Key{} }

// StringKey is the FNV-1a hash of s.
func StringKey(s string) Key {
	h := uint64(fnvOffset)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * fnvPrime
	}
	return HashKey(h)
}

// IntKey is the FNV-1a hash of the eight big-endian bytes of i.
func IntKey(i int64) Key {
	h := uint64(fnvOffset)
	for shift := 56; shift >= 0; shift -= 8 {
		h = (h ^ uint64(i)>>shift&0xff) * fnvPrime
	}
	return HashKey(h)
}

// HashKey is a key whose hash is known already. Hash 0 stands for no key where keys travel,
// so it is taken for 1.
func HashKey(h uint64) Key { return Key{hashKey, max(h, 1)} }

// PlayerKey is the node where the player is pinned.
func PlayerKey(p firefly.PlayerID) Key { return Key{playerKey, uint64(p)} }

// Hash is what travels: 0 without a key; a player's is that of IntKey, which is also what
// places a player on a HASH role.
func (k Key) Hash() uint64 {
	switch k.kind {
	case hashKey:
		return k.value
	case playerKey:
		return IntKey(int64(k.value)).value
	}
	return 0
}
