package main

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing/fstest"

	"github.com/firefly-go/firefly/gen"
	"github.com/firefly-go/firefly/idl"
)

// cmdBreaking compares the declaration with released ones: those of ffgen.lock, or what
// --against names: a folder with a game or with .proto files, a lock file, or a git ref.
func cmdBreaking(ctx context.Context, c *call) int {
	f, dir := c.flags()
	against := f.String("against", "", "a `folder`, an ffgen.lock, or a git ref; default: the releases in ffgen.lock")
	if _, code, ok := c.parse(f, 0); !ok {
		return code
	}
	g, err := openGame(*dir)
	if err != nil {
		return c.fail(err)
	}
	sys, err := g.load(ctx)
	if err != nil {
		return c.fail(err)
	}
	o, err := g.options()
	if err != nil {
		return c.fail(err)
	}
	now, err := gen.Current(sys, o)
	if err != nil {
		return c.fail(g.seen(err))
	}
	old, err := g.against(ctx, *against, o)
	if err != nil {
		return c.fail(err)
	}
	if len(old) == 0 {
		fmt.Fprintln(c.stdout, "nothing is released yet; ffgen release VERSION records the present declaration")
		return good
	}
	bad := 0
	for _, r := range old {
		for _, b := range gen.Breaking(r, now) {
			bad++
			if r.Version != "" {
				b = "release " + r.Version + ": " + b
			}
			fmt.Fprintln(c.stderr, b)
		}
	}
	if bad > 0 {
		return wrong
	}
	fmt.Fprintln(c.stdout, "nothing breaks")
	return good
}

// against gives the declarations to compare with.
func (g *game) against(ctx context.Context, what string, o gen.Options) ([]gen.Release, error) {
	if what == "" {
		lock, err := gen.ReadLock(o.Lock)
		if err != nil {
			return nil, err
		}
		return lock.Releases, nil
	}
	st, err := os.Stat(what)
	switch {
	case err == nil && !st.IsDir():
		b, err := os.ReadFile(what)
		if err != nil {
			return nil, err
		}
		return fromLock(b)
	case err == nil:
		if b, err := os.ReadFile(filepath.Join(what, gen.LockPath)); err == nil {
			return fromLock(b)
		}
		if other, err := openGame(what); err == nil && other.root == mustAbs(what) {
			sys, err := other.load(ctx)
			if err != nil {
				return nil, err
			}
			r, err := gen.Current(sys, gen.Options{Module: other.module})
			return []gen.Release{r}, err
		}
		sys, err := idl.Load(ctx, idl.Options{Dir: what, ModRoot: g.root})
		if err != nil {
			return nil, err
		}
		r, err := gen.Current(sys, gen.Options{Module: g.module})
		return []gen.Release{r}, err
	}
	return g.atRef(ctx, what)
}

func mustAbs(p string) string {
	abs, err := filepath.Abs(p)
	if err != nil {
		return p
	}
	return abs
}

// fromLock are the declarations that a lock knows: its releases, and what it was written for.
func fromLock(b []byte) ([]gen.Release, error) {
	lock, err := gen.ReadLock(b)
	if err != nil {
		return nil, err
	}
	if lock.Current.Fingerprint == "" {
		return lock.Releases, nil
	}
	for _, r := range lock.Releases {
		if r.Same(lock.Current) {
			return lock.Releases, nil
		}
	}
	return append(lock.Releases, lock.Current), nil
}

// atRef is the declaration of a git ref: its lock, or its .proto files when it has none.
func (g *game) atRef(ctx context.Context, ref string) ([]gen.Release, error) {
	if strings.HasPrefix(ref, "-") {
		return nil, fmt.Errorf("%q is neither a path nor a git ref", ref)
	}
	if _, err := g.git(ctx, "rev-parse", "--verify", "--quiet", ref+"^{commit}"); err != nil {
		return nil, fmt.Errorf("%q is neither a path nor a git ref", ref)
	}
	if b, err := g.git(ctx, "show", ref+":./"+gen.LockPath); err == nil {
		return fromLock(b)
	}
	b, err := g.git(ctx, "archive", "--format=tar", ref, "./"+protoDir)
	if err != nil {
		return nil, fmt.Errorf("at %s there is neither %s nor a folder %s: %w", ref, gen.LockPath, protoDir, err)
	}
	files := fstest.MapFS{}
	for r := tar.NewReader(bytes.NewReader(b)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		data, err := io.ReadAll(r)
		if err != nil {
			return nil, err
		}
		if _, name, ok := strings.Cut("/"+filepath.ToSlash(h.Name), "/"+protoDir+"/"); ok {
			files[name] = &fstest.MapFile{Data: data}
		}
	}
	sys, err := idl.Load(ctx, idl.Options{FS: files, ModRoot: g.root})
	if err != nil {
		return nil, fmt.Errorf("at %s: %w", ref, err)
	}
	r, err := gen.Current(sys, gen.Options{Module: g.module})
	return []gen.Release{r}, err
}

func (g *game) git(ctx context.Context, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "git", append([]string{"-C", g.root}, args...)...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("git %s: %w: %s", args[0], err, strings.TrimSpace(errs.String()))
	}
	return out.Bytes(), nil
}

// cmdRelease records the present declaration as one that players have.
func cmdRelease(ctx context.Context, c *call) int {
	f, dir := c.flags()
	words, code, ok := c.parse(f, 1)
	if !ok {
		return code
	}
	g, err := openGame(*dir)
	if err != nil {
		return c.fail(err)
	}
	_, o, files, err := g.generate(ctx)
	if err != nil {
		return c.fail(err)
	}
	changes, err := g.compare(files, o.Lock)
	if err != nil {
		return c.fail(err)
	}
	if len(changes) > 0 {
		return c.fail(errors.New("the generated files are not those of the declaration; run ffgen generate first"))
	}
	lock, err := gen.ReadLock(o.Lock)
	if err != nil {
		return c.fail(err)
	}
	lock.Release(words[0])
	if err := g.apply([]change{{verb: "changed", name: gen.LockPath, data: lock.Bytes()}}); err != nil {
		return c.fail(err)
	}
	fmt.Fprintf(c.stdout, "%s knows release %s, fingerprint %s\n", gen.LockPath, words[0], lock.Current.Fingerprint)
	return good
}
