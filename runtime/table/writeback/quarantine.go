package writeback

import (
	"slices"
	"time"

	"github.com/firefly-go/firefly/runtime/table"
)

// manyPoisoned is how many rows of a table are put aside in one round while no other row of it is taken;
// then it is not the rows that are wrong.
const manyPoisoned = 16

// longestRetry bounds the time between two attempts to store a quarantined row.
const longestRetry = time.Hour

// stall keeps the rows of a table back for a while, and lets all others go on.
func (f *Flusher) stall(name string, err error) {
	f.mu.Lock()
	_, known := f.stalled[name]
	f.stalled[name] = time.Now().Add(f.o.Retry)
	first := !slices.Contains(f.stats.Stalled, name)
	if first {
		f.stats.Stalled = append(f.stats.Stalled, name)
	}
	f.mu.Unlock()
	if first && !known {
		f.o.Log.Error("A table cannot be written; its rows wait in the cache and others go on", "table", name, "err", err)
	}
}

// writable takes the rows out of a batch that are kept back: those of stalled tables, and what was written
// together with them.
func (r *round) writable(batch []table.ShardBatch) []table.ShardBatch {
	f := r.f
	f.mu.Lock()
	until := make(map[string]time.Time, len(f.stalled))
	for t, u := range f.stalled {
		until[t] = u
	}
	f.mu.Unlock()
	if len(until) == 0 {
		return batch
	}
	out := make([]table.ShardBatch, 0, len(batch))
	for _, b := range batch {
		var when time.Time
		group := false // a transaction has a row of a stalled table
		for i := range b.Images {
			if u, ok := until[b.Images[i].Table.Name]; ok {
				group = group || b.Images[i].Tx
				when = u
			}
		}
		if when.IsZero() {
			out = append(out, b)
			continue
		}
		yes, no := split(b, func(im *table.Image) bool {
			_, stalled := until[im.Table.Name]
			return !stalled && !(group && im.Tx)
		})
		ctx, cancel := f.call()
		if err := f.cache.Delay(ctx, b.Shard, no.Images, when); err != nil {
			f.warn("Rows that wait for their table are not put off", err)
		}
		cancel()
		if len(yes.Images) > 0 {
			out = append(out, yes)
		}
	}
	return out
}

// unit is what is stored whole: a row, or all rows of transactions of a shard.
type unit struct {
	shard  int // position in the batch
	images []table.Image
}

// units are those of a batch, in order.
func units(batch []table.ShardBatch) (out []unit) {
	for i := range batch {
		together, single := split(batch[i], func(im *table.Image) bool { return im.Tx })
		if len(together.Images) > 0 {
			out = append(out, unit{i, together.Images})
		}
		for j := range single.Images {
			out = append(out, unit{i, single.Images[j : j+1]})
		}
	}
	return out
}

// batchOf puts units together again.
func batchOf(batch []table.ShardBatch, us []unit) (out []table.ShardBatch) {
	last := -1
	for _, u := range us {
		if u.shard != last {
			b := batch[u.shard]
			b.Images = nil
			out = append(out, b)
			last = u.shard
		}
		b := &out[len(out)-1]
		b.Images = append(b.Images, u.images...)
	}
	return out
}

// halve looks for the rows in a batch that the durable store refuses, and puts them aside.
func (r *round) halve(batch []table.ShardBatch, refusal error) error {
	us := units(batch)
	if len(us) == 1 {
		im := us[0].images
		if len(im) == 1 {
			r.poison(&batch[us[0].shard], &im[0], refusal)
			return nil
		}
		// One of a transaction's rows is refused. The others are stored without it, rather than not at all.
		f := r.f
		f.mu.Lock()
		f.stats.Torn++
		f.mu.Unlock()
		f.o.Log.Error("A transaction does not reach the durable store as one, because it refuses a row of it", "rows", len(im), "shard", batch[us[0].shard].Shard, "err", refusal)
		at := us[0].shard
		us = us[:0]
		single := slices.Clone(im)
		for i := range single {
			single[i].Tx = false
			us = append(us, unit{at, single[i : i+1]})
		}
	}
	half := len(us) / 2
	if err := r.write(batchOf(batch, us[:half])); err != nil {
		return err
	}
	return r.write(batchOf(batch, us[half:]))
}

// poison puts a row aside.
func (r *round) poison(b *table.ShardBatch, im *table.Image, refusal error) {
	f := r.f
	name := im.Table.Name
	r.mu.Lock()
	many := r.poisoned[name] >= manyPoisoned && r.stored[name] == 0
	r.poisoned[name]++
	r.mu.Unlock()
	if many {
		f.stall(name, refusal)
		return // the row is due again, after the others that were delayed
	}
	wait := longestRetry
	if im.Attempts < 16 {
		wait = min(f.o.Retry<<im.Attempts, longestRetry)
	}
	p := table.Poisoned{Ref: im.Ref, Version: im.Version, Error: refusal.Error(), Attempts: im.Attempts + 1, Next: time.Now().Add(wait)}
	ctx, cancel := f.call()
	defer cancel()
	if err := f.cache.Poison(ctx, b.Shard, *im, p.Error, p.Next); err != nil {
		f.warn("A row that is refused is not put aside", err)
		return
	}
	f.mu.Lock()
	f.stats.Quarantined++
	f.mu.Unlock()
	f.o.Log.Error("The durable store refuses a row; it is put aside and others go on", "row", im.String(), "version", im.Version, "attempt", p.Attempts, "next", p.Next.Format(time.TimeOnly), "err", refusal)
	if f.o.Poisoned != nil {
		f.o.Poisoned(p)
	}
}
