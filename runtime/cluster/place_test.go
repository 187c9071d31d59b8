package cluster

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/firefly-go/firefly"
)

func TestDeclaredRises(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.declared.Roles = map[string][]string{"world": {"world-1"}}
		r := w.startMaster()
		kept := make(chan Declared, 10)
		a := w.join("a-1", func(o *Options) { o.OnDeclared = func(d Declared) { kept <- d } })
		w.await("a to register", func() bool { return len(r.View().Members) == 1 })
		r.Declare(Declared{Version: 2, Roles: map[string][]string{"world": {"world-1", "world-2"}}})
		r.Declare(Declared{Version: 1})
		if d := <-kept; d.Version != 2 || len(a.Nodes("world")) != 2 || a.Topology() != 2 {
			t.Errorf("kept %+v, has %v", d, a.Nodes("world"))
		}
		// A node that saw a higher version than the master raises everybody's.
		w.join("b-1", func(o *Options) { o.Declared = Declared{Version: 9, Roles: map[string][]string{"world": {"x"}}} })
		if d := <-kept; d.Version != 9 || a.Owner("world", 1) != "x" || r.View().Declared.Version != 9 {
			t.Errorf("kept %+v", d)
		}
	})
}

func TestShapes(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		schema := func(join, move, entered uint64, accepts ...uint64) []*firefly.Schema {
			return []*firefly.Schema{{
				Commands: []firefly.Command{{Name: "Join", Shape: join, Accepts: accepts}, {Name: "Same", Shape: 1}},
				Calls:    []firefly.CallSpec{{Name: "Move", Shape: move, Accepts: accepts}},
				Pushes:   []firefly.PushSpec{{Name: "Entered", Shape: entered}},
			}}
		}
		set := func(s []*firefly.Schema) func(*Options) { return func(o *Options) { o.Schemas = s } }
		old := w.start("a-1", set(schema(10, 20, 30)))
		renewed := w.start("b-1", set(schema(11, 21, 31, 10, 20)))
		same := w.start("c-1", set(schema(10, 20, 30)))
		bare := w.start("d-1")
		all := []*node{old, renewed, same, bare}
		v := View{Version: 1}
		for _, n := range all {
			v.Members = append(v.Members, n.Self())
		}
		for _, n := range all {
			n.Apply(v)
		}
		w.settle(all...)
		for _, n := range all {
			for _, x := range all {
				for _, name := range []string{"Join", "Same", "Move", "Entered", "Unknown"} {
					// What the newer build still accepts fits, seen from either side.
					want := firefly.OK
					if name == "Entered" && (n == renewed) != (x == renewed) && n != bare && x != bare {
						want = firefly.Incompatible
					}
					if got := firefly.CodeOf(n.Peer(x.name).Fits(name)); got != want {
						t.Errorf("%s of %s at %s: %q, want %q", name, n.name, x.name, got, want)
					}
				}
				if err := n.call(x.name); err != nil {
					t.Errorf("%s to %s: %v", n.name, x.name, err)
				}
			}
		}
	})
}

func TestPick(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.startMaster()
		load := func(l *atomic.Int64) func(*Options) {
			return func(o *Options) { o.Load = func() (int, int) { return int(l.Load()) / 2, int(l.Load()) } }
		}
		var l1, l2 atomic.Int64
		a, w1, w2 := w.join("a-1"), w.join("world-1", load(&l1)), w.join("world-2", load(&l2))
		w.settle(a, w1, w2)
		pick := func(n int) map[string]int {
			got := map[string]int{}
			for range n {
				p, err := a.Pick("world")
				if err != nil {
					t.Fatal(err)
				}
				got[p.Name]++
			}
			return got
		}
		// Equal loads spread, although nobody has reported since.
		if got := pick(100); got["world-1"] != 50 {
			t.Errorf("picked %v", got)
		}
		l1.Store(1000)
		time.Sleep(3 * time.Second)
		if got := pick(100); got["world-2"] != 100 {
			t.Errorf("picked %v", got)
		}
		if m := a.Peer("world-1").Member(); m.Load != 1000 || m.Sessions != 500 {
			t.Errorf("reported %+v", m)
		}
		// What drains is passed over, what starts comes last.
		w2.SetState(Draining)
		time.Sleep(time.Second)
		if got := pick(10); got["world-1"] != 10 {
			t.Errorf("picked %v", got)
		}
		w2.SetState(Starting)
		time.Sleep(time.Second)
		if got := pick(10); got["world-1"] != 10 {
			t.Errorf("picked %v", got)
		}
		w2.SetState(Ready)
		w1.kill()
		time.Sleep(time.Second)
		if got := pick(10); got["world-2"] != 10 {
			t.Errorf("picked %v", got)
		}
		w2.kill()
		time.Sleep(time.Second)
		if _, err := a.Pick("world"); firefly.CodeOf(err) != firefly.Unavailable {
			t.Errorf("nobody is there: %v", err)
		}
		if _, err := a.Pick("none"); firefly.CodeOf(err) != firefly.Unavailable {
			t.Errorf("no such role: %v", err)
		}
		if p, err := a.Pick("a"); err != nil || !p.Self() {
			t.Errorf("its own role: %v, %v", p, err)
		}
	})
}

// All builds must place keys alike, so these may not change.
func TestOwnerIsStable(t *testing.T) {
	c := New(Options{Self: Member{Name: "x"}, Secret: []byte("s"), Declared: Declared{Version: 1, Roles: map[string][]string{"world": {"world-1", "world-2", "world-3"}}}})
	defer c.Close()
	var got []string
	for _, key := range []uint64{0, 1, 2, 3, 1 << 63, 0xcbf29ce484222325, 0xaf63dc4c8601ec8c} {
		got = append(got, c.Owner("world", key)[len("world-"):])
	}
	if s := strings.Join(got, ""); s != ownersGolden {
		t.Errorf("owners are %s, want %s", s, ownersGolden)
	}
}

// Keys spread evenly, and only those move that a new node takes over.
func TestOwnerMovesLittle(t *testing.T) {
	nodes := func(n int) map[string][]string {
		var names []string
		for i := range n {
			names = append(names, fmt.Sprintf("world-%d", i+1))
		}
		return map[string][]string{"world": names}
	}
	of := func(n int) *Cluster {
		c := New(Options{Self: Member{Name: "x"}, Secret: []byte("s"), Declared: Declared{Version: 1, Roles: nodes(n)}})
		t.Cleanup(c.Close)
		return c
	}
	c4, c5 := of(4), of(5)
	const keys = 40_000
	count, moved := map[string]int{}, 0
	for i := range uint64(keys) {
		was, is := c4.Owner("world", i), c5.Owner("world", i)
		count[is]++
		if was != is {
			moved++
			if is != "world-5" {
				t.Fatalf("key %d moved from %s to %s", i, was, is)
			}
		}
	}
	for name, n := range count {
		if n < keys/5*9/10 || n > keys/5*11/10 {
			t.Errorf("%s owns %d of %d", name, n, keys)
		}
	}
	if moved < keys/5*9/10 || moved > keys/5*11/10 {
		t.Errorf("%d keys moved", moved)
	}
}

func BenchmarkOwner(b *testing.B) {
	c := New(Options{Self: Member{Name: "x"}, Secret: []byte("s"), Declared: Declared{Roles: map[string][]string{"world": {"world-1", "world-2", "world-3", "world-4"}}}})
	defer c.Close()
	b.ReportAllocs()
	for i := uint64(0); b.Loop(); i++ {
		_ = c.Owner("world", i)
	}
}
