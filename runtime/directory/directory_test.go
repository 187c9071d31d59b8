package directory_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/directory"
	"github.com/firefly-go/firefly/runtime/directory/redisdir"
	"github.com/firefly-go/firefly/runtime/table/tabletest/servers"
)

// wire is a Caller that goes straight to a Server, through bytes.
type wire struct {
	s    *directory.Server
	away atomic.Bool
}

var errGone = errors.New("the store is away")

func (w *wire) Call(ctx context.Context, op uint64, body []byte) ([]byte, error) {
	if w.away.Load() {
		return nil, errGone
	}
	return w.s.Serve(ctx, op, body)
}

// adapters runs f over every Directory; pass lets time go by.
func adapters(t *testing.T, f func(t *testing.T, d directory.Directory, pass func(time.Duration))) {
	t.Run("memory", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { f(t, directory.NewMemory(nil), time.Sleep) })
	})
	t.Run("client", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f(t, directory.NewClient(&wire{s: directory.NewServer(directory.NewMemory(nil))}), time.Sleep)
		})
	})
	t.Run("redis", func(t *testing.T) {
		s := servers.NewRedis(t, "everysec")
		now := time.Now().Add(time.Hour).Truncate(time.Microsecond) // behind every time that a test compares with
		d := openRedis(t, s, func() time.Time { return now })
		f(t, d, func(d time.Duration) { now = now.Add(d) })
	})
}

func openRedis(t *testing.T, s *servers.Redis, now func() time.Time) *redisdir.Directory {
	t.Helper()
	d, err := redisdir.Open(redisdir.Options{URL: "redis://" + s.Addr(), Now: now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d
}

func session(gate, seq int) firefly.SessionID {
	return firefly.SessionID{Gate: firefly.Incarnation(gate), Seq: uint32(seq)}
}

type must struct {
	t *testing.T
	d directory.Directory
}

// claim gives the only previous entry, if there is one.
func (m must) claim(p firefly.PlayerID, s firefly.SessionID) (uint64, directory.Entry) {
	m.t.Helper()
	epoch, previous, err := m.d.Claim(m.t.Context(), p, s)
	if err != nil || len(previous) > 1 {
		m.t.Fatal(previous, err)
	}
	return epoch, append(previous, directory.Entry{})[0]
}

func (m must) at(p firefly.PlayerID, want firefly.SessionID) {
	m.t.Helper()
	e, ok, err := m.d.Lookup(m.t.Context(), p)
	if err != nil {
		m.t.Fatal(err)
	}
	if e.Session != want || ok == want.IsZero() || ok && e.Player != p {
		m.t.Errorf("player %d is at %v (%v), want %v", p, e, ok, want)
	}
}

func (m must) renew(gate int, known bool) {
	m.t.Helper()
	ttl, k, err := m.d.Renew(m.t.Context(), firefly.Incarnation(gate))
	if err != nil || ttl != directory.TTL || k != known {
		m.t.Errorf("Renew gives %v, %v, %v", ttl, k, err)
	}
}

func TestClaims(t *testing.T) {
	adapters(t, func(t *testing.T, d directory.Directory, _ func(time.Duration)) {
		m, ctx := must{t, d}, t.Context()
		m.at(1, firefly.SessionID{})
		first, previous := m.claim(1, session(1, 1))
		if !previous.IsZero() || first < uint64(time.Now().UnixMicro()) {
			t.Errorf("epoch %d, previous %v", first, previous)
		}
		m.at(1, session(1, 1))
		second, previous := m.claim(1, session(2, 9))
		if previous != (directory.Entry{Player: 1, Session: session(1, 1), Epoch: first}) || second <= first {
			t.Errorf("epoch %d after %d, previous %v", second, first, previous)
		}
		// The former session goes, and takes nothing of the new one with it.
		if err := d.Release(ctx, 1, session(1, 1), first); err != nil {
			t.Error(err)
		}
		if err := d.Release(ctx, 1, session(2, 9), first); err != nil {
			t.Error(err)
		}
		m.at(1, session(2, 9))
		// The same session again: a new epoch, and nobody to close.
		third, previous := m.claim(1, session(2, 9))
		if !previous.IsZero() || third <= second {
			t.Errorf("epoch %d after %d, previous %v", third, second, previous)
		}
		if err := d.Release(ctx, 1, session(2, 9), third); err != nil {
			t.Error(err)
		}
		m.at(1, firefly.SessionID{})
		// Epochs rise over all players, faster than the clock if need be.
		last := third
		for p := range firefly.PlayerID(100) {
			e, _ := m.claim(p, session(3, int(p)))
			if e <= last {
				t.Fatalf("epoch %d after %d", e, last)
			}
			last = e
		}
		// What was released does not come back.
		if err := d.Reclaim(ctx, 1, session(2, 9), third); err != directory.ErrSuperseded {
			t.Error(err)
		}
	})
}

// A session that a Claim replaced is named until it is known to have ended, whoever claims and
// however often an answer is lost.
func TestFormerSessions(t *testing.T) {
	adapters(t, func(t *testing.T, d directory.Directory, pass func(time.Duration)) {
		m, ctx := must{t, d}, t.Context()
		previous := func(s firefly.SessionID, want ...firefly.SessionID) uint64 {
			t.Helper()
			epoch, es, err := d.Claim(ctx, 1, s)
			var got []firefly.SessionID
			for _, e := range es {
				got = append(got, e.Session)
				if e.Player != 1 || e.Epoch == 0 {
					t.Errorf("entry %v", e)
				}
			}
			if err != nil || !slices.Equal(got, want) {
				t.Errorf("previous are %v, want %v, %v", got, want, err)
			}
			return epoch
		}
		a, b, c := session(1, 1), session(2, 1), session(2, 2)
		first := previous(a)
		previous(b, a)
		previous(b, a)
		third := previous(c, b, a)
		m.at(1, c)
		// One of them has ended: of any epoch, since the answer was lost.
		if err := d.Release(ctx, 1, b, 0); err != nil {
			t.Error(err)
		}
		// The last one too: the first is the player's again, with its epoch.
		if err := d.Release(ctx, 1, c, third); err != nil {
			t.Error(err)
		}
		m.at(1, a)
		if err := d.Reclaim(ctx, 1, a, first); err != nil {
			t.Error(err)
		}
		previous(b, a)
		// The gate of a is lost: nobody needs to close it.
		for range 6 {
			pass(time.Second)
			m.renew(2, true)
		}
		previous(b)
		// The gate of the latest is lost: the one before is still there.
		previous(session(3, 1), b)
		for range 6 {
			pass(time.Second)
			m.renew(2, true)
		}
		m.at(1, b)
		if err := d.Release(ctx, 1, b, 0); err != nil {
			t.Error(err)
		}
		m.at(1, firefly.SessionID{})
	})
}

func TestGateLeases(t *testing.T) {
	adapters(t, func(t *testing.T, d directory.Directory, pass func(time.Duration)) {
		m, ctx := must{t, d}, t.Context()
		e1, _ := m.claim(1, session(1, 1)) // begins a lease
		m.renew(2, false)
		m.claim(2, session(2, 1))
		pass(4 * time.Second)
		m.renew(2, true)
		if left, err := d.Left(ctx, 1); err != nil || left != time.Second {
			t.Errorf("%v left, %v", left, err)
		}
		pass(time.Second)
		m.at(1, firefly.SessionID{})
		m.at(2, session(2, 1))
		if left, err := d.Left(ctx, 1); err != nil || left != 0 {
			t.Errorf("%v left, %v", left, err)
		}
		// Its former player may go elsewhere, and there is nobody to close.
		m.claim(3, session(1, 3)) // begins another lease
		if _, previous := m.claim(1, session(2, 2)); !previous.IsZero() {
			t.Errorf("previous is %v", previous)
		}
		// The gate was only slow: what nobody took comes back, the rest has lost.
		if err := d.Reclaim(ctx, 1, session(1, 1), e1); err != directory.ErrSuperseded {
			t.Error(err)
		}
		m.at(1, session(2, 2))
		m.renew(2, true)
		m.renew(1, true)
	})
}

func TestLapsedComesBack(t *testing.T) {
	adapters(t, func(t *testing.T, d directory.Directory, pass func(time.Duration)) {
		m := must{t, d}
		e1, _ := m.claim(1, session(1, 1))
		pass(time.Minute)
		m.at(1, firefly.SessionID{})
		m.renew(1, false)
		m.at(1, firefly.SessionID{})
		for range 2 {
			if err := d.Reclaim(t.Context(), 1, session(1, 1), e1); err != nil {
				t.Error(err)
			}
		}
		m.at(1, session(1, 1))
		if _, previous := m.claim(1, session(2, 1)); previous.Epoch != e1 {
			t.Errorf("previous is %v", previous)
		}
	})
}

// The store dies and comes back empty: gates claim again, the older epoch loses.
func TestStoreComesBackEmpty(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wire{s: directory.NewServer(directory.NewMemory(nil))}
		d := directory.NewClient(w)
		m, ctx := must{t, d}, t.Context()
		old, _ := m.claim(1, session(1, 1))
		older, _ := m.claim(2, session(1, 2))
		newer, _ := m.claim(2, session(2, 2))
		w.away.Store(true)
		if _, _, err := d.Claim(ctx, 1, session(2, 1)); err != errGone {
			t.Error(err)
		}
		if _, _, err := d.Lookup(ctx, 1); err != errGone {
			t.Error(err)
		}
		time.Sleep(time.Second)
		w.s = directory.NewServer(directory.NewMemory(nil))
		w.away.Store(false)
		fresh, _ := m.claim(3, session(2, 3))
		if fresh <= newer {
			t.Errorf("epoch %d after %d", fresh, newer)
		}
		// In either order the higher epoch stays.
		m.renew(1, false)
		if err := d.Reclaim(ctx, 1, session(1, 1), old); err != nil {
			t.Error(err)
		}
		if err := d.Reclaim(ctx, 2, session(1, 2), older); err != nil {
			t.Error(err)
		}
		m.at(2, session(1, 2))
		if err := d.Reclaim(ctx, 2, session(2, 2), newer); err != nil {
			t.Error(err)
		}
		if err := d.Reclaim(ctx, 2, session(1, 2), older); err != directory.ErrSuperseded {
			t.Error(err)
		}
		m.at(1, session(1, 1))
		m.at(2, session(2, 2))
		if e, _ := m.claim(1, session(2, 4)); e <= fresh {
			t.Errorf("epoch %d after %d", e, fresh)
		}
		// A player who was claimed and left meanwhile is not bound again by an old session.
		e, _ := m.claim(4, session(2, 5))
		if err := d.Release(ctx, 4, session(2, 5), e); err != nil {
			t.Error(err)
		}
		if err := d.Reclaim(ctx, 4, session(1, 7), old); err != directory.ErrSuperseded {
			t.Error(err)
		}
	})
}

func TestForget(t *testing.T) {
	adapters(t, func(t *testing.T, d directory.Directory, pass func(time.Duration)) {
		m, ctx := must{t, d}, t.Context()
		e, _ := m.claim(1, session(1, 1))
		if _, _, err := d.Hold(ctx, "single", 1); err != nil {
			t.Error(err)
		}
		if err := d.Forget(ctx, 1); err != nil {
			t.Error(err)
		}
		m.at(1, firefly.SessionID{})
		if left, err := d.Left(ctx, 1); left != 0 || err != nil {
			t.Error(left, err)
		}
		if _, _, err := d.Hold(ctx, "single", 2); err != nil {
			t.Error(err)
		}
		// What it still says is refused.
		_, _, claim := d.Claim(ctx, 2, session(1, 2))
		_, _, renew := d.Renew(ctx, 1)
		_, _, hold := d.Hold(ctx, "other", 1)
		for _, err := range []error{claim, renew, hold, d.Reclaim(ctx, 1, session(1, 1), e)} {
			if err != directory.ErrDead {
				t.Error(err)
			}
		}
		// After an hour nothing of it is kept.
		pass(time.Hour)
		m.claim(2, session(1, 2))
	})
}

func TestNames(t *testing.T) {
	adapters(t, func(t *testing.T, d directory.Directory, pass func(time.Duration)) {
		ctx := t.Context()
		hold := func(owner firefly.Incarnation, want error) (uint64, time.Duration) {
			t.Helper()
			epoch, ttl, err := d.Hold(ctx, "arena.match", owner)
			if err != want {
				t.Errorf("Hold gives %v, want %v", err, want)
			}
			return epoch, ttl
		}
		e1, ttl := hold(1, nil)
		if ttl != directory.TTL {
			t.Error(ttl)
		}
		pass(2 * time.Second)
		if _, left := hold(2, directory.ErrHeld); left != 3*time.Second {
			t.Errorf("held for %v", left)
		}
		if again, _ := hold(1, nil); again != e1 {
			t.Error("prolonging changes the epoch")
		}
		pass(directory.TTL)
		e2, _ := hold(2, nil)
		if e2 <= e1 {
			t.Errorf("epoch %d after %d", e2, e1)
		}
		hold(1, directory.ErrHeld)
		if err := d.Drop(ctx, "arena.match", 1); err != nil {
			t.Error(err)
		}
		hold(1, directory.ErrHeld)
		if err := d.Drop(ctx, "arena.match", 2); err != nil {
			t.Error(err)
		}
		if e3, _ := hold(1, nil); e3 <= e2 {
			t.Errorf("epoch %d after %d", e3, e2)
		}
	})
}

func TestKeep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wire{s: directory.NewServer(directory.NewMemory(nil))}
		d, ctx := directory.NewClient(w), t.Context()
		first, err := directory.Keep(ctx, d, "match", 1)
		if err != nil {
			t.Fatal(err)
		}
		got := make(chan *directory.Lease)
		go func() {
			l, err := directory.Keep(ctx, d, "match", 2)
			if err != nil {
				t.Error(err)
			}
			got <- l
		}()
		time.Sleep(time.Hour)
		select {
		case <-got:
			t.Fatal("two hold the name")
		case <-first.Lost():
			t.Fatal("lost for nothing")
		default:
		}
		if err := first.Release(ctx); err != nil {
			t.Error(err)
		}
		second := <-got
		if second.Epoch() <= first.Epoch() {
			t.Error("the epoch did not rise")
		}
		// A short absence of the store does no harm; a long one ends the lease, in time.
		w.away.Store(true)
		time.Sleep(3 * time.Second)
		w.away.Store(false)
		time.Sleep(time.Minute)
		begin := time.Now()
		w.away.Store(true)
		<-second.Lost()
		if took := time.Since(begin); took < directory.TTL-2*time.Second || took > directory.TTL {
			t.Errorf("lost after %v", took)
		}
		if err := second.Release(ctx); err != errGone {
			t.Error(err)
		}
		// Who waits gives up with its ctx, or when it is dead.
		short, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		if _, err := directory.Keep(short, d, "match", 3); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		w.away.Store(false)
		if err := d.Forget(ctx, 3); err != nil {
			t.Error(err)
		}
		if _, err := directory.Keep(ctx, d, "match", 3); err != directory.ErrDead {
			t.Error(err)
		}
		// Declared dead while it holds.
		third, err := directory.Keep(ctx, d, "match", 4)
		if err != nil {
			t.Fatal(err)
		}
		_ = d.Forget(ctx, 4)
		<-third.Lost()
		_ = third.Release(ctx)
	})
}

// Against a plain model, with time that jumps.
func TestModel(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	d := directory.NewMemory(func() time.Time { return now })
	rnd := rand.New(rand.NewPCG(1, 2))
	ctx := t.Context()
	entries := map[firefly.PlayerID][]directory.Entry{} // not known to have ended, the latest first
	until := map[firefly.Incarnation]time.Time{}
	alive := func(g firefly.Incarnation) bool { return now.Before(until[g]) }
	var last uint64
	lapsed := func(g firefly.Incarnation) {
		for p, es := range entries {
			entries[p] = slices.DeleteFunc(es, func(e directory.Entry) bool { return e.Session.Gate == g })
		}
	}
	for range 20_000 {
		p := firefly.PlayerID(rnd.IntN(20))
		s := session(1+rnd.IntN(4), rnd.IntN(3))
		for g := range firefly.Incarnation(5) {
			if !alive(g) {
				lapsed(g)
			}
		}
		es := entries[p]
		switch rnd.IntN(6) {
		case 0:
			now = now.Add(time.Duration(rnd.IntN(1500)) * time.Millisecond)
		case 1, 2:
			if !alive(s.Gate) {
				until[s.Gate] = now.Add(directory.TTL)
			}
			epoch, previous, err := d.Claim(ctx, p, s)
			want := slices.DeleteFunc(slices.Clone(es), func(e directory.Entry) bool { return e.Session == s })
			if err != nil || epoch <= last || !slices.Equal(previous, want) {
				t.Fatalf("claim: %d after %d, previous %v, want %v, %v", epoch, last, previous, want, err)
			}
			last = epoch
			entries[p] = append([]directory.Entry{{Player: p, Session: s, Epoch: epoch}}, want...)
		case 3:
			_, known, err := d.Renew(ctx, s.Gate)
			if err != nil || known != alive(s.Gate) {
				t.Fatalf("renew: %v, %v", known, err)
			}
			until[s.Gate] = now.Add(directory.TTL)
		case 4:
			e := directory.Entry{Session: s, Epoch: 1}
			if len(es) > 0 && rnd.IntN(4) > 0 {
				e = es[rnd.IntN(len(es))]
			}
			if rnd.IntN(4) == 0 {
				e.Epoch = 0
			}
			if err := d.Release(ctx, p, e.Session, e.Epoch); err != nil {
				t.Fatal(err)
			}
			entries[p] = slices.DeleteFunc(es, func(o directory.Entry) bool {
				return o.Session == e.Session && (e.Epoch == 0 || o.Epoch == e.Epoch)
			})
		case 5:
			var want directory.Entry
			if len(es) > 0 {
				want = es[0]
			}
			got, ok, err := d.Lookup(ctx, p)
			if err != nil || got != want || ok == want.IsZero() {
				t.Fatalf("lookup: %v %v, want %v, %v", got, ok, want, err)
			}
			n := 0
			for _, es := range entries {
				n += min(1, len(es))
			}
			if d.Len() != n {
				t.Fatalf("%d are bound, want %d", d.Len(), n)
			}
		}
	}
}

func TestConcurrent(t *testing.T) {
	d := directory.NewMemory(nil)
	var wg sync.WaitGroup
	var previous atomic.Int64
	for i := range 16 {
		wg.Go(func() {
			for j := range 500 {
				_, p, err := d.Claim(t.Context(), 1, session(i+1, j))
				if err != nil {
					t.Error(err)
				}
				for _, e := range p {
					if err := d.Release(t.Context(), 1, e.Session, e.Epoch); err != nil {
						t.Error(err)
					}
				}
				if len(p) > 0 {
					previous.Add(1)
				}
			}
		})
	}
	wg.Wait()
	// Each claim but the first replaced somebody, and all of them are released but the last.
	if n := previous.Load(); n != 16*500-1 {
		t.Errorf("%d claims replaced somebody", n)
	}
	if _, p, err := d.Claim(t.Context(), 1, session(99, 1)); err != nil || len(p) != 1 {
		t.Errorf("%v are left, %v", p, err)
	}
	if d.Len() != 1 {
		t.Errorf("%d are bound", d.Len())
	}
}

// FuzzServer reads any bytes as a request: an answer or an error, never more.
func FuzzServer(f *testing.F) {
	for op := range uint64(11) {
		f.Add(op, []byte("0123456789012345678901234567"))
		f.Add(op, []byte("01234567"))
		f.Add(op, []byte("01234567890123456789"))
		f.Add(op, []byte("01234567a name"))
	}
	f.Fuzz(func(t *testing.T, op uint64, body []byte) {
		s := directory.NewServer(directory.NewMemory(nil))
		b, err := s.Serve(t.Context(), op, body)
		if (err == nil) == (len(b) == 0) {
			t.Fatalf("%x, %v", b, err)
		}
	})
}

// FuzzClient reads any bytes as an answer.
func FuzzClient(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3})
	f.Add(make([]byte, 29))
	f.Fuzz(func(t *testing.T, b []byte) {
		d, ctx := directory.NewClient(answer(b)), t.Context()
		if _, ttl, _ := d.Hold(ctx, "x", 1); ttl < 0 {
			t.Fatal(ttl)
		}
		if left, _ := d.Left(ctx, 1); left < 0 {
			t.Fatal(left)
		}
		_, _, _ = d.Claim(ctx, 1, session(1, 1))
		_, _, _ = d.Lookup(ctx, 1)
		_, _, _ = d.Renew(ctx, 1)
	})
}

type answer []byte

func (a answer) Call(context.Context, uint64, []byte) ([]byte, error) { return a, nil }
