package ddl

import "strings"

func (p *parser) createTable(line int) {
	p.accept("IF", "NOT", "EXISTS")
	n, ok := p.name()
	if !ok {
		p.note(line, "a table without a name")
		return
	}
	if p.out.Table(n) != nil {
		p.note(line, "table %s stands twice in the file; the first one is read", n)
		return
	}
	if !p.tok.is("(") {
		p.note(line, "table %s is made from another one (%s), which is not read", n, strings.ToUpper(p.tok.s))
		return
	}
	p.shift()
	if p.tok.is("LIKE") {
		p.note(line, "table %s is made from another one (LIKE), which is not read", n)
		return
	}
	t := &Table{Name: n, Line: line}
	p.out.Tables = append(p.out.Tables, t)
	for p.tok.kind != end && !p.tok.is(")") {
		p.forward(func() { p.definition(t) })
		if p.tok.is(",") {
			p.shift()
		} else if p.tok.kind != end && !p.tok.is(")") {
			t.note(p.tok.line, "%q is not understood", p.tok.s)
			p.toComma()
			p.accept(",")
		}
	}
	if p.tok.kind == end {
		t.note(p.tok.line, "the brackets of the table are not closed")
	} else {
		p.shift()
		p.options(t)
	}
	t.settle()
}

// settle puts what columns say of keys where it belongs.
func (t *Table) settle() {
	for _, c := range t.Columns {
		if c.primary && t.Key == nil {
			t.Key = &Index{Line: c.Line, Parts: []Part{{Column: c.Name}}, Unique: true}
		}
		if c.unique {
			c.unique = false
			t.Indexes = append(t.Indexes, &Index{Name: c.Name, Line: c.Line, Parts: []Part{{Column: c.Name}}, Unique: true})
		}
	}
	if t.Key != nil {
		for _, part := range t.Key.Parts {
			if c := t.Column(part.Column); c != nil {
				c.NotNull = true
			}
		}
	}
}

// definition reads one part of a table: a column, a key, an index or a constraint.
func (p *parser) definition(t *Table) {
	line := p.tok.line
	symbol := false
	if p.tok.is("CONSTRAINT") {
		p.shift()
		symbol = true
		if !p.tok.is("PRIMARY", "UNIQUE", "FOREIGN", "CHECK") {
			p.name()
		}
	}
	switch {
	case p.tok.is("PRIMARY"):
		p.shift()
		p.accept("KEY")
		t.Key = p.index(t, line, true, "")
	case p.tok.is("UNIQUE"):
		p.shift()
		_ = p.accept("KEY") || p.accept("INDEX")
		t.Indexes = append(t.Indexes, p.index(t, line, true, ""))
	case p.tok.is("FULLTEXT", "SPATIAL"):
		kind := strings.ToUpper(p.shift().s)
		_ = p.accept("KEY") || p.accept("INDEX")
		t.Indexes = append(t.Indexes, p.index(t, line, false, kind))
	case p.tok.is("KEY", "INDEX"):
		p.shift()
		t.Indexes = append(t.Indexes, p.index(t, line, false, ""))
	case p.tok.is("FOREIGN"):
		p.shift()
		p.accept("KEY")
		p.foreignKey(t, line)
	case p.tok.is("CHECK"):
		p.shift()
		p.check(t, nil, line)
	case p.tok.is("PERIOD"):
		t.note(line, "the table keeps its history (PERIOD)")
		p.toComma()
	case symbol:
		t.note(line, "a constraint is not understood")
		p.toComma()
	default:
		if c := p.column(t); c != nil {
			if t.Column(c.Name) != nil {
				t.note(line, "column %s stands twice; the first one is read", c.Name)
				return
			}
			t.Columns = append(t.Columns, c)
		}
	}
}

// index reads the name and the columns of an index, with what is said about it.
func (p *parser) index(t *Table, line int, unique bool, kind string) *Index {
	x := &Index{Line: line, Unique: unique, Kind: kind}
	p.accept("IF", "NOT", "EXISTS")
	if !p.tok.is("(", "USING") {
		x.Name, _ = p.name()
	}
	p.using()
	if !p.tok.is("(") {
		t.note(line, "index %s names no columns", x.Name)
		p.toComma()
		return x
	}
	x.Parts = p.parts()
	for p.tok.kind != end && !p.tok.is(",", ")") {
		switch {
		case p.using():
		case p.accept("COMMENT"), p.accept("KEY_BLOCK_SIZE"), p.accept("WITH", "PARSER"):
			p.accept("=")
			p.shift()
		case p.accept("VISIBLE"), p.accept("NOT", "IGNORED"):
		case p.tok.is("INVISIBLE", "IGNORED"):
			p.shift()
			t.note(line, "index %s is switched off", x.Name)
		default:
			t.note(line, "index %s: %q is not understood", x.Name, p.tok.s)
			p.toComma()
		}
	}
	return x
}

func (p *parser) using() bool {
	if !p.tok.is("USING") {
		return false
	}
	p.shift()
	p.shift()
	return true
}

// parts reads ( a, b(10), c DESC ).
func (p *parser) parts() (out []Part) {
	p.shift()
	for p.tok.kind != end && !p.tok.is(")") {
		var part Part
		if p.tok.is("(") {
			part.Expr = true
			p.brackets()
		} else if n, ok := p.name(); ok {
			part.Column = n
			if p.tok.is("(") {
				part.Prefix = true
				p.brackets()
			}
		} else {
			part.Expr = true
		}
		if p.accept("DESC") {
			part.Desc = true
		}
		p.accept("ASC")
		if !p.tok.is(",", ")") {
			part.Expr = true
			p.toComma()
		}
		out = append(out, part)
		p.accept(",")
	}
	p.accept(")")
	return out
}

func (p *parser) foreignKey(t *Table, line int) {
	f := &Foreign{Line: line}
	p.accept("IF", "NOT", "EXISTS")
	if !p.tok.is("(") {
		p.name()
	}
	if p.tok.is("(") {
		for _, part := range p.parts() {
			f.By = append(f.By, part.Column)
		}
	}
	if p.accept("REFERENCES") {
		f.Table, _ = p.name()
	}
	p.toComma()
	t.Foreign = append(t.Foreign, f)
}

// check reads CHECK ( ... ); the word is read already. json_valid is how MariaDB says JSON.
func (p *parser) check(t *Table, c *Column, line int) {
	var words []string
	depth := 0
	for p.tok.kind != end {
		if p.tok.is("(") {
			depth++
		} else if p.tok.is(")") {
			depth--
		} else {
			words = append(words, p.tok.s)
		}
		p.shift()
		if depth <= 0 {
			break
		}
	}
	_ = p.accept("NOT", "ENFORCED") || p.accept("ENFORCED")
	if len(words) == 2 && equal(words[0], "json_valid") {
		if c == nil || !equal(c.Name, words[1]) {
			c = t.Column(words[1])
		}
		if c != nil {
			c.JSON = true
			return
		}
	}
	if len(words) > 12 {
		words = append(words[:12:12], "...")
	}
	t.note(line, "a check stays in the database and is not known to the game: %s", strings.Join(words, " "))
}

// options reads what stands behind the columns.
func (p *parser) options(t *Table) {
	for p.tok.kind != end {
		line := p.tok.line
		switch {
		case p.accept(","):
		case p.tok.is("PARTITION"):
			t.note(line, "the table is partitioned")
			p.rest()
		case p.tok.is("AS", "SELECT", "IGNORE", "REPLACE", "(", ")"):
			t.note(line, "%q is not understood", p.tok.s)
			p.rest()
		case p.tok.kind != word:
			p.shift()
		default:
			p.forward(func() { p.option(t) })
		}
	}
}

func (p *parser) rest() {
	for p.tok.kind != end {
		p.shift()
	}
}

func (p *parser) option(t *Table) {
	n := strings.ToUpper(p.shift().s)
	if n == "DEFAULT" && p.tok.kind == word {
		n = strings.ToUpper(p.shift().s)
	}
	switch {
	case n == "CHARACTER" && p.tok.is("SET"):
		p.shift()
		n = "CHARSET"
	case (n == "DATA" || n == "INDEX") && p.tok.is("DIRECTORY"):
		p.shift()
		n += " DIRECTORY"
	case n == "WITH" && p.accept("SYSTEM", "VERSIONING"):
		t.note(p.tok.line, "the table keeps its history (WITH SYSTEM VERSIONING)")
		return
	}
	p.accept("=")
	if p.tok.kind == end || p.tok.is(",") {
		return
	}
	v := ""
	if p.tok.is("(") {
		p.brackets()
	} else {
		v = p.shift().s
	}
	switch n {
	case "ENGINE", "TYPE":
		t.Engine = v
	case "CHARSET":
		t.Charset = strings.ToLower(v)
	case "COLLATE":
		if cs, _, ok := strings.Cut(strings.ToLower(v), "_"); ok && t.Charset == "" {
			t.Charset = cs
		}
	case "COMMENT":
		t.Comment = v
		return
	}
	t.Options = append(t.Options, Option{n, v})
}

// createIndex reads CREATE UNIQUE INDEX a ON t (b).
func (p *parser) createIndex(line int) {
	x := &Index{Line: line}
	for !p.tok.is("INDEX") && p.tok.kind != end {
		switch w := strings.ToUpper(p.shift().s); w {
		case "UNIQUE":
			x.Unique = true
		case "FULLTEXT", "SPATIAL":
			x.Kind = w
		}
	}
	p.accept("INDEX")
	p.accept("IF", "NOT", "EXISTS")
	x.Name, _ = p.name()
	p.using()
	if !p.accept("ON") {
		p.note(line, "index %s names no table", x.Name)
		return
	}
	n, _ := p.name()
	t := p.out.Table(n)
	if t == nil {
		p.note(line, "index %s is on table %s, which the file does not make", x.Name, n)
		return
	}
	if !p.tok.is("(") {
		t.note(line, "index %s names no columns", x.Name)
		return
	}
	x.Parts = p.parts()
	t.Indexes = append(t.Indexes, x)
}
