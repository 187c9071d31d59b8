package ddl

import (
	"bytes"
	"strings"
)

type kind uint8

const (
	end    kind = iota // of the statement or the file
	word               // without quotes
	name               // in backticks, or in double quotes where a name stands
	text               // in quotes
	number             // 12, 1.5, 0x1F
	punct              // one other character
)

type token struct {
	kind kind
	s    string // without its quotes
	line int
	dq   bool // a text in double quotes, which may be a name
}

// is reports whether t is one of these words or characters.
func (t token) is(words ...string) bool {
	if t.kind != word && t.kind != punct {
		return false
	}
	for _, w := range words {
		if equal(t.s, w) {
			return true
		}
	}
	return false
}

func equal(a, b string) bool { return strings.EqualFold(a, b) }

// scanner makes tokens. Comments that MySQL executes, /*!40101 ... */, are read as what is in them.
type scanner struct {
	src  []byte
	pos  int
	line int
	open int // comments that are executed and not yet closed
	// unclosed is the line of a quote that the file does not close.
	unclosed int
}

func space(c byte) bool {
	return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\f' || c == '\v'
}

func wordByte(c byte) bool {
	return c == '_' || c == '$' || c == '@' || c >= 0x80 || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

func (s *scanner) advance(n int) {
	s.line += bytes.Count(s.src[s.pos:s.pos+n], []byte{'\n'})
	s.pos += n
}

func (s *scanner) has(prefix string) bool { return bytes.HasPrefix(s.src[s.pos:], []byte(prefix)) }

// skip passes over space and comments.
func (s *scanner) skip() {
	for s.pos < len(s.src) {
		c := s.src[s.pos]
		switch {
		case space(c):
			s.advance(1)
		case c == '#', s.has("--") && (s.pos+2 == len(s.src) || space(s.src[s.pos+2])):
			s.toLineEnd()
		case s.has("/*!"), s.has("/*M!"):
			s.advance(3)
			for s.pos < len(s.src) && (s.src[s.pos] == '!' || s.src[s.pos] >= '0' && s.src[s.pos] <= '9') {
				s.advance(1)
			}
			s.open++
		case s.has("/*"):
			n := bytes.Index(s.src[s.pos+2:], []byte("*/"))
			if n < 0 {
				s.advance(len(s.src) - s.pos)
				return
			}
			s.advance(n + 4)
		case s.open > 0 && s.has("*/"):
			s.open--
			s.advance(2)
		default:
			return
		}
	}
}

func (s *scanner) toLineEnd() {
	n := bytes.IndexByte(s.src[s.pos:], '\n')
	if n < 0 {
		n = len(s.src) - s.pos
	}
	s.advance(n)
}

// next is the next token; end stands at ";" and at the end of the file.
func (s *scanner) next() token {
	s.skip()
	t := token{line: s.line}
	if s.pos >= len(s.src) {
		return t
	}
	switch c := s.src[s.pos]; {
	case c == ';':
		t.s = ";"
		s.advance(1)
	case c == '`':
		t.kind, t.s = name, s.quoted('`', false)
	case c == '\'':
		t.kind, t.s = text, s.quoted('\'', true)
	case c == '"':
		t.kind, t.dq, t.s = text, true, s.quoted('"', true)
	case c >= '0' && c <= '9', c == '.' && s.pos+1 < len(s.src) && s.src[s.pos+1] >= '0' && s.src[s.pos+1] <= '9':
		n := 1
		for s.pos+n < len(s.src) && (wordByte(s.src[s.pos+n]) || s.src[s.pos+n] == '.') {
			n++
		}
		t.kind, t.s = number, string(s.src[s.pos:s.pos+n])
		s.advance(n)
		if strings.Trim(t.s, "0123456789.eExXabcdfABCDF") != "" {
			t.kind = word
		}
	case wordByte(c):
		n := 1
		for s.pos+n < len(s.src) && wordByte(s.src[s.pos+n]) {
			n++
		}
		t.kind, t.s = word, string(s.src[s.pos:s.pos+n])
		s.advance(n)
	default:
		t.kind, t.s = punct, string(c)
		s.advance(1)
	}
	return t
}

// quoted reads up to the closing quote, which stands twice where it is meant. An unclosed one ends with
// the file.
func (s *scanner) quoted(q byte, escapes bool) string {
	var b []byte
	i := s.pos + 1
	for ; i < len(s.src); i++ {
		c := s.src[i]
		switch {
		case escapes && c == '\\' && i+1 < len(s.src):
			i++
			switch e := s.src[i]; e {
			case 'n':
				b = append(b, '\n')
			case 'r':
				b = append(b, '\r')
			case 't':
				b = append(b, '\t')
			case '0':
				b = append(b, 0)
			case 'Z':
				b = append(b, 26)
			case 'b':
				b = append(b, '\b')
			default:
				b = append(b, e)
			}
		case c == q && i+1 < len(s.src) && s.src[i+1] == q:
			b = append(b, q)
			i++
		case c == q:
			s.advance(i + 1 - s.pos)
			return string(b)
		default:
			b = append(b, c)
		}
	}
	s.unclosed = s.line
	s.advance(len(s.src) - s.pos)
	return string(b)
}

// toSemicolon passes over the rest of a statement.
func (s *scanner) toSemicolon() {
	for s.pos < len(s.src) {
		switch c := s.src[s.pos]; {
		case c == ';':
			s.advance(1)
			return
		case c == '\'', c == '"', c == '`':
			s.pass(c)
		case c == '#', c == '-', c == '/', c == '*', space(c):
			was := s.pos
			if s.skip(); s.pos == was {
				s.advance(1)
			}
		default:
			s.pos++
		}
	}
}

// pass is quoted without making a text of it.
func (s *scanner) pass(q byte) {
	for i := s.pos + 1; i < len(s.src); i++ {
		if c := s.src[i]; c == '\\' && q != '`' {
			i++
		} else if c == q {
			s.advance(i + 1 - s.pos)
			return
		}
	}
	s.unclosed = s.line
	s.advance(len(s.src) - s.pos)
}
