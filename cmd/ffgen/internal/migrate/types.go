package migrate

import (
	"slices"
	"strconv"
	"strings"

	"ariga.io/atlas/sql/schema"

	"github.com/firefly-go/firefly/gen"
)

// sqlType is a type of MySQL without what says nothing of values: display widths, zerofill and the
// digits of FLOAT(7,2).
type sqlType struct {
	head     string // "INT"
	args     []string
	unsigned bool
}

// canon reads a type as MySQL or gen spells it.
func canon(s string) sqlType {
	t := sqlType{head: s}
	rest := ""
	if i := strings.IndexByte(s, '('); i >= 0 {
		t.head = s[:i]
		rest = s[i+1:]
		if j := strings.LastIndexByte(rest, ')'); j >= 0 {
			if strings.HasPrefix(strings.TrimSpace(rest), "'") {
				t.args = splitValues(rest[:j])
			} else {
				for a := range strings.SplitSeq(rest[:j], ",") {
					t.args = append(t.args, strings.TrimSpace(a))
				}
			}
			rest = rest[j+1:]
		}
	}
	words := strings.Fields(strings.ToUpper(t.head + " " + rest))
	t.unsigned = slices.Contains(words, "UNSIGNED") || slices.Contains(words, "ZEROFILL")
	if len(words) > 0 {
		t.head = words[0]
	}
	switch t.head {
	case "INTEGER":
		t.head = "INT"
	case "BOOL", "BOOLEAN":
		t.head, t.args = "TINYINT", nil
	case "REAL":
		t.head = "DOUBLE"
	case "NUMERIC", "DEC", "FIXED":
		t.head = "DECIMAL"
	}
	switch t.head {
	case "TINYINT", "SMALLINT", "MEDIUMINT", "INT", "BIGINT", "FLOAT", "DOUBLE", "YEAR":
		t.args = nil
	case "DECIMAL":
		if len(t.args) == 0 {
			t.args = []string{"10"}
		}
		if len(t.args) == 1 {
			t.args = append(t.args, "0")
		}
	case "CHAR", "BINARY", "BIT":
		if len(t.args) == 0 {
			t.args = []string{"1"}
		}
	case "DATETIME", "TIMESTAMP", "TIME":
		if len(t.args) == 0 {
			t.args = []string{"0"}
		}
	}
	return t
}

// splitValues splits the values of an ENUM or SET.
func splitValues(s string) (out []string) {
	var b strings.Builder
	in := false
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\'' && in && i+1 < len(s) && s[i+1] == '\'':
			b.WriteByte('\'')
			i++
		case s[i] == '\'' && in:
			out = append(out, b.String())
			b.Reset()
			in = false
		case s[i] == '\'':
			in = true
		case in:
			b.WriteByte(s[i])
		}
	}
	return out
}

func (t sqlType) String() string {
	s := t.head
	if len(t.args) > 0 && !((t.head == "DATETIME" || t.head == "TIMESTAMP" || t.head == "TIME") && t.args[0] == "0") {
		args := t.args
		if t.head == "ENUM" || t.head == "SET" {
			args = make([]string, len(t.args))
			for i, a := range t.args {
				args[i] = "'" + strings.ReplaceAll(a, "'", "''") + "'"
			}
		}
		s += "(" + strings.Join(args, ",") + ")"
	}
	if t.unsigned {
		s += " UNSIGNED"
	}
	return s
}

func (t sqlType) equal(o sqlType) bool {
	return t.head == o.head && t.unsigned == o.unsigned && slices.Equal(t.args, o.args)
}

// arg is the i-th number in the brackets.
func (t sqlType) arg(i int) int {
	if i >= len(t.args) {
		return 0
	}
	n, _ := strconv.Atoi(t.args[i])
	return n
}

// typeOf is the type that a column has, whichever way it is known.
func typeOf(c *schema.Column) sqlType {
	if _, ok := c.Type.Type.(*schema.JSONType); ok {
		return sqlType{head: "JSON"} // MariaDB says longtext
	}
	return canon(c.Type.Raw)
}

// holds reports whether every value of from fits to as it is.
func holds(to, from sqlType) bool {
	if to.equal(from) {
		return true
	}
	ints := []string{"TINYINT", "SMALLINT", "MEDIUMINT", "INT", "BIGINT"}
	a, b := slices.Index(ints, from.head), slices.Index(ints, to.head)
	if a >= 0 && b >= 0 {
		return from.unsigned == to.unsigned && b >= a || from.unsigned && !to.unsigned && b > a
	}
	if a >= 0 && to.head == "DECIMAL" {
		digits := []int{3, 5, 8, 10, 19}[a]
		if from.unsigned && from.head == "BIGINT" {
			digits = 20
		}
		return to.arg(0)-to.arg(1) >= digits && (from.unsigned || !to.unsigned)
	}
	if from.head == to.head {
		switch from.head {
		case "VARCHAR", "VARBINARY", "BIT", "CHAR", "DATETIME", "TIMESTAMP", "TIME":
			return to.arg(0) >= from.arg(0)
		case "DECIMAL":
			return to.arg(1) >= from.arg(1) && to.arg(0)-to.arg(1) >= from.arg(0)-from.arg(1) && (from.unsigned || !to.unsigned)
		case "ENUM", "SET":
			return len(to.args) >= len(from.args) && slices.Equal(to.args[:len(from.args)], from.args)
		case "FLOAT", "DOUBLE":
			return from.unsigned || !to.unsigned
		}
		return false
	}
	if from.head == "FLOAT" && to.head == "DOUBLE" {
		return from.unsigned || !to.unsigned
	}
	for _, kinds := range [][]string{{"TINYTEXT", "TEXT", "MEDIUMTEXT", "LONGTEXT"}, {"TINYBLOB", "BLOB", "MEDIUMBLOB", "LONGBLOB"}} {
		j := slices.Index(kinds, to.head)
		if j < 0 {
			continue
		}
		if i := slices.Index(kinds, from.head); i >= 0 {
			return j >= i
		}
		room := []int{1<<8 - 1, 1<<16 - 1, 1<<24 - 1, 1<<32 - 1}[j]
		switch from.head {
		case "CHAR", "VARCHAR", "ENUM":
			return kinds[0] == "TINYTEXT" && (from.head == "ENUM" || 4*from.arg(0) <= room)
		case "VARBINARY":
			return kinds[0] == "TINYBLOB" && from.arg(0) <= room
		case "JSON":
			return to.head == "LONGTEXT"
		}
	}
	switch from.head + " " + to.head {
	case "CHAR VARCHAR", "BINARY VARBINARY":
		return to.arg(0) >= from.arg(0)
	case "DATE DATETIME", "TIMESTAMP DATETIME":
		return to.arg(0) >= from.arg(0)
	}
	return false
}

// sameType: SQLite knows only what kind of values a column has.
func sameType(d gen.SQLDialect, have, want *schema.Column) bool {
	if d == gen.SQLite {
		return strings.EqualFold(have.Type.Raw, want.Type.Raw)
	}
	return typeOf(have).equal(typeOf(want))
}
