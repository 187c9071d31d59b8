package gen

import (
	"strings"
	"time"

	"github.com/dave/jennifer/jen"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/firefly-go/firefly/idl"
)

// The small pieces of Go that several emitters write.

func ctxType() *jen.Statement     { return jen.Qual("context", "Context") }
func sessionType() *jen.Statement { return jen.Qual(fireflyPath, "Session") }
func bytesType() *jen.Statement   { return jen.Index().Byte() }

// messageType is the Go type of a message, without pointer.
func (g *generator) messageType(d protoreflect.MessageDescriptor) *jen.Statement {
	path, name := g.names.message(d)
	return jen.Qual(path, name)
}

// comment writes the author's comment of a declared thing; what has none gets its full name.
func comment(s *jen.Statement, text, fallback string) {
	text = strings.Trim(text, "\n")
	if strings.TrimSpace(text) == "" {
		text = fallback
	}
	if text == "" {
		return
	}
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, " \t\r\n")
		s.Comment("//" + pad(line)).Line()
	}
}

// fileComment is the same before a declaration at the top of a file.
func fileComment(f *jen.File, text, fallback string) {
	text = strings.Trim(text, "\n")
	if strings.TrimSpace(text) == "" {
		text = fallback
	}
	if text == "" {
		return
	}
	for line := range strings.Lines(text) {
		f.Comment("//" + pad(strings.TrimRight(line, " \t\r\n")))
	}
}

// pad puts the blank behind the slashes that protobuf's comments bring with them, or not.
func pad(line string) string {
	if line == "" || strings.HasPrefix(line, " ") || strings.HasPrefix(line, "\t") {
		return line
	}
	return " " + line
}

// signature writes the parameters and results of a method: a command has a session, a call
// has none; NoReply and Empty leave only the error; Raw is []byte.
func (g *generator) signature(m *idl.Method, session bool) *jen.Statement {
	return g.params(m, session).Add(g.results(m))
}

func (g *generator) params(m *idl.Method, session bool) *jen.Statement {
	return jen.ParamsFunc(func(p *jen.Group) {
		p.Id("ctx").Add(ctxType())
		if session {
			p.Id("s").Add(sessionType())
		}
		switch m.Request {
		case idl.WireMessage:
			p.Id("req").Op("*").Add(g.messageType(m.Desc.Input()))
		case idl.WireRaw:
			p.Id("body").Add(bytesType())
		}
	})
}

func (g *generator) results(m *idl.Method) *jen.Statement {
	switch m.Reply {
	case idl.WireMessage:
		return jen.Params(jen.Op("*").Add(g.messageType(m.Desc.Output())), jen.Error())
	case idl.WireRaw:
		return jen.Params(bytesType(), jen.Error())
	}
	return jen.Error()
}

// duration writes a duration in its largest whole unit.
func duration(d time.Duration) *jen.Statement {
	units := []struct {
		d    time.Duration
		name string
	}{{time.Hour, "Hour"}, {time.Minute, "Minute"}, {time.Second, "Second"}, {time.Millisecond, "Millisecond"}}
	for _, u := range units {
		if d >= u.d && d%u.d == 0 {
			if d == u.d {
				return jen.Qual("time", u.name)
			}
			return jen.Lit(int(d/u.d)).Op("*").Qual("time", u.name)
		}
	}
	return jen.Lit(int(d))
}

// durationText writes it as in the IDL: "1s", "15m", "1500ms".
func durationText(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// key writes the node.Key of a field of msg.
func (g *generator) key(msg string, d protoreflect.FieldDescriptor, player bool) *jen.Statement {
	if d == nil {
		return jen.Qual(nodePath, "NoKey").Call()
	}
	f := g.names.field(d)
	v := jen.Id(msg).Dot("Get" + f.GoName).Call()
	if player {
		return jen.Qual(nodePath, "PlayerKey").Call(jen.Qual(fireflyPath, "PlayerID").Call(v))
	}
	switch d.Kind() {
	case protoreflect.StringKind:
		return jen.Qual(nodePath, "StringKey").Call(v)
	case protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind:
	case protoreflect.Sfixed32Kind:
		// The gate reads 32 fixed bits without a sign.
		v = jen.Int64().Call(jen.Uint32().Call(v))
	default:
		v = jen.Int64().Call(v)
	}
	return jen.Qual(nodePath, "IntKey").Call(v)
}

// keyField writes the firefly.KeyField of a field, or nil when there is none.
func keyField(d protoreflect.FieldDescriptor) *jen.Statement {
	if d == nil {
		return nil
	}
	kind := map[protoreflect.Kind]string{
		protoreflect.StringKind: "KeyString", protoreflect.BoolKind: "KeyBool",
		protoreflect.Int32Kind: "KeyInt32", protoreflect.EnumKind: "KeyInt32", protoreflect.Uint32Kind: "KeyUint32",
		protoreflect.Int64Kind: "KeyVarint", protoreflect.Uint64Kind: "KeyVarint",
		protoreflect.Sint32Kind: "KeyZigzag32", protoreflect.Sint64Kind: "KeyZigzag",
		protoreflect.Fixed32Kind: "KeyFixed32", protoreflect.Sfixed32Kind: "KeySfixed32",
		protoreflect.Fixed64Kind: "KeyFixed64", protoreflect.Sfixed64Kind: "KeyFixed64",
	}[d.Kind()]
	return jen.Qual(fireflyPath, "KeyField").Values(
		jen.Id("Number").Op(":").Lit(int(d.Number())),
		jen.Id("Kind").Op(":").Qual(fireflyPath, kind))
}

// fields writes a composite literal with one field a line, in the order given; fields whose
// value is nil are left out.
type fields []field

type field struct {
	name  string
	value *jen.Statement
}

func (fs fields) values(typ *jen.Statement) *jen.Statement {
	var parts []jen.Code
	for _, f := range fs {
		if f.value != nil {
			parts = append(parts, jen.Id(f.name).Op(":").Add(f.value))
		}
	}
	return typ.Custom(jen.Options{Open: "{", Close: "}", Separator: ",", Multi: true}, parts...)
}

// hash writes a shape or a fingerprint.
func hash(h uint64) *jen.Statement { return jen.Op("0x" + hex16(h)) }

func hashes(hs []uint64) *jen.Statement {
	if len(hs) == 0 {
		return nil
	}
	parts := make([]jen.Code, len(hs))
	for i, h := range hs {
		parts[i] = hash(h)
	}
	return jen.Index().Uint64().Values(parts...)
}

func isTrue(b bool) *jen.Statement {
	if !b {
		return nil
	}
	return jen.True()
}
