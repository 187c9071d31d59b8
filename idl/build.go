package idl

import (
	"cmp"
	"fmt"
	"go/token"
	"path"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/firefly-go/firefly/idl/fireflypb"
)

// run is one Load after the compiler: it fills the System and collects faults on the way. What
// one file of this package calls a subject (roles, methods, pushes ...) is filled and checked
// there; the order of the subjects is that of build.
type run struct {
	sys   *System
	src   *sources
	diags Diags
	locs  map[string]*locator

	pkgs     map[string]*Package
	services map[protoreflect.FullName]*Service
	messages map[protoreflect.FullName]protoreflect.MessageDescriptor
	enums    map[protoreflect.FullName]protoreflect.EnumDescriptor
	pushes   map[protoreflect.FullName]*Push
	tables   map[protoreflect.FullName]*Table
	sheets   map[protoreflect.FullName]*Sheet
	fields   map[protoreflect.FullName]fieldOptions // those that have options of ours
	mounts   map[string]*Mount                      // by the name of the mount
	bases    map[uint32]*Mount                      // by its base
	mounted  map[*Module][]*Mount

	// named holds, per file, the files of what its options name in strings: imports for which
	// the compiler sees no use.
	named map[string]map[string]bool
}

func newRun(src *sources, roots []protoreflect.FileDescriptor) *run {
	r := &run{
		sys: &System{}, src: src, locs: map[string]*locator{},
		pkgs:     map[string]*Package{},
		services: map[protoreflect.FullName]*Service{},
		messages: map[protoreflect.FullName]protoreflect.MessageDescriptor{},
		enums:    map[protoreflect.FullName]protoreflect.EnumDescriptor{},
		pushes:   map[protoreflect.FullName]*Push{},
		tables:   map[protoreflect.FullName]*Table{},
		sheets:   map[protoreflect.FullName]*Sheet{},
		fields:   map[protoreflect.FullName]fieldOptions{},
		mounts:   map[string]*Mount{},
		bases:    map[uint32]*Mount{},
		mounted:  map[*Module][]*Mount{},
		named:    map[string]map[string]bool{},
	}
	seen := map[string]bool{}
	var add func(fd protoreflect.FileDescriptor)
	add = func(fd protoreflect.FileDescriptor) {
		if seen[fd.Path()] {
			return
		}
		seen[fd.Path()] = true
		f := &File{Path: fd.Path(), Desc: fd}
		if s := src.files[fd.Path()]; s != nil {
			f.Generate = s.run
		}
		r.sys.Files = append(r.sys.Files, f)
		for i := range fd.Imports().Len() {
			add(fd.Imports().Get(i).FileDescriptor)
		}
	}
	for _, fd := range roots {
		add(fd)
	}
	slices.SortFunc(r.sys.Files, func(a, b *File) int { return cmp.Compare(a.Path, b.Path) })
	return r
}

// build fills the System, and checks it.
func (r *run) build() {
	r.buildPackages()
	for _, p := range r.sys.Packages {
		for _, f := range p.Files {
			r.buildFile(p, f)
		}
	}
	r.buildModules()
	r.buildRoles()
	r.buildRules()

	r.checkLanguage()
	r.checkIDs()
	r.checkServed()
	r.checkMethods()
	r.checkHTTP()
	r.checkPushes()
	r.checkTables()
	r.checkSheets()
	r.checkErrors()
	r.checkRoles()
	r.checkListens()
	r.checkCircles()
	r.checkPorts()
	r.checkNames()
}

func (r *run) fault(code string, pos Pos, message string, related ...Related) {
	related = slices.DeleteFunc(related, func(x Related) bool { return x.Pos.File == "" })
	r.diags = append(r.diags, Diag{Code: code, Pos: pos, Message: message, Related: related})
}

func (r *run) warn(code string, pos Pos, message string, related ...Related) {
	r.fault(code, pos, message, related...)
	r.diags[len(r.diags)-1].Warning = true
}

// loc is the locator of the file of d.
func (r *run) loc(d protoreflect.Descriptor) *locator {
	fd := d.ParentFile()
	l := r.locs[fd.Path()]
	if l == nil {
		l = newLocator(fd, r.src.files[fd.Path()])
		r.locs[fd.Path()] = l
	}
	return l
}

// pos is the place of a descriptor, opt that of a part of one of its options.
func (r *run) pos(d protoreflect.Descriptor) Pos { return r.loc(d).of(d) }

func (r *run) opt(d protoreflect.Descriptor, path ...int32) Pos {
	return r.loc(d).option(d, path...)
}

// options reads the options of d into the generated type of them. It tells whether one of ours
// is there. The compiler gives dynamic messages, so they go through bytes once.
func (r *run) options(d protoreflect.Descriptor, into proto.Message) bool {
	opts := d.Options()
	if opts == nil {
		return false
	}
	var ours protoreflect.FieldNumber
	foreign := false
	opts.ProtoReflect().Range(func(fd protoreflect.FieldDescriptor, _ protoreflect.Value) bool {
		if fd.IsExtension() && fd.Number() >= optFirst && fd.Number() <= optLast {
			if fd.ParentFile().Path() == VocabularyPath {
				ours = fd.Number()
			} else {
				foreign = true
				r.fault(CodeForeignNumber, r.opt(d, int32(fd.Number())),
					fmt.Sprintf("option %s has number %d; %d to %d are the framework's own", fd.FullName(), fd.Number(), optFirst, optLast))
			}
		}
		return true
	})
	if ours == 0 || foreign {
		return false
	}
	b, err := proto.Marshal(opts)
	if err == nil {
		err = proto.Unmarshal(b, into)
	}
	if err != nil {
		r.fault(CodeOptionBytes, r.opt(d, int32(ours)), "a string in an option of this is no UTF-8")
		return false
	}
	return true
}

// extension reads one of our options from what r.options has read.
func extension[T any](from proto.Message, xt protoreflect.ExtensionType) (v T, ok bool) {
	if !proto.HasExtension(from, xt) {
		return v, false
	}
	v, ok = proto.GetExtension(from, xt).(T)
	return v, ok
}

// buildPackages sorts the files into packages and finds their Go packages.
func (r *run) buildPackages() {
	for _, f := range r.sys.Files {
		if s := r.src.files[f.Path]; s == nil || s.builtin {
			continue
		}
		name := string(f.Desc.Package())
		p := r.pkgs[name]
		if p == nil {
			p = &Package{Name: name}
			r.pkgs[name] = p
			r.sys.Packages = append(r.sys.Packages, p)
		}
		p.Files = append(p.Files, f)
		p.Generate = p.Generate || f.Generate
		if o, ok := f.Desc.Options().(*descriptorpb.FileOptions); ok {
			f.GoPackage, f.GoName = goPackage(o.GetGoPackage())
		}
		if p.GoPackage == "" {
			p.GoPackage, p.GoName = f.GoPackage, f.GoName
		}
	}
	slices.SortFunc(r.sys.Packages, func(a, b *Package) int { return cmp.Compare(a.Name, b.Name) })
}

// goPackage splits a go_package into import path and package name.
func goPackage(s string) (importPath, name string) {
	importPath, name, ok := strings.Cut(s, ";")
	if !ok && importPath != "" {
		name = goIdent(path.Base(importPath))
	}
	return importPath, name
}

// goIdent makes a package name of the last element of an import path, as protoc-gen-go does.
func goIdent(s string) string {
	s = strings.Map(func(c rune) rune {
		if c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' {
			return c
		}
		return '_'
	}, s)
	if s == "" || s[0] >= '0' && s[0] <= '9' || token.IsKeyword(s) {
		s = "_" + s
	}
	return s
}

// buildFile takes in what one file declares.
func (r *run) buildFile(p *Package, f *File) {
	r.buildMessages(p, f.Desc.Messages())
	r.buildEnums(p, f.Desc.Enums())
	for i := range f.Desc.Services().Len() {
		r.buildService(p, f.Desc.Services().Get(i))
	}
}

func (r *run) buildMessages(p *Package, ms protoreflect.MessageDescriptors) {
	for i := range ms.Len() {
		md := ms.Get(i)
		if md.IsMapEntry() {
			continue
		}
		r.messages[md.FullName()] = md
		r.buildMessage(p, md)
		r.buildMessages(p, md.Messages())
		r.buildEnums(p, md.Enums())
	}
}

func (r *run) buildMessage(p *Package, md protoreflect.MessageDescriptor) {
	var o descriptorpb.MessageOptions
	if !r.options(md, &o) {
		return
	}
	name, comment := string(md.Name()), r.comment(md)
	if opt, ok := extension[*fireflypb.Push](&o, fireflypb.E_Push); ok {
		x := &Push{Desc: md, Opt: opt, Pos: r.opt(md, optPush), IDPos: r.opt(md, optPush, 1), Package: p, Name: name, Comment: comment, ID: opt.Id}
		p.Pushes = append(p.Pushes, x)
		r.pushes[md.FullName()] = x
	}
	if opt, ok := extension[*fireflypb.Table](&o, fireflypb.E_Table); ok {
		x := &Table{Desc: md, Opt: opt, Pos: r.opt(md, optTable), Package: p, Name: name, Comment: comment, SQLName: opt.Name}
		if x.SQLName == "" {
			x.SQLName = snake(name)
		}
		p.Tables = append(p.Tables, x)
		r.tables[md.FullName()] = x
	}
	if opt, ok := extension[*fireflypb.Sheet](&o, fireflypb.E_Sheet); ok {
		x := &Sheet{Desc: md, Opt: opt, Pos: r.opt(md, optSheet), Package: p, Name: name, Comment: comment, Path: opt.File}
		if x.Path == "" {
			x.Path = snake(name) + ".csv"
		}
		p.Sheets = append(p.Sheets, x)
		r.sheets[md.FullName()] = x
	}
}

func (r *run) buildEnums(p *Package, es protoreflect.EnumDescriptors) {
	for i := range es.Len() {
		ed := es.Get(i)
		r.enums[ed.FullName()] = ed
		var o descriptorpb.EnumOptions
		if !r.options(ed, &o) {
			continue
		}
		if is, ok := extension[bool](&o, fireflypb.E_Errors); ok && is {
			p.Errors = append(p.Errors, &ErrorEnum{Desc: ed, Pos: r.opt(ed, optErrors), Package: p})
		}
	}
}

// comment is the author's comment above d, a line for each of his.
func (r *run) comment(d protoreflect.Descriptor) string {
	return clean(d.ParentFile().SourceLocations().ByDescriptor(d).LeadingComments)
}

func clean(comment string) string {
	lines := strings.Split(comment, "\n")
	for i, line := range lines {
		lines[i] = strings.TrimRight(strings.TrimPrefix(line, " "), " \t\r")
	}
	return strings.Trim(strings.Join(lines, "\n"), "\n")
}

// snake makes player_id of PlayerID and of PlayerId.
func snake(s string) string {
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		if c >= 'A' && c <= 'Z' {
			if i > 0 && s[i-1] != '_' && (lower(s[i-1]) || i+1 < len(s) && lower(s[i+1])) {
				b.WriteByte('_')
			}
			c += 'a' - 'A'
		}
		b.WriteByte(c)
	}
	return b.String()
}

func lower(c byte) bool { return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' }

// scopes are the names that a string may mean when it stands in package pkg: its own first,
// then those of the packages around it. A leading dot makes it a full name.
func scopes(name, pkg string) []protoreflect.FullName {
	if full, ok := strings.CutPrefix(name, "."); ok {
		return []protoreflect.FullName{protoreflect.FullName(full)}
	}
	var out []protoreflect.FullName
	for pkg != "" {
		out = append(out, protoreflect.FullName(pkg+"."+name))
		i := strings.LastIndexByte(pkg, '.')
		pkg = pkg[:max(i, 0)]
	}
	return append(out, protoreflect.FullName(name))
}

// use remembers that the options of file from name something of file to.
func (r *run) use(from, to protoreflect.Descriptor) {
	a, b := from.ParentFile().Path(), to.ParentFile().Path()
	if r.named[a] == nil {
		r.named[a] = map[string]bool{}
	}
	r.named[a][b] = true
}

// message finds a message that an option of a names.
func (r *run) message(name string, a protoreflect.Descriptor) protoreflect.MessageDescriptor {
	for _, full := range scopes(name, string(a.ParentFile().Package())) {
		if md := r.messages[full]; md != nil {
			r.use(a, md)
			return md
		}
	}
	return nil
}

// local is a full name as it is written in package pkg.
func local(full protoreflect.FullName, pkg protoreflect.FullName) string {
	if rest, ok := strings.CutPrefix(string(full), string(pkg)+"."); ok {
		return rest
	}
	return string(full)
}

// hint is didYouMean for candidates that are gathered only while faults are few.
func (r *run) hint(name string, candidates func() []string) string {
	if len(r.diags) > maxHints {
		return ""
	}
	return didYouMean(name, candidates())
}

// dropUsedImports takes back the warnings about imports that only strings of options use.
func (r *run) dropUsedImports() {
	r.diags = slices.DeleteFunc(r.diags, func(d Diag) bool {
		if d.Code != CodeUnusedImport {
			return false
		}
		for name := range r.named[d.Pos.File] {
			if d.Message == unusedImport(name) {
				return true
			}
		}
		return false
	})
}

func unusedImport(path string) string { return fmt.Sprintf("import %q is not used", path) }

// duration reads a duration of an option between least and longest; def when it is left out.
func (r *run) duration(s string, pos func() Pos, def, least, longest time.Duration) time.Duration {
	if s == "" {
		return def
	}
	v, err := parseDuration(s)
	switch {
	case err != nil:
		r.fault(CodeDuration, pos(), err.Error())
	case v < least:
		r.fault(CodeDuration, pos(), fmt.Sprintf("%q is too short; %q is the least here", s, formatDuration(least)))
	case v > longest:
		r.fault(CodeDuration, pos(), fmt.Sprintf("%q is too long; %q is the most here", s, formatDuration(longest)))
	default:
		return v
	}
	return def
}

// rate reads a rate of an option: the zero Rate when it is left out.
func (r *run) rate(s string, pos func() Pos) Rate {
	if s == "" {
		return Rate{}
	}
	v, err := parseRate(s)
	if err != nil {
		r.fault(CodeRate, pos(), err.Error())
	}
	return v
}
