//go:build linux

package node_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	client "github.com/firefly-go/firefly/clients/go"
	"github.com/firefly-go/firefly/runtime/master"
	"github.com/firefly-go/firefly/runtime/node"
	"github.com/firefly-go/firefly/runtime/table/sqlstore"
	"github.com/firefly-go/firefly/runtime/table/tabletest"
)

func newTablesDemo(t *testing.T) *demo {
	d := newDemo(t)
	d.env = []string{envGame + "=tables"}
	launch := strings.Replace(testLaunch, `"directory"`, `"tables": {"store": "embedded"},`+"\n  "+`"directory"`, 1)
	if err := os.WriteFile(d.launch, []byte(launch), 0o644); err != nil {
		t.Fatal(err)
	}
	return d
}

// earner is one player who earns, and asks again until he is told that he has.
type earner struct {
	d    *demo
	id   int
	has  atomic.Int64 // coins that were acknowledged
	lost atomic.Int64 // answers that did not say so
}

// earn goes on until ctx ends.
func (e *earner) earn(ctx context.Context) {
	var c *client.Conn
	defer func() {
		if c != nil {
			c.Close()
		}
	}()
	for n := e.has.Load(); ctx.Err() == nil; {
		if c == nil || c.Err() != nil {
			var err error
			if c, err = client.Dial(ctx, fmt.Sprintf("127.0.0.1:%d", e.d.base), &client.Options{}); err != nil {
				c = nil
				time.Sleep(20 * time.Millisecond)
				continue
			}
		}
		ask, cancel := context.WithTimeout(ctx, 10*time.Second)
		_, err := c.Raw(ask, cmdEarn, fmt.Appendf(nil, "%d %d", e.id, n))
		cancel()
		if err != nil {
			e.lost.Add(1)
			time.Sleep(5 * time.Millisecond)
			continue
		}
		e.has.Store(n)
		n++
	}
}

// purses compares what players have with what they were told.
func (d *demo) purses(earners []*earner) {
	d.t.Helper()
	c := d.dial()
	for _, e := range earners {
		ctx, cancel := context.WithTimeout(d.t.Context(), 20*time.Second)
		var coins, things int64
		b, err := c.Raw(ctx, cmdPurse, fmt.Appendf(nil, "%d 0", e.id))
		cancel()
		if _, scanErr := fmt.Sscan(string(b), &coins, &things); err != nil || scanErr != nil {
			d.t.Fatalf("player %d: %q %v", e.id, b, err)
		}
		if coins != things {
			d.t.Errorf("player %d has %d coins and %d things: half a transaction", e.id, coins, things)
		}
		if has := e.has.Load(); coins < has || coins > has+1 {
			d.t.Errorf("player %d has %d coins and was told of %d", e.id, coins, has)
		}
	}
}

// tablesOf is what the status of a process says of its tables.
func tablesOf(p master.Process) (s node.TablesStatus) {
	_ = json.Unmarshal(p.Tables, &s)
	return s
}

func (d *demo) tablesStatus() (out []node.TablesStatus) {
	b, err := d.command("tables", "status", "--json").Output()
	if err != nil {
		return nil
	}
	if err := json.Unmarshal(b, &out); err != nil {
		d.t.Errorf("tables status --json: %v in %s", err, b)
	}
	return out
}

// TestStoreKilled: the node that keeps the tables is killed under load, and then everything at once. What was
// acknowledged is there, once.
func TestStoreKilled(t *testing.T) {
	d := newTablesDemo(t)
	d.up()
	earners := make([]*earner, 6)
	ctx, end := context.WithCancel(t.Context())
	defer end()
	var wg sync.WaitGroup
	for i := range earners {
		earners[i] = &earner{d: d, id: i + 1}
		wg.Go(func() { earners[i].earn(ctx) })
	}
	told := func() (n int64) {
		for _, e := range earners {
			n += e.has.Load()
		}
		return n
	}
	kills := 4
	for range kills {
		before := told()
		d.await("players earn", 40*time.Second, func() bool { return told() > before+30 })
		pid := d.status()["store"].PID
		_ = syscall.Kill(pid, syscall.SIGKILL)
		d.await("the store is back", 30*time.Second, func() bool { p := d.status()["store"]; return p.State == "ready" && p.PID != pid })
	}
	before := told()
	d.await("players earn", 40*time.Second, func() bool { return told() > before+30 })
	d.await("the store says so", 20*time.Second, func() bool {
		s := d.tablesStatus()
		return len(s) == 1 && s[0].Node == "store" && s[0].Store == "embedded" && s[0].Embedded.Commits > 0 && s[0].Embedded.PerSecond > 0 &&
			s[0].Embedded.Bytes > 0 && s[0].Embedded.File == filepath.Join(d.dir, "tables.db")
	})
	d.await("status says so too", 20*time.Second, func() bool {
		s := tablesOf(d.status()["store"])
		return s.Store == "embedded" && s.Embedded != nil && s.Embedded.Commits > 0
	})
	if code, out, _ := d.tool("tables", "status"); code != 0 || !strings.Contains(out, "embedded") {
		t.Errorf("tables status: %d %s", code, out)
	}
	if code, _, stderr := d.tool("tables", "shake"); code != 2 || !strings.Contains(stderr, "status") {
		t.Errorf("tables shake: %d %s", code, stderr)
	}
	if code, _, stderr := d.tool("tables", "quarantine"); code != 1 || !strings.Contains(stderr, "puts no rows aside") {
		t.Errorf("tables quarantine: %d %s", code, stderr)
	}
	if code, _, stderr := d.tool("tables", "discard", "item"); code != 2 || !strings.Contains(stderr, "it takes TABLE KEY") {
		t.Errorf("tables discard: %d %s", code, stderr)
	}

	// Everything at once, while everybody is at it.
	for _, pid := range d.alive() {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	end()
	wg.Wait()
	d.await("nobody lives", 20*time.Second, func() bool { return len(d.alive()) == 0 })
	lost := int64(0)
	for _, e := range earners {
		lost += e.lost.Load()
	}
	t.Logf("%d coins were acknowledged over %d kills of the store, %d times a player had to ask again", told(), kills, lost)
	d.out = &output{}
	up, ended := d.up()
	d.purses(earners)
	_ = up.Process.Signal(syscall.SIGTERM)
	d.ended(ended, 10*time.Second)
	d.nobodyLeft()
}

// TestMigrate: a store that waits for a migration does not start, and is told what to do.
func TestMigrate(t *testing.T) {
	d := newTablesDemo(t)
	if code, _, stderr := d.tool("migrate", "up"); code != 1 || !strings.Contains(stderr, "no migrations") {
		t.Errorf("migrate up without migrations: %d %s", code, stderr)
	}
	dir := t.TempDir()
	d.env = append(d.env, envMigrations+"="+dir)
	write := func(name, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Join(dir, "sqlite"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "sqlite", name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	item := tabletest.NewTables("").Item.Spec
	write("0001_first.sql", "-- The first.\n"+item.SQLite.Create)
	up, ended := d.up()
	states := func() (out []string) {
		_, b, _ := d.tool("migrate", "status", "--json")
		var s sqlstore.Schema
		if err := json.Unmarshal([]byte(b), &s); err != nil {
			t.Fatalf("migrate status --json: %v in %s", err, b)
		}
		for _, m := range s {
			out = append(out, m.State)
		}
		return out
	}
	if got := fmt.Sprint(states()); got != "[done]" {
		t.Errorf("the states are %s", got)
	}
	// Not while the store has the file.
	write("0002_second.sql", "UPDATE `item` SET `count` = 0;\n")
	if code, _, stderr := d.tool("migrate", "up"); code != 1 || !strings.Contains(stderr, "another process has the store") {
		t.Errorf("migrate up under a running store: %d %s", code, stderr)
	}
	_ = up.Process.Signal(syscall.SIGTERM)
	d.ended(ended, 10*time.Second)

	if code, out, stderr := d.tool("migrate", "status"); code != 1 || !strings.Contains(out, "0002_second  waiting") || !strings.Contains(stderr, "run `migrate up` first") {
		t.Errorf("migrate status: %d %s %s", code, out, stderr)
	}
	d.out = &output{}
	_, masterEnded := d.start("up")
	d.await("the store says why", 40*time.Second, func() bool {
		return strings.Contains(d.out.String(), "the database is at migration 1 and this build is at 2: run `migrate up` first")
	})
	if code, _, stderr := d.tool("stop"); code != 0 {
		t.Errorf("stop: %d %s", code, stderr)
	}
	d.ended(masterEnded, 20*time.Second)
	if code, out, stderr := d.tool("migrate", "up"); code != 0 || out != "0002_second: done\n" {
		t.Errorf("migrate up: %d %s %s", code, out, stderr)
	}
	if code, out, stderr := d.tool("migrate", "up"); code != 0 || out != "nothing to do\n" {
		t.Errorf("migrate up again: %d %s %s", code, out, stderr)
	}
	if got := fmt.Sprint(states()); got != "[done done]" {
		t.Errorf("the states are %s", got)
	}
	d.out = &output{}
	up, ended = d.up()
	_ = up.Process.Signal(syscall.SIGTERM)
	d.ended(ended, 10*time.Second)
	d.nobodyLeft()
}
