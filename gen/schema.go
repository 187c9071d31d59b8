package gen

import (
	"github.com/dave/jennifer/jen"

	"github.com/firefly-go/firefly/idl"
)

// emitSchema writes what the package declares as data: gates route by it, and nodes and
// clients compare what they share of it.
//
//	// Schema is what package arena.v1 declares, made anew at each call.
//	func Schema() *firefly.Schema {
//		return &firefly.Schema{
//			Package:     "arena.v1",
//			Commands:    []firefly.Command{{ID: CommandArenaJoin, Name: "arena.v1.Arena.Join", ...}},
//			Calls:       []firefly.CallSpec{callHallAnnounce},
//			Pushes:      []firefly.PushSpec{pushMoved},
//			Errors:      []firefly.ErrorSpec{{Code: TooPoor, Number: 1003}},
//			Fingerprint: 0x9f31,
//		}
//	}
func emitSchema(g *generator, p *pkg, f *jen.File) bool {
	f.Comment("The generated code and the library have to be of the same generation.")
	f.Const().Id("_").Op("=").Qual(fireflyPath, "GeneratedV1")
	f.Commentf("Schema is what package %s declares, made anew at each call.", p.Name)
	f.Func().Id("Schema").Params().Op("*").Qual(fireflyPath, "Schema").Block(jen.Return(
		jen.Op("&").Add(fields{
			{"Package", jen.Lit(p.Name)},
			{"Commands", g.commandList(p)},
			{"Calls", g.callList(p)},
			{"Pushes", g.pushList(p)},
			{"Errors", g.errorList(p)},
			{"Fingerprint", hash(g.fingerprint(p))},
			{"Released", hashes(g.released(p))},
		}.values(jen.Qual(fireflyPath, "Schema")))))
	return true
}

func multi(items []jen.Code) *jen.Statement {
	return (&jen.Statement{}).Custom(jen.Options{Open: "{", Close: "}", Separator: ",", Multi: true}, items...)
}

func list(typ string, items []jen.Code) *jen.Statement {
	if len(items) == 0 {
		return nil
	}
	return jen.Index().Qual(fireflyPath, typ).Add(multi(items))
}

func (g *generator) commandList(p *pkg) *jen.Statement {
	var items []jen.Code
	for _, m := range commandsByID(p.Package) {
		item := g.shapes.method(m)
		c := m.Command
		var auth, rate, request, reply *jen.Statement
		if c.Public {
			auth = jen.Qual(fireflyPath, "AuthPublic")
		}
		if c.Rate.Count != 0 {
			r := fields{{"Count", jen.Lit(int(c.Rate.Count))}}
			if c.Rate.Per != 0 {
				r = append(r, field{"Per", duration(c.Rate.Per)})
			}
			var parts []jen.Code
			for _, x := range r {
				parts = append(parts, jen.Id(x.name).Op(":").Add(x.value))
			}
			rate = jen.Qual(fireflyPath, "Rate").Values(parts...)
		}
		if m.Request == idl.WireMessage {
			request = newMessage(g, m.Desc.Input())
		}
		if m.Reply == idl.WireMessage {
			reply = newMessage(g, m.Desc.Output())
		}
		items = append(items, fields{
			{"ID", jen.Id(g.names.command(m))},
			{"Name", jen.Lit(m.FullName)},
			{"Role", roleName(m.Service)},
			{"Auth", auth},
			{"Rate", rate},
			{"Timeout", duration(c.Timeout)},
			{"Key", keyField(c.Key)},
			{"Unordered", isTrue(c.Unordered)},
			{"Idempotent", isTrue(c.Idempotent)},
			{"NoReply", isTrue(m.Reply == idl.WireNoReply)},
			{"RawRequest", isTrue(m.Request == idl.WireRaw)},
			{"RawReply", isTrue(m.Reply == idl.WireRaw)},
			{"Shape", hash(item.Shape.value())},
			{"Accepts", hashes(g.accepts(item))},
			{"Request", request},
			{"Reply", reply},
		}.values(&jen.Statement{}))
	}
	return list("Command", items)
}

func (g *generator) callList(p *pkg) *jen.Statement {
	var items []jen.Code
	for _, s := range p.Services {
		for _, m := range s.Calls() {
			items = append(items, jen.Id(g.names.callSpec(m)))
		}
	}
	return list("CallSpec", items)
}

func (g *generator) pushList(p *pkg) *jen.Statement {
	var items []jen.Code
	for _, x := range byPushID(p.Pushes) {
		items = append(items, jen.Id(g.names.pushSpec(x)))
	}
	return list("PushSpec", items)
}

func (g *generator) errorList(p *pkg) *jen.Statement {
	var items []jen.Code
	for _, e := range p.Errors {
		for _, v := range errorValues(e) {
			items = append(items, jen.Values(
				jen.Id("Code").Op(":").Id(g.names.code(v)),
				jen.Id("Number").Op(":").Lit(int(v.Number()))))
		}
	}
	return list("ErrorSpec", items)
}

func commandsByID(p *idl.Package) []*idl.Method {
	var ms []*idl.Method
	for _, s := range p.Services {
		ms = append(ms, s.Commands()...)
	}
	return sortedBy(ms, func(m *idl.Method) uint32 { return m.Command.ID })
}
