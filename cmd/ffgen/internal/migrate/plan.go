package migrate

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"ariga.io/atlas/sql/migrate"
	"ariga.io/atlas/sql/mysql"
	"ariga.io/atlas/sql/schema"
	"ariga.io/atlas/sql/sqlite"

	"github.com/firefly-go/firefly/gen"
)

// plan writes the statements of the changes of one table.
func (f *differ) plan(d gen.SQLDialect, x *matcher, changes []schema.Change) error {
	if len(changes) == 0 {
		return nil
	}
	for _, c := range changes {
		if c, ok := c.(*schema.ModifyColumn); ok && c.From.Type.Null && !c.To.Type.Null {
			if m := x.model.column(c.To.Name); m != nil && m.Defaults[d] != "" {
				f.step(d, fmt.Sprintf("%s: %s is NULL no longer", x.model.Name, c.To.Name),
					fmt.Sprintf("UPDATE %s SET %s = %s WHERE %s IS NULL", quote(x.have.Name), quote(c.To.Name), m.Defaults[d], quote(c.To.Name)))
			}
		}
	}
	planner := mysql.DefaultPlan
	if d == gen.SQLite {
		planner = sqlite.DefaultPlan
		changes = f.addColumns(x, changes)
	} else {
		x.spell(changes)
	}
	if len(changes) == 0 {
		return nil
	}
	here := func(o *migrate.PlanOptions) { o.SchemaQualifier = new(string) }
	p, err := planner.PlanChanges(f.ctx, "", []schema.Change{&schema.ModifyTable{T: x.want, Changes: changes}}, here)
	if err != nil {
		return err
	}
	if len(p.Changes) == 0 {
		return errors.New("there are changes, and nothing is planned for them")
	}
	text := x.model.Name + ": " + describe(changes)
	for _, c := range p.Changes {
		if strings.HasPrefix(c.Cmd, "PRAGMA ") {
			continue // about foreign keys, which a transaction does not switch
		}
		f.step(d, text, c.Cmd)
		text = ""
	}
	return nil
}

// addColumns adds the columns of a table of SQLite, one by one and without building it anew, and gives
// the changes that are left.
func (f *differ) addColumns(x *matcher, changes []schema.Change) (rest []schema.Change) {
	for _, c := range changes {
		a, ok := c.(*schema.AddColumn)
		if !ok {
			rest = append(rest, c)
			continue
		}
		for i := range x.model.Columns {
			if x.model.Columns[i].Name != a.C.Name {
				continue
			}
			sc := x.model.table.Columns[i]
			if !sc.Nullable && sc.Defaults[gen.SQLite] == "" {
				// A part of a key, which has none; rows that are there need a value all the same.
				sc.Defaults[gen.SQLite] = "0"
				if sc.Types[gen.SQLite] == "TEXT" {
					sc.Defaults[gen.SQLite] = "''"
				}
			}
			f.step(gen.SQLite, x.model.Name+": add "+a.C.Name, fmt.Sprintf("ALTER TABLE %s ADD COLUMN %s", quote(x.have.Name), sc.DDL(gen.SQLite)))
		}
	}
	return rest
}

// spell gives new columns their comments, and all texts quotes that MySQL understands.
func (x *matcher) spell(changes []schema.Change) {
	for _, c := range changes {
		switch c := c.(type) {
		case *schema.AddColumn:
			if s := x.comment(c.C.Name); s != "" {
				c.C.SetComment(gen.QuoteMySQL(s))
			}
		case *schema.ModifyColumn:
			attrs := make([]schema.Attr, len(c.To.Attrs))
			for i, a := range c.To.Attrs {
				if isComment(a) {
					a = &schema.Comment{Text: gen.QuoteMySQL(a.(*schema.Comment).Text)}
				}
				attrs[i] = a
			}
			c.To.Attrs = attrs
			if s := x.comment(c.To.Name); s != "" && !slices.ContainsFunc(attrs, isComment) {
				c.To.SetComment(gen.QuoteMySQL(s))
			}
			if l, ok := c.To.Default.(*schema.Literal); ok && !numeric(c.To) && !strings.HasPrefix(l.V, "'") && !strings.HasPrefix(l.V, `"`) {
				c.To.Default = &schema.Literal{V: gen.QuoteMySQL(l.V)}
			}
		}
	}
}

// comment is that of a declared column.
func (x *matcher) comment(name string) string {
	for i := range x.model.Columns {
		if equalNames(x.model.Columns[i].Name, name) {
			return x.model.table.Columns[i].Comment
		}
	}
	return ""
}

func isComment(a schema.Attr) bool {
	_, ok := a.(*schema.Comment)
	return ok
}

func numeric(c *schema.Column) bool {
	switch c.Type.Type.(type) {
	case *mysql.BitType, *schema.BoolType, *schema.IntegerType, *schema.DecimalType, *schema.FloatType:
		return true
	}
	return false
}

// describe says what changes do, in a few words each.
func describe(changes []schema.Change) string {
	var out []string
	for _, c := range changes {
		switch c := c.(type) {
		case *schema.AddColumn:
			out = append(out, "add "+c.C.Name)
		case *schema.DropColumn:
			out = append(out, "drop "+c.C.Name)
		case *schema.ModifyColumn:
			out = append(out, describeColumn(c))
		case *schema.AddIndex:
			out = append(out, "an index by "+columns(c.I))
		case *schema.DropIndex:
			out = append(out, "no index by "+columns(c.I)+" any more")
		case *schema.ModifyIndex:
			out = append(out, "another index by "+columns(c.To))
		case *schema.AddPrimaryKey, *schema.ModifyPrimaryKey:
			out = append(out, "another key")
		case *schema.ModifyAttr:
			switch to := c.To.(type) {
			case *mysql.Engine:
				out = append(out, "kept by "+to.V)
			case *schema.Charset:
				out = append(out, "character set "+to.V)
			case *schema.Collation:
				out = append(out, "collation "+to.V)
			}
		}
	}
	return strings.Join(out, ", ")
}

func describeColumn(c *schema.ModifyColumn) string {
	var out []string
	if c.Change.Is(schema.ChangeType) {
		out = append(out, fmt.Sprintf("from %s to %s", typeOf(c.From), typeOf(c.To)))
	}
	if c.Change.Is(schema.ChangeNull) {
		out = append(out, map[bool]string{true: "NULL allowed", false: "not NULL"}[c.To.Type.Null])
	}
	if c.Change.Is(schema.ChangeDefault) {
		s, ok := plainExpr(c.To.Default)
		if !ok {
			s = "none"
		} else if s == "" {
			s = "''"
		}
		out = append(out, "default "+s)
	}
	if len(out) == 0 {
		out = append(out, "spelling")
	}
	return c.To.Name + " " + strings.Join(out, " and ")
}

func columns(i *schema.Index) string {
	var out []string
	for _, p := range i.Parts {
		if p.C != nil {
			out = append(out, p.C.Name)
		}
	}
	return strings.Join(out, ", ")
}
