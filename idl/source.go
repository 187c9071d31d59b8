package idl

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/bufbuild/protocompile"
)

// This file finds the .proto files of a run and everything that they import, and says which of
// them can be given to the compiler.

// source is one .proto file before it is compiled.
type source struct {
	path    string
	data    []byte
	run     bool // of this run; otherwise only imported
	builtin bool // the vocabulary or one of google/protobuf; has no data
	scanned
	broken bool           // or imports something that is; not compiled
	tabbed map[int][]byte // lines with a tab
}

// sources are the files of a run by path.
type sources struct {
	opts  Options
	fsys  fs.FS // the game's folder
	mods  *modules
	files map[string]*source
	order []string // the files of this run
	total int
	diags Diags
}

// standard knows google/protobuf/*.proto.
var standard = protocompile.WithStandardImports(protocompile.ResolverFunc(func(string) (protocompile.SearchResult, error) {
	return protocompile.SearchResult{}, fs.ErrNotExist
}))

func builtin(p string) bool {
	if p == VocabularyPath {
		return true
	}
	if !strings.HasPrefix(p, "google/protobuf/") {
		return false
	}
	_, err := standard.FindFileByPath(p)
	return err == nil
}

func (s *sources) fault(d Diag) { s.diags = append(s.diags, d) }

// gather reads the files of the run and what they import, breadth first.
func (s *sources) gather(ctx context.Context) error {
	names := s.opts.Files
	if names == nil {
		var err error
		if names, err = s.walk(ctx); err != nil {
			return err
		}
	}
	var queue []*source
	for _, name := range names {
		if s.files[name] != nil || builtin(name) {
			continue // a copy of the vocabulary in the game's folder is not asked
		}
		src := &source{path: name, run: true}
		s.files[name] = src
		s.order = append(s.order, name)
		data, err := s.read(s.fsys, name)
		if err != nil {
			src.broken = true
			s.fault(Diag{Code: readCode(err), Pos: Pos{File: name}, Message: reason(err)})
			continue
		}
		s.add(src, data)
		queue = append(queue, src)
	}
	if len(s.order) == 0 && len(s.diags) == 0 {
		where := s.opts.Dir
		if where == "" {
			where = "the given folder"
		}
		s.fault(Diag{Code: CodeNoFiles, Message: fmt.Sprintf("there is no .proto file in %s", where)})
	}
	for len(queue) > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		src := queue[0]
		queue = queue[1:]
		for _, imp := range src.imports {
			if s.files[imp.path] != nil {
				continue
			}
			dep := &source{path: imp.path}
			if builtin(imp.path) {
				dep.builtin = true
				s.files[imp.path] = dep
				continue
			}
			data, err := s.find(ctx, imp.path)
			if err != nil {
				src.broken = true
				s.missing(imp, err)
				continue
			}
			s.files[imp.path] = dep
			s.add(dep, data)
			queue = append(queue, dep)
		}
	}
	s.cycles()
	s.spread()
	return ctx.Err()
}

// walk lists the .proto files of the game's folder. Folders that begin with a dot or an
// underscore hold something else.
func (s *sources) walk(ctx context.Context) ([]string, error) {
	names := []string{}
	err := fs.WalkDir(s.fsys, ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			if p == "." {
				return err
			}
			s.fault(Diag{Code: CodeUnreadable, Pos: Pos{File: p}, Message: reason(err)})
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if d.IsDir() {
			if base := d.Name(); p != "." && (strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") || base == "node_modules") {
				return fs.SkipDir
			}
			return nil
		}
		if path.Ext(p) == ".proto" {
			if names = append(names, p); len(names) > maxFiles {
				s.fault(Diag{Code: CodeTooManyFiles, Message: fmt.Sprintf("over %d .proto files", maxFiles)})
				return fs.SkipAll
			}
		}
		return nil
	})
	if err != nil && ctx.Err() == nil {
		s.fault(Diag{Code: CodeUnreadable, Message: fmt.Sprintf("%s: %s", s.opts.Dir, reason(err))})
		return nil, nil
	}
	return names, ctx.Err()
}

var errTooLarge = fmt.Errorf("the file has over %d bytes; split it", maxFile)

// read reads one file, but never more than is allowed.
func (s *sources) read(fsys fs.FS, name string) ([]byte, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil {
		return nil, err
	} else if !st.Mode().IsRegular() {
		return nil, errors.New("this is no file")
	} else if st.Size() > maxFile {
		return nil, errTooLarge
	}
	// One byte over the limit is enough for scan to refuse it.
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, err
	}
	return data, nil
}

// add takes the text of a file in.
func (s *sources) add(src *source, data []byte) {
	s.total += len(data)
	if s.total > maxTotal {
		src.broken = true
		s.fault(Diag{Code: CodeTooManyFiles, Pos: Pos{File: src.path}, Message: fmt.Sprintf("with this file the run has over %d bytes", maxTotal)})
		return
	}
	if len(s.files) > maxFiles {
		src.broken = true
		s.fault(Diag{Code: CodeTooManyFiles, Pos: Pos{File: src.path}, Message: fmt.Sprintf("with this file the run has over %d files", maxFiles)})
		return
	}
	var fault *Diag
	if src.scanned, fault = scan(src.path, data); fault != nil {
		src.broken = true
		src.imports = nil
		s.fault(*fault)
		return
	}
	src.data, src.tabbed = data, tabs(data)
}

// find looks for an import: in the game's folder, then in the modules of go.mod.
func (s *sources) find(ctx context.Context, name string) ([]byte, error) {
	if !fs.ValidPath(name) || name == "." || len(name) > maxPath {
		return nil, errors.New("this is no import path; write it from the root of the IDL folder, with slashes")
	}
	data, err := s.read(s.fsys, name)
	if err == nil || !errors.Is(err, fs.ErrNotExist) {
		return data, err
	}
	if s.mods == nil {
		return nil, fs.ErrNotExist
	}
	fsys, err := s.mods.find(ctx, name)
	if err != nil {
		return nil, err
	}
	return s.read(fsys, name)
}

func (s *sources) missing(imp importStmt, err error) {
	d := Diag{Code: CodeImportNotFound, Pos: imp.pos}
	if !errors.Is(err, fs.ErrNotExist) {
		d.Code = readCode(err)
		d.Message = fmt.Sprintf("import %q: %s", imp.path, reason(err))
		s.fault(d)
		return
	}
	d.Message = fmt.Sprintf("import %q is not found; looked in %s", imp.path, s.looked())
	if len(s.diags) > maxHints {
		s.fault(d)
		return
	}
	known := []string{strings.TrimSuffix(VocabularyPath, ".proto")}
	for name := range s.files {
		if name != imp.pos.File {
			known = append(known, strings.TrimSuffix(name, ".proto"))
		}
	}
	if i := slices.IndexFunc(s.order, func(p string) bool { return strings.HasSuffix(p, "/"+imp.path) }); i >= 0 {
		d.Message += fmt.Sprintf("; paths begin at the IDL folder: %q", s.order[i])
	} else if best := nearest(strings.TrimSuffix(imp.path, ".proto"), known); best != "" {
		d.Message += fmt.Sprintf("; did you mean %q?", best+".proto")
	}
	s.fault(d)
}

// looked says where imports were looked for.
func (s *sources) looked() string {
	where := "the IDL folder"
	if s.opts.Dir != "" {
		where = path.Base(strings.ReplaceAll(s.opts.Dir, string(os.PathSeparator), "/"))
	}
	if s.mods != nil {
		where += ", and in the Go modules of go.mod"
	}
	return where
}

// cycles refuses files that import each other in a circle. Each circle is told once, at the
// import that closes it.
func (s *sources) cycles() {
	const (
		fresh = iota
		open
		done
	)
	const maxCircles = 100 // are told
	told := 0
	state := map[string]int{}
	var stack []string
	var visit func(name string)
	visit = func(name string) {
		state[name] = open
		stack = append(stack, name)
		src := s.files[name]
		for _, imp := range src.imports {
			dep := s.files[imp.path]
			if dep == nil {
				continue
			}
			switch state[imp.path] {
			case fresh:
				visit(imp.path)
			case open:
				src.broken = true // and by spread all of the circle, who import it
				if told++; told > maxCircles {
					continue
				}
				ring := append(slices.Clone(stack[slices.Index(stack, imp.path):]), imp.path)
				if len(ring) > 6 {
					ring = append(append(ring[:3:3], fmt.Sprintf("... %d more", len(ring)-5)), ring[len(ring)-2:]...)
				}
				for i, r := range ring {
					if !strings.HasPrefix(r, "... ") {
						ring[i] = fmt.Sprintf("%q", r)
					}
				}
				s.fault(Diag{Code: CodeImportCycle, Pos: imp.pos, Message: "cycle found in imports: " + strings.Join(ring, " -> ")})
			}
		}
		stack = stack[:len(stack)-1]
		state[name] = done
	}
	names := make([]string, 0, len(s.files))
	for name := range s.files {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if state[name] == fresh {
			visit(name)
		}
	}
}

// spread marks the files that import a broken one.
func (s *sources) spread() {
	importers := map[string][]*source{}
	var queue []*source
	for _, src := range s.files {
		for _, imp := range src.imports {
			importers[imp.path] = append(importers[imp.path], src)
		}
		if src.broken {
			queue = append(queue, src)
		}
	}
	for len(queue) > 0 {
		src := queue[0]
		queue = queue[1:]
		for _, up := range importers[src.path] {
			if !up.broken {
				up.broken = true
				queue = append(queue, up)
			}
		}
	}
}

// readCode is the code of a fault to read a file.
func readCode(err error) string {
	if errors.Is(err, errTooLarge) {
		return CodeFileTooLarge
	}
	return CodeUnreadable
}

// reason is an error without the path that a fault already has.
func reason(err error) string {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		err = pe.Err
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "not found"
	case errors.Is(err, fs.ErrPermission):
		return "no permission to read it"
	}
	return err.Error()
}
