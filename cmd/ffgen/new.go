package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"go/format"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"runtime/debug"
	"strings"
	"text/template"
	"time"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/templates"
)

const libraryPath = "github.com/firefly-go/firefly"

// goodName is what a game may be called: it becomes a Go package, a proto package and a
// binary.
var goodName = regexp.MustCompile(`^[a-z][a-z0-9]{0,31}$`)

// takenNames cannot be games: they would be keywords, or meet names of the skeleton.
var takenNames = map[string]bool{
	"break": true, "case": true, "chan": true, "const": true, "continue": true, "default": true, "defer": true, "else": true,
	"fallthrough": true, "for": true, "func": true, "go": true, "goto": true, "if": true, "import": true, "interface": true,
	"map": true, "package": true, "range": true, "return": true, "select": true, "struct": true, "switch": true, "type": true,
	"var": true, "firefly": true, "game": true, "main": true, "internal": true, "vendor": true, "testdata": true,
	"node": true, "proto": true, "service": true, "message": true, "enum": true, "option": true, "rpc": true, "master": true, "store": true,
	"context": true, "string": true, "error": true, "any": true, "nil": true, "true": true, "false": true,
}

// cmdNew makes a game in a blank directory: a declaration with one role, its code, a test,
// and everything that is generated from it.
func cmdNew(ctx context.Context, c *call) int {
	began := time.Now()
	f, dir := c.flags()
	modulePath := f.String("module", "", "module `path` of the game; default example.com/NAME")
	library := f.String("firefly", "", "use the checkout of the library in this `directory`")
	words, code, ok := c.parse(f, 1)
	if !ok {
		return code
	}
	root, err := filepath.Abs(filepath.Join(*dir, words[0]))
	if filepath.IsAbs(words[0]) {
		root, err = words[0], nil
	}
	if err != nil {
		return c.fail(err)
	}
	name := filepath.Base(root)
	if !goodName.MatchString(name) || takenNames[name] {
		fmt.Fprintf(c.stderr, "%q cannot be the name of a game: it names a Go package and a proto package, so use lower case letters and digits, and no word that one of them needs\n", name)
		return usage
	}
	if *modulePath == "" {
		*modulePath = "example.com/" + name
	}
	if err := module.CheckPath(*modulePath); err != nil {
		fmt.Fprintln(c.stderr, err)
		return usage
	}
	if entries, err := os.ReadDir(root); err == nil {
		for _, e := range entries {
			if e.Name() != ".git" {
				return c.fail(fmt.Errorf("%s is not empty; a new game begins in a blank directory", root))
			}
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return c.fail(err)
	}
	mod, sum, err := goMod(ctx, *modulePath, *library)
	if err != nil {
		return c.fail(err)
	}
	changes, err := skeleton(name, *modulePath)
	if err != nil {
		return c.fail(err)
	}
	changes = append(changes, change{verb: "new", name: "go.mod", data: mod})
	first := "  go mod tidy\n" // fetches what the library requires
	if sum != nil {
		changes = append(changes, change{verb: "new", name: "go.sum", data: sum})
		first = ""
	}
	g := &game{root: root, module: *modulePath, shown: filepath.Join(words[0], protoDir)}
	if err := os.MkdirAll(root, 0o755); err != nil {
		return c.fail(err)
	}
	if err := g.apply(changes); err != nil {
		return c.fail(err)
	}
	quiet := *c
	quiet.stdout = &bytes.Buffer{}
	if code := g.run(ctx, &quiet, true, began); code != good {
		return code
	}
	fmt.Fprintf(c.stdout, `%s is a game now, made in %s. What to do with it:

  cd %s
%s  go test ./...
  go run ./cmd/%s up

It is declared in %s; its code is in game/game.go.
`, name, since(began), words[0], first, name, "proto/"+name+"/v1/"+name+".proto")
	return good
}

// skeleton are the files of a new game that a person will go on writing.
func skeleton(name, modulePath string) ([]change, error) {
	data := struct{ Name, Title, Module, Pb string }{name, strings.ToUpper(name[:1]) + name[1:], modulePath, name + "pb"}
	var changes []change
	err := fs.WalkDir(templates.FS, "new", func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		t, err := template.New(path.Base(p)).Delims("<<", ">>").ParseFS(templates.FS, p)
		if err != nil {
			return err
		}
		var b bytes.Buffer
		if err := t.Execute(&b, data); err != nil {
			return err
		}
		// Names in the template folder: NAME is the game's, and "dot." stands before what begins
		// with a dot on disk, since embedding passes those over.
		out := strings.TrimSuffix(strings.TrimPrefix(p, "new/"), ".tmpl")
		out = strings.ReplaceAll(out, "NAME", name)
		if base, ok := strings.CutPrefix(path.Base(out), "dot."); ok {
			out = path.Join(path.Dir(out), "."+base)
		}
		text := b.Bytes()
		if strings.HasSuffix(out, ".go") {
			// The order of imports depends on the name.
			if text, err = format.Source(text); err != nil {
				return fmt.Errorf("%s: %w", out, err)
			}
		}
		changes = append(changes, change{verb: "new", name: out, data: text})
		return nil
	})
	return changes, err
}

// goMod makes go.mod and go.sum of a new game. With an ffgen of a published version they
// require that version; else the game uses the checkout that ffgen was built from, with all
// that this requires, so that nothing has to be fetched.
func goMod(ctx context.Context, modulePath, library string) (mod, sum []byte, err error) {
	if library == "" {
		if v := publishedVersion(); v != "" {
			f := &modfile.File{}
			if err := errors.Join(f.AddModuleStmt(modulePath), f.AddGoStmt(goVersion()), f.AddRequire(libraryPath, v), f.AddTool(libraryPath+"/cmd/ffgen")); err != nil {
				return nil, nil, err
			}
			f.Cleanup()
			mod, err := f.Format()
			return mod, nil, err
		}
		if library, err = checkout(ctx); err != nil {
			return nil, nil, err
		}
	}
	if library, err = filepath.Abs(library); err != nil {
		return nil, nil, err
	}
	b, err := os.ReadFile(filepath.Join(library, "go.mod"))
	if err != nil {
		return nil, nil, err
	}
	from, err := modfile.Parse("go.mod", b, nil)
	if err != nil {
		return nil, nil, err
	}
	if from.Module == nil || from.Module.Mod.Path != libraryPath {
		return nil, nil, fmt.Errorf("%s is no checkout of %s", library, libraryPath)
	}
	f := &modfile.File{}
	if err := f.AddModuleStmt(modulePath); err != nil {
		return nil, nil, err
	}
	if from.Go != nil {
		if err := f.AddGoStmt(from.Go.Version); err != nil {
			return nil, nil, err
		}
	}
	f.AddNewRequire(libraryPath, "v0.0.0", false)
	for _, r := range from.Require {
		f.AddNewRequire(r.Mod.Path, r.Mod.Version, !usedByGames[r.Mod.Path])
	}
	for _, r := range from.Replace {
		if !modfile.IsDirectoryPath(r.New.Path) {
			if err := f.AddReplace(r.Old.Path, r.Old.Version, r.New.Path, r.New.Version); err != nil {
				return nil, nil, err
			}
		}
	}
	if err := f.AddReplace(libraryPath, "", filepath.ToSlash(library), ""); err != nil {
		return nil, nil, err
	}
	// go tool ffgen runs the ffgen of the library that the game uses.
	if err := f.AddTool(libraryPath + "/cmd/ffgen"); err != nil {
		return nil, nil, err
	}
	f.SetRequireSeparateIndirect(f.Require)
	f.Cleanup()
	if mod, err = f.Format(); err != nil {
		return nil, nil, err
	}
	sum, err = os.ReadFile(filepath.Join(library, "go.sum"))
	return mod, sum, err
}

// usedByGames are the modules that generated code imports itself.
var usedByGames = map[string]bool{
	"google.golang.org/protobuf":        true,
	"github.com/planetscale/vtprotobuf": true,
}

func goVersion() string {
	return strings.TrimPrefix(strings.Fields(runtime.Version())[0], "go")
}

// publishedVersion is the version that ffgen was installed as, "" for a build of a checkout.
func publishedVersion() string {
	bi, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	v := ""
	if bi.Main.Path == libraryPath {
		v = bi.Main.Version
	}
	for _, d := range bi.Deps {
		if d.Path == libraryPath && d.Replace == nil {
			v = d.Version
		}
	}
	// A checkout says (devel), or a version made from its commit, which nobody can fetch.
	if v == "v"+firefly.Version {
		return v
	}
	return ""
}

// checkout finds the source that this ffgen was built from.
func checkout(ctx context.Context) (string, error) {
	if _, file, _, ok := runtime.Caller(0); ok && filepath.IsAbs(file) {
		root := filepath.Dir(filepath.Dir(filepath.Dir(file)))
		if b, err := os.ReadFile(filepath.Join(root, "go.mod")); err == nil && modfile.ModulePath(b) == libraryPath {
			return root, nil
		}
	}
	// Built with -trimpath, or the checkout was moved: the module around here may know it.
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", libraryPath).Output()
	if dir := strings.TrimSpace(string(out)); err == nil && dir != "" {
		return dir, nil
	}
	return "", fmt.Errorf("the checkout of %s that ffgen was built from is not where it was; name it with --firefly DIR", libraryPath)
}
