package gen

import "github.com/dave/jennifer/jen"

// emitServices writes the interface that a role's code implements, one per service:
//
//	// ArenaService is service arena.v1.Arena.
//	//
//	// The methods run on the logic loop of the role, one at a time ...
//	type ArenaService interface {
//		// Join enters a room, and leaves the one before.
//		Join(ctx context.Context, s firefly.Session, req *JoinRequest) (*JoinReply, error)
//		// Move is command 103.
//		Move(ctx context.Context, s firefly.Session, req *MoveRequest) error
//	}
func emitServices(g *generator, p *pkg, f *jen.File) bool {
	for _, s := range p.Services {
		name := g.names.service(s)
		f.Commentf("%s is service %s, as the role that serves it implements it.", name, s.FullName)
		if s.Comment != "" {
			f.Comment("//")
			fileComment(f, s.Comment, "")
		}
		f.Comment("//")
		f.Comment("Methods run on the logic loop of the role, one at a time; what takes ctx yields the loop,")
		f.Comment("so state may have changed when it returns. A request is the method's to keep; bytes of a")
		f.Comment("Raw request are valid until it returns.")
		f.Type().Id(name).InterfaceFunc(func(i *jen.Group) {
			for _, m := range s.Methods {
				if m.Command == nil && m.Call == nil {
					continue // HTTP alone: written by its own emitter
				}
				c := &jen.Statement{}
				comment(c, m.Comment, g.names.method(m)+" is "+m.FullName+".")
				i.Add(c.Id(g.names.method(m)).Add(g.signature(m, m.Command != nil)))
			}
		})
	}
	return len(p.Services) > 0
}
