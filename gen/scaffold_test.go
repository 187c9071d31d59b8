package gen_test

import (
	"bytes"
	"context"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"golang.org/x/tools/txtar"

	"github.com/firefly-go/firefly/gen"
	"github.com/firefly-go/firefly/idl"
)

// scaffold runs a case of testdata/scaffold: the code that is there lies below have/.
func (g *golden) scaffold(t *testing.T) (files []gen.File, said []string, have fstest.MapFS) {
	t.Helper()
	have = fstest.MapFS{}
	for _, f := range g.ar.Files {
		if name, ok := strings.CutPrefix(f.Name, "have/"); ok {
			have[name] = &fstest.MapFile{Data: f.Data}
		}
	}
	proto, o, _, _ := g.inputs()
	sys, err := idl.Load(context.Background(), idl.Options{FS: proto})
	if err != nil {
		t.Fatal(err)
	}
	own, notes, err := gen.Scaffold(sys, o, have)
	if err != nil {
		return nil, []string{err.Error()}, have
	}
	for _, f := range own {
		said = append(said, f.Path+": "+strings.Join(f.Methods, ", "))
		files = append(files, f.File)
	}
	return files, append(said, notes...), have
}

// TestScaffold: what is missing is written, and no line of what was there changes.
func TestScaffold(t *testing.T) {
	for _, g := range goldens(t, "scaffold") {
		t.Run(g.name, func(t *testing.T) {
			files, said, have := g.scaffold(t)
			got := &txtar.Archive{Comment: g.ar.Comment}
			for _, f := range g.ar.Files {
				if strings.HasPrefix(f.Name, "have/") || strings.HasPrefix(f.Name, "proto/") {
					got.Files = append(got.Files, f)
				}
			}
			got.Files = append(got.Files, txtar.File{Name: "said", Data: []byte(strings.Join(append(said, ""), "\n"))})
			for _, f := range files {
				got.Files = append(got.Files, txtar.File{Name: "out/" + f.Path, Data: f.Data})
				if was := have[f.Path]; was != nil {
					kept(t, f.Path, was.Data, f.Data)
					have[f.Path] = &fstest.MapFile{Data: f.Data}
				}
			}
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

// kept fails when a line of before is missing in after, or stands in another order.
func kept(t *testing.T, name string, before, after []byte) {
	t.Helper()
	lines := slices.Collect(strings.Lines(string(after)))
	for line := range strings.Lines(string(before)) {
		if !strings.HasSuffix(line, "\n") {
			line += "\n"
		}
		i := slices.Index(lines, line)
		if i < 0 {
			t.Fatalf("%s lost the line %q", name, line)
		}
		lines = lines[i+1:]
	}
}
