package gen

import (
	"github.com/dave/jennifer/jen"

	"github.com/firefly-go/firefly/idl"
)

// emitIDs writes the numbers of the wire:
//
//	// The commands of service Arena.
//	const (
//		CommandArenaJoin firefly.CommandID = 102
//	)
//
//	// The pushes.
//	const (
//		PushMoved firefly.PushID = 2001
//	)
func emitIDs(g *generator, p *pkg, f *jen.File) bool {
	wrote := false
	for _, s := range p.Services {
		if len(s.Commands()) == 0 {
			continue
		}
		wrote = true
		f.Commentf("The commands of service %s.", s.Name)
		f.Const().DefsFunc(func(d *jen.Group) {
			for _, m := range s.Commands() {
				d.Id(g.names.command(m)).Qual(fireflyPath, "CommandID").Op("=").Lit(int(m.Command.ID))
			}
		})
	}
	if len(p.Pushes) > 0 {
		wrote = true
		f.Comment("The pushes.")
		f.Const().DefsFunc(func(d *jen.Group) {
			for _, x := range byPushID(p.Pushes) {
				d.Id(g.names.pushID(x)).Qual(fireflyPath, "PushID").Op("=").Lit(int(x.ID))
			}
		})
	}
	return wrote
}

func byPushID(ps []*idl.Push) []*idl.Push {
	return sortedBy(ps, func(p *idl.Push) uint32 { return p.ID })
}
