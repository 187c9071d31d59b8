package firefly

import (
	"encoding/json"
	"fmt"
	"math"
	"time"
)

// Topology is the launch file: which nodes there are and what is set for them. ffgen emits
// launch/dev.json from the declared roles; it is edited by operators. Unknown keys are
// refused with their position. Secrets never stand in it.
type Topology struct {
	// Game is the name of the game, "arena".
	Game string `json:"game"`
	// Version rises whenever Nodes changes; nodes and master keep the highest they saw.
	Version uint64 `json:"version"`
	// Master says where the master listens.
	Master MasterConfig `json:"master"`
	// Directory says who knows where players are: "store" (the node with role store), "redis" (the Redis of
	// DirectoryRedis), or "memory" (one process only).
	Directory string `json:"directory"`
	// DirectoryRedis is where the Redis of the directory is; nil: that of Tables. Its password comes from the
	// environment: ARENA_DIRECTORY_REDIS_PASSWORD for the game arena.
	DirectoryRedis *RedisConfig `json:"directory_redis,omitempty"`
	// Tables says where rows are kept; needed by a game whose roles use tables.
	Tables *TablesConfig `json:"tables,omitempty"`
	// MinClient refuses clients that announce a smaller version, by dotted numbers.
	MinClient string `json:"min_client,omitempty"`
	// Roles are settings by role.
	Roles map[string]RoleConfig `json:"roles,omitempty"`
	// Nodes are the processes.
	Nodes []NodeConfig `json:"nodes"`
}

// TablesConfig says where the rows of tables are kept.
type TablesConfig struct {
	// Store is "embedded": one SQLite file of the node with role store, under its data folder. It needs
	// nothing installed and is meant for development and for games of one host. Or it is "cached": Redis has
	// the rows that are in use, and nodes with role store bring them to MySQL or MariaDB.
	Store string `json:"store"`
	// Namespace begins every key in Redis, so that several games can share a server; the game's name.
	Namespace string `json:"namespace,omitempty"`
	// Shards is how many shards the rows are split into, 256. It cannot change while anything is cached.
	Shards int          `json:"shards,omitempty"`
	Redis  *RedisConfig `json:"redis,omitempty"`
	MySQL  *MySQLConfig `json:"mysql,omitempty"`
}

// RedisConfig is where Redis is. The password comes from the environment: ARENA_REDIS_PASSWORD for the game
// arena.
type RedisConfig struct {
	Addresses []string `json:"addresses,omitempty"` // host:port; several of a cluster
	Cluster   bool     `json:"cluster,omitempty"`
	// Sentinels, host:port, say where the server is that they know as Master, in place of Addresses. Their
	// password, if they ask one, comes from the environment: ARENA_SENTINEL_PASSWORD.
	Sentinels []string `json:"sentinels,omitempty"`
	Master    string   `json:"master,omitempty"`
	TLS       bool     `json:"tls,omitempty"`
	User      string   `json:"user,omitempty"`
	Database  int      `json:"database,omitempty"` // by number, 0 of a cluster
	// KeepsAll says that Redis never forgets what it acknowledged: appendfsync is always, and no replica ever
	// takes its place. A server that is set up otherwise is refused then.
	KeepsAll bool `json:"keeps_all,omitempty"`
}

// MySQLConfig is where MySQL or MariaDB is. The password comes from the environment: ARENA_MYSQL_PASSWORD for
// the game arena.
type MySQLConfig struct {
	Address  string `json:"address"` // host:port
	Database string `json:"database"`
	User     string `json:"user"`
	TLS      bool   `json:"tls,omitempty"`
}

// MasterConfig is where the master listens.
type MasterConfig struct {
	Admin string `json:"admin"` // HTTP: status, stop, logs; loopback unless told otherwise
	Link  string `json:"link"`  // nodes register here
}

// NodeConfig is one process.
type NodeConfig struct {
	Name  string   `json:"name"`  // "world-1"
	Roles []string `json:"roles"` // usually one; "store" is the framework's own
	// Link is where other nodes reach this one. Default "127.0.0.1:0".
	Link string `json:"link,omitempty"`
	// Listen are the doors of a gate.
	Listen *ListenConfig `json:"listen,omitempty"`
}

// ListenConfig are the addresses of a gate's doors, host:port each; empty means closed.
type ListenConfig struct {
	TCP       string `json:"tcp,omitempty"`
	WebSocket string `json:"websocket,omitempty"`
	HTTP      string `json:"http,omitempty"`
}

// RoleConfig are the settings of one role.
type RoleConfig struct {
	// Listens overrides, key by key, what the role's `listens` declares.
	Listens *Listens `json:"listens,omitempty"`
	// Config fills the role's config message (protojson); the environment goes over it.
	Config json.RawMessage `json:"config,omitempty"`
}

// Listens are the limits of a gate's doors. A zero value means: as declared, else the
// default. What goes past a limit is closed with a documented reason, never buffered.
type Listens struct {
	Classic          *Classic `json:"classic,omitempty"`
	MaxFrame         uint32   `json:"max_frame,omitempty"`         // body bytes, 65536
	MaxConnections   uint32   `json:"max_connections,omitempty"`   // 20000
	MaxPerAddress    uint32   `json:"max_per_address,omitempty"`   // 0: no limit
	HandshakeTimeout Duration `json:"handshake_timeout,omitempty"` // 10s
	IdleTimeout      Duration `json:"idle_timeout,omitempty"`      // 60s, classic 15m
	Rate             string   `json:"rate,omitempty"`              // "100/s", "none"
	MaxQueue         uint32   `json:"max_queue,omitempty"`         // bytes, 1 MiB
	Resume           Duration `json:"resume,omitempty"`            // 60s
}

// Classic is the protocol of 2013 on the tcp door.
type Classic struct {
	Magic   []int  `json:"magic,omitempty"`   // five numbers 0 to 255; five zeros
	Version uint32 `json:"version,omitempty"` // 0
	Body    string `json:"body,omitempty"`    // PROTOBUF, JSON, RAW
	Errors  string `json:"errors,omitempty"`  // REPLY (default with JSON) or NONE
}

// Duration is a time.Duration written as in the IDL: "250ms", "30s", "15m", "7d".
type Duration time.Duration

// MarshalText writes the duration as time does.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText reads what the IDL may say: time's units, and "d" for 24 hours.
func (d *Duration) UnmarshalText(b []byte) error {
	s := string(b)
	unit := time.Duration(1)
	if n := len(s); n > 1 && s[n-1] == 'd' {
		s, unit = s[:n-1]+"h", 24
	}
	v, err := time.ParseDuration(s)
	if err != nil || v < 0 || v > math.MaxInt64/unit {
		return fmt.Errorf("%q is no duration; write it like 250ms, 30s, 15m or 7d", b)
	}
	*d = Duration(v * unit)
	return nil
}
