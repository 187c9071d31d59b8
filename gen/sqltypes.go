package gen

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/firefly-go/firefly/idl"
)

// The one place that says how tables are spelled in SQL: for the statements of generated Specs and
// for the migrations that ffgen writes.

// SQLDialect is a kind of database.
type SQLDialect uint8

// The dialects. MySQL means MariaDB as well.
const (
	MySQL SQLDialect = iota
	SQLite
)

// String is the name of the dialect in folders and texts.
func (d SQLDialect) String() string {
	if d == SQLite {
		return "sqlite"
	}
	return "mysql"
}

// What every table has and what MySQL says of it.
const (
	VersionColumn = "ff_v" // the version of a row, behind the declared columns
	SQLEngine     = "InnoDB"
	SQLCharset    = "utf8mb4"
	SQLCollation  = "utf8mb4_bin" // equal means equal bytes
)

// SQLTable is a table as databases have it.
type SQLTable struct {
	Name    string
	Comment string      // one line
	Columns []SQLColumn // the declared ones and then VersionColumn
	Key     []string    // column names
	Indexes []SQLIndex
	Table   *idl.Table
}

// SQLColumn is one column.
type SQLColumn struct {
	Name     string
	Nullable bool
	Comment  string      // one line
	Column   *idl.Column // nil: VersionColumn
	Types    [2]string   // by dialect: "VARCHAR(64)", "TEXT"
	Defaults [2]string   // by dialect, as SQL: "0", "''"; "" where there is none
	Limits   SQLLimits
	// Datetime: a Timestamp that MySQL keeps as a date, with Fraction digits of a second.
	Datetime bool
	Fraction uint8
}

// Pos is where the field of the column stands; for VersionColumn it is nowhere.
func (c *SQLColumn) Pos() idl.Pos {
	if c.Column == nil {
		return idl.Pos{}
	}
	file := c.Column.Desc.ParentFile()
	loc := file.SourceLocations().ByDescriptor(c.Column.Desc)
	return idl.Pos{File: file.Path(), Line: loc.StartLine + 1, Col: loc.StartColumn + 1}
}

// SQLLimits are what the type of a column in MySQL can hold.
type SQLLimits = idl.SQLLimits

// SQLIndex is one index.
type SQLIndex struct {
	Names  [2]string // by dialect; SQLite has one space of names for all tables
	By     []string
	Unique bool
}

// SQLTableOf spells a table. name is what a mount calls it, "" for its own name.
func SQLTableOf(t *idl.Table, name string) *SQLTable {
	if name == "" {
		name = t.SQLName
	}
	s := &SQLTable{Name: name, Comment: oneLine(t.Comment, 1024), Table: t}
	inKey := map[string]bool{}
	for _, fd := range t.Key {
		inKey[string(fd.Name())] = true
	}
	sqlNames := map[protoreflect.Name]string{}
	for i := range t.Columns {
		c := &t.Columns[i]
		sqlNames[c.Desc.Name()] = c.Name
		s.Columns = append(s.Columns, sqlColumn(c, inKey[string(c.Desc.Name())], fixed(t, c.Desc)))
	}
	s.Columns = append(s.Columns, SQLColumn{
		Name:     VersionColumn,
		Types:    [2]string{"BIGINT UNSIGNED", "INTEGER"},
		Defaults: [2]string{"0", "0"},
		Limits:   typeLimits("BIGINT UNSIGNED"),
	})
	for _, fd := range t.Key {
		s.Key = append(s.Key, sqlNames[fd.Name()])
	}
	for _, x := range t.Index {
		out := SQLIndex{Unique: x.Unique}
		for _, fd := range x.By {
			out.By = append(out.By, sqlNames[fd.Name()])
		}
		by := "by_" + strings.Join(out.By, "_")
		out.Names = [2]string{shortName(by), shortName(name + "_" + by)}
		s.Indexes = append(s.Indexes, out)
	}
	return s
}

// shortName keeps a name within what MySQL takes; what is cut off is told apart by its hash.
func shortName(s string) string {
	if len(s) <= 64 {
		return s
	}
	return fmt.Sprintf("%s_%08x", s[:55], uint32(hash64(s)))
}

// hash64 is FNV-1a.
func hash64(s string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return h
}

func sqlColumn(c *idl.Column, key, fixed bool) SQLColumn {
	s := SQLColumn{
		Name:     c.Name,
		Nullable: sqlNullable(c) && !fixed,
		Comment:  oneLine(strings.TrimSpace(leading(c.Desc)), 1024),
		Column:   c,
		Types:    [2]string{mysqlType(c), sqliteType(c.Desc)},
	}
	s.Limits = typeLimits(s.Types[MySQL])
	s.Datetime, s.Fraction = sqlDatetime(c.Desc, s.Types[MySQL])
	if !key && !(s.Nullable && c.Opt.GetDefault() == "") {
		s.Defaults = [2]string{mysqlDefault(c, s.Types[MySQL]), sqliteDefault(c)}
	}
	return s
}

// sqlNullable: what can be absent is NULL then, unless a rule forbids that.
func sqlNullable(c *idl.Column) bool {
	fd := c.Desc
	if fd.IsList() || fd.IsMap() || c.Rule.GetRequired() {
		return false
	}
	return fd.HasPresence()
}

func isTimestamp(fd protoreflect.FieldDescriptor) bool {
	return !fd.IsList() && !fd.IsMap() && fd.Message() != nil && fd.Message().FullName() == "google.protobuf.Timestamp"
}

// The longest strings and bytes that are part of a row; longer ones lie outside of it.
const (
	maxVarchar   = 16383 // of four bytes a character
	maxVarbinary = 65535 - 1024
)

func mysqlType(c *idl.Column) string {
	fd := c.Desc
	t := ""
	switch k := fd.Kind(); {
	case c.Opt.GetType() != "":
		t = canonicalType(c.Opt.Type)
	case isTimestamp(fd):
		t = "BIGINT"
	case fd.IsList(), fd.IsMap(), fd.Message() != nil:
		t = "LONGBLOB"
	case k == protoreflect.StringKind:
		t = "LONGTEXT"
		if n := c.Rule.GetMaxLen(); n > 0 && n <= maxVarchar {
			t = fmt.Sprintf("VARCHAR(%d)", n)
		}
	case k == protoreflect.BytesKind:
		t = "LONGBLOB"
		if n := c.Rule.GetMaxLen(); n > 0 && n <= maxVarbinary {
			t = fmt.Sprintf("VARBINARY(%d)", n)
		}
	case k == protoreflect.BoolKind:
		t = "TINYINT(1)"
	case k == protoreflect.FloatKind:
		t = "FLOAT"
	case k == protoreflect.DoubleKind:
		t = "DOUBLE"
	case k == protoreflect.Int64Kind, k == protoreflect.Sint64Kind, k == protoreflect.Sfixed64Kind:
		t = "BIGINT"
	case k == protoreflect.Uint64Kind, k == protoreflect.Fixed64Kind:
		t = "BIGINT UNSIGNED"
	case k == protoreflect.Uint32Kind, k == protoreflect.Fixed32Kind:
		t = "INT UNSIGNED"
	default:
		t = "INT"
	}
	if c.Opt.GetUnsigned() && !strings.HasSuffix(t, " UNSIGNED") {
		t += " UNSIGNED"
	}
	return t
}

func sqliteType(fd protoreflect.FieldDescriptor) string {
	switch k := fd.Kind(); {
	case isTimestamp(fd):
		return "INTEGER"
	case fd.IsList(), fd.IsMap(), fd.Message() != nil, k == protoreflect.BytesKind:
		return "BLOB"
	case k == protoreflect.StringKind:
		return "TEXT"
	case k == protoreflect.FloatKind, k == protoreflect.DoubleKind:
		return "REAL"
	}
	return "INTEGER"
}

func canonicalType(s string) string { return idl.CanonicalSQLType(s) }

func typeHead(t string) (head string, args []string, unsigned bool) { return idl.SplitSQLType(t) }

func typeLimits(t string) SQLLimits { return idl.SQLTypeLimits(t) }

// zeroTime is a moment that TIMESTAMP takes in every time zone.
const zeroTime = "'1970-01-02 00:00:00'"

// mysqlDefault is what rows have that are older than the column, and rows of writers that do not
// know it yet.
func mysqlDefault(c *idl.Column, typ string) string {
	head, _, _ := typeHead(typ)
	s := plainDefault(c)
	switch head {
	case "ENUM", "SET", "JSON":
		if c.Opt.GetDefault() == "" {
			return "" // MySQL has its own
		}
		if head == "JSON" {
			return "(" + s + ")"
		}
	case "DATETIME", "TIMESTAMP":
		return zeroTime
	case "TIME":
		if c.Opt.GetDefault() == "" {
			return "'00:00:00'"
		}
	case "DATE":
		return "'1970-01-02'"
	case "TINYTEXT", "TEXT", "MEDIUMTEXT", "LONGTEXT", "TINYBLOB", "BLOB", "MEDIUMBLOB", "LONGBLOB":
		return "(" + strings.ReplaceAll(s, `\`, `\\`) + ")" // these take expressions only
	}
	return strings.ReplaceAll(s, `\`, `\\`)
}

func sqliteDefault(c *idl.Column) string {
	if s := plainDefault(c); s != "''" || sqliteType(c.Desc) != "BLOB" {
		return s
	}
	return "x''"
}

// plainDefault is a number or a quoted string without escapes but doubled quotes.
func plainDefault(c *idl.Column) string {
	fd, s := c.Desc, c.Opt.GetDefault()
	switch k := fd.Kind(); {
	case isTimestamp(fd):
		return "0"
	case fd.IsList(), fd.IsMap(), fd.Message() != nil, k == protoreflect.BytesKind:
		return "''"
	case k == protoreflect.StringKind:
		return "'" + strings.ReplaceAll(s, "'", "''") + "'"
	case k == protoreflect.EnumKind:
		if v := fd.Enum().Values().ByName(protoreflect.Name(s)); v != nil {
			return strconv.Itoa(int(v.Number()))
		}
		return "0"
	case k == protoreflect.BoolKind:
		if s == "true" {
			return "1"
		}
		return "0"
	case k == protoreflect.FloatKind, k == protoreflect.DoubleKind:
		f, _ := strconv.ParseFloat(s, 64)
		return strconv.FormatFloat(f, 'f', -1, 64)
	}
	if strings.HasPrefix(s, "-") {
		n, _ := strconv.ParseInt(s, 10, 64)
		return strconv.FormatInt(n, 10)
	}
	n, _ := strconv.ParseUint(s, 10, 64)
	return strconv.FormatUint(n, 10)
}

// oneLine is a comment as one line of at most n characters.
func oneLine(s string, n int) string {
	s = strings.Join(strings.Fields(strings.ToValidUTF8(s, "")), " ")
	if utf8.RuneCountInString(s) > n {
		s = string([]rune(s)[:n])
	}
	return s
}

// The most that MySQL has in one row, without what lies outside of it.
const maxRowBytes = 65535

// RowBytes is what a row takes at most in MySQL, without what lies outside of it.
func (s *SQLTable) RowBytes() int {
	n := (len(s.Columns) + 7) / 8
	for i := range s.Columns {
		head, args, _ := typeHead(s.Columns[i].Types[MySQL])
		first := 1
		if len(args) > 0 {
			first, _ = strconv.Atoi(args[0])
		}
		switch head {
		case "CHAR":
			n += 4 * first
		case "VARCHAR":
			n += 4*first + 2
		case "BINARY":
			n += first
		case "VARBINARY":
			n += first + 2
		case "TINYTEXT", "TINYBLOB", "TEXT", "BLOB", "MEDIUMTEXT", "MEDIUMBLOB", "LONGTEXT", "LONGBLOB", "JSON":
			n += 12
		case "DECIMAL":
			n += first/2 + 2
		default:
			n += 8
		}
	}
	return n
}

// checkRows refuses tables whose rows MySQL does not take.
func checkRows(tables []*idl.Table) (errs Errors) {
	for _, t := range tables {
		if n := SQLTableOf(t, "").RowBytes(); n > maxRowBytes {
			errs.add(t.Pos, "a row of %s may take %d bytes, and MySQL has at most %d in one row; give a long column [(firefly.v1.column).type = \"TEXT\"], which lies outside of it", t.Desc.FullName(), n, maxRowBytes)
		}
	}
	return errs
}

// SQLTables are all tables of a game, sorted by name: the declared ones, and those of modules once
// per mount.
func SQLTables(sys *idl.System) []*SQLTable {
	var out []*SQLTable
	for _, p := range sys.Packages {
		if p.Module != nil {
			continue
		}
		for _, t := range p.Tables {
			out = append(out, SQLTableOf(t, ""))
		}
	}
	seen := map[string]bool{}
	for _, r := range sys.Roles {
		for _, m := range r.Mounts {
			for _, t := range m.Module.Package.Tables {
				name := MountedName(m, t)
				if !seen[name] {
					seen[name] = true
					out = append(out, SQLTableOf(t, name))
				}
			}
		}
	}
	slices.SortFunc(out, func(a, b *SQLTable) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// MountedName is what a table of a module is called where it is mounted.
func MountedName(m *idl.Mount, t *idl.Table) string {
	return shortName(strings.ReplaceAll(m.As, "-", "_") + "_" + t.SQLName)
}

// sqlDatetime is whether MySQL keeps the Timestamp of a column as a date, with how many digits of a second.
func sqlDatetime(fd protoreflect.FieldDescriptor, typ string) (ok bool, fraction uint8) {
	if !isTimestamp(fd) {
		return false, 0
	}
	head, args, _ := typeHead(typ)
	if len(args) > 0 {
		n, _ := strconv.ParseUint(args[0], 10, 8)
		fraction = uint8(n)
	}
	return head == "DATETIME" || head == "TIMESTAMP" || head == "DATE", fraction
}
