package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing/fstest"

	"golang.org/x/mod/modfile"

	"github.com/firefly-go/firefly/cmd/ffgen/internal/ddl"
	"github.com/firefly-go/firefly/cmd/ffgen/internal/mysqlimport"
	"github.com/firefly-go/firefly/gen"
	"github.com/firefly-go/firefly/idl"
)

var packageName = regexp.MustCompile(`^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*$`)

// cmdImport declares the tables of an existing schema.
func cmdImport(ctx context.Context, c *call) int {
	f, dir := c.flags()
	out := f.String("o", "", "write the .proto file into this `folder`; default: that of the package, below proto")
	pkg := f.String("package", "", "the proto `package`; default: the last word of the module and .v1")
	words, code, ok := c.parse(f, 2)
	if !ok {
		return code
	}
	if words[0] != "mysql" {
		fmt.Fprintf(c.stderr, "ffgen import reads mysql, and not %q\n", words[0])
		return usage
	}
	g, err := openForImport(*dir)
	if err != nil {
		return c.fail(err)
	}
	if *pkg == "" {
		*pkg = regexp.MustCompile(`[^a-z0-9]+`).ReplaceAllString(strings.ToLower(path.Base(g.module)), "_") + ".v1"
	}
	if !packageName.MatchString(*pkg) {
		fmt.Fprintf(c.stderr, "%q is no package of proto; write e.g. --package arena.v1\n", *pkg)
		return usage
	}
	src, err := os.ReadFile(words[1])
	if err != nil {
		return c.fail(err)
	}
	proto := filepath.Join(g.root, protoDir)
	folder := filepath.Join(proto, filepath.FromSlash(strings.ReplaceAll(*pkg, ".", "/")))
	if *out != "" {
		folder = mustAbs(*out)
	}
	rel, err := filepath.Rel(proto, folder)
	if err != nil || rel != "." && !filepath.IsLocal(rel) {
		return c.fail(fmt.Errorf("%s is not below %s, where the .proto files of the game lie", folder, proto))
	}
	base := strings.TrimSuffix(filepath.Base(words[1]), filepath.Ext(words[1]))
	file := path.Join(filepath.ToSlash(rel), regexp.MustCompile(`[^a-z0-9]+`).ReplaceAllString(strings.ToLower(base), "_")+".proto")
	if _, err := os.Stat(filepath.Join(proto, filepath.FromSlash(file))); err == nil {
		return c.fail(fmt.Errorf("%s is there already, and it may have been edited; move it away", path.Join(protoDir, file)))
	}
	o := mysqlimport.Options{Source: filepath.Base(words[1]), Package: *pkg, GoPackage: g.goPackage(folder, *pkg), Refuse: map[string]string{}}
	s := ddl.Parse(src)
	if len(s.Tables) == 0 {
		return c.fail(fmt.Errorf("%s makes no tables", words[1]))
	}
	r, err := g.acceptable(ctx, s, o, file)
	if err != nil {
		return c.fail(err)
	}
	if err := g.apply([]change{{verb: "new", name: path.Join(protoDir, file), data: r.Proto}}); err != nil {
		return c.fail(err)
	}
	for _, n := range r.Notes {
		fmt.Fprintf(c.stderr, "%s:%d: note: %s\n", words[1], n.Line, n.Text)
	}
	for _, l := range r.Lost {
		fmt.Fprintf(c.stderr, "%s:%d: %s\n", words[1], l.Line, l.Text)
	}
	fmt.Fprintf(c.stdout, "new  %s: %d tables of %d\n", path.Join(protoDir, file), r.Of, len(s.Tables))
	if len(r.Lost) > 0 {
		fmt.Fprintf(c.stderr, "%d things of the schema are not in the .proto; they are listed above and stand there as comments\n", len(r.Lost))
		return wrong
	}
	return good
}

// openForImport opens the game, which may not have a .proto file yet.
func openForImport(dir string) (*game, error) {
	g, err := openGame(dir)
	if err == nil {
		return g, nil
	}
	b, readErr := os.ReadFile(filepath.Join(dir, "go.mod"))
	if readErr != nil || modfile.ModulePath(b) == "" {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Join(dir, protoDir), 0o755); err != nil {
		return nil, err
	}
	return openGame(dir)
}

var (
	protoPackage = regexp.MustCompile(`(?m)^\s*package\s+([\w.]+)\s*;`)
	protoMessage = regexp.MustCompile(`(?m)^\s*(?:message|enum|service)\s+(\w+)`)
	goPackage    = regexp.MustCompile(`(?m)^\s*option\s+go_package\s*=\s*"([^"]+)"`)
)

// goPackage is the Go package of a proto package: that of the files that have it already.
func (g *game) goPackage(folder, pkg string) string {
	names, _ := filepath.Glob(filepath.Join(folder, "*.proto"))
	for _, n := range names {
		b, err := os.ReadFile(n)
		if err != nil {
			continue
		}
		p, o := protoPackage.FindSubmatch(b), goPackage.FindSubmatch(b)
		if p != nil && o != nil && string(p[1]) == pkg {
			return string(o[1])
		}
	}
	parts := strings.Split(pkg, ".")
	name := parts[0]
	if n := len(parts); n > 1 {
		name = parts[n-1]
		if regexp.MustCompile(`^v[0-9]`).MatchString(name) {
			name = parts[n-2]
		}
	}
	return g.module + "/" + name + "pb"
}

// acceptable declares the tables so that the whole game passes its checks: a table that does not is left
// out and told.
func (g *game) acceptable(ctx context.Context, s *ddl.Schema, o mysqlimport.Options, file string) (*mysqlimport.Result, error) {
	files := fstest.MapFS{}
	root := filepath.Join(g.root, protoDir)
	err := filepath.WalkDir(root, func(p string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || !strings.HasSuffix(p, ".proto") {
			return err
		}
		b, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, p)
		files[filepath.ToSlash(rel)] = &fstest.MapFile{Data: b}
		if p := protoPackage.FindSubmatch(b); p != nil && string(p[1]) == o.Package {
			for _, m := range protoMessage.FindAllSubmatch(b, -1) {
				o.Taken = append(o.Taken, string(m[1]))
			}
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	for range len(s.Tables) + 1 {
		r := mysqlimport.Import(s, o)
		files[file] = &fstest.MapFile{Data: r.Proto}
		more := map[string]string{}
		err := g.accepts(ctx, files)
		for _, f := range faults(err) {
			for _, p := range f.places {
				if m := r.MessageAt(p.Line); p.File == file && m != "" {
					more[m] = f.text
					break
				}
			}
		}
		if err != nil && len(more) == 0 {
			return nil, g.seen(err)
		}
		if len(more) == 0 {
			return r, nil
		}
		for m, why := range more {
			if o.Refuse[m] != "" {
				return nil, g.seen(err)
			}
			o.Refuse[m] = why
		}
	}
	return nil, errors.New("the tables of the schema are in each other's way")
}

// accepts reports what generate would say of these .proto files.
func (g *game) accepts(ctx context.Context, files fs.FS) error {
	sys, err := idl.Load(ctx, idl.Options{FS: files, ModRoot: g.root})
	if err != nil {
		return err
	}
	o, err := g.options()
	if err != nil {
		return err
	}
	_, err = gen.Generate(sys, o)
	return err
}

// fault is something that is said of places.
type fault struct {
	places []idl.Pos
	text   string
}

func faults(err error) (out []fault) {
	var ds idl.Diags
	if errors.As(err, &ds) {
		for _, d := range ds {
			f := fault{[]idl.Pos{d.Pos}, d.Message}
			for _, p := range d.Related {
				f.places = append(f.places, p.Pos)
			}
			out = append(out, f)
		}
	}
	var es gen.Errors
	if errors.As(err, &es) {
		for _, e := range es {
			out = append(out, fault{[]idl.Pos{e.Pos}, e.Message})
		}
	}
	return out
}
