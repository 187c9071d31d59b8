package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"golang.org/x/mod/modfile"

	"github.com/firefly-go/firefly/gen"
	"github.com/firefly-go/firefly/idl"
)

// protoDir is where a game keeps its .proto files, below its module root.
const protoDir = "proto"

// game is the Go module that ffgen works on.
type game struct {
	root   string // of the module
	module string // its path
	shown  string // how the proto folder is called from where the user stands
}

// openGame finds the module around dir.
func openGame(dir string) (*game, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	for at := abs; ; at = filepath.Dir(at) {
		b, err := os.ReadFile(filepath.Join(at, "go.mod"))
		if err == nil {
			g := &game{root: at, module: modfile.ModulePath(b)}
			if g.module == "" {
				return nil, fmt.Errorf("%s names no module", filepath.Join(at, "go.mod"))
			}
			if st, err := os.Stat(filepath.Join(at, protoDir)); err != nil || !st.IsDir() {
				return nil, fmt.Errorf("the module at %s has no folder %q; the .proto files of a game lie there", at, protoDir)
			}
			g.shown = filepath.Join(at, protoDir)
			if wd, err := os.Getwd(); err == nil {
				if rel, err := filepath.Rel(wd, g.shown); err == nil {
					g.shown = rel
				}
			}
			return g, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		if at == filepath.Dir(at) {
			return nil, fmt.Errorf("there is no go.mod at or above %s; ffgen new NAME makes a game", abs)
		}
	}
}

// load reads and checks the declaration. Errors name files as the user sees them.
func (g *game) load(ctx context.Context) (*idl.System, error) {
	sys, err := idl.Load(ctx, idl.Options{Dir: filepath.Join(g.root, protoDir), ModRoot: g.root})
	if err != nil {
		return nil, g.seen(err)
	}
	return sys, nil
}

// options are what the generator needs to know of the disk.
func (g *game) options() (gen.Options, error) {
	lock, err := g.optional(gen.LockPath)
	if err != nil {
		return gen.Options{}, err
	}
	launch, err := g.optional(gen.LaunchPath)
	if err != nil {
		return gen.Options{}, err
	}
	return gen.Options{Module: g.module, Lock: lock, Launch: launch}, nil
}

func (g *game) optional(name string) ([]byte, error) {
	b, err := os.ReadFile(g.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return b, err
}

func (g *game) path(name string) string { return filepath.Join(g.root, filepath.FromSlash(name)) }

// generate makes all files in memory.
func (g *game) generate(ctx context.Context) (*idl.System, gen.Options, []gen.File, error) {
	sys, err := g.load(ctx)
	if err != nil {
		return nil, gen.Options{}, nil, err
	}
	o, err := g.options()
	if err != nil {
		return nil, o, nil, err
	}
	files, err := gen.Generate(sys, o)
	if err != nil {
		return nil, o, nil, g.seen(err)
	}
	return sys, o, files, nil
}

// seen makes the places of err paths that lead there from where the user stands.
func (g *game) seen(err error) error {
	var ds idl.Diags
	if errors.As(err, &ds) {
		out := make(idl.Diags, len(ds))
		for i, d := range ds {
			out[i] = g.seenDiag(d)
		}
		return out
	}
	var es gen.Errors
	if errors.As(err, &es) {
		out := make(gen.Errors, len(es))
		for i, e := range es {
			e.Pos = g.seenPos(e.Pos)
			out[i] = e
		}
		return out
	}
	return err
}

func (g *game) seenDiag(d idl.Diag) idl.Diag {
	d.Pos = g.seenPos(d.Pos)
	related := make([]idl.Related, len(d.Related))
	for i, r := range d.Related {
		r.Pos = g.seenPos(r.Pos)
		related[i] = r
	}
	d.Related = related
	return d
}

func (g *game) seenPos(p idl.Pos) idl.Pos {
	if p.File == "" {
		return p
	}
	if _, err := os.Stat(filepath.Join(g.root, protoDir, filepath.FromSlash(p.File))); err == nil {
		p.File = path.Join(filepath.ToSlash(g.shown), p.File)
	}
	return p
}

// warnings are what a good run has to say: those of the declaration, and what released
// clients no longer understand. The latter are refused by name, so it stops nothing.
func (g *game) warnings(sys *idl.System, o gen.Options) []string {
	var out []string
	for _, w := range sys.Warnings {
		w.Warning = true
		out = append(out, g.seenDiag(w).String())
	}
	lock, err := gen.ReadLock(o.Lock)
	if err != nil {
		return out
	}
	now, err := gen.Current(sys, o)
	if err != nil {
		return out
	}
	for _, r := range lock.Releases {
		for _, b := range gen.Breaking(r, now) {
			out = append(out, fmt.Sprintf("warning: release %s: %s", r.Version, b))
		}
	}
	return out
}

// own reports whether a name from a lock is a path below the module.
func own(name string) bool {
	return filepath.IsLocal(filepath.FromSlash(name)) && !strings.HasPrefix(name, protoDir+"/")
}
