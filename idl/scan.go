package idl

import (
	"bytes"
	"fmt"
	"unicode/utf8"
)

// This file looks at a .proto file before the compiler does: it finds the imports, and refuses
// what the compiler would choke on. The compiler recurses with the nesting and walks a line
// from its begin for every place in it, so both are bounded here.
const (
	maxFile  = 1 << 20 // bytes of one file
	maxTotal = 32 << 20
	maxFiles = 4096
	maxLine  = 4096 // bytes of one line
	maxDepth = 100  // brackets inside brackets
	maxPath  = 512  // bytes of an import path
)

// scanned is what one look at a file gives.
type scanned struct {
	imports []importStmt
	types   []string // names of messages and enums, for suggestions
}

type importStmt struct {
	path string
	pos  Pos
}

// scan reads data once. It gives the first thing that must not reach the compiler, or nil.
func scan(path string, data []byte) (s scanned, fault *Diag) {
	refuse := func(code string, offset int, format string, a ...any) *Diag {
		return &Diag{Code: code, Pos: position(path, data, offset), Message: fmt.Sprintf(format, a...)}
	}
	if len(data) > maxFile {
		return s, &Diag{Code: CodeFileTooLarge, Pos: Pos{File: path}, Message: fmt.Sprintf("the file has over %d bytes; split it", maxFile)}
	}
	if bytes.HasPrefix(data, []byte{0xfe, 0xff}) || bytes.HasPrefix(data, []byte{0xff, 0xfe}) {
		return s, refuse(CodeNotUTF8, 0, "the file is UTF-16; write it in UTF-8")
	}
	for start := 0; start < len(data); {
		line := data[start:]
		if end := bytes.IndexByte(line, '\n'); end >= 0 {
			line = line[:end]
		}
		if len(line) > maxLine {
			return s, refuse(CodeLineTooLong, start, "the line has %d bytes; break it, %d are allowed", len(line), maxLine)
		}
		for i := 0; i < len(line); {
			if c := line[i]; c < utf8.RuneSelf {
				if c == 0 {
					return s, refuse(CodeNotUTF8, start+i, "a zero byte; this is no text")
				}
				i++
				continue
			}
			r, size := utf8.DecodeRune(line[i:])
			if r == utf8.RuneError && size == 1 {
				return s, refuse(CodeNotUTF8, start+i, "byte 0x%02x is no UTF-8", line[i])
			}
			i += size
		}
		start += len(line) + 1
	}
	z := tokens{data: data, line: 1}
	var open [4]int   // by kind of bracket, so that a wrong one closes nothing
	before := ""      // the token before this one
	statement := true // the next token begins a statement
	importing := false
	for z.next() {
		word := z.text()
		if k := bytes.IndexByte([]byte("{([<"), word[0]); k >= 0 {
			if open[k]++; open[0]+open[1]+open[2]+open[3] > maxDepth {
				return s, refuse(CodeTooDeep, z.start, "nested over %d deep", maxDepth)
			}
		} else if k := bytes.IndexByte([]byte("})]>"), word[0]); k >= 0 && open[k] > 0 {
			open[k]--
		}
		switch {
		case z.kind == tokenString:
			if importing {
				pos := Pos{File: path, Line: z.line, Col: 1 + utf8.RuneCount(data[z.lineStart:z.start])}
				s.imports = append(s.imports, importStmt{path: unquote(word), pos: pos})
			}
			importing = false
		case statement && open[0] == 0 && word == "import":
			importing = true
		case word != "public" && word != "weak":
			importing = false
		}
		if z.kind == tokenWord && (before == "message" || before == "enum") {
			s.types = append(s.types, word)
		}
		statement = word == ";" || word == "{" || word == "}"
		before = word
	}
	return s, nil
}

type tokenKind int

const (
	tokenWord tokenKind = iota
	tokenString
	tokenOther // one character
)

// tokens walks the tokens of a .proto file as far as brackets, strings and comments go.
type tokens struct {
	data       []byte
	start, end int
	kind       tokenKind
	line       int // of start
	lineStart  int // offset of that line
}

func (z *tokens) text() string { return string(z.data[z.start:z.end]) }

func (z *tokens) next() bool {
	from := z.start
	ok := z.advance()
	for i := from; i < z.start; i++ {
		if z.data[i] == '\n' {
			z.line++
			z.lineStart = i + 1
		}
	}
	return ok
}

func (z *tokens) advance() bool {
	d, i := z.data, z.end
	for i < len(d) {
		c := d[i]
		switch {
		case c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v':
			i++
		case c == '/' && i+1 < len(d) && d[i+1] == '/':
			for i < len(d) && d[i] != '\n' {
				i++
			}
		case c == '/' && i+1 < len(d) && d[i+1] == '*':
			if end := bytes.Index(d[i+2:], []byte("*/")); end >= 0 {
				i += 2 + end + 2
			} else {
				i = len(d)
			}
		case c == '"' || c == '\'':
			z.start, z.kind = i, tokenString
			for i++; i < len(d) && d[i] != c && d[i] != '\n'; i++ {
				if d[i] == '\\' {
					i++
				}
			}
			z.end = min(i+1, len(d))
			return true
		case isWord(c):
			z.start, z.kind = i, tokenWord
			for i < len(d) && (isWord(d[i]) || d[i] == '.') {
				i++
			}
			z.end = i
			return true
		default:
			z.start, z.end, z.kind = i, i+1, tokenOther
			return true
		}
	}
	z.start, z.end = len(d), len(d)
	return false
}

func isWord(c byte) bool {
	return c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c >= utf8.RuneSelf
}

// unquote strips the quotes of an import path. Escapes stay as they are: no path has one, and
// one that has is not found.
func unquote(s string) string {
	if len(s) >= 2 && s[0] == s[len(s)-1] {
		return s[1 : len(s)-1]
	}
	return s
}

// position is the place of an offset.
func position(path string, data []byte, offset int) Pos {
	before := data[:min(offset, len(data))]
	start := bytes.LastIndexByte(before, '\n') + 1
	return Pos{File: path, Line: 1 + bytes.Count(before, []byte{'\n'}), Col: 1 + utf8.RuneCount(before[start:])}
}
