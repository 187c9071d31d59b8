package idl_test

import (
	"context"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"

	"golang.org/x/tools/txtar"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/firefly-go/firefly/idl"
)

var update = flag.Bool("update", false, "rewrite what the cases in testdata want")

// A case is a txtar file: the .proto files of a game's folder on top, and below them, as "want",
// the faults of Load with their codes, or what it has read when there are none.
const want = "want"

func TestCases(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			t.Parallel()
			a, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			wanted, game := split(a)
			got := result(idl.Load(context.Background(), idl.Options{FS: game}))
			if *update {
				rewrite(t, file, a, got)
				return
			}
			if got != wanted {
				t.Errorf("go test ./idl -run TestCases -update rewrites this\ngot:\n%s\nwant:\n%s", got, wanted)
			}
		})
	}
}

// split parts a case into the game's folder and what is wanted of it.
func split(a *txtar.Archive) (wanted string, game fs.FS) {
	m := fstest.MapFS{}
	for _, f := range a.Files {
		if f.Name == want {
			wanted = string(f.Data)
			continue
		}
		m[f.Name] = &fstest.MapFile{Data: f.Data}
	}
	return wanted, m
}

func rewrite(t *testing.T, file string, a *txtar.Archive, got string) {
	t.Helper()
	files := a.Files[:0:0]
	for _, f := range a.Files {
		if f.Name != want {
			files = append(files, f)
		}
	}
	a.Files = append(files, txtar.File{Name: want, Data: []byte(got)})
	if err := os.WriteFile(file, txtar.Format(a), 0o644); err != nil {
		t.Fatal(err)
	}
}

func result(sys *idl.System, err error) string {
	var b strings.Builder
	if err != nil {
		ds, ok := err.(idl.Diags)
		if !ok {
			return "no Diags: " + err.Error() + "\n"
		}
		for _, d := range ds {
			fmt.Fprintf(&b, "%s: %s\n", d.Code, d)
		}
		return b.String()
	}
	for _, d := range sys.Warnings {
		fmt.Fprintf(&b, "%s: %s\n", d.Code, d)
	}
	dump(&b, sys)
	return b.String()
}

// dump writes what is in a System, a line for each thing.
func dump(b *strings.Builder, sys *idl.System) {
	if sys.Game != "" {
		fmt.Fprintf(b, "game %s\n", sys.Game)
	}
	for _, r := range sys.Roles {
		fmt.Fprintf(b, "role %s at %s: %s x%d", r.Name, r.Pos, r.Routing, r.Replicas)
		for _, s := range r.Serves {
			fmt.Fprintf(b, " serves %s", s.FullName)
		}
		for _, u := range r.Uses {
			kind := "table"
			switch {
			case u.Service != nil:
				kind = "service"
			case u.Sheet != nil:
				kind = "sheet"
			}
			fmt.Fprintf(b, " uses %s %s", kind, u.Name)
		}
		for _, k := range []struct {
			word string
			md   protoreflect.MessageDescriptor
		}{{"session", r.Session}, {"state", r.State}, {"config", r.Config}} {
			if k.md != nil {
				fmt.Fprintf(b, " %s %s", k.word, k.md.FullName())
			}
		}
		b.WriteString("\n")
		quoted(b, r.Comment)
		if g := r.Gate; g != nil {
			fmt.Fprintf(b, "  listens tcp %d websocket %d http %d frame %d connections %d per address %d queue %d handshake %s idle %s resume %s rate %s\n",
				g.TCP, g.WebSocket, g.HTTP, g.MaxFrame, g.MaxConnections, g.MaxPerAddress, g.MaxQueue, g.Handshake, g.Idle, g.Resume, rate(g.Rate))
			if c := g.Classic; c != nil {
				fmt.Fprintf(b, "  classic magic %v version %d body %s errors %s idle %s\n", c.Magic, c.Version, c.Body, c.Errors, c.Idle)
			}
		}
	}
	for _, p := range sys.Packages {
		fmt.Fprintf(b, "package %s is %s (%s)", p.Name, p.GoPackage, p.GoName)
		if !p.Generate {
			b.WriteString(" imported")
		}
		b.WriteString("\n")
		if m := p.Module; m != nil {
			fmt.Fprintf(b, "module %s base %d: %d services, %d uses, %d ports\n", m.Name, m.Base, len(m.Serves), len(m.Uses), len(m.Ports))
		}
		for _, s := range p.Services {
			fmt.Fprintf(b, "service %s at %s\n", s.Name, s.Pos)
			quoted(b, s.Comment)
			for _, m := range s.Methods {
				method(b, m)
			}
		}
		for _, x := range p.Pushes {
			fmt.Fprintf(b, "push %d %s at %s: %s%s\n", x.ID, x.Name, x.Pos, x.Opt.Slow, key(" key ", x.Key))
		}
		for _, x := range p.Tables {
			fmt.Fprintf(b, "table %s is %s at %s: key %s place %s %s flush %s idle %s near %s\n", x.Name, x.SQLName, x.Pos, names(x.Key), x.Place.Name(), x.Opt.Durability, x.Flush, x.Idle, x.NearTTL)
			for _, i := range x.Index {
				fmt.Fprintf(b, "  index by %s unique %t exact %t\n", names(i.By), i.Unique, i.Exact)
			}
			for _, c := range x.Columns {
				if c.Name != string(c.Desc.Name()) {
					fmt.Fprintf(b, "  column %s is %s\n", c.Desc.Name(), c.Name)
				}
			}
		}
		for _, x := range p.Sheets {
			fmt.Fprintf(b, "sheet %s in %s at %s: key %s\n", x.Name, x.Path, x.Pos, names(x.Key))
			for _, i := range x.Index {
				fmt.Fprintf(b, "  index by %s unique %t\n", names(i.By), i.Unique)
			}
			for _, f := range x.Refs {
				fmt.Fprintf(b, "  %s refers to %s\n", f.Field.Name(), f.Sheet.Name)
			}
		}
		for _, e := range p.Errors {
			fmt.Fprintf(b, "errors %s at %s:", e.Desc.Name(), e.Pos)
			for i := range e.Desc.Values().Len() {
				fmt.Fprintf(b, " %s=%d", e.Desc.Values().Get(i).Name(), e.Desc.Values().Get(i).Number())
			}
			b.WriteString("\n")
		}
		for _, x := range p.Ruled {
			fmt.Fprintf(b, "ruled %s:", x.Desc.Name())
			for _, f := range x.Fields {
				fmt.Fprintf(b, " %s", f.Desc.Name())
				if f.Sub {
					b.WriteString("(sub)")
				}
				if f.Rule != nil {
					// Not its text form, which is not the same in every build.
					if f.Rule.Min != nil {
						fmt.Fprintf(b, " min=%v", *f.Rule.Min)
					}
					if f.Rule.Max != nil {
						fmt.Fprintf(b, " max=%v", *f.Rule.Max)
					}
					fmt.Fprintf(b, " len=%d..%d pattern=%q required=%t", f.Rule.MinLen, f.Rule.MaxLen, f.Rule.Pattern, f.Rule.Required)
				}
			}
			b.WriteString("\n")
		}
	}
}

func method(b *strings.Builder, m *idl.Method) {
	words := []string{"message", "Raw", "Empty", "NoReply"}
	fmt.Fprintf(b, "  %s %s -> %s", m.Name, words[m.Request], words[m.Reply])
	if c := m.Command; c != nil {
		fmt.Fprintf(b, " command %d public %t rate %s timeout %s%s unordered %t idempotent %t", c.ID, c.Public, rate(c.Rate), c.Timeout, key(" key ", c.Key), c.Unordered, c.Idempotent)
	}
	if c := m.Call; c != nil {
		fmt.Fprintf(b, " call timeout %s%s%s idempotent %t", c.Timeout, key(" key ", c.Key), key(" player ", c.Player), c.Idempotent)
	}
	if h := m.HTTP; h != nil {
		fmt.Fprintf(b, " http %s %s %s", h.Verb, h.Path, names(h.Params))
	}
	b.WriteString("\n")
	quoted(b, m.Comment)
}

func quoted(b *strings.Builder, comment string) {
	if comment != "" {
		fmt.Fprintf(b, "    %q\n", comment)
	}
}

func rate(r idl.Rate) string {
	switch {
	case r.Count < 0:
		return "none"
	case r.Count == 0:
		return "default"
	}
	return fmt.Sprintf("%d/%s", r.Count, r.Per)
}

func key(word string, fd protoreflect.FieldDescriptor) string {
	if fd == nil {
		return ""
	}
	return word + string(fd.Name())
}

func names(fds []protoreflect.FieldDescriptor) string {
	out := make([]string, len(fds))
	for i, fd := range fds {
		out[i] = string(fd.Name())
	}
	return strings.Join(out, ",")
}

// elsewhere are the codes that a few bytes of text cannot trip, with the test that does.
var elsewhere = map[string]string{
	idl.CodeFileTooLarge: "TestHostile",
	idl.CodeTooManyFiles: "TestHostile",
	idl.CodeLineTooLong:  "TestHostile",
	idl.CodeTooDeep:      "TestHostile",
	idl.CodeTooMany:      "TestHostile",
	idl.CodeNotUTF8:      "TestHostile",
	idl.CodeCompiler:     "TestCompilerPanic",
	idl.CodeNoFiles:      "TestUnreadable",
}

// TestEveryCodeHasACase lists the codes that no case trips.
func TestEveryCodeHasACase(t *testing.T) {
	tripped := map[string]bool{}
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		a, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		wanted, _ := split(a)
		for line := range strings.Lines(wanted) {
			code, _, _ := strings.Cut(line, ":")
			tripped[code] = true
		}
	}
	for name, code := range codes(t) {
		if !tripped[code] && elsewhere[code] == "" {
			t.Errorf("%s: no case trips %q", name, code)
		}
		if tripped[code] && elsewhere[code] != "" {
			t.Errorf("%s: %q has a case and is excused", name, code)
		}
	}
}

// codes reads codes.go.
func codes(t *testing.T) map[string]string {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), "codes.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	all, seen := map[string]string{}, map[string]bool{}
	ast.Inspect(f, func(n ast.Node) bool {
		if v, ok := n.(*ast.ValueSpec); ok {
			code, err := strconv.Unquote(v.Values[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			if seen[code] {
				t.Errorf("code %q stands twice", code)
			}
			seen[code] = true
			all[v.Names[0].Name] = code
		}
		return true
	})
	return all
}
