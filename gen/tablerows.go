package gen

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/dave/jennifer/jen"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/firefly-go/firefly/idl"
)

// emitRows writes the codec of every table: how its messages become values and back, field by field.
//
//	var itemCodec = &table.Codec[ItemKey, *Item]{
//		Spec: itemSpec,
//		New:  func() *Item { return &Item{} },
//		Ref: func(key ItemKey) table.Ref {
//			return itemSpec.RefTo(table.KeyOf(table.IntOf(key.OwnerID), table.IntOf(key.ID)))
//		},
//		Values: func(m *Item, v []table.Value) ([]table.Value, error) {
//			return append(v, table.IntOf(m.OwnerId), table.IntOf(m.Id), table.IntOf(int64(m.WeaponId))), nil
//		},
//		Set: func(m *Item, v []table.Value) error {
//			d := table.NewDecoder(itemSpec)
//			m.OwnerId = v[0].Int()
//			m.WeaponId = d.Int32(v, 2)
//			...
//			return d.Err()
//		},
//	}
func emitRows(g *generator, p *pkg, f *jen.File) bool {
	ruled := map[protoreflect.FullName]bool{}
	for _, r := range p.Ruled {
		ruled[r.Desc.FullName()] = true
	}
	for _, t := range p.Tables {
		r := &rows{g: g, t: t, sql: SQLTableOf(t, "")}
		r.emit(f, ruled[t.Desc.FullName()])
	}
	return len(p.Tables) > 0
}

type rows struct {
	g   *generator
	t   *idl.Table
	sql *SQLTable
}

func (r *rows) message() *jen.Statement { return r.g.messageType(r.t.Desc) }
func (r *rows) row() *jen.Statement     { return jen.Op("*").Add(r.message()) }

// keyType is the type of a key in Go.
func (g *generator) keyType(t *idl.Table) *jen.Statement {
	if wideKey(t) {
		return jen.Id(g.names.key(t))
	}
	return g.fieldType(keyFields(t)[0])
}

// fieldType is the Go type of a value of a field that can be in a key or an index, without presence.
func (g *generator) fieldType(fd protoreflect.FieldDescriptor) *jen.Statement {
	switch fd.Kind() {
	case protoreflect.BoolKind:
		return jen.Bool()
	case protoreflect.StringKind:
		return jen.String()
	case protoreflect.BytesKind:
		return bytesType()
	case protoreflect.EnumKind:
		id := g.names.enums[fd.Enum().FullName()].GoIdent
		return jen.Qual(string(id.GoImportPath), id.GoName)
	case protoreflect.FloatKind:
		return jen.Float32()
	case protoreflect.DoubleKind:
		return jen.Float64()
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind:
		return jen.Int32()
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		return jen.Uint32()
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return jen.Uint64()
	case protoreflect.MessageKind, protoreflect.GroupKind:
		return jen.Op("*").Add(g.messageType(fd.Message()))
	}
	return jen.Int64()
}

// value is a single value of a column as a table.Value.
func (r *rows) value(fd protoreflect.FieldDescriptor, x *jen.Statement) *jen.Statement {
	return tableValue(&r.sql.Columns[position(r.t, fd)], x)
}

func tableValue(c *SQLColumn, x *jen.Statement) *jen.Statement {
	of := func(name string, x ...jen.Code) *jen.Statement { return jen.Qual(tablePath, name+"Of").Call(x...) }
	fd := c.Column.Desc
	if isTimestamp(fd) {
		return of("Timestamp", x, timestampUnit(c))
	}
	switch kind := columnKind(fd); fd.Kind() {
	case protoreflect.BoolKind:
		return of("Bool", x)
	case protoreflect.FloatKind:
		return of("Float", jen.Float64().Call(x))
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind, protoreflect.EnumKind:
		return of(kind, jen.Int64().Call(x))
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		return of(kind, jen.Uint64().Call(x))
	default:
		return of(kind, x)
	}
}

func (r *rows) emit(f *jen.File, ruled bool) {
	n, t := r.g.names, r.t
	var check, setID *jen.Statement
	if r.emitColumnCheck(f, ruled) {
		check = jen.Id(n.columnCheck(t))
	} else if ruled {
		check = jen.Parens(r.row()).Dot("CheckRules")
	}
	if t.Opt.GetAutoId() {
		last := t.Key[len(t.Key)-1]
		id := jen.Id("id")
		if columnKind(last) == "Uint" {
			id = jen.Uint64().Call(id)
		}
		setID = jen.Func().Params(jen.Id("m").Add(r.row()), jen.Id("id").Int64()).BlockFunc(func(b *jen.Group) { r.set(b, last, id) })
	}
	key := r.g.keyType(t)
	f.Commentf("%s is how rows of %s become values and back.", n.codec(t), n.table(t))
	f.Var().Id(n.codec(t)).Op("=").Op("&").Add(fields{
		{"Spec", jen.Id(n.specVar(t))},
		{"New", jen.Func().Params().Add(r.row()).Block(jen.Return(jen.Op("&").Add(r.message()).Values()))},
		{"Ref", jen.Func().Params(jen.Id("key").Add(key)).Qual(tablePath, "Ref").Block(jen.Return(r.ref()))},
		{"KeyOf", jen.Func().Params(jen.Id("m").Add(r.row())).Add(key).Block(jen.Return(r.keyOf()))},
		{"Values", jen.Func().Params(jen.Id("m").Add(r.row()), jen.Id("v").Index().Qual(tablePath, "Value")).Params(jen.Index().Qual(tablePath, "Value"), jen.Error()).BlockFunc(r.values)},
		{"Set", jen.Func().Params(jen.Id("m").Add(r.row()), jen.Id("v").Index().Qual(tablePath, "Value")).Error().BlockFunc(r.setAll)},
		{"Check", check},
		{"SetID", setID},
	}.values(jen.Qual(tablePath, "Codec").Types(key, r.row())))
}

// keyPart is a key field of the parameter key.
func (r *rows) keyPart(fd protoreflect.FieldDescriptor) *jen.Statement {
	if wideKey(r.t) {
		return jen.Id("key").Dot(r.g.names.keyField(fd))
	}
	return jen.Id("key")
}

func (r *rows) ref() *jen.Statement {
	var parts []jen.Code
	for _, fd := range r.t.Key {
		parts = append(parts, r.value(fd, r.keyPart(fd)))
	}
	key := jen.Qual(tablePath, "KeyOf").Call(parts...)
	if r.t.Place == r.t.Key[0] {
		return jen.Id(r.g.names.specVar(r.t)).Dot("RefTo").Call(key)
	}
	return jen.Qual(tablePath, "Ref").Values(
		jen.Id("Table").Op(":").Id(r.g.names.specVar(r.t)),
		jen.Id("Key").Op(":").Add(key),
		jen.Id("Place").Op(":").Qual(tablePath, "PlaceOf").Call(r.value(r.t.Place, r.keyPart(r.t.Place))))
}

func (r *rows) keyOf() *jen.Statement {
	get := func(fd protoreflect.FieldDescriptor) *jen.Statement {
		return jen.Id("m").Dot("Get" + r.g.names.field(fd).GoName).Call()
	}
	if !wideKey(r.t) {
		return get(r.t.Key[0])
	}
	var parts []jen.Code
	for _, fd := range keyFields(r.t) {
		parts = append(parts, jen.Id(r.g.names.keyField(fd)).Op(":").Add(get(fd)))
	}
	return jen.Id(r.g.names.key(r.t)).Values(parts...)
}

// optional reports whether the Go field of a single value is a pointer, or bytes of which nil is absent.
func optional(fd protoreflect.FieldDescriptor) bool {
	return fd.Message() == nil && fd.HasPresence()
}

// values writes the body of Codec.Values.
func (r *rows) values(b *jen.Group) {
	b.If(jen.Id("m").Op("==").Nil()).Block(jen.Return(jen.Nil(), jen.Qual(tablePath, "ErrNilRow")))
	encodes := false
	var parts []jen.Code
	for i := range r.t.Columns {
		c := &r.sql.Columns[i]
		fd := c.Column.Desc
		goName := r.g.names.field(fd).GoName
		field := jen.Id("m").Dot(goName)
		local := jen.Id("v" + strconv.Itoa(i))
		switch {
		case isTimestamp(fd):
			parts = append(parts, tableValue(c, field))
			continue
		case fd.IsList(), fd.IsMap():
			// As in a message that has nothing else.
			if !encodes {
				b.Var().Id("e").Qual(tablePath, "Encoder")
				encodes = true
			}
			b.Add(local).Op(":=").Qual(tablePath, "Zero").Call(jen.Qual(tablePath, "Bytes"))
			b.If(jen.Len(field).Op(">").Lit(0)).Block(
				jen.Add(local).Op("=").Id("e").Dot("Message").Call(jen.Lit(string(fd.Name())), jen.Op("&").Add(r.message()).Values(jen.Id(goName).Op(":").Add(field))))
		case fd.Message() != nil:
			if !encodes {
				b.Var().Id("e").Qual(tablePath, "Encoder")
				encodes = true
			}
			parts = append(parts, jen.Id("e").Dot("Message").Call(jen.Lit(string(fd.Name())), field))
			continue
		case optional(fd) && c.Nullable || optional(fd) && !fixed(r.t, fd):
			x := jen.Op("*").Add(field)
			if fd.Kind() == protoreflect.BytesKind {
				x = field
			}
			b.Var().Add(local).Qual(tablePath, "Value")
			b.If(jen.Add(field).Op("!=").Nil()).Block(jen.Add(local).Op("=").Add(tableValue(c, x)))
		case optional(fd):
			parts = append(parts, tableValue(c, jen.Id("m").Dot("Get"+goName).Call()))
			continue
		default:
			parts = append(parts, tableValue(c, field))
			continue
		}
		parts = append(parts, local)
	}
	all := (&jen.Statement{}).Id("append").Custom(jen.Options{Open: "(", Close: ")", Separator: ",", Multi: true}, append([]jen.Code{jen.Id("v")}, parts...)...)
	if !encodes {
		b.Return(all, jen.Nil())
		return
	}
	b.Id("v").Op("=").Add(all)
	b.Return(jen.Id("v"), jen.Id("e").Dot("Err").Call())
}

// setAll writes the body of Codec.Set.
func (r *rows) setAll(b *jen.Group) {
	decodes := false
	for i := range r.t.Columns {
		fd := r.t.Columns[i].Desc
		narrow := fd.Kind() == protoreflect.EnumKind || strings.HasSuffix(fd.Kind().String(), "32")
		if fd.IsList() || fd.IsMap() || fd.Message() != nil && !isTimestamp(fd) || narrow {
			decodes = true
		}
	}
	if decodes {
		b.Id("d").Op(":=").Qual(tablePath, "NewDecoder").Call(jen.Id(r.g.names.specVar(r.t)))
	}
	for i := range r.t.Columns {
		c := &r.sql.Columns[i]
		fd := c.Column.Desc
		goName := r.g.names.field(fd).GoName
		field := jen.Id("m").Dot(goName)
		v := jen.Id("v").Index(jen.Lit(i))
		decode := func(name string, x ...jen.Code) *jen.Statement {
			return jen.Id("d").Dot(name).Call(append([]jen.Code{jen.Id("v"), jen.Lit(i)}, x...)...)
		}
		switch {
		case isTimestamp(fd):
			b.Add(field).Op("=").Add(v).Dot("Timestamp").Call()
		case fd.IsList(), fd.IsMap():
			b.If(jen.Add(v).Dot("Text").Call().Op("!=").Lit("")).Block(
				jen.Id("x").Op(":=").Op("&").Add(r.message()).Values(),
				decode("Message", jen.Id("x")),
				jen.Add(field).Op("=").Id("x").Dot(goName))
		case fd.Message() != nil:
			b.If(jen.Op("!").Add(v).Dot("IsNull").Call()).Block(
				jen.Add(field).Op("=").Op("&").Add(r.g.messageType(fd.Message())).Values(),
				decode("Message", field))
		case optional(fd):
			b.If(jen.Op("!").Add(v).Dot("IsNull").Call()).BlockFunc(func(b *jen.Group) { r.set(b, fd, r.fieldValue(fd, i)) })
		case fd.Kind() == protoreflect.BytesKind:
			b.If(jen.Add(v).Dot("Text").Call().Op("!=").Lit("")).Block(jen.Add(field).Op("=").Add(v).Dot("Bytes").Call())
		default:
			b.Add(field).Op("=").Add(r.fieldValue(fd, i))
		}
	}
	if decodes {
		b.Return(jen.Id("d").Dot("Err").Call())
	} else {
		b.Return(jen.Nil())
	}
}

// set gives a single field a value.
func (r *rows) set(b *jen.Group, fd protoreflect.FieldDescriptor, x *jen.Statement) {
	field := jen.Id("m").Dot(r.g.names.field(fd).GoName)
	if !optional(fd) || fd.Kind() == protoreflect.BytesKind {
		b.Add(field).Op("=").Add(x)
		return
	}
	b.Id("x").Op(":=").Add(x)
	b.Add(field).Op("=").Op("&").Id("x")
}

// fieldValue is the value of column i as the Go type of its field.
func (r *rows) fieldValue(fd protoreflect.FieldDescriptor, i int) *jen.Statement {
	v := jen.Id("v").Index(jen.Lit(i))
	d := func(name string) *jen.Statement { return jen.Id("d").Dot(name).Call(jen.Id("v"), jen.Lit(i)) }
	switch fd.Kind() {
	case protoreflect.BoolKind:
		return v.Dot("Bool").Call()
	case protoreflect.StringKind:
		return v.Dot("Text").Call()
	case protoreflect.BytesKind:
		return v.Dot("Bytes").Call()
	case protoreflect.EnumKind:
		return r.g.fieldType(fd).Call(d("Int32"))
	case protoreflect.FloatKind:
		return jen.Float32().Call(v.Dot("Float").Call())
	case protoreflect.DoubleKind:
		return v.Dot("Float").Call()
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind:
		return d("Int32")
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		return d("Uint32")
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return v.Dot("Uint").Call()
	}
	return v.Dot("Int").Call()
}

// emitColumnCheck writes the check of what the types of the columns in MySQL take and no rule says;
// false when there is nothing to check. What a table.Column can say itself is not in it.
func (r *rows) emitColumnCheck(f *jen.File, ruled bool) bool {
	var checks []jen.Code
	for i := range r.t.Columns {
		c := &r.sql.Columns[i]
		fd := c.Column.Desc
		if fd.IsList() || fd.IsMap() || fd.Message() != nil {
			continue
		}
		head, args, unsigned := typeHead(c.Types[MySQL])
		get := jen.Id("m").Dot("Get" + r.g.names.field(fd).GoName).Call()
		name := string(fd.Name())
		check := func(bad *jen.Statement, format string, args ...jen.Code) {
			if optional(fd) && !fixed(r.t, fd) {
				bad = jen.Id("m").Dot(r.g.names.field(fd).GoName).Op("!=").Nil().Op("&&").Add(bad)
			}
			checks = append(checks, jen.If(bad).Block(broken(name+" "+format, args...)))
		}
		switch columnKind(fd) {
		case "Float":
			low, high := floatBounds(head, args, unsigned, fd.Kind())
			if low > -math.MaxFloat64 {
				check(jen.Op("!").Parens(jen.Add(get).Op(">=").Add(floatLit(low))), "is %v, and its column begins with "+number(low), get)
			}
			if high < math.MaxFloat64 {
				check(jen.Op("!").Parens(jen.Add(get).Op("<=").Add(floatLit(high))), "is %v, and its column ends with "+number(high), get)
			}
		case "Int", "Uint":
			if head == "YEAR" {
				check(jen.Add(get).Op(">").Lit(0).Op("&&").Add(get).Op("<").Lit(1901), "is %v, and the years of its column are 0 and 1901 to 2155", get)
			}
		case "Text":
			switch head {
			case "ENUM", "SET":
				inType, how := "InEnum", ""
				if head == "SET" {
					inType, how = "InSet", " in this order"
				}
				values := []jen.Code{get}
				for _, s := range quotedValues(c.Types[MySQL]) {
					values = append(values, jen.Lit(s))
				}
				check(jen.Op("!").Qual(tablePath, inType).Call(values...), "is %q, which "+escape(c.Types[MySQL])+" does not have"+how, get)
			case "JSON":
				check(jen.Op("!").Qual("encoding/json", "Valid").Call(bytesType().Call(get)), "is no JSON")
			case "TIME":
				check(jen.Op("!").Qual(tablePath, "IsTime").Call(get), "is %q, and its column has times like 23:59:59", get)
			}
		}
	}
	if len(checks) == 0 {
		return false
	}
	f.Commentf("%s says which field its column does not take: INVALID_ARGUMENT.", r.g.names.columnCheck(r.t))
	f.Func().Id(r.g.names.columnCheck(r.t)).Params(jen.Id("m").Add(r.row())).Error().BlockFunc(func(b *jen.Group) {
		for _, c := range checks {
			b.Add(c)
		}
		if ruled {
			b.Return(jen.Id("m").Dot("CheckRules").Call())
		} else {
			b.Return(jen.Nil())
		}
	})
	return true
}

// quotedValues are those of ENUM('a','b'); there are no quotes inside of them.
func quotedValues(typ string) []string {
	_, list, _ := strings.Cut(typ, "('")
	return strings.Split(strings.TrimSuffix(list, "')"), "','")
}

// floatBounds are what a type of MySQL has of numbers with a fraction.
func floatBounds(head string, args []string, unsigned bool, k protoreflect.Kind) (low, high float64) {
	high = math.MaxFloat64
	switch {
	case head == "FLOAT" && k == protoreflect.DoubleKind:
		high = math.MaxFloat32
	case head == "DECIMAL":
		digits, scale := 10, 0
		if len(args) > 0 {
			digits, _ = strconv.Atoi(args[0])
		}
		if len(args) > 1 {
			scale, _ = strconv.Atoi(args[1])
		}
		// 99999999.99 of DECIMAL(10,2): what is rounded up to more does not fit.
		high, _ = strconv.ParseFloat(fmt.Sprintf("%se-%d", strings.Repeat("9", min(max(digits, 1), 65)), scale), 64)
	}
	low = -high
	if unsigned {
		low = 0
	}
	return low, high
}
