package node_test

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/node"
	"github.com/firefly-go/firefly/runtime/table"
	"github.com/firefly-go/firefly/runtime/table/tabletest"
)

// The commands of the game with tables, both at a world; a body is "PLAYER NUMBER".
const (
	cmdEarn  firefly.CommandID = 30 // a coin and a thing more, once per number; a new player begins with number 0
	cmdPurse firefly.CommandID = 31 // "COINS THINGS"
)

// The items that a player has.
const coins, things = 1, 2

// envMigrations is the folder of the migrations of the game with tables.
const envMigrations = "FIREFLY_TEST_MIGRATIONS"

// mainOfTables is the game with tables.
func mainOfTables() {
	o := node.Options{}
	if dir := os.Getenv(envMigrations); dir != "" {
		o.Migrations = os.DirFS(dir)
	}
	node.MainWith(o, rolesOfTables()...)
}

func rolesOfTables() []node.Role {
	s := schema()
	for id, name := range map[firefly.CommandID]string{cmdEarn: "Earn", cmdPurse: "Purse"} {
		c := s.Commands[1]
		c.ID, c.Name, c.Shape = id, "test.World."+name, uint64(id)
		s.Commands = append(s.Commands, c)
	}
	tables := tabletest.NewTables("")
	roles := testRoles()
	for i := range roles {
		roles[i].Schemas = []*firefly.Schema{s}
		if roles[i].Name == "world" {
			roles[i].Tables = []*table.Spec{tables.Item.Spec}
			roles[i].New = func(b *node.Builder) { newEarner(b, tables) }
		}
	}
	return roles
}

func newEarner(b *node.Builder, tables *tabletest.Tables) {
	newWorld(b)
	db := b.Tables()
	items := table.New(db, tables.Item)
	read := func(body []byte) (id, n int64, err error) {
		if _, err = fmt.Sscan(string(body), &id, &n); err != nil {
			err = firefly.InvalidArgument.Errorf("%q: %w", body, err)
		}
		return id, n, err
	}
	node.RawCommand(b, cmdEarn, func(ctx context.Context, _ firefly.Session, body []byte) ([]byte, error) {
		id, n, err := read(body)
		if err != nil {
			return nil, err
		}
		err = db.Tx(ctx, func(ctx context.Context, tx *table.Tx) error {
			i := table.WritesOf(tx, tables.Item)
			tx.Once(fmt.Sprint("earn ", n))
			if n == 0 {
				if err := i.Insert(ctx, &tabletest.Item{OwnerID: id, ID: coins}); err != nil {
					return err
				}
				return i.Insert(ctx, &tabletest.Item{OwnerID: id, ID: things})
			}
			table.AddIn(&i, tabletest.ItemKey{OwnerID: id, ID: coins}, tabletest.ItemCount, 1)
			table.AddIn(&i, tabletest.ItemKey{OwnerID: id, ID: things}, tabletest.ItemCount, 1)
			return nil
		})
		if errors.Is(err, table.ErrOnce) {
			err = nil // by an answer that was lost
		}
		return nil, err
	})
	node.RawCommand(b, cmdPurse, func(ctx context.Context, _ firefly.Session, body []byte) ([]byte, error) {
		id, _, err := read(body)
		if err != nil {
			return nil, err
		}
		all, err := items.GetMany(ctx, tabletest.ItemKey{OwnerID: id, ID: coins}, tabletest.ItemKey{OwnerID: id, ID: things})
		if err != nil {
			return nil, err
		}
		if all[0] == nil || all[1] == nil {
			return nil, firefly.NotFound.Errorf("player %d", id)
		}
		return fmt.Appendf(nil, "%d %d", all[0].Count, all[1].Count), nil
	})
}
