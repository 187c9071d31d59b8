package node

import (
	"fmt"
	"strings"
	"testing"

	"github.com/go-sql-driver/mysql"

	"github.com/firefly-go/firefly/runtime/table"
)

// launchWith is a launch file with these tables, checked for a game that uses some.
func launchWith(t *testing.T, tables, store string) (*Launch, error) {
	t.Helper()
	text := fmt.Sprintf(`{"game": "my-game", "nodes": [{"name": "a", "roles": ["hall"%s]}]%s}`, store, tables)
	l, err := ParseLaunch("f.json", []byte(text))
	if err != nil {
		return nil, err
	}
	return l, l.Check([]Role{{Name: "hall", Tables: []*table.Spec{{Name: "player"}, {Name: "purse", Durability: table.Replicated}}}})
}

func TestLaunchTables(t *testing.T) {
	const store = `, "store"`
	good := `"redis": {"addresses": ["r:6379"]}, "mysql": {"address": "m:3306", "database": "d", "user": "u"}`
	for _, c := range []struct{ tables, store, want string }{
		{``, store, `role "hall" uses tables, and the launch file does not say where they are kept`},
		{`, "tables": {"store": "embedded"}`, store, ``},
		{`, "directory": "redis", "tables": {"store": "cached", ` + good + `}`, store, ``},
		{`, "directory": "redis", "tables": {"store": "embedded"}`, store, `directory is "redis", and nothing says where that Redis is`},
		{`, "tables": {"store": "embedded"}`, ``, `no node has the role "store", which keeps them`},
		{`, "tables": {"store": "memory"}`, store, `tables.store "memory" is no store; there are "embedded" and "cached"`},
		{`, "tables": {"store": "embedded", "shards": 4}`, store, `which has no redis, mysql, namespace or shards`},
		{`, "tables": {"store": "embedded", "stre": 4}`, store, `unknown key "stre" in tables`},
		{`, "tables": {"store": "cached", ` + good + `}`, store, ``},
		{`, "tables": {"store": "cached", ` + good + `}`, ``, `no node has the role "store", which brings rows to the database`},
		{`, "tables": {"store": "cached", ` + strings.Replace(good, `"addresses"`, `"keeps_all": true, "addresses"`, 1) + `}`, store,
			`f.json:1:128: tables.redis.keeps_all says that no replica takes the place of Redis, and the table "purse" is REPLICATED`},
		{`, "tables": {"store": "cached", ` + strings.Replace(good, `"addresses": ["r:6379"]`, `"sentinels": ["s:1", "t:2"], "master": "m"`, 1) + `}`, store, ``},
		{`, "tables": {"store": "cached", ` + strings.Replace(good, `"addresses": ["r:6379"]`, `"sentinels": ["s:1"]`, 1) + `}`, store, `needs both sentinels and master`},
		{`, "tables": {"store": "cached", ` + strings.Replace(good, `"addresses": ["r:6379"]`, `"master": "m"`, 1) + `}`, store, `needs both sentinels and master`},
		{`, "tables": {"store": "cached", ` + strings.Replace(good, `"addresses"`, `"sentinels": ["s:1"], "master": "m", "addresses"`, 1) + `}`, store, `has addresses and sentinels, which say where Redis is; leave one out`},
		{`, "tables": {"store": "cached", ` + strings.Replace(good, `"addresses": ["r:6379"]`, `"sentinels": ["s"], "master": "m"`, 1) + `}`, store, `tables.redis.sentinels: "s" is not host:port`},
		{`, "tables": {"store": "cached", ` + strings.Replace(good, `"addresses": ["r:6379"]`, `"sentinels": ["s:1"], "master": "m", "keeps_all": true`, 1) + `}`, store, `sentinels see to it that one does`},
		{`, "tables": {"store": "cached"}`, store, `needs tables.redis.addresses`},
		{`, "tables": {"store": "cached"}`, store, `needs tables.mysql`},
		{`, "tables": {"store": "cached", "shards": 0, ` + good + `}`, store, `tables.shards is 0`},
		{`, "tables": {"store": "cached", "namespace": "a b", ` + good + `}`, store, `tables.namespace "a b"`},
		{`, "tables": {"store": "cached", ` + strings.Replace(good, `"r:6379"`, `"r:1", "r:2"`, 1) + `}`, store, `has 2 addresses and is no cluster`},
		{`, "tables": {"store": "cached", ` + strings.Replace(good, `"r:6379"`, `"r"`, 1) + `}`, store, `tables.redis.addresses: "r" is not host:port`},
		{`, "tables": {"store": "cached", ` + strings.Replace(good, `m:3306`, `m`, 1) + `}`, store, `tables.mysql.address: "m" is not host:port`},
		{`, "tables": {"store": "cached", ` + strings.Replace(good, `"user": "u"`, `"user": ""`, 1) + `}`, store, `the password comes from MY_GAME_MYSQL_PASSWORD`},
		{`, "tables": {"store": "cached", ` + strings.Replace(good, `"user"`, `"password": "x", "user"`, 1) + `}`, store, `unknown key "password" in tables.mysql`},
	} {
		_, err := launchWith(t, c.tables, c.store)
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", c.tables, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: %v, want %s", c.tables, err, c.want)
		}
	}
}

// Addresses and passwords come together, whatever characters they have.
func TestLaunchAddresses(t *testing.T) {
	secrets := map[string]string{"MY_GAME_MYSQL_PASSWORD": "p@ss:w/rd?", "MY_GAME_REDIS_PASSWORD": "r@:/?#"}
	getenv := func(name string) string { return secrets[name] }
	l, err := launchWith(t, `, "tables": {"store": "cached", "redis": {"addresses": ["r:1", "s:2"], "cluster": true, "user": "me", "tls": true},
		"mysql": {"address": "m:3306", "database": "d", "user": "u@x", "tls": true}}`, `, "store"`)
	if err != nil {
		t.Fatal(err)
	}
	c, err := mysql.ParseDSN(l.mysqlDSN(getenv))
	if err != nil || c.Passwd != secrets["MY_GAME_MYSQL_PASSWORD"] || c.User != "u@x" || c.Addr != "m:3306" || c.DBName != "d" || c.TLSConfig != "true" {
		t.Errorf("%+v %v", c, err)
	}
	if got := l.redisURL(l.Tables.Redis, envRedisPassword, getenv); got != "rediss://me:r%40%3A%2F%3F%23@r:1?addr=s%3A2" {
		t.Error(got)
	}
	if l.Tables.Namespace != "my-game" || l.Tables.Shards != 256 {
		t.Errorf("%+v", l.Tables)
	}
	l.Tables.Redis.Addresses, l.Tables.Redis.Cluster, l.Tables.Redis.User, l.Tables.Redis.TLS, l.Tables.Redis.Database = []string{"r:1"}, false, "", false, 3
	if got := l.redisURL(l.Tables.Redis, envRedisPassword, func(string) string { return "" }); got != "redis://r:1/3" {
		t.Error(got)
	}
}
