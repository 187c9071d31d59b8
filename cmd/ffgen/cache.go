package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/gen"
	"github.com/firefly-go/firefly/idl"
)

// A stamp is what ffgen remembers of its last run over a game, in the user's cache folder:
// when inputs, tool and outputs are the same as then, there is nothing to do. It is only an
// economy; without it everything is made again.
type stamp struct {
	Inputs  string            `json:"inputs"`
	Outputs map[string]string `json:"outputs"` // hash by path
	Said    []string          `json:"said"`    // warnings, to be seen again
}

func (g *game) stampPath() (string, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, "firefly", "ffgen", sum([]byte(g.root))[:32]+".json"), nil
}

// inputs is a hash over everything that a run reads, and over ffgen itself.
func (g *game) inputs() (string, error) {
	h := sha256.New()
	exe, err := os.Executable()
	if err != nil {
		return "", err
	}
	st, err := os.Stat(exe)
	if err != nil {
		return "", err
	}
	fmt.Fprintf(h, "%s %s %d %d\n", firefly.Version, exe, st.Size(), st.ModTime().UnixNano())
	add := func(name string) error {
		b, err := g.optional(name)
		if err != nil {
			return err
		}
		fmt.Fprintf(h, "%s %d\n", name, len(b))
		h.Write(b)
		return nil
	}
	names := []string{"go.mod", gen.LockPath, gen.LaunchPath}
	err = filepath.WalkDir(filepath.Join(g.root, protoDir), func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if strings.HasSuffix(p, ".proto") {
			rel, err := filepath.Rel(g.root, p)
			if err != nil {
				return err
			}
			names = append(names, filepath.ToSlash(rel))
		}
		return nil
	})
	if err != nil {
		return "", err
	}
	sort.Strings(names[3:])
	for _, name := range names {
		if err := add(name); err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// fresh reports whether the last run saw what this one would see, and its files are still
// there unchanged.
func (g *game) fresh() (s stamp, ok bool) {
	p, err := g.stampPath()
	if err != nil {
		return s, false
	}
	b, err := os.ReadFile(p)
	if err != nil {
		return s, false
	}
	if json.Unmarshal(b, &s) != nil || len(s.Outputs) == 0 {
		return s, false
	}
	if in, err := g.inputs(); err != nil || in != s.Inputs {
		return s, false
	}
	for name, want := range s.Outputs {
		if !own(name) {
			return s, false
		}
		b, err := os.ReadFile(g.path(name))
		if err != nil || sum(b) != want {
			return s, false
		}
	}
	return s, true
}

// remember writes the stamp of a good run. Games that import .proto files of other modules
// have inputs that are not hashed, so they get none.
func (g *game) remember(sys *idl.System, files []gen.File, said []string) {
	p, err := g.stampPath()
	if err != nil {
		return
	}
	s := stamp{Outputs: map[string]string{}, Said: said}
	known := true
	for _, f := range sys.Files {
		known = known && (f.Generate || strings.HasPrefix(f.Path, "google/protobuf/") || f.Path == "firefly/v1/options.proto")
	}
	s.Inputs, err = g.inputs()
	if err != nil || !known {
		os.Remove(p)
		return
	}
	for _, f := range files {
		s.Outputs[f.Path] = sum(f.Data)
	}
	b, err := json.Marshal(s)
	if err != nil {
		return
	}
	if os.MkdirAll(filepath.Dir(p), 0o700) == nil {
		os.WriteFile(p, b, 0o600)
	}
}

func sum(b []byte) string {
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:])
}
