package main

import (
	"context"
	"database/sql"
	"fmt"

	entdialect "entgo.io/ent/dialect"
	entsql "entgo.io/ent/dialect/sql"
	"entgo.io/ent/dialect/sql/sqlgraph"
	"entgo.io/ent/schema/field"
	gormmysql "gorm.io/driver/mysql"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"example.com/bench/benchpb"

	"github.com/firefly-go/firefly/runtime/table"
)

// benchLoad reads a row from the database into an object.
func benchLoad(ctx context.Context, b *bed) error {
	st, err := b.direct.PrepareContext(ctx, benchpb.HeroSpec().MySQL.Get)
	if err != nil {
		return err
	}
	defer func() { _ = st.Close() }()
	plain, err := openGorm(b.direct, false)
	if err != nil {
		return err
	}
	prepared, err := openGorm(b.direct, true)
	if err != nil {
		return err
	}
	driver := entsql.OpenDB(entdialect.MySQL, b.direct)
	loaded := benchpb.NewHeroTable(table.NewDB(uncached{durable: b.everysec.durable}, table.DBOptions{}))
	gorms := func(db *gorm.DB) func(int) func() error {
		return func(caller int) func() error {
			next := turn(caller)
			return func() error {
				k := next()
				var h gormHero
				if err := db.WithContext(ctx).Where("owner_id = ? AND id = ?", k.OwnerID, k.ID).Take(&h).Error; err != nil {
					return err
				}
				return right(k, h.OwnerID, h.ID, h.Name)
			}
		}
	}
	for _, callers := range []int{1, 64} {
		cs := []contestant{
			{name: "prepared statement", caller: func(caller int) func() error {
				next := turn(caller)
				return func() error {
					k := next()
					h := new(benchpb.Hero)
					var version uint64
					if err := st.QueryRowContext(ctx, k.OwnerID, k.ID).Scan(&h.OwnerId, &h.Id, &h.Name, &h.Level, &h.Gold, &h.Wins, &h.Rating, &h.Seen, &h.Face, &version); err != nil {
						return err
					}
					return right(k, h.OwnerId, h.Id, h.Name)
				}
			}},
			{name: "firefly Get, from the database", ours: true, caller: func(caller int) func() error {
				next := turn(caller)
				return func() error {
					k := next()
					h, err := loaded.Get(ctx, k)
					if err != nil {
						return err
					}
					return right(k, h.OwnerId, h.Id, h.Name)
				}
			}},
			{name: "gorm", caller: gorms(plain)},
			{name: "gorm, PrepareStmt", caller: gorms(prepared)},
			{name: "ent (sqlgraph, as its generated code calls it)", caller: func(caller int) func() error {
				next := turn(caller)
				return func() error {
					k := next()
					h, err := entLoad(ctx, driver, k)
					if err != nil {
						return err
					}
					return right(k, h.OwnerID, h.ID, h.Name)
				}
			}},
		}
		if err := b.compare(comparison{title: fmt.Sprintf("row from the database, %d callers", callers), callers: callers, cs: cs,
			wanted: "client CPU at most 1.15 of the prepared statement's"}); err != nil {
			return err
		}
	}
	return nil
}

// uncached is a store that reads from the database whatever it is asked for, and does nothing else.
type uncached struct {
	table.Store
	durable table.Durable
}

// Read implements table.Store.
func (u uncached) Read(ctx context.Context, refs []table.Ref, out []table.Row) error {
	return u.durable.Load(ctx, refs, out, false)
}

// right sees to it that nobody reads less than a row.
func right(k benchpb.HeroKey, owner, id int64, name string) error {
	if k.OwnerID != owner || k.ID != id || name == "" {
		return errNoRow
	}
	return nil
}

// gormHero is the row as gorm has it.
type gormHero struct {
	OwnerID int64 `gorm:"primaryKey;autoIncrement:false"`
	ID      int64 `gorm:"primaryKey;autoIncrement:false"`
	Name    string
	Level   int32
	Gold    int64
	Wins    int64
	Rating  float64
	Seen    int64
	Face    []byte
	FfV     uint64 `gorm:"column:ff_v"`
}

// TableName implements gorm's Tabler.
func (gormHero) TableName() string { return "hero" }

func openGorm(db *sql.DB, prepare bool) (*gorm.DB, error) {
	return gorm.Open(gormmysql.New(gormmysql.Config{Conn: db}), &gorm.Config{PrepareStmt: prepare, SkipDefaultTransaction: true, Logger: logger.Discard})
}

// entHero is the row as ent has it.
type entHero struct {
	OwnerID, ID      int64
	Name             string
	Level            int32
	Gold, Wins, Seen int64
	Rating           float64
	Face             []byte
	Version          uint64
}

var entColumns = []string{"id", "owner_id", "name", "level", "gold", "wins", "rating", "seen", "face", "ff_v"}

// scanValues and assign are what ent generates for an entity with these fields.
func scanValues(columns []string) ([]any, error) {
	values := make([]any, len(columns))
	for i := range columns {
		switch columns[i] {
		case "face":
			values[i] = new([]byte)
		case "rating":
			values[i] = new(sql.NullFloat64)
		case "id", "owner_id", "level", "gold", "wins", "seen", "ff_v":
			values[i] = new(sql.NullInt64)
		case "name":
			values[i] = new(sql.NullString)
		default:
			values[i] = new(entsql.UnknownType)
		}
	}
	return values, nil
}

func (h *entHero) assign(columns []string, values []any) error {
	number := func(i int) (int64, error) {
		v, ok := values[i].(*sql.NullInt64)
		if !ok {
			return 0, fmt.Errorf("unexpected type %T for field %s", values[i], columns[i])
		}
		return v.Int64, nil
	}
	for i := range columns {
		var n int64
		var err error
		switch columns[i] {
		case "id":
			h.ID, err = number(i)
		case "owner_id":
			h.OwnerID, err = number(i)
		case "level":
			n, err = number(i)
			h.Level = int32(n)
		case "gold":
			h.Gold, err = number(i)
		case "wins":
			h.Wins, err = number(i)
		case "seen":
			h.Seen, err = number(i)
		case "ff_v":
			n, err = number(i)
			h.Version = uint64(n)
		case "name":
			if v, ok := values[i].(*sql.NullString); ok {
				h.Name = v.String
			}
		case "rating":
			if v, ok := values[i].(*sql.NullFloat64); ok {
				h.Rating = v.Float64
			}
		case "face":
			if v, ok := values[i].(*[]byte); ok && v != nil {
				h.Face = *v
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// entLoad asks the runtime of ent as the code does that ent generates for Only(ctx), without its hooks and
// interceptors; ent has no composite keys, so owner_id is a field of the predicate.
func entLoad(ctx context.Context, driver entdialect.Driver, k benchpb.HeroKey) (*entHero, error) {
	var nodes []*entHero
	spec := sqlgraph.NewQuerySpec("hero", entColumns, sqlgraph.NewFieldSpec("id", field.TypeInt64))
	spec.Predicate = func(s *entsql.Selector) {
		s.Where(entsql.And(entsql.EQ(s.C("owner_id"), k.OwnerID), entsql.EQ(s.C("id"), k.ID)))
	}
	spec.Limit = 2 // Only looks whether there are more
	spec.ScanValues = scanValues
	spec.Assign = func(columns []string, values []any) error {
		h := &entHero{}
		nodes = append(nodes, h)
		return h.assign(columns, values)
	}
	if err := sqlgraph.QueryNodes(ctx, driver, spec); err != nil {
		return nil, err
	}
	if len(nodes) != 1 {
		return nil, errNoRow
	}
	return nodes[0], nil
}
