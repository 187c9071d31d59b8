package writeback

import (
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/table"
	"github.com/firefly-go/firefly/runtime/table/tabletest"
)

const itemLuck = 4 // the column that items have in the newer build

// builds is a world in which processes of two builds run: in the newer one items have luck, which is 3 unless
// anybody says otherwise.
type builds struct {
	*world // the older build
	newer  *world
	item   *table.Spec // of the newer build
}

func newBuilds(t *testing.T) *builds {
	t.Helper()
	old := newWorld(t)
	b := &builds{world: old, item: tabletest.Grown(old.Item.Spec, 22, tabletest.NewColumn(5, "luck"))}
	old.maria.Exec(t, old.name, "ALTER TABLE item ADD COLUMN luck BIGINT NOT NULL DEFAULT 3 AFTER count")
	n := *old
	n.process = b.open(Options{Lock: shortLock})
	b.newer = &n
	return b
}

// open opens a process of the newer build.
func (b *builds) open(o Options) *process {
	b.Helper()
	specs := b.Specs()
	specs[1] = b.item
	p, err := openProcess(b.ctx, b.redis.Addr(), b.maria.DSN(b.name), specs, o)
	b.ok(err)
	b.Cleanup(p.close)
	return p
}

// ref is an item of owner 1 as the newer build names it.
func (b *builds) ref(id int64) table.Ref {
	return b.item.RefTo(table.KeyOf(table.IntOf(1), table.IntOf(id)))
}

// lucky inserts an item of owner 1 from the newer build.
func (b *builds) lucky(id, count, luck int64) {
	b.Helper()
	op := b.world.item(1, id, count)
	op.Ref, op.Set = b.ref(id), append(op.Set, table.Assign{Column: itemLuck, Value: table.IntOf(luck)})
	b.ok(b.newer.commit(b.ctx, op))
}

// has compares an item with what the newer build and the database say of it.
func (b *builds) has(id, count, luck int64) {
	b.Helper()
	out := make([]table.Row, 1)
	b.ok(b.newer.db.Load(b.ctx, []table.Ref{b.ref(id)}, out, false))
	for where, row := range map[string]table.Row{"the cache": b.newer.read(b.T, b.ref(id)), "the database": out[0]} {
		if row.Version == 0 || row.Values[tabletest.ItemCount].Int() != count || row.Values[itemLuck].Int() != luck {
			b.Errorf("%s has %v, want a count of %d and a luck of %d", where, row.Values, count, luck)
		}
	}
}

// 19. Processes of two builds at once, of which the newer one has a column more.
func TestCase19(t *testing.T) {
	t.Run("who does not know a field keeps it", func(t *testing.T) {
		b := newBuilds(t)
		b.lucky(1, 10, 7)
		b.ok(b.commit(b.ctx, add(b.itemRef(1), tabletest.ItemCount, 1)))
		b.ok(b.commit(b.ctx, set(b.itemRef(1), tabletest.ItemKind, table.IntOf(5))))
		if row := b.newer.read(t, b.ref(1)); row.Values[itemLuck].Int() != 7 || row.Values[tabletest.ItemCount].Int() != 11 {
			t.Errorf("the newer build reads %v", row.Values)
		}
		// A flusher that does not know it leaves the row alone and stores others.
		b.ok(b.commit(b.ctx, b.world.item(1, 2, 20)))
		h := b.hand("old", b.itemRef(1).Place)
		images := h.take()
		if len(images) != 1 || images[0].Ref != b.itemRef(2) {
			t.Fatalf("the old flusher takes %v", images)
		}
		h.flush(images)
		h.ack(images)
		if c := h.waiting(); c.Plain != 1 || c.Poisoned != 0 {
			t.Errorf("%+v", c)
		}
		h.die()
		n := b.newer.hand("new", b.itemRef(1).Place)
		n.all()
		b.has(1, 11, 7)
		b.has(2, 20, 3)
	})
	t.Run("loaded by the older build, stored by the newer one", func(t *testing.T) {
		b := newBuilds(t)
		b.lucky(1, 10, 7)
		n := b.newer.hand("new", b.itemRef(1).Place)
		n.all()
		b.ok(b.cache.Forget(b.ctx, []table.Ref{b.itemRef(1)}))
		b.ok(b.commit(b.ctx, add(b.itemRef(1), tabletest.ItemCount, 1)))
		b.ok(b.commit(b.ctx, b.world.item(1, 2, 20)))
		n.all()
		b.has(1, 11, 7)
		b.has(2, 20, 3) // the default of the column
	})
	t.Run("the newer build waits for what the older one wrote", func(t *testing.T) {
		b := newBuilds(t)
		b.lucky(1, 10, 7)
		f := b.newer.flusher(quickOptions())
		b.clean()
		for i := range int64(20) {
			b.ok(b.cache.Forget(b.ctx, []table.Ref{b.itemRef(1)}))
			b.ok(b.commit(b.ctx, add(b.itemRef(1), tabletest.ItemCount, 1)))
			b.ok(b.newer.commit(b.ctx, add(b.ref(1), itemLuck, 1)))
			b.clean()
			b.has(1, 11+i, 8+i)
		}
		if s := f.Stats(); s.Quarantined+s.Torn+s.Ahead != 0 {
			t.Errorf("%+v", s)
		}
	})
	t.Run("newer rows do not hold up an old flusher", func(t *testing.T) {
		b := newBuilds(t)
		for id := int64(1); id <= 5; id++ {
			b.lucky(id, 1, 1)
		}
		b.ok(b.commit(b.ctx, b.world.item(1, 6, 1)))
		h := b.hand("old", b.itemRef(1).Place)
		await(t, "it comes to the row that it knows", func() bool {
			images, _, err := b.cache.Take(b.ctx, h.shard, h.owner, 1, false)
			b.ok(err)
			return len(images) == 1 && images[0].Ref == b.itemRef(6)
		})
	})
	t.Run("durable commits", func(t *testing.T) {
		b := newBuilds(t)
		other := b.Item.Ref(tabletest.ItemKey{OwnerID: 2, ID: 1})
		b.ok(b.commit(b.ctx, b.world.item(2, 1, 0)))
		b.newer.flusher(quickOptions())
		for i := range int64(5) {
			// Luck is not stored yet when the older build writes the row under a new version.
			if i == 0 {
				b.lucky(1, 10, 7)
			} else {
				b.ok(b.newer.commit(b.ctx, add(b.ref(1), itemLuck, 1)))
			}
			b.ok(b.commit(b.ctx, add(b.itemRef(1), tabletest.ItemCount, 1), add(other, tabletest.ItemCount, 1)))
			b.clean()
			b.has(1, 11+i, 7+i)
		}
		// The older build dies when the database has decided, and the newer one shows it.
		dying, err := openProcess(b.ctx, b.redis.Addr(), b.maria.DSN(b.name), b.Specs(), Options{Lock: shortLock})
		b.ok(err)
		t.Cleanup(dying.close)
		dying.store.decider.o.step = func(s string) {
			if s == "written" {
				runtime.Goexit()
			}
		}
		dead := make(chan struct{})
		go func() {
			defer close(dead)
			_ = dying.commit(b.ctx, add(b.itemRef(1), tabletest.ItemCount, 1), add(other, tabletest.ItemCount, 1))
			t.Error("it came through")
		}()
		<-dead
		b.ok(b.newer.commit(b.ctx, add(b.ref(1), itemLuck, 1)))
		b.clean()
		b.has(1, 16, 12)
	})
	t.Run("the database does not have the column", func(t *testing.T) {
		b := newBuilds(t)
		f := b.newer.flusher(quickOptions())
		b.lucky(1, 10, 6)
		b.clean()
		b.maria.Exec(t, b.name, "ALTER TABLE item RENAME COLUMN luck TO elsewhere")
		b.ok(b.newer.commit(b.ctx, add(b.ref(1), itemLuck, 1)))
		mail := insert(b.Mail, &tabletest.Mail{ID: 1, To: 1, Text: "hello"})
		b.ok(b.newer.commit(b.ctx, mail))
		await(t, "the table waits", func() bool { return slices.Contains(f.Stats().Stalled, "item") })
		await(t, "other tables are stored", func() bool { return b.stored(mail.Ref).Version != 0 })
		specs := b.Specs()
		specs[1] = b.item
		_, err := openProcess(b.ctx, b.redis.Addr(), b.maria.DSN(b.name), specs, Options{})
		if firefly.CodeOf(err) != firefly.FailedPrecondition || !strings.Contains(err.Error(), "luck") {
			t.Errorf("a process of the newer build starts: %v", err)
		}
		b.maria.Exec(t, b.name, "ALTER TABLE item RENAME COLUMN elsewhere TO luck")
		b.clean()
		b.has(1, 10, 7)
		if s := f.Stats(); s.Quarantined != 0 {
			t.Errorf("%+v", s)
		}
	})
}
