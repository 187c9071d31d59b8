package gen

import (
	"github.com/dave/jennifer/jen"

	"github.com/firefly-go/firefly/idl"
)

// What roles.go writes for the tables of a role.

// tablesOf are the tables that a role uses.
func tablesOf(r *idl.Role) []*idl.Table {
	var out []*idl.Table
	for _, u := range r.Uses {
		if u.Table != nil {
			out = append(out, u.Table)
		}
	}
	return out
}

// specsOf are their Specs, nil when there are none.
func (g *generator) specsOf(r *idl.Role) *jen.Statement {
	var parts []jen.Code
	for _, t := range tablesOf(r) {
		parts = append(parts, jen.Qual(t.Package.GoPackage, g.names.spec(t)).Call())
	}
	if len(parts) == 0 {
		return nil
	}
	return jen.Index().Op("*").Qual(tablePath, "Spec").Values(parts...)
}

// txFunc is the type of a function that runs in a transaction of a role.
func (g *generator) txFunc(r *idl.Role) *jen.Statement {
	return jen.Func().Params(jen.Id("ctx").Add(ctxType()), jen.Id("tx").Op("*").Id(g.names.tx(r))).Error()
}

// txField is the field Tx of Deps.
func (g *generator) txField(r *idl.Role) depsField {
	return depsField{
		name:    "Tx",
		comment: "Tx collects what f writes and commits it at the end, all or nothing. f may run again.",
		typ:     jen.Func().Params(jen.Id("ctx").Add(ctxType()), jen.Id("f").Add(g.txFunc(r))).Error(),
		value:   jen.Id("new" + g.names.tx(r)).Call(jen.Id("db")),
	}
}

// emitTx writes the transaction of a role: the writes of every table that it uses.
func (g *generator) emitTx(f *jen.File, r *idl.Role) {
	tables := tablesOf(r)
	if len(tables) == 0 {
		return
	}
	tx := g.names.tx(r)
	f.Commentf("%s are the writes of a transaction of role %q. Rows with the same first key value commit in one", tx, r.Name)
	f.Comment("step, whichever tables they are in; any others need the durable commit, which is slower.")
	f.Type().Id(tx).StructFunc(func(s *jen.Group) {
		s.Op("*").Qual(tablePath, "Tx")
		for _, t := range tables {
			s.Id(g.names.row(t)).Qual(t.Package.GoPackage, g.names.writes(t))
		}
	})
	f.Commentf("new%s makes the Tx of %s.", tx, g.names.deps(r))
	f.Func().Id("new"+tx).Params(jen.Id("db").Op("*").Qual(tablePath, "DB")).Func().Params(ctxType(), g.txFunc(r)).Error().Block(
		jen.Return(jen.Func().Params(jen.Id("ctx").Add(ctxType()), jen.Id("f").Add(g.txFunc(r))).Error().Block(
			jen.Return(jen.Id("db").Dot("Tx").Call(jen.Id("ctx"), jen.Func().Params(jen.Id("ctx").Add(ctxType()), jen.Id("tx").Op("*").Qual(tablePath, "Tx")).Error().Block(
				jen.Return(jen.Id("f").Call(jen.Id("ctx"), jen.Op("&").Add(g.txValue(r, tables)))))))),
		))
}

func (g *generator) txValue(r *idl.Role, tables []*idl.Table) *jen.Statement {
	fs := fields{{"Tx", jen.Id("tx")}}
	for _, t := range tables {
		fs = append(fs, field{g.names.row(t), jen.Qual(t.Package.GoPackage, g.names.newWrites(t)).Call(jen.Id("tx"))})
	}
	return fs.values(jen.Id(g.names.tx(r)))
}
