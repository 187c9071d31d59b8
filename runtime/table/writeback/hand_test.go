package writeback

import (
	"slices"
	"time"

	"github.com/firefly-go/firefly/runtime/table"
)

// hand is a flusher of one shard whose steps a test makes itself.
type hand struct {
	w     *world
	owner string
	shard int
	epoch uint64
}

// hand holds and fences the shard of a place. Whoever had it before is taken for dead.
func (w *world) hand(owner string, p table.Place) *hand {
	w.Helper()
	h := &hand{w: w, owner: owner, shard: p.Shard(worldShards)}
	held, err := w.cache.Hold(w.ctx, h.shard, owner, time.Minute)
	w.ok(err)
	if !held {
		w.Fatalf("somebody has shard %d", h.shard)
	}
	epochs, err := w.db.Fence(w.ctx, []int{h.shard}, owner)
	w.ok(err)
	h.epoch = epochs[0]
	return h
}

// die lets the lease end.
func (h *hand) die() {
	h.w.Helper()
	_, err := h.w.cache.Hold(h.w.ctx, h.shard, h.owner, 0)
	h.w.ok(err)
}

func (h *hand) take() []table.Image {
	h.w.Helper()
	images, held, err := h.w.cache.Take(h.w.ctx, h.shard, h.owner, 1000, true)
	h.w.ok(err)
	if !held {
		h.w.Fatal("the lease is lost")
	}
	return images
}

// flush stores images and tells nobody.
func (h *hand) flush(images []table.Image) (fenced bool, ahead []table.Image) {
	h.w.Helper()
	f, ahead, err := h.w.db.Flush(h.w.ctx, []table.ShardBatch{{Shard: h.shard, Epoch: h.epoch, Images: images}}, nil)
	h.w.ok(err)
	return slices.Contains(f, h.shard), ahead
}

func (h *hand) ack(images []table.Image) {
	h.w.Helper()
	h.w.ok(h.w.cache.Ack(h.w.ctx, h.shard, images))
}

// all takes, stores and acknowledges.
func (h *hand) all() {
	h.w.Helper()
	images := h.take()
	if fenced, ahead := h.flush(images); fenced || len(ahead) > 0 {
		h.w.Fatalf("fenced %v, ahead %v", fenced, ahead)
	}
	h.ack(images)
}

// waiting is what waits of the shard.
func (h *hand) waiting() table.DirtyCount {
	h.w.Helper()
	c, err := h.w.cache.Count(h.w.ctx, h.shard)
	h.w.ok(err)
	return c
}
