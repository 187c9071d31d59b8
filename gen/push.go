package gen

import (
	"github.com/dave/jennifer/jen"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/firefly-go/firefly/idl"
	"github.com/firefly-go/firefly/idl/fireflypb"
)

// emitPush writes the type behind d.Push, with a method per push of the package:
//
//	type Push struct{ p node.Pusher }
//
//	// Moved sends push 2001 ...
//	func (p Push) Moved(ctx context.Context, to firefly.Target, msg *Moved) error {
//		return p.p.Push(ctx, to, &pushMoved, node.IntKey(msg.GetPlayerId()), msg)
//	}
//
// A package with roles has the type also when it declares no push, since Deps name it.
func emitPush(g *generator, p *pkg, f *jen.File) bool {
	if len(p.Pushes) == 0 && p != g.home {
		return false
	}
	f.Commentf("Push sends the pushes of package %s. A push leaves in order with the replies and pushes", p.Name)
	f.Comment("that this node sent before to the same session; a target that is not online is no error.")
	f.Type().Id("Push").Struct(jen.Id("p").Qual(nodePath, "Pusher"))
	f.Comment("NewPush makes a Push over p; roles get theirs in Deps.")
	f.Func().Id("NewPush").Params(jen.Id("p").Qual(nodePath, "Pusher")).Id("Push").Block(
		jen.Return(jen.Id("Push").Values(jen.Id("p"))))
	for _, x := range byPushID(p.Pushes) {
		method := g.names.pushMethod(x)
		fileComment(f, x.Comment, method+" is "+string(x.Desc.FullName())+".")
		f.Comment("//")
		f.Comment(slowText(x))
		f.Func().Params(jen.Id("p").Id("Push")).Id(method).Params(
			jen.Id("ctx").Add(ctxType()),
			jen.Id("to").Qual(fireflyPath, "Target"),
			jen.Id("msg").Op("*").Add(g.messageType(x.Desc)),
		).Error().Block(jen.Return(jen.Id("p").Dot("p").Dot("Push").Call(
			jen.Id("ctx"), jen.Id("to"), jen.Op("&").Id(g.names.pushSpec(x)), g.key("msg", x.Key, false), jen.Id("msg"))))
	}
	if len(p.Pushes) == 0 {
		return true
	}
	f.Var().DefsFunc(func(d *jen.Group) {
		for _, x := range byPushID(p.Pushes) {
			item := g.shapes.push(x)
			d.Id(g.names.pushSpec(x)).Op("=").Add(fields{
				{"ID", jen.Id(g.names.pushID(x))},
				{"Name", jen.Lit(string(x.Desc.FullName()))},
				{"Slow", slowValue(x)},
				{"Key", keyField(x.Key)},
				{"Shape", hash(item.Shape.value())},
				{"Accepts", hashes(g.accepts(item))},
				{"New", newMessage(g, x.Desc)},
			}.values(jen.Qual(fireflyPath, "PushSpec")))
		}
	})
	return true
}

func newMessage(g *generator, d protoreflect.MessageDescriptor) *jen.Statement {
	return jen.Func().Params().Qual(fireflyPath, "Message").Block(jen.Return(jen.New(g.messageType(d))))
}

func slowValue(x *idl.Push) *jen.Statement {
	switch x.Opt.GetSlow() {
	case fireflypb.Push_DROP_OLDEST:
		return jen.Qual(fireflyPath, "SlowDropOldest")
	case fireflypb.Push_COALESCE:
		return jen.Qual(fireflyPath, "SlowCoalesce")
	}
	return nil
}

func slowText(x *idl.Push) string {
	switch x.Opt.GetSlow() {
	case fireflypb.Push_DROP_OLDEST:
		return "For a client that reads too slowly the oldest waiting one is dropped."
	case fireflypb.Push_COALESCE:
		if x.Key != nil {
			return "For a client that reads too slowly it replaces the waiting one of the same " + string(x.Key.Name()) + "."
		}
		return "For a client that reads too slowly it replaces the waiting one."
	}
	return "A client that reads too slowly is disconnected with reason SLOW."
}
