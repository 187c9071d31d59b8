package mysqlimport

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/firefly-go/firefly/cmd/ffgen/internal/ddl"
)

// field is a column as a proto field.
type field struct {
	col      *ddl.Column
	name     string
	typ      string // "int64", "google.protobuf.Timestamp"
	optional bool
	required bool
	maxLen   int    // 0: none
	pattern  string // ""
	sqlType  string // "": what the field's type has anyway
	unsigned bool
	def      string // "": none
	comments []string
}

const timestamp = "google.protobuf.Timestamp"

// The longest that are written without a type; as in gen.
const (
	maxVarchar   = 16383
	maxVarbinary = 65535 - 1024
)

// field says how a column is declared. lost says why it cannot be; "" when it can.
func (t *table) field(c *ddl.Column) (f *field, lost string) {
	f = &field{col: c}
	switch {
	case c.Generated:
		return nil, "MySQL computes it from other columns"
	case c.Charset == "binary" && textTypes[c.Type]:
		return nil, "it is a text with the character set binary"
	}
	first, second := arg(c, 0), arg(c, 1)
	switch c.Type {
	case "BOOL", "BOOLEAN":
		f.typ = "bool"
	case "TINYINT":
		switch {
		case first == 1 && !c.Unsigned && !c.AutoInc && isBool(c):
			f.typ = "bool"
			f.remark("tinyint(1): where it has more than 0 and 1, say int32 and type: \"TINYINT\"")
		default:
			f.integer("TINYINT", 32)
		}
	case "SMALLINT", "MEDIUMINT":
		f.integer(c.Type, 32)
	case "INT":
		f.integer("INT", 32)
	case "BIGINT":
		f.integer("BIGINT", 64)
	case "BIT":
		first = max(first, 1)
		f.sqlType = fmt.Sprintf("BIT(%d)", first)
		switch {
		case first == 1:
			f.typ = "bool"
		case first <= 32:
			f.typ = "uint32"
		default:
			f.typ = "uint64"
		}
	case "YEAR":
		f.typ, f.sqlType = "uint32", "YEAR"
	case "FLOAT", "DOUBLE":
		f.typ, f.unsigned = strings.ToLower(c.Type), c.Unsigned
		if c.Type == "FLOAT" && len(c.Args) == 1 && first > 24 {
			f.typ = "double"
		}
		if len(c.Args) == 2 {
			t.noted(c.Line, "column %s: %s(%d,%d) is declared as %s; MySQL goes on rounding what is stored", c.Name, c.Type, first, second, f.typ)
		}
	case "DECIMAL":
		t.decimal(f, first, second)
	case "CHAR", "VARCHAR":
		if len(c.Args) == 0 {
			first = 1
		}
		f.typ, f.maxLen = "string", first
		if c.Type == "CHAR" || first > maxVarchar || first == 0 {
			f.sqlType = fmt.Sprintf("%s(%d)", c.Type, first)
		}
		if first == 0 {
			return nil, "a text of no characters"
		}
	case "TINYTEXT", "TEXT", "MEDIUMTEXT":
		f.typ, f.sqlType = "string", c.Type
	case "LONGTEXT":
		f.typ = "string"
	case "BINARY", "VARBINARY":
		if len(c.Args) == 0 {
			first = 1
		}
		if first == 0 {
			return nil, "a text of no bytes"
		}
		f.typ, f.maxLen = "bytes", first
		if c.Type == "BINARY" || first > maxVarbinary {
			f.sqlType = fmt.Sprintf("%s(%d)", c.Type, first)
		}
	case "TINYBLOB", "BLOB", "MEDIUMBLOB":
		f.typ, f.sqlType = "bytes", c.Type
	case "LONGBLOB":
		f.typ = "bytes"
	case "DATE", "DATETIME", "TIMESTAMP":
		f.typ, f.sqlType = timestamp, c.Type
		if first > 0 && c.Type != "DATE" {
			f.sqlType = fmt.Sprintf("%s(%d)", c.Type, first)
		}
	case "TIME":
		f.typ, f.sqlType = "string", "TIME"
		if first > 0 {
			f.sqlType = fmt.Sprintf("TIME(%d)", first)
		}
		f.pattern = `-?[0-9]{1,3}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?`
		f.remark("\"12:30:00\"")
	case "JSON":
		f.typ, f.sqlType = "string", "JSON"
	case "ENUM", "SET":
		if why := f.values(c); why != "" {
			return nil, why
		}
	default:
		return nil, fmt.Sprintf("there is no field for the type %s", c.Type)
	}
	if c.JSON && f.typ == "string" {
		f.sqlType, f.maxLen = "JSON", 0
	}
	f.null(t)
	f.defaults(t)
	if c.OnUpdate {
		t.noted(c.Line, "column %s: ON UPDATE is MySQL's; rows are written whole, so set the column in the game", c.Name)
	}
	if c.AutoInc && c != t.auto {
		t.noted(c.Line, "column %s: AUTO_INCREMENT is only known of the last column of a key; set the column in the game", c.Name)
	}
	return f, ""
}

var textTypes = map[string]bool{"CHAR": true, "VARCHAR": true, "TINYTEXT": true, "TEXT": true, "MEDIUMTEXT": true, "LONGTEXT": true}

func arg(c *ddl.Column, i int) int {
	if i >= len(c.Args) {
		return 0
	}
	n, err := strconv.Atoi(c.Args[i])
	if err != nil || n < 0 {
		return 0
	}
	return n
}

func (f *field) remark(s string) { f.comments = append(f.comments, s) }

// otherDigits finds numbers from 2 on that a comment explains: "0 none, 1 open, 2 closed".
var otherDigits = regexp.MustCompile(`(^|[^0-9.])([2-9]|[1-9][0-9])([^0-9]|$)`)

// isBool: a tinyint(1) is one unless its default or its comment speak of other numbers.
func isBool(c *ddl.Column) bool {
	if d := c.Default; d != nil && !d.Null && d.Text != "0" && d.Text != "1" {
		return false
	}
	return !otherDigits.MatchString(c.Comment)
}

// integer chooses the type of an integer; an auto id has 64 bits whatever the column has.
func (f *field) integer(sql string, bits int) {
	c := f.col
	f.typ = fmt.Sprintf("int%d", bits)
	if c.Unsigned {
		f.typ = "u" + f.typ
	}
	if sql != "INT" && sql != "BIGINT" {
		f.sqlType, f.unsigned = sql, c.Unsigned
	}
	if c.AutoInc && bits == 32 {
		f.typ, f.sqlType, f.unsigned = "int64", sql, c.Unsigned
	}
}

func (t *table) decimal(f *field, digits, scale int) {
	c := f.col
	if digits == 0 {
		digits = 10
	}
	f.sqlType, f.unsigned = fmt.Sprintf("DECIMAL(%d,%d)", digits, scale), c.Unsigned
	if scale == 0 && digits <= 18 {
		f.typ = "int64"
		if c.Unsigned {
			f.typ = "uint64"
		}
		return
	}
	f.typ = "double"
	if digits > 15 {
		t.noted(c.Line, "column %s: a DECIMAL(%d,%d) is declared as double, which keeps 15 digits", c.Name, digits, scale)
	}
}

var plainValue = regexp.MustCompile(`^[^'\\]{0,64}$`)

// values declares an ENUM or SET as a string.
func (f *field) values(c *ddl.Column) string {
	quoted, patterns, longest := make([]string, len(c.Args)), make([]string, len(c.Args)), 1
	if len(c.Args) == 0 {
		return "it has no values"
	}
	for i, v := range c.Args {
		if !plainValue.MatchString(v) {
			return fmt.Sprintf("a value of the %s has a quote, a backslash or over 64 bytes", c.Type)
		}
		quoted[i], patterns[i] = "'"+v+"'", regexp.QuoteMeta(v)
		longest = max(longest, utf8.RuneCountInString(v))
	}
	f.typ, f.sqlType = "string", c.Type+"("+strings.Join(quoted, ",")+")"
	if c.Type == "ENUM" {
		f.maxLen = longest
		if p := strings.Join(patterns, "|"); len(p) <= 900 {
			f.pattern = p
		}
	}
	return ""
}

// null says when a field may be absent. A message field may always be, so a rule says where it may not.
func (f *field) null(t *table) {
	switch {
	case f.typ == timestamp:
		f.required = f.col.NotNull
	case f.col.NotNull:
		// JSON and TIME know no empty text.
		f.required = f.sqlType == "JSON" || strings.HasPrefix(f.sqlType, "TIME")
	default:
		f.optional = true
	}
}

// defaults declares a default where the vocabulary has one for it. What is 0 or empty is so anyway.
func (f *field) defaults(t *table) {
	c := f.col
	d := c.Default
	if d == nil || d.Null {
		return
	}
	lost := func() {
		t.noted(c.Line, "column %s: the default %s stays MySQL's; rows are written whole, so set the column in the game", c.Name, short(d.Text))
	}
	s := d.Text
	switch {
	case f.typ == timestamp:
		if strings.HasPrefix(s, "0000-00-00") {
			t.noted(c.Line, "column %s: the default 0000-00-00 is no time; rows that have it need another one before the game writes them", c.Name)
			return
		}
		lost()
		return
	case d.Expr:
		lost()
		return
	case t.inKey(c.Name):
		if n, err := strconv.ParseFloat(s, 64); s != "" && (err != nil || n != 0) {
			lost()
		}
		return
	}
	if bits, ok := strings.CutPrefix(s, "b'"); ok {
		n, err := strconv.ParseUint(strings.TrimSuffix(bits, "'"), 2, 64)
		if err != nil {
			lost()
			return
		}
		s = strconv.FormatUint(n, 10)
	} else if strings.HasPrefix(s, "x'") {
		lost()
		return
	}
	switch f.typ {
	case "bool":
		if n, err := strconv.ParseInt(s, 10, 64); err != nil {
			lost()
		} else if n != 0 {
			f.def = "true"
		}
	case "string":
		if s == "" {
			return
		}
		if strings.ContainsFunc(s, func(r rune) bool { return r < ' ' }) || f.maxLen > 0 && utf8.RuneCountInString(s) > f.maxLen || f.sqlType == "JSON" {
			lost()
			return
		}
		f.def = s
	case "bytes":
		if s != "" {
			lost()
		}
	case "float", "double":
		if n, err := strconv.ParseFloat(s, 64); err != nil || math.IsInf(n, 0) || math.IsNaN(n) {
			lost()
		} else if n != 0 {
			f.def = strconv.FormatFloat(n, 'f', -1, 64)
		}
	default:
		f.wholeDefault(s, lost)
	}
}

// wholeDefault is the default of an integer, which old schemas also write as '5.00'.
func (f *field) wholeDefault(s string, lost func()) {
	if i := strings.IndexByte(s, '.'); i >= 0 && strings.Trim(s[i+1:], "0") == "" {
		s = s[:i]
	}
	bits := 64
	if strings.HasSuffix(f.typ, "32") {
		bits = 32
	}
	zero := true
	var err error
	if strings.HasPrefix(f.typ, "u") {
		var n uint64
		n, err = strconv.ParseUint(s, 10, bits)
		zero, s = n == 0, strconv.FormatUint(n, 10)
	} else {
		var n int64
		n, err = strconv.ParseInt(s, 10, bits)
		zero, s = n == 0, strconv.FormatInt(n, 10)
	}
	if err != nil {
		lost()
	} else if !zero {
		f.def = s
	}
}

func short(s string) string {
	if r := []rune(s); len(r) > 40 {
		return string(r[:40]) + "..."
	}
	return s
}
