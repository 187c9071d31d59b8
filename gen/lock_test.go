package gen_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io/fs"
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"golang.org/x/tools/txtar"

	"github.com/firefly-go/firefly/gen"
	"github.com/firefly-go/firefly/idl"
)

// TestBreaking compares the declaration below old/ with the one below new/; what breaks
// stands under want.
func TestBreaking(t *testing.T) {
	for _, g := range goldens(t, "breaking") {
		t.Run(g.name, func(t *testing.T) {
			sides := map[string]fstest.MapFS{"old": {}, "new": {}}
			got := &txtar.Archive{Comment: g.ar.Comment}
			for _, f := range g.ar.Files {
				if side, name, ok := strings.Cut(f.Name, "/"); ok && sides[side] != nil {
					sides[side][name] = &fstest.MapFile{Data: f.Data}
					got.Files = append(got.Files, f)
				}
			}
			lines := gen.Breaking(current(t, sides["old"]), current(t, sides["new"]))
			want := strings.Join(lines, "\n")
			if want != "" {
				want += "\n"
			}
			got.Files = append(got.Files, txtar.File{Name: "want", Data: []byte(want)})
			if *update {
				if err := os.WriteFile(g.file, txtar.Format(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if a, b := txtar.Format(g.ar), txtar.Format(got); !bytes.Equal(a, b) {
				t.Errorf("not what %s wants\n%s", g.file, firstDifference(a, b))
			}
		})
	}
}

func load(t *testing.T, proto fs.FS) *idl.System {
	t.Helper()
	sys, err := idl.Load(context.Background(), idl.Options{FS: proto})
	if err != nil {
		t.Fatal(err)
	}
	return sys
}

func current(t *testing.T, proto fs.FS) gen.Release {
	t.Helper()
	r, err := gen.Current(load(t, proto), gen.Options{Module: "example.com"})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// proto is a small game with one command; extra goes into its request.
func proto(extra string) fs.FS {
	return fstest.MapFS{"a.proto": {Data: []byte(`syntax = "proto3";
package a.v1;
import "firefly/v1/options.proto";
option go_package = "example.com/apb";
option (firefly.v1.role) = { name: "game" serves: "A" listens: { tcp: 7700 } };
service A { rpc Do(Request) returns (Reply) { option (firefly.v1.command) = { id: 101 }; } }
message Request { string name = 1; ` + extra + ` }
message Reply {}
`)}}
}

// TestReleases follows a game over three releases: what still fits is accepted, by shape for
// the command and by fingerprint for the whole, and what no longer fits is not.
func TestReleases(t *testing.T) {
	var lock []byte
	generate := func(extra string) (schema string) {
		t.Helper()
		files, err := gen.Generate(load(t, proto(extra)), gen.Options{Module: "example.com", Lock: lock})
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			switch f.Path {
			case gen.LockPath:
				lock = f.Data
			case "apb/schema.ff.go":
				schema = string(f.Data)
			}
		}
		return schema
	}
	release := func(version string) gen.Release {
		t.Helper()
		l, err := gen.ReadLock(lock)
		if err != nil {
			t.Fatal(err)
		}
		l.Release(version)
		lock = l.Bytes()
		return l.Current
	}
	has := func(schema, what string, h gen.Hash) bool {
		for line := range strings.Lines(schema) {
			if strings.Contains(line, what) && strings.Contains(line, "0x"+string(h)) {
				return true
			}
		}
		return false
	}

	if s := generate(""); strings.Contains(s, "Released:") || strings.Contains(s, "Accepts:") {
		t.Errorf("nothing is released, and the schema accepts something:\n%s", s)
	}
	one := release("1.0")
	if s := generate(""); strings.Contains(s, "Released:") {
		t.Errorf("the release is what is declared, and stands there again:\n%s", s)
	}
	s := generate("int32 level = 2;")
	if !has(s, "Released:", one.Fingerprint) || !has(s, "Accepts:", one.Items[0].Shape) {
		t.Errorf("an added field fits, and 1.0 is not accepted:\n%s", s)
	}
	two := release("2.0")
	s = generate("string level = 2;")
	if !has(s, "Accepts:", one.Items[0].Shape) || has(s, "Accepts:", two.Items[0].Shape) || has(s, "Released:", two.Fingerprint) || !has(s, "Released:", one.Fingerprint) {
		t.Errorf("a field that changed its type fits 1.0, which had none, and not 2.0:\n%s", s)
	}
	// Releasing again under another name keeps one entry.
	release("2.1")
	release("2.2")
	l, err := gen.ReadLock(lock)
	if err != nil {
		t.Fatal(err)
	}
	var versions []string
	for _, r := range l.Releases {
		versions = append(versions, r.Version)
	}
	if got := strings.Join(versions, " "); got != "1.0 2.0 2.2" {
		t.Errorf("releases %s", got)
	}
}

// TestLaunchVersion: the version rises with the nodes, and with nothing else.
func TestLaunchVersion(t *testing.T) {
	sys := load(t, proto(""))
	launch := func(before []byte) []byte {
		files, err := gen.Generate(sys, gen.Options{Module: "example.com", Launch: before})
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			if f.Path == gen.LaunchPath {
				return f.Data
			}
		}
		t.Fatal("no launch file")
		return nil
	}
	first := launch(nil)
	if again := launch(first); !bytes.Equal(first, again) {
		t.Errorf("%s became %s", first, again)
	}
	other := bytes.Replace(first, []byte(`"game-1"`), []byte(`"game-9"`), 1)
	if got := launch(other); !bytes.Contains(got, []byte(`"version": 2`)) {
		t.Errorf("other nodes, and the version is still %s", got)
	}
	if got := launch([]byte("{")); !bytes.Contains(got, []byte(`"version": 1`)) {
		t.Errorf("after a damaged file: %s", got)
	}
}

// FuzzLock: a lock is a file that merges damage; reading and comparing it must not panic.
func FuzzLock(f *testing.F) {
	sys, err := idl.Load(context.Background(), idl.Options{FS: proto("repeated int32 list = 2; map<string, Reply> m = 3; optional int64 o = 4 [json_name = \"a b=c\"];")})
	if err != nil {
		f.Fatal(err)
	}
	now, err := gen.Current(sys, gen.Options{Module: "example.com"})
	if err != nil {
		f.Fatal(err)
	}
	l := &gen.Lock{Format: 1, Current: now}
	l.Release("1.0")
	f.Add(l.Bytes())
	f.Add([]byte(`{"format": 1, "releases": [{"items": [{"kind": "command", "id": 101, "request": "a.v1.Request"}], "messages": {"a.v1.Request": ["1 int32"]}}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := gen.ReadLock(b)
		if err != nil {
			return
		}
		for _, r := range l.Releases {
			gen.Breaking(r, now)
			gen.Breaking(now, r)
		}
	})
}

// TestLockOfTables: a lock keeps the tables of releases apart that peers could not tell apart, and says
// which line of it is damaged.
func TestLockOfTables(t *testing.T) {
	lockOf := func(durability string, lock []byte) []byte {
		sys := load(t, fstest.MapFS{"a.proto": {Data: []byte(`syntax = "proto3";
package a.v1;
import "firefly/v1/options.proto";
option go_package = "example.com/apb";
message Player {
  option (firefly.v1.table) = { key: "id" durability: ` + durability + ` };
  int64 id = 1;
  Stats stats = 2;
}
message Stats { int32 strength = 1; }
`)}})
		files, err := gen.Generate(sys, gen.Options{Module: "example.com", Lock: lock})
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			if f.Path == gen.LockPath {
				return f.Data
			}
		}
		t.Fatal("there is no lock")
		return nil
	}
	release := func(b []byte, version string) []byte {
		l, err := gen.ReadLock(b)
		if err != nil {
			t.Fatal(err)
		}
		l.Release(version)
		return l.Bytes()
	}
	b := release(lockOf("WRITE_THROUGH", nil), "1")
	b = release(lockOf("WRITE_BEHIND", b), "2")
	b = release(lockOf("WRITE_BEHIND", b), "2.1")
	l, err := gen.ReadLock(b)
	if err != nil {
		t.Fatal(err)
	}
	if len(l.Releases) != 2 || l.Releases[0].Version != "1" || l.Releases[1].Version != "2.1" {
		t.Fatalf("releases %+v", l.Releases)
	}
	if got := gen.Breaking(l.Releases[0], l.Current); len(got) != 1 || !strings.Contains(got[0], "durability was WRITE_THROUGH") {
		t.Errorf("%q", got)
	}
	if l.Current.Messages["a.v1.Stats"] == nil {
		t.Error("the message in a column is not in the lock")
	}
	broken := bytes.ReplaceAll(b, []byte("2 stats: optional a.v1.Stats as LONGBLOB"), []byte("2 stats"))
	if _, err := gen.ReadLock(broken); err == nil || !strings.Contains(err.Error(), `table a.v1.Player has the line "2 stats"`) {
		t.Errorf("a damaged line: %v", err)
	}
}

// TestDescribeTables: a description has what the declaration says of a table, and its names.
func TestDescribeTables(t *testing.T) {
	for _, g := range goldens(t, "golden") {
		if g.name != "columns" && g.name != "bank" {
			continue
		}
		proto, o, _, _ := g.inputs()
		d, err := gen.Describe(load(t, proto), o)
		if err != nil {
			t.Fatal(err)
		}
		if g.name == "bank" {
			x := d.Tables[1]
			if x.Name != "bank.v1.Letter" || x.SQL != "tb_mail" || x.PlacedBy != "receiver_id" || x.Durability != "WRITE_THROUGH" || x.Flush != "" || !x.AutoID ||
				len(x.Roles) != 1 || x.Roles[0] != "world" || len(x.Indexes) != 1 || !x.Indexes[0].Exact || x.Indexes[0].Go != "ByReceiverID" || x.Columns[1].SQL != "receiverId" {
				t.Errorf("%+v", x)
			}
			continue
		}
		x := d.Tables[2]
		level := x.Columns[4]
		if x.Name != "columns.v1.Old" || x.Flush != "5s" || level.Name != "level" || level.Add != "AddLevel" || level.MySQL != "SMALLINT(6)" || level.SQLite != "INTEGER" ||
			level.Default != "1" || level.Was != "lv" || level.Limits != "at least 1" || !x.Columns[9].Nullable {
			t.Errorf("%+v", x)
		}
	}
}

// A release that was recorded before locks held rules says nothing of them; one that had none
// says so.
func TestRulesOfOldReleases(t *testing.T) {
	side := func(rule string) gen.Release {
		return current(t, fstest.MapFS{"a.proto": &fstest.MapFile{Data: []byte(`syntax = "proto3";
package a.v1;
import "firefly/v1/options.proto";
option go_package = "example.com/apb";
option (firefly.v1.role) = { name: "game" serves: "A" listens: { tcp: 7700 } };
service A { rpc Do(Q) returns (Q) { option (firefly.v1.command) = { id: 101 }; } }
message Q { string name = 1` + rule + `; }
`)}})
	}
	now := side(" [(firefly.v1.rule).max_len = 3]")
	for _, rules := range []string{"", `"rules":{},`, `"rules":{"a.v1.Q":["1 later=5 max_len=9"]},`} {
		old := side("")
		old.Rules = nil
		b, err := json.Marshal(map[string]any{"format": 1, "releases": []gen.Release{old}})
		if err != nil {
			t.Fatal(err)
		}
		l, err := gen.ReadLock(bytes.Replace(b, []byte(`"fingerprint"`), []byte(rules+`"fingerprint"`), 1))
		if err != nil {
			t.Fatal(err)
		}
		got := gen.Breaking(l.Releases[0], now)
		if len(got) != min(1, len(rules)) {
			t.Errorf("with %q: %q", rules, got)
		}
		if l.Releases[0].Same(now) {
			t.Errorf("with %q both are the same release", rules)
		}
	}
}
