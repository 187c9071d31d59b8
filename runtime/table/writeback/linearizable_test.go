package writeback

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/table"
	"github.com/firefly-go/firefly/runtime/table/redisstore"
	"github.com/firefly-go/firefly/runtime/table/sqlstore"
	"github.com/firefly-go/firefly/runtime/table/tabletest"
	"github.com/firefly-go/firefly/runtime/table/tabletest/servers"
)

// linearRow is a row that clients fight for.
type linearRow struct {
	ref         table.Ref
	mark, count int // columns: one that is set, -1 for none, and one that is added to
}

// slowLoads answers some loads late: what it says may be old by then.
type slowLoads struct{ table.Durable }

func (s slowLoads) Load(ctx context.Context, refs []table.Ref, out []table.Row, settled bool) error {
	err := s.Durable.Load(ctx, refs, out, settled)
	if err == nil && rand.IntN(4) == 0 {
		time.Sleep(rand.N(60 * time.Millisecond))
	}
	return err
}

// linearWorld is a world whose rows come and go quickly, with clients that have connections of their own
// through proxies that cut them.
type linearWorld struct {
	*world
	keepsAll             bool
	redisProxy, sqlProxy *servers.Proxy
	rows                 []linearRow
	began                time.Time

	mu                    sync.Mutex
	history               []porcupine.Operation
	done, refused, missed int // calls: answered, surely not executed, and not answered
}

func newLinearWorld(t *testing.T, keepsAll bool) *linearWorld {
	w := &linearWorld{world: newWorld(t), keepsAll: keepsAll, began: time.Now()}
	w.redisProxy, w.sqlProxy = servers.NewProxy(t, w.redis.Addr()), servers.NewProxy(t, w.maria.Addr())
	for _, s := range w.Specs() {
		s.Idle = 100 * time.Millisecond
	}
	for i := range int64(6) {
		w.rows = append(w.rows, linearRow{w.Item.Ref(tabletest.ItemKey{OwnerID: 1 + i%3, ID: 1 + i}), tabletest.ItemKind, tabletest.ItemCount})
	}
	for i := range int64(2) {
		w.rows = append(w.rows, linearRow{w.Account.Ref(1 + i), -1, tabletest.AccountBalance})
	}
	return w
}

// client is a process of the game.
func (w *linearWorld) client(redisAddr, mariaAddr string) *process {
	w.Helper()
	cache, err := redisstore.Open(redisstore.Options{URL: "redis://" + redisAddr, Shards: worldShards, KeepsAll: w.keepsAll,
		Lease: 40 * time.Millisecond, Negative: 100 * time.Millisecond, ListIdle: 100 * time.Millisecond, Patience: 200 * time.Millisecond, Log: silent()})
	w.ok(err)
	db, err := sqlstore.OpenMySQL(strings.Replace(w.maria.DSN(w.name), w.maria.Addr(), mariaAddr, 1), sqlstore.MySQLOptions{Log: silent()})
	w.ok(err)
	for _, start := range []func() error{
		func() error { return cache.Start(w.ctx, append([]*table.Spec{table.Once}, w.Specs()...)) },
		func() error { return db.Start(w.ctx, w.Specs()) },
	} {
		await(w.T, "the client is started, though connections are cut", func() bool {
			err := start()
			if firefly.CodeOf(err) != firefly.Unavailable && firefly.CodeOf(err) != firefly.Unknown {
				w.ok(err)
			}
			return err == nil
		})
	}
	p := &process{cache, db, New(cache, slowLoads{db}, w.Specs(), Options{Patience: 500 * time.Millisecond, Lock: 300 * time.Millisecond, Log: silent()})}
	w.Cleanup(p.close)
	return p
}

// ask makes a call and notes it with what it was told. ok is false when it was not told anything.
func (w *linearWorld) ask(client int, p *process, in linearCall) (out linearAnswer, ok bool) {
	row := w.rows[in.row]
	ctx, cancel := context.WithTimeout(w.ctx, 2*time.Second)
	defer cancel()
	call := time.Since(w.began)
	var err error
	if in.kind == callGet {
		got := make([]table.Row, 1)
		if err = p.store.Read(ctx, []table.Ref{row.ref}, got); err == nil && got[0].Version != 0 {
			out.there, out.version, out.count = true, got[0].Version, got[0].Values[row.count].Int()
			if row.mark >= 0 {
				out.mark = got[0].Values[row.mark].Int()
			}
		}
	} else {
		op := table.Op{Ref: row.ref}
		switch in.kind {
		case callInsert:
			if row.mark >= 0 {
				op = w.item(0, 0, in.count)
				op.Set = append(op.Set[:tabletest.ItemKind:tabletest.ItemKind], table.Assign{Column: row.mark, Value: table.IntOf(in.mark)}, table.Assign{Column: row.count, Value: table.IntOf(in.count)})
			} else {
				op = insert(w.Account, &tabletest.Account{Balance: in.count})
			}
			key, kerr := row.ref.Table.Values(row.ref.Key)
			w.ok(kerr)
			for i, v := range key {
				op.Set[i].Value = v
			}
			op.Ref = row.ref
		case callSet:
			op.Kind, op.If, op.Set = table.Update, in.version, []table.Assign{{Column: row.mark, Value: table.IntOf(in.mark)}}
		case callAdd:
			op.Kind, op.Add = table.Update, []table.AddTo{{Column: row.count, Delta: in.delta}}
		case callDelete:
			op.Kind = table.Delete
		}
		c := &table.Commit{Ops: []table.Op{op}}
		if err = p.store.Commit(ctx, c); err == nil {
			out.version = c.Ops[0].Version
			if in.kind == callAdd {
				out.count = c.Ops[0].Sums[0]
			}
		}
	}
	ret := time.Since(w.began)
	if row.mark < 0 {
		in.mark = 0
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	switch out.code = firefly.CodeOf(err); {
	case err == nil, out.code == firefly.AlreadyExists, out.code == firefly.NotFound, out.code == firefly.Conflict, out.code == firefly.OutOfRange:
		w.done++
	case out.code == firefly.Unavailable, out.code == firefly.Overloaded, in.kind == callGet:
		w.refused++
		return out, false
	case out.code == firefly.Unknown:
		w.missed++
		ret = math.MaxInt64 // any time from the call on
	default:
		w.Errorf("%v: %v", in, err)
		return out, false
	}
	w.history = append(w.history, porcupine.Operation{ClientId: client, Input: in, Output: out, Call: int64(call), Return: int64(ret)})
	return out, out.code != firefly.Unknown
}

// play makes calls until stop is closed.
func (w *linearWorld) play(client int, p *process, stop <-chan struct{}) {
	seen := make([]uint64, len(w.rows)) // versions that this client was told last
	for n := int64(0); ; n++ {
		select {
		case <-stop:
			return
		case <-time.After(rand.N(4 * time.Millisecond)):
		}
		in := linearCall{row: rand.IntN(len(w.rows)), mark: int64(client)<<20 + n, count: int64(rand.IntN(20)), delta: int64(rand.IntN(12) - 4)}
		switch what := rand.IntN(20); {
		case what < 6:
			in.kind = callGet
		case what < 10 && seen[in.row] != 0 && w.rows[in.row].mark >= 0:
			in.kind, in.version = callSet, seen[in.row]
		case what < 15:
			in.kind = callAdd
		case what < 18:
			in.kind = callInsert
		default:
			in.kind = callDelete
		}
		if out, ok := w.ask(client, p, in); ok && out.version != 0 {
			seen[in.row] = out.version
		}
	}
}

// check has the checker judge the history of every row, each alone.
func (w *linearWorld) check(history []porcupine.Operation) (bad []int) {
	byRow := make([][]porcupine.Operation, len(w.rows))
	for _, o := range history {
		row := o.Input.(linearCall).row
		byRow[row] = append(byRow[row], o)
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for row, h := range byRow {
		wg.Go(func() {
			if r := porcupine.CheckOperationsTimeout(linearModel, h, 3*time.Minute); r != porcupine.Ok {
				mu.Lock()
				defer mu.Unlock()
				bad = append(bad, row)
				if r == porcupine.Unknown {
					w.Errorf("the checker does not come to an end with %d calls of %s", len(h), w.rows[row].ref)
				}
			}
		})
	}
	wg.Wait()
	slices.Sort(bad)
	return bad
}

// quiet reports whether too little has happened yet to say anything.
func (w *linearWorld) quiet() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.done < 200 || w.missed < 1
}

// answered is how many calls were.
func (w *linearWorld) answered() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.done
}

// faults makes everything go wrong that may, in rounds, until one ends after the time is over and enough has
// happened.
func (w *linearWorld) faults(d time.Duration) (rounds int) {
	down := func() { time.Sleep(30*time.Millisecond + rand.N(120*time.Millisecond)) }
	// pause waits until clients have got on a little, as slow as the machine may be; but not for ever, as a part
	// of what they do may have to wait for what comes next.
	pause := func() {
		for n, until := w.answered()+10+rand.IntN(40), time.Now().Add(time.Second); w.answered() < n && time.Now().Before(until); {
			time.Sleep(5 * time.Millisecond)
		}
	}
	flusher := func() *Flusher {
		o := quickOptions()
		o.Timeout = time.Second
		p := w.client(w.redisProxy.Addr(), w.sqlProxy.Addr())
		f := NewFlusher(p.cache, p.db, o)
		f.Start()
		return f
	}
	// die ends a flusher where it stands: it gives nothing up and stores nothing more.
	die := func(f *Flusher) {
		f.cancel()
		f.wg.Wait()
	}
	fs := []*Flusher{flusher(), flusher()}
	defer func() {
		for _, f := range fs {
			die(f)
		}
	}()
	for until := time.Now().Add(d); rounds == 0 || time.Now().Before(until) || rounds < 10 && w.quiet(); rounds++ {
		all := []func(){
			func() { w.redisProxy.Lose("item:", servers.LoseReply) },
			func() { w.redisProxy.Lose("account:", servers.LoseReply) },
			func() { w.redisProxy.Lose("item:", servers.LoseRequest) },
			func() { w.sqlProxy.Lose("COMMIT", servers.LoseReply) },
			func() { w.sqlProxy.Lose("ff_txn", servers.LoseReply) },
			w.redisProxy.Cut,
			w.sqlProxy.Cut,
			func() {
				i := rand.IntN(2)
				die(fs[i])
				fs[i] = flusher()
			},
			func() {
				w.redis.Kill()
				down()
				w.ok(w.redis.Start())
			},
		}
		if rounds%3 == 0 {
			all = append(all, func() {
				w.maria.Stop()
				down()
				w.ok(w.maria.Start())
			})
		}
		rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		for _, f := range all {
			f()
			pause()
		}
	}
	return rounds
}

// What many clients are told of single rows can be explained by one row that executed one call after the
// other, while Redis is killed and started again, the database is away, connections are cut between request
// and reply, flushers die and rows are evicted. The checker is porcupine. A call whose answer got lost may have
// been executed at any time, or never; one that was refused must not have been.
func TestLinearizable(t *testing.T) {
	for name, keepsAll := range map[string]bool{"all is kept": true, "compared after a restart": false} {
		t.Run(name, func(t *testing.T) {
			w := newLinearWorld(t, keepsAll)
			defer func() { w.ok(w.maria.Start()) }()
			long := time.Duration(0)
			if nightly() {
				long = 2 * time.Minute
			}
			stop := make(chan struct{})
			var wg sync.WaitGroup
			for n := range 4 {
				p := w.client(w.redisProxy.Addr(), w.sqlProxy.Addr())
				for m := range 2 {
					wg.Go(func() { w.play(2*n+m, p, stop) })
				}
			}
			wg.Go(func() { // evicts rows, as Redis does when it is full
				for {
					select {
					case <-stop:
						return
					case <-time.After(rand.N(4 * time.Millisecond)):
						_ = w.cache.Forget(w.ctx, []table.Ref{w.rows[rand.IntN(len(w.rows))].ref})
					}
				}
			})
			rounds := w.faults(long)
			close(stop)
			wg.Wait()

			// Everything is whole again.
			w.flusher(quickOptions())
			last := w.client(w.redis.Addr(), w.maria.Addr())
			for row := range w.rows {
				await(t, "the row is read", func() bool {
					_, ok := w.ask(8, last, linearCall{kind: callGet, row: row})
					return ok
				})
			}
			end := time.Since(w.began)
			for row := range w.rows {
				w.history = append(w.history, porcupine.Operation{ClientId: 9, Input: linearCall{kind: callEnd, row: row}, Output: linearAnswer{}, Call: int64(end) + 1, Return: int64(end) + 2})
			}
			began := time.Now()
			for _, row := range w.check(w.history) {
				t.Errorf("no order of its calls explains what was told of %s:\n%s", w.rows[row].ref, w.tell(row))
			}
			t.Logf("%d rounds of faults: %d calls answered, %d without an answer, %d refused; checked in %v", rounds, w.done, w.missed, w.refused, time.Since(began).Round(time.Millisecond))
			w.clean()
			for _, row := range w.rows {
				w.same(row.ref)
			}
			if w.quiet() {
				t.Error("too little happened")
			}
			if !t.Failed() {
				w.checkerSees()
			}
		})
	}
}

// checkerSees tells the checker untruths that it has to find.
func (w *linearWorld) checkerSees() {
	w.Helper()
	lie := func(what string, of func(o porcupine.Operation, in linearCall, out *linearAnswer) bool) {
		w.Helper()
		h := slices.Clone(w.history)
		for n := range h {
			in, out := h[n].Input.(linearCall), h[n].Output.(linearAnswer)
			if of(h[n], in, &out) {
				h[n].Output = out
				if len(w.check(h)) != 1 {
					w.Errorf("the checker believes %s", what)
				}
				return
			}
		}
		w.Errorf("there was nothing to lie about for %s", what)
	}
	lie("a sum that nobody added up", func(_ porcupine.Operation, in linearCall, out *linearAnswer) bool {
		out.count += 1 << 40
		return in.kind == callAdd && out.code == firefly.OK
	})
	lie("a value that nobody wrote", func(_ porcupine.Operation, in linearCall, out *linearAnswer) bool {
		out.mark++
		out.count += 1 << 40
		return in.kind == callGet && out.there
	})
	lie("a row of a former version", func(o porcupine.Operation, in linearCall, out *linearAnswer) bool {
		if in.kind != callGet || !out.there {
			return false
		}
		// Somebody was told a newer version before this call, and an older one is told now.
		newest, former := uint64(0), linearAnswer{}
		for _, other := range w.history {
			is, was := other.Input.(linearCall), other.Output.(linearAnswer)
			if is.row != in.row || was.version == 0 || other.Return >= o.Call {
				continue
			}
			newest = max(newest, was.version)
			if is.kind == callGet && (former.version == 0 || was.version < former.version) {
				former = was
			}
		}
		*out = former
		return former.version != 0 && former.version < newest
	})
}

// tell is the history of a row in the order of its calls.
func (w *linearWorld) tell(row int) string {
	h := slices.DeleteFunc(slices.Clone(w.history), func(o porcupine.Operation) bool { return o.Input.(linearCall).row != row })
	slices.SortFunc(h, func(a, b porcupine.Operation) int { return cmp.Compare(a.Call, b.Call) })
	var b strings.Builder
	for _, o := range h {
		fmt.Fprintf(&b, "%10d to %10d client %d %v: %+v\n", o.Call/1000, o.Return/1000, o.ClientId, o.Input, o.Output)
	}
	return b.String()
}
