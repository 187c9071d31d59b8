package gen

import (
	"strings"

	"github.com/dave/jennifer/jen"

	"github.com/firefly-go/firefly/idl"
	"github.com/firefly-go/firefly/idl/fireflypb"
)

// emitRPC writes, per service, the registration of its methods and, when roles may call it,
// the client (emitCalls):
//
//	// ServeHall registers the methods of h at b.
//	func ServeHall(b *node.Builder, h HallService) {
//		node.Serve(b, &callHallAnnounce, h.Announce)
//	}
func emitRPC(g *generator, p *pkg, f *jen.File) bool {
	for _, s := range p.Services {
		g.emitServe(f, s)
		if len(s.Calls()) > 0 {
			g.emitCalls(f, s)
		}
	}
	return len(p.Services) > 0
}

func (g *generator) emitServe(f *jen.File, s *idl.Service) {
	f.Commentf("%s registers the methods of h for the role that b builds.", g.names.serve(s))
	f.Func().Id(g.names.serve(s)).Params(
		jen.Id("b").Op("*").Qual(nodePath, "Builder"), jen.Id("h").Id(g.names.service(s)),
	).BlockFunc(func(b *jen.Group) {
		for _, m := range s.Methods {
			switch {
			case m.Command != nil:
				b.Add(g.registration(m, jen.Id(g.names.command(m)), "Command", "Notify", "RawCommand", "CommandFunc"))
			case m.Call != nil:
				b.Add(g.registration(m, jen.Op("&").Id(g.names.callSpec(m)), "Serve", "ServeNotify", "", "ServeFunc"))
			}
		}
	})
}

// registration is one call of the door: the plain forms have functions of their own there,
// every other pair of request and reply goes through the general one.
func (g *generator) registration(m *idl.Method, id *jen.Statement, unary, notify, raw, general string) *jen.Statement {
	h := jen.Id("h").Dot(g.names.method(m))
	call := func(fn string) *jen.Statement {
		return jen.Qual(nodePath, fn).Call(jen.Id("b"), id, h)
	}
	switch {
	case m.Request == idl.WireMessage && m.Reply == idl.WireMessage:
		return call(unary)
	case m.Request == idl.WireMessage && m.Reply == idl.WireNoReply:
		return call(notify)
	case m.Request == idl.WireRaw && m.Reply == idl.WireRaw && raw != "":
		return call(raw)
	}
	decode := jen.Nil()
	if m.Request == idl.WireMessage {
		decode = jen.Qual(nodePath, "Decode").Types(g.messageType(m.Desc.Input())).Call()
	}
	params := []jen.Code{jen.Id("ctx").Add(ctxType())}
	args := []jen.Code{jen.Id("ctx")}
	if m.Command != nil {
		params = append(params, jen.Id("s").Add(sessionType()))
		args = append(args, jen.Id("s"))
	}
	switch m.Request {
	case idl.WireMessage:
		params = append(params, jen.Id("req").Any())
		args = append(args, jen.Id("req").Assert(jen.Op("*").Add(g.messageType(m.Desc.Input()))))
	case idl.WireRaw:
		params = append(params, jen.Id("req").Any())
		args = append(args, jen.Id("req").Assert(bytesType()))
	default:
		params = append(params, jen.Id("_").Any())
	}
	body := jen.Qual(nodePath, "Body")
	run := jen.Func().Params(params...).Params(body, jen.Error()).BlockFunc(func(b *jen.Group) {
		switch m.Reply {
		case idl.WireMessage:
			b.List(jen.Id("reply"), jen.Err()).Op(":=").Add(h).Call(args...)
			b.If(jen.Err().Op("!=").Nil()).Block(jen.Return(jen.Qual(nodePath, "Body").Values(), jen.Err()))
			b.Return(jen.Qual(nodePath, "Body").Values(jen.Dict{jen.Id("Msg"): jen.Id("reply")}), jen.Nil())
		case idl.WireRaw:
			b.List(jen.Id("reply"), jen.Err()).Op(":=").Add(h).Call(args...)
			b.Return(jen.Qual(nodePath, "Body").Values(jen.Dict{jen.Id("Raw"): jen.Id("reply")}), jen.Err())
		default:
			b.Return(jen.Qual(nodePath, "Body").Values(), jen.Add(h).Call(args...))
		}
	})
	return jen.Qual(nodePath, general).Call(jen.Id("b"), id, decode, run)
}

// whereText says where a call goes and what its caller can count on.
func (g *generator) whereText(m *idl.Method) string {
	var s []string
	switch {
	case m.Call.Key != nil:
		s = append(s, "It goes to the node that owns req."+g.names.field(m.Call.Key).GoName+".")
	case m.Call.Player != nil:
		s = append(s, "It goes to the node where player req."+g.names.field(m.Call.Player).GoName+" is.")
	}
	if m.Reply == idl.WireNoReply {
		s = append(s, "It returns when the message waits to be sent.")
	}
	return strings.Join(s, " ")
}

func roleName(s *idl.Service) *jen.Statement {
	if s.Role == nil {
		return nil
	}
	return jen.Lit(s.Role.Name)
}

func routingValue(r *idl.Role) *jen.Statement {
	if r == nil {
		return nil
	}
	switch r.Opt.GetRouting() {
	case fireflypb.Role_HASH:
		return jen.Qual(fireflyPath, "Hash")
	case fireflypb.Role_LEAST_LOADED:
		return jen.Qual(fireflyPath, "LeastLoaded")
	case fireflypb.Role_SINGLE:
		return jen.Qual(fireflyPath, "Single")
	}
	return nil
}
