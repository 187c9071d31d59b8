package ddl

import (
	"slices"
	"strings"
)

// alter reads ALTER TABLE, by which phpMyAdmin adds keys.
func (p *parser) alter(line int) {
	p.shift()
	for p.accept("ONLINE") || p.accept("IGNORE") {
	}
	if !p.accept("TABLE") {
		if !p.tok.is("DATABASE", "SCHEMA") {
			p.note(line, "ALTER %s is not understood", strings.ToUpper(p.tok.s))
		}
		return
	}
	p.accept("IF", "EXISTS")
	n, _ := p.name()
	t := p.out.Table(n)
	if t == nil {
		p.note(line, "the file alters table %s, which it does not make", n)
		return
	}
	for p.tok.kind != end {
		p.forward(func() { p.alteration(t) })
		if p.tok.kind == end {
			break
		}
		if !p.accept(",") {
			t.note(p.tok.line, "%q is not understood", p.tok.s)
			p.shift()
		}
	}
	t.settle()
}

func (p *parser) alteration(t *Table) {
	line := p.tok.line
	switch {
	case p.accept("ADD"):
		p.add(t)
	case p.accept("MODIFY"):
		p.change(t, line, "")
	case p.accept("CHANGE"):
		p.accept("COLUMN")
		was, _ := p.name()
		p.change(t, line, was)
	case p.accept("DROP"):
		p.dropPart(t, line)
	case p.tok.is("ENABLE", "DISABLE"):
		p.shift()
		p.accept("KEYS")
	case p.tok.is("ENGINE", "TYPE", "AUTO_INCREMENT", "COMMENT", "DEFAULT", "CHARACTER", "CHARSET", "COLLATE", "ROW_FORMAT"):
		p.option(t)
	case p.accept("CONVERT", "TO"):
		p.option(t)
	default:
		t.note(line, "ALTER TABLE ... %s is not understood", strings.ToUpper(p.tok.s))
		p.part()
	}
}

// part passes over one alteration.
func (p *parser) part() {
	for p.tok.kind != end && !p.tok.is(",") {
		if p.tok.is("(") {
			p.brackets()
		} else {
			p.shift()
		}
	}
}

func (p *parser) add(t *Table) {
	if p.accept("COLUMN") {
		p.accept("IF", "NOT", "EXISTS")
	}
	if !p.tok.is("(") {
		p.definition(t)
		p.position()
		return
	}
	p.shift()
	for p.tok.kind != end && !p.tok.is(")") {
		p.forward(func() { p.definition(t) })
		if !p.accept(",") && !p.tok.is(")") {
			p.toComma()
			p.accept(",")
		}
	}
	p.accept(")")
}

// position passes over FIRST and AFTER c.
func (p *parser) position() {
	if p.accept("AFTER") {
		p.name()
	}
	p.accept("FIRST")
}

func (p *parser) change(t *Table, line int, was string) {
	p.accept("COLUMN")
	p.accept("IF", "EXISTS")
	c := p.column(t)
	p.position()
	if c == nil {
		return
	}
	if was == "" {
		was = c.Name
	}
	i := slices.IndexFunc(t.Columns, func(o *Column) bool { return equal(o.Name, was) })
	if i < 0 {
		t.note(line, "the file changes column %s, which the table has not", was)
		return
	}
	old := t.Columns[i]
	c.Line = old.Line
	t.Columns[i] = c
	if c.Comment == "" && equal(was, c.Name) {
		c.Comment = old.Comment
	}
	for _, x := range append(t.Indexes[:len(t.Indexes):len(t.Indexes)], t.Key) {
		if x == nil {
			continue
		}
		for j := range x.Parts {
			if equal(x.Parts[j].Column, was) {
				x.Parts[j].Column = c.Name
			}
		}
	}
}

func (p *parser) dropPart(t *Table, line int) {
	switch {
	case p.accept("PRIMARY", "KEY"):
		t.Key = nil
	case p.accept("INDEX"), p.accept("KEY"):
		p.accept("IF", "EXISTS")
		n, _ := p.name()
		t.Indexes = slices.DeleteFunc(t.Indexes, func(x *Index) bool { return equal(x.Name, n) })
	case p.tok.is("FOREIGN", "CONSTRAINT", "CHECK", "PARTITION"):
		t.note(line, "DROP %s is not understood", strings.ToUpper(p.tok.s))
		p.part()
	default:
		p.accept("COLUMN")
		p.accept("IF", "EXISTS")
		n, _ := p.name()
		t.Columns = slices.DeleteFunc(t.Columns, func(c *Column) bool { return equal(c.Name, n) })
	}
}
