package idl

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/firefly-go/firefly/idl/fireflypb"
)

// Columns of tables: their names, their types in SQL, and what those hold.

// versionColumn is a column that every table has.
const versionColumn = "ff_v"

// checkColumns checks every field of a table as a column.
func (r *run) checkColumns(t *Table) {
	md := t.Desc
	names := map[string]protoreflect.FieldDescriptor{}
	var columns []Column
	for i := range md.Fields().Len() {
		fd := md.Fields().Get(i)
		fo := r.fields[fd.FullName()]
		c := Column{Desc: fd, Opt: fo.column, Rule: fo.rule, Name: string(fd.Name())}
		if od := oneof(fd); od != nil && od.Fields().Get(0) == fd {
			r.fault(CodeColumnOneof, r.pos(fd), fmt.Sprintf("column %q is in a oneof; MySQL has no such type, give it fields of its own or a message", fd.Name()))
		}
		pos := r.pos(fd)
		if c.Opt.GetName() != "" {
			c.Name = c.Opt.Name
			pos = r.opt(fd, optColumn, columnName)
			if !sqlName.MatchString(c.Name) {
				r.fault(CodeSQLName, pos, fmt.Sprintf("column name %q is no name in SQL; use letters, digits and '_', at most 64", c.Name))
			}
		} else if !sqlName.MatchString(c.Name) {
			r.fault(CodeSQLName, pos, fmt.Sprintf("column name %q is over 64 bytes; give it another with (firefly.v1.column).name", c.Name))
		}
		if strings.EqualFold(c.Name, versionColumn) {
			r.fault(CodeColumnTaken, pos, fmt.Sprintf("column name %q is that of the version, which every table has", c.Name))
		}
		if first := names[strings.ToLower(c.Name)]; first != nil {
			r.fault(CodeColumnTaken, pos, fmt.Sprintf("column name %q is taken by field %s", c.Name, first.Name()), at(r.pos(first), "has it first"))
		}
		names[strings.ToLower(c.Name)] = fd
		columns = append(columns, c)
	}
	if len(columns) == 0 {
		r.fault(CodeNoColumn, t.Pos, fmt.Sprintf("table %s has no columns", md.FullName()))
	}
	was := map[string]bool{}
	for _, c := range columns {
		if c.Opt == nil {
			continue
		}
		typed := true
		pos := func(field int32) Pos { return r.opt(c.Desc, optColumn, field) }
		if c.Opt.Type != "" {
			if why := badSQLType(c.Desc, c.Opt.Type); why != "" {
				typed = false
				r.fault(CodeColumnType, pos(columnType), fmt.Sprintf("type %q %s", c.Opt.Type, why))
			}
		}
		if k := c.Desc.Kind(); c.Opt.Unsigned && (c.Desc.IsList() || !integer(k) && k != protoreflect.FloatKind && k != protoreflect.DoubleKind) {
			typed = false
			r.fault(CodeColumnType, pos(columnUnsigned), fmt.Sprintf("unsigned is for numbers, and %q is %s", c.Desc.Name(), kind(c.Desc)))
		}
		if c.Opt.Default != "" {
			why := badDefault(c.Desc, c.Rule, c.Opt.Default)
			if why == "" && typed {
				why = c.defaultFault()
			}
			if why != "" {
				r.fault(CodeColumnDefault, pos(columnDefault), fmt.Sprintf("default %q %s", c.Opt.Default, why))
			} else if len(t.Opt.Key) <= maxKeyColumns && slices.Contains(t.Opt.Key, string(c.Desc.Name())) {
				r.fault(CodeColumnDefault, pos(columnDefault), fmt.Sprintf("default says nothing here: %q is in the key, which every row has", c.Desc.Name()))
			}
		}
		if typed {
			r.checkTypeBounds(c)
		}
		if w := c.Opt.Was; w != "" {
			switch first := names[strings.ToLower(w)]; {
			case !sqlName.MatchString(w):
				r.fault(CodeSQLName, pos(columnWas), fmt.Sprintf("column name %q is no name in SQL; use letters, digits and '_', at most 64", w))
			case first != nil:
				r.fault(CodeColumnWas, pos(columnWas), fmt.Sprintf("was %q is what field %s is called now", w, first.Name()), at(r.pos(first), "is the field"))
			case was[strings.ToLower(w)]:
				r.fault(CodeColumnWas, pos(columnWas), fmt.Sprintf("another column was %q, too", w))
			}
			was[strings.ToLower(w)] = true
		}
	}
	t.Columns = columns
}

var sqlType = regexp.MustCompile(`^([A-Za-z]+)( ?\( ?([0-9]{1,5}( ?, ?[0-9]{1,3})?|'[^'\\]{0,64}'( ?, ?'[^'\\]{0,64}')*) ?\))?$`)

// sqlTypes are the types of SQL that hold a kind of field.
var sqlTypes = struct{ integers, floats, strings, blobs, times string }{
	integers: " TINYINT SMALLINT MEDIUMINT INT INTEGER BIGINT DECIMAL NUMERIC BOOL BOOLEAN BIT YEAR ",
	floats:   " FLOAT DOUBLE REAL DECIMAL NUMERIC ",
	strings:  " CHAR VARCHAR TINYTEXT TEXT MEDIUMTEXT LONGTEXT JSON ENUM SET TIME ",
	blobs:    " BINARY VARBINARY TINYBLOB BLOB MEDIUMBLOB LONGBLOB ",
	times:    " DATETIME TIMESTAMP DATE BIGINT ", // BIGINT: microseconds
}

func badSQLType(fd protoreflect.FieldDescriptor, s string) string {
	if rest, ok := strings.CutSuffix(strings.ToLower(s), " unsigned"); ok {
		return fmt.Sprintf("says unsigned; write type: %q unsigned: true", s[:len(rest)])
	}
	m := sqlType.FindStringSubmatch(s)
	if m == nil {
		return "is no type of SQL; write e.g. \"BIGINT\" or \"VARCHAR(64)\""
	}
	fits := sqlTypes.blobs
	switch k := fd.Kind(); {
	case fd.IsList() || fd.IsMap():
	case fd.Message() != nil:
		if fd.Message().FullName() == timestampName {
			fits = sqlTypes.times
		}
	case integer(k), k == protoreflect.BoolKind, k == protoreflect.EnumKind:
		fits = sqlTypes.integers
	case k == protoreflect.FloatKind, k == protoreflect.DoubleKind:
		fits = sqlTypes.floats
	case k == protoreflect.StringKind:
		fits = sqlTypes.strings
	}
	if !strings.Contains(fits, " "+strings.ToUpper(m[1])+" ") {
		return fmt.Sprintf("does not hold %s; these do: %s", kind(fd), strings.Join(strings.Fields(fits), ", "))
	}
	return ""
}

func badDefault(fd protoreflect.FieldDescriptor, rule *fireflypb.Rule, s string) string {
	if fd.IsList() || fd.IsMap() || fd.Message() != nil || fd.Kind() == protoreflect.BytesKind {
		return fmt.Sprintf("does not fit %s, which is empty in older rows", kind(fd))
	}
	switch k := fd.Kind(); {
	case k == protoreflect.StringKind:
		if n := rule.GetMaxLen(); n != 0 && len([]rune(s)) > int(min(n, math.MaxInt32)) {
			return fmt.Sprintf("is longer than max_len %d", n)
		}
	case k == protoreflect.BoolKind:
		if s != "true" && s != "false" {
			return "is neither true nor false"
		}
	case k == protoreflect.EnumKind:
		if fd.Enum().Values().ByName(protoreflect.Name(s)) == nil {
			return fmt.Sprintf("is no value of %s", fd.Enum().FullName())
		}
	case integer(k):
		bits := 64
		if !wide(k) {
			bits = 32
		}
		var err error
		if unsigned(k) {
			_, err = strconv.ParseUint(s, 10, bits)
		} else {
			_, err = strconv.ParseInt(s, 10, bits)
		}
		if err != nil {
			return "is no " + k.String()
		}
	default:
		if v, err := strconv.ParseFloat(s, 64); err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
			return "is no number"
		}
	}
	return ""
}
