package gen

import (
	"strings"

	"github.com/dave/jennifer/jen"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// emitErrors writes the codes of a package. A code is its full name, so that packages and log
// lines never confuse numbers; the number is put on where it leaves for a client:
//
//	// The codes of arena.v1.Fault.
//	const (
//		// TooPoor is code 1003.
//		TooPoor firefly.Code = "arena.v1.TOO_POOR"
//	)
func emitErrors(g *generator, p *pkg, f *jen.File) bool {
	wrote := false
	for _, e := range p.Errors {
		vs := errorValues(e)
		if len(vs) == 0 {
			continue
		}
		wrote = true
		f.Commentf("The codes of %s.", e.Desc.FullName())
		f.Const().DefsFunc(func(d *jen.Group) {
			for _, v := range vs {
				c := &jen.Statement{}
				if text := leading(v); text != "" {
					comment(c, text, "")
				}
				d.Add(c.Id(g.names.code(v)).Qual(fireflyPath, "Code").Op("=").Lit(string(v.FullName())))
			}
		})
	}
	return wrote
}

// leading is the comment above a declaration, or behind it on its line.
func leading(d protoreflect.Descriptor) string {
	loc := d.ParentFile().SourceLocations().ByDescriptor(d)
	if strings.TrimSpace(loc.LeadingComments) != "" {
		return strings.Trim(loc.LeadingComments, "\n")
	}
	return strings.Trim(loc.TrailingComments, "\n")
}
