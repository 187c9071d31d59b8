package ddl

import "strings"

// column reads a column; nil when it is none.
func (p *parser) column(t *Table) *Column {
	c := &Column{Line: p.tok.line}
	var ok bool
	if c.Name, ok = p.name(); !ok {
		t.note(p.tok.line, "%q is not understood", p.tok.s)
		if p.tok.kind != end && !p.tok.is(",", ")") {
			p.shift()
		}
		p.toComma()
		return nil
	}
	if p.tok.kind != word {
		t.note(c.Line, "column %s has no type", c.Name)
		p.toComma()
		return nil
	}
	p.columnType(c)
	for p.tok.kind != end && !p.tok.is(",", ")", "AFTER", "FIRST") {
		p.forward(func() { p.attribute(t, c) })
	}
	return c
}

func (p *parser) columnType(c *Column) {
	c.Type = strings.ToUpper(p.shift().s)
	switch {
	case c.Type == "DOUBLE":
		p.accept("PRECISION")
	case c.Type == "NATIONAL":
		c.Type = strings.ToUpper(p.shift().s)
		if p.accept("VARYING") {
			c.Type = "VARCHAR"
		}
	case (c.Type == "CHARACTER" || c.Type == "CHAR") && p.accept("VARYING"):
		c.Type = "VARCHAR"
	case c.Type == "LONG":
		c.Type = "MEDIUMTEXT"
		if p.accept("VARBINARY") {
			c.Type = "MEDIUMBLOB"
		} else {
			p.accept("VARCHAR")
		}
	case c.Type == "SERIAL":
		c.Type, c.Unsigned, c.NotNull, c.AutoInc, c.unique = "BIGINT", true, true, true, true
	}
	if same := typeNames[c.Type]; same != "" {
		c.Type = same
	}
	if !p.tok.is("(") {
		return
	}
	p.shift()
	for p.tok.kind != end && !p.tok.is(")") {
		if p.tok.is("(") {
			p.brackets()
			continue
		}
		if tok := p.shift(); tok.kind == number || tok.kind == text || tok.kind == word {
			c.Args = append(c.Args, tok.s)
		}
	}
	p.accept(")")
}

// typeNames are other spellings of types.
var typeNames = map[string]string{
	"INTEGER": "INT", "INT1": "TINYINT", "INT2": "SMALLINT", "INT3": "MEDIUMINT", "INT4": "INT", "INT8": "BIGINT", "MIDDLEINT": "MEDIUMINT",
	"REAL": "DOUBLE", "FLOAT4": "FLOAT", "FLOAT8": "DOUBLE", "NUMERIC": "DECIMAL", "DEC": "DECIMAL", "FIXED": "DECIMAL",
	"CHARACTER": "CHAR", "NCHAR": "CHAR", "NVARCHAR": "VARCHAR", "VARCHARACTER": "VARCHAR",
}

// attribute reads one attribute of a column.
func (p *parser) attribute(t *Table, c *Column) {
	line := p.tok.line
	switch {
	case p.accept("UNSIGNED"), p.accept("ZEROFILL"):
		c.Unsigned = true
	case p.accept("SIGNED"), p.accept("ASCII"), p.accept("UNICODE"), p.accept("BINARY"), p.accept("BYTE"):
	case p.accept("NOT", "NULL"):
		c.NotNull = true
	case p.accept("NULL"):
		c.NotNull = false
	case p.accept("CHARACTER", "SET"), p.accept("CHARSET"):
		p.accept("=")
		c.Charset = strings.ToLower(p.shift().s)
	case p.accept("COLLATE"):
		p.accept("=")
		if cs, _, ok := strings.Cut(strings.ToLower(p.shift().s), "_"); ok && c.Charset == "" {
			c.Charset = cs
		}
	case p.accept("AUTO_INCREMENT"):
		c.AutoInc = true
	case p.accept("COMMENT"):
		p.accept("=")
		c.Comment = p.shift().s
	case p.accept("PRIMARY"):
		p.accept("KEY")
		c.primary, c.NotNull = true, true
	case p.accept("UNIQUE"):
		p.accept("KEY")
		c.unique = true
	case p.accept("KEY"):
		c.primary, c.NotNull = true, true
	case p.accept("SERIAL", "DEFAULT", "VALUE"):
		c.NotNull, c.AutoInc, c.unique = true, true, true
	case p.accept("DEFAULT"):
		c.Default = p.defaultValue()
	case p.accept("ON", "UPDATE"):
		c.OnUpdate = true
		p.shift()
		if p.tok.is("(") {
			p.brackets()
		}
	case p.tok.is("GENERATED", "AS"):
		if p.shift().is("GENERATED") {
			p.accept("ALWAYS")
			p.accept("AS")
		}
		c.Generated = true
		if p.tok.is("(") {
			p.brackets()
		}
		_ = p.accept("VIRTUAL") || p.accept("STORED") || p.accept("PERSISTENT")
	case p.accept("CHECK"):
		p.check(t, c, line)
	case p.tok.is("CONSTRAINT"):
		p.shift()
		if !p.tok.is("CHECK", "UNIQUE", "PRIMARY") {
			p.name()
		}
	case p.accept("REFERENCES"):
		// MySQL reads this and does nothing about it; MariaDB keeps it.
		f := &Foreign{Line: line, By: []string{c.Name}}
		f.Table, _ = p.name()
		for p.tok.kind != end && !p.tok.is(",", ")") {
			if p.tok.is("(") {
				p.brackets()
			} else {
				p.shift()
			}
		}
		t.Foreign = append(t.Foreign, f)
	case p.accept("COLUMN_FORMAT"), p.accept("STORAGE"):
		p.shift()
	case p.accept("VISIBLE"):
	case p.accept("INVISIBLE"):
		t.note(line, "column %s is invisible, which says nothing to a game", c.Name)
	case p.tok.is("("):
		t.note(line, "column %s: brackets are not understood", c.Name)
		p.brackets()
	default:
		t.note(line, "column %s: %q is not understood", c.Name, p.tok.s)
		p.shift()
	}
}

func (p *parser) defaultValue() *Default {
	d := &Default{}
	if p.tok.is("-", "+") {
		sign := p.shift().s
		if p.tok.kind != number {
			d.Expr = true
		}
		if d.Text = p.shift().s; sign == "-" {
			d.Text = "-" + d.Text
		}
		return d
	}
	switch tok := p.tok; {
	case tok.is("("):
		// ('') and (5) are what they are without brackets.
		start := p.scanner
		p.shift()
		inner := p.shift()
		if p.tok.is(")") && (inner.kind == text || inner.kind == number) {
			p.shift()
			d.Text, d.Quote = inner.s, inner.kind == text
			return d
		}
		p.scanner, p.tok = start, tok
		p.brackets()
		d.Expr, d.Text = true, "an expression"
	case tok.is("NULL"):
		p.shift()
		d.Null = true
	case tok.is("b", "x", "_utf8mb4", "_utf8", "_latin1", "_utf8mb3", "_binary", "n"):
		p.shift()
		if p.tok.kind != text {
			d.Expr, d.Text = true, tok.s
			return d
		}
		d.Text, d.Quote = p.shift().s, true
		if tok.is("b", "x") {
			d.Text, d.Quote = strings.ToLower(tok.s)+"'"+d.Text+"'", false
		}
	case tok.kind == text, tok.kind == number:
		p.shift()
		d.Text, d.Quote = tok.s, tok.kind == text
	case tok.is("TRUE", "FALSE"):
		p.shift()
		d.Text = map[bool]string{true: "1", false: "0"}[tok.is("TRUE")]
	case tok.kind == end:
	default:
		p.shift()
		d.Expr, d.Text = true, strings.ToUpper(tok.s)
		if p.tok.is("(") {
			p.brackets()
		}
	}
	return d
}
