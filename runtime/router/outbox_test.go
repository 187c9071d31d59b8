package router

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/firefly-go/firefly"
)

var droppable = &firefly.PushSpec{ID: 2003, Name: "test.v1.Said", Slow: firefly.SlowDropOldest}

// A link between two living nodes that breaks again and again takes no push away that must not
// be lost, doubles none and changes no order; what may be dropped never comes too early.
func TestPushesOverBrokenLinks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var kept firefly.Session
		g := newGame(t, plainRouting, "gate-1 gate", "world-1 world")
		g.up(func(_ *testNode, h *Host) {
			handle(h, 1, func(_ context.Context, s firefly.Session, req *num) (*num, error) { kept = s; return req, nil })
		})
		defer g.down()
		g.command("gate-1", "world-1", 1, 1, numBody(0)).wait()
		f, r := g.nodes["gate-1"].gate, g.host("world-1", "world").router
		f.take()
		rng := rand.New(rand.NewPCG(1, 2))
		const n = 3000
		ctx := context.Background()
		for i := 1; i <= n; i++ {
			spec := moved
			if i%10 == 0 {
				spec = droppable
			}
			if err := r.Push(ctx, kept, spec, NoKey(), pushed(i)); err != nil {
				t.Fatal(err)
			}
			switch rng.IntN(40) {
			case 0: // in flight
				g.net.Cut("world-1:1")
			case 1:
				g.net.Cut("world-1:1")
				synctest.Wait()
			case 2:
				synctest.Wait()
			case 3:
				time.Sleep(time.Duration(rng.IntN(100)) * time.Millisecond)
			}
		}
		time.Sleep(5 * time.Second)
		synctest.Wait()
		last, must := 0, 0
		for _, line := range f.take() {
			var id, size int
			if _, err := fmt.Sscanf(line, "push %d to sessions 1: %d", &id, &size); err != nil {
				t.Fatalf("the gate got %q", line)
			}
			if size <= last {
				t.Fatalf("push %d came after %d", size, last)
			}
			last = size
			if id == int(moved.ID) {
				must++
			}
		}
		if want := n - n/10; must != want {
			t.Errorf("%d of %d pushes that must not be lost have come", must, want)
		}
		o := g.nodes["world-1"].d.out.find(g.nodes["gate-1"].life)
		if waits := len(o.kept) - o.head; waits >= ackEvery {
			t.Errorf("%d are not acknowledged", waits)
		}
	})
}

// While the gate cannot be reached, Join fails rather than overtake a push that waits; when it
// is back, everything is there before the next handler's words.
func TestJoinWaitsForPushes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var kept firefly.Session
		g := newGame(t, plainRouting, "zgate-1 gate", "world-1 world")
		g.up(func(_ *testNode, h *Host) {
			handle(h, 1, func(_ context.Context, s firefly.Session, req *num) (*num, error) { kept = s; return req, nil })
			handle(h, 2, func(ctx context.Context, s firefly.Session, req *num) (*num, error) { return req, s.Join(ctx, "g") })
		})
		defer g.down()
		g.command("zgate-1", "world-1", 1, 1, numBody(0)).wait()
		f, r := g.nodes["zgate-1"].gate, g.host("world-1", "world").router
		f.take()
		g.net.Refuse("zgate-1:1", true)
		g.net.Cut("zgate-1:1")
		synctest.Wait()
		_ = r.Push(context.Background(), kept, moved, NoKey(), pushed(7))
		if err := kept.Join(context.Background(), "g"); firefly.CodeOf(err) != firefly.Overloaded {
			t.Errorf("Join while a push waits: %v", err)
		}
		g.net.Refuse("zgate-1:1", false)
		for {
			if _, err := g.nodes["zgate-1"].c.Peer("world-1").Link(); err == nil {
				break
			}
			time.Sleep(time.Millisecond)
		}
		if a := g.command("zgate-1", "world-1", 2, 1, numBody(0)).wait(); a.err != nil {
			t.Error(a.err)
		}
		f.want(t, "push 2001 to sessions 1: 7", "join 1 g", "reply to 1: <nil>")
	})
}

// What finds no room is not kept, but who misses it is told, in its place.
func TestPushesWithoutRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGame(t, plainRouting, "zgate-1 gate", "world-1 world")
		g.up(func(*testNode, *Host) {})
		defer g.down()
		f, r := g.nodes["zgate-1"].gate, g.host("world-1", "world").router
		away := func() {
			g.net.Refuse("zgate-1:1", true)
			g.net.Cut("zgate-1:1")
			synctest.Wait()
		}
		push := func(to firefly.Target, size int) {
			t.Helper()
			if err := r.Push(context.Background(), to, moved, NoKey(), pushed(size)); err != nil {
				t.Fatal(err)
			}
		}
		back := func() []string {
			g.net.Refuse("zgate-1:1", false)
			time.Sleep(5 * time.Second)
			synctest.Wait()
			return f.take()
		}
		const big = 1 << 19
		fill := func() (n int) {
			o := g.nodes["world-1"].d.out.of(g.nodes["world-1"].c.Peer("zgate-1"))
			for ; o.room(big + 100); n++ {
				push(firefly.PlayerID(1), big)
			}
			return n
		}

		away()
		n := fill()
		for range 3 {
			push(firefly.PlayerID(2), big)
			push(firefly.Group("g"), big)
			push(firefly.Except(firefly.Group("g"), 5), big)
		}
		got := back()
		want := slices.Repeat([]string{fmt.Sprint("push 2001 to players [1]: ", big)}, n)
		want = append(want, "missed by [][2] : <nil>", "missed by [][] g: <nil>", "missed by [][] g: <nil>")
		if !slices.Equal(got, want) {
			t.Errorf("got %q", got)
		}
		push(firefly.PlayerID(2), 3)
		synctest.Wait()
		f.want(t, "push 2001 to players [2]: 3")

		// Too many to be noted one by one: it is everybody.
		away()
		fill()
		for i := range 1000 {
			push(firefly.Group(fmt.Sprint(i, strings.Repeat("x", 2000))), big)
		}
		got = back()
		if all := slices.Index(got, "all miss pushes"); all != len(got)-1 || slices.Index(got, "missed by [][] 0"+strings.Repeat("x", 2000)+": <nil>") < 0 {
			t.Errorf("%d messages, that of everybody is number %d", len(got), all)
		}
		push(firefly.PlayerID(2), 3)
		synctest.Wait()
		f.want(t, "push 2001 to players [2]: 3")
	})
}

// A gate whose life is over gets nothing of what waited, and nothing is kept for it.
func TestOutboxEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGame(t, plainRouting, "zgate-1 gate", "world-1 world")
		g.up(func(*testNode, *Host) {})
		defer g.down()
		gate, d, r := g.nodes["zgate-1"], g.nodes["world-1"].d, g.host("world-1", "world").router
		g.net.Refuse("zgate-1:1", true)
		g.net.Cut("zgate-1:1")
		synctest.Wait()
		_ = r.Push(context.Background(), firefly.Everyone, moved, NoKey(), pushed(7))
		o := d.out.find(gate.life)
		d.GateLost(gate.life)
		_ = o.push(&envelope{head: AppendPush(nil, 1, 0, 0, ToEveryone, nil, nil, "", nil), msg: pushed(1)}, nil)
		if len(o.kept) > 0 || d.out.find(gate.life) != nil {
			t.Error("something is kept")
		}
		g.net.Refuse("zgate-1:1", false)
		time.Sleep(5 * time.Second)
		synctest.Wait()
		gate.gate.want(t)
	})
}

func TestInbox(t *testing.T) {
	var in inbox
	for i, c := range []struct {
		number          uint64
		size            int
		fresh, gap, ack bool
	}{
		{1, 10, true, false, false},
		{2, 10, true, false, false},
		{1, 10, false, false, false},
		{2, 10, false, false, false},
		{3, ackEveryBytes, true, false, true},
		{4, 10, true, false, false},
		{6, 10, true, true, false},
		{7, 10, true, false, false},
	} {
		if fresh, gap, ack := in.take(c.number, c.size); fresh != c.fresh || gap != c.gap || ack != c.ack {
			t.Errorf("%d: %d: %v %v %v", i, c.number, fresh, gap, ack)
		}
	}
}
