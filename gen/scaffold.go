package gen

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"sort"
	"strings"

	"github.com/dave/jennifer/jen"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/firefly-go/firefly/idl"
)

// Scaffold is what is written once and belongs to the game from then on: the package of each
// role and cmd/<game>/main.go. root is the game's module. A file in the result is new, or an
// existing one with methods appended that the IDL has and the code has not; no line of it is
// changed. The notes say what a person has to do.
func Scaffold(sys *idl.System, o Options, root fs.FS) (files []Scaffolded, notes []string, err error) {
	g, err := newGenerator(sys, o)
	if err != nil {
		return nil, nil, err
	}
	if g.home == nil {
		return nil, []string{"no role is declared, so there is nothing to scaffold"}, nil
	}
	places := map[*idl.Role]string{}
	for _, r := range sys.Roles {
		s := &roleScaffold{g: g, r: r, root: root}
		f, dir, note, err := s.run()
		if err != nil {
			return nil, nil, err
		}
		places[r] = dir
		files = append(files, f...)
		if note != "" {
			notes = append(notes, note)
		}
	}
	f, note, err := g.scaffoldMain(root, places)
	if err != nil {
		return nil, nil, err
	}
	files = append(files, f...)
	notes = append(notes, note...)
	sort.Slice(files, func(i, j int) bool { return files[i].Path < files[j].Path })
	return files, notes, nil
}

// Scaffolded is a file that is new, or has methods appended.
type Scaffolded struct {
	File
	Methods []string // to be filled; nil for a file that is not a role's code
}

// roleScaffold looks at one role's package.
type roleScaffold struct {
	g    *generator
	r    *idl.Role
	root fs.FS
}

func (s *roleScaffold) run() (files []Scaffolded, dir, note string, err error) {
	name := s.g.names.rolePackage(s.r)
	for _, dir := range []string{name, "internal/" + name, "roles/" + name} {
		sources, err := goFiles(s.root, dir)
		if err != nil {
			return nil, "", "", err
		}
		if len(sources) > 0 {
			f, note, err := s.extend(dir, sources)
			return f, dir, note, err
		}
	}
	f, err := s.create(name)
	return f, name, "", err
}

// goFiles are the sources of a package, without tests, sorted by name.
func goFiles(root fs.FS, dir string) ([]File, error) {
	entries, err := fs.ReadDir(root, dir)
	if err != nil {
		return nil, nil // no such folder
	}
	var files []File
	for _, e := range entries {
		if e.IsDir() || !strings.HasSuffix(e.Name(), ".go") || strings.HasSuffix(e.Name(), "_test.go") {
			continue
		}
		b, err := fs.ReadFile(root, path.Join(dir, e.Name()))
		if err != nil {
			return nil, err
		}
		files = append(files, File{path.Join(dir, e.Name()), b})
	}
	return files, nil
}

// create writes the package of a role from nothing.
func (s *roleScaffold) create(name string) ([]Scaffolded, error) {
	g, r := s.g, s.r
	typ, pb := g.names.roleType(r), g.home.GoPackage
	f := jen.NewFilePathName(path.Join(g.o.Module, name), name)
	f.ImportName(fireflyPath, "firefly")
	for _, p := range g.sys.Packages {
		f.ImportName(p.GoPackage, p.GoName)
	}
	f.PackageComment("Package " + name + " is the code of role " + r.Name + ".")
	f.Commentf("%s is one node of role %s. Its methods run one at a time, on the logic loop, so what it keeps", typ, r.Name)
	f.Comment("needs no lock; what takes a ctx lets others run meanwhile.")
	f.Type().Id(typ).Struct(jen.Op("*").Qual(pb, g.names.deps(r)))
	f.Comment("New makes the handler of one node. Hooks and timers are registered here, on d.Node.")
	f.Func().Id("New").Params(jen.Id("d").Op("*").Qual(pb, g.names.deps(r))).Qual(pb, g.names.handler(r)).Block(
		jen.Return(jen.Op("&").Id(typ).Values(jen.Dict{jen.Id(g.names.deps(r)): jen.Id("d")})))
	for _, m := range s.methods() {
		f.Line()
		f.Add(s.method(m, receiver(typ), typ, func(p, n string) *jen.Statement { return jen.Qual(p, n) }))
	}
	files, err := render(f, path.Join(name, name+".go"))
	if err != nil {
		return nil, err
	}
	return []Scaffolded{{files[0], s.goNames(s.methods())}}, nil
}

func (s *roleScaffold) goNames(ms []*idl.Method) []string {
	names := make([]string, len(ms))
	for i, m := range ms {
		names[i] = s.g.names.method(m)
	}
	return names
}

func (s *roleScaffold) methods() []*idl.Method {
	var ms []*idl.Method
	for _, svc := range s.r.Serves {
		for _, m := range svc.Methods {
			if m.Command != nil || m.Call != nil {
				ms = append(ms, m)
			}
		}
	}
	return ms
}

func receiver(typ string) string { return strings.ToLower(typ[:1]) }

// method writes one method that is yet to be filled. qual names a thing of another package
// the way the file does.
func (s *roleScaffold) method(m *idl.Method, recv, typ string, qual func(importPath, name string) *jen.Statement) *jen.Statement {
	name := s.g.names.method(m)
	msg := func(d protoreflect.MessageDescriptor) *jen.Statement {
		p, n := s.g.names.message(d)
		return jen.Op("*").Add(qual(p, n))
	}
	out := &jen.Statement{}
	comment(out, m.Comment, name+" is "+m.FullName+".")
	notYet := qual(fireflyPath, "Unimplemented").Dot("Errorf").Call(jen.Lit(name + " is not written yet"))
	return out.Func().Params(jen.Id(recv).Op("*").Id(typ)).Id(name).ParamsFunc(func(p *jen.Group) {
		p.Id("ctx").Add(qual("context", "Context"))
		if m.Command != nil {
			p.Id("s").Add(qual(fireflyPath, "Session"))
		}
		switch m.Request {
		case idl.WireMessage:
			p.Id("req").Add(msg(m.Desc.Input()))
		case idl.WireRaw:
			p.Id("body").Index().Byte()
		}
	}).Do(func(st *jen.Statement) {
		switch m.Reply {
		case idl.WireMessage:
			st.Params(msg(m.Desc.Output()), jen.Error()).Block(jen.Return(jen.Nil(), notYet))
		case idl.WireRaw:
			st.Params(jen.Index().Byte(), jen.Error()).Block(jen.Return(jen.Nil(), notYet))
		default:
			st.Error().Block(jen.Return(notYet))
		}
	})
}

// extend appends to the file that declares the role's type the methods that it lacks.
func (s *roleScaffold) extend(dir string, sources []File) (files []Scaffolded, note string, err error) {
	fset := token.NewFileSet()
	var parsed []*ast.File
	for _, src := range sources {
		f, err := parser.ParseFile(fset, src.Path, src.Data, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return nil, "", fmt.Errorf("ffgen cannot add methods to code that does not parse: %w", err)
		}
		parsed = append(parsed, f)
	}
	if len(s.methods()) == 0 {
		return nil, "", nil
	}
	typ := s.handlerType(parsed)
	if typ == "" {
		return nil, fmt.Sprintf("package %s has no type that embeds *%s.%s, so ffgen cannot tell where methods of role %s belong; nothing was added there",
			dir, s.g.home.GoName, s.g.names.deps(s.r), s.r.Name), nil
	}
	has := map[string]bool{}
	recv, home := "", -1
	for i, f := range parsed {
		for _, d := range f.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if receiverType(d) == typ {
					has[d.Name.Name] = true
					if n := d.Recv.List[0].Names; recv == "" && len(n) > 0 && n[0].Name != "_" {
						recv = n[0].Name
					}
				}
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					if t, ok := spec.(*ast.TypeSpec); ok && t.Name.Name == typ {
						home = i
					}
				}
			}
		}
	}
	if recv == "" {
		recv = receiver(typ)
	}
	var lacks []*idl.Method
	for _, m := range s.methods() {
		if !has[s.g.names.method(m)] {
			lacks = append(lacks, m)
		}
	}
	if len(lacks) == 0 || home < 0 {
		return nil, "", nil
	}
	in := newImports(parsed[home], s.g)
	var added strings.Builder
	for _, m := range lacks {
		code := s.method(m, recv, typ, func(p, n string) *jen.Statement { return jen.Id(in.name(p)).Dot(n) })
		fmt.Fprintf(&added, "\n%#v\n", code)
	}
	src := string(sources[home].Data)
	if !strings.HasSuffix(src, "\n") {
		src += "\n"
	}
	src = in.insert(src) + added.String()
	if _, err := parser.ParseFile(token.NewFileSet(), sources[home].Path, src, parser.SkipObjectResolution); err != nil {
		return nil, "", fmt.Errorf("%s would not parse with the methods that it lacks: %w", sources[home].Path, err)
	}
	return []Scaffolded{{File{sources[home].Path, []byte(src)}, s.goNames(lacks)}}, "", nil
}

// handlerType is the struct of the package that is the role's code: the one that New gives,
// else the one that embeds the Deps.
func (s *roleScaffold) handlerType(files []*ast.File) string {
	deps := s.g.names.deps(s.r)
	embeds, made := "", ""
	local := map[string]bool{}
	for _, f := range files {
		for _, d := range f.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok {
				continue
			}
			for _, spec := range g.Specs {
				t, ok := spec.(*ast.TypeSpec)
				if !ok {
					continue
				}
				local[t.Name.Name] = true
				st, ok := t.Type.(*ast.StructType)
				if !ok {
					continue
				}
				for _, fd := range st.Fields.List {
					if len(fd.Names) == 0 && selected(fd.Type) == deps {
						embeds = t.Name.Name
					}
				}
			}
		}
	}
	for _, f := range files {
		for _, d := range f.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || fn.Recv != nil || fn.Body == nil || len(fn.Type.Params.List) != 1 || selected(fn.Type.Params.List[0].Type) != deps {
				continue
			}
			ast.Inspect(fn.Body, func(n ast.Node) bool {
				if u, ok := n.(*ast.UnaryExpr); ok && u.Op == token.AND {
					if c, ok := u.X.(*ast.CompositeLit); ok {
						if id, ok := c.Type.(*ast.Ident); ok && local[id.Name] && made == "" {
							made = id.Name
						}
					}
				}
				return true
			})
		}
	}
	if embeds != "" {
		return embeds
	}
	return made
}

// selected is X of *pkg.X, and of *X in a file that imports with a dot.
func selected(e ast.Expr) string {
	star, ok := e.(*ast.StarExpr)
	if !ok {
		return ""
	}
	switch x := star.X.(type) {
	case *ast.SelectorExpr:
		return x.Sel.Name
	case *ast.Ident:
		return x.Name
	}
	return ""
}

func receiverType(d *ast.FuncDecl) string {
	if d.Recv == nil || len(d.Recv.List) == 0 {
		return ""
	}
	t := d.Recv.List[0].Type
	if star, ok := t.(*ast.StarExpr); ok {
		t = star.X
	}
	if id, ok := t.(*ast.Ident); ok {
		return id.Name
	}
	return ""
}

// scaffoldMain writes cmd/<game>/main.go, or says what is missing in the one that is there.
func (g *generator) scaffoldMain(root fs.FS, places map[*idl.Role]string) ([]Scaffolded, []string, error) {
	dir := "cmd/" + g.sys.Game
	have, err := goFiles(root, dir)
	if err != nil {
		return nil, nil, err
	}
	if len(have) > 0 {
		var notes []string
		for _, r := range g.sys.Roles {
			found := false
			for _, f := range have {
				found = found || strings.Contains(string(f.Data), g.names.role(r)+"(")
			}
			if !found {
				notes = append(notes, fmt.Sprintf("%s does not name role %s; add %s.%s(%s.New)", dir, r.Name, g.home.GoName, g.names.role(r), g.names.rolePackage(r)))
			}
		}
		return nil, notes, nil
	}
	f := jen.NewFilePathName(path.Join(g.o.Module, dir), "main")
	f.ImportName(nodePath, "node")
	f.ImportName(g.home.GoPackage, g.home.GoName)
	f.PackageComment("Command " + g.sys.Game + " is the game: every role, and the tool that runs them.")
	var roles []jen.Code
	for _, r := range g.sys.Roles {
		p := path.Join(g.o.Module, places[r])
		f.ImportName(p, g.names.rolePackage(r))
		roles = append(roles, jen.Qual(g.home.GoPackage, g.names.role(r)).Call(jen.Qual(p, "New")))
	}
	f.Func().Id("main").Params().Block(
		jen.Qual(nodePath, "Main").Custom(jen.Options{Open: "(", Close: ")", Separator: ",", Multi: true}, roles...))
	files, err := render(f, path.Join(dir, "main.go"))
	if err != nil {
		return nil, nil, err
	}
	return []Scaffolded{{File: files[0]}}, nil, nil
}
