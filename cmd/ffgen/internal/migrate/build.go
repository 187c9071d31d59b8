package migrate

import (
	"fmt"
	"strings"

	"ariga.io/atlas/sql/mysql"
	"ariga.io/atlas/sql/schema"
	"ariga.io/atlas/sql/sqlite"

	"github.com/firefly-go/firefly/gen"
)

// build makes an atlas table of a model. Comments are left out: they are written where a table or a
// column is made, and no change of them is worth an ALTER.
func build(d gen.SQLDialect, s *schema.Schema, m *model) (*schema.Table, error) {
	t := schema.NewTable(m.Name)
	s.AddTables(t)
	for i := range m.Columns {
		c, err := buildColumn(d, &m.Columns[i])
		if err != nil {
			return nil, fmt.Errorf("table %s: %w", m.Name, err)
		}
		t.AddColumns(c)
	}
	name := "PRIMARY"
	if d == gen.MySQL {
		name = "PRI"
		t.AddAttrs(&schema.Charset{V: gen.SQLCharset}, &schema.Collation{V: gen.SQLCollation}, &mysql.Engine{V: gen.SQLEngine, Default: true})
	}
	pk, err := buildIndex(t, name, m.Key, true)
	if err != nil {
		return nil, err
	}
	t.SetPrimaryKey(pk)
	for _, x := range m.Indexes {
		i, err := buildIndex(t, x.Names[d], x.By, x.Unique)
		if err != nil {
			return nil, err
		}
		t.AddIndexes(i)
	}
	return t, nil
}

func buildColumn(d gen.SQLDialect, c *column) (*schema.Column, error) {
	typ, err := parseType(d, c.Types[d])
	if err != nil {
		return nil, fmt.Errorf("column %s: %w", c.Name, err)
	}
	out := &schema.Column{Name: c.Name, Type: &schema.ColumnType{Type: typ, Raw: c.Types[d], Null: c.Null}, Default: expr(c.Defaults[d])}
	if _, ok := typ.(*schema.StringType); ok && d == gen.MySQL {
		out.SetCharset(gen.SQLCharset).SetCollation(gen.SQLCollation)
	}
	switch typ.(type) {
	case *schema.EnumType, *mysql.SetType:
		out.SetCharset(gen.SQLCharset).SetCollation(gen.SQLCollation)
	}
	return out, nil
}

// expr is a default as atlas has it.
func expr(s string) schema.Expr {
	switch {
	case s == "":
		return nil
	case strings.HasPrefix(s, "("), strings.HasPrefix(s, "x'"):
		return &schema.RawExpr{X: s}
	}
	return &schema.Literal{V: s}
}

func parseType(d gen.SQLDialect, s string) (schema.Type, error) {
	// Types are in capitals; values of ENUM and SET stay as they are.
	head, rest, ok := strings.Cut(s, "(")
	raw := strings.ToLower(head)
	switch {
	case ok && strings.Contains(rest, "'"):
		raw += "(" + rest
	case ok:
		raw += "(" + strings.ToLower(rest)
	}
	if d == gen.SQLite {
		return sqlite.ParseType(raw)
	}
	return mysql.ParseType(raw)
}

func buildIndex(t *schema.Table, name string, by []string, unique bool) (*schema.Index, error) {
	x := schema.NewIndex(name).SetUnique(unique)
	for i, n := range by {
		c := findColumn(t, n)
		if c == nil {
			return nil, fmt.Errorf("table %s has an index by %q and no such column", t.Name, n)
		}
		x.Parts = append(x.Parts, &schema.IndexPart{SeqNo: i, C: c})
	}
	return x, nil
}

func findColumn(t *schema.Table, name string) *schema.Column {
	for _, c := range t.Columns {
		if equalNames(c.Name, name) {
			return c
		}
	}
	return nil
}

// equalNames: both dialects find columns without regard to case.
func equalNames(a, b string) bool { return strings.EqualFold(a, b) }
