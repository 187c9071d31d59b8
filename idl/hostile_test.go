package idl_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"golang.org/x/tools/txtar"

	"github.com/firefly-go/firefly/idl"
)

const (
	head = "syntax = \"proto3\";\npackage a.v1;\noption go_package = \"example.com/a/apb\";\n"
	ours = "syntax = \"proto3\";\npackage a.v1;\nimport \"firefly/v1/options.proto\";\noption go_package = \"example.com/a/apb\";\n"
)

// load loads a game of one or more files: path, text, path, text ...
func load(t testing.TB, files ...string) (*idl.System, idl.Diags) {
	t.Helper()
	m := fstest.MapFS{}
	for i := 0; i < len(files); i += 2 {
		m[files[i]] = &fstest.MapFile{Data: []byte(files[i+1])}
	}
	return loadFS(t, m)
}

func loadFS(t testing.TB, game fs.FS) (*idl.System, idl.Diags) {
	t.Helper()
	sys, err := idl.Load(context.Background(), idl.Options{FS: game})
	if err == nil {
		return sys, nil
	}
	var ds idl.Diags
	if !errors.As(err, &ds) {
		t.Fatalf("the error is %T: %v", err, err)
	}
	if !ds.Failed() {
		t.Fatalf("an error of warnings alone: %v", ds)
	}
	return nil, ds
}

func repeat(n int, format string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, format, i+1)
	}
	return b.String()
}

// TestHostile: whatever is in the files, Load ends soon and with an error that says why.
func TestHostile(t *testing.T) {
	deep := func(n int, open, closing string) string { return strings.Repeat(open, n) + strings.Repeat(closing, n) }
	chain := fstest.MapFS{}
	for i := range 5000 {
		chain[fmt.Sprintf("f%d.proto", i)] = &fstest.MapFile{Data: fmt.Appendf(nil, "syntax = \"proto3\";\npackage a.v1;\nimport \"f%d.proto\";\n", i+1)}
	}
	many, text := fstest.MapFS{}, append([]byte(head), bytes.Repeat([]byte(strings.Repeat(" ", 4000)+"\n"), 260)...)
	for i := range 33 {
		many[fmt.Sprintf("f%d.proto", i)] = &fstest.MapFile{Data: text}
	}
	tangle := fstest.MapFS{}
	for i := range 150 / shrink {
		tangle[fmt.Sprintf("f%d.proto", i)] = &fstest.MapFile{Data: []byte(head + repeat(150/shrink-1, "import \"f%d.proto\";\n"))}
	}
	one := func(text string) fs.FS { return fstest.MapFS{"a.proto": &fstest.MapFile{Data: []byte(text)}} }
	for _, c := range []struct {
		name string
		game fs.FS
		code string
	}{
		{"10 MB of comments", one(head + strings.Repeat("// nothing\n", 1<<20)), idl.CodeFileTooLarge},
		{"10 MB in a line", one(strings.Repeat("a", 10<<20)), idl.CodeFileTooLarge},
		{"a long line", one(head + "//" + strings.Repeat("x", 5000)), idl.CodeLineTooLong},
		{"nested messages", one(head + lines(deep(50000, "message M {\n", "}\n"))), idl.CodeTooDeep},
		{"nested literals", one(ours + "option (firefly.v1.role) = " + lines(deep(50000, "{ listens:\n", "}\n")) + ";"), idl.CodeTooDeep},
		{"nested brackets", one(head + "option x = " + lines(deep(50000, "[\n", "]\n")) + ";"), idl.CodeTooDeep},
		{"nested angles", one(head + "option x = " + lines(deep(50000, "{ a: <\n", ">}\n")) + ";"), idl.CodeTooDeep},
		{"brackets that close nothing", one(head + lines(strings.Repeat("message M { > ]\n", 50000))), idl.CodeTooDeep},
		{"a chain of imports", chain, idl.CodeTooManyFiles},
		{"32 MiB of files", many, idl.CodeTooManyFiles},
		{"no UTF-8", one(head + "message M {} // \xff\n"), idl.CodeNotUTF8},
		{"cut UTF-8", one(head + "// \xc3"), idl.CodeNotUTF8},
		{"a zero byte", one(head + "\x00"), idl.CodeNotUTF8},
		{"UTF-16", one("\xff\xfes\x00y\x00"), idl.CodeNotUTF8},
		{"many faults", one(head + "message M {\n" + repeat(2500, "  Gone f%d = 1;\n") + "}\n"), idl.CodeTooMany},
		{"many of our own", one(ours + "message M {\n" + repeat(1200, "  int32 f%d = %[1]d [(firefly.v1.rule).max_len = 1];\n") + "}\n"), idl.CodeTooMany},
		{"many imports of nothing", one(head + repeat(2500, "import \"f%d.proto\";\n")), idl.CodeTooMany},
		{"many brackets that open", one(head + strings.Repeat("message M {\n", 99)), idl.CodeSyntax},
		{"an open string", one(head + "option java_package = \"x\n"), idl.CodeSyntax},
		{"an open comment", one(head + "/* never closed"), idl.CodeSyntax},
		{"quotes", one(head + strings.Repeat("'\"\n", 20000)), idl.CodeSyntax},
		{"minus", one(head + "option x = " + lines(strings.Repeat("-", 100000)) + "1;"), idl.CodeSyntax},
		{"dots", one(head + "message M { a" + lines(strings.Repeat(".a", 50000)) + " x = 1; }"), idl.CodeUnknownType},
		{"a tangle of imports", tangle, idl.CodeImportCycle},
		{"uses of nothing", one(ours + "option (firefly.v1.role) = { name: \"x\" listens: {} uses: [\n" + repeat(50000/shrink, "\"N%d\",\n") + "\"X\"] };\n" + repeat(10000/shrink, "service S%d {}\n")), idl.CodeNoUse},
		{"the same again and again", one(ours + "option (firefly.v1.role) = { name: \"x\" listens: {} uses: [\n" + strings.Repeat("\"S\",\n", 50000/shrink) + "\"S\"] serves: \"S\" };\nmessage M {}\nservice S { rpc A(M) returns (M); }\n"), idl.CodeNamedTwice},
		{"served by all", one(ours + repeat(3000/shrink, "option (firefly.v1.role) = { name: \"r%d\" listens: {} serves: [\"S1\", \"S2\", \"S3\", \"S4\", \"S5\", \"S6\", \"S7\", \"S8\"] };\n") + repeat(8, "service S%d {}\n")), idl.CodeServedTwice},
		{"mounts", one(ours + "option (firefly.v1.module) = { name: \"m\" base: 1000 };\n" + "option (firefly.v1.role) = { name: \"x\" mounts: [\n" + repeat(15000/shrink, "{ module: \"a.v1\" as: \"m%d\" base: %[1]d000 },\n") + "{ module: \"a.v1\" }] };\n"), idl.CodeNotYet},
		{"indexes", one(ours + "message M {\n  option (firefly.v1.table) = { key: \"id\"\n" + strings.Repeat("index: { by: \"id\" }\n", 30000/shrink) + "};\n  int64 id = 1;\n}\n"), idl.CodeKeyTooWide},
		{"keys of nothing", one(ours + "message M {\n" + repeat(5000/shrink, "  int32 field_%d = %[1]d;\n") + "}\noption (firefly.v1.role) = { name: \"x\" listens: {} serves: \"S\" };\nservice S {\n" + repeat(5000/shrink, "  rpc A%d(M) returns (M) { option (firefly.v1.command) = { id: %[1]d key: \"fiel_%[1]d\" }; }\n") + "}\n"), idl.CodeKeyNoField},
		{"types of nothing", one(head + repeat(10000/shrink, "message Mess%d {}\n") + "message M {\n" + repeat(10000/shrink, "  Massage%d f%[1]d = %[1]d;\n") + "}\n"), idl.CodeUnknownType},
		{"patterns", one(ours + "message M {\n" + repeat(5000/shrink, "  string f%d = %[1]d [(firefly.v1.rule) = { pattern: \"(\\\\pL{1000}|x%[1]d)\" min: 1 }];\n") + "}\n"), idl.CodeRuleKind},
		{"a copy of the vocabulary with other numbers", fstest.MapFS{
			"firefly/v1/options.proto": &fstest.MapFile{Data: []byte("syntax = \"proto2\";\n")},
			"a.proto":                  &fstest.MapFile{Data: []byte(ours + "message M { option (firefly.v1.push) = {}; }")},
		}, idl.CodeNoID},
	} {
		t.Run(c.name, func(t *testing.T) {
			start := time.Now()
			_, ds := loadFS(t, c.game)
			if !slices.ContainsFunc(ds, func(d idl.Diag) bool { return d.Code == c.code }) {
				t.Errorf("no fault %q in %d: %.2000s", c.code, len(ds), ds)
			}
			if len(ds) > 1001 {
				t.Errorf("%d faults", len(ds))
			}
			// Without the bounds some of these took minutes, or the process.
			t.Logf("it took %s", time.Since(start))
		})
	}
}

// lines breaks a long text so that no line is too long.
func lines(s string) string {
	var b strings.Builder
	for len(s) > 2000 {
		b.WriteString(s[:2000] + "\n")
		s = s[2000:]
	}
	return b.String() + s
}

// TestHuge: much of what is right is read, and in good time.
func TestHuge(t *testing.T) {
	for _, c := range []struct{ name, text string }{
		{"fields", ours + "message M {\n" + repeat(5000/shrink, "  int32 f%d = %[1]d [(firefly.v1.rule).max = 1];\n") + "}\n"},
		{"enum values", head + "enum E {\n  E0 = 0;\n" + repeat(15000/shrink, "  E%d = %[1]d;\n") + "}\n"},
		{"messages", head + repeat(8000/shrink, "message M%d { M1 m = 1; }\n")},
		{"pushes", ours + repeat(3000/shrink, "message M%d { option (firefly.v1.push) = { id: %[1]d }; }\n")},
		{"pushes in dots", ours + repeat(3000/shrink, "message M%d { option (firefly.v1.push).id = %[1]d; }\n")},
		{"reserved ranges", head + "message M {\n" + repeat(20000/shrink, "  reserved %d;\n") + "}\n"},
		{"oneofs", head + "message M {\n" + repeat(3000/shrink, "  oneof o%d { int32 f%[1]d = %[1]d; }\n") + "}\n"},
		{"methods", ours + "option (firefly.v1.role) = { name: \"x\" serves: \"S\" listens: {} };\nmessage M {}\nservice S {\n" + repeat(2500/shrink, "  rpc A%d(M) returns (M) { option (firefly.v1.command) = { id: %[1]d }; }\n") + "}\n"},
		{"roles", ours + repeat(2500/shrink, "option (firefly.v1.role) = { name: \"r%d\" listens: {} };\n")},
		{"ports", ours + "option (firefly.v1.role) = { name: \"r\" listens: {} serves: [\n" + repeat(5000/shrink, "  \"S%d\",\n") + "  \"S0\"\n] };\nservice S0 {}\n" + repeat(5000/shrink, "service S%d {}\n")},
		{"circles", ours + repeat(1000/shrink, "option (firefly.v1.role) = { name: \"r%d\" listens: {} serves: \"S%[1]d\" uses: [\"S1\", \"S2\", \"S3\", \"S20\", \"S50\"] };\n") + "message M {}\n" + repeat(1000/shrink, "service S%d { rpc A(M) returns (M); }\n")},
		{"comments", head + strings.Repeat("// a\n", 150000/shrink) + "message M {}\n"},
		{"tabs", head + strings.Repeat(strings.Repeat("\t", 4000)+"\n", 200/shrink) + strings.Repeat("\t", 2000) + "message M {}\n"},
		{"words in a line", head + strings.ReplaceAll(repeat(5000/shrink, "message M%d {} "), "0 {} ", "0 {}\n")},
	} {
		t.Run(c.name, func(t *testing.T) {
			start := time.Now()
			if _, ds := load(t, "a.proto", c.text); ds != nil {
				t.Errorf("%.2000s", ds)
			}
			t.Logf("%d bytes in %s", len(c.text), time.Since(start))
		})
	}
}

func TestUnreadable(t *testing.T) {
	check := func(o idl.Options, want string) {
		t.Helper()
		_, err := idl.Load(context.Background(), o)
		var ds idl.Diags
		if !errors.As(err, &ds) || ds.Error() != want {
			t.Errorf("got %T %v\nwant %s", err, err, want)
		}
	}
	dir := t.TempDir()
	gone := filepath.Join(dir, "gone")
	check(idl.Options{Dir: gone}, gone+": not found")
	check(idl.Options{Dir: dir}, "there is no .proto file in "+dir)
	check(idl.Options{Dir: dir, Files: []string{"b.proto"}}, "b.proto: not found")
	if err := os.Mkdir(filepath.Join(dir, "c.proto"), 0o755); err != nil {
		t.Fatal(err)
	}
	check(idl.Options{Dir: dir, Files: []string{"c.proto", "../x.proto"}}, "../x.proto: invalid argument\nc.proto: this is no file")
	check(idl.Options{FS: fstest.MapFS{}}, "there is no .proto file in the given folder")
}

func TestCanceled(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := idl.Load(ctx, idl.Options{FS: large()}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// TestModules: imports come from the Go modules of go.mod, and what a game has itself goes first.
func TestModules(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, `
-- game/go.mod --
module example.com/game

go 1.26

require (
	example.com/lib v1.2.3
	example.com/Near v0.0.0
)

replace example.com/Near => ../near
-- game/proto/game/v1/game.proto --
syntax = "proto3";
package game.v1;
import "firefly/v1/options.proto";
import "lib/v1/lib.proto";
import "near/v1/near.proto";
option go_package = "example.com/game/gamepb";
option (firefly.v1.role) = { name: "game" serves: ["Game", "lib.v1.Helper"] listens: { tcp: 7700 } };
service Game { rpc Do(lib.v1.Thing) returns (near.v1.Thing) { option (firefly.v1.command) = { id: 1 }; } }
-- near/idl/near/v1/near.proto --
syntax = "proto3";
package near.v1;
option go_package = "example.com/near/nearpb";
message Thing {}
-- cache/example.com/lib@v1.2.3/lib/v1/lib.proto --
syntax = "proto3";
package lib.v1;
import "firefly/v1/options.proto";
option go_package = "example.com/lib/libpb";
message Thing {}
service Helper { rpc Help(Thing) returns (Thing) { option (firefly.v1.command) = { id: 2 }; } }
`)
	t.Setenv("GOMODCACHE", filepath.Join(dir, "cache"))
	sys, err := idl.Load(context.Background(), idl.Options{Dir: filepath.Join(dir, "game", "proto")})
	if err != nil {
		t.Fatal(err)
	}
	got := result(sys, nil)
	for _, want := range []string{
		"package lib.v1 is example.com/lib/libpb (libpb) imported\n",
		"package near.v1 is example.com/near/nearpb (nearpb) imported\n",
		"serves game.v1.Game serves lib.v1.Helper",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}

	write(t, dir, `
-- game/proto/game/v1/more.proto --
syntax = "proto3";
package game.v1;
import "lib/v1/gone.proto";
option go_package = "example.com/game/gamepb";
`)
	t.Setenv("PATH", "") // no go command: nothing changes but what could be found
	_, err = idl.Load(context.Background(), idl.Options{Dir: filepath.Join(dir, "game", "proto")})
	if want := `game/v1/more.proto:3:8: import "lib/v1/gone.proto" is not found; looked in proto, and in the Go modules of go.mod`; err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

// TestWorkspace: what go.mod alone does not say is asked of the go command.
func TestWorkspace(t *testing.T) {
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("no go command")
	}
	dir := t.TempDir()
	write(t, dir, `
-- go.work --
go 1.26

use ./game
use ./other
-- game/go.mod --
module example.com/game

go 1.26
-- game/proto/game.proto --
syntax = "proto3";
package game.v1;
import "other.proto";
option go_package = "example.com/game/gamepb";
message M { other.v1.M m = 1; }
-- other/go.mod --
module example.com/other

go 1.26
-- other/idl/other.proto --
syntax = "proto3";
package other.v1;
option go_package = "example.com/other/otherpb";
message M {}
`)
	t.Setenv("GOFLAGS", "")
	t.Setenv("GOWORK", "")
	sys, err := idl.Load(context.Background(), idl.Options{Dir: filepath.Join(dir, "game", "proto")})
	if err != nil {
		t.Fatal(err)
	}
	if got := result(sys, nil); !strings.Contains(got, "package other.v1 is example.com/other/otherpb (otherpb) imported\n") {
		t.Errorf("got %s", got)
	}
}

func TestDiags(t *testing.T) {
	d := idl.Diag{Code: "x", Pos: idl.Pos{File: "a.proto", Line: 3, Col: 7}, Message: "no good"}
	at := func(file, text string) idl.Related {
		return idl.Related{Pos: idl.Pos{File: file, Line: 1, Col: 2}, Text: text}
	}
	check := func(want string) {
		t.Helper()
		if got := d.String(); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
	check("a.proto:3:7: no good")
	d.Related = append(d.Related, at("b.proto", "is the other one"))
	check("a.proto:3:7: no good (b.proto:1:2 is the other one)")
	d.Related = append(d.Related, at("c.proto", ""))
	check("a.proto:3:7: no good (b.proto:1:2 is the other one and c.proto:1:2)")
	d.Related, d.Warning = nil, true
	check("a.proto:3:7: warning: no good")
	d.Pos = idl.Pos{File: "a.proto"}
	check("a.proto: warning: no good")
	d.Pos = idl.Pos{}
	check("warning: no good")
	if (idl.Diags{d}).Failed() {
		t.Error("a warning is no failure")
	}
}

// TestVocabulary: the folder that editors are given is the one that Load knows.
func TestVocabulary(t *testing.T) {
	data, err := fs.ReadFile(idl.Vocabulary(), idl.VocabularyPath)
	if err != nil || !bytes.Contains(data, []byte("package firefly.v1;")) {
		t.Errorf("%v: %.80s", err, data)
	}
}

// TestExampleGame: the example has no fault and no warning.
func TestExampleGame(t *testing.T) {
	sys, err := idl.Load(context.Background(), idl.Options{Dir: "../example-game/proto"})
	if err != nil {
		t.Fatal(err)
	}
	if len(sys.Warnings) > 0 {
		t.Errorf("%v", sys.Warnings)
	}
	if sys.Game != "arena" {
		t.Errorf("the game is %q", sys.Game)
	}
}

func write(t *testing.T, dir, archive string) {
	t.Helper()
	for _, f := range txtar.Parse([]byte(archive)).Files {
		p := filepath.Join(dir, filepath.FromSlash(f.Name))
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, f.Data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// FuzzLoad: no text crashes or hangs Load, and all it gives is a System or Diags.
func FuzzLoad(f *testing.F) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		a := txtar.Parse(data)
		if len(a.Files) == 0 {
			a.Files = []txtar.File{{Name: "a.proto", Data: data}}
		}
		m := fstest.MapFS{}
		for _, file := range a.Files {
			if fs.ValidPath(file.Name) && file.Name != want {
				m[file.Name] = &fstest.MapFile{Data: file.Data}
			}
		}
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		sys, err := idl.Load(ctx, idl.Options{FS: m})
		var ds idl.Diags
		switch {
		case err == nil:
			_ = result(sys, nil)
		case !errors.As(err, &ds):
			t.Fatalf("%T: %v", err, err)
		default:
			if !ds.Failed() {
				t.Fatal("an error of warnings alone")
			}
			for _, d := range ds {
				if d.Code == idl.CodeCompiler {
					t.Fatal(d)
				}
				if d.Code == "" || d.Message == "" || strings.Contains(d.String(), "\n") {
					t.Fatalf("%q: %q", d.Code, d)
				}
			}
		}
	})
}
