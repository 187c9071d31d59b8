package redisstore

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/firefly-go/firefly/runtime/redisconn"
	"github.com/firefly-go/firefly/runtime/table"
)

// Scripts that change rows of tables with Spec.Near say so on one channel of the namespace, and every process
// that keeps copies subscribes to it at every server whose rows it has. On a second channel, its own, it sends
// itself heartbeats: a script publishes the time at which it was sent, and the generation. A heartbeat that comes
// back proves that everything published before it has come too, and which server the subscription leads to.

// lateBeats is for how many heartbeats a subscription is believed without one.
const lateBeats = 3

// newsroom are the subscriptions of a Cache.
type newsroom struct {
	run   context.Context // ends with Close
	stop  context.CancelFunc
	wg    sync.WaitGroup
	terms atomic.Uint64
	hear  atomic.Pointer[[]func(table.Ref, uint64)]

	mu  sync.RWMutex
	all map[*redisconn.Node]*news
}

// Hear implements table.CacheNews.
func (c *Cache) Hear(f func(ref table.Ref, version uint64)) {
	c.news.mu.Lock()
	defer c.news.mu.Unlock()
	var fs []func(table.Ref, uint64)
	if have := c.news.hear.Load(); have != nil {
		fs = append(fs, *have...)
	}
	fs = append(fs, f)
	c.news.hear.Store(&fs)
}

// News implements table.CacheNews.
func (c *Cache) News(ctx context.Context, p table.Place) (table.News, error) {
	n, err := c.conn.Node(ctx, c.prefixes[c.shardOf(p)])
	if err != nil {
		return nil, readError(ctx, err)
	}
	r := &c.news
	r.mu.RLock()
	w := r.all[n]
	r.mu.RUnlock()
	if w != nil {
		return w, nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if w = r.all[n]; w != nil {
		return w, nil
	}
	var own [12]byte
	_, _ = rand.Read(own[:])
	w = &news{c: c, n: n, own: c.newsChannel() + ":" + hex.EncodeToString(own[:])}
	if r.all == nil {
		r.all = map[*redisconn.Node]*news{}
	}
	r.all[n] = w
	if r.run.Err() == nil {
		r.wg.Go(w.listen)
	}
	return w, nil
}

func (c *Cache) newsChannel() string { return c.o.Namespace + ":near" }

// newsOf is the channel that a script tells of writes to a table: "" for none.
func (c *Cache) newsOf(channel string, t *table.Spec) string {
	if t.Near.Rows > 0 {
		return c.newsChannel()
	}
	return channel
}

// news is the subscription to one server.
type news struct {
	c     *Cache
	n     *redisconn.Node
	own   string // channel of its heartbeats
	heard atomic.Pointer[heard]
}

// heard is a time in which a subscription missed nothing.
type heard struct {
	term  uint64
	gen   string       // of the server that it leads to
	until atomic.Int64 // it is believed until then; c.now
}

// Term implements table.News.
func (w *news) Term() uint64 {
	h := w.heard.Load()
	if h == nil || w.c.now() >= h.until.Load() || w.n.Generation() != h.gen {
		return 0
	}
	return h.term
}

// now is a time that never goes back.
func (c *Cache) now() int64 { return int64(time.Since(c.used.begin)) }

// listen subscribes again and again, until the cache is closed.
func (w *news) listen() {
	ctx := w.c.news.run
	for ctx.Err() == nil {
		w.subscribe(ctx)
		w.heard.Store(nil)
		t := time.NewTimer(min(w.c.o.Heartbeat/4, 250*time.Millisecond))
		select {
		case <-ctx.Done():
		case <-t.C:
		}
		t.Stop()
	}
}

// subscribe listens until something may have been missed.
func (w *news) subscribe(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	ps := w.n.Client.Subscribe(ctx, w.c.newsChannel(), w.own)
	var wg sync.WaitGroup
	closed := context.AfterFunc(ctx, func() { _ = ps.Close() }) // it wakes who receives
	defer func() {
		cancel()
		if closed() {
			_ = ps.Close()
		}
		wg.Wait()
	}()
	lag := int64(lateBeats * w.c.o.Heartbeat)
	until, channels := w.c.now()+lag, 0
	for {
		m, err := ps.ReceiveTimeout(ctx, max(time.Duration(until-w.c.now()), time.Millisecond))
		if err != nil || ctx.Err() != nil {
			return
		}
		switch m := m.(type) {
		case *redis.Subscription:
			if channels++; channels == 2 {
				wg.Go(func() { w.beats(ctx) })
			}
		case *redis.Message:
			if m.Channel != w.own {
				w.tell(m.Payload)
				break
			}
			if sent := w.beat(m.Payload); sent > 0 {
				until = sent + lag
				w.heard.Load().until.Store(until)
			}
		}
		if w.c.now() >= until {
			return
		}
	}
}

// beats sends heartbeats until ctx ends.
func (w *news) beats(ctx context.Context) {
	tick := time.NewTicker(w.c.o.Heartbeat)
	defer tick.Stop()
	for {
		one, cancel := context.WithTimeout(ctx, lateBeats*w.c.o.Heartbeat)
		// One that is lost is missed by who receives.
		_, _ = w.c.conn.RunAt(one, w.n, sBeat, []any{w.own, w.c.now()})
		cancel()
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// beat notes a heartbeat, "time generation", and gives when it was sent.
func (w *news) beat(text string) (sent int64) {
	at, gen, ok := strings.Cut(text, " ")
	sent, err := strconv.ParseInt(at, 10, 64)
	if !ok || err != nil {
		return 0
	}
	if h := w.heard.Load(); h == nil || h.gen != gen {
		w.heard.Store(&heard{term: w.c.news.terms.Add(1), gen: gen})
	}
	return sent
}

// tell passes on that a row was written: "version table:key".
func (w *news) tell(text string) {
	version, row, _ := strings.Cut(text, " ")
	t, member, ok := strings.Cut(row, ":")
	fs := w.c.news.hear.Load()
	if !ok || fs == nil {
		return
	}
	l := w.c.layouts.named(t)
	if l == nil || l.spec.Near.Rows == 0 {
		return
	}
	v, _ := strconv.ParseUint(version, 10, 64)
	for _, f := range *fs {
		f(refOf(l.spec, member), v)
	}
}
