package node

import (
	"context"
	"path/filepath"
	"slices"
	"sync"

	"github.com/firefly-go/firefly/runtime/table"
	"github.com/firefly-go/firefly/runtime/table/remote"
	"github.com/firefly-go/firefly/runtime/table/sqlstore"
)

// tables are the tables of one node: the store, which this node keeps or another one does, and a DB per
// role that uses them.
type tables struct {
	embedded *sqlstore.Embedded // that this node keeps; nil: none
	server   *remote.Server     // before it
	cached   *cached            // that this node works with; nil: none
	keeper   *keeper            // of a node that flushes a cache; nil: it does not

	mu  sync.Mutex
	dbs []*table.DB
}

// specs are the tables of all roles of the game, sorted by name.
func specs(roles []Role) (all []*table.Spec) {
	for i := range roles {
		for _, t := range roles[i].Tables {
			if !slices.Contains(all, t) {
				all = append(all, t)
			}
		}
	}
	slices.SortFunc(all, func(a, b *table.Spec) int {
		switch {
		case a.Name < b.Name:
			return -1
		case a.Name > b.Name:
			return 1
		}
		return 0
	})
	return all
}

// storeFile is the embedded store under the data folder.
const storeFile = "tables.db"

// open opens the store: the embedded one when this node is the one that keeps it, the cached one when the node
// has to do with tables.
func (t *tables) open(ctx context.Context, n *instance) error {
	all := specs(n.o.roles)
	if len(all) == 0 || n.o.launch.Tables == nil {
		return nil
	}
	if n.o.launch.Tables.Store == storeCached {
		return t.openCached(ctx, n, all)
	}
	if !slices.Contains(n.config.Roles, storeRole) {
		return nil
	}
	var err error
	o := sqlstore.EmbeddedOptions{Log: n.o.log, Ephemeral: n.o.ephemeral, Migrations: n.o.migrations}
	if t.embedded, err = sqlstore.OpenEmbedded(ctx, filepath.Join(n.o.data, storeFile), all, o); err != nil {
		return err
	}
	t.server = remote.NewServer(t.embedded, all, 0)
	return nil
}

// db makes the DB of a role.
func (t *tables) db(n *instance) *table.DB {
	var store table.Store
	switch {
	case t.cached != nil:
		store = t.cached.store
	case t.embedded != nil:
		store = t.embedded
	default:
		store = n.cluster.Tables()
	}
	db := table.NewDB(store, table.DBOptions{})
	t.mu.Lock()
	t.dbs = append(t.dbs, db)
	t.mu.Unlock()
	return db
}

// drain ends what the roles still ask of the store, while it can be reached.
func (t *tables) drain() {
	for _, db := range t.dbs {
		db.Close()
	}
}

// close lets the store go, after everybody who uses it. A flusher stores what waits until ctx ends.
func (t *tables) close(ctx context.Context) error {
	if t.cached != nil {
		return t.cached.close(ctx)
	}
	if t.embedded == nil {
		return nil
	}
	return t.embedded.Close()
}
