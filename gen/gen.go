// Package gen turns a checked System into the files of a game, in memory. Generate is pure:
// it reads no disk, no clock and no environment, and the same input gives the same bytes.
//
// One emitter stands in one file and emits one feature:
//
//	messages.go  messages and their codecs        launch.go    launch/dev.json
//	ids.go       ids of commands and pushes       client.go    the typed Go client
//	services.go  interfaces that games implement  protocol.go  docs/protocol.md
//	rpc.go       registration and call clients    lock.go      ffgen.lock
//	roles.go     handlers, Deps and roles         scaffold.go  what is written once
//	push.go      the Push type                    describe.go  the System as JSON
//	errors.go    error codes                      breaking.go  what no longer fits a release
//	rules.go     checks of requests and rows      schema.go    the Schema as data
//	tables.go    types of tables                  tablespec.go their Specs
//	tablesql.go  their statements                 tablerows.go rows to values and back
//	tableroles.go tables and Tx of roles          tableshape.go what a release says of tables
//
// All Go identifiers are made in names.go and tablenames.go, SQL in sqltypes.go and sqlddl.go; shape.go has what peers must agree on, circles.go
// refuses what Go could not import, code.go and text.go have the small pieces that several
// emitters write. Go comes from jennifer, text from the templates package, and the runtime is
// named by import paths only.
package gen

import (
	"bytes"
	"fmt"
	"path"
	"runtime"
	"slices"
	"sort"
	"strings"
	"sync"

	"github.com/dave/jennifer/jen"

	"github.com/firefly-go/firefly/idl"
)

// File is one file of the game, by its slash-separated path below the module root.
type File struct {
	Path string
	Data []byte
}

// Options are what Generate knows beside the System.
type Options struct {
	// Module is the module path of the game. Packages are written below it.
	Module string
	// Lock is the present ffgen.lock, nil when there is none.
	Lock []byte
	// Launch is the present launch/dev.json, nil when there is none: its version rises when
	// the nodes change.
	Launch []byte
}

// Where the files that belong to no Go package are written.
const (
	LockPath     = "ffgen.lock"
	LaunchPath   = "launch/dev.json"
	ProtocolPath = "docs/protocol.md"
)

// Generate gives all files that ffgen owns in the game, sorted by path. The error, if any,
// is an Errors.
func Generate(sys *idl.System, o Options) ([]File, error) {
	g, err := newGenerator(sys, o)
	if err != nil {
		return nil, err
	}
	jobs := g.messageJobs()
	for _, p := range g.packages {
		for _, e := range emitters {
			jobs = append(jobs, func() ([]File, error) { return g.goFile(p, e) })
		}
	}
	if g.home != nil {
		jobs = append(jobs, g.emitClient, g.emitLaunch, g.emitProtocol)
	}
	files, err := runAll(jobs)
	if err != nil {
		return nil, err
	}
	lock, err := g.emitLock(files)
	if err != nil {
		return nil, err
	}
	files = append(files, lock)
	sort.Slice(files, func(i, j int) bool { return files[i].Path < files[j].Path })
	for i := 1; i < len(files); i++ {
		if files[i].Path == files[i-1].Path {
			return nil, fmt.Errorf("two files would be written to %s; give one of the .proto files another name", files[i].Path)
		}
	}
	return files, nil
}

// An emitter writes one feature of one package, or nothing when the package has none of it.
type emitter struct {
	feature string // the file is <feature>.ff.go
	emit    func(g *generator, p *pkg, f *jen.File) (wrote bool)
}

var emitters = []emitter{
	{"ids", emitIDs},
	{"services", emitServices},
	{"rpc", emitRPC},
	{"push", emitPush},
	{"errors", emitErrors},
	{"rules", emitRules},
	{"schema", emitSchema},
	{"roles", emitRoles},
	{"tables", emitTables},
	{"rows", emitRows},
	{"sql", emitSQL},
}

// generator holds what all emitters of one run share; nothing of it changes while they run.
type generator struct {
	sys      *idl.System
	o        Options
	names    *names
	packages []*pkg
	home     *pkg // the package of the roles; nil when there are none
	lock     *Lock
	shapes   *shapes
}

// pkg is one package to be written.
type pkg struct {
	*idl.Package
	dir    string // below the module root
	prefix string // of its files: "arena"
}

func newGenerator(sys *idl.System, o Options) (*generator, error) {
	g := &generator{sys: sys, o: o}
	var errs Errors
	byGo := map[string]*idl.Package{}
	for _, p := range sys.Packages {
		if !p.Generate {
			continue
		}
		dir, ok := strings.CutPrefix(p.GoPackage, o.Module+"/")
		if !ok {
			errs.add(firstPos(p), "go_package %q is not below the module %q of go.mod, so ffgen does not know where to write it", p.GoPackage, o.Module)
			continue
		}
		if other := byGo[p.GoPackage]; other != nil {
			errs.add(firstPos(p), "packages %s and %s have the same go_package %q; one proto package makes one Go package", other.Name, p.Name, p.GoPackage)
			continue
		}
		byGo[p.GoPackage] = p
		errs = append(errs, checkRows(p.Tables)...)
		prefix := strings.TrimSuffix(p.GoName, "pb")
		if prefix == "" {
			prefix = p.GoName
		}
		g.packages = append(g.packages, &pkg{Package: p, dir: path.Clean(dir), prefix: prefix})
	}
	errs = append(errs, checkSQLNames(sys)...)
	if len(errs) > 0 {
		return nil, errs
	}
	for _, p := range g.packages {
		if len(sys.Roles) > 0 && sys.Roles[0].Package == p.Package {
			g.home = p
		}
	}
	if errs := g.importCircles(); len(errs) > 0 {
		return nil, errs
	}
	var err error
	if g.names, err = newNames(sys, g.packages); err != nil {
		return nil, err
	}
	if g.lock, err = ReadLock(o.Lock); err != nil {
		return nil, err
	}
	g.shapes = newShapes(sys)
	return g, nil
}

func firstPos(p *idl.Package) idl.Pos {
	if len(p.Files) == 0 {
		return idl.Pos{}
	}
	return idl.Pos{File: p.Files[0].Path, Line: 1, Col: 1}
}

// goFile runs one emitter over one package.
func (g *generator) goFile(p *pkg, e emitter) ([]File, error) {
	f := newGoFile(g, p.GoPackage, p.GoName)
	if !e.emit(g, p, f) {
		return nil, nil
	}
	return render(f, path.Join(p.dir, e.feature+".ff.go"))
}

// header is the first line of every Go file that is not made by protoc-gen-go's generator.
const header = "Code generated by ffgen. DO NOT EDIT."

func newGoFile(g *generator, importPath, name string) *jen.File {
	f := jen.NewFilePathName(importPath, name)
	f.HeaderComment(header)
	f.ImportName(fireflyPath, "firefly")
	f.ImportName(nodePath, "node")
	f.ImportName(clientPath, "client")
	f.ImportName(tablePath, "table")
	for _, other := range g.sys.Packages {
		if other.GoPackage != importPath {
			f.ImportName(other.GoPackage, other.GoName)
		}
	}
	for _, file := range g.sys.Files {
		if file.GoPackage != "" && file.GoPackage != importPath {
			f.ImportName(file.GoPackage, file.GoName)
		}
	}
	return f
}

func render(f *jen.File, name string) ([]File, error) {
	var b bytes.Buffer
	if err := f.Render(&b); err != nil {
		return nil, fmt.Errorf("%s, as ffgen wrote it, is no Go: %w", name, err)
	}
	return []File{{Path: name, Data: groupImports(b.Bytes())}}, nil
}

// groupImports puts the standard library's packages into a group of their own, as people do;
// jennifer sorts all in one.
func groupImports(src []byte) []byte {
	const open, close = "\nimport (\n", "\n)\n"
	head, rest, ok := bytes.Cut(src, []byte(open))
	if !ok {
		return src
	}
	block, tail, ok := bytes.Cut(rest, []byte(close))
	if !ok {
		return src
	}
	var std, other []string
	for line := range strings.Lines(string(block) + "\n") {
		_, p, _ := strings.Cut(line, `"`)
		if standard(strings.TrimSuffix(strings.TrimSpace(p), `"`)) {
			std = append(std, line)
		} else {
			other = append(other, line)
		}
	}
	if len(std) == 0 || len(other) == 0 {
		return src
	}
	lines := strings.Join(std, "") + "\n" + strings.Join(other, "")
	return slices.Concat(head, []byte(open+strings.TrimSuffix(lines, "\n")+close), tail)
}

// runAll runs the jobs on all cores and gives their files in the order of the jobs.
func runAll(jobs []func() ([]File, error)) ([]File, error) {
	out := make([][]File, len(jobs))
	errs := make([]error, len(jobs))
	next := make(chan int)
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for i := range next {
				out[i], errs[i] = jobs[i]()
			}
		})
	}
	for i := range jobs {
		next <- i
	}
	close(next)
	wg.Wait()
	var files []File
	for i := range jobs {
		if errs[i] != nil {
			return nil, errs[i]
		}
		files = append(files, out[i]...)
	}
	return files, nil
}

// Errors are all faults that Generate found; each begins with its place.
type Errors []Error

// Error is one fault of a System that can be declared and cannot be written in Go.
type Error struct {
	Pos     idl.Pos
	Message string
}

func (e Error) Error() string {
	if e.Pos.File == "" {
		return e.Message
	}
	return fmt.Sprintf("%s:%d:%d: %s", e.Pos.File, e.Pos.Line, e.Pos.Col, e.Message)
}

func (es *Errors) add(pos idl.Pos, format string, a ...any) {
	*es = append(*es, Error{Pos: pos, Message: fmt.Sprintf(format, a...)})
}

func (es Errors) Error() string {
	lines := make([]string, len(es))
	for i, e := range es {
		lines[i] = e.Error()
	}
	sort.Strings(lines)
	return strings.Join(lines, "\n")
}
