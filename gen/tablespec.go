package gen

import (
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/dave/jennifer/jen"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/firefly-go/firefly/idl"
	"github.com/firefly-go/firefly/idl/fireflypb"
)

// What a table is to stores: its table.Spec.

// keyFields are the fields of a key in Go: what places the row first, where it is not in the key.
func keyFields(t *idl.Table) []protoreflect.FieldDescriptor {
	if slices.Contains(t.Key, t.Place) {
		return t.Key
	}
	return append([]protoreflect.FieldDescriptor{t.Place}, t.Key...)
}

// wideKey reports whether a key is a struct.
func wideKey(t *idl.Table) bool { return len(keyFields(t)) > 1 }

// position is that of a field among the columns.
func position(t *idl.Table, fd protoreflect.FieldDescriptor) int {
	return slices.IndexFunc(t.Columns, func(c idl.Column) bool { return c.Desc == fd })
}

func positions(t *idl.Table, fds []protoreflect.FieldDescriptor) *jen.Statement {
	parts := make([]jen.Code, len(fds))
	for i, fd := range fds {
		parts[i] = jen.Lit(position(t, fd))
	}
	return jen.Index().Int().Values(parts...)
}

// fixed reports whether a column never changes: it is in the key, or places the row.
func fixed(t *idl.Table, fd protoreflect.FieldDescriptor) bool {
	return fd == t.Place || slices.Contains(t.Key, fd)
}

// counters are the columns that additions exist for.
func counters(t *idl.Table) []*idl.Column {
	var out []*idl.Column
	for i := range t.Columns {
		if c := &t.Columns[i]; isInteger(c.Desc) && !fixed(t, c.Desc) {
			out = append(out, c)
		}
	}
	return out
}

func isInteger(fd protoreflect.FieldDescriptor) bool {
	if fd.IsList() || fd.IsMap() {
		return false
	}
	switch fd.Kind() {
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind, protoreflect.Uint32Kind, protoreflect.Fixed32Kind,
		protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind, protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return true
	}
	return false
}

// columnKind is the table.Kind of a column, by name.
func columnKind(fd protoreflect.FieldDescriptor) string {
	if isTimestamp(fd) {
		return "Int"
	}
	if fd.IsList() || fd.IsMap() || fd.Message() != nil {
		return "Bytes"
	}
	switch fd.Kind() {
	case protoreflect.BytesKind:
		return "Bytes"
	case protoreflect.StringKind:
		return "Text"
	case protoreflect.FloatKind, protoreflect.DoubleKind:
		return "Float"
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind, protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return "Uint"
	}
	return "Int"
}

// integerBounds are the least and the greatest number of a column: what its field, its type in SQL and
// its rule have in common. Of an unsigned field of 64 bits the greatest is that of int64.
func integerBounds(c *SQLColumn) (low, high int64) {
	fd := c.Column.Desc
	low, high = math.MinInt64, math.MaxInt64
	switch k := fd.Kind(); {
	case isTimestamp(fd):
		// The years 1 to 9999; what SQL calls a date begins later.
		low, high = -62_135_596_800_000_000, 253_402_300_799_999_999
		head, _, _ := typeHead(c.Types[MySQL])
		switch head {
		case "DATETIME", "DATE":
			low = -30_610_224_000_000_000 // the year 1000
		case "TIMESTAMP":
			low, high = 1_000_000, math.MaxInt32*1_000_000+999_999
		}
		return low, high
	case k == protoreflect.BoolKind:
		return 0, 1
	case k == protoreflect.Int32Kind, k == protoreflect.Sint32Kind, k == protoreflect.Sfixed32Kind, k == protoreflect.EnumKind:
		low, high = math.MinInt32, math.MaxInt32
	case k == protoreflect.Uint32Kind, k == protoreflect.Fixed32Kind:
		low, high = 0, math.MaxUint32
	case k == protoreflect.Uint64Kind, k == protoreflect.Fixed64Kind:
		low = 0
	}
	if l := c.Limits; l.Integer {
		low = max(low, l.Min)
		if l.Max < uint64(high) {
			high = int64(l.Max)
		}
	}
	if r := c.Column.Rule; r != nil {
		// idl has them as integers below 2^53.
		if r.Min != nil {
			low = max(low, int64(math.Ceil(r.GetMin())))
		}
		if r.Max != nil {
			high = min(high, int64(math.Floor(r.GetMax())))
		}
		if r.GetRequired() && !fd.HasPresence() && low == 0 && high > 0 {
			low = 1 // additions do not ask the rule, so the bounds say it
		}
	}
	return low, high
}

// maxRow is table.MaxRow: no limit beyond it is worth a check.
const maxRow = 512 << 10

// lengthBound is the longest that a Text or Bytes may be, in characters or bytes; 0: as long as a row.
func lengthBound(c *SQLColumn) (n int, inBytes bool) {
	fd, l := c.Column.Desc, c.Limits
	rule := uint64(0)
	if !fd.IsList() && !fd.IsMap() {
		rule = uint64(c.Column.Rule.GetMaxLen())
	}
	typ := l.MaxLen
	if typ > maxRow {
		typ = 0
	}
	if fd.Kind() != protoreflect.StringKind || fd.IsList() || fd.IsMap() {
		return int(least(rule, typ)), false
	}
	if !l.Bytes {
		return int(least(rule, typ)), false
	}
	if rule > 0 && (typ == 0 || rule*4 <= typ) {
		return int(rule), false // every text of so many characters fits
	}
	return int(typ), typ > 0
}

// least is the smaller of two limits, of which 0 is none.
func least(a, b uint64) uint64 {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// emitSpec writes the Spec of a table.
func (g *generator) emitSpec(f *jen.File, t *idl.Table) {
	s := SQLTableOf(t, "")
	f.Commentf("%s describes %s to stores. Nobody changes it.", g.names.spec(t), s.Name)
	f.Func().Id(g.names.spec(t)).Params().Op("*").Qual(tablePath, "Spec").Block(jen.Return(jen.Id(g.names.specVar(t))))
	var indexes *jen.Statement
	if len(t.Index) > 0 {
		var parts []jen.Code
		for i := range t.Index {
			x := &t.Index[i]
			parts = append(parts, oneLineFields{
				{"Name", jen.Lit(s.Indexes[i].Names[MySQL])},
				{"By", positions(t, x.By)},
				{"Unique", isTrue(x.Unique)},
				{"Exact", isTrue(x.Exact)},
			}.values())
		}
		indexes = jen.Index().Qual(tablePath, "Index").Add(multi(parts))
	}
	var near *jen.Statement
	if t.NearTTL > 0 {
		rows := int(t.Opt.GetNear().GetRows())
		if rows == 0 {
			rows = 10000
		}
		near = jen.Qual(tablePath, "Near").Values(jen.Id("Rows").Op(":").Lit(rows), jen.Id("TTL").Op(":").Add(duration(t.NearTTL)))
	}
	var place, durability, flush *jen.Statement
	if p := position(t, t.Place); p != 0 {
		place = jen.Lit(p)
	}
	switch t.Opt.GetDurability() {
	case fireflypb.Table_REPLICATED:
		durability = jen.Qual(tablePath, "Replicated")
	case fireflypb.Table_WRITE_THROUGH:
		durability = jen.Qual(tablePath, "WriteThrough")
	}
	if durability == nil || t.Opt.GetDurability() == fireflypb.Table_REPLICATED {
		flush = duration(t.Flush)
	}
	f.Var().Id(g.names.specVar(t)).Op("=").Op("&").Add(fields{
		{"Name", jen.Lit(s.Name)},
		{"Message", jen.Lit(string(t.Desc.FullName()))},
		{"Columns", g.specColumns(t, s)},
		{"Key", positions(t, t.Key)},
		{"Place", place},
		{"AutoID", isTrue(t.Opt.GetAutoId())},
		{"Indexes", indexes},
		{"Durability", durability},
		{"Flush", flush},
		{"Idle", duration(t.Idle)},
		{"Near", near},
		{"Shape", hash(tableShape(t).Shape.value())},
		{"MySQL", g.specSQL(t, s, MySQL)},
		{"SQLite", g.specSQL(t, s, SQLite)},
	}.values(jen.Qual(tablePath, "Spec")))
}

// oneLineFields is a composite literal without a type on one line.
type oneLineFields fields

func (fs oneLineFields) values() *jen.Statement {
	var parts []jen.Code
	for _, f := range fs {
		if f.value != nil {
			parts = append(parts, jen.Id(f.name).Op(":").Add(f.value))
		}
	}
	return jen.Values(parts...)
}

func (g *generator) specColumns(t *idl.Table, s *SQLTable) *jen.Statement {
	counter := map[protoreflect.FieldDescriptor]bool{}
	for _, c := range counters(t) {
		counter[c.Desc] = true
	}
	var parts []jen.Code
	for i := range t.Columns {
		c := &s.Columns[i]
		fd := c.Column.Desc
		kind := columnKind(fd)
		var low, high, length, enum, fraction *jen.Statement
		inBytes := false
		switch {
		case fd.Kind() == protoreflect.EnumKind && kind == "Int":
			enum = enumNumbers(fd.Enum())
		case kind == "Int", kind == "Uint":
			lo, hi := integerBounds(c)
			if lo != 0 {
				low = intLit(lo)
			}
			high = intLit(hi)
		case kind == "Text", kind == "Bytes":
			n, b := lengthBound(c)
			if inBytes = b; n > 0 {
				length = jen.Lit(n)
			}
		}
		if c.Datetime && c.Fraction > 0 {
			fraction = jen.Lit(int(c.Fraction))
		}
		parts = append(parts, oneLineFields{
			{"Number", jen.Lit(int(fd.Number()))},
			{"Field", jen.Lit(string(fd.Name()))},
			{"Name", jen.Lit(c.Name)},
			{"Kind", jen.Qual(tablePath, kind)},
			{"Nullable", isTrue(c.Nullable)},
			{"Counter", isTrue(counter[fd])},
			{"Min", low},
			{"Max", high},
			{"MaxLen", length},
			{"LenBytes", isTrue(inBytes)},
			{"Enum", enum},
			{"Datetime", isTrue(c.Datetime)},
			{"Fraction", fraction},
		}.values())
	}
	return jen.Index().Qual(tablePath, "Column").Add(multi(parts))
}

// intLit writes a number; the ends of types by their names.
func intLit(n int64) *jen.Statement {
	for name, v := range map[string]int64{
		"MinInt8": math.MinInt8, "MaxInt8": math.MaxInt8, "MaxUint8": math.MaxUint8, "MinInt16": math.MinInt16, "MaxInt16": math.MaxInt16, "MaxUint16": math.MaxUint16,
		"MinInt32": math.MinInt32, "MaxInt32": math.MaxInt32, "MaxUint32": math.MaxUint32, "MinInt64": math.MinInt64, "MaxInt64": math.MaxInt64,
	} {
		if v == n && (n > 1000 || n < -1000) {
			return jen.Qual("math", name)
		}
	}
	return jen.Op(strconv.FormatInt(n, 10))
}

// enumNumbers are the numbers of an enum, ascending.
func enumNumbers(ed protoreflect.EnumDescriptor) *jen.Statement {
	var ns []int
	for i := range ed.Values().Len() {
		ns = append(ns, int(ed.Values().Get(i).Number()))
	}
	slices.Sort(ns)
	parts := []jen.Code{}
	for _, n := range slices.Compact(ns) {
		parts = append(parts, jen.Lit(n))
	}
	return jen.Index().Int32().Values(parts...)
}

// specSQL names the constants of a dialect.
func (g *generator) specSQL(t *idl.Table, s *SQLTable, d SQLDialect) *jen.Statement {
	var fs fields
	lists := map[string][]jen.Code{}
	adds := map[string]jen.Code{}
	for _, x := range statementsOf(g.names, t, d) {
		name := jen.Id(g.names.statement(d, t, x.what))
		switch x.field {
		case "Adds":
			adds[x.what] = name
		case "Find", "FindAfter", "Indexes":
			lists[x.field] = append(lists[x.field], name)
		default:
			fs = append(fs, field{x.field, name})
		}
	}
	strings := func(parts []jen.Code) *jen.Statement {
		if len(parts) == 0 {
			return nil
		}
		return jen.Index().String().Values(parts...)
	}
	var types []jen.Code
	for i := range t.Columns {
		types = append(types, jen.Lit(s.Columns[i].Types[d]))
		add, ok := adds["Column"+g.names.keyField(t.Columns[i].Desc)]
		if !ok {
			add = jen.Lit("") // of the key
		}
		lists["Adds"] = append(lists["Adds"], add)
	}
	fs = append(fs, field{"Find", strings(lists["Find"])}, field{"FindAfter", strings(lists["FindAfter"])}, field{"Types", strings(types)},
		field{"Adds", strings(lists["Adds"])}, field{"Indexes", strings(lists["Indexes"])})
	return fs.values(jen.Qual(tablePath, "SQL"))
}

// timestampUnit is how exactly a column keeps a moment.
func timestampUnit(c *SQLColumn) *jen.Statement {
	if !c.Datetime {
		return jen.Qual("time", "Microsecond")
	}
	if head, _, _ := typeHead(c.Types[MySQL]); head == "DATE" {
		return jen.Lit(24).Op("*").Qual("time", "Hour")
	}
	d := time.Second
	for range min(c.Fraction, 6) {
		d /= 10
	}
	if d == time.Microsecond {
		return jen.Qual("time", "Microsecond")
	}
	return duration(d)
}
