package gen_test

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"go/format"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"

	"golang.org/x/mod/modfile"
	"golang.org/x/tools/txtar"

	"github.com/firefly-go/firefly/gen"
	"github.com/firefly-go/firefly/idl"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// A golden case is one txtar file: the .proto files below proto/, what is on disk already
// below in/, Go tests of the outputs below test/, and then the outputs. Files of the message
// generators and the lock are compiled and not kept, unless the comment says "all files".
// The module of a case is example.com/golden/<name of the case>.
type golden struct {
	name string
	file string
	ar   *txtar.Archive
}

func goldens(t *testing.T, dir string) []golden {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", dir, "*.txtar"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases in testdata/%s: %v", dir, err)
	}
	var gs []golden
	for _, f := range files {
		ar, err := txtar.ParseFile(f)
		if err != nil {
			t.Fatal(err)
		}
		gs = append(gs, golden{strings.TrimSuffix(filepath.Base(f), ".txtar"), f, ar})
	}
	return gs
}

func (g *golden) inputs() (proto fs.FS, o gen.Options, tests []txtar.File, kept []txtar.File) {
	m := fstest.MapFS{}
	o.Module = "example.com/golden/" + g.name
	for _, f := range g.ar.Files {
		keep := true
		switch {
		case strings.HasPrefix(f.Name, "proto/"):
			m[strings.TrimPrefix(f.Name, "proto/")] = &fstest.MapFile{Data: f.Data}
		case f.Name == "in/"+gen.LockPath:
			o.Lock = f.Data
		case f.Name == "in/"+gen.LaunchPath:
			o.Launch = f.Data
		case strings.HasPrefix(f.Name, "test/"):
			tests = append(tests, txtar.File{Name: strings.TrimPrefix(f.Name, "test/"), Data: f.Data})
		default:
			keep = false
		}
		if keep {
			kept = append(kept, f)
		}
	}
	return m, o, tests, kept
}

func (g *golden) generate() ([]gen.File, error) {
	proto, o, _, _ := g.inputs()
	sys, err := idl.Load(context.Background(), idl.Options{FS: proto})
	if err != nil {
		return nil, err
	}
	return gen.Generate(sys, o)
}

// shown reports whether an output is kept in the golden file.
func (g *golden) shown(name string) bool {
	if bytes.Contains(g.ar.Comment, []byte("all files")) {
		return true
	}
	return !strings.HasSuffix(name, ".pb.go") && (name != gen.LockPath || bytes.Contains(g.ar.Comment, []byte("with lock")))
}

// TestGolden compares what is generated with the golden files, and generates twice.
func TestGolden(t *testing.T) {
	for _, g := range goldens(t, "golden") {
		t.Run(g.name, func(t *testing.T) {
			t.Parallel()
			files, err := g.generate()
			if err != nil {
				t.Fatal(err)
			}
			again, err := g.generate()
			if err != nil {
				t.Fatal(err)
			}
			if len(files) != len(again) {
				t.Fatalf("%d files at first, %d the second time", len(files), len(again))
			}
			_, _, _, kept := g.inputs()
			got := &txtar.Archive{Comment: g.ar.Comment, Files: kept}
			for i, f := range files {
				if f.Path != again[i].Path || !bytes.Equal(f.Data, again[i].Data) {
					t.Errorf("%s has other bytes the second time", f.Path)
				}
				if strings.HasSuffix(f.Path, ".go") {
					if pretty, err := format.Source(f.Data); err != nil || !bytes.Equal(pretty, f.Data) {
						t.Errorf("%s is not as gofmt has it: %v", f.Path, err)
					}
				}
				if g.shown(f.Path) {
					got.Files = append(got.Files, txtar.File{Name: f.Path, Data: f.Data})
				}
			}
			if *update {
				if err := os.WriteFile(g.file, txtar.Format(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if a, b := txtar.Format(g.ar), txtar.Format(got); !bytes.Equal(a, b) {
				t.Errorf("the output is not that of %s; look at the difference with go test -run TestGolden -update and git diff\n%s", g.file, firstDifference(a, b))
			}
		})
	}
}

func firstDifference(a, b []byte) string {
	x, y := strings.Split(string(a), "\n"), strings.Split(string(b), "\n")
	name := ""
	for i := 0; i < len(x) && i < len(y); i++ {
		if strings.HasPrefix(x[i], "-- ") {
			name = x[i]
		}
		if x[i] != y[i] {
			return fmt.Sprintf("first in %s line %d:\n  golden: %s\n  now:    %s", name, i+1, x[i], y[i])
		}
	}
	return "one of them has more lines"
}

// doors are what generated code may import, beside the standard library and packages of its
// own module and the well-known types: things that a person could use.
var doors = map[string]bool{
	"github.com/firefly-go/firefly":                   true,
	"github.com/firefly-go/firefly/runtime/node":      true,
	"github.com/firefly-go/firefly/runtime/table":     true,
	"github.com/firefly-go/firefly/clients/go":        true,
	"github.com/firefly-go/firefly/idl/fireflypb":     true,
	"github.com/planetscale/vtprotobuf/protohelpers":  true,
	"google.golang.org/protobuf/proto":                true,
	"google.golang.org/protobuf/reflect/protoreflect": true,
	"google.golang.org/protobuf/runtime/protoimpl":    true,
}

func TestImports(t *testing.T) {
	for _, g := range goldens(t, "golden") {
		files, err := g.generate()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			if !strings.HasSuffix(f.Path, ".go") {
				continue
			}
			parsed, err := parser.ParseFile(token.NewFileSet(), f.Path, f.Data, parser.ImportsOnly)
			if err != nil {
				t.Fatal(err)
			}
			for _, i := range parsed.Imports {
				p, err := strconv.Unquote(i.Path.Value)
				if err != nil {
					t.Fatal(err)
				}
				std := !strings.Contains(strings.Split(p, "/")[0], ".")
				known := strings.HasPrefix(p, "google.golang.org/protobuf/types/known/") || strings.HasPrefix(p, "github.com/planetscale/vtprotobuf/types/known/")
				if !std && !known && !doors[p] && !strings.HasPrefix(p, "example.com/golden/"+g.name+"/") {
					t.Errorf("%s of %s imports %s, which is no door", f.Path, g.name, p)
				}
			}
		}
	}
}

// TestCompile builds, vets and tests the outputs of all cases in one module.
func TestCompile(t *testing.T) {
	if testing.Short() {
		t.Skip("builds a module")
	}
	dir := t.TempDir()
	write := func(name string, data []byte) {
		t.Helper()
		to := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	tested := map[string]bool{}
	for _, g := range goldens(t, "golden") {
		files, err := g.generate()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			if strings.HasSuffix(f.Path, ".go") {
				write(path.Join(g.name, f.Path), f.Data)
			}
		}
		_, _, tests, _ := g.inputs()
		for _, f := range tests {
			write(path.Join(g.name, f.Name), f.Data)
			tested["./"+path.Join(g.name, path.Dir(f.Name))] = true
		}
	}
	for _, g := range goldens(t, "scaffold") {
		files, err := g.generate()
		if err != nil {
			t.Fatal(err)
		}
		own, _, have := g.scaffold(t)
		for name, f := range have {
			write(path.Join(g.name, name), f.Data)
		}
		for _, f := range append(files, own...) {
			if strings.HasSuffix(f.Path, ".go") {
				write(path.Join(g.name, f.Path), f.Data)
			}
		}
	}
	write("go.mod", moduleFile(t, "example.com/golden"))
	sum, err := os.ReadFile("../go.sum")
	if err != nil {
		t.Fatal(err)
	}
	write("go.sum", sum)
	var packages []string
	for p := range tested {
		packages = append(packages, p)
	}
	sort.Strings(packages)
	goTool(t, dir, "vet", "./...")
	goTool(t, dir, append([]string{"test", "-count=1"}, packages...)...)
}

func goTool(t *testing.T, dir string, args ...string) {
	t.Helper()
	cmd := exec.Command("go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// moduleFile is a go.mod that uses this checkout and what it requires.
func moduleFile(t *testing.T, name string) []byte {
	t.Helper()
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	from, err := modfile.Parse("go.mod", b, nil)
	if err != nil {
		t.Fatal(err)
	}
	f := &modfile.File{}
	for _, err := range []error{
		f.AddModuleStmt(name), f.AddGoStmt(from.Go.Version), f.AddRequire(from.Module.Mod.Path, "v0.0.0"),
		f.AddReplace(from.Module.Mod.Path, "", filepath.ToSlash(root), ""),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, r := range from.Require {
		f.AddNewRequire(r.Mod.Path, r.Mod.Version, true)
	}
	b, err = f.Format()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestErrors trips every fault that only the generator finds; the wanted text stands below.
func TestErrors(t *testing.T) {
	for _, g := range goldens(t, "errors") {
		t.Run(g.name, func(t *testing.T) {
			proto, _, _, kept := g.inputs()
			_, err := g.generate()
			if err == nil {
				t.Fatal("there is no error")
			}
			if _, loaded := idl.Load(context.Background(), idl.Options{FS: proto}); loaded != nil {
				t.Fatalf("idl refuses it already: %v", loaded)
			}
			got := &txtar.Archive{Comment: g.ar.Comment, Files: append(kept, txtar.File{Name: "want", Data: []byte(err.Error() + "\n")})}
			if *update {
				if err := os.WriteFile(g.file, txtar.Format(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if a, b := txtar.Format(g.ar), txtar.Format(got); !bytes.Equal(a, b) {
				t.Errorf("another error than in %s\n%s", g.file, firstDifference(a, b))
			}
		})
	}
}
