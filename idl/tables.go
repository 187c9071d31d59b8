package idl

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/firefly-go/firefly/idl/fireflypb"
)

// Tables and their columns.

// Fields of the options Table, Index, Near and Column.
const (
	tableKey        = 1
	tableAutoID     = 2
	tableIndex      = 3
	tableFlush      = 5
	tableIdle       = 6
	tableNear       = 7
	tableName       = 8
	tablePlace      = 9
	indexBy         = 1
	indexUnique     = 2
	nearRows        = 1
	nearTTL         = 2
	maxNearRows     = 1_000_000
	columnName      = 1
	columnType      = 2
	columnDefault   = 3
	columnUnsigned  = 4
	columnWas       = 5
	maxKeyColumns   = 4
	maxIndexColumns = 16
	maxIndexes      = 63   // MySQL has 64 with the key
	maxIndexBytes   = 3072 // InnoDB
)

const timestampName protoreflect.FullName = "google.protobuf.Timestamp"

var sqlName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,63}$`)

func (r *run) checkTables() {
	type taken struct {
		t   *Table
		pos Pos
	}
	game := map[string]taken{}
	for _, p := range r.sys.Packages {
		used := game
		if p.Module != nil {
			used = map[string]taken{} // a mount puts its name before
		}
		for _, t := range p.Tables {
			r.checkTable(t)
			pos := r.opt(t.Desc, optTable, tableName)
			if !sqlName.MatchString(t.SQLName) {
				r.fault(CodeSQLName, pos, fmt.Sprintf("table name %q is no name in SQL; use letters, digits and '_', at most 64", t.SQLName))
				continue
			}
			if own := ownTable(t.SQLName); own != "" {
				r.fault(CodeSQLName, pos, fmt.Sprintf("table name %q begins with %s, as tables %s do", t.SQLName, own, map[string]string{"ff_": "of the framework", "sqlite_": "of SQLite"}[own]))
				continue
			}
			// Some stores tell names apart by case and some do not.
			key := strings.ToLower(t.SQLName)
			if first, ok := used[key]; ok {
				b := taken{t, pos}
				if b.pos.compare(first.pos) < 0 {
					used[key] = b
					first, b = b, first
				}
				r.fault(CodeTableTaken, b.pos, fmt.Sprintf("table name %q is taken by %s", b.t.SQLName, first.t.Desc.FullName()), at(first.pos, "has it first"))
				continue
			}
			used[key] = taken{t, pos}
		}
	}
}

// ownTable is the prefix that makes a name one of the framework's or of SQLite, "" when it is free.
func ownTable(name string) string {
	for _, prefix := range []string{"ff_", "sqlite_"} {
		if strings.HasPrefix(strings.ToLower(name), prefix) {
			return prefix
		}
	}
	return ""
}

func (r *run) checkTable(t *Table) {
	o, md := t.Opt, t.Desc
	pos := func(path ...int32) Pos { return r.opt(md, append([]int32{optTable}, path...)...) }
	lazy := func(path ...int32) func() Pos { return func() Pos { return pos(path...) } }
	t.Flush = r.duration(o.Flush, lazy(tableFlush), time.Second, time.Millisecond, time.Hour)
	t.Idle = r.duration(o.Idle, lazy(tableIdle), 30*time.Minute, time.Second, 30*24*time.Hour)
	if o.Near != nil {
		t.NearTTL = r.duration(o.Near.Ttl, lazy(tableNear, nearTTL), 3*time.Second, time.Millisecond, time.Hour)
		if o.Near.Rows > maxNearRows {
			r.fault(CodeNear, pos(tableNear, nearRows), fmt.Sprintf("near has %d rows; a process keeps copies of at most %d", o.Near.Rows, maxNearRows))
		}
		if t.NearTTL > t.Idle {
			r.fault(CodeNear, pos(tableNear), fmt.Sprintf("copies of %s would outlive the cached row, which goes after idle: %s", formatDuration(t.NearTTL), formatDuration(t.Idle)))
		}
	}
	if o.Flush != "" && o.Durability == fireflypb.Table_WRITE_THROUGH {
		r.fault(CodeFlush, pos(tableFlush), "flush says nothing here: with WRITE_THROUGH a write is stored before it is answered")
	}
	r.checkColumns(t)
	keyOK := true
	t.Key, keyOK = r.keyColumns(md, o.Key, "table", optTable)
	if !keyOK {
		return
	}
	t.Place = t.Key[0]
	if o.AutoId {
		last := t.Key[len(t.Key)-1]
		if k := last.Kind(); !integer(k) || !wide(k) {
			r.fault(CodeAutoID, pos(tableAutoID), fmt.Sprintf("auto_id gives 64-bit numbers, and the last key column %q is %s", last.Name(), kind(last)), at(r.pos(last), "is the field"))
		}
	}
	if o.Place != "" {
		if fd := r.field(md, o.Place, "place", CodeNoColumn, lazy(tablePlace)); fd != nil {
			switch {
			case slices.Contains(t.Key, fd):
				r.fault(CodePlace, pos(tablePlace), fmt.Sprintf("place %q is in the key; begin the key with it instead", o.Place), at(pos(tableKey), "is the key"))
			case fd.HasOptionalKeyword():
				r.fault(CodeColumnKind, pos(tablePlace), fmt.Sprintf("place %q is optional; a row always has its place", o.Place), at(r.pos(fd), "is the field"))
			case r.column(fd, false) != "":
				r.fault(columnCode(r.column(fd, false)), pos(tablePlace), fmt.Sprintf("place %q %s", o.Place, r.column(fd, false)), at(r.pos(fd), "is the field"))
			default:
				t.Place = fd
			}
		}
	}
	t.Index = r.indexes(md, o.Index, t.Key, "table", optTable, tableIndex)
	for i := range t.Index {
		t.Index[i].Exact = t.Index[i].By[0] == t.Place
	}
	r.checkIndexedTypes(t)
}

func wide(k protoreflect.Kind) bool {
	switch k {
	case protoreflect.Int64Kind, protoreflect.Uint64Kind, protoreflect.Sint64Kind, protoreflect.Fixed64Kind, protoreflect.Sfixed64Kind:
		return true
	}
	return false
}

// keyColumns finds the fields of a key; ok when all of them can be one.
func (r *run) keyColumns(md protoreflect.MessageDescriptor, names []string, what string, opt int32) (key []protoreflect.FieldDescriptor, ok bool) {
	pos := func(i int) Pos { return r.opt(md, opt, tableKey, int32(i)) }
	if len(names) == 0 {
		example := "id"
		if md.Fields().Len() > 0 {
			example = string(md.Fields().Get(0).Name())
		}
		r.fault(CodeNoKey, r.opt(md, opt), fmt.Sprintf("%s %s has no key; name the columns that tell its rows apart, e.g. key: %q", what, md.FullName(), example))
		return nil, false
	}
	if len(names) > maxKeyColumns {
		r.fault(CodeKeyTooWide, pos(maxKeyColumns), fmt.Sprintf("a key has at most %d columns, and this one has %d", maxKeyColumns, len(names)))
		return nil, false
	}
	ok = true
	for i, name := range names {
		fd := r.field(md, name, "key", CodeNoColumn, func() Pos { return pos(i) })
		if fd == nil {
			ok = false
			continue
		}
		if slices.Contains(key, fd) {
			r.fault(CodeNamedTwice, pos(i), fmt.Sprintf("%q stands twice in key", name))
			ok = false
			continue
		}
		why := r.column(fd, what == "sheet")
		if why == "" && fd.HasOptionalKeyword() {
			why = "is optional; a key is always there"
		}
		if why != "" {
			r.fault(columnCode(why), pos(i), fmt.Sprintf("key column %q %s", name, why), at(r.pos(fd), "is the field"))
			ok = false
			continue
		}
		key = append(key, fd)
	}
	if ok && what == "table" {
		r.checkIndexSize(key, pos(0))
	}
	return key, ok
}

// columnCode is the code of what column says.
func columnCode(why string) string {
	if strings.HasPrefix(why, "is a string without") {
		return CodeNoMaxLen
	}
	return CodeColumnKind
}

// column says why a field cannot be in a key or an index; "" when it can.
func (r *run) column(fd protoreflect.FieldDescriptor, sheet bool) string {
	switch {
	case fd.IsMap():
		return "is a map; keys are integers, bools, enums and strings"
	case fd.IsList():
		return "is repeated; keys are integers, bools, enums and strings"
	case oneof(fd) != nil:
		return "is in a oneof; keys are always there"
	}
	switch k := fd.Kind(); {
	case integer(k), k == protoreflect.BoolKind, k == protoreflect.EnumKind:
		return ""
	case k == protoreflect.StringKind:
		if !sheet && r.fields[fd.FullName()].rule.GetMaxLen() == 0 {
			return "is a string without max_len; MySQL needs one to index it: [(firefly.v1.rule).max_len = 64]"
		}
		return ""
	}
	return "is " + strings.TrimPrefix(kind(fd), "is ") + "; keys are integers, bools, enums and strings"
}

// checkIndexSize: a key of MySQL has a largest size, and a character may take four bytes.
func (r *run) checkIndexSize(fields []protoreflect.FieldDescriptor, pos Pos) {
	size := uint64(0)
	for _, fd := range fields {
		if fd.Kind() == protoreflect.StringKind {
			size += 4*uint64(r.fields[fd.FullName()].rule.GetMaxLen()) + 2
		} else {
			size += 8
		}
	}
	if size > maxIndexBytes {
		r.fault(CodeIndexTooLong, pos, fmt.Sprintf("these columns take up to %d bytes, and MySQL indexes %d; a character counts four, so lower max_len", size, maxIndexBytes))
	}
}

// indexes finds the fields of indexes; those with faults are left out.
func (r *run) indexes(md protoreflect.MessageDescriptor, opts []*fireflypb.Index, key []protoreflect.FieldDescriptor, what string, opt, field int32) (out []Index) {
	if len(opts) > maxIndexes {
		r.fault(CodeKeyTooWide, r.opt(md, opt, field, maxIndexes), fmt.Sprintf("a %s has at most %d indexes, and this one has %d", what, maxIndexes, len(opts)))
		return nil
	}
	for i, o := range opts {
		at0 := r.opt(md, opt, field, int32(i))
		x := Index{Pos: at0, Unique: o.Unique, Exact: true}
		if len(o.By) == 0 {
			r.fault(CodeNoColumn, at0, "this index names no column; write e.g. index: { by: \"owner_id\" }")
			continue
		}
		if len(o.By) > maxIndexColumns {
			r.fault(CodeKeyTooWide, at0, fmt.Sprintf("an index has at most %d columns, and this one has %d", maxIndexColumns, len(o.By)))
			continue
		}
		ok := true
		for j, name := range o.By {
			pos := r.opt(md, opt, field, int32(i), indexBy, int32(j))
			fd := md.Fields().ByName(protoreflect.Name(name))
			if fd == nil {
				r.fault(CodeNoColumn, pos, fmt.Sprintf("index by %q, which is no field of %s%s", name, md.FullName(), r.hint(name, func() []string { return fieldNames(md) })))
				ok = false
				continue
			}
			if slices.Contains(x.By, fd) {
				r.fault(CodeNamedTwice, pos, fmt.Sprintf("%q stands twice in by", name))
				ok = false
				continue
			}
			if why := r.column(fd, what == "sheet"); why != "" && !(fd.Message() != nil && fd.Message().FullName() == timestampName && !fd.IsList() && what == "table" && oneof(fd) == nil) {
				r.fault(columnCode(why), pos, fmt.Sprintf("index column %q %s", name, why), at(r.pos(fd), "is the field"))
				ok = false
				continue
			}
			x.By = append(x.By, fd)
		}
		if !ok {
			continue
		}
		if slices.Equal(x.By, key) {
			r.fault(CodeIndexIdle, at0, "this index is the key, by which rows are found anyway", at(r.opt(md, opt, tableKey), "is the key"))
			continue
		}
		if j := slices.IndexFunc(out, func(y Index) bool { return slices.Equal(x.By, y.By) }); j >= 0 {
			r.fault(CodeIndexIdle, at0, "there is already an index by these columns", at(out[j].Pos, "is the other one"))
			continue
		}
		if what == "table" {
			r.checkIndexSize(x.By, at0)
		}
		out = append(out, x)
	}
	return out
}

func fieldNames(md protoreflect.MessageDescriptor) []string {
	var names []string
	for i := range md.Fields().Len() {
		names = append(names, string(md.Fields().Get(i).Name()))
	}
	return names
}
