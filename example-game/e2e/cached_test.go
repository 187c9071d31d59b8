package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/table/tabletest/servers"
)

// maria is the database of all tests here.
var maria servers.Shared

// cached is a launch file of the game over Redis and MariaDB, with tables and directory in the same Redis, and
// the name of the database.
func cached(t *testing.T, redis *servers.Redis, change func(*firefly.Topology)) (file, database string) {
	t.Helper()
	m := maria.Get(t)
	database = m.Database(t)
	var launch firefly.Topology
	text, err := os.ReadFile(filepath.Join("..", "launch", "dev.json"))
	if err == nil {
		err = json.Unmarshal(text, &launch)
	}
	if err != nil {
		t.Fatal(err)
	}
	launch.Directory = "redis"
	launch.Tables = &firefly.TablesConfig{
		Store: "cached", Shards: 32,
		Redis: &firefly.RedisConfig{Addresses: []string{redis.Addr()}},
		MySQL: &firefly.MySQLConfig{Address: m.Addr(), Database: database, User: "root"},
	}
	change(&launch)
	if text, err = json.Marshal(launch); err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), "cached.json")
	if err := os.WriteFile(file, text, 0o644); err != nil {
		t.Fatal(err)
	}
	return file, database
}

// The game over a real Redis and a real MariaDB: its migrations make the tables, bots play, and what they won
// reaches the database. Two nodes flush.
func TestCached(t *testing.T) {
	redis := servers.NewRedis(t, "always")
	file, database := cached(t, redis, func(l *firefly.Topology) {
		l.Tables.Redis.KeepsAll = true
		l.Nodes = append(l.Nodes, firefly.NodeConfig{Name: "store-2", Roles: []string{"store"}})
	})
	a := prepare(t)
	if out, err := a.command("migrate", "status", "--launch", file).CombinedOutput(); err == nil || !strings.Contains(string(out), "0001_tables") {
		t.Errorf("migrate status before: %v\n%s", err, out)
	}
	if out, err := a.command("migrate", "up", "--launch", file).CombinedOutput(); err != nil {
		t.Fatalf("migrate up: %v\n%s", err, out)
	}
	a.run("--launch", file)
	out, err := a.bots("-n", "40", "-d", "4s")
	t.Log(out)
	if err != nil {
		t.Fatal(err)
	}
	db := maria.Get(t).Open(t, database)
	a.await("the database has what the bots won", 2*time.Minute, func() bool {
		var players, wins, trophies int
		err := db.QueryRow("SELECT (SELECT COUNT(*) FROM player), (SELECT SUM(wins) FROM player), (SELECT COUNT(*) FROM item)").Scan(&players, &wins, &trophies)
		return err == nil && players == 40 && wins > 0 && wins == trophies
	})
	a.await("both stores share the shards", 2*time.Minute, func() bool {
		out, err := a.command("tables", "status", "--json").Output()
		var nodes []struct{ Flusher struct{ Shards int } }
		if err == nil {
			err = json.Unmarshal(out, &nodes)
		}
		return err == nil && len(nodes) == 2 && nodes[0].Flusher.Shards == 16 && nodes[1].Flusher.Shards == 16
	})
}
