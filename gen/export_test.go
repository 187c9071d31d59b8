package gen

import "github.com/firefly-go/firefly/idl"

// Statement is one constant of a table, as tests execute it.
type Statement struct{ Field, Name, Text string }

// Statements are the constants of a table, in the order of the generated code.
func Statements(sys *idl.System, t *idl.Table, d SQLDialect, o Options) ([]Statement, error) {
	g, err := newGenerator(sys, o)
	if err != nil {
		return nil, err
	}
	var out []Statement
	for _, s := range statementsOf(g.names, t, d) {
		out = append(out, Statement{s.field, g.names.statement(d, t, s.what), s.text})
	}
	return out, nil
}
