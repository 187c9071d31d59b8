package tabletest

import (
	"math"

	"github.com/firefly-go/firefly/runtime/table"
)

// Player is a row with an auto id, a unique name, counters and everything that a column can be.
type Player struct {
	ID     int64
	Name   string
	Gold   int64 // at least 0
	Wins   uint32
	Rating float64
	Title  *string
	Face   []byte
	Guild  int64
}

// Item is a row that lies with its owner.
type Item struct {
	OwnerID, ID int64
	Kind        int32
	Count       int64
}

// ItemKey is the key of an Item.
type ItemKey struct{ OwnerID, ID int64 }

// Mail is a row that is placed by a column outside of its key.
type Mail struct {
	ID, To int64
	Text   string
}

// MailKey is the place and the key of a Mail.
type MailKey struct{ To, ID int64 }

// Setting is a row with a key of strings.
type Setting struct {
	Realm, Name, Value string
}

// SettingKey is the key of a Setting.
type SettingKey struct{ Realm, Name string }

// Account is a row of a write-through table.
type Account struct {
	ID      int64
	Balance int64
}

func column(number int32, name string, kind table.Kind) table.Column {
	c := table.Column{Number: number, Field: name, Name: name, Kind: kind, Min: math.MinInt64, Max: math.MaxInt64}
	if kind == table.Uint {
		c.Min = 0
	}
	if kind == table.Text {
		c.MaxLen = 64
	}
	return c
}

func with(c table.Column, change func(*table.Column)) table.Column {
	change(&c)
	return c
}

func counter(low, high int64) func(*table.Column) {
	return func(c *table.Column) { c.Counter, c.Min, c.Max = true, low, high }
}

// Tables are the tables of the suite. Every call makes its own, with names that begin with prefix.
type Tables struct {
	Player  *table.Codec[int64, *Player]
	Item    *table.Codec[ItemKey, *Item]
	Mail    *table.Codec[MailKey, *Mail]
	Setting *table.Codec[SettingKey, *Setting]
	Account *table.Codec[int64, *Account]
}

// Specs are those of all tables.
func (t *Tables) Specs() []*table.Spec {
	return []*table.Spec{t.Player.Spec, t.Item.Spec, t.Mail.Spec, t.Setting.Spec, t.Account.Spec}
}

// The columns and indexes that the suite names.
const (
	PlayerName, PlayerGold, PlayerWins, PlayerGuild = 1, 2, 3, 7
	ItemKind, ItemCount                             = 2, 3
	AccountBalance                                  = 1
	ByName, ByGuild                                 = 0, 1 // of Player
	ByOwner, ByKind                                 = 0, 1 // of Item
)

// NewTables makes the tables.
func NewTables(prefix string) *Tables {
	player := withSQL(&table.Spec{
		Name: prefix + "player", Message: "tabletest.Player", Key: []int{0}, AutoID: true, Shape: 1,
		Columns: []table.Column{
			column(1, "id", table.Int), column(2, "name", table.Text),
			with(column(3, "gold", table.Int), counter(0, 1_000_000_000_000)),
			with(column(4, "wins", table.Uint), counter(0, math.MaxUint32)),
			column(5, "rating", table.Float),
			with(column(6, "title", table.Text), func(c *table.Column) { c.Nullable = true }),
			with(column(7, "face", table.Bytes), func(c *table.Column) { c.MaxLen = 1000 }),
			with(column(9, "guild", table.Int), counter(math.MinInt64, math.MaxInt64)),
		},
		Indexes: []table.Index{{Name: "by_name", By: []int{1}, Unique: true}, {Name: "by_guild", By: []int{7}}},
		Flush:   flush, Idle: idle,
	})
	item := withSQL(&table.Spec{
		Name: prefix + "item", Message: "tabletest.Item", Key: []int{0, 1}, AutoID: true, Shape: 2,
		Columns: []table.Column{
			column(1, "owner_id", table.Int), column(2, "id", table.Int),
			with(column(3, "kind", table.Int), counter(math.MinInt32, math.MaxInt32)),
			with(column(4, "count", table.Int), counter(0, math.MaxInt64)),
		},
		Indexes: []table.Index{{Name: "by_owner_id", By: []int{0}, Exact: true}, {Name: "by_owner_id_kind", By: []int{0, 2}, Exact: true}},
		Flush:   flush, Idle: idle,
	})
	mail := withSQL(&table.Spec{
		Name: prefix + "mail", Message: "tabletest.Mail", Key: []int{0}, AutoID: true, Place: 1, Shape: 3,
		Columns: []table.Column{column(1, "id", table.Int), column(2, "to_id", table.Int), column(3, "text", table.Text)},
		Indexes: []table.Index{{Name: "by_to_id", By: []int{1}, Exact: true}},
		Flush:   flush, Idle: idle,
	})
	setting := withSQL(&table.Spec{
		Name: prefix + "setting", Message: "tabletest.Setting", Key: []int{0, 1}, Shape: 4,
		Columns: []table.Column{column(1, "realm", table.Text), column(2, "name", table.Text), column(3, "value", table.Text)},
		Indexes: []table.Index{{Name: "by_realm", By: []int{0}, Exact: true}},
		Flush:   flush, Idle: idle,
	})
	account := withSQL(&table.Spec{
		Name: prefix + "account", Message: "tabletest.Account", Key: []int{0}, Shape: 5, Durability: table.WriteThrough,
		Columns: []table.Column{column(1, "id", table.Int), with(column(2, "balance", table.Int), counter(0, math.MaxInt64))},
		Idle:    idle,
	})
	return &Tables{
		Player: &table.Codec[int64, *Player]{
			Spec: player, New: func() *Player { return new(Player) },
			Ref:   func(id int64) table.Ref { return player.RefTo(table.KeyOf(table.IntOf(id))) },
			KeyOf: func(p *Player) int64 { return p.ID },
			Values: func(p *Player, dst []table.Value) ([]table.Value, error) {
				title := table.Value{}
				if p.Title != nil {
					title = table.TextOf(*p.Title)
				}
				return append(dst, table.IntOf(p.ID), table.TextOf(p.Name), table.IntOf(p.Gold), table.UintOf(uint64(p.Wins)),
					table.FloatOf(p.Rating), title, table.BytesOf(p.Face), table.IntOf(p.Guild)), nil
			},
			Set: func(p *Player, v []table.Value) error {
				*p = Player{ID: v[0].Int(), Name: v[1].Text(), Gold: v[2].Int(), Wins: uint32(v[3].Uint()), Rating: v[4].Float(), Guild: v[7].Int()}
				if !v[5].IsNull() {
					s := v[5].Text()
					p.Title = &s
				}
				if v[6].Text() != "" {
					p.Face = v[6].Bytes()
				}
				return nil
			},
			SetID: func(p *Player, id int64) { p.ID = id },
		},
		Item: &table.Codec[ItemKey, *Item]{
			Spec: item, New: func() *Item { return new(Item) },
			Ref:   func(k ItemKey) table.Ref { return item.RefTo(table.KeyOf(table.IntOf(k.OwnerID), table.IntOf(k.ID))) },
			KeyOf: func(i *Item) ItemKey { return ItemKey{i.OwnerID, i.ID} },
			Values: func(i *Item, dst []table.Value) ([]table.Value, error) {
				return append(dst, table.IntOf(i.OwnerID), table.IntOf(i.ID), table.IntOf(int64(i.Kind)), table.IntOf(i.Count)), nil
			},
			Set: func(i *Item, v []table.Value) error {
				*i = Item{v[0].Int(), v[1].Int(), int32(v[2].Int()), v[3].Int()}
				return nil
			},
			SetID: func(i *Item, id int64) { i.ID = id },
		},
		Mail: &table.Codec[MailKey, *Mail]{
			Spec: mail, New: func() *Mail { return new(Mail) },
			Ref: func(k MailKey) table.Ref {
				return table.Ref{Table: mail, Key: table.KeyOf(table.IntOf(k.ID)), Place: table.PlaceOf(table.IntOf(k.To))}
			},
			KeyOf: func(m *Mail) MailKey { return MailKey{m.To, m.ID} },
			Values: func(m *Mail, dst []table.Value) ([]table.Value, error) {
				return append(dst, table.IntOf(m.ID), table.IntOf(m.To), table.TextOf(m.Text)), nil
			},
			Set:   func(m *Mail, v []table.Value) error { *m = Mail{v[0].Int(), v[1].Int(), v[2].Text()}; return nil },
			SetID: func(m *Mail, id int64) { m.ID = id },
		},
		Setting: &table.Codec[SettingKey, *Setting]{
			Spec: setting, New: func() *Setting { return new(Setting) },
			Ref: func(k SettingKey) table.Ref {
				return setting.RefTo(table.KeyOf(table.TextOf(k.Realm), table.TextOf(k.Name)))
			},
			KeyOf: func(s *Setting) SettingKey { return SettingKey{s.Realm, s.Name} },
			Values: func(s *Setting, dst []table.Value) ([]table.Value, error) {
				return append(dst, table.TextOf(s.Realm), table.TextOf(s.Name), table.TextOf(s.Value)), nil
			},
			Set: func(s *Setting, v []table.Value) error {
				*s = Setting{v[0].Text(), v[1].Text(), v[2].Text()}
				return nil
			},
		},
		Account: &table.Codec[int64, *Account]{
			Spec: account, New: func() *Account { return new(Account) },
			Ref:   func(id int64) table.Ref { return account.RefTo(table.KeyOf(table.IntOf(id))) },
			KeyOf: func(a *Account) int64 { return a.ID },
			Values: func(a *Account, dst []table.Value) ([]table.Value, error) {
				return append(dst, table.IntOf(a.ID), table.IntOf(a.Balance)), nil
			},
			Set: func(a *Account, v []table.Value) error { *a = Account{v[0].Int(), v[1].Int()}; return nil },
		},
	}
}
