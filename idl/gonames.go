package idl

import (
	"fmt"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// Names that would meet in Go. Which names are made is said in the vocabulary, chapter 8: a
// suffix for each kind of thing, so that a role and a service of one name do not meet. gen has
// the last word, for names that only it knows.

// checkNames claims the Go names of every package that is generated.
func (r *run) checkNames() {
	for _, p := range r.sys.Packages {
		if !p.Generate {
			continue
		}
		c := claims{r: r, taken: map[string]claim{}}
		// What is generated comes first, so that the author's message is what has to move.
		c.add("Push", "the package's pushes", Pos{}, "")
		c.add("Schema", "the package's schema", Pos{}, "")
		for _, s := range p.Services {
			what := "service " + s.FullName
			base := goCamel(trimService(s.Name))
			c.add(base+"Service", what, s.Pos, "is the service")
			if len(s.Calls()) > 0 {
				c.add(base+"Client", what, s.Pos, "is the service")
				c.add(base+"Each", what, s.Pos, "is the service")
			}
			methods := map[string]*Method{}
			for _, m := range s.Methods {
				name := goCamel(m.Name)
				if first := methods[name]; first != nil {
					r.fault(CodeGoName, m.Pos, fmt.Sprintf("%s and %s are both %s in Go; rename one", first.FullName, m.FullName, name), at(first.Pos, "is the other one"))
					continue
				}
				methods[name] = m
				if m.Call != nil && (name == "At" || name == "Each") {
					r.fault(CodeGoName, m.Pos, fmt.Sprintf("%s is %s in Go, which every %sClient has to choose its nodes; rename it", m.FullName, name, base))
				}
				if m.Command != nil {
					c.add("Command"+base+name, "command "+m.FullName, m.Pos, "is the command")
				}
			}
		}
		for _, x := range p.Pushes {
			c.add("Push"+goCamel(x.Name), "push "+string(x.Desc.FullName()), x.Pos, "is the push")
		}
		for _, x := range p.Tables {
			for _, suffix := range []string{"Table", "Writes", "Spec", "Key"} {
				if suffix != "Key" || len(x.Opt.Key) > 1 || x.Opt.Place != "" {
					c.add(goCamel(x.Name)+suffix, "table "+string(x.Desc.FullName()), x.Pos, "is the table")
				}
			}
		}
		for _, x := range p.Sheets {
			for _, suffix := range []string{"Sheet", "Key"} {
				if suffix != "Key" || len(x.Opt.Key) > 1 {
					c.add(goCamel(x.Name)+suffix, "sheet "+string(x.Desc.FullName()), x.Pos, "is the sheet")
				}
			}
		}
		if m := p.Module; m != nil {
			for _, suffix := range []string{"Handler", "Deps", "Tx"} {
				c.add(pascal(m.Name)+suffix, fmt.Sprintf("module %q", m.Name), m.Pos, "is the module")
			}
		}
		seen := map[string]bool{}
		for _, role := range r.sys.Roles {
			if role.Package != p || seen[role.Name] {
				continue
			}
			seen[role.Name] = true
			for _, suffix := range []string{"Role", "Handler", "Deps", "Tx"} {
				c.add(pascal(role.Name)+suffix, fmt.Sprintf("role %q", role.Name), role.Pos, "is the role")
			}
		}
		for _, e := range p.Errors {
			for i := range e.Desc.Values().Len() {
				if v := e.Desc.Values().Get(i); v.Number() != 0 {
					c.add(pascal(strings.ToLower(string(v.Name()))), "error "+string(v.FullName()), r.pos(v), "is the error")
				}
			}
		}
		for _, f := range p.Files {
			c.messages(f.Desc.Messages(), "")
			c.enums(f.Desc.Enums(), "")
		}
	}
}

type claim struct {
	what string
	pos  Pos
	text string
}

// claims are the Go names of one package.
type claims struct {
	r     *run
	taken map[string]claim
}

func (c *claims) add(name, what string, pos Pos, text string) {
	first, ok := c.taken[name]
	if !ok {
		c.taken[name] = claim{what, pos, text}
		return
	}
	if first.what == what {
		return // has a fault of its own
	}
	c.r.fault(CodeGoName, pos, fmt.Sprintf("%s takes the name %s, which is generated for %s; rename one", what, name, first.what), at(first.pos, first.text))
}

func (c *claims) messages(ms protoreflect.MessageDescriptors, outer string) {
	for i := range ms.Len() {
		md := ms.Get(i)
		if md.IsMapEntry() {
			continue
		}
		name := outer + goCamel(string(md.Name()))
		c.add(name, "message "+local(md.FullName(), md.ParentFile().Package()), c.r.pos(md), "is the message")
		c.messages(md.Messages(), name+"_")
		c.enums(md.Enums(), name+"_")
	}
}

func (c *claims) enums(es protoreflect.EnumDescriptors, outer string) {
	for i := range es.Len() {
		ed := es.Get(i)
		name := outer + goCamel(string(ed.Name()))
		c.add(name, "enum "+local(ed.FullName(), ed.ParentFile().Package()), c.r.pos(ed), "is the enum")
	}
}

// trimService takes buf's suffix away: ChatService is Chat everywhere in Go.
func trimService(name string) string {
	if s := strings.TrimSuffix(name, "Service"); s != "" {
		return s
	}
	return name
}

// goCamel is the name that protoc-gen-go makes of a declared one.
func goCamel(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '.' && i+1 < len(s) && s[i+1] >= 'a' && s[i+1] <= 'z':
		case c == '.':
			b.WriteByte('_')
		case c == '_' && (i == 0 || s[i-1] == '.'):
			b.WriteByte('X')
		case c == '_' && i+1 < len(s) && s[i+1] >= 'a' && s[i+1] <= 'z':
		case c >= '0' && c <= '9':
			b.WriteByte(c)
		default:
			if c >= 'a' && c <= 'z' {
				c -= 'a' - 'A'
			}
			b.WriteByte(c)
			for ; i+1 < len(s) && s[i+1] >= 'a' && s[i+1] <= 'z'; i++ {
				b.WriteByte(s[i+1])
			}
		}
	}
	return b.String()
}

// pascal makes MatchMaker of match-maker and TooPoor of too_poor.
func pascal(s string) string {
	var b strings.Builder
	up := true
	for i := range len(s) {
		c := s[i]
		if c == '-' || c == '_' {
			up = true
			continue
		}
		if up && c >= 'a' && c <= 'z' {
			c -= 'a' - 'A'
		}
		up = false
		b.WriteByte(c)
	}
	return b.String()
}
