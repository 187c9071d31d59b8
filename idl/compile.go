package idl

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"sync"

	"github.com/bufbuild/protocompile"
	"github.com/bufbuild/protocompile/ast"
	"github.com/bufbuild/protocompile/linker"
	"github.com/bufbuild/protocompile/parser"
	"github.com/bufbuild/protocompile/reporter"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/firefly-go/firefly/idl/fireflypb"
)

// compile gives the descriptors of the files of the run, and what the compiler had to say. Files
// that import something broken are only parsed. The error is that of ctx.
func compile(ctx context.Context, s *sources) ([]protoreflect.FileDescriptor, Diags, error) {
	t := &translator{src: s}
	var names []string
	for _, name := range s.order {
		src := s.files[name]
		if !src.broken {
			names = append(names, name)
		} else if src.data != nil {
			t.parse(src)
		}
	}
	c := protocompile.Compiler{
		Resolver:       protocompile.WithStandardImports(protocompile.ResolverFunc(s.resolve)),
		Reporter:       reporter.NewReporter(t.error, t.warning),
		SourceInfoMode: protocompile.SourceInfoStandard | protocompile.SourceInfoExtraOptionLocations,
	}
	compiled, err := c.Compile(ctx, names...)
	if ctx.Err() != nil {
		return nil, nil, ctx.Err()
	}
	t.failed(err)
	var files []protoreflect.FileDescriptor
	for _, f := range compiled {
		if f != nil {
			files = append(files, f)
		}
	}
	return files, t.diags, nil
}

// resolve gives a file that gather has found. The vocabulary is not parsed: its descriptor is
// in this program.
func (s *sources) resolve(path string) (protocompile.SearchResult, error) {
	if path == VocabularyPath {
		return protocompile.SearchResult{Desc: fireflypb.File_firefly_v1_options_proto}, nil
	}
	src := s.files[path]
	if src == nil || src.builtin || src.broken {
		return protocompile.SearchResult{}, fs.ErrNotExist
	}
	return protocompile.SearchResult{Source: bytes.NewReader(src.data)}, nil
}

// translator turns what the compiler reports into faults. The compiler calls it from several
// goroutines.
type translator struct {
	src   *sources
	mu    sync.Mutex
	diags Diags
}

var errEnough = errors.New("enough")

func (t *translator) error(e reporter.ErrorWithPos) error {
	d := t.translate(e)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.diags = append(t.diags, d); len(t.diags) > 2*most {
		return errEnough
	}
	return nil
}

func (t *translator) warning(e reporter.ErrorWithPos) {
	var unused linker.ErrorUnusedImport
	pos := t.place(e)
	if src := t.src.files[pos.File]; src == nil || !src.run {
		return
	}
	d := Diag{Code: CodeProto, Pos: pos, Message: e.Unwrap().Error(), Warning: true}
	if errors.As(e, &unused) {
		d.Code = CodeUnusedImport
		d.Message = unusedImport(unused.UnusedImport())
	} else if errors.Is(e, parser.ErrNoSyntax) {
		return // it is proto2 then, which has its own fault
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.diags = append(t.diags, d)
}

// failed takes in the error that Compile returned, when it was not reported.
func (t *translator) failed(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err == nil || t.diags.Failed() {
		return
	}
	var pe protocompile.PanicError
	var at reporter.ErrorWithPos
	switch {
	case errors.As(err, &pe) && t.miscased(pe.File):
	case errors.As(err, &pe):
		t.diags = append(t.diags, Diag{Code: CodeCompiler, Pos: Pos{File: pe.File}, Message: "the compiler broke on this file: " + oneLine(pe)})
	case errors.As(err, &at):
		t.diags = append(t.diags, Diag{Code: CodeProto, Pos: t.place(at), Message: at.Unwrap().Error()})
	default:
		t.diags = append(t.diags, Diag{Code: CodeProto, Message: err.Error()})
	}
}

// miscased reports the fields in literals that are only wrong in their case, as in { ID: 7 }.
// The compiler breaks on them instead of saying so (protocompile v0.14.1, messageLiteralValue).
func (t *translator) miscased(file string) (found bool) {
	src := t.src.files[file]
	if src == nil || src.data == nil {
		return false
	}
	h := reporter.NewHandler(reporter.NewReporter(func(reporter.ErrorWithPos) error { return nil }, nil))
	root, err := parser.Parse(file, bytes.NewReader(src.data), h)
	if err != nil || root == nil {
		return false
	}
	known := map[string]bool{}
	for _, option := range ourOptions() {
		for _, name := range optionFields(option) {
			known[name] = true
		}
	}
	_ = ast.Walk(root, &ast.SimpleVisitor{DoVisitMessageFieldNode: func(n *ast.MessageFieldNode) error {
		name := n.Name.Value()
		lower := strings.ToLower(name)
		if !n.Name.IsExtension() && !n.Name.IsAnyTypeReference() && name != lower && known[lower] {
			p := root.NodeInfo(n.Name).Start()
			t.diags = append(t.diags, Diag{Code: CodeOptionField, Pos: src.untab(Pos{File: file, Line: p.Line, Col: p.Col}),
				Message: fmt.Sprintf("field %s not found; did you mean %s?", name, lower)})
			found = true
		}
		return nil
	}})
	return found
}

// parse reports what is wrong in the syntax of a file that cannot be compiled yet.
func (t *translator) parse(src *source) {
	h := reporter.NewHandler(reporter.NewReporter(t.error, t.warning))
	_, _ = parser.Parse(src.path, io.Reader(bytes.NewReader(src.data)), h)
}

func (t *translator) place(e reporter.ErrorWithPos) Pos {
	p := e.GetPosition()
	pos := Pos{File: p.Filename, Line: p.Line, Col: p.Col}
	if src := t.src.files[pos.File]; src != nil {
		pos = src.untab(pos)
	}
	return pos
}
