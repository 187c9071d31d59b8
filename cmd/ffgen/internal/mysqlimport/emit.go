package mysqlimport

import (
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/firefly-go/firefly/cmd/ffgen/internal/ddl"
)

// Options are what Import knows besides the schema.
type Options struct {
	Source    string // the name of the schema file, for the comment on top
	Package   string // of the .proto
	GoPackage string
	// Taken are names of messages that the package has already.
	Taken []string
	// Refuse are messages that are not to be declared, with the reason: what a check of the result found.
	Refuse map[string]string
}

// Result is the file and what there is to say about it.
type Result struct {
	Proto []byte
	Lost  []Item // not declared
	Notes []Item // declared, or nothing to declare, and good to know
	Of    int    // tables that are declared
	// Lines are those of Proto where messages begin, in their order.
	Lines []Line
}

// Line is where a message begins.
type Line struct {
	Line    int
	Message string
}

// MessageAt is the message that a line belongs to.
func (r *Result) MessageAt(line int) string {
	name := ""
	for _, l := range r.Lines {
		if l.Line <= line {
			name = l.Message
		}
	}
	return name
}

// Import declares the tables of a schema.
func Import(s *ddl.Schema, o Options) *Result {
	r := &Result{}
	for _, n := range s.Notes {
		r.Lost = append(r.Lost, Item(n))
	}
	taken := map[string]bool{"Push": true, "Schema": true}
	for _, n := range o.Taken {
		taken[n] = true
	}
	var tables []*table
	for _, x := range s.Tables {
		t := newTable(x, taken)
		if why := o.Refuse[t.message]; why != "" && t.dropped == "" {
			t.drop("%s", why)
		}
		tables = append(tables, t)
	}
	w := &writer{}
	w.head(o, tables)
	for _, n := range r.Lost {
		w.comment("", fmt.Sprintf("NOT DECLARED, line %d: %s", n.Line, n.Text))
	}
	for _, t := range tables {
		if t.dropped == "" {
			r.Of++
			r.Lines = append(r.Lines, Line{w.line + 1, t.message})
		}
		w.table(t)
		r.Lost = append(r.Lost, t.lost...)
		r.Notes = append(r.Notes, t.notes...)
	}
	byLine := func(a, b Item) int { return a.Line - b.Line }
	slices.SortStableFunc(r.Lost, byLine)
	slices.SortStableFunc(r.Notes, byLine)
	r.Proto = []byte(w.b.String())
	return r
}

type writer struct {
	b    strings.Builder
	line int
}

func (w *writer) p(format string, a ...any) {
	s := fmt.Sprintf(format, a...)
	w.b.WriteString(s + "\n")
	w.line += strings.Count(s, "\n") + 1
}

// maxLine is how long a comment's line gets; idl refuses lines over 4096 bytes.
const maxLine = 100

func (w *writer) comment(indent, s string) {
	for l := range strings.SplitSeq(strings.ReplaceAll(s, "\r", "\n"), "\n") {
		l = strings.Map(func(r rune) rune {
			if r == '\t' {
				return ' '
			}
			if !unicode.IsPrint(r) {
				return -1
			}
			return r
		}, l)
		words := strings.Fields(l)
		line := ""
		for _, x := range words {
			for len(x) > 1000 { // one word without end
				r := []rune(x)
				w.p("%s// %s", indent, string(r[:200]))
				x = string(r[200:])
			}
			if line != "" && len(line)+len(x) > maxLine {
				w.p("%s// %s", indent, line)
				line = ""
			}
			line = strings.TrimLeft(line+" "+x, " ")
		}
		if line != "" {
			w.p("%s// %s", indent, line)
		}
	}
}

func (w *writer) head(o Options, tables []*table) {
	w.comment("", "The tables of "+o.Source+", declared by ffgen import mysql. The file is yours now: give the messages better names, say what belongs together with place, and delete what the game does not use.")
	w.p("syntax = \"proto3\";\n\npackage %s;\n\nimport \"firefly/v1/options.proto\";", o.Package)
	if slices.ContainsFunc(tables, func(t *table) bool {
		return t.dropped == "" && slices.ContainsFunc(t.fields, func(f *field) bool { return f.typ == timestamp })
	}) {
		w.p("import \"google/protobuf/timestamp.proto\";")
	}
	w.p("\noption go_package = %s;", quote(o.GoPackage))
}

func (w *writer) table(t *table) {
	w.p("")
	if t.dropped != "" {
		for _, l := range t.lost {
			w.comment("", fmt.Sprintf("NOT DECLARED, line %d: %s", l.Line, l.Text))
		}
		return
	}
	if t.Comment != "" {
		w.comment("", t.Comment)
	} else {
		w.p("// %s is a row of %s.", t.message, t.Name)
	}
	w.p("message %s {", t.message)
	w.remarks(t)
	w.p("  option (firefly.v1.table) = {")
	w.p("    name: %s", quote(t.Name))
	w.p("    key: %s", list(t.key))
	if t.autoID {
		w.p("    auto_id: true")
	}
	for _, x := range t.indexes {
		unique := ""
		if x.unique {
			unique = " unique: true"
		}
		w.p("    index: { by: %s%s }", list(x.by), unique)
	}
	w.p("  };")
	for i, f := range t.fields {
		w.field(f, i+1)
	}
	w.p("}")
}

// remarks stand apart from the comment of the message, which is the table's in SQL as well.
func (w *writer) remarks(t *table) {
	start := w.line
	for _, n := range t.notes {
		w.comment("  ", fmt.Sprintf("Note, line %d: %s", n.Line, n.Text))
	}
	for _, n := range t.lost {
		w.comment("  ", fmt.Sprintf("NOT DECLARED, line %d: %s", n.Line, n.Text))
	}
	if t.place != "" {
		w.comment("  ", fmt.Sprintf("With place: %s the rows of one %s lie and commit together. It must be a column that never changes.", quote(t.place), strings.TrimSuffix(strings.TrimSuffix(t.place, "id"), "_")))
	}
	if w.line > start {
		w.p("")
	}
}

func list(names []string) string {
	if len(names) == 1 {
		return quote(names[0])
	}
	q := make([]string, len(names))
	for i, n := range names {
		q[i] = quote(n)
	}
	return "[" + strings.Join(q, ", ") + "]"
}

func (w *writer) field(f *field, number int) {
	if f.col.Comment != "" {
		w.comment("  ", f.col.Comment)
	}
	for _, s := range f.comments {
		w.comment("  ", s)
	}
	decl := f.typ + " " + f.name
	if f.optional && f.typ != timestamp {
		decl = "optional " + decl
	}
	var rule, column []string
	if f.maxLen > 0 {
		rule = append(rule, fmt.Sprintf("max_len: %d", f.maxLen))
	}
	if f.pattern != "" {
		rule = append(rule, "pattern: "+quote(f.pattern))
	}
	if f.required {
		rule = append(rule, "required: true")
	}
	if f.name != f.col.Name {
		column = append(column, "name: "+quote(f.col.Name))
	}
	if f.sqlType != "" {
		column = append(column, "type: "+quote(f.sqlType))
	}
	if f.unsigned {
		column = append(column, "unsigned: true")
	}
	if f.def != "" {
		column = append(column, "default: "+quote(f.def))
	}
	var opts []string
	for _, o := range []struct {
		name   string
		fields []string
	}{{"rule", rule}, {"column", column}} {
		switch len(o.fields) {
		case 0:
		case 1:
			k, v, _ := strings.Cut(o.fields[0], ": ")
			opts = append(opts, fmt.Sprintf("(firefly.v1.%s).%s = %s", o.name, k, v))
		default:
			opts = append(opts, fmt.Sprintf("(firefly.v1.%s) = { %s }", o.name, strings.Join(o.fields, " ")))
		}
	}
	if len(opts) == 0 {
		w.p("  %s = %d;", decl, number)
		return
	}
	one := fmt.Sprintf("  %s = %d [%s];", decl, number, strings.Join(opts, ", "))
	if len(one) <= 120 {
		w.p("%s", one)
		return
	}
	w.p("  %s = %d [", decl, number)
	w.p("    %s", strings.Join(opts, ",\n    "))
	w.p("  ];")
}

// quote is a string of proto.
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < ' ' || r == 0x7f:
			fmt.Fprintf(&b, "\\%03o", r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}
