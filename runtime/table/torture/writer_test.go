//go:build unix

package torture

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/table"
	"github.com/firefly-go/firefly/runtime/table/tabletest"
)

// Every writer has some hands that work at the same time, each on rows of its own, so that its log says what
// these have to be; and all hands share the banks and the accounts, of which the sums have to stay.
const (
	hands    = 4
	banks    = 6
	accounts = 6
	start    = 1_000_000 // what each bank and account has at first
	names    = 40        // unique names that all hands claim
)

// The keys of rows.
func ownerOf(writer, hand int) int64 { return int64(1000 + 100*writer + hand) }
func walletOf(owner int64) int64     { return 100_000 + owner }
func bankOf(n int) int64             { return int64(1 + n) }

// onceKey is the key of an operation of a hand.
func onceKey(n int) string { return "n" + strconv.Itoa(n) }

// What a hand does. Its player row counts its rows: gold how many items were made, guild how many were
// removed, each in one transaction with the item, all at one place.
//
//	put ID KIND        makes an item
//	drop ID            removes an item
//	kind ID KIND       changes the kind of an item, which moves it to another list
//	win N              sets the column wins of the player
//	mail TEXT          makes a mail with a number from the store, which the end tells
//	pay FROM TO        moves 1 between two banks: two places
//	book FROM TO       moves 1 between two accounts: a write-through table
//	bonus              adds 1 to the wallet, with the key of the operation: exactly once
//	claim NAME         makes a player with a unique name
//	release ID         removes it
type hand struct {
	s      *stores
	d      *diary
	strict bool
	hand   int
	owner  int64
	n      int
	rnd    *rand.Rand
	player table.Table[int64, *tabletest.Player]
	item   table.Table[tabletest.ItemKey, *tabletest.Item]
	mail   table.Table[tabletest.MailKey, *tabletest.Mail]

	items  map[int64]bool // own ones that are there, surely
	unsure map[int64]bool // of which nobody knows; they are left alone
	claims map[int64]bool
	bonus  int // an operation of which nobody knows the end; 0: none
}

func runWriter(r *role) error {
	past, _, err := readDiary(r.Log, 0)
	if err != nil {
		return err
	}
	d, err := openDiary(r.Log)
	if err != nil {
		return err
	}
	s, err := open(context.Background(), r.Redis, r.MySQL, r.KeepsAll, newDice(r.Seed))
	if err != nil {
		return err
	}
	var wg sync.WaitGroup
	for i := range hands {
		h := &hand{s: s, d: d, strict: r.Strict, hand: i, owner: ownerOf(r.N, i), rnd: rand.New(rand.NewPCG(r.Seed, uint64(i))),
			player: table.New(s.db, s.tables.Player), item: table.New(s.db, s.tables.Item), mail: table.New(s.db, s.tables.Mail),
			items: map[int64]bool{}, unsure: map[int64]bool{}, claims: map[int64]bool{}}
		h.remember(past)
		wg.Go(h.run)
	}
	wg.Wait()
	return nil
}

// remember brings the hand to where its log ends.
func (h *hand) remember(past []*op) {
	for _, o := range past {
		if o.hand != h.hand {
			continue
		}
		h.n = max(h.n, o.n)
		switch o.what[0] {
		case "put", "drop", "claim", "release":
			h.note(o)
		case "bonus":
			if o.verdict == begun || o.verdict == unknown {
				h.bonus = o.n
			} else if o.verdict == acked && h.bonus == o.n {
				h.bonus = 0
			}
		}
	}
}

// note changes what the hand knows of its rows as the end of an operation says.
func (h *hand) note(o *op) {
	id, _ := strconv.ParseInt(o.what[1], 10, 64)
	switch {
	case o.what[0] == "claim":
		return // the number is told by acked alone
	case o.what[0] == "release":
		delete(h.claims, id)
	case o.verdict == acked:
		h.items[id] = o.what[0] == "put"
		if !h.items[id] {
			delete(h.items, id)
		}
	case o.verdict != refused:
		delete(h.items, id)
		h.unsure[id] = true
	}
}

func (h *hand) run() {
	h.look()
	for {
		if h.bonus != 0 {
			h.again()
			continue
		}
		h.n++
		switch k := h.rnd.IntN(100); {
		case k < 25:
			h.put()
		case k < 40:
			h.drop()
		case k < 50:
			h.kind()
		case k < 65:
			h.win()
		case k < 73:
			h.send()
		case k < 83:
			h.pay()
		case k < 88:
			h.book()
		case k < 95:
			h.gift()
		default:
			h.claim()
		}
	}
}

// ctx bounds an operation.
func (h *hand) ctx() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), 4*time.Second)
}

// do runs an operation between the two lines of its log. ok are codes that may come and say that nothing
// was done; everything else that says so and is no trouble of the servers is a complaint.
func (h *hand) do(what string, f func(ctx context.Context) (string, error), ok ...firefly.Code) verdict {
	h.d.say(begun, h.hand, h.n, what)
	ctx, cancel := h.ctx()
	defer cancel()
	text, err := f(ctx)
	switch code := firefly.CodeOf(err); {
	case err == nil:
		h.d.say(acked, h.hand, h.n, text)
		return acked
	case code == firefly.Unknown || code == firefly.DeadlineExceeded || code == firefly.Canceled || errors.Is(err, context.DeadlineExceeded):
		h.d.say(unknown, h.hand, h.n, oneLine(err))
		// What is on its way may still arrive; afterwards it does not.
		time.Sleep(150 * time.Millisecond)
		return unknown
	case code == firefly.Unavailable || code == firefly.Overloaded || code == firefly.Conflict:
		h.d.say(refused, h.hand, h.n, oneLine(err))
		time.Sleep(time.Duration(1+h.rnd.IntN(20)) * time.Millisecond)
		return refused
	case slices.Contains(ok, code):
		h.d.say(refused, h.hand, h.n, oneLine(err))
		return refused
	default:
		// What Redis lost is not there to be changed, but for what the database had decided.
		if h.strict || code != firefly.NotFound || strings.HasPrefix(what, "release") {
			h.d.say(complain, h.hand, h.n, what+": "+oneLine(err))
		}
		h.d.say(refused, h.hand, h.n, oneLine(err))
		return refused
	}
}

func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }

// look compares the items that are there with those that have to be there, after the process was killed, and
// finds out about those of which nobody knows.
func (h *hand) look() {
	for {
		ctx, cancel := h.ctx()
		all, err := table.FindAll(ctx, &h.item, tabletest.ByOwner, table.IntOf(h.owner))
		cancel()
		if err != nil {
			time.Sleep(20 * time.Millisecond)
			continue
		}
		there := map[int64]bool{}
		for _, i := range all {
			there[i.ID] = true
		}
		for id := range h.items {
			if h.strict && !there[id] {
				h.d.say(complain, h.hand, h.n, fmt.Sprintf("item %d of %d was acknowledged and is not there", id, h.owner))
			}
		}
		if !h.strict { // what was lost is not there to be changed
			h.items = there
			for id := range h.unsure {
				delete(h.items, id)
			}
		}
		return
	}
}

func (h *hand) some(of map[int64]bool) (id int64, ok bool) {
	if len(of) == 0 {
		return 0, false
	}
	return slices.Sorted(maps.Keys(of))[h.rnd.IntN(len(of))], true
}

func (h *hand) put() {
	id := int64(h.n)
	kind := h.rnd.IntN(3)
	v := h.do(fmt.Sprintf("put %d %d", id, kind), func(ctx context.Context) (string, error) {
		return "", h.s.db.Tx(ctx, func(ctx context.Context, tx *table.Tx) error {
			p, i := table.WritesOf(tx, h.s.tables.Player), table.WritesOf(tx, h.s.tables.Item)
			table.AddIn(&p, h.owner, tabletest.PlayerGold, 1)
			return i.Insert(ctx, &tabletest.Item{OwnerID: h.owner, ID: id, Kind: int32(kind), Count: id})
		})
	})
	h.note(&op{what: []string{"put", strconv.FormatInt(id, 10)}, verdict: v})
}

func (h *hand) drop() {
	id, ok := h.some(h.items)
	if !ok || len(h.items) < 5 {
		return
	}
	v := h.do(fmt.Sprintf("drop %d", id), func(ctx context.Context) (string, error) {
		return "", h.s.db.Tx(ctx, func(ctx context.Context, tx *table.Tx) error {
			p, i := table.WritesOf(tx, h.s.tables.Player), table.WritesOf(tx, h.s.tables.Item)
			if _, err := i.Get(ctx, tabletest.ItemKey{OwnerID: h.owner, ID: id}); err != nil {
				return err
			}
			table.AddIn(&p, h.owner, tabletest.PlayerGuild, 1)
			i.Delete(tabletest.ItemKey{OwnerID: h.owner, ID: id})
			return nil
		})
	})
	h.note(&op{what: []string{"drop", strconv.FormatInt(id, 10)}, verdict: v})
	if v == refused && !h.strict {
		h.look()
	}
}

func (h *hand) kind() {
	id, ok := h.some(h.items)
	if !ok {
		return
	}
	kind := 3 + h.rnd.IntN(1000)
	h.do(fmt.Sprintf("kind %d %d", id, kind), func(ctx context.Context) (string, error) {
		_, err := h.item.Update(ctx, tabletest.ItemKey{OwnerID: h.owner, ID: id}, func(i *tabletest.Item) error {
			i.Kind = int32(kind)
			return nil
		})
		return "", err
	})
}

func (h *hand) win() {
	h.do(fmt.Sprintf("win %d", h.n), func(ctx context.Context) (string, error) {
		_, err := h.player.Update(ctx, h.owner, func(p *tabletest.Player) error {
			p.Wins = uint32(h.n)
			return nil
		})
		return "", err
	})
}

func (h *hand) send() {
	text := fmt.Sprintf("%d/%d", h.owner, h.n)
	h.do("mail "+text, func(ctx context.Context) (string, error) {
		m := &tabletest.Mail{To: h.owner, Text: text}
		err := h.mail.Insert(ctx, m)
		return strconv.FormatInt(m.ID, 10), err
	})
}

// two gives two different ones of n.
func (h *hand) two(n int) (from, to int) {
	from, to = h.rnd.IntN(n), h.rnd.IntN(n-1)
	if to >= from {
		to++
	}
	return from, to
}

// move moves 1 between two rows in one transaction.
func move[R any](h *hand, what string, from, to int, c *table.Codec[int64, R], column int) {
	h.do(fmt.Sprintf("%s %d %d", what, from, to), func(ctx context.Context) (string, error) {
		return "", h.s.db.Tx(ctx, func(ctx context.Context, tx *table.Tx) error {
			w := table.WritesOf(tx, c)
			table.AddIn(&w, bankOf(from), column, -1)
			table.AddIn(&w, bankOf(to), column, 1)
			return nil
		})
	})
}

func (h *hand) pay() {
	from, to := h.two(banks)
	move(h, "pay", from, to, h.s.tables.Player, tabletest.PlayerGold)
	// And something on the same row that is written back later.
	ctx, cancel := h.ctx()
	defer cancel()
	_, _ = table.Add(ctx, &h.player, bankOf(from), tabletest.PlayerWins, 1)
}

func (h *hand) book() {
	from, to := h.two(accounts)
	move(h, "book", from, to, h.s.tables.Account, tabletest.AccountBalance)
}

// gift is a bonus; one whose end nobody knows is repeated until it is known.
func (h *hand) gift() {
	if h.give(h.n) == unknown {
		h.bonus = h.n
	}
}

func (h *hand) again() {
	n := h.n
	h.n = h.bonus
	if h.give(h.bonus) == acked {
		h.bonus = 0
	}
	h.n = n
}

func (h *hand) give(n int) verdict {
	return h.do("bonus", func(ctx context.Context) (string, error) {
		err := h.s.db.Tx(ctx, func(ctx context.Context, tx *table.Tx) error {
			p := table.WritesOf(tx, h.s.tables.Player)
			tx.Once(onceKey(n))
			table.AddIn(&p, walletOf(h.owner), tabletest.PlayerGold, 1)
			return nil
		})
		if errors.Is(err, table.ErrOnce) {
			return "again", nil // it was done
		}
		return "", err
	})
}

// claim takes a unique name, or gives one back.
func (h *hand) claim() {
	if id, ok := h.some(h.claims); ok && len(h.claims) > 3 {
		h.do(fmt.Sprintf("release %d", id), func(ctx context.Context) (string, error) { return "", h.player.Delete(ctx, id) })
		delete(h.claims, id)
		return
	}
	p := &tabletest.Player{Name: fmt.Sprintf("name%d", h.rnd.IntN(names)), Rating: float64(h.owner)}
	v := h.do("claim "+p.Name, func(ctx context.Context) (string, error) {
		err := h.player.Insert(ctx, p)
		return strconv.FormatInt(p.ID, 10), err
	}, firefly.NotUnique)
	if v == acked {
		h.claims[p.ID] = true
	}
}
