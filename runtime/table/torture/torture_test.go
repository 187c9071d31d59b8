//go:build unix

package torture

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/firefly-go/firefly/runtime/table"
	"github.com/firefly-go/firefly/runtime/table/tabletest"
	"github.com/firefly-go/firefly/runtime/table/tabletest/servers"
)

// The environment says how long the torture is: how often each process is killed while it has work in hand,
// and of which seed everything random comes.
const (
	killsVar = "FIREFLY_TORTURE_KILLS"
	seedVar  = "FIREFLY_TORTURE_SEED"
)

// long is how many kills of each process make the long form, which has to be whole.
const long = 10

const (
	writers  = 3
	flushers = 2
)

// mode is how Redis keeps what it acknowledged.
type mode struct {
	name     string
	fsync    string
	keepsAll bool
	cut      bool // a killed server loses the end of its file
	long     bool // in the long form only
}

// Nothing that was acknowledged is lost, doubled or torn while everything is killed, cut and paused.
func TestTorture(t *testing.T) {
	kills := number(t, killsVar, 1)
	seed := uint64(number(t, seedVar, int(time.Now().UnixNano()&0xffffff)))
	for _, m := range []mode{
		{name: "always", fsync: "always"},
		{name: "everysec", fsync: "everysec", cut: true},
		{name: "always keeps_all", fsync: "always", keepsAll: true, long: true},
	} {
		if m.long && kills < long {
			continue
		}
		t.Run(m.name, func(t *testing.T) { newRun(t, m, seed, kills).all() })
	}
}

func number(t *testing.T, name string, none int) int {
	text := os.Getenv(name)
	if text == "" {
		return none
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// run is one torture.
type run struct {
	*testing.T
	mode
	seed  uint64
	kills int
	dir   string

	redis    *servers.Redis
	maria    *servers.MariaDB
	database string
	// Writers and flushers reach the servers through these.
	proxies struct{ writerRedis, writerMySQL, flusherRedis, flusherMySQL *servers.Proxy }

	procs  []*process
	faults [numFaults]atomic.Int64
	losses []loss // what Redis lost, in order; of the faults' goroutine
	audits atomic.Int64
	db     *sql.DB // of the audits

	mu                     sync.Mutex
	stored                 map[[2]int64]bool // items that an audit has seen in the database
	lostN, doubledN, tornN int
}

// loss is a cut of Redis's file: what was acknowledged before from is there.
type loss struct{ from, to int64 } // microseconds

func newRun(t *testing.T, m mode, seed uint64, kills int) *run {
	r := &run{T: t, mode: m, seed: seed, kills: kills, dir: t.TempDir(), stored: map[[2]int64]bool{}}
	t.Logf("%s=%d repeats the order of the faults", seedVar, seed)
	r.redis = servers.NewRedis(t, m.fsync)
	r.maria = servers.NewMariaDB(t)
	r.database = r.maria.Database(t)
	for _, s := range newTables().Specs() {
		r.maria.Exec(t, r.database, strings.TrimSuffix(s.MySQL.Create, ";\n"))
	}
	r.db = r.maria.Open(t, r.database)
	p := &r.proxies
	p.writerRedis, p.flusherRedis = servers.NewProxy(t, r.redis.Addr()), servers.NewProxy(t, r.redis.Addr())
	p.writerMySQL, p.flusherMySQL = servers.NewProxy(t, r.maria.Addr()), servers.NewProxy(t, r.maria.Addr())
	r.setUp()
	return r
}

func (r *run) dsn(p *servers.Proxy) string {
	return strings.Replace(r.maria.DSN(r.database), r.maria.Addr(), p.Addr(), 1)
}

// direct is a process's view that no fault comes between.
func (r *run) direct() *stores {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	s, err := open(ctx, r.redis.Addr(), r.maria.DSN(r.database), r.keepsAll, nil)
	if err != nil {
		r.Fatal(err)
	}
	return s
}

// setUp makes the rows that are there from the beginning.
func (r *run) setUp() {
	s := r.direct()
	defer s.close()
	ctx := r.Context()
	player, account := table.New(s.db, s.tables.Player), table.New(s.db, s.tables.Account)
	insert := func(p *tabletest.Player) {
		p.Name = fmt.Sprint("own", p.ID)
		if err := player.Insert(ctx, p); err != nil {
			r.Fatal(err)
		}
	}
	for i := range banks {
		insert(&tabletest.Player{ID: bankOf(i), Gold: start})
	}
	for i := range accounts {
		if err := account.Insert(ctx, &tabletest.Account{ID: bankOf(i), Balance: start}); err != nil {
			r.Fatal(err)
		}
	}
	for w := range writers {
		for h := range hands {
			insert(&tabletest.Player{ID: ownerOf(w, h)})
			insert(&tabletest.Player{ID: walletOf(ownerOf(w, h))})
		}
	}
}

// process is a writer or a flusher, killed and started again.
type process struct {
	r    *run
	role role
	name string

	mu     sync.Mutex // whoever has it decides about the process
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	errors strings.Builder
	offset int64 // of its log when it was started

	killed, inHand int
	enough         atomic.Bool
}

func (r *run) process(kind string, n int, redis, mysql *servers.Proxy) {
	p := &process{r: r, name: fmt.Sprintf("%s %d", kind, n)}
	p.role = role{Kind: kind, N: n, Redis: redis.Addr(), MySQL: r.dsn(mysql), Log: filepath.Join(r.dir, fmt.Sprintf("%s%d.log", kind, n)),
		KeepsAll: r.keepsAll, Strict: !r.cut}
	r.procs = append(r.procs, p)
}

// start starts the process; mu is held.
func (p *process) start() {
	role := p.role
	role.Seed = p.r.seed + uint64(1000*p.killed)
	text, err := json.Marshal(role)
	if err != nil {
		p.r.Error(err)
		return
	}
	p.offset = size(p.role.Log)
	p.cmd = exec.Command(os.Args[0], "-test.run=^$")
	p.cmd.Env = append(os.Environ(), roleVar+"="+string(text))
	p.cmd.Stderr = &p.errors
	if p.stdin, err = p.cmd.StdinPipe(); err == nil {
		err = p.cmd.Start()
	}
	if err != nil {
		p.r.Error(err)
	}
}

// kill ends the process as kill -9 does; mu is held.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	err := p.cmd.Wait()
	_ = p.stdin.Close()
	if s, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || !s.Signaled() {
		p.r.Errorf("%s ended by itself: %v: %s", p.name, err, p.errors.String())
	}
	p.killed++
	if p.role.Kind == "flusher" && inHand(p.role.Log) || p.role.Kind == "writer" && openNow(p.role.Log, p.offset) > 0 {
		p.inHand++
	}
	p.enough.Store(p.inHand >= p.r.kills)
}

// live kills the process and starts it again until ctx ends.
func (p *process) live(ctx context.Context, rnd *rand.Rand) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for ctx.Err() == nil {
		p.start()
		// It has to be at work before it is worth a kill.
		for n := 0; size(p.role.Log) < p.offset+60 && n < 600 && ctx.Err() == nil; n++ {
			p.pause(ctx, 5*time.Millisecond)
		}
		p.pause(ctx, time.Duration(20+rnd.IntN(500))*time.Millisecond)
		if p.enough.Load() { // the others come first
			p.pause(ctx, 3*time.Second)
		}
		for n := 0; p.role.Kind == "flusher" && !inHand(p.role.Log) && n < 2000 && ctx.Err() == nil; n++ {
			p.pause(ctx, time.Millisecond)
		}
		p.pause(ctx, time.Duration(rnd.IntN(3000))*time.Microsecond)
		p.kill()
	}
}

// pause lets others have the process for a while.
func (p *process) pause(ctx context.Context, d time.Duration) {
	p.mu.Unlock()
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
	p.mu.Lock()
}

// still stops a process where it is for d, and lets it go on.
func (p *process) still(ctx context.Context, d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil || p.cmd.ProcessState != nil {
		return
	}
	_ = p.cmd.Process.Signal(syscall.SIGSTOP)
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
	_ = p.cmd.Process.Signal(syscall.SIGCONT)
}

// all runs the torture and judges it.
func (r *run) all() {
	p := &r.proxies
	for n := range writers {
		r.process("writer", n, p.writerRedis, p.writerMySQL)
	}
	for n := range flushers {
		r.process("flusher", n, p.flusherRedis, p.flusherMySQL)
	}
	ctx, stop := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for i, p := range r.procs {
		wg.Go(func() { p.live(ctx, rand.New(rand.NewPCG(r.seed, uint64(100+i)))) })
	}
	wg.Go(func() { r.audit(ctx) })
	r.makeFaults(rand.New(rand.NewPCG(r.seed, 1)))
	stop()
	wg.Wait()
	for _, err := range []error{r.redis.Start(), r.maria.Start()} {
		if err != nil {
			r.Fatal(err)
		}
	}
	r.drain()
	r.judge()
}

// done reports whether every process was killed often enough, and every fault made.
func (r *run) done() bool {
	for _, p := range r.procs {
		if !p.enough.Load() {
			return false
		}
	}
	for f := range numFaults {
		if r.faults[f].Load() == 0 && !r.without(f) {
			return false
		}
	}
	return true
}
