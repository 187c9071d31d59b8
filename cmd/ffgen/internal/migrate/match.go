package migrate

import (
	"fmt"
	"slices"
	"strings"

	"ariga.io/atlas/sql/mysql"
	"ariga.io/atlas/sql/schema"
	"ariga.io/atlas/sql/sqlite"

	"github.com/firefly-go/firefly/gen"
)

// matcher lays a wanted table over the one that is there: what is not declared is made the same in
// the wanted one, so that a comparison of the two finds nothing but declared changes.
type matcher struct {
	d     gen.SQLDialect
	have  *schema.Table
	want  *schema.Table
	model *model // of want
	old   *model // what the snapshot says of the table; nil when it knows none
	// convert: engine and character set become ours.
	engine, charset bool

	renames [][2]*schema.Column // the column as it was, and as it is called now
	notes   []string
}

func (m *matcher) note(format string, a ...any) { m.notes = append(m.notes, fmt.Sprintf(format, a...)) }

func (m *matcher) match() {
	m.attrs()
	for i, w := range m.want.Columns {
		c := &m.model.Columns[i]
		have := findColumn(m.have, w.Name)
		if was := findColumn(m.have, c.was); have == nil && was != nil && c.was != "" {
			before := *was
			was.Name, have = w.Name, was
			m.renames = append(m.renames, [2]*schema.Column{&before, was})
		}
		if have != nil {
			m.column(have, w, c)
		}
	}
	for _, c := range m.have.Columns {
		if findColumn(m.want, c.Name) != nil || m.old != nil && m.old.column(c.Name) != nil {
			continue
		}
		kept := *c
		kept.Indexes, kept.ForeignKeys = nil, nil
		m.want.AddColumns(&kept)
		if !c.Type.Null && c.Default == nil && !automatic(c) {
			m.note("table %s has a column %s that is not declared, may not be NULL and has no default: new rows will be refused; declare it, or give it a default", m.have.Name, c.Name)
		}
	}
	m.primaryKey()
	m.indexes()
	m.want.ForeignKeys = m.have.ForeignKeys
}

// attrs keeps engine, character set, checks and all else that a table has.
func (m *matcher) attrs() {
	var kept []schema.Attr
	for _, a := range m.have.Attrs {
		switch a := a.(type) {
		case *mysql.Engine:
			if !strings.EqualFold(a.V, gen.SQLEngine) {
				if m.engine {
					kept = append(kept, &mysql.Engine{V: gen.SQLEngine})
					continue
				}
				m.note("table %s is kept by %s, which has no transactions; --allow engine:%s converts it to %s", m.have.Name, a.V, m.have.Name, gen.SQLEngine)
			}
		case *schema.Charset:
			if m.charset {
				kept = append(kept, &schema.Charset{V: gen.SQLCharset})
				continue
			}
			if a.V != gen.SQLCharset {
				m.note("table %s has character set %s and holds nothing else; --allow charset:%s converts it to %s, in which equal means equal bytes", m.have.Name, a.V, m.have.Name, gen.SQLCollation)
			}
		case *schema.Collation:
			if m.charset {
				kept = append(kept, &schema.Collation{V: gen.SQLCollation})
				continue
			}
		}
		kept = append(kept, a)
	}
	m.want.Attrs = kept
}

func (m *matcher) column(have, w *schema.Column, c *column) {
	w.Name = have.Name
	if sameType(m.d, have, w) {
		w.Type.Type, w.Type.Raw = have.Type.Type, have.Type.Raw
	}
	oldDeclared := false
	if m.old != nil {
		if o := m.old.column(have.Name); o != nil {
			oldDeclared = o.Declared
		}
	}
	notNull := have.Type.Null && !w.Type.Null // and so it needs a default now
	if !c.Declared && !oldDeclared && !notNull {
		w.Default = have.Default
	} else if sameDefault(have.Default, w.Default) {
		w.Default = have.Default
	}
	own := w.Attrs
	w.Attrs = nil
	for _, a := range have.Attrs {
		switch a.(type) {
		case *schema.Charset, *schema.Collation:
			if !textual(w) || m.charset {
				continue
			}
		}
		w.Attrs = append(w.Attrs, a)
	}
	if textual(w) && (m.charset || !textual(have)) {
		w.Attrs = append(w.Attrs, own...)
	}
}

// textual columns have a character set.
func textual(c *schema.Column) bool {
	switch c.Type.Type.(type) {
	case *schema.StringType, *schema.EnumType, *mysql.SetType:
		return true
	}
	return false
}

// automatic columns get their values from MySQL.
func automatic(c *schema.Column) bool {
	return slices.ContainsFunc(c.Attrs, func(a schema.Attr) bool {
		switch a.(type) {
		case *mysql.AutoIncrement, *schema.GeneratedExpr:
			return true
		}
		return false
	})
}

// sameDefault compares without quotes and brackets: '0' is 0, and (”) is ”.
func sameDefault(a, b schema.Expr) bool {
	x, okA := plainExpr(a)
	y, okB := plainExpr(b)
	return okA == okB && x == y
}

func plainExpr(e schema.Expr) (string, bool) {
	s := ""
	switch e := e.(type) {
	case *schema.Literal:
		s = e.V
	case *schema.RawExpr:
		s = e.X
	default:
		return "", false
	}
	for len(s) > 1 && s[0] == '(' && s[len(s)-1] == ')' {
		s = s[1 : len(s)-1]
	}
	s = strings.TrimPrefix(strings.TrimPrefix(s, "_utf8mb4"), "b'")
	if len(s) > 1 && s[0] == '\'' && s[len(s)-1] == '\'' {
		s = strings.ReplaceAll(s[1:len(s)-1], "''", "'")
		s = strings.ReplaceAll(s, `\'`, "'")
	}
	return strings.TrimSuffix(s, "'"), true
}

func (m *matcher) primaryKey() {
	have, want := m.have.PrimaryKey, m.want.PrimaryKey
	if have == nil || !m.sameParts(have, want) {
		return
	}
	want.Name, want.Attrs, want.Unique = have.Name, have.Attrs, have.Unique
	for i := range want.Parts {
		want.Parts[i].Attrs, want.Parts[i].SeqNo, want.Parts[i].Desc = have.Parts[i].Attrs, have.Parts[i].SeqNo, have.Parts[i].Desc
	}
}

// sameParts: the same whole columns in the same order. An index by the first characters of a column,
// or by an expression, is none that can be declared.
func (m *matcher) sameParts(have, want *schema.Index) bool {
	return slices.EqualFunc(have.Parts, want.Parts, func(a, b *schema.IndexPart) bool {
		return a.C != nil && b.C != nil && equalNames(a.C.Name, b.C.Name) && !prefix(a)
	})
}

func prefix(p *schema.IndexPart) bool {
	return slices.ContainsFunc(p.Attrs, func(x schema.Attr) bool { _, ok := x.(*mysql.SubPart); return ok })
}

// plainIndex: by whole columns, and neither FULLTEXT nor SPATIAL nor partial.
func plainIndex(x *schema.Index) bool {
	if slices.ContainsFunc(x.Parts, prefix) {
		return false
	}
	for _, a := range x.Attrs {
		switch a := a.(type) {
		case *mysql.IndexType:
			if a.T == mysql.IndexTypeFullText || a.T == mysql.IndexTypeSpatial {
				return false
			}
		case *sqlite.IndexPredicate:
			return false
		}
	}
	return true
}

func (m *matcher) indexes() {
	used := map[*schema.Index]bool{}
	for _, w := range m.want.Indexes {
		for _, h := range m.have.Indexes {
			if !used[h] && h.Unique == w.Unique && plainIndex(h) && m.sameParts(h, w) {
				used[h] = true
				w.Name, w.Attrs = h.Name, h.Attrs
				for i := range w.Parts {
					w.Parts[i].Attrs, w.Parts[i].SeqNo, w.Parts[i].Desc = h.Parts[i].Attrs, h.Parts[i].SeqNo, h.Parts[i].Desc
				}
				break
			}
		}
	}
	for _, h := range m.have.Indexes {
		if used[h] || m.owned(h) {
			continue
		}
		// Nobody declared it: it stays, and what is declared gets another name where they meet.
		for _, w := range m.want.Indexes {
			if equalNames(w.Name, h.Name) {
				w.Name += "_ff"
			}
		}
		kept := *h
		kept.Parts = nil
		for _, p := range h.Parts {
			q := *p
			if p.C != nil {
				if q.C = findColumn(m.want, p.C.Name); q.C == nil {
					break // its column goes, and so does the index
				}
			}
			kept.Parts = append(kept.Parts, &q)
		}
		if len(kept.Parts) == len(h.Parts) {
			m.want.AddIndexes(&kept)
		}
	}
}

// owned: the snapshot says that it was declared, and it is no longer. Where it still is, x is a second
// one by the same columns.
func (m *matcher) owned(x *schema.Index) bool {
	if m.old == nil || !plainIndex(x) || slices.ContainsFunc(m.want.Indexes, func(w *schema.Index) bool { return w.Unique == x.Unique && m.sameParts(x, w) }) {
		return false
	}
	var by []string
	for _, p := range x.Parts {
		if p.C == nil {
			return false
		}
		by = append(by, p.C.Name)
	}
	if m.old.hasIndex(by, x.Unique) {
		return true
	}
	// A renamed column is called in the snapshot what it was.
	for i, n := range by {
		for _, r := range m.renames {
			if equalNames(n, r[1].Name) {
				by[i] = r[0].Name
			}
		}
	}
	return m.old.hasIndex(by, x.Unique)
}
