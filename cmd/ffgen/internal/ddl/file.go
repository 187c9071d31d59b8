package ddl

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding/simplifiedchinese"
)

// Parse reads a schema file. A file that is no UTF-8 is read as GB 18030, of which GBK and GB 2312 are
// parts.
func Parse(src []byte) *Schema {
	src = bytes.TrimPrefix(src, []byte("\xef\xbb\xbf"))
	s := parse(src)
	if s.valid() {
		return s
	}
	if out, err := simplifiedchinese.GB18030.NewDecoder().Bytes(src); err == nil {
		if again := parse(out); again.valid() {
			again.Notes = append([]Note{{1, "the file is no UTF-8; it was read as GBK"}}, again.Notes...)
			return again
		}
	}
	s.Notes = append([]Note{{1, "the file is neither UTF-8 nor GBK; what cannot be read is left out of names and comments"}}, s.Notes...)
	s.clean()
	return s
}

// texts calls f with all names and texts.
func (s *Schema) texts(f func(*string)) {
	for i := range s.Notes {
		f(&s.Notes[i].Text)
	}
	for _, t := range s.Tables {
		f(&t.Name)
		f(&t.Comment)
		f(&t.Engine)
		f(&t.Charset)
		for i := range t.Notes {
			f(&t.Notes[i].Text)
		}
		for i := range t.Options {
			f(&t.Options[i].Name)
			f(&t.Options[i].Value)
		}
		for _, c := range t.Columns {
			f(&c.Name)
			f(&c.Comment)
			f(&c.Type)
			f(&c.Charset)
			for i := range c.Args {
				f(&c.Args[i])
			}
			if c.Default != nil {
				f(&c.Default.Text)
			}
		}
		for _, x := range append(t.Indexes[:len(t.Indexes):len(t.Indexes)], t.Key) {
			if x == nil {
				continue
			}
			f(&x.Name)
			for i := range x.Parts {
				f(&x.Parts[i].Column)
			}
		}
		for _, x := range t.Foreign {
			f(&x.Table)
			for i := range x.By {
				f(&x.By[i])
			}
		}
	}
}

func (s *Schema) valid() bool {
	ok := true
	s.texts(func(p *string) { ok = ok && utf8.ValidString(*p) && !strings.ContainsRune(*p, utf8.RuneError) })
	return ok
}

func (s *Schema) clean() { s.texts(func(p *string) { *p = strings.ToValidUTF8(*p, "") }) }

// parser reads statements.
type parser struct {
	scanner
	tok   token // the present one
	read  int   // how many tokens were taken
	out   *Schema
	delim string
}

func parse(src []byte) *Schema {
	p := &parser{scanner: scanner{src: src, line: 1}, out: &Schema{}, delim: ";"}
	for {
		p.skip()
		if p.pos >= len(p.src) {
			if p.unclosed > 0 {
				p.note(p.unclosed, "a quote is not closed; what follows is lost")
			}
			return p.out
		}
		if p.delim != ";" {
			p.foreign()
			continue
		}
		was := p.pos
		p.statement()
		if p.pos == was {
			p.advance(1) // never stand still
		}
	}
}

func (p *parser) note(line int, format string, a ...any) {
	p.out.Notes = append(p.out.Notes, Note{line, fmt.Sprintf(format, a...)})
}

// foreign passes over a statement that ends with a delimiter of its own: the body of a trigger or a
// procedure.
func (p *parser) foreign() {
	line := p.line
	n := bytes.Index(p.src[p.pos:], []byte(p.delim))
	body := p.src[p.pos:]
	if n >= 0 {
		body = body[:n]
	}
	if len(body) >= 9 && equal(string(body[:9]), "delimiter") {
		p.delimiter()
		return
	}
	sub := scanner{src: body, line: line}
	if t := sub.next(); t.is("CREATE") {
		p.object(&sub, line)
	}
	p.advance(len(body))
	if n >= 0 {
		p.advance(len(p.delim))
	}
}

// delimiter reads the client's command of that name, which ends with its line.
func (p *parser) delimiter() {
	start := p.pos
	p.toLineEnd()
	f := strings.Fields(string(p.src[start:p.pos]))
	p.delim = ";"
	if len(f) > 1 {
		p.delim = f[1]
	}
}

// objects are what a schema has besides tables.
var objects = []string{"VIEW", "TRIGGER", "PROCEDURE", "FUNCTION", "EVENT", "SEQUENCE", "PACKAGE", "SERVER", "TABLESPACE", "USER", "ROLE"}

// object tells of a CREATE of something that is no table, and gives the last token that it read.
func (p *parser) object(s *scanner, line int) token {
	for {
		t := s.next()
		if t.kind == end {
			p.note(line, "this CREATE is not understood")
			return t
		}
		if t.is("DATABASE", "SCHEMA") {
			return t
		}
		if !t.is(objects...) {
			continue
		}
		what := strings.ToLower(t.s)
		n := s.next()
		for n.is("IF", "NOT", "EXISTS", "BODY") {
			n = s.next()
		}
		for dot := *s; dot.next().is("."); dot = *s {
			s.next()
			n = s.next()
		}
		p.note(line, "%s %s is no table", what, n.s)
		if what == "view" {
			p.drop(n.s) // old dumps make a table first, and then the view
		}
		return n
	}
}

func (p *parser) drop(name string) {
	for i, t := range p.out.Tables {
		if t.Name == name {
			p.out.Tables = append(p.out.Tables[:i], p.out.Tables[i+1:]...)
			return
		}
	}
}

// passed are statements about rows and settings.
var passed = []string{
	"INSERT", "REPLACE", "SET", "LOCK", "UNLOCK", "DROP", "USE", "UPDATE", "DELETE", "START", "BEGIN", "COMMIT", "ROLLBACK", "ANALYZE",
	"OPTIMIZE", "FLUSH", "SELECT", "GRANT", "REVOKE", "TRUNCATE", "CHANGE", "SHOW", "SOURCE", "LOAD", "PREPARE", "EXECUTE", "DEALLOCATE", "CALL", "DO",
}

func (p *parser) statement() {
	start := p.scanner
	p.tok = p.next()
	line := p.tok.line
	switch {
	case p.tok.kind == end:
		return
	case p.tok.is("DELIMITER"):
		p.scanner = start
		p.skip()
		p.delimiter()
		return
	case p.tok.is(passed...):
		p.toSemicolon()
		return
	case p.tok.is("CREATE"):
		p.create(line)
	case p.tok.is("ALTER"):
		p.alter(line)
	default:
		p.note(line, "the statement %q is not understood", p.tok.s)
	}
	if p.tok.kind != end {
		p.toSemicolon()
	}
}

// forward runs f and reads a token on when f read none, so that no loop stands still.
func (p *parser) forward(f func()) {
	read := p.read
	f()
	if p.read == read {
		p.shift()
	}
}

func (p *parser) shift() token {
	p.read++
	t := p.tok
	p.tok = p.next()
	return t
}

// accept takes words or characters when they come next.
func (p *parser) accept(words ...string) bool {
	start, tok := p.scanner, p.tok
	for _, w := range words {
		if !p.tok.is(w) {
			p.scanner, p.tok = start, tok
			return false
		}
		p.shift()
	}
	return true
}

// name reads a name, and the last part of one with dots.
func (p *parser) name() (string, bool) {
	for {
		t := p.tok
		if t.kind != name && t.kind != word && !(t.kind == text && t.dq) && t.kind != number {
			return "", false
		}
		p.shift()
		if !p.accept(".") {
			return t.s, t.s != ""
		}
	}
}

// brackets passes over ( ... ), which comes next.
func (p *parser) brackets() {
	depth := 0
	for p.tok.kind != end {
		if p.tok.is("(") {
			depth++
		}
		if p.tok.is(")") {
			depth--
		}
		p.shift()
		if depth <= 0 {
			return
		}
	}
}

// toComma passes over what is left of a part of a list; the comma or bracket behind it comes next.
func (p *parser) toComma() {
	for p.tok.kind != end && !p.tok.is(",", ")") {
		if p.tok.is("(") {
			p.brackets()
		} else {
			p.shift()
		}
	}
}

func (p *parser) create(line int) {
	start := p.scanner
	p.shift()
	for p.accept("OR") || p.accept("REPLACE") || p.accept("TEMPORARY") || p.accept("GLOBAL") {
	}
	switch {
	case p.accept("TABLE"):
		p.createTable(line)
	case p.tok.is("UNIQUE", "FULLTEXT", "SPATIAL", "INDEX", "ONLINE", "OFFLINE"):
		p.createIndex(line)
	default:
		p.scanner = start
		p.tok = p.object(&p.scanner, line)
	}
}
