package node

import (
	"fmt"
	"strings"
	"testing"

	"github.com/firefly-go/firefly/runtime/table"
)

func TestLaunchDirectory(t *testing.T) {
	cached := `, "tables": {"store": "cached", "redis": {"addresses": ["r:6379"]}, "mysql": {"address": "m:3306", "database": "d", "user": "u"}}`
	for _, c := range []struct{ more, stores, want string }{
		{`"directory": "redis"`, `, {"name": "s", "roles": ["store"]}`, `f.json:1:114: directory is "redis", and nothing says where that Redis is: directory_redis does, or tables.redis of tables that are "cached"`},
		{`"directory": "redis", "directory_redis": {"addresses": ["r:6379"]}`, ``, ``},
		{`"directory": "redis", "directory_redis": {"addresses": ["r:6379"], "keeps_all": true, "user": "u", "tls": true, "database": 2}`, ``, ``},
		{`"directory": "redis"` + cached, `, {"name": "s", "roles": ["store"]}`, ``},
		{`"directory": "redis"` + cached, `, {"name": "s", "roles": ["store"]}, {"name": "t", "roles": ["store"]}`, ``},
		{`"directory": "store"` + cached, `, {"name": "s", "roles": ["store"]}, {"name": "t", "roles": ["store"]}`, `role "store" is SINGLE and node "s" plays it already`},
		{`"directory": "redis", "directory_redis": {"addresses": ["r:6379"]}, "tables": {"store": "embedded"}`,
			`, {"name": "s", "roles": ["store"]}, {"name": "t", "roles": ["store"]}`, `role "store" is SINGLE and node "s" plays it already`},
		{`"directory": "redis", "tables": {"store": "embedded"}`, `, {"name": "s", "roles": ["store"]}`, `nothing says where that Redis is`},
		{`"directory": "redis", "directory_redis": {}`, ``, `f.json:1:107: directory_redis needs addresses`},
		{`"directory": "redis", "directory_redis": {"addresses": ["r:6379", "s"]}`, ``, `f.json:1:132: directory_redis.addresses: "s" is not host:port`},
		{`"directory": "redis", "directory_redis": {"addresses": ["r:1", "s:2"]}`, ``, `directory_redis has 2 addresses and is no cluster`},
		{`"directory": "redis", "directory_redis": {"addresses": ["r:1"], "cluster": true, "database": 3}`, ``, `directory_redis.database 3: a cluster has 0 only`},
		{`"directory": "redis", "directory_redis": {"adresses": ["r:1"]}`, ``, `unknown key "adresses" in directory_redis`},
		{`"directory_redis": {"addresses": ["r:6379"]}`, `, {"name": "s", "roles": ["store"]}`, `directory_redis is of a directory that is "redis", and it is "store"`},
		{`"directory": "redis", "game": "a b", "directory_redis": {"addresses": ["r:6379"]}`, ``, `key "game" stands twice`},
		{`"directory": "etcd"`, ``, `f.json:1:79: directory "etcd" is none of store, redis, memory`},
		{`"directory": "store"`, ``, `directory is "store" and no node plays role "store"`},
	} {
		var err error
		text := fmt.Sprintf(`{"game": "my-game", "nodes": [{"name": "a", "roles": ["hall"]}%s], %s}`, c.stores, c.more)
		l, err := ParseLaunch("f.json", []byte(text))
		if err == nil {
			err = l.Check([]Role{{Name: "hall", Tables: tablesIn(c.more)}})
		}
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", c.more, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: %v, want %s", c.more, err, c.want)
		}
	}
	l, err := ParseLaunch("f.json", []byte(`{"game": "a b", "nodes": [{"name": "a", "roles": ["hall"]}], "directory": "redis", "directory_redis": {"addresses": ["r:1"]}}`))
	if err == nil {
		err = l.Check([]Role{{Name: "hall"}})
	}
	if err == nil || !strings.Contains(err.Error(), `game "a b" begins the keys in Redis`) {
		t.Error(err)
	}
}

func tablesIn(launch string) []*table.Spec {
	if strings.Contains(launch, "tables") {
		return []*table.Spec{{Name: "player"}}
	}
	return nil
}

// The directory has the Redis of the tables, or its own with a password of its own.
func TestLaunchDirectoryAddress(t *testing.T) {
	secrets := map[string]string{"MY_GAME_REDIS_PASSWORD": "rows", "MY_GAME_DIRECTORY_REDIS_PASSWORD": "who"}
	getenv := func(name string) string { return secrets[name] }
	l, err := launchWith(t, `, "directory": "redis", "tables": {"store": "cached", "namespace": "ns", "redis": {"addresses": ["r:1"]},
		"mysql": {"address": "m:3306", "database": "d", "user": "u"}}`, `, "store"`)
	if err != nil {
		t.Fatal(err)
	}
	r, password := l.directoryRedis()
	if got := l.redisURL(r, password, getenv); got != "redis://:rows@r:1/0" || l.namespace() != "ns" {
		t.Error(got, l.namespace())
	}
	l, err = launchWith(t, `, "directory": "redis", "directory_redis": {"addresses": ["q:2"], "database": 4}, "tables": {"store": "embedded"}`, `, "store"`)
	if err != nil {
		t.Fatal(err)
	}
	r, password = l.directoryRedis()
	if got := l.redisURL(r, password, getenv); got != "redis://:who@q:2/4" || l.namespace() != "my-game" {
		t.Error(got, l.namespace())
	}
}
