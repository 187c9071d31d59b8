package writeback

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/table"
	"github.com/firefly-go/firefly/runtime/table/tabletest"
	"github.com/firefly-go/firefly/runtime/table/tabletest/servers"
)

// The environment of a test binary that makes a durable commit and dies at a step of it.
const (
	dieAt    = "FIREFLY_TEST_DIE_AT"
	dieRedis = "FIREFLY_TEST_DIE_REDIS"
	dieDSN   = "FIREFLY_TEST_DIE_DSN"
)

// shortLock is how long locks last in tests that wait for their end.
const shortLock = 300 * time.Millisecond

// apart are the ids of two players of different shards, the first of the lower one.
func apart() (a, b int64) {
	shard := func(id int64) int { return table.PlaceOf(table.IntOf(id)).Shard(worldShards) }
	a, b = 1, 2
	for shard(a) == shard(b) {
		b++
	}
	if shard(a) > shard(b) {
		a, b = b, a
	}
	return a, b
}

// trade moves gold from a player to another one and an item with it.
func trade(tables *tabletest.Tables, a, b int64) []table.Op {
	item := &tabletest.Item{OwnerID: b, ID: 7, Count: 1}
	return []table.Op{
		add(tables.Player.Ref(a), tabletest.PlayerGold, 5),
		add(tables.Player.Ref(b), tabletest.PlayerGold, -5),
		gone(tables.Item.Ref(tabletest.ItemKey{OwnerID: a, ID: 7})),
		insert(tables.Item, item),
	}
}

// commitAndDie makes a trade and kills its process at a step.
func commitAndDie(step string) {
	tables := tabletest.NewTables("")
	p, err := openProcess(context.Background(), os.Getenv(dieRedis), os.Getenv(dieDSN), tables.Specs(), Options{Lock: shortLock})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	p.store.decider.o.step = func(s string) {
		if s == step {
			me, _ := os.FindProcess(os.Getpid())
			_ = me.Kill()
			select {}
		}
	}
	a, b := apart()
	fmt.Println("it came through", p.commit(context.Background(), trade(tables, a, b)...))
	os.Exit(1)
}

// dies has a process make a trade and die at a step of it.
func (w *world) dies(step string) {
	w.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), dieAt+"="+step, dieRedis+"="+w.redis.Addr(), dieDSN+"="+w.maria.DSN(w.name))
	out, err := cmd.CombinedOutput()
	if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) || exit.ExitCode() != -1 {
		w.Fatalf("it did not die: %v: %s", err, out)
	}
}

// 23. A process that dies in a durable commit leaves either all of it or nothing, whoever comes next.
func TestCase23Kill(t *testing.T) {
	for _, c := range []struct {
		step string
		made bool
	}{{"locked 0", false}, {"locked 1", false}, {"written", true}, {"applied 0", true}, {"applied 1", true}} {
		t.Run(c.step, func(t *testing.T) {
			w := newWorld(t)
			a, b := apart()
			ann, bob := w.Player.Ref(a), w.Player.Ref(b)
			sword, given := w.Item.Ref(tabletest.ItemKey{OwnerID: a, ID: 7}), w.Item.Ref(tabletest.ItemKey{OwnerID: b, ID: 7})
			w.ok(w.commit(w.ctx, w.player(a, "Ann", 100), w.player(b, "Bob", 100)))
			w.ok(w.commit(w.ctx, w.item(a, 7, 1)))
			// One of the rows waits to be stored, and the lists are cached.
			w.ok(w.commit(w.ctx, add(ann, tabletest.PlayerWins, 1)))
			list := func(owner int64) (n int) {
				rows, err := w.store.Find(w.ctx, &table.Query{Table: w.Item.Spec, Index: tabletest.ByOwner, By: []table.Value{table.IntOf(owner)}})
				w.ok(err)
				return len(rows)
			}
			if list(a) != 1 || list(b) != 0 {
				t.Error("the items are not where they were put")
			}
			w.dies(c.step)
			f := w.flusher(quickOptions())
			// Somebody who wants a row waits for the end of the lock, and ends the commit.
			w.ok(w.commit(w.ctx, add(bob, tabletest.PlayerWins, 1)))
			w.ok(w.commit(w.ctx, add(ann, tabletest.PlayerWins, 1)))
			goldA, goldB, mine, his := int64(100), int64(100), 1, 0
			if c.made {
				goldA, goldB, mine, his = 105, 95, 0, 1
			}
			ra, rb := w.read(t, ann), w.read(t, bob)
			if ra.Values[tabletest.PlayerGold].Int() != goldA || rb.Values[tabletest.PlayerGold].Int() != goldB || ra.Values[tabletest.PlayerWins].Uint() != 2 || rb.Values[tabletest.PlayerWins].Uint() != 1 {
				t.Errorf("they have %v and %v", ra.Values, rb.Values)
			}
			// Whoever writes to the places of the items meets what is left of the locks there.
			if c.made {
				w.ok(w.commit(w.ctx, add(given, tabletest.ItemCount, 1)))
			} else {
				w.ok(w.commit(w.ctx, add(sword, tabletest.ItemCount, 1)))
			}
			if list(a) != mine || list(b) != his {
				t.Errorf("they have %d and %d items", list(a), list(b))
			}
			w.clean()
			w.same(ann, bob, sword, given)
			if s := f.Stats(); s.Quarantined+s.Torn != 0 {
				t.Errorf("%+v", s)
			}
		})
	}
}

// 23. The same, and nobody writes: who reads sees the former state while the lock lasts, and has the commit
// ended when its time is over.
func TestCase23Read(t *testing.T) {
	w := newWorld(t)
	a, b := apart()
	ann, bob := w.Player.Ref(a), w.Player.Ref(b)
	w.ok(w.commit(w.ctx, w.player(a, "Ann", 100), w.player(b, "Bob", 100)))
	w.ok(w.commit(w.ctx, w.item(a, 7, 1)))
	w.dies("written")
	rows := make([]table.Row, 2)
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		w.ok(w.store.Read(w.ctx, []table.Ref{ann, bob}, rows))
		gold := [2]int64{rows[0].Values[tabletest.PlayerGold].Int(), rows[1].Values[tabletest.PlayerGold].Int()}
		if gold == [2]int64{105, 95} {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("they have %v", gold)
		}
	}
	for deadline := time.Now().Add(time.Minute); w.read(t, w.Item.Ref(tabletest.ItemKey{OwnerID: b, ID: 7})).Version == 0; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the item does not come")
		}
	}
}

// 23. The same, and nobody reads either: rows that wait to be stored are not held for ever.
func TestCase23Flush(t *testing.T) {
	w := newWorld(t)
	a, b := apart()
	ann := w.Player.Ref(a)
	w.ok(w.commit(w.ctx, w.player(a, "Ann", 100), w.player(b, "Bob", 100)))
	w.ok(w.commit(w.ctx, w.item(a, 7, 1)))
	w.ok(w.commit(w.ctx, add(ann, tabletest.PlayerWins, 1)))
	w.dies("written")
	o := quickOptions()
	o.Specs, o.Lease = w.Specs(), time.Minute
	w.flusher(o)
	w.clean()
	if r := w.read(t, ann); r.Values[tabletest.PlayerGold].Int() != 105 || r.Values[tabletest.PlayerWins].Uint() != 1 {
		t.Errorf("she has %v", r.Values)
	}
	w.same(ann)
}

// 23. An owner that is slow, but lives, and whoever ends its commit meanwhile: it is made once.
func TestCase23Slow(t *testing.T) {
	for _, step := range []string{"locked 0", "locked 1", "written", "applied 0"} {
		t.Run(step, func(t *testing.T) {
			w := newWorld(t)
			a, b := apart()
			ann, bob := w.Player.Ref(a), w.Player.Ref(b)
			w.ok(w.commit(w.ctx, w.player(a, "Ann", 100), w.player(b, "Bob", 100)))
			w.ok(w.commit(w.ctx, w.item(a, 7, 1)))
			slow := w.open(w.redis.Addr(), w.maria.DSN(w.name), Options{Lock: shortLock})
			paused, resume := make(chan struct{}), make(chan struct{})
			var once sync.Once
			slow.store.decider.o.step = func(s string) {
				if s == step {
					once.Do(func() { close(paused); <-resume })
				}
			}
			w.flusher(quickOptions())
			done := make(chan error, 1)
			go func() { done <- slow.commit(t.Context(), trade(w.Tables, a, b)...) }()
			<-paused
			w.ok(w.commit(w.ctx, add(bob, tabletest.PlayerWins, 1)))
			w.ok(w.commit(w.ctx, add(ann, tabletest.PlayerWins, 1)))
			close(resume)
			w.ok(<-done)
			ra, rb := w.read(t, ann), w.read(t, bob)
			if ra.Values[tabletest.PlayerGold].Int() != 105 || rb.Values[tabletest.PlayerGold].Int() != 95 || ra.Values[tabletest.PlayerWins].Uint() != 1 || rb.Values[tabletest.PlayerWins].Uint() != 1 {
				t.Errorf("they have %v and %v", ra.Values, rb.Values)
			}
			w.clean()
			w.same(ann, bob, w.Item.Ref(tabletest.ItemKey{OwnerID: a, ID: 7}), w.Item.Ref(tabletest.ItemKey{OwnerID: b, ID: 7}))
		})
	}
}

// 23. A database that hangs while a lock ends: what is answered is true, and nothing is half.
func TestCase23Hang(t *testing.T) {
	w := newWorld(t)
	a, b := apart()
	ann, bob := w.Player.Ref(a), w.Player.Ref(b)
	w.ok(w.commit(w.ctx, w.player(a, "Ann", 100), w.player(b, "Bob", 100)))
	w.ok(w.commit(w.ctx, w.item(a, 7, 1)))
	w.drainOnce()
	slow := w.open(w.redis.Addr(), w.maria.DSN(w.name), Options{Lock: shortLock})
	slow.store.decider.o.step = func(s string) {
		if s == "locked 1" {
			w.maria.Pause()
		}
	}
	ctx, cancel := context.WithTimeout(w.ctx, 500*time.Millisecond)
	err := slow.commit(ctx, trade(w.Tables, a, b)...)
	cancel()
	w.code(err, firefly.Unavailable) // COMMIT was not reached
	ctx, cancel = context.WithTimeout(w.ctx, 500*time.Millisecond)
	err = w.commit(ctx, add(bob, tabletest.PlayerWins, 1))
	cancel()
	if err != nil && firefly.CodeOf(err) != firefly.Unavailable {
		t.Errorf("somebody who meets the lock: %v", err)
	}
	w.maria.Resume()
	w.flusher(quickOptions())
	w.ok(w.commit(w.ctx, add(ann, tabletest.PlayerWins, 1)))
	if g := w.read(t, ann).Values[tabletest.PlayerGold].Int() + w.read(t, bob).Values[tabletest.PlayerGold].Int(); g != 200 || w.read(t, ann).Values[tabletest.PlayerGold].Int() != 100 {
		t.Errorf("there are %d gold", g)
	}
	w.ok(w.commit(w.ctx, add(bob, tabletest.PlayerWins, 1)))
	w.clean()
	w.same(ann, bob)
}

// drainOnce is clean for a world without a flusher.
func (w *world) drainOnce() {
	w.Helper()
	f := NewFlusher(w.cache, w.db, quickOptions())
	f.Start()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	w.ok(f.Close(ctx))
}

// 23. A flusher with an older image of a row that a durable commit has deleted does not bring it back.
func TestCase23OldImage(t *testing.T) {
	w := newWorld(t)
	a, _ := apart()
	ann := w.Player.Ref(a)
	w.ok(w.commit(w.ctx, w.player(a, "Ann", 100)))
	w.ok(w.commit(w.ctx, add(ann, tabletest.PlayerGold, 1)))
	h := w.hand("old", ann.Place)
	images := h.take()
	if len(images) != 1 {
		t.Fatalf("took %v", images)
	}
	w.ok(w.commit(w.ctx, gone(ann)))
	h.flush(images)
	if r := w.stored(ann); r.Version != 0 {
		t.Errorf("the row is there again: %v", r)
	}
	if r := w.read(t, ann); r.Version != 0 {
		t.Errorf("the row is there again: %v", r)
	}
	h.die()
	w.flusher(quickOptions())
	w.clean()
	w.same(ann)
}

// The answers that are lost between a store, the cache and the database, one at a time: an error says the
// truth about what was done.
func TestDurableLost(t *testing.T) {
	w := newWorld(t)
	a, b := apart()
	w.ok(w.commit(w.ctx, w.player(a, "Ann", 1000), w.player(b, "Bob", 1000)))
	w.flusher(quickOptions())
	pr, pm := servers.NewProxy(t, w.redis.Addr()), servers.NewProxy(t, w.maria.Addr())
	p := w.open(pr.Addr(), strings.Replace(w.maria.DSN(w.name), w.maria.Addr(), pm.Addr(), 1), Options{Lock: shortLock})
	gold := func() (x, y int64) {
		// A write meets what is left of a lock; a read may still show what was there before.
		for _, id := range []int64{a, b} {
			w.ok(w.commit(w.ctx, add(w.Player.Ref(id), tabletest.PlayerWins, 1)))
		}
		return w.read(t, w.Player.Ref(a)).Values[tabletest.PlayerGold].Int(), w.read(t, w.Player.Ref(b)).Values[tabletest.PlayerGold].Int()
	}
	moved := int64(0)
	for i := range 2 {
		for _, c := range []struct {
			proxy *servers.Proxy
			match string
			loss  servers.Loss
		}{
			{pm, "COMMIT", servers.LoseReply}, {pm, "COMMIT", servers.LoseRequest},
			{pm, "ff_txn", servers.LoseReply}, {pm, "ff_txn", servers.LoseRequest}, {pm, "START TRANSACTION", servers.LoseRequest},
		} {
			lost := c.proxy.Lose(c.match, c.loss)
			err := p.commit(w.ctx, add(w.Player.Ref(a), tabletest.PlayerGold, -1), add(w.Player.Ref(b), tabletest.PlayerGold, 1))
			select {
			case <-lost:
			case <-time.After(30 * time.Second):
				t.Fatalf("%s %d: nothing was lost", c.match, c.loss)
			}
			x, y := gold()
			switch code := firefly.CodeOf(err); {
			case x+y != 2000:
				t.Fatalf("%d %s %d: they have %d and %d: %v", i, c.match, c.loss, x, y, err)
			case code == firefly.OK && y != 1000+moved+1, code == firefly.Unavailable && y != 1000+moved, code != firefly.OK && code != firefly.Unavailable && code != firefly.Unknown:
				t.Errorf("%d %s %d: moved %d after %v", i, c.match, c.loss, y-1000-moved, err)
			}
			moved = y - 1000
		}
	}
	if moved == 0 {
		t.Error("nothing was ever done")
	}
}

// Many who take rows of several places in all orders: none is lost, none waits for ever, gold is conserved in
// the database at any moment.
func TestDurableCrowd(t *testing.T) {
	w := newWorld(t)
	const players, writers, each = 6, 8, 15
	for id := range int64(players) {
		w.ok(w.commit(w.ctx, w.player(id+1, fmt.Sprint(id), 1000)))
	}
	w.flusher(quickOptions())
	var wg sync.WaitGroup
	var done atomic.Int64
	stop := make(chan struct{})
	audited := make(chan error, 1)
	go func() {
		db := w.maria.Open(t, w.name)
		for {
			var sum, n int64
			if err := db.QueryRow("SELECT SUM(gold), COUNT(*) FROM player").Scan(&sum, &n); err != nil || sum != players*1000 || n != players {
				audited <- fmt.Errorf("%d players have %d gold: %v", n, sum, err)
				return
			}
			select {
			case <-stop:
				audited <- nil
				return
			case <-time.After(5 * time.Millisecond):
			}
		}
	}()
	procs := []*process{w.process, w.open(w.redis.Addr(), w.maria.DSN(w.name), Options{})}
	for n := range writers {
		wg.Go(func() {
			p := procs[n%2]
			for i := range each {
				from, to := int64(1+(n+i)%players), int64(1+(n+i*3+1)%players)
				if from == to {
					continue
				}
				for {
					give := add(w.Player.Ref(from), tabletest.PlayerGold, -1)
					give.Add = append(give.Add, table.AddTo{Column: tabletest.PlayerWins, Delta: 1})
					err := p.commit(w.ctx, give, add(w.Player.Ref(to), tabletest.PlayerGold, 1))
					if firefly.CodeOf(err) == firefly.Unavailable {
						continue // the rows were taken for too long
					}
					if err != nil {
						t.Error(err)
					}
					break
				}
				done.Add(1)
			}
		})
	}
	wg.Wait()
	close(stop)
	if err := <-audited; err != nil {
		t.Error(err)
	}
	w.clean()
	var gold, wins int64
	for id := range int64(players) {
		v := w.read(t, w.Player.Ref(id+1)).Values
		gold += v[tabletest.PlayerGold].Int()
		wins += int64(v[tabletest.PlayerWins].Uint())
		w.same(w.Player.Ref(id + 1))
	}
	if gold != players*1000 || wins != done.Load() {
		t.Errorf("%d gold, %d wins of %d", gold, wins, done.Load())
	}
}

// 22. Values of a unique index change hands in one commit, and a name that is taken is refused.
func TestCase22(t *testing.T) {
	w := newWorld(t)
	w.flusher(quickOptions())
	name := func(id int64, s string) table.Op { return set(w.Player.Ref(id), tabletest.PlayerName, table.TextOf(s)) }
	w.ok(w.commit(w.ctx, w.player(1, "Ann", 0)))
	w.ok(w.commit(w.ctx, w.player(2, "Bob", 0)))
	w.ok(w.commit(w.ctx, name(1, "Bob"), name(2, "Ann")))
	w.code(w.commit(w.ctx, w.player(3, "Bob", 0)), firefly.NotUnique)
	w.code(w.commit(w.ctx, name(1, "Ann")), firefly.NotUnique)
	w.ok(w.commit(w.ctx, gone(w.Player.Ref(1)), w.player(3, "Bob", 0)))
	// A person removes a row that waits to be stored: the next flush brings it back whole.
	w.ok(w.commit(w.ctx, add(w.Player.Ref(3), tabletest.PlayerGold, 3)))
	w.maria.Exec(t, w.name, "DELETE FROM player WHERE id = 3")
	w.ok(w.commit(w.ctx, add(w.Player.Ref(3), tabletest.PlayerGold, 4)))
	w.clean()
	w.same(w.Player.Ref(1), w.Player.Ref(2), w.Player.Ref(3))
	if v := w.stored(w.Player.Ref(3)).Values; v[tabletest.PlayerName].Text() != "Bob" || v[tabletest.PlayerGold].Int() != 7 {
		t.Errorf("the row is %v", v)
	}
}

// What lies beside a token is read as it was written.
func TestPayload(t *testing.T) {
	tables := tabletest.NewTables("")
	cache := newMemCache(worldShards)
	d := newDurable(cache, nil, tables.Specs(), durableOptions{})
	title := "x"
	values, _ := tables.Player.Values(&tabletest.Player{ID: 1, Name: "Ann", Gold: -5, Wins: 7, Rating: 1.5, Title: &title, Face: []byte{0, 255}}, nil)
	plain, _ := tables.Player.Values(&tabletest.Player{ID: 1}, nil)
	mail := tables.Mail.Ref(tabletest.MailKey{To: 9, ID: 3})
	images := []table.Image{
		{Row: table.Row{Ref: tables.Player.Ref(1), Version: 1 << 50, Values: values}, Before: plain},
		{Row: table.Row{Ref: mail, Version: 6}, Deleted: true},
		{Row: table.Row{Ref: tables.Account.Ref(4)}},
	}
	parts, err := d.parsePayload(appendPayload(nil, []part{{images: images[:2]}, {images: images[2:]}}))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, p := range parts {
		for _, im := range p.images {
			i := slices.IndexFunc(images, func(want table.Image) bool { return want.Ref == im.Ref })
			if i < 0 || fmt.Sprint(im) != fmt.Sprint(images[i]) || p.shard != im.Place.Shard(worldShards) {
				t.Errorf("%v at shard %d", im, p.shard)
			}
			n++
		}
	}
	if n != 3 {
		t.Errorf("%d images", n)
	}
	other := newDurable(cache, nil, nil, durableOptions{})
	if _, err := other.parsePayload(appendPayload(nil, []part{{images: images}})); err == nil || !strings.Contains(err.Error(), "player") {
		t.Errorf("a table that nobody knows: %v", err)
	}
}

// FuzzPayload reads what is damaged.
func FuzzPayload(f *testing.F) {
	tables := tabletest.NewTables("")
	d := newDurable(newMemCache(worldShards), nil, tables.Specs(), durableOptions{})
	values, _ := tables.Player.Values(&tabletest.Player{ID: 1, Name: "Ann", Rating: 2}, nil)
	f.Add(appendPayload(nil, []part{{images: []table.Image{{Row: table.Row{Ref: tables.Player.Ref(1), Version: 5, Values: values}, Before: values}}}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		parts, err := d.parsePayload(b)
		if err != nil {
			return
		}
		again, err := d.parsePayload(appendPayload(nil, parts))
		if err != nil || !bytes.Equal(appendPayload(nil, again), appendPayload(nil, parts)) {
			t.Errorf("read again it is something else: %v", err)
		}
	})
}
