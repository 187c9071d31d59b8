package migrate

import (
	"fmt"
	"slices"
	"strings"

	"ariga.io/atlas/sql/schema"

	"github.com/firefly-go/firefly/gen"
	"github.com/firefly-go/firefly/idl"
)

// judge asks of each change whether it may be done, and gives those that may.
func (f *differ) judge(d gen.SQLDialect, x *matcher, changes []schema.Change) ([]schema.Change, error) {
	var out []schema.Change
	for _, c := range changes {
		ok, err := f.judgeOne(d, x, c, changes)
		if err != nil {
			return nil, err
		}
		if ok {
			out = append(out, c)
		}
	}
	return out, nil
}

func (f *differ) judgeOne(d gen.SQLDialect, x *matcher, c schema.Change, all []schema.Change) (bool, error) {
	t := x.model.Name
	switch c := c.(type) {
	case *schema.DropColumn:
		text := fmt.Sprintf("column %s.%s is no longer declared and would be dropped with all its values", t, c.C.Name)
		for _, other := range all {
			if a, ok := other.(*schema.AddColumn); ok && sameType(d, c.C, a.C) {
				text += fmt.Sprintf(" (if it is called %s now, say so at that field: [(firefly.v1.column).was = %q])", a.C.Name, c.C.Name)
				break
			}
		}
		return f.may("drop:"+t+"."+c.C.Name, idl.Pos{}, text), nil
	case *schema.ModifyColumn:
		return f.judgeColumn(d, x, c)
	case *schema.AddIndex:
		return f.judgeUnique(d, x, c.I)
	case *schema.ModifyIndex:
		return f.judgeUnique(d, x, c.To)
	case *schema.AddPrimaryKey:
		return f.judgeKey(x, nil, c.P), nil
	case *schema.ModifyPrimaryKey:
		return f.judgeKey(x, c.From, c.To), nil
	}
	return true, nil
}

func (f *differ) judgeColumn(d gen.SQLDialect, x *matcher, c *schema.ModifyColumn) (bool, error) {
	t, pos := x.model.Name, idl.Pos{}
	if m := x.model.column(c.To.Name); m != nil {
		pos = m.pos
	}
	if d == gen.MySQL && x.model.Adopted && f.o.Live[d] == nil {
		// MODIFY says a column anew, and the snapshot does not know all of it.
		f.result.Refused = append(f.result.Refused, Refusal{Pos: pos, Text: fmt.Sprintf("column %s.%s changes in a table that was there before the game: compare with the database (--mysql), so that what is not declared of the column stays, such as AUTO_INCREMENT and its character set", t, c.To.Name)})
		return false, nil
	}
	if c.Change.Is(schema.ChangeType) && d == gen.MySQL {
		if from, to := typeOf(c.From), typeOf(c.To); !holds(to, from) &&
			!f.may("narrow:"+t+"."+c.To.Name, pos, fmt.Sprintf("column %s.%s would go from %s to %s, which does not hold all values of it", t, c.To.Name, from, to)) {
			return false, nil
		}
	}
	if c.Change.Is(schema.ChangeType) && d == gen.SQLite &&
		!f.may("narrow:"+t+"."+c.To.Name, pos, fmt.Sprintf("column %s.%s would go from %s to %s", t, c.To.Name, strings.ToUpper(c.From.Type.Raw), strings.ToUpper(c.To.Type.Raw))) {
		return false, nil
	}
	if c.From.Type.Null && !c.To.Type.Null {
		some := true
		if f.o.Live[d] != nil {
			var err error
			// A column that was renamed on the way is still called what it was.
			if some, err = f.exists(d, fmt.Sprintf("SELECT 1 FROM %s WHERE %s IS NULL LIMIT 1", quote(x.have.Name), quote(x.before(c.From.Name)))); err != nil {
				return false, err
			}
		}
		if some && !f.may("notnull:"+t+"."+c.To.Name, pos, fmt.Sprintf("column %s.%s would no longer be NULL, and rows that have NULL there get the default", t, c.To.Name)) {
			return false, nil
		}
	}
	return true, nil
}

// before is what a column is called in the database before the renames of this run.
func (m *matcher) before(name string) string {
	for _, r := range m.renames {
		if equalNames(r[1].Name, name) {
			return r[0].Name
		}
	}
	return name
}

// judgeUnique looks whether rows are in the way of a unique index. Where it cannot look, the statement
// itself fails on such rows and changes nothing.
func (f *differ) judgeUnique(d gen.SQLDialect, x *matcher, i *schema.Index) (bool, error) {
	if !i.Unique {
		return true, nil
	}
	var names, before []string
	for _, p := range i.Parts {
		if p.C == nil {
			return true, nil
		}
		names = append(names, p.C.Name)
		if findColumn(x.have, p.C.Name) == nil {
			f.result.note("table %s gets a unique index by %s, a new column that is the same in all its rows: the migration fails where there are several", x.model.Name, p.C.Name)
			return true, nil
		}
		before = append(before, quote(x.before(p.C.Name)))
	}
	by := strings.Join(before, ", ")
	query := fmt.Sprintf("SELECT %s FROM %s GROUP BY %s HAVING COUNT(*) > 1 LIMIT 1", by, quote(x.have.Name), by)
	if f.o.Live[d] == nil {
		f.result.note("table %s gets a unique index by %s; the migration fails where rows are in the way, which this finds: %s", x.model.Name, strings.Join(names, ", "), query)
		return true, nil
	}
	some, err := f.exists(d, query)
	if err != nil || !some {
		return err == nil, err
	}
	pos := idl.Pos{}
	for _, m := range x.model.Indexes {
		if m.Unique && slices.EqualFunc(m.By, names, equalNames) {
			pos = m.pos
		}
	}
	f.result.Refused = append(f.result.Refused, Refusal{Pos: pos, Text: fmt.Sprintf("table %s cannot get a unique index by %s: there are rows with the same values, which this finds: %s", x.model.Name, strings.Join(names, ", "), query)})
	return false, nil
}

func (r *Result) note(format string, a ...any) {
	s := fmt.Sprintf(format, a...)
	if !slices.Contains(r.Notes, s) {
		r.Notes = append(r.Notes, s)
	}
}

func (f *differ) judgeKey(x *matcher, from, to *schema.Index) bool {
	names := func(i *schema.Index) string {
		if i == nil {
			return "nothing"
		}
		var out []string
		for _, p := range i.Parts {
			if p.C != nil {
				out = append(out, p.C.Name)
			}
		}
		return strings.Join(out, ", ")
	}
	return f.may("key:"+x.model.Name, x.model.table.Table.Pos, fmt.Sprintf("the key of table %s would go from %s to %s; stop all nodes first, since rows are cached by their key", x.model.Name, names(from), names(to)))
}
