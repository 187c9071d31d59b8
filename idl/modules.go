package idl

import (
	"bytes"
	"context"
	"encoding/json"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
)

// This file finds .proto files of other Go modules. A module keeps them at its root or in one
// of the folders idl, proto and idl/proto; the import path begins there.
var roots = []string{"", "idl", "proto", "idl/proto"}

// modules are the Go modules that a game can import .proto files from. The folders of what
// go.mod requires are worked out without the go command; it is asked, and only with what is on
// this machine, when that was not enough.
type modules struct {
	root  string // folder with go.mod
	dirs  []string
	read  bool
	asked bool
}

// moduleRoot is the folder with go.mod at or above dir; "" when there is none.
func moduleRoot(dir string) string {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return ""
	}
	for {
		if st, err := os.Stat(filepath.Join(abs, "go.mod")); err == nil && st.Mode().IsRegular() {
			return abs
		}
		up := filepath.Dir(abs)
		if up == abs {
			return ""
		}
		abs = up
	}
}

// find gives the folder from which the import path name leads to a file.
func (m *modules) find(ctx context.Context, name string) (fs.FS, error) {
	if !m.read {
		m.read = true
		m.dirs = m.declared()
	}
	if fsys := lookup(m.dirs, name); fsys != nil {
		return fsys, nil
	}
	if !m.asked {
		m.asked = true
		m.dirs = append(m.dirs, m.list(ctx)...)
		if fsys := lookup(m.dirs, name); fsys != nil {
			return fsys, nil
		}
	}
	return nil, fs.ErrNotExist
}

func lookup(dirs []string, name string) fs.FS {
	for _, dir := range dirs {
		for _, root := range roots {
			base := filepath.Join(dir, filepath.FromSlash(root))
			if st, err := os.Stat(filepath.Join(base, filepath.FromSlash(name))); err == nil && st.Mode().IsRegular() {
				return os.DirFS(base)
			}
		}
	}
	return nil
}

// declared are the folders of what go.mod requires, in its order. The game's own module is not
// among them: its files have their one path in the IDL folder.
func (m *modules) declared() []string {
	var dirs []string
	data, err := os.ReadFile(filepath.Join(m.root, "go.mod"))
	if err != nil {
		return dirs
	}
	f, err := modfile.ParseLax("go.mod", data, nil)
	if err != nil {
		return dirs
	}
	// ParseLax leaves out replace, which counts here: this is the main module.
	if strict, err := modfile.Parse("go.mod", data, nil); err == nil {
		f = strict
	}
	cache := moduleCache()
	for _, req := range f.Require {
		v := req.Mod
		for _, r := range f.Replace {
			if r.Old.Path == v.Path && (r.Old.Version == "" || r.Old.Version == v.Version) {
				v = r.New
			}
		}
		if v.Version == "" { // a folder
			dir := filepath.FromSlash(v.Path)
			if !filepath.IsAbs(dir) {
				dir = filepath.Join(m.root, dir)
			}
			dirs = append(dirs, dir)
			continue
		}
		p, err1 := module.EscapePath(v.Path)
		ver, err2 := module.EscapeVersion(v.Version)
		if err1 == nil && err2 == nil && cache != "" {
			dirs = append(dirs, filepath.Join(cache, filepath.FromSlash(p)+"@"+ver))
		}
	}
	return dirs
}

// moduleCache is where the go command keeps modules.
func moduleCache() string {
	if dir := os.Getenv("GOMODCACHE"); dir != "" {
		return dir
	}
	if list := filepath.SplitList(os.Getenv("GOPATH")); len(list) > 0 && list[0] != "" {
		return filepath.Join(list[0], "pkg", "mod")
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return ""
	}
	return filepath.Join(home, "go", "pkg", "mod")
}

// list asks the go command for the module graph: workspaces, vendored settings and whatever
// else go.mod alone does not say. It neither downloads nor writes.
func (m *modules) list(ctx context.Context) []string {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	// Said outright, for with a vendor folder or by GOFLAGS the graph would not be the whole one.
	cmd := exec.CommandContext(ctx, "go", "list", "-mod=readonly", "-m", "-e", "-json=Dir", "all")
	cmd.Dir = m.root
	cmd.Env = append(os.Environ(), "GOPROXY=off", "GOTOOLCHAIN=local")
	out, err := cmd.Output()
	if err != nil && len(out) == 0 {
		return nil
	}
	known := map[string]bool{}
	for _, d := range m.dirs {
		known[d] = true
	}
	var dirs []string
	dec := json.NewDecoder(bytes.NewReader(out))
	for {
		var mod struct{ Dir string }
		if dec.Decode(&mod) != nil {
			return dirs
		}
		if mod.Dir != "" && !known[mod.Dir] && !strings.HasPrefix(mod.Dir, "-") {
			known[mod.Dir] = true
			dirs = append(dirs, mod.Dir)
		}
	}
}
