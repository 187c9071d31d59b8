package gen

import (
	"path"

	"github.com/dave/jennifer/jen"

	"github.com/firefly-go/firefly/idl"
)

// emitClient writes the typed Go client of the game, a package below that of the roles:
//
//	type Client struct {
//		*client.Conn
//		Arena ArenaCommands
//	}
//
//	func Dial(ctx context.Context, addr string, o *client.Options) (*Client, error)
//
//	func (c ArenaCommands) Join(ctx context.Context, req *arenapb.JoinRequest) (*arenapb.JoinReply, error)
//	func (c ArenaCommands) Move(req *arenapb.MoveRequest) error
//
//	func (c *Client) OnMoved(f func(*arenapb.Moved))
func (g *generator) emitClient() ([]File, error) {
	game := g.sys.Game
	name := g.names.clientPackage(game)
	importPath := path.Join(g.home.GoPackage, name)
	f := newGoFile(g, importPath, name)
	f.PackageComment("Package " + name + " is the typed client of " + game + ", for bots, tests and tools.")

	var services []*idl.Service
	var pushes []*idl.Push
	for _, p := range g.homeFirst() {
		for _, s := range p.Services {
			if len(s.Commands()) > 0 {
				services = append(services, s)
			}
		}
		pushes = append(pushes, byPushID(p.Pushes)...)
	}
	bases := map[string]int{}
	for _, s := range services {
		bases[g.names.base(s)]++
	}
	fieldOf := func(s *idl.Service) string {
		b := g.names.base(s)
		if bases[b] > 1 || b == "Conn" {
			return exported(s.Package.Name) + b
		}
		return b
	}
	commandsOf := func(s *idl.Service) string { return fieldOf(s) + "Commands" }

	f.Comment("Client is one connection to a gate. Its methods may be called by any goroutine.")
	f.Type().Id("Client").StructFunc(func(st *jen.Group) {
		st.Op("*").Qual(clientPath, "Conn")
		for _, s := range services {
			st.Id(fieldOf(s)).Id(commandsOf(s))
		}
	})
	f.Comment("Dial connects to the gate at addr and shakes hands. o may be nil.")
	f.Func().Id("Dial").Params(
		jen.Id("ctx").Add(ctxType()), jen.Id("addr").String(), jen.Id("o").Op("*").Qual(clientPath, "Options"),
	).Params(jen.Op("*").Id("Client"), jen.Error()).BlockFunc(func(b *jen.Group) {
		b.Var().Id("with").Qual(clientPath, "Options")
		b.If(jen.Id("o").Op("!=").Nil()).Block(jen.Id("with").Op("=").Op("*").Id("o"))
		b.If(jen.Id("with").Dot("Schema").Op("==").Nil()).Block(jen.Id("with").Dot("Schema").Op("=").Id("Schema").Call())
		b.List(jen.Id("c"), jen.Err()).Op(":=").Qual(clientPath, "Dial").Call(jen.Id("ctx"), jen.Id("addr"), jen.Op("&").Id("with"))
		b.If(jen.Err().Op("!=").Nil()).Block(jen.Return(jen.Nil(), jen.Err()))
		var fs fields
		fs = append(fs, field{"Conn", jen.Id("c")})
		for _, s := range services {
			fs = append(fs, field{fieldOf(s), jen.Id(commandsOf(s)).Values(jen.Id("c"))})
		}
		b.Return(jen.Op("&").Add(fs.values(jen.Id("Client"))), jen.Nil())
	})
	f.Commentf("Schema is everything that %s declares for its clients, in one.", game)
	f.Func().Id("Schema").Params().Op("*").Qual(fireflyPath, "Schema").BlockFunc(func(b *jen.Group) {
		b.Id("s").Op(":=").Qual(g.home.GoPackage, "Schema").Call()
		for _, p := range g.homeFirst()[1:] {
			o := jen.Id(p.prefix + "Schema")
			b.Add(o.Clone()).Op(":=").Qual(p.GoPackage, "Schema").Call()
			for _, list := range []string{"Commands", "Pushes", "Errors"} {
				b.Id("s").Dot(list).Op("=").Append(jen.Id("s").Dot(list), o.Clone().Dot(list).Op("..."))
			}
		}
		b.Return(jen.Id("s"))
	})
	for _, s := range services {
		f.Commentf("%s are the commands of service %s.", commandsOf(s), s.FullName)
		f.Type().Id(commandsOf(s)).Struct(jen.Id("c").Op("*").Qual(clientPath, "Conn"))
		for _, m := range s.Commands() {
			g.clientMethod(f, commandsOf(s), m)
		}
	}
	for _, x := range pushes {
		p := x.Package.GoPackage
		fileComment(f, x.Comment, g.names.pushMethod(x)+" is "+string(x.Desc.FullName())+".")
		f.Comment("//")
		f.Commentf("%s has f called with each, in the order of their sending, on a goroutine of the connection;", g.names.onPush(x))
		f.Comment("f may block and may send commands. It replaces the f of before.")
		f.Func().Params(jen.Id("c").Op("*").Id("Client")).Id(g.names.onPush(x)).Params(
			jen.Id("f").Func().Params(jen.Op("*").Add(g.messageType(x.Desc))),
		).Block(jen.Id("c").Dot("OnPush").Call(jen.Qual(p, g.names.pushID(x)), jen.Func().Params(jen.Id("body").Add(bytesType())).Block(
			jen.Id("msg").Op(":=").New(g.messageType(x.Desc)),
			jen.If(jen.Id("msg").Dot("UnmarshalVT").Call(jen.Id("body")).Op("==").Nil()).Block(
				jen.Id("f").Call(jen.Id("msg"))),
		)))
	}
	return render(f, path.Join(g.home.dir, name, "client.ff.go"))
}

func (g *generator) clientMethod(f *jen.File, recv string, m *idl.Method) {
	fileComment(f, m.Comment, g.names.method(m)+" is "+m.FullName+".")
	notify := m.Reply == idl.WireNoReply
	id := jen.Qual(m.Service.Package.GoPackage, g.names.command(m))
	if notify {
		f.Comment("//")
		f.Comment("It returns when the command waits to be sent; nothing comes back.")
	}
	body := func(b *jen.Group) {
		c := jen.Id("c").Dot("c")
		var req *jen.Statement
		switch m.Request {
		case idl.WireMessage:
			req = jen.Id("req")
		case idl.WireEmpty:
			req = jen.Nil()
		}
		raw := jen.Id("body")
		switch {
		case notify && m.Request == idl.WireRaw:
			b.Return(c.Dot("NotifyRaw").Call(id, raw))
		case notify:
			b.Return(c.Dot("Notify").Call(id, req))
		case m.Request == idl.WireRaw && m.Reply == idl.WireRaw:
			b.Return(c.Dot("Raw").Call(jen.Id("ctx"), id, raw))
		case m.Request == idl.WireRaw && m.Reply == idl.WireEmpty:
			b.List(jen.Id("_"), jen.Err()).Op(":=").Add(c).Dot("Raw").Call(jen.Id("ctx"), id, raw)
			b.Return(jen.Err())
		case m.Request == idl.WireRaw:
			b.List(jen.Id("b"), jen.Err()).Op(":=").Add(c).Dot("Raw").Call(jen.Id("ctx"), id, raw)
			b.If(jen.Err().Op("!=").Nil()).Block(jen.Return(jen.Nil(), jen.Err()))
			b.Id("reply").Op(":=").New(g.messageType(m.Desc.Output()))
			b.Return(jen.Id("reply"), jen.Id("reply").Dot("UnmarshalVT").Call(jen.Id("b")))
		case m.Reply == idl.WireRaw:
			if m.Request == idl.WireMessage {
				b.List(jen.Id("body"), jen.Err()).Op(":=").Id("req").Dot("MarshalVT").Call()
				b.If(jen.Err().Op("!=").Nil()).Block(jen.Return(jen.Nil(), jen.Err()))
			} else {
				raw = jen.Nil()
			}
			b.Return(c.Dot("Raw").Call(jen.Id("ctx"), id, raw))
		case m.Reply == idl.WireEmpty:
			b.Return(c.Dot("Request").Call(jen.Id("ctx"), id, req, jen.Nil()))
		default:
			b.Id("reply").Op(":=").New(g.messageType(m.Desc.Output()))
			b.If(jen.Err().Op(":=").Add(c).Dot("Request").Call(jen.Id("ctx"), id, req, jen.Id("reply")), jen.Err().Op("!=").Nil()).Block(
				jen.Return(jen.Nil(), jen.Err()))
			b.Return(jen.Id("reply"), jen.Nil())
		}
	}
	f.Func().Params(jen.Id("c").Id(recv)).Id(g.names.method(m)).ParamsFunc(func(p *jen.Group) {
		if !notify {
			p.Id("ctx").Add(ctxType())
		}
		switch m.Request {
		case idl.WireMessage:
			p.Id("req").Op("*").Add(g.messageType(m.Desc.Input()))
		case idl.WireRaw:
			p.Id("body").Add(bytesType())
		}
	}).Add(g.results(m)).BlockFunc(body)
}
