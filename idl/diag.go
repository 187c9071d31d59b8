package idl

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Diag is one fault: `file:line:col: message (other.proto:8:3 is the other place)`.
type Diag struct {
	Code    string // one of the constants in codes.go; stable
	Pos     Pos    // without a Line, the whole file; without a File, the whole run
	Message string
	Related []Related
	Warning bool // said, and stops nothing
}

// Related is another place that belongs to a fault.
type Related struct {
	Pos  Pos
	Text string // "is the other role", "has it first"; may be empty
}

// Pos is a place in a .proto file; Line and Col begin with 1, and a column is a character, a
// tab too. File is the path by which other files import it.
type Pos struct {
	File string
	Line int
	Col  int
}

func (p Pos) String() string {
	if p.Line == 0 {
		return p.File
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Col)
}

func (p Pos) compare(q Pos) int {
	return cmp.Or(cmp.Compare(p.File, q.File), cmp.Compare(p.Line, q.Line), cmp.Compare(p.Col, q.Col))
}

func (d Diag) String() string {
	var b strings.Builder
	if d.Pos.File != "" {
		b.WriteString(d.Pos.String())
		b.WriteString(": ")
	}
	if d.Warning {
		b.WriteString("warning: ")
	}
	b.WriteString(d.Message)
	sep := " ("
	for i, r := range d.Related {
		b.WriteString(sep)
		b.WriteString(r.Pos.String())
		if r.Text != "" {
			b.WriteString(" " + r.Text)
		}
		sep = ", "
		if i == len(d.Related)-2 {
			sep = " and "
		}
	}
	if len(d.Related) > 0 {
		b.WriteString(")")
	}
	return b.String()
}

// Diags are the faults of a run, sorted by place. It is the type of every error of Load.
type Diags []Diag

// Error gives a line for each fault.
func (ds Diags) Error() string {
	lines := make([]string, len(ds))
	for i, d := range ds {
		lines[i] = d.String()
	}
	return strings.Join(lines, "\n")
}

// Failed tells whether one of them is more than a warning.
func (ds Diags) Failed() bool {
	return slices.ContainsFunc(ds, func(d Diag) bool { return !d.Warning })
}

// maxHints is how many faults of a run are looked at for what was meant instead.
const maxHints = 200

// most is how many faults a run reports; who has more has one cause for most of them.
const most = 1000

// sorted gives the faults by place, each once, and at most a readable number.
func (ds Diags) sorted() Diags {
	slices.SortStableFunc(ds, func(a, b Diag) int {
		return cmp.Or(a.Pos.compare(b.Pos), cmp.Compare(a.Code, b.Code), cmp.Compare(a.Message, b.Message))
	})
	ds = slices.CompactFunc(ds, func(a, b Diag) bool {
		return a.Pos == b.Pos && a.Code == b.Code && a.Message == b.Message
	})
	if len(ds) > most {
		rest := len(ds) - most
		ds = append(ds[:most:most], Diag{Code: CodeTooMany, Message: fmt.Sprintf("and %d more", rest)})
	}
	return ds
}

// at makes a related place.
func at(p Pos, text string) Related { return Related{Pos: p, Text: text} }

// withoutUnused leaves out the warnings about imports: what is wrong elsewhere may be why an
// import seems unused.
func (ds Diags) withoutUnused() Diags {
	return slices.DeleteFunc(slices.Clone(ds), func(d Diag) bool { return d.Code == CodeUnusedImport })
}
