// Package bots plays the arena with many typed clients at once, measures what they see and
// checks it: pushes that may not be dropped come complete and in order, the others are fresh.
package bots

import (
	"context"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/firefly-go/firefly/runtime/transport"
)

// Run is the command: `bots -n 200 -d 10s`. addr is where the gates listen unless a flag says
// otherwise. It returns 0 when every check held.
func Run(ctx context.Context, addrs []string, args []string, stdout, stderr io.Writer) int {
	fs := flag.NewFlagSet("bots", flag.ContinueOnError)
	fs.SetOutput(stderr)
	o := options{addrs: addrs}
	fs.IntVar(&o.n, "n", 100, "how many bots play")
	fs.DurationVar(&o.d, "d", 10*time.Second, "how long they play")
	fs.IntVar(&o.rooms, "rooms", 0, "how many rooms they share; 0 is one for eight bots")
	fs.DurationVar(&o.pace, "pace", 100*time.Millisecond, "time between two rounds of one bot")
	fs.BoolVar(&o.chaos, "chaos", false, "nodes are killed meanwhile: answers that say so are counted apart, and bots begin anew")
	addr := fs.String("addr", "", "host:port of a gate, instead of those of the launch file")
	if err := fs.Parse(args); err != nil {
		return 2
	}
	if fs.NArg() > 0 || o.n < 1 || o.pace <= 0 {
		fmt.Fprintln(stderr, "bots: want -n of 1 or more and a positive -pace, and no other arguments")
		return 2
	}
	if *addr != "" {
		o.addrs = []string{*addr}
	}
	if len(o.addrs) == 0 {
		fmt.Fprintln(stderr, "bots: the launch file has no gate with a tcp door; name one with -addr host:port")
		return 2
	}
	if o.rooms == 0 {
		o.rooms = max(1, o.n/8)
	}
	o.network = transport.TCP()
	return o.play(ctx, stdout)
}

type options struct {
	addrs   []string
	n       int
	d       time.Duration
	rooms   int
	pace    time.Duration
	chaos   bool
	network transport.Network
}

// play lets all bots in, lets them act until the time is over, then lets the pushes settle
// and looks at what each bot knows.
func (o *options) play(ctx context.Context, stdout io.Writer) int {
	r := &report{}
	bots := make([]*bot, o.n)
	rnd := rand.Uint32()
	for i := range bots {
		bots[i] = &bot{o: o, r: r, index: i, name: fmt.Sprintf("bot-%08x-%d", rnd, i), addr: o.addrs[i%len(o.addrs)]}
	}
	start := time.Now()
	each(bots, 64, func(b *bot) { b.enter(ctx) })
	r.entered = time.Since(start)

	start = time.Now()
	acting, cancel := context.WithTimeout(ctx, o.d)
	each(bots, 0, func(b *bot) { b.act(ctx, acting) })
	cancel()
	r.played = time.Since(start)

	if o.chaos {
		each(bots, 64, func(b *bot) { b.recover(ctx) })
	}
	each(bots, 0, func(b *bot) { b.lastMove() })
	o.settle(ctx, bots, r)
	for _, b := range bots {
		b.quit()
	}
	r.print(stdout, o)
	if len(r.errors) > 0 {
		return 1
	}
	return 0
}

// settle waits until every bot knows all that happened in its room, and says what is still
// missing after ten seconds.
func (o *options) settle(ctx context.Context, bots []*bot, r *report) {
	rooms := map[string][]*bot{}
	for _, b := range bots {
		if room, _ := b.place(); room != "" {
			rooms[room] = append(rooms[room], b)
		}
	}
	deadline := time.Now().Add(10 * time.Second)
	for {
		missing := unsettled(rooms)
		if len(missing) == 0 {
			return
		}
		if time.Now().After(deadline) || ctx.Err() != nil {
			for _, m := range missing {
				r.fail("%s", m)
			}
			return
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

// unsettled names what bots of one room do not know yet of each other.
func unsettled(rooms map[string][]*bot) (missing []string) {
	for room, bs := range rooms {
		var last int64
		for _, b := range bs {
			_, seq := b.place()
			last = max(last, seq)
		}
		for _, b := range bs {
			if _, seq := b.place(); seq != last {
				missing = append(missing, fmt.Sprintf("%s has seen %d events of %s, others %d", b.name, seq, room, last))
			}
			for _, mate := range bs {
				if mate == b {
					continue
				}
				if x, want := b.seen(mate.id()), mate.at(); x != want {
					missing = append(missing, fmt.Sprintf("%s believes %s at %g, he is at %g", b.name, mate.name, x, want))
				}
			}
		}
	}
	slices.Sort(missing)
	return missing
}

// each runs f for every bot, at most limit at once (0: all), and waits.
func each(bots []*bot, limit int, f func(*bot)) {
	if limit == 0 {
		limit = len(bots)
	}
	slots := make(chan struct{}, limit)
	var wg sync.WaitGroup
	for _, b := range bots {
		slots <- struct{}{}
		wg.Go(func() {
			f(b)
			<-slots
		})
	}
	wg.Wait()
}

// report is what all bots saw together.
type report struct {
	mu              sync.Mutex
	latencies       []time.Duration
	commands        int
	pushes          map[string]int
	refused         map[string]int // answers that a killed node explains, by code; only with -chaos
	errors          []string
	dropped         int // errors beyond those that are kept
	entered, played time.Duration
}

func (r *report) took(d time.Duration) {
	r.mu.Lock()
	r.commands++
	r.latencies = append(r.latencies, d)
	r.mu.Unlock()
}

func (r *report) sent() {
	r.mu.Lock()
	r.commands++
	r.mu.Unlock()
}

func (r *report) push(name string) {
	r.mu.Lock()
	if r.pushes == nil {
		r.pushes = map[string]int{}
	}
	r.pushes[name]++
	r.mu.Unlock()
}

func (r *report) excuse(code string) {
	r.mu.Lock()
	if r.refused == nil {
		r.refused = map[string]int{}
	}
	r.refused[code]++
	r.mu.Unlock()
}

func (r *report) fail(format string, a ...any) {
	r.mu.Lock()
	if len(r.errors) < 20 {
		r.errors = append(r.errors, fmt.Sprintf(format, a...))
	} else {
		r.dropped++
	}
	r.mu.Unlock()
}

func (r *report) print(w io.Writer, o *options) {
	r.mu.Lock()
	defer r.mu.Unlock()
	slices.Sort(r.latencies)
	at := func(q float64) time.Duration {
		if len(r.latencies) == 0 {
			return 0
		}
		return r.latencies[min(len(r.latencies)-1, int(q*float64(len(r.latencies))))].Round(time.Microsecond)
	}
	pushes := 0
	for _, n := range r.pushes {
		pushes += n
	}
	seconds := r.played.Seconds()
	fmt.Fprintf(w, "bots       %d in %d rooms, in after %s, played %s\n", o.n, o.rooms, r.entered.Round(time.Millisecond), r.played.Round(time.Millisecond))
	fmt.Fprintf(w, "commands   %d (%.0f/s), of them %d with a reply\n", r.commands, float64(r.commands)/seconds, len(r.latencies))
	fmt.Fprintf(w, "latency    p50 %s  p99 %s  max %s\n", at(0.5), at(0.99), at(1))
	fmt.Fprintf(w, "pushes     %d (%.0f/s)", pushes, float64(pushes)/seconds)
	for _, name := range sortedKeys(r.pushes) {
		fmt.Fprintf(w, "  %s %d", name, r.pushes[name])
	}
	fmt.Fprintln(w)
	if o.chaos {
		fmt.Fprint(w, "node lost ")
		for _, code := range sortedKeys(r.refused) {
			fmt.Fprintf(w, "  %s %d", code, r.refused[code])
		}
		fmt.Fprintln(w)
	}
	fmt.Fprintf(w, "errors     %d\n", len(r.errors)+r.dropped)
	for _, e := range r.errors {
		fmt.Fprintf(w, "  %s\n", e)
	}
	if r.dropped > 0 {
		fmt.Fprintf(w, "  and %d more\n", r.dropped)
	}
}

func sortedKeys(m map[string]int) []string {
	ks := make([]string, 0, len(m))
	for k := range m {
		ks = append(ks, k)
	}
	slices.Sort(ks)
	return ks
}
