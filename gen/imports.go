package gen

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path"
	"sort"
	"strconv"
	"strings"
)

// How a hand-written file names the packages that it imports, and how it gets those that a
// method added to it needs, with no line of it changed.

// imports knows how a file names the packages that it imports, and which it lacks.
type imports struct {
	g     *generator
	names map[string]string
	lacks []string // import paths
}

func newImports(f *ast.File, g *generator) *imports {
	in := &imports{g: g, names: map[string]string{}}
	for _, spec := range f.Imports {
		p, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			continue
		}
		if spec.Name != nil {
			if spec.Name.Name == "_" || spec.Name.Name == "." {
				continue
			}
			in.names[p] = spec.Name.Name
			continue
		}
		in.names[p] = g.packageName(p)
	}
	return in
}

// packageName is the name of a package that generated code may name.
func (g *generator) packageName(importPath string) string {
	for _, p := range g.sys.Packages {
		if p.GoPackage == importPath {
			return p.GoName
		}
	}
	for _, f := range g.sys.Files {
		if f.GoPackage == importPath {
			return f.GoName
		}
	}
	return path.Base(importPath)
}

func (in *imports) name(importPath string) string {
	if n, ok := in.names[importPath]; ok {
		return n
	}
	n := in.g.packageName(importPath)
	in.names[importPath] = n
	in.lacks = append(in.lacks, importPath)
	return n
}

// insert puts lines for the lacking imports where gofmt would have them: into the group of
// their kind, in its order.
func (in *imports) insert(src string) string {
	sort.Strings(in.lacks)
	for _, p := range in.lacks {
		line := strconv.Quote(p)
		if n := in.names[p]; n != path.Base(p) {
			line = n + " " + line
		}
		src = insertImport(src, p, line)
	}
	return src
}

// insertImport adds one import to a source that parses.
func insertImport(src, importPath, line string) string {
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, "", src, parser.ImportsOnly)
	if err != nil {
		return src // the caller parses the result and says so
	}
	// at inserts text as lines of their own before or behind the line of pos.
	at := func(pos token.Pos, behind bool, text string) string {
		offset := fset.Position(pos).Offset
		if behind {
			if i := strings.IndexByte(src[offset:], '\n'); i >= 0 {
				offset += i + 1
			} else {
				src, offset = src+"\n", len(src)+1
			}
		} else {
			offset = strings.LastIndexByte(src[:offset], '\n') + 1
		}
		return src[:offset] + text + src[offset:]
	}
	var block *ast.GenDecl
	var last *ast.GenDecl
	for _, d := range f.Decls {
		if g, ok := d.(*ast.GenDecl); ok && g.Tok == token.IMPORT {
			last = g
			if g.Lparen.IsValid() && len(g.Specs) > 0 && block == nil {
				block = g
			}
		}
	}
	switch {
	case last == nil:
		return at(f.Name.End(), true, "\nimport "+line+"\n")
	case block == nil:
		return at(last.End(), true, "import "+line+"\n")
	}
	specPath := func(s ast.Spec) string {
		p, _ := strconv.Unquote(s.(*ast.ImportSpec).Path.Value)
		return p
	}
	lineOf := func(p token.Pos) int { return fset.Position(p).Line }
	// A group is a run of lines without a blank one; ours is the first of our kind.
	for i := 0; i < len(block.Specs); {
		j, same := i+1, standard(specPath(block.Specs[i])) == standard(importPath)
		for ; j < len(block.Specs) && lineOf(block.Specs[j].Pos()) == lineOf(block.Specs[j-1].End())+1; j++ {
			same = same && standard(specPath(block.Specs[j])) == standard(importPath)
		}
		if same {
			for _, s := range block.Specs[i:j] {
				if specPath(s) > importPath {
					return at(s.Pos(), false, "\t"+line+"\n")
				}
			}
			return at(block.Specs[j-1].End(), true, "\t"+line+"\n")
		}
		i = j
	}
	if standard(importPath) {
		return at(block.Lparen, true, "\t"+line+"\n\n")
	}
	return at(block.Specs[len(block.Specs)-1].End(), true, "\n\t"+line+"\n")
}

// standard reports whether an import path is one of the standard library.
func standard(importPath string) bool {
	first, _, _ := strings.Cut(importPath, "/")
	return !strings.Contains(first, ".")
}
