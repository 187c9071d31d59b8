package redisstore

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/cespare/xxhash/v2"
)

// used remembers when rows were last prolonged, roughly: a read does it only now and then, since it writes to
// the append-only file. A process that reads more rows than there are cells prolongs some of them more often.
type used struct {
	begin time.Time
	sets  [1 << 14][ways]atomic.Uint64 // 32 bits of the key's hash, 32 bits of seconds since begin; 0: empty
}

// ways is how many keys with the same place in used do not push each other out.
const ways = 4

// often is the part of the time to live after which it is prolonged.
const often = 4

// due reports whether the key's time has to be prolonged, and notes that it is done.
func (u *used) due(key string, idle time.Duration) bool {
	h := xxhash.Sum64String(key)
	set := &u.sets[h%uint64(len(u.sets))]
	now := uint64(time.Since(u.begin)/time.Second)&0xffffffff + 1
	oldest, at := ^uint64(0), 0
	for i := range set {
		v := set[i].Load()
		when := v & 0xffffffff
		if v != 0 && v>>32 == h>>32 {
			if time.Duration(now-when)*time.Second <= idle/often {
				return false
			}
			at = i
			break
		}
		if when < oldest {
			oldest, at = when, i
		}
	}
	set[at].Store(h>>32<<32 | now)
	return true
}

// all calls f(0) to f(n-1) at once and waits; with one there is nobody to wait for.
func all(n int, f func(int)) {
	if n == 1 {
		f(0)
		return
	}
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { f(i) })
	}
	wg.Wait()
}
