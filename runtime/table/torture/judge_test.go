//go:build unix

package torture

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/firefly-go/firefly/runtime/table"
	"github.com/firefly-go/firefly/runtime/table/tabletest"
	"github.com/firefly-go/firefly/runtime/table/writeback"
)

// drain stores what is left.
func (r *run) drain() {
	s := r.direct()
	defer s.close()
	f := writeback.NewFlusher(s.cache, s.mysql, writeback.FlusherOptions{Lease: lease, Specs: s.tables.Specs(), Log: quiet()})
	f.Start()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	for {
		err := f.Drain(ctx)
		var all table.DirtyCount
		for i := 0; i < shards && err == nil; i++ {
			var c table.DirtyCount
			c, err = s.cache.Count(ctx, i)
			all.Plain, all.Tx, all.Poisoned = all.Plain+c.Plain, all.Tx+c.Tx, all.Poisoned+c.Poisoned
		}
		if err == nil && all.Plain+all.Tx == 0 {
			if all.Poisoned > 0 {
				r.Errorf("%d rows are in quarantine", all.Poisoned)
			}
			break
		}
		if ctx.Err() != nil {
			r.Fatalf("not all is stored: %+v: %v", all, err)
		}
		time.Sleep(50 * time.Millisecond)
	}
	if err := f.Close(ctx); err != nil {
		r.Error(err)
	}
	if st := f.Stats(); st.Torn+st.Quarantined > 0 {
		r.Errorf("%+v", st)
	}
}

// final is the database at the end.
type final struct {
	players  map[int64]*tabletest.Player
	items    map[[2]int64]int32 // kind
	mails    map[string]int64   // id by text
	accounts map[int64]int64
	keys     map[string]map[string]bool // of Once, by place
}

func (r *run) read() *final {
	f := &final{players: map[int64]*tabletest.Player{}, items: map[[2]int64]int32{}, mails: map[string]int64{}, accounts: map[int64]int64{}, keys: map[string]map[string]bool{}}
	conn, err := r.db.Conn(r.Context())
	if err != nil {
		r.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	query := func(text string, scan func(*sql.Rows) error) {
		if err := each(r.Context(), conn, text, scan); err != nil {
			r.Fatal(err)
		}
	}
	query("SELECT id, name, gold, wins, rating, guild FROM player", func(rows *sql.Rows) error {
		p := &tabletest.Player{}
		err := rows.Scan(&p.ID, &p.Name, &p.Gold, &p.Wins, &p.Rating, &p.Guild)
		f.players[p.ID] = p
		return err
	})
	query(sqlItems, func(rows *sql.Rows) error {
		var owner, id int64
		var kind int32
		err := rows.Scan(&owner, &id, &kind)
		f.items[[2]int64{owner, id}] = kind
		return err
	})
	query(sqlMails, func(rows *sql.Rows) error {
		var id, to int64
		var text string
		err := rows.Scan(&id, &to, &text)
		if f.mails[text] != 0 {
			r.doubled("mail %q has the ids %d and %d", text, f.mails[text], id)
		}
		f.mails[text] = id
		return err
	})
	query("SELECT id, balance FROM account", func(rows *sql.Rows) error {
		var id, n int64
		err := rows.Scan(&id, &n)
		f.accounts[id] = n
		return err
	})
	query("SELECT place, once FROM ff_once", func(rows *sql.Rows) error {
		var place, key string
		err := rows.Scan(&place, &key)
		if f.keys[place] == nil {
			f.keys[place] = map[string]bool{}
		}
		f.keys[place][key] = true
		return err
	})
	return f
}

// judge compares the database with the logs.
func (r *run) judge() {
	if err := r.auditOnce(r.Context()); err != nil {
		r.Fatal(err)
	}
	f := r.read()
	t := &tally{run: r, final: f, banks: map[int64]*bounds{}, accounts: map[int64]*bounds{}, ids: map[string]bool{}, claims: map[string]int{}}
	for i := range banks {
		t.banks[bankOf(i)] = &bounds{low: start, high: start}
	}
	for i := range accounts {
		t.accounts[bankOf(i)] = &bounds{low: start, high: start}
	}
	for w := range writers {
		ops, complaints, err := readDiary(r.procs[w].role.Log, 0)
		if err != nil {
			r.Fatal(err)
		}
		for i, c := range complaints {
			if i < 10 {
				r.Errorf("writer %d: %s", w, c)
			}
		}
		for h := range hands {
			var mine []*op
			for _, o := range ops {
				if o.hand == h {
					mine = append(mine, o)
				}
			}
			t.hand(ownerOf(w, h), mine)
		}
	}
	t.shared()
	r.cached()
	r.report(t)
}

// bounds are what a number may be.
type bounds struct{ low, high int64 }

func (b *bounds) add(delta int64, o *op, maybe bool) {
	switch {
	case o.verdict == refused:
	case o.verdict == acked && !maybe:
		b.low, b.high = b.low+delta, b.high+delta
	case delta < 0:
		b.low += delta
	default:
		b.high += delta
	}
}

// tally is what the logs add up to.
type tally struct {
	*run
	*final
	banks, accounts map[int64]*bounds
	ids             map[string]bool // of mails and claims that were told
	claims          map[string]int  // claims of which nobody knows, by name and owner

	acked, refusedN, unknownN, rolledBack int
}

// undone reports whether Redis may have forgotten what it acknowledged.
func (t *tally) undone(o *op) bool {
	if o.verdict != acked {
		return false
	}
	for _, l := range t.losses {
		if o.at >= l.from && o.at <= l.to {
			return true
		}
	}
	return false
}

// hand judges what one hand wrote.
func (t *tally) hand(owner int64, ops []*op) {
	items := map[int64]map[string]bool{} // what may be of each: "" or its kind
	dropped := map[int64]bool{}
	wins := map[string]bool{"0": true}
	gold, guild, wallet := &bounds{}, &bounds{}, &bounds{}
	claims := map[string]*op{}
	bonuses := map[int]*op{}
	for _, o := range ops {
		switch o.verdict {
		case acked:
			t.acked++
		case refused:
			t.refusedN++
		default:
			t.unknownN++
		}
		maybe := t.undone(o)
		arg := func(i int) int64 { n, _ := strconv.ParseInt(o.what[i], 10, 64); return n }
		switch o.what[0] {
		case "put":
			items[arg(1)] = become(map[string]bool{"": true}, o.what[2], o, maybe)
			gold.add(1, o, maybe)
			if _, there := t.final.items[[2]int64{owner, arg(1)}]; maybe && !there {
				t.rolledBack++
			}
		case "drop":
			items[arg(1)] = become(items[arg(1)], "", o, maybe)
			guild.add(1, o, maybe)
			dropped[arg(1)] = true
		case "kind":
			items[arg(1)] = become(items[arg(1)], o.what[2], o, maybe)
		case "win":
			wins = become(wins, o.what[1], o, maybe)
		case "mail":
			id, there := t.mails[o.what[1]]
			switch {
			case o.verdict == acked && t.ids["mail "+o.told]:
				t.doubled("two mails got the id %s", o.told)
			case o.verdict == acked && !there && !maybe:
				t.lost("mail %s of %s", o.told, o.what[1])
			case o.verdict == acked && !there:
				t.rolledBack++
			case o.verdict == acked && strconv.FormatInt(id, 10) != o.told:
				t.lost("mail %s of %s has the id %d", o.told, o.what[1], id)
			case o.verdict == refused && there:
				t.doubled("mail %s was refused", o.what[1])
			}
			if o.verdict == acked {
				t.ids["mail "+o.told] = true
			}
			delete(t.mails, o.what[1])
		case "pay":
			t.banks[bankOf(int(arg(1)))].add(-1, o, false)
			t.banks[bankOf(int(arg(2)))].add(1, o, false)
		case "book":
			t.accounts[bankOf(int(arg(1)))].add(-1, o, false)
			t.accounts[bankOf(int(arg(2)))].add(1, o, false)
		case "bonus":
			// It is repeated until it is known to be done.
			if old := bonuses[o.n]; old == nil || o.verdict == acked || old.verdict == refused {
				bonuses[o.n] = o
			}
		case "claim":
			if o.verdict == acked {
				if t.ids["player "+o.told] {
					t.doubled("two players got the id %s", o.told)
				}
				t.ids["player "+o.told] = true
				claims[o.told] = o
			} else if o.verdict != refused {
				t.claims[fmt.Sprint(o.what[1], " ", owner)]++
			}
		case "release":
			c := claims[o.what[1]]
			switch {
			case c == nil || o.verdict == refused:
			case o.verdict == acked:
				c.verdict = refused // it may not be there
			default:
				c.verdict = unknown
			}
		}
	}
	t.items(owner, items, dropped)
	p := t.players[owner]
	if !wins[fmt.Sprint(p.Wins)] {
		t.lost("player %d has the wins of operation %d, which are not the last", owner, p.Wins)
	}
	t.within(fmt.Sprintf("gold of player %d", owner), p.Gold, gold)
	t.within(fmt.Sprintf("guild of player %d", owner), p.Guild, guild)
	t.bonuses(owner, bonuses, wallet)
	for id, c := range claims {
		n, _ := strconv.ParseInt(id, 10, 64)
		p := t.players[n]
		switch {
		case c.verdict == acked && (p == nil || p.Name != c.what[1]):
			t.lost("player %s with the name %s", id, c.what[1])
		case c.verdict == refused && p != nil:
			t.doubled("player %s with the name %s was removed", id, c.what[1])
		}
		delete(t.players, n)
	}
}

// become is what may be after an operation.
func become(was map[string]bool, now string, o *op, maybe bool) map[string]bool {
	switch {
	case o.verdict == refused:
		return was
	case o.verdict == acked && !maybe:
		return map[string]bool{now: true}
	}
	both := map[string]bool{now: true}
	for s := range was {
		both[s] = true
	}
	return both
}

func (t *tally) items(owner int64, may map[int64]map[string]bool, dropped map[int64]bool) {
	for id, states := range may {
		kind, there := t.final.items[[2]int64{owner, id}]
		have := ""
		if there {
			have = fmt.Sprint(kind)
		}
		switch {
		case states[have]:
		case there && len(states) == 1 && states[""]:
			t.doubled("item %d of %d is there and was removed", id, owner)
		default:
			t.lost("item %d of %d is %q and can only be one of %v", id, owner, have, states)
		}
		if !there && !dropped[id] && t.stored[[2]int64{owner, id}] {
			t.lost("item %d of %d was in the database", id, owner)
		}
		delete(t.final.items, [2]int64{owner, id})
	}
}

func (t *tally) bonuses(owner int64, last map[int]*op, wallet *bounds) {
	keys := t.keys[placeOf(walletOf(owner))]
	for n, o := range last {
		maybe := t.undone(o)
		wallet.add(1, o, maybe)
		switch used := keys[onceKey(n)]; {
		case o.verdict == acked && !used && !maybe:
			t.lost("bonus %d of %d", n, owner)
		case o.verdict == acked && !used:
			t.rolledBack++
		case o.verdict == refused && used:
			t.doubled("bonus %d of %d was refused", n, owner)
		}
	}
	t.within(fmt.Sprintf("wallet of %d", owner), t.players[walletOf(owner)].Gold, wallet)
}

func (t *tally) within(what string, n int64, b *bounds) {
	switch {
	case n < b.low:
		t.lost("%s is %d, at least %d was acknowledged", what, n, b.low)
	case n > b.high:
		t.doubled("%s is %d, at most %d was asked for", what, n, b.high)
	}
}

// shared judges what all hands wrote, and what nobody did.
func (t *tally) shared() {
	for id, b := range t.banks {
		t.within(fmt.Sprint("bank ", id), t.players[id].Gold, b)
	}
	for id, b := range t.accounts {
		t.within(fmt.Sprint("account ", id), t.final.accounts[id], b)
	}
	for key := range t.final.items {
		t.doubled("item %d of %d was never made", key[1], key[0])
	}
	for text := range t.mails {
		t.doubled("mail %q was never made", text)
	}
	for id, p := range t.players {
		if strings.HasPrefix(p.Name, "own") {
			continue
		}
		key := fmt.Sprint(p.Name, " ", int64(p.Rating))
		if t.claims[key]--; t.claims[key] < 0 {
			t.doubled("player %d with the name %s was never made", id, p.Name)
		}
	}
}

// cached compares what processes see with the database.
func (r *run) cached() {
	s := r.direct()
	defer s.close()
	ctx := r.Context()
	item, player := table.New(s.db, s.tables.Item), table.New(s.db, s.tables.Player)
	again := r.read()
	byOwner := map[int64]int{}
	byKind := map[int64]map[int32]int{}
	for key, kind := range again.items {
		byOwner[key[0]]++
		if byKind[key[0]] == nil {
			byKind[key[0]] = map[int32]int{}
		}
		byKind[key[0]][kind]++
	}
	// What a killed process had committed in the database and not shown yet is shown when somebody reads it.
	same := func(what string, f func() string) {
		why := f()
		for end := time.Now().Add(20 * time.Second); why != "" && time.Now().Before(end); why = f() {
			time.Sleep(20 * time.Millisecond)
		}
		if why != "" {
			r.lost("%s: %s", what, why)
		}
	}
	for id, p := range again.players {
		same(fmt.Sprint("player ", id), func() string {
			got, err := player.Get(ctx, id)
			if err != nil || got.Gold != p.Gold || got.Wins != p.Wins || got.Guild != p.Guild || got.Name != p.Name {
				return fmt.Sprintf("processes see %+v, and in the database is %+v: %v", got, p, err)
			}
			all, err := table.FindAll(ctx, &item, tabletest.ByOwner, table.IntOf(id))
			if err != nil || len(all) != byOwner[id] {
				return fmt.Sprintf("processes see %d items, and in the database are %d: %v", len(all), byOwner[id], err)
			}
			for _, i := range all {
				if kind, ok := again.items[[2]int64{id, i.ID}]; !ok || kind != i.Kind {
					return fmt.Sprintf("processes see the item %+v, and in the database its kind is %d", i, kind)
				}
			}
			for kind, n := range byKind[id] {
				some, err := table.FindAll(ctx, &item, tabletest.ByKind, table.IntOf(id), table.IntOf(int64(kind)))
				if err != nil || len(some) != n {
					return fmt.Sprintf("processes see %d items of kind %d, and in the database are %d: %v", len(some), kind, n, err)
				}
			}
			return ""
		})
	}
}

func (r *run) report(t *tally) {
	var b strings.Builder
	fmt.Fprintf(&b, "torture, Redis %s, seed %d\n", r.mode.name, r.seed)
	for _, p := range r.procs {
		fmt.Fprintf(&b, "  %-40s %5d kills, %d of them with work in hand\n", p.name, p.killed, p.inHand)
	}
	for f := range numFaults {
		if !r.without(f) {
			fmt.Fprintf(&b, "  %-40s %5d times\n", faultNames[f], r.faults[f].Load())
		}
	}
	fmt.Fprintf(&b, "  %-40s %5d acknowledged, %d refused, %d of unknown outcome\n", "operations", t.acked, t.refusedN, t.unknownN)
	if r.cut {
		fmt.Fprintf(&b, "  %-40s %5d within what everysec may lose\n", "acknowledged and forgotten by Redis", t.rolledBack)
	}
	fmt.Fprintf(&b, "  %-40s %5d\n", "audits of the database", r.audits.Load())
	fmt.Fprintf(&b, "  %s", r)
	r.Log(b.String())
	if t.acked < 100 || t.unknownN == 0 || r.audits.Load() == 0 {
		r.Error("the torture did next to nothing")
	}
}
