package gen

import (
	"fmt"
	"go/token"
	"sort"
	"strings"
	"unicode"

	"google.golang.org/protobuf/compiler/protogen"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/firefly-go/firefly/idl"
)

// The doors that generated code imports.
const (
	fireflyPath = "github.com/firefly-go/firefly"
	nodePath    = "github.com/firefly-go/firefly/runtime/node"
	clientPath  = "github.com/firefly-go/firefly/clients/go"
	tablePath   = "github.com/firefly-go/firefly/runtime/table"
)

// names makes every Go identifier of the generated code. Messages, enums and their fields
// are named by protoc-gen-go, so they are asked of its own library.
type names struct {
	plugin   *protogen.Plugin
	messages map[protoreflect.FullName]*protogen.Message
	enums    map[protoreflect.FullName]*protogen.Enum
	methods  map[protoreflect.FullName]*protogen.Method
}

// newNames refuses declarations whose names meet in Go.
func newNames(sys *idl.System, packages []*pkg) (*names, error) {
	p, err := newPlugin(sys.Files)
	if err != nil {
		return nil, err
	}
	n := &names{
		plugin:   p,
		messages: map[protoreflect.FullName]*protogen.Message{},
		enums:    map[protoreflect.FullName]*protogen.Enum{},
		methods:  map[protoreflect.FullName]*protogen.Method{},
	}
	var walk func(ms []*protogen.Message)
	walk = func(ms []*protogen.Message) {
		for _, m := range ms {
			n.messages[m.Desc.FullName()] = m
			for _, e := range m.Enums {
				n.enums[e.Desc.FullName()] = e
			}
			walk(m.Messages)
		}
	}
	for _, f := range p.Files {
		walk(f.Messages)
		for _, e := range f.Enums {
			n.enums[e.Desc.FullName()] = e
		}
		for _, s := range f.Services {
			for _, m := range s.Methods {
				n.methods[m.Desc.FullName()] = m
			}
		}
	}
	if errs := n.collisions(sys, packages, p); len(errs) > 0 {
		return nil, errs
	}
	return n, nil
}

// collisions reports every name of a package that two declarations would take.
func (n *names) collisions(sys *idl.System, packages []*pkg, plugin *protogen.Plugin) Errors {
	var errs Errors
	for _, p := range packages {
		type owner struct {
			what string
			pos  idl.Pos
		}
		taken := map[string]owner{}
		claim := func(name, what string, pos idl.Pos) {
			if other, ok := taken[name]; ok {
				where := ""
				if other.pos.File != "" {
					where = fmt.Sprintf(" (%s:%d:%d)", other.pos.File, other.pos.Line, other.pos.Col)
				}
				errs.add(pos, "%s would be %s in Go, and so would %s%s; rename one", what, name, other.what, where)
				return
			}
			taken[name] = owner{what, pos}
		}
		for _, name := range []string{"Schema", "Push", "NewPush"} {
			claim(name, "a word of the generated package", idl.Pos{})
		}
		var messages func(ms []*protogen.Message)
		enums := func(es []*protogen.Enum) {
			for _, e := range es {
				pos := descPos(e.Desc)
				claim(e.GoIdent.GoName, "enum "+string(e.Desc.FullName()), pos)
				for _, v := range e.Values {
					claim(v.GoIdent.GoName, "enum value "+string(v.Desc.FullName()), descPos(v.Desc))
				}
			}
		}
		messages = func(ms []*protogen.Message) {
			for _, m := range ms {
				if m.Desc.IsMapEntry() {
					continue
				}
				claim(m.GoIdent.GoName, "message "+string(m.Desc.FullName()), descPos(m.Desc))
				enums(m.Enums)
				messages(m.Messages)
			}
		}
		for _, f := range p.Files {
			pf := plugin.FilesByPath[f.Path]
			messages(pf.Messages)
			enums(pf.Enums)
		}
		for _, s := range p.Services {
			what := "service " + s.FullName
			claim(n.service(s), what, s.Pos)
			claim(n.serve(s), what, s.Pos)
			if len(s.Calls()) > 0 {
				claim(n.client(s), what, s.Pos)
				claim(n.newClient(s), what, s.Pos)
				claim(n.clientType(s), what, s.Pos)
				claim(n.each(s), what, s.Pos)
				claim(n.eachType(s), what, s.Pos)
			}
			for _, m := range s.Commands() {
				claim(n.command(m), "command "+m.FullName, m.Pos)
			}
			for _, m := range s.Calls() {
				claim(n.callSpec(m), "call "+m.FullName, m.Pos)
			}
		}
		for _, x := range p.Pushes {
			claim(n.pushID(x), "push "+string(x.Desc.FullName()), x.Pos)
			claim(n.pushSpec(x), "push "+string(x.Desc.FullName()), x.Pos)
		}
		for _, e := range p.Errors {
			for _, v := range errorValues(e) {
				claim(n.code(v), "error "+string(v.FullName()), descPos(v))
			}
		}
		for _, r := range sys.Roles {
			if r.Package != p.Package {
				continue
			}
			what := fmt.Sprintf("role %q", r.Name)
			claim(n.role(r), what, r.Pos)
			claim(n.deps(r), what, r.Pos)
			claim(n.handler(r), what, r.Pos)
			claim(n.tx(r), what, r.Pos)
		}
		for _, t := range p.Tables {
			what := "table " + string(t.Desc.FullName())
			for _, name := range n.tableNames(t) {
				claim(name, what, t.Pos)
			}
			errs = append(errs, n.tableCollisions(t)...)
		}
	}
	return errs
}

func descPos(d protoreflect.Descriptor) idl.Pos {
	loc := d.ParentFile().SourceLocations().ByDescriptor(d)
	return idl.Pos{File: d.ParentFile().Path(), Line: loc.StartLine + 1, Col: loc.StartColumn + 1}
}

// exported is a declared name as an exported Go name: "world-1" and "too_poor" become World1
// and TooPoor; initialisms are written the Go way.
func exported(s string) string {
	var b strings.Builder
	for _, w := range words(s) {
		if u := strings.ToUpper(w); initialisms[u] {
			b.WriteString(u)
			continue
		}
		r := []rune(w)
		b.WriteRune(unicode.ToUpper(r[0]))
		b.WriteString(string(r[1:]))
	}
	name := b.String()
	if name == "" || !unicode.IsUpper([]rune(name)[0]) {
		name = "X" + name
	}
	return name
}

// words splits at '_', '-', '.', and where a lower case letter meets an upper case one. A word
// all in upper case is lowered first, as in TOO_POOR.
func words(s string) []string {
	var ws []string
	for _, part := range strings.FieldsFunc(s, func(r rune) bool { return r == '_' || r == '-' || r == '.' }) {
		if part == strings.ToUpper(part) {
			ws = append(ws, strings.ToLower(part))
			continue
		}
		start := 0
		rs := []rune(part)
		for i := 1; i < len(rs); i++ {
			if unicode.IsUpper(rs[i]) && unicode.IsLower(rs[i-1]) {
				ws = append(ws, string(rs[start:i]))
				start = i
			}
		}
		ws = append(ws, string(rs[start:]))
	}
	return ws
}

var initialisms = set("API CPU DB DNS EOF GM HP HTTP HTTPS ID IP JSON MP NPC OK OS RAM RPC SQL SSH TCP TLS TTL UDP UI UID URI URL UTC UTF8 UUID VIP XML XP")

var builtins = set("any append bool byte cap clear close comparable complex complex64 complex128 context copy delete error false firefly float32 float64 imag int int8 int16 int32 int64 iota len make max min new nil node panic print println real recover rune string true uint uint8 uint16 uint32 uint64 uintptr")

func set(s string) map[string]bool {
	m := map[string]bool{}
	for _, w := range strings.Fields(s) {
		m[w] = true
	}
	return m
}

// base is the name of a service without buf's suffix: ChatService is Chat.
func (*names) base(s *idl.Service) string {
	if b := strings.TrimSuffix(s.Name, "Service"); b != "" {
		return goCamel(b)
	}
	return goCamel(s.Name)
}

// Services own the suffixes Service, Client and Each, and the prefix Serve.

func (n *names) service(s *idl.Service) string    { return n.base(s) + "Service" }
func (n *names) client(s *idl.Service) string     { return n.base(s) + "Client" }
func (n *names) newClient(s *idl.Service) string  { return "New" + n.base(s) + "Client" }
func (n *names) clientType(s *idl.Service) string { return lowerFirst(n.base(s)) + "Client" }
func (n *names) each(s *idl.Service) string       { return n.base(s) + "Each" }
func (n *names) eachType(s *idl.Service) string   { return lowerFirst(n.base(s)) + "Each" }
func (n *names) serve(s *idl.Service) string      { return "Serve" + n.base(s) }

func (n *names) method(m *idl.Method) string {
	return n.methods[protoreflect.FullName(m.FullName)].GoName
}
func (n *names) command(m *idl.Method) string { return "Command" + n.base(m.Service) + n.method(m) }
func (n *names) callSpec(m *idl.Method) string {
	return "call" + n.base(m.Service) + n.method(m)
}

func (n *names) pushID(p *idl.Push) string {
	return "Push" + n.messages[p.Desc.FullName()].GoIdent.GoName
}
func (n *names) pushSpec(p *idl.Push) string {
	return "push" + n.messages[p.Desc.FullName()].GoIdent.GoName
}
func (n *names) pushMethod(p *idl.Push) string { return n.messages[p.Desc.FullName()].GoIdent.GoName }
func (n *names) onPush(p *idl.Push) string {
	return "On" + n.messages[p.Desc.FullName()].GoIdent.GoName
}

// Roles own the suffixes Role, Deps, Handler and Tx.

func (n *names) role(r *idl.Role) string    { return exported(r.Name) + "Role" }
func (n *names) deps(r *idl.Role) string    { return exported(r.Name) + "Deps" }
func (n *names) handler(r *idl.Role) string { return exported(r.Name) + "Handler" }
func (n *names) tx(r *idl.Role) string      { return exported(r.Name) + "Tx" }

// rolePackage is the Go package of a role's own code.
func (n *names) rolePackage(r *idl.Role) string {
	name := strings.ToLower(strings.Join(words(r.Name), ""))
	if token.IsKeyword(name) || builtins[name] || name == "main" {
		name += "role"
	}
	return name
}

// roleType is the struct that a scaffolded role is written around.
func (n *names) roleType(r *idl.Role) string { return exported(r.Name) }

// packagePush is the field of Deps for the pushes of a package other than the roles'.
func (n *names) packagePush(p *pkg) string { return exported(p.prefix) + "Push" }

// use is the field of Deps for a used service.
func (n *names) use(u idl.Use) string { return n.base(u.Service) }

func (n *names) code(v protoreflect.EnumValueDescriptor) string { return exported(string(v.Name())) }

// message is where the Go type of a message is declared, and its name.
func (n *names) message(d protoreflect.MessageDescriptor) (importPath, name string) {
	id := n.messages[d.FullName()].GoIdent
	return string(id.GoImportPath), id.GoName
}

// field is the Go name of a field of a message.
func (n *names) field(d protoreflect.FieldDescriptor) *protogen.Field {
	m := n.messages[d.ContainingMessage().FullName()]
	for _, f := range m.Fields {
		if f.Desc.Number() == d.Number() {
			return f
		}
	}
	return nil
}

// pattern is the variable of a compiled pattern.
func (n *names) pattern(d protoreflect.FieldDescriptor) string {
	_, m := n.message(d.ContainingMessage())
	return "pattern" + strings.ReplaceAll(m, "_", "") + exported(string(d.Name()))
}

// clientPackage is the package of the typed client: arenaclient.
func (n *names) clientPackage(game string) string {
	return strings.ToLower(strings.Join(words(game), "")) + "client"
}

// goCamel is protoc-gen-go's camel case.
func goCamel(s string) string {
	var b []byte
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '_' && (i == 0 || s[i-1] == '.'):
			b = append(b, 'X')
		case c == '_' && i+1 < len(s) && 'a' <= s[i+1] && s[i+1] <= 'z':
		case '0' <= c && c <= '9':
			b = append(b, c)
		default:
			if 'a' <= c && c <= 'z' {
				c -= 'a' - 'A'
			}
			b = append(b, c)
			for ; i+1 < len(s) && 'a' <= s[i+1] && s[i+1] <= 'z'; i++ {
				b = append(b, s[i+1])
			}
		}
	}
	return string(b)
}

func lowerFirst(s string) string {
	r := []rune(s)
	r[0] = unicode.ToLower(r[0])
	return string(r)
}

// errorValues are the codes of an error enum: all values but the first, which is no error.
func errorValues(e *idl.ErrorEnum) []protoreflect.EnumValueDescriptor {
	var vs []protoreflect.EnumValueDescriptor
	values := e.Desc.Values()
	for i := range values.Len() {
		if v := values.Get(i); v.Number() != 0 {
			vs = append(vs, v)
		}
	}
	sort.SliceStable(vs, func(i, j int) bool { return vs[i].Number() < vs[j].Number() })
	return vs
}
