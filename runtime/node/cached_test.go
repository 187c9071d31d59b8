//go:build linux

package node_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/firefly-go/firefly/runtime/table/sqlstore"
	"github.com/firefly-go/firefly/runtime/table/tabletest"
	"github.com/firefly-go/firefly/runtime/table/tabletest/servers"
)

// TestCached: a game whose rows are in Redis and MySQL, and who is where in Redis. Nodes are killed under load, the flusher among them; what
// was acknowledged is there, once, and reaches MySQL.
func TestCached(t *testing.T) {
	redis, maria := servers.NewRedis(t, "always"), servers.NewMariaDB(t)
	database := maria.Database(t)
	d := newTablesDemo(t)
	text, err := json.Marshal(map[string]any{
		"store": "cached", "shards": 16,
		"redis": map[string]any{"addresses": []string{redis.Addr()}, "keeps_all": true},
		"mysql": map[string]any{"address": maria.Addr(), "database": database, "user": "game"},
	})
	if err != nil {
		t.Fatal(err)
	}
	launch := strings.Replace(testLaunch, `"directory": "store"`, `"tables": `+string(text)+", \n"+`"directory": "redis"`, 1)
	if launch == testLaunch {
		t.Fatal("the launch file has no directory")
	}
	if err := os.WriteFile(d.launch, []byte(launch), 0o644); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	d.env = append(d.env, "DEMO_MYSQL_PASSWORD=game", envMigrations+"="+dir)
	item := tabletest.NewTables("").Item.Spec
	if err := os.Mkdir(filepath.Join(dir, "mysql"), 0o755); err != nil {
		t.Fatal(err)
	}
	first := sqlstore.SystemMySQL + item.MySQL.Create
	if err := os.WriteFile(filepath.Join(dir, "mysql", "0001_first.sql"), []byte(first), 0o644); err != nil {
		t.Fatal(err)
	}

	// Without its tables a node does not start.
	_, ended := d.start("up")
	d.await("a node says what to do", 40*time.Second, func() bool { return strings.Contains(d.out.String(), "run `migrate up` first") })
	if code, _, stderr := d.tool("stop"); code != 0 {
		t.Errorf("stop: %d %s", code, stderr)
	}
	d.ended(ended, 20*time.Second)
	if code, out, _ := d.tool("migrate", "status"); code != 1 || !strings.Contains(out, "0001_first  waiting") {
		t.Errorf("migrate status: %d %s", code, out)
	}
	if code, out, stderr := d.tool("migrate", "up"); code != 0 || out != "0001_first: done\n" {
		t.Fatalf("migrate up: %d %s %s", code, out, stderr)
	}

	d.out = &output{}
	up, ended := d.up()
	earners := make([]*earner, 4)
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
	for _, victim := range []string{"store", "world-1", "store"} {
		before := told()
		d.await("players earn", 60*time.Second, func() bool { return told() > before+40 })
		pid := d.status()[victim].PID
		_ = syscall.Kill(pid, syscall.SIGKILL)
		d.await(victim+" is back", 30*time.Second, func() bool { p := d.status()[victim]; return p.State == "ready" && p.PID != pid })
	}
	before := told()
	d.await("players earn", 60*time.Second, func() bool { return told() > before+40 })
	d.await("the flusher says so", 40*time.Second, func() bool {
		s := d.tablesStatus()
		return len(s) == 1 && s[0].Store == "cached" && s[0].Flusher != nil && s[0].Flusher.Shards == 16 && s[0].Flusher.Rows > 0
	})
	d.await("status says so too", 40*time.Second, func() bool {
		ps := d.status()
		s := tablesOf(ps["store"])
		return s.Store == "cached" && s.Flusher != nil && s.Flusher.Shards == 16 && s.Flusher.Rows > 0 && len(ps["world-1"].Tables) == 0
	})
	if code, out, stderr := d.tool("tables", "quarantine"); code != 0 || !strings.Contains(out, "no such row") {
		t.Errorf("tables quarantine: %d %s %s", code, out, stderr)
	}
	end()
	wg.Wait()
	d.purses(earners)
	db := maria.Open(t, database)
	d.await("MySQL has it all", 40*time.Second, func() bool {
		for _, e := range earners {
			var least, most int64
			q := "SELECT MIN(`count`), MAX(`count`) FROM item WHERE owner_id = ?"
			if err := db.QueryRowContext(t.Context(), q, e.id).Scan(&least, &most); err != nil || least != most || least < e.has.Load() {
				return false
			}
		}
		return true
	})
	t.Logf("%d coins were acknowledged", told())
	_ = up.Process.Signal(syscall.SIGTERM)
	d.ended(ended, 10*time.Second)
	d.nobodyLeft()
}
