package tabletest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/table"
)

// Options say how long Run tries.
type Options struct {
	Steps int // of the model test; 2000 when 0
	Seed  uint64
}

// Run runs everything that a store must do against what open gives. open is called once per subtest, with
// tables that nobody used before, and sees to it that the store ends with the test.
func Run(t *testing.T, o Options, open func(t *testing.T, specs []*table.Spec) table.Store) {
	var n int
	run := func(name string, f func(*testing.T, *rig)) {
		n++
		prefix := fmt.Sprintf("t%d_", n)
		t.Run(name, func(t *testing.T) {
			tables := NewTables(prefix)
			store := open(t, tables.Specs())
			ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
			defer cancel()
			db := table.NewDB(store, table.DBOptions{IDs: 100})
			defer db.Close()
			f(t, &rig{T: t, Tables: tables, ctx: ctx, store: store, db: db,
				player: table.New(db, tables.Player), item: table.New(db, tables.Item), mail: table.New(db, tables.Mail),
				setting: table.New(db, tables.Setting), account: table.New(db, tables.Account)})
		})
	}
	run("rows", rows)
	run("counters", counters)
	run("invalid", invalid)
	run("lists", lists)
	run("unique", unique)
	run("strings", settings)
	run("place", places)
	run("transactions", transactions)
	run("once", once)
	run("conflicts", conflicts)
	run("ids", ids)
	run("refused whole", whole)
	if o.Steps == 0 {
		o.Steps = 2000
	}
	if o.Seed == 0 {
		o.Seed = rand.Uint64()
	}
	run("model", func(t *testing.T, r *rig) { model(r, o) })
}

// rig is one store with the tables over it.
type rig struct {
	*testing.T
	*Tables
	ctx     context.Context
	store   table.Store
	db      *table.DB
	player  table.Table[int64, *Player]
	item    table.Table[ItemKey, *Item]
	mail    table.Table[MailKey, *Mail]
	setting table.Table[SettingKey, *Setting]
	account table.Table[int64, *Account]
}

func (r *rig) ok(err error) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
}

func (r *rig) code(err error, want firefly.Code) {
	r.Helper()
	if firefly.CodeOf(err) != want {
		r.Fatalf("%v, want %s", err, want)
	}
}

func (r *rig) gold(id int64) int64 {
	r.Helper()
	p, err := r.player.Get(r.ctx, id)
	r.ok(err)
	return p.Gold
}

func rows(t *testing.T, r *rig) {
	title := "Sir"
	p := &Player{Name: "Ann", Gold: 5, Wins: 1 << 31, Rating: 0.1, Title: &title, Face: []byte{0, 255, 10}}
	r.ok(r.player.Insert(r.ctx, p))
	if p.ID == 0 {
		t.Fatal("no id was given")
	}
	got, err := r.player.Get(r.ctx, p.ID)
	r.ok(err)
	if got.Name != "Ann" || got.Gold != 5 || got.Wins != 1<<31 || got.Rating != 0.1 || *got.Title != "Sir" || string(got.Face) != "\x00\xff\n" {
		t.Errorf("read %+v", got)
	}
	r.code(r.player.Insert(r.ctx, p), firefly.AlreadyExists)
	_, err = r.player.Get(r.ctx, p.ID+1)
	r.code(err, firefly.NotFound)
	now, err := r.player.Update(r.ctx, p.ID, func(p *Player) error { p.Title, p.Rating, p.Face = nil, -2.5e300, nil; return nil })
	r.ok(err)
	got, err = r.player.Get(r.ctx, p.ID)
	r.ok(err)
	if got.Title != nil || got.Rating != -2.5e300 || got.Face != nil || got.Gold != 5 || now.Title != nil {
		t.Errorf("after the update %+v", got)
	}
	stop := errors.New("stop")
	if _, err = r.player.Update(r.ctx, p.ID, func(*Player) error { return stop }); err != stop {
		t.Errorf("the error of the change came as %v", err)
	}
	_, err = r.player.Update(r.ctx, p.ID+1, func(*Player) error { t.Error("changes a row that is not there"); return nil })
	r.code(err, firefly.NotFound)
	many, err := r.player.GetMany(r.ctx, p.ID+1, p.ID, p.ID)
	r.ok(err)
	if len(many) != 3 || many[0] != nil || many[1].Name != "Ann" || many[2].Name != "Ann" {
		t.Errorf("GetMany gave %v", many)
	}
	r.ok(r.player.Delete(r.ctx, p.ID))
	_, err = r.player.Get(r.ctx, p.ID)
	r.code(err, firefly.NotFound)
	r.code(r.player.Delete(r.ctx, p.ID), firefly.NotFound)
	// The same key again is a new row, and under a higher version.
	ref := r.Player.Ref(p.ID)
	var last uint64
	for i := range 5 {
		r.ok(r.player.Insert(r.ctx, &Player{ID: p.ID, Name: fmt.Sprint("again ", i)}))
		out := make([]table.Row, 1)
		r.ok(r.store.Read(r.ctx, []table.Ref{ref}, out))
		if out[0].Version <= last || out[0].Values[PlayerGold].Int() != 0 {
			t.Errorf("version %d after %d: %v", out[0].Version, last, out[0].Values)
		}
		last = out[0].Version
		r.ok(r.player.Delete(r.ctx, p.ID))
	}
}

func counters(t *testing.T, r *rig) {
	p := &Player{Name: "Ann", Gold: 5}
	r.ok(r.player.Insert(r.ctx, p))
	add := func(column int, d int64) (int64, error) { return table.Add(r.ctx, &r.player, p.ID, column, d) }
	if n, err := add(PlayerGold, 7); err != nil || n != 12 {
		t.Fatal(n, err)
	}
	if n, err := add(PlayerGold, -12); err != nil || n != 0 {
		t.Fatal(n, err)
	}
	for _, d := range []int64{-1, math.MinInt64, math.MaxInt64, 1_000_000_000_001} {
		_, err := add(PlayerGold, d)
		r.code(err, firefly.OutOfRange)
	}
	if n, err := add(PlayerWins, math.MaxUint32); err != nil || n != math.MaxUint32 {
		t.Fatal(n, err)
	}
	_, err := add(PlayerWins, 1)
	r.code(err, firefly.OutOfRange)
	if n, err := add(PlayerGuild, math.MaxInt64); err != nil || n != math.MaxInt64 {
		t.Fatal(n, err)
	}
	_, err = add(PlayerGuild, 1)
	r.code(err, firefly.OutOfRange)
	r.code(r.db.Tx(r.ctx, func(_ context.Context, tx *table.Tx) error { // their sum is none of 64 bits
		w := table.WritesOf(tx, r.Player)
		table.AddIn(&w, p.ID, PlayerGuild, math.MaxInt64)
		table.AddIn(&w, p.ID, PlayerGuild, 1)
		return nil
	}), firefly.OutOfRange)
	_, err = table.Add(r.ctx, &r.player, p.ID+1, PlayerGold, 1)
	r.code(err, firefly.NotFound)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 25 {
				if _, err := add(PlayerGold, 1); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if g := r.gold(p.ID); g != 200 {
		t.Errorf("gold is %d after 200 additions of 1", g)
	}
}

func invalid(t *testing.T, r *rig) {
	for what, p := range map[string]*Player{
		"gold":   {Name: "a", Gold: -1},
		"rating": {Name: "a", Rating: math.NaN()},
		"name":   {Name: "a\xff"},
		"title":  {Name: "b", Title: new(string)},
		"face":   {Name: "c", Face: make([]byte, 1001)},
	} {
		if what == "title" {
			*p.Title = string(make([]byte, 65))
		}
		err := r.player.Insert(r.ctx, p)
		r.code(err, firefly.InvalidArgument)
		if !containsAll(err.Error(), r.Player.Spec.Name, what) {
			t.Errorf("the error does not name table and field %s: %v", what, err)
		}
	}
	_, err := r.player.Get(r.ctx, 0)
	r.code(err, firefly.InvalidArgument)
	p := &Player{Name: "ok"}
	r.ok(r.player.Insert(r.ctx, p))
	_, err = r.player.Update(r.ctx, p.ID, func(p *Player) error { p.ID++; return nil })
	r.code(err, firefly.InvalidArgument)
	r.code(r.setting.Insert(r.ctx, &Setting{Realm: "a", Name: "b "}), firefly.InvalidArgument)
	r.code(r.player.Insert(r.ctx, &Player{Name: "Ann "}), firefly.InvalidArgument)
}

func containsAll(s string, parts ...string) bool {
	return !slices.ContainsFunc(parts, func(p string) bool { return !strings.Contains(s, p) })
}

func lists(t *testing.T, r *rig) {
	var keys []ItemKey
	for i := range 25 {
		it := &Item{OwnerID: 7, Kind: int32(i % 3), Count: int64(i)}
		r.ok(r.item.Insert(r.ctx, it))
		keys = append(keys, ItemKey{7, it.ID})
	}
	r.ok(r.item.Insert(r.ctx, &Item{OwnerID: 8}))
	find := func(index int, by ...table.Value) []*Item {
		t.Helper()
		got, err := table.FindAll(r.ctx, &r.item, index, by...)
		r.ok(err)
		return got
	}
	if got := find(ByOwner, table.IntOf(7)); len(got) != 25 || got[0].ID != keys[0].ID || got[24].ID != keys[24].ID {
		t.Fatalf("%d rows, in another order: %v", len(got), got)
	}
	if got := find(ByOwner, table.IntOf(9)); len(got) != 0 {
		t.Fatal(got)
	}
	if got := find(ByKind, table.IntOf(7), table.IntOf(1)); len(got) != 8 {
		t.Fatalf("%d of kind 1", len(got))
	}
	_, err := r.item.Update(r.ctx, keys[0], func(i *Item) error { i.Kind = 1; return nil })
	r.ok(err)
	r.ok(r.item.Delete(r.ctx, keys[1]))
	if got := find(ByKind, table.IntOf(7), table.IntOf(1)); len(got) != 8 || got[0].ID != keys[0].ID {
		t.Fatalf("after a move into the list and a removal: %v", got)
	}
	var after *ItemKey
	var all []int64
	for {
		page, err := table.FindPage(r.ctx, &r.item, ByOwner, after, 10, table.IntOf(7))
		r.ok(err)
		for _, i := range page {
			all = append(all, i.ID)
		}
		if len(page) < 10 {
			break
		}
		after = &ItemKey{7, page[9].ID}
	}
	if len(all) != 24 || !slices.IsSorted(all) {
		t.Errorf("pages gave %v", all)
	}
	// An index of the database sees what this process wrote, at once.
	for i := range 4 {
		r.ok(r.player.Insert(r.ctx, &Player{Name: fmt.Sprint("p", i), Guild: int64(i % 2)}))
	}
	ps, err := table.FindAll(r.ctx, &r.player, ByGuild, table.IntOf(1))
	r.ok(err)
	if len(ps) != 2 {
		t.Fatalf("%d players in guild 1", len(ps))
	}
	_, err = r.player.Update(r.ctx, ps[0].ID, func(p *Player) error { p.Guild = 5; return nil })
	r.ok(err)
	for guild, want := range map[int64]int{0: 2, 1: 1, 5: 1, 6: 0} {
		if ps, err := table.FindAll(r.ctx, &r.player, ByGuild, table.IntOf(guild)); err != nil || len(ps) != want {
			t.Errorf("%d players in guild %d, want %d: %v", len(ps), guild, want, err)
		}
	}
}

func unique(t *testing.T, r *rig) {
	ann, bob := &Player{Name: "Ann"}, &Player{Name: "Bob"}
	r.ok(r.player.Insert(r.ctx, ann))
	r.ok(r.player.Insert(r.ctx, bob))
	r.code(r.player.Insert(r.ctx, &Player{Name: "Ann"}), firefly.NotUnique)
	r.ok(r.player.Insert(r.ctx, &Player{Name: "ann"}))
	_, err := r.player.Update(r.ctx, bob.ID, func(p *Player) error { p.Name = "Ann"; return nil })
	r.code(err, firefly.NotUnique)
	one, err := table.FindOne(r.ctx, &r.player, ByName, table.TextOf("Bob"))
	r.ok(err)
	if one.ID != bob.ID {
		t.Errorf("Bob is %d, not %d", one.ID, bob.ID)
	}
	_, err = table.FindOne(r.ctx, &r.player, ByName, table.TextOf("Carl"))
	r.code(err, firefly.NotFound)
	// Two rows swap their values in one commit, and one takes what another gives up in it.
	name := func(w *table.Writes[int64, *Player], id int64, s string) error {
		_, err := w.Update(r.ctx, id, func(p *Player) error { p.Name = s; return nil })
		return err
	}
	r.ok(r.db.Tx(r.ctx, func(ctx context.Context, tx *table.Tx) error {
		w := table.WritesOf(tx, r.Player)
		return errors.Join(name(&w, ann.ID, "Bob"), name(&w, bob.ID, "Ann"))
	}))
	carl := &Player{Name: "Bob"}
	r.ok(r.db.Tx(r.ctx, func(ctx context.Context, tx *table.Tx) error {
		w := table.WritesOf(tx, r.Player)
		w.Delete(ann.ID)
		return w.Insert(ctx, carl)
	}))
	for s, id := range map[string]int64{"Ann": bob.ID, "Bob": carl.ID} {
		if p, err := table.FindOne(r.ctx, &r.player, ByName, table.TextOf(s)); err != nil || p.ID != id {
			t.Errorf("%s is %v, want %d: %v", s, p, id, err)
		}
	}
}

func settings(t *testing.T, r *rig) {
	all := []SettingKey{{"a", "x"}, {"a", "X"}, {"a:b", "c"}, {"a", "b:c"}, {"a%3Ab", "c"}, {"日本", "名前"}, {"", ""}, {"a", ""}}
	for i, k := range all {
		r.ok(r.setting.Insert(r.ctx, &Setting{k.Realm, k.Name, fmt.Sprint(i)}))
	}
	for i, k := range all {
		s, err := r.setting.Get(r.ctx, k)
		r.ok(err)
		if s.Value != fmt.Sprint(i) || s.Realm != k.Realm || s.Name != k.Name {
			t.Errorf("%q is %+v", k, s)
		}
	}
	got, err := table.FindAll(r.ctx, &r.setting, 0, table.TextOf("a"))
	r.ok(err)
	if len(got) != 4 || got[0].Name != "" || got[1].Name != "X" || got[2].Name != "b:c" || got[3].Name != "x" {
		t.Errorf("realm a has %v", got)
	}
}

func ids(t *testing.T, r *rig) {
	r.ok(r.player.Insert(r.ctx, &Player{ID: 5000, Name: "old"}))
	var mu sync.Mutex
	seen := map[int64]bool{}
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for j := range 5 {
				n := 1 + (i+j)%3
				first, err := r.store.Reserve(r.ctx, r.Item.Spec, n)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				for k := range int64(n) {
					if first+k <= 0 || seen[first+k] {
						t.Errorf("%d was given twice, or is none", first+k)
					}
					seen[first+k] = true
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	given := map[int64]bool{}
	for i := range 250 { // over several blocks of the DB
		it := &Item{OwnerID: int64(i % 3)}
		r.ok(r.item.Insert(r.ctx, it))
		if given[it.ID] || seen[it.ID] {
			t.Fatalf("id %d was given twice", it.ID)
		}
		given[it.ID] = true
	}
}

// whole: one op that cannot be done, at any place among the others, and nothing is.
func whole(t *testing.T, r *rig) {
	p := &Player{Name: "Ann", Gold: 10}
	r.ok(r.player.Insert(r.ctx, p))
	it := &Item{OwnerID: p.ID, Count: 1}
	r.ok(r.item.Insert(r.ctx, it))
	ok := []table.Op{
		{Kind: table.Update, Ref: r.Player.Ref(p.ID), Add: []table.AddTo{{Column: PlayerGold, Delta: 1}}},
		{Kind: table.Update, Ref: r.Item.Ref(ItemKey{p.ID, it.ID}), Set: []table.Assign{{Column: ItemCount, Value: table.IntOf(2)}}},
	}
	missing := r.Item.Ref(ItemKey{p.ID, it.ID + 1000})
	for code, bad := range map[firefly.Code]table.Op{
		firefly.NotFound:      {Kind: table.Update, Ref: missing, Set: ok[1].Set},
		firefly.Conflict:      {Kind: table.Check, Ref: r.Item.Ref(ItemKey{p.ID, it.ID}), If: 1},
		firefly.AlreadyExists: {Kind: table.CheckAbsent, Ref: r.Item.Ref(ItemKey{p.ID, it.ID})},
	} {
		for at := range 2 {
			ops := slices.Clone(ok[:1])
			ops = slices.Insert(ops, at, bad)
			r.code(r.store.Commit(r.ctx, &table.Commit{Ops: ops}), code)
		}
	}
	if g := r.gold(p.ID); g != 10 {
		t.Errorf("gold is %d after commits that were refused", g)
	}
	r.ok(r.store.Commit(r.ctx, &table.Commit{Ops: append(slices.Clone(ok), table.Op{Kind: table.CheckAbsent, Ref: missing})}))
	if g := r.gold(p.ID); g != 11 {
		t.Errorf("gold is %d", g)
	}
}
