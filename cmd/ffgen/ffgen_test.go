package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/firefly-go/firefly/gen"
)

// tool is one directory in which ffgen runs as a user would run it.
type tool struct {
	t    *testing.T
	dir  string
	out  string // of the last run
	errs string
}

func newTool(t *testing.T) *tool {
	t.Helper()
	if cache, err := exec.Command("go", "env", "GOCACHE").Output(); err == nil {
		t.Setenv("GOCACHE", strings.TrimSpace(string(cache)))
	}
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	dir := t.TempDir()
	t.Chdir(dir)
	return &tool{t: t, dir: dir}
}

// run runs ffgen and fails unless it exits with code.
func (x *tool) run(code int, args ...string) {
	x.t.Helper()
	var out, errs bytes.Buffer
	got := run(context.Background(), args, strings.NewReader(""), &out, &errs)
	x.out, x.errs = out.String(), errs.String()
	if got != code {
		x.t.Fatalf("ffgen %s exits with %d, want %d\n%s%s", strings.Join(args, " "), got, code, x.out, x.errs)
	}
}

func (x *tool) wants(text, part string) {
	x.t.Helper()
	if !strings.Contains(text, part) {
		if len(text) > 20000 {
			text = text[:20000] + "\n..."
		}
		x.t.Fatalf("%q is not in\n%s", part, text)
	}
}

func (x *tool) read(name string) string {
	x.t.Helper()
	b, err := os.ReadFile(filepath.Join(x.dir, name))
	if err != nil {
		x.t.Fatal(err)
	}
	return string(b)
}

func (x *tool) write(name, text string) {
	x.t.Helper()
	to := filepath.Join(x.dir, name)
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		x.t.Fatal(err)
	}
	if err := os.WriteFile(to, []byte(text), 0o644); err != nil {
		x.t.Fatal(err)
	}
}

func (x *tool) replace(name, old, with string) {
	x.t.Helper()
	text := x.read(name)
	if !strings.Contains(text, old) {
		x.t.Fatalf("%s does not contain %q", name, old)
	}
	x.write(name, strings.Replace(text, old, with, 1))
}

func (x *tool) exists(name string) bool {
	_, err := os.Stat(filepath.Join(x.dir, name))
	return err == nil
}

// snapshot is the content of every file below the directory.
func (x *tool) snapshot() map[string]string {
	x.t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(x.dir, func(p string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(p)
		files[p] = string(b)
		return err
	})
	if err != nil {
		x.t.Fatal(err)
	}
	return files
}

func same(a, b map[string]string) bool {
	if len(a) != len(b) {
		return false
	}
	for k, v := range a {
		if w, ok := b[k]; !ok || v != w {
			return false
		}
	}
	return true
}

const protoFile = "demo/proto/demo/v1/demo.proto"

const rollRPC = `
  // Roll throws a die.
  rpc Roll(RollRequest) returns (RollReply) { option (firefly.v1.command) = { id: 102 auth: PUBLIC }; }
}
message RollRequest { int32 sides = 1 [(firefly.v1.rule) = { min: 2 max: 100 }]; }
message RollReply { int32 value = 1; }

message WaveRequest {`

func TestNewGameLife(t *testing.T) {
	x := newTool(t)
	x.run(good, "new", "demo")
	x.wants(x.out, "go run ./cmd/demo up")

	x.run(good, "-C", "demo", "generate")
	x.run(good, "generate", "-C", "demo")
	x.wants(x.out, "all up to date, in ")
	x.run(good, "check", "-C", "demo")

	// A command is added: check says what is stale, generate writes it and appends the method.
	x.replace(protoFile, "}\n\nmessage WaveRequest {", rollRPC)
	x.run(wrong, "check", "-C", "demo")
	x.wants(x.errs, "demopb/services.ff.go is stale")
	game := x.read("demo/game/game.go")
	x.run(good, "generate", "--scaffold", "-C", "demo")
	x.wants(x.out, "changed  demopb/services.ff.go\n")
	x.wants(x.out, "scaffolded  game/game.go: Roll\n")
	if after := x.read("demo/game/game.go"); !strings.HasPrefix(after, game) || !strings.Contains(after, "func (g *Game) Roll(ctx context.Context, s firefly.Session, req *demopb.RollRequest) (*demopb.RollReply, error) {") {
		t.Errorf("game.go is now\n%s", after)
	}
	x.run(good, "generate", "--scaffold", "-C", "demo")
	x.wants(x.out, "all up to date")

	// From a folder inside of the game.
	t.Chdir(filepath.Join(x.dir, "demo", "game"))
	x.run(good, "check")
	t.Chdir(x.dir)

	// A fault: nothing is written, and its place leads there from here.
	x.replace(protoFile, "id: 102", "id: 101")
	before := x.snapshot()
	x.run(wrong, "generate", "-C", "demo")
	if !regexp.MustCompile(`(?m)^demo/proto/demo/v1/demo\.proto:\d+:\d+: id 101 is already used`).MatchString(x.errs) {
		t.Errorf("the fault reads\n%s", x.errs)
	}
	if !same(before, x.snapshot()) {
		t.Error("files changed though generate failed")
	}
	x.replace(protoFile, "id: 101 auth: PUBLIC }; }\n}", "id: 102 auth: PUBLIC }; }\n}")
	x.run(good, "check", "-C", "demo")
}

func TestOwnedFiles(t *testing.T) {
	x := newTool(t)
	x.run(good, "new", "demo")

	// Hand-written code beside the generated stays.
	x.write("demo/demopb/mine.go", "package demopb\n\n// Mine is written by hand.\nconst Mine = 1\n")
	// What no longer follows from the declaration goes, also when its folder is not known any more.
	x.write("demo/api/demopb/old.pb.go", "// Code generated by protoc-gen-go. DO NOT EDIT.\n\npackage demopb\n")
	x.replace(protoFile, "example.com/demo/demopb", "example.com/demo/api/demopb")
	x.run(good, "generate", "-C", "demo")
	x.wants(x.out, "new  api/demopb/demo.pb.go\n")
	x.wants(x.out, "removed  demopb/demo.pb.go\n")
	x.wants(x.out, "removed  api/demopb/old.pb.go\n")
	if x.exists("demo/demopb/services.ff.go") || x.exists("demo/demopb/democlient") {
		t.Error("files of the old folder are still there")
	}
	if !x.exists("demo/demopb/mine.go") {
		t.Error("a hand-written file is gone")
	}
	x.run(good, "check", "-C", "demo")

	// A file in the way that ffgen did not write is not written over.
	x.write("demo/api/demopb/ids.ff.go", "package demopb\n")
	before := x.snapshot()
	x.run(wrong, "generate", "-C", "demo")
	x.wants(x.errs, "api/demopb/ids.ff.go was not written by ffgen")
	if !same(before, x.snapshot()) {
		t.Error("files changed though generate failed")
	}
	if err := os.Remove(filepath.Join(x.dir, "demo/api/demopb/ids.ff.go")); err != nil {
		t.Fatal(err)
	}
	x.run(wrong, "check", "-C", "demo")
	x.wants(x.errs, "api/demopb/ids.ff.go is missing")
	x.run(good, "generate", "-C", "demo")

	// A changed output is found although the inputs are those of the last run.
	x.write("demo/launch/dev.json", "{}\n")
	x.run(wrong, "check", "-C", "demo")
	x.run(good, "generate", "-C", "demo")
	x.wants(x.out, "changed  launch/dev.json\n")

	// A lock that names files elsewhere removes none of them.
	x.write("outside.go", "// Code generated by hand. DO NOT EDIT.\n\npackage outside\n")
	x.replace("demo/ffgen.lock", `"files": [`, `"files": ["../outside.go", "`+protoFile[5:]+`",`)
	x.run(good, "generate", "-C", "demo")
	if !x.exists("outside.go") || !x.exists(protoFile) {
		t.Error("ffgen removed what is not its own")
	}
}

func TestBreaking(t *testing.T) {
	x := newTool(t)
	x.run(good, "new", "demo")
	x.run(good, "breaking", "-C", "demo")
	x.wants(x.out, "nothing is released yet")
	x.run(good, "release", "1.0", "-C", "demo")
	x.run(good, "check", "-C", "demo")
	x.run(good, "breaking", "-C", "demo")
	x.wants(x.out, "nothing breaks")

	x.replace(protoFile, "string name = 1 [", "string called = 2 [json_name = \"called\", ")
	x.replace(protoFile, "(firefly.v1.rule) = { required: true max_len: 24 }];", "(firefly.v1.rule).required = true]; int32 name = 1;")
	x.run(wrong, "breaking", "-C", "demo")
	x.wants(x.errs, "release 1.0: field 1 of demo.v1.WaveRequest was string and is int32 (in command demo.v1.Demo.Wave)")
	x.run(good, "generate", "-C", "demo")
	x.wants(x.errs, "warning: release 1.0: field 1")
	x.run(good, "generate", "-C", "demo")
	x.wants(x.errs, "warning: release 1.0: field 1")
	x.replace(protoFile, "int32 name = 1;", "int64 name = 1;")
	x.run(wrong, "release", "2.0", "-C", "demo")
	x.wants(x.errs, "run ffgen generate first")
}

func TestBreakingAgainst(t *testing.T) {
	x := newTool(t)
	x.run(good, "new", "demo")
	x.run(good, "new", "older/demo")
	x.replace(protoFile, "id: 101", "id: 111")
	const fault = "command demo.v1.Demo.Wave had id 101 and has 111"
	for _, against := range []string{"older/demo", "older/demo/proto", "older/demo/ffgen.lock"} {
		x.run(wrong, "breaking", "-C", "demo", "--against", against)
		x.wants(x.errs, fault)
	}
	x.run(good, "breaking", "-C", "demo", "--against", "demo/proto")
	x.run(wrong, "breaking", "-C", "demo", "--against", "nowhere")
	x.wants(x.errs, `"nowhere" is neither a path nor a git ref`)
	x.run(wrong, "breaking", "-C", "demo", "--against=--output=x")

	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("no git")
	}
	git := func(args ...string) {
		t.Helper()
		cmd := exec.Command("git", append([]string{"-C", "older", "-c", "user.name=a", "-c", "user.email=a@example.com"}, args...)...)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
	}
	git("init", "-q")
	git("add", "-A")
	git("commit", "-q", "-m", "first")
	git("tag", "with-lock")
	git("rm", "-q", "demo/ffgen.lock")
	git("commit", "-q", "-m", "second")
	git("tag", "without-lock")
	x.write("older/"+protoFile, x.read(protoFile))
	for _, ref := range []string{"with-lock", "without-lock", "HEAD"} {
		x.run(wrong, "breaking", "-C", "older/demo", "--against", ref)
		x.wants(x.errs, fault)
	}
}

func TestDescribe(t *testing.T) {
	x := newTool(t)
	x.run(good, "new", "demo")
	x.run(good, "describe", "--json", "-C", "demo")
	var d gen.Description
	dec := json.NewDecoder(strings.NewReader(x.out))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&d); err != nil {
		t.Fatal(err)
	}
	if d.Game != "demo" || len(d.Commands) != 1 || d.Commands[0].Name != "demo.v1.Demo.Wave" || d.Commands[0].Comment != "Wave greets everybody who is here." || d.Roles[0].Name != "game" {
		t.Errorf("described as %+v", d)
	}
	x.run(good, "describe", "-C", "demo")
	x.wants(x.out, "command 101")
}

func TestUsage(t *testing.T) {
	x := newTool(t)
	x.run(good, "--help")
	x.wants(x.out, "ffgen breaking")
	x.run(good, "help")
	x.run(good, "version")
	x.run(usage, "generat")
	x.wants(x.errs, `there is no command "generat"`)
	x.run(usage, "generate", "--nonsense")
	x.run(usage, "generate", "this")
	x.run(usage, "new")
	x.run(usage, "release")
	for _, name := range []string{"Demo", "de-mo", "1st", "go", "game", "firefly"} {
		x.run(usage, "new", "x/"+name+"/")
	}
	x.run(usage, "new", "demo", "--module", "not a path")
	x.run(wrong, "generate")
	x.wants(x.errs, "ffgen new NAME makes a game")
	x.write("go.mod", "module example.com/x\n\ngo 1.26\n")
	x.run(wrong, "generate")
	x.wants(x.errs, `no folder "proto"`)
	x.write("full/file", "")
	x.run(wrong, "new", "full")
	x.wants(x.errs, "is not empty")
}

// TestNewGameBuilds: a new game passes its own test and builds, with nothing fetched.
func TestNewGameBuilds(t *testing.T) {
	if testing.Short() {
		t.Skip("builds a game")
	}
	x := newTool(t)
	x.run(good, "new", "demo")
	x.replace(protoFile, "}\n\nmessage WaveRequest {", rollRPC)
	x.run(good, "generate", "--scaffold", "-C", "demo")
	for _, args := range [][]string{{"vet", "./..."}, {"test", "-count=1", "./..."}, {"tool", "ffgen", "check"}} {
		cmd := exec.Command("go", args...)
		cmd.Dir = filepath.Join(x.dir, "demo")
		cmd.Env = append(os.Environ(), "GOFLAGS=-mod=readonly", "GOWORK=off")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}

// TestTableInNewGame does what README says about a table of one's own: rows in a new game.
func TestTableInNewGame(t *testing.T) {
	if testing.Short() {
		t.Skip("builds a game")
	}
	x := newTool(t)
	x.run(good, "new", "demo")
	x.replace(protoFile, `serves: "Demo"`, `serves: "Demo"
  uses: "Waver"`)
	x.replace(protoFile, "message WaveRequest {", `// Waver is somebody who waved.
message Waver {
  option (firefly.v1.table) = { key: "name" };
  string name = 1 [(firefly.v1.rule) = { required: true max_len: 24 }];
  int64 waves = 2;
}

message WaveRequest {`)
	x.run(good, "generate", "-C", "demo")
	x.wants(x.read("demo/launch/dev.json"), `"store": "embedded"`)
	x.replace("demo/game/game.go", "	g.waves++\n", `	waves, err := g.Waver.AddWaves(ctx, req.Name, 1)
	if firefly.CodeOf(err) == firefly.NotFound {
		waves, err = 1, g.Waver.Insert(ctx, &demopb.Waver{Name: req.Name, Waves: 1})
	}
	if err != nil {
		return nil, err
	}
`)
	x.replace("demo/game/game.go", "	waves int32\n", "")
	x.replace("demo/game/game.go", "Waves: g.waves}", "Waves: int32(waves)}")
	x.replace("demo/game/game_test.go", "	if reply.Waves != 2 {", `	again, err := bob.Demo.Wave(ctx, &demopb.WaveRequest{Name: "Bob"})
	if err != nil || again.Waves != 2 {
		t.Fatalf("Bob waved two times: %v, %v", again, err)
	}
	if reply.Waves != 1 {`)
	for _, args := range [][]string{{"vet", "./..."}, {"test", "-count=1", "./..."}, {"tool", "ffgen", "check"}} {
		cmd := exec.Command("go", args...)
		cmd.Dir = filepath.Join(x.dir, "demo")
		cmd.Env = append(os.Environ(), "GOFLAGS=-mod=readonly", "GOWORK=off")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}

// TestLarge makes a game of 500 commands, 200 messages and 100 pushes, and prints how long
// ffgen takes. The limits, 2 s and 0.5 s, are judged on a quiet machine.
func TestLarge(t *testing.T) {
	x := newTool(t)
	x.write("go.mod", "module example.com/big\n\ngo 1.26\n")
	x.write("proto/big/v1/big.proto", largeProto())
	began := time.Now()
	x.run(good, "generate")
	first := time.Since(began)
	began = time.Now()
	x.run(good, "generate")
	again := time.Since(began)
	t.Logf("500 commands, 200 messages, 100 pushes: %v, unchanged again %v", first.Round(time.Millisecond), again.Round(time.Millisecond))
	x.wants(x.out, "all up to date")
}

func largeProto() string {
	var b strings.Builder
	b.WriteString(`syntax = "proto3";
package big.v1;
import "firefly/v1/options.proto";
option go_package = "example.com/big/bigpb";
option (firefly.v1.role) = { name: "gate" listens: { tcp: 7700 } };
option (firefly.v1.role) = { name: "world" replicas: 2 serves: ["S0", "S1", "S2", "S3", "S4", "S5", "S6", "S7", "S8", "S9"] };
`)
	for s := range 10 {
		fmt.Fprintf(&b, "service S%d {\n", s)
		for m := range 50 {
			n := s*50 + m
			fmt.Fprintf(&b, "  // Do%d does things.\n  rpc Do%d(M%d) returns (M%d) { option (firefly.v1.command) = { id: %d rate: \"5/s\" }; }\n", n, n, n%100, 100+n%100, 1000+n)
		}
		b.WriteString("}\n")
	}
	for i := range 200 {
		fmt.Fprintf(&b, `message M%d {
  string name = 1 [(firefly.v1.rule) = { required: true max_len: 24 }];
  int64 a = 2;
  repeated int32 b = 3;
  float c = 4;
  map<string, int64> d = 5;
  bytes e = 6;
  P%d f = 7;
}
`, i, i%100)
	}
	for i := range 100 {
		fmt.Fprintf(&b, "message P%d {\n  option (firefly.v1.push) = { id: %d };\n  int64 id = 1;\n  string text = 2;\n  repeated int64 ids = 3;\n}\n", i, 5000+i)
	}
	return b.String()
}
