package gen

import (
	"fmt"
	"strconv"
	"time"

	"github.com/dave/jennifer/jen"

	"github.com/firefly-go/firefly/idl"
	"github.com/firefly-go/firefly/idl/fireflypb"
)

// emitRoles writes the topology as types: what a role serves is an interface, what it may
// reach is a struct, and what it did not declare does not compile.
//
//	// WorldHandler is what the code of role "world" implements.
//	type WorldHandler interface{ ArenaService }
//
//	// WorldDeps is what role "world" declared that it needs.
//	type WorldDeps struct {
//		Node   firefly.Node
//		Push   Push
//		Tx     func(context.Context, func(context.Context, *WorldTx) error) error
//		Seat   func(firefly.Session) *Seat
//		Rooms  *Rooms
//		Player *PlayerTable
//		Hall   HallClient
//	}
//
//	// WorldTx are the writes of a transaction of role "world".
//	type WorldTx struct {
//		*table.Tx
//		Player PlayerWrites
//	}
//
//	// WorldRole is role "world": Arena by its own code.
//	func WorldRole(serve func(*WorldDeps) WorldHandler) node.Role { ... }
//
// Sheets and mounts get their fields, and mounts their parameters, by emitters of their own; until
// then they are left out.
func emitRoles(g *generator, p *pkg, f *jen.File) bool {
	if p != g.home {
		return false
	}
	for _, r := range g.sys.Roles {
		g.emitHandler(f, r)
		g.emitDeps(f, r)
		g.emitTx(f, r)
		g.emitRole(f, r)
	}
	f.Comment("schemas are those of all packages of the game, this one first.")
	f.Func().Id("schemas").Params().Index().Op("*").Qual(fireflyPath, "Schema").Block(
		jen.Return(jen.Index().Op("*").Qual(fireflyPath, "Schema").ValuesFunc(func(v *jen.Group) {
			for _, other := range g.homeFirst() {
				v.Qual(other.GoPackage, "Schema").Call()
			}
		})))
	return true
}

// homeFirst are the packages that clients and roles speak of, that of the roles first.
func (g *generator) homeFirst() []*pkg {
	ps := []*pkg{g.home}
	for _, p := range g.packages {
		if p != g.home && (len(p.Services) > 0 || len(p.Pushes) > 0 || len(p.Errors) > 0) {
			ps = append(ps, p)
		}
	}
	return ps
}

func (g *generator) emitHandler(f *jen.File, r *idl.Role) {
	f.Commentf("%s is what the code of role %q implements.", g.names.handler(r), r.Name)
	f.Type().Id(g.names.handler(r)).InterfaceFunc(func(i *jen.Group) {
		for _, s := range r.Serves {
			i.Qual(s.Package.GoPackage, g.names.service(s))
		}
	})
}

// depsField is one field of Deps with the expression that fills it.
type depsField struct {
	name, comment string
	typ, value    *jen.Statement
}

func (g *generator) depsFields(r *idl.Role) []depsField {
	b := jen.Id("b")
	fs := []depsField{
		{"Node", "", jen.Qual(fireflyPath, "Node"), b.Clone().Dot("Node").Call()},
		{"Push", "", jen.Id("Push"), jen.Id("NewPush").Call(b.Clone().Dot("Pusher").Call())},
	}
	for _, p := range g.pushPackages(r) {
		fs = append(fs, depsField{g.names.packagePush(p), fmt.Sprintf("%s sends the pushes of package %s.", g.names.packagePush(p), p.Name),
			jen.Qual(p.GoPackage, "Push"), jen.Qual(p.GoPackage, "NewPush").Call(b.Clone().Dot("Pusher").Call())})
	}
	if len(tablesOf(r)) > 0 {
		fs = append(fs, g.txField(r))
	}
	if r.Session != nil {
		t := g.messageType(r.Session)
		_, name := g.names.message(r.Session)
		fs = append(fs, depsField{name, name + " is kept per session, for as long as it is at this node.",
			jen.Func().Params(sessionType()).Op("*").Add(t), jen.Qual(nodePath, "SessionState").Types(t).Call(b.Clone())})
	}
	if r.State != nil {
		t := g.messageType(r.State)
		_, name := g.names.message(r.State)
		fs = append(fs, depsField{name, name + " is kept for the node.",
			jen.Op("*").Add(t), jen.Qual(nodePath, "RoleState").Types(t).Call(b.Clone())})
	}
	if r.Config != nil {
		t := g.messageType(r.Config)
		fs = append(fs, depsField{"Config", "Config is filled from the launch file and the environment.",
			jen.Op("*").Add(t), jen.Qual(nodePath, "Config").Types(t).Call(b.Clone())})
	}
	for _, u := range r.Uses {
		if u.Table != nil {
			p := u.Table.Package.GoPackage
			fs = append(fs, depsField{g.names.row(u.Table), "", jen.Op("*").Qual(p, g.names.table(u.Table)),
				jen.Qual(p, g.names.newTable(u.Table)).Call(jen.Id("db"))})
		}
		if u.Service == nil {
			continue
		}
		p := u.Service.Package.GoPackage
		fs = append(fs, depsField{g.names.use(u), "", jen.Qual(p, g.names.client(u.Service)),
			jen.Qual(p, g.names.newClient(u.Service)).Call(b.Clone().Dot("Caller").Call())})
	}
	return fs
}

// pushPackages are the other packages of which the role serves a service and which have
// pushes: who serves a package sends its pushes.
func (g *generator) pushPackages(r *idl.Role) []*pkg {
	var ps []*pkg
	for _, p := range g.packages {
		if p == g.home || len(p.Pushes) == 0 {
			continue
		}
		for _, s := range r.Serves {
			if s.Package == p.Package {
				ps = append(ps, p)
				break
			}
		}
	}
	return ps
}

func (g *generator) emitDeps(f *jen.File, r *idl.Role) {
	f.Commentf("%s is what role %q declared that it needs.", g.names.deps(r), r.Name)
	f.Type().Id(g.names.deps(r)).StructFunc(func(s *jen.Group) {
		for _, d := range g.depsFields(r) {
			if d.comment != "" {
				s.Comment(d.comment)
			}
			s.Id(d.name).Add(d.typ)
		}
	})
}

func (g *generator) emitRole(f *jen.File, r *idl.Role) {
	handler, deps := g.names.handler(r), g.names.deps(r)
	f.Commentf("%s is role %q. serve makes its code, once per node; hooks and timers are registered in it.", g.names.role(r), r.Name)
	if r.Comment != "" {
		f.Comment("//")
		fileComment(f, r.Comment, "")
	}
	var uses []jen.Code
	for _, u := range r.Uses {
		if u.Service != nil {
			uses = append(uses, jen.Lit(u.Service.FullName))
		}
	}
	var used *jen.Statement
	if len(uses) > 0 {
		used = jen.Index().String().Values(uses...)
	}
	routing := routingValue(r)
	if routing == nil {
		routing = jen.Qual(fireflyPath, "Sticky")
	}
	build := jen.Func().Params(jen.Id("b").Op("*").Qual(nodePath, "Builder")).BlockFunc(func(b *jen.Group) {
		var fs fields
		for _, d := range g.depsFields(r) {
			fs = append(fs, field{d.name, d.value})
		}
		if len(tablesOf(r)) > 0 {
			b.Id("db").Op(":=").Id("b").Dot("Tables").Call()
		}
		call := jen.Id("serve").Call(jen.Op("&").Add(fs.values(jen.Id(deps))))
		if len(r.Serves) == 0 {
			b.Add(call)
			return
		}
		b.Id("h").Op(":=").Add(call)
		for _, s := range r.Serves {
			b.Qual(s.Package.GoPackage, g.names.serve(s)).Call(jen.Id("b"), jen.Id("h"))
		}
	})
	f.Func().Id(g.names.role(r)).Params(jen.Id("serve").Func().Params(jen.Op("*").Id(deps)).Id(handler)).Qual(nodePath, "Role").Block(
		jen.Return(fields{
			{"Name", jen.Lit(r.Name)},
			{"Routing", routing},
			{"Replicas", jen.Lit(r.Replicas)},
			{"Listens", listensValue(r.Listens)},
			{"Uses", used},
			{"Schemas", jen.Id("schemas").Call()},
			{"Tables", g.specsOf(r)},
			{"New", build},
		}.values(jen.Qual(nodePath, "Role"))))
}

// listensValue writes the doors of a gate as declared.
func listensValue(l *fireflypb.Listen) *jen.Statement {
	if l == nil {
		return nil
	}
	num := func(n uint32) *jen.Statement {
		if n == 0 {
			return nil
		}
		return jen.Lit(int(n))
	}
	dur := func(s string) *jen.Statement {
		if s == "" {
			return nil
		}
		d, ok := parseDuration(s)
		if !ok {
			return nil
		}
		return jen.Qual(fireflyPath, "Duration").Call(duration(d))
	}
	limits := fields{
		{"Classic", classicValue(l.GetClassic())},
		{"MaxFrame", num(l.GetMaxFrame())},
		{"MaxConnections", num(l.GetMaxConnections())},
		{"MaxPerAddress", num(l.GetMaxPerAddress())},
		{"HandshakeTimeout", dur(l.GetHandshakeTimeout())},
		{"IdleTimeout", dur(l.GetIdleTimeout())},
		{"Rate", str(l.GetRate())},
		{"MaxQueue", num(l.GetMaxQueue())},
		{"Resume", dur(l.GetResume())},
	}
	return jen.Op("&").Add(fields{
		{"TCP", num(l.GetTcp())},
		{"WebSocket", num(l.GetWebsocket())},
		{"HTTP", num(l.GetHttp())},
		{"Limits", limits.orNil(jen.Qual(fireflyPath, "Listens"))},
	}.values(jen.Qual(nodePath, "Listens")))
}

func (fs fields) orNil(typ *jen.Statement) *jen.Statement {
	for _, f := range fs {
		if f.value != nil {
			return fs.values(typ)
		}
	}
	return nil
}

func str(s string) *jen.Statement {
	if s == "" {
		return nil
	}
	return jen.Lit(s)
}

func classicValue(c *fireflypb.Classic) *jen.Statement {
	if c == nil {
		return nil
	}
	var magic, version *jen.Statement
	if len(c.GetMagic()) > 0 {
		magic = jen.Index().Int().ValuesFunc(func(v *jen.Group) {
			for _, m := range c.GetMagic() {
				v.Lit(int(m))
			}
		})
	}
	if v := c.GetVersion(); v != 0 {
		version = jen.Op(strconv.FormatUint(uint64(v), 10))
	}
	var errors *jen.Statement
	if c.GetErrors() != 0 {
		errors = jen.Lit(c.GetErrors().String())
	}
	return jen.Op("&").Add(fields{
		{"Magic", magic},
		{"Version", version},
		{"Body", jen.Lit(c.GetBody().String())},
		{"Errors", errors},
	}.values(jen.Qual(fireflyPath, "Classic")))
}

// parseDuration reads a duration of the IDL, which idl has checked: time's units and "d".
func parseDuration(s string) (time.Duration, bool) {
	if n := len(s); n > 1 && s[n-1] == 'd' {
		d, err := time.ParseDuration(s[:n-1] + "h")
		return d * 24, err == nil
	}
	d, err := time.ParseDuration(s)
	return d, err == nil
}
