package gen

import (
	"github.com/dave/jennifer/jen"

	"github.com/firefly-go/firefly/idl"
)

// emitCalls writes how roles call a service: by its keys, at one node, at all of them.
//
//	type HallClient interface {
//		Announce(ctx context.Context, req *AnnounceRequest) (*AnnounceReply, error)
//		At(node string) HallClient
//		Each() HallEach
//	}
//
//	type HallEach interface {
//		Announce(ctx context.Context, req *AnnounceRequest) firefly.Answers[*AnnounceReply]
//	}
//
//	func NewHallClient(c node.Caller) HallClient { return hallClient{c} }
//
//	func (c hallClient) Announce(ctx context.Context, req *AnnounceRequest) (*AnnounceReply, error) {
//		return node.Call[AnnounceReply](ctx, c.c, &callHallAnnounce, node.StringKey(req.GetRoom()), req)
//	}
func (g *generator) emitCalls(f *jen.File, s *idl.Service) {
	client, typ := g.names.client(s), g.names.clientType(s)
	f.Commentf("%s is service %s, as roles that use it call it. It is an interface so that tests fake it.", client, s.FullName)
	f.Type().Id(client).InterfaceFunc(func(i *jen.Group) {
		for _, m := range s.Calls() {
			c := &jen.Statement{}
			comment(c, m.Comment, g.names.method(m)+" is "+m.FullName+".")
			comment(c, g.whereText(m), "")
			i.Add(c.Id(g.names.method(m)).Add(g.signature(m, false)))
		}
		i.Comment("At is the service at one node, by its name, whatever a key would say. Its methods return")
		i.Comment("Unavailable when no such node lives.")
		i.Id("At").Params(jen.Id("node").String()).Id(client)
		i.Comment("Each is the service at every node that plays its role.")
		i.Id("Each").Params().Id(g.names.each(s))
	})
	f.Commentf("%s makes a client that calls through c; roles get theirs in Deps.", g.names.newClient(s))
	f.Func().Id(g.names.newClient(s)).Params(jen.Id("c").Qual(nodePath, "Caller")).Id(client).Block(
		jen.Return(jen.Id(typ).Values(jen.Id("c"))))
	f.Type().Id(typ).Struct(jen.Id("c").Qual(nodePath, "Caller"))
	f.Func().Params(jen.Id("c").Id(typ)).Id("At").Params(jen.Id("name").String()).Id(client).Block(
		jen.Return(jen.Id(typ).Values(jen.Qual(nodePath, "At").Call(jen.Id("c").Dot("c"), jen.Id("name")))))
	f.Func().Params(jen.Id("c").Id(typ)).Id("Each").Params().Id(g.names.each(s)).Block(
		jen.Return(jen.Id(g.names.eachType(s)).Values(jen.Id("c").Dot("c"))))
	for _, m := range s.Calls() {
		f.Func().Params(jen.Id("c").Id(typ)).Id(g.names.method(m)).Add(g.signature(m, false)).BlockFunc(func(b *jen.Group) {
			g.callBody(b, m)
		})
	}
	f.Var().DefsFunc(func(d *jen.Group) {
		for _, m := range s.Calls() {
			item := g.shapes.method(m)
			key, player := m.Call.Key, false
			if m.Call.Player != nil {
				key, player = m.Call.Player, true
			}
			var timeout *jen.Statement
			if m.Call.Timeout > 0 {
				timeout = duration(m.Call.Timeout)
			}
			d.Id(g.names.callSpec(m)).Op("=").Add(fields{
				{"Name", jen.Lit(m.FullName)},
				{"ID", hash(fnv1a(m.FullName))},
				{"Role", roleName(s)},
				{"Routing", routingValue(s.Role)},
				{"Timeout", timeout},
				{"Key", keyField(key)},
				{"PlayerKey", isTrue(player)},
				{"Idempotent", isTrue(m.Call.Idempotent)},
				{"NoReply", isTrue(m.Reply == idl.WireNoReply)},
				{"Shape", hash(item.Shape.value())},
				{"Accepts", hashes(g.accepts(item))},
			}.values(jen.Qual(fireflyPath, "CallSpec")))
		}
	})
	g.emitEach(f, s)
}

func (g *generator) callBody(b *jen.Group, m *idl.Method) {
	spec := jen.Op("&").Id(g.names.callSpec(m))
	key := g.key("req", m.Call.Key, false)
	if m.Call.Player != nil {
		key = g.key("req", m.Call.Player, true)
	}
	head := []jen.Code{jen.Id("ctx"), jen.Id("c").Dot("c"), spec, key}
	switch {
	case m.Request == idl.WireMessage && m.Reply == idl.WireMessage:
		b.Return(jen.Qual(nodePath, "Call").Types(g.messageType(m.Desc.Output())).Call(append(head, jen.Id("req"))...))
		return
	case m.Request == idl.WireMessage && m.Reply == idl.WireNoReply:
		b.Return(jen.Qual(nodePath, "Send").Call(append(head, jen.Id("req"))...))
		return
	}
	head = append(head, requestBody(m))
	call := func(decode jen.Code) *jen.Statement {
		return jen.Qual(nodePath, "CallFunc").Call(append(head, decode)...)
	}
	switch m.Reply {
	case idl.WireMessage:
		b.Id("reply").Op(":=").New(g.messageType(m.Desc.Output()))
		b.If(jen.Err().Op(":=").Add(call(jen.Id("reply").Dot("UnmarshalVT"))), jen.Err().Op("!=").Nil()).Block(jen.Return(jen.Nil(), jen.Err()))
		b.Return(jen.Id("reply"), jen.Nil())
	case idl.WireRaw:
		b.Var().Id("reply").Add(bytesType())
		b.Err().Op(":=").Add(call(jen.Func().Params(jen.Id("b").Add(bytesType())).Error().Block(
			jen.Id("reply").Op("=").Append(jen.Id("reply"), jen.Id("b").Op("...")),
			jen.Return(jen.Nil()))))
		b.Return(jen.Id("reply"), jen.Err())
	default:
		b.Return(call(jen.Nil()))
	}
}

// emitEach writes the service at all nodes of its role, beside each other.
func (g *generator) emitEach(f *jen.File, s *idl.Service) {
	each, typ := g.names.each(s), g.names.eachType(s)
	f.Commentf("%s is service %s at every node that plays its role.", each, s.FullName)
	f.Comment("A call goes to all of them beside each other and comes back when the last has answered; a")
	f.Comment("method without a reply returns the errors of the nodes as one.")
	f.Type().Id(each).InterfaceFunc(func(i *jen.Group) {
		for _, m := range s.Calls() {
			c := &jen.Statement{}
			comment(c, m.Comment, g.names.method(m)+" is "+m.FullName+".")
			if m.Reply == idl.WireNoReply {
				comment(c, "It returns when the messages wait to be sent.", "")
			}
			i.Add(c.Id(g.names.method(m)).Add(g.eachSignature(m)))
		}
	})
	f.Line()
	f.Type().Id(typ).Struct(jen.Id("c").Qual(nodePath, "Caller"))
	for _, m := range s.Calls() {
		fn := jen.Qual(nodePath, "SendEach")
		switch m.Reply {
		case idl.WireMessage:
			fn = jen.Qual(nodePath, "CallEach").Types(g.messageType(m.Desc.Output()))
		case idl.WireRaw:
			fn = jen.Qual(nodePath, "CallEachRaw")
		}
		f.Func().Params(jen.Id("c").Id(typ)).Id(g.names.method(m)).Add(g.eachSignature(m)).Block(
			jen.Return(fn.Call(jen.Id("ctx"), jen.Id("c").Dot("c"), jen.Op("&").Id(g.names.callSpec(m)), requestBody(m))))
	}
}

func (g *generator) eachSignature(m *idl.Method) *jen.Statement {
	answers := jen.Qual(fireflyPath, "Answers")
	switch m.Reply {
	case idl.WireMessage:
		return g.params(m, false).Add(answers.Types(jen.Op("*").Add(g.messageType(m.Desc.Output()))))
	case idl.WireRaw:
		return g.params(m, false).Add(answers.Types(bytesType()))
	}
	return g.params(m, false).Error()
}

// requestBody is what the caller sends, whatever its kind.
func requestBody(m *idl.Method) *jen.Statement {
	body := jen.Qual(nodePath, "Body")
	switch m.Request {
	case idl.WireMessage:
		return body.Values(jen.Dict{jen.Id("Msg"): jen.Id("req")})
	case idl.WireRaw:
		return body.Values(jen.Dict{jen.Id("Raw"): jen.Id("body")})
	}
	return body.Values()
}
