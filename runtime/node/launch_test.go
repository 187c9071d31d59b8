package node

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/firefly-go/firefly"
)

func testRoles() []Role {
	return []Role{
		{Name: "gate", Listens: &Listens{TCP: 7700}},
		{Name: "world"},
		{Name: "clock", Routing: firefly.Single},
	}
}

const goodLaunch = `{
  "game": "demo",
  "version": 1,
  "master": {"admin": "127.0.0.1:7790", "link": "127.0.0.1:7791"},
  "directory": "store",
  "roles": {"gate": {"listens": {"idle_timeout": "2d", "resume": "0s", "classic": {"magic": [78, 37, 38, 48, 9], "body": "JSON"}}}},
  "nodes": [
    {"name": "gate-1", "roles": ["gate"], "listen": {"tcp": "127.0.0.1:7700", "websocket": "127.0.0.1:7701"}},
    {"name": "gate-2", "roles": ["gate"], "listen": {"tcp": "127.0.0.1:7702"}},
    {"name": "world-1", "roles": ["world"]},
    {"name": "store", "roles": ["store"]}
  ]
}`

func TestLaunchGood(t *testing.T) {
	l, err := ParseLaunch("dev.json", []byte(goodLaunch))
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Check(testRoles()); err != nil {
		t.Fatal(err)
	}
	g := l.Roles["gate"].Listens
	if time.Duration(g.IdleTimeout) != 48*time.Hour || g.Resume != -1 {
		t.Errorf("idle %v, resume %v", time.Duration(g.IdleTimeout), g.Resume)
	}
	if err := l.Shift(17700); err != nil {
		t.Fatal(err)
	}
	got := []string{l.Master.Admin, l.Master.Link, l.Nodes[0].Listen.TCP, l.Nodes[0].Listen.WebSocket, l.Nodes[1].Listen.TCP, l.Nodes[2].Link}
	want := "127.0.0.1:17790 127.0.0.1:17791 127.0.0.1:17700 127.0.0.1:17701 127.0.0.1:17702 127.0.0.1:0"
	if strings.Join(got, " ") != want {
		t.Errorf("shifted to %v", got)
	}
}

// TestLaunchShiftOddPorts: the contract of --port-base holds for launch files with any ports.
func TestLaunchShiftOddPorts(t *testing.T) {
	l, err := ParseLaunch("x.json", []byte(`{"game":"g","master":{"admin":"127.0.0.1:9000","link":"127.0.0.1:9100"},"directory":"memory",
		"nodes":[{"name":"gate-1","roles":["gate"],"link":"127.0.0.1:5010","listen":{"tcp":"127.0.0.1:5000"}}]}`))
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Check(testRoles()); err != nil {
		t.Fatal(err)
	}
	if err := l.Shift(20000); err != nil {
		t.Fatal(err)
	}
	if l.Master.Admin != "127.0.0.1:20090" || l.Master.Link != "127.0.0.1:20091" || l.Nodes[0].Link != "127.0.0.1:20010" {
		t.Errorf("%+v %+v", l.Master, l.Nodes[0])
	}
	if l.Shift(65500) == nil || l.Shift(0) == nil {
		t.Error("ports over 65535 were given out")
	}
}

func TestLaunchErrors(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"unknown key", "{\n  \"game\": \"g\",\n  \"gmae\": 1\n}", `f.json:3:3: unknown key "gmae"`},
		{"unknown key inside", `{"nodes": [{"name": "a", "rolls": []}]}`, `f.json:1:26: unknown key "rolls" in nodes[0]`},
		{"other case", `{"Game": "g"}`, `f.json:1:2: unknown key "Game"`},
		{"unknown limit", `{"roles": {"gate": {"listens": {"max_fram": 1}}}}`, `f.json:1:33: unknown key "max_fram" in roles.gate.listens`},
		{"twice", "{\"game\": \"a\",\n\"game\": \"b\"}", `f.json:2:1: key "game" stands twice`},
		{"kind", `{"game": 7}`, `f.json:1:10: game wants a string, not number`},
		{"negative", `{"version": -1}`, `f.json:1:13: version`},
		{"duration", `{"roles": {"gate": {"listens": {"resume": "soon"}}}}`, `f.json:1:43: roles.gate.listens.resume: "soon" is no duration`},
		{"no json", "{\n  \"game\": \"g\",,\n}", `f.json:2:15: `},
		{"cut", `{"game": "g"`, `f.json:1:13: `},
		{"empty", ``, `f.json:1:1: `},
		{"more", `{} {}`, `f.json:1:`},
		{"utf-8", "{\"game\": \"\xff\"}", `f.json:1:`},
	} {
		_, err := ParseLaunch("f.json", []byte(c.text))
		if err == nil {
			t.Errorf("%s: accepted", c.name)
			continue
		}
		var le LaunchError
		if !errors.As(err, &le) || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s: %v; want %s", c.name, err, c.want)
		}
	}
}

// TestLaunchChecks: all that is wrong is said at once, in the order of the file.
func TestLaunchChecks(t *testing.T) {
	text := `{
  "game": "g",
  "master": {"admin": "127.0.0.1"},
  "directory": "etcd",
  "min_client": "new",
  "roles": {"gate": {"listens": {"rate": "fast", "classic": {"magic": [255, 1, 2, 3, 400], "body": "XML"}}}, "word": {}},
  "nodes": [
    {"name": "gate-1", "roles": ["gate"]},
    {"name": "gate-1", "roles": ["gate"], "listen": {"tcp": "127.0.0.1:7700"}},
    {"name": "master", "roles": ["wrld", "clock"]},
    {"name": "World 1", "roles": ["clock"], "link": "nowhere"},
    {"name": "world-2", "roles": ["world", "world"], "listen": {"tcp": ":1"}},
    {"name": "world-3", "roles": []}
  ]
}`
	l, err := ParseLaunch("f.json", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	err = l.Check(testRoles())
	want := []string{
		`f.json:3:23: master.admin: "127.0.0.1" is not host:port`,
		`f.json:4:16: directory "etcd" is none of store, redis, memory`,
		`f.json:5:17: min_client "new" is no version of dotted numbers`,
		`f.json:6:42: rate "fast" is not like 100/s, 5/m or none`,
		`f.json:6:72: magic may not begin with 255: native, TLS or HTTP clients begin with it`,
		`f.json:6:86: magic: 400 is no byte`,
		`f.json:6:100: body "XML" is none of PROTOBUF, JSON, RAW`,
		`f.json:6:118: no role is called "word"; there are clock, gate, store, world`,
		`f.json:9:14: two nodes are called "gate-1"`,
		`f.json:9:61: 127.0.0.1:7700 is taken by node "gate-1"`,
		`f.json:10:14: "master" is the master's name`,
		`f.json:10:34: no role is called "wrld"; there are clock, gate, store, world`,
		`f.json:11:14: "World 1" is no name for a node; write it like world-1`,
		`f.json:11:35: role "clock" is SINGLE and node "master" plays it already`,
		`f.json:11:53: link: "nowhere" is not host:port`,
		`f.json:12:44: node "world-2" plays role "world" twice`,
		`f.json:12:64: no role of node "world-2" listens to clients`,
		`f.json:13:34: node "world-3" plays no role`,
	}
	if err == nil {
		t.Fatal("accepted")
	}
	if w := strings.Join(want, "\n"); err.Error() != w {
		t.Errorf("got\n%s\nwant\n%s", err, w)
	}
}

func TestFindLaunch(t *testing.T) {
	root := t.TempDir()
	deep := filepath.Join(root, "game", "cmd", "demo")
	if err := os.MkdirAll(filepath.Join(root, "game", "launch"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(deep, 0o755); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(root, "game", "launch", "dev.json")
	for _, f := range []string{file, filepath.Join(root, "game", "go.mod")} {
		if err := os.WriteFile(f, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, ok := findLaunch(deep, "/nowhere/x"); !ok || got != file {
		t.Errorf("found %q", got)
	}
	if got, ok := findLaunch(t.TempDir(), filepath.Join(deep, "demo")); !ok || got != file {
		t.Errorf("beside the binary: found %q", got)
	}
	// Above the root of the module there is another game.
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(root, "launch"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "launch", "dev.json"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if got, ok := findLaunch(deep, "/nowhere/x"); ok {
		t.Errorf("found %q of another module", got)
	}
}

// FuzzLaunch: no launch file makes the reader crash or report a position outside the file.
func FuzzLaunch(f *testing.F) {
	f.Add([]byte(goodLaunch))
	f.Add([]byte(`{"nodes": [{"name": "a\"b\\", "rolls": []}]}`))
	f.Add([]byte("{\"game\": \"\xff\"}"))
	f.Add([]byte(`{"roles":{"gate":{"config":{"a":[1,2,{"b":null}]}}}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := ParseLaunch("f", b)
		if err == nil {
			if err = l.Check(testRoles()); err == nil {
				_ = l.Shift(17700)
			}
		}
		var le LaunchError
		if err != nil && !errors.As(err, &le) {
			t.Fatalf("a bare error: %v", err)
		}
		lines := 1 + strings.Count(string(b), "\n")
		for _, x := range le {
			if x.Line < 1 || x.Line > lines || x.Col < 1 || x.Col > len(b)+1 {
				t.Fatalf("position %d:%d outside the file", x.Line, x.Col)
			}
		}
	})
}
