package gen

import (
	"fmt"
	"strings"

	"github.com/dave/jennifer/jen"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/firefly-go/firefly/idl"
	"github.com/firefly-go/firefly/idl/fireflypb"
)

// emitTables writes the types that games use, thin over the generics of runtime/table:
//
//	// ItemKey is the key of an Item.
//	type ItemKey struct {
//		OwnerID int64
//		ID      int64
//	}
//	// ItemTable is the table item.
//	type ItemTable struct{ table.Table[ItemKey, *Item] }
//	// ByOwnerID is exact: its index begins with the column that places the row.
//	func (t *ItemTable) ByOwnerID(ctx context.Context, ownerID int64) ([]*Item, error) {
//		return table.FindAll(ctx, &t.Table, 0, table.IntOf(ownerID))
//	}
//	// Move gives a row another owner_id, in one durable commit.
//	func (t *ItemTable) Move(ctx context.Context, from ItemKey, ownerID int64) (*Item, error)
//	// ItemWrites are the writes of a transaction to the table item.
//	type ItemWrites struct{ table.Writes[ItemKey, *Item] }
//	// ItemSpec describes item to stores. Nobody changes it.
//	func ItemSpec() *table.Spec { return itemSpec }
//	var itemSpec = &table.Spec{Name: "item", ...}
func emitTables(g *generator, p *pkg, f *jen.File) bool {
	for _, t := range p.Tables {
		w := &tableWriter{rows: rows{g: g, t: t, sql: SQLTableOf(t, "")}, f: f}
		w.keyStruct()
		w.table()
		for i := range t.Index {
			w.index(i)
		}
		for _, c := range counters(t) {
			w.add(c)
		}
		w.writes()
		g.emitSpec(f, t)
	}
	return len(p.Tables) > 0
}

type tableWriter struct {
	rows
	f *jen.File
}

// comment writes a comment of several sentences.
func (w *tableWriter) comment(sentences ...string) {
	var said []string
	for _, s := range sentences {
		if s != "" {
			said = append(said, s)
		}
	}
	for _, line := range wrap(strings.Join(said, " "), 100) {
		w.f.Comment("// " + line)
	}
}

// wrap breaks a text into lines.
func wrap(s string, width int) (lines []string) {
	line := ""
	for _, word := range strings.Fields(s) {
		if line != "" && len(line)+1+len(word) > width {
			lines = append(lines, line)
			line = ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	return append(lines, line)
}

func (w *tableWriter) keyStruct() {
	if !wideKey(w.t) {
		return
	}
	n := w.g.names
	fs := keyFields(w.t)
	said := ""
	if len(fs) > len(w.t.Key) {
		said = fmt.Sprintf("%s places the row and is not in the key of the database, but always has to be known.", n.keyField(fs[0]))
	}
	w.comment(fmt.Sprintf("%s is the key of %s.", n.key(w.t), a(n.row(w.t))), said)
	w.f.Type().Id(n.key(w.t)).StructFunc(func(s *jen.Group) {
		for _, fd := range fs {
			s.Id(n.keyField(fd)).Add(w.g.fieldType(fd))
		}
	})
}

// a puts an article before a name.
func a(name string) string {
	if strings.ContainsAny(name[:1], "AEIOU") {
		return "an " + name
	}
	return "a " + name
}

// keyParam is the key as a parameter.
func (w *tableWriter) keyParam() (name string, typ *jen.Statement) {
	if wideKey(w.t) {
		return "key", w.g.keyType(w.t)
	}
	return w.g.names.param(w.t.Key[0]), w.g.keyType(w.t)
}

func (w *tableWriter) table() {
	n, t := w.g.names, w.t
	var unique []string
	for i := range t.Index {
		if t.Index[i].Unique {
			unique = append(unique, fieldNames(t.Index[i].By))
		}
	}
	writes := ""
	switch {
	case t.Opt.GetDurability() == fireflypb.Table_WRITE_THROUGH:
		writes = "Every write is a durable commit: the database has it before it is answered, and without the database there is none."
	case len(unique) > 0:
		writes = fmt.Sprintf("Insert, Delete, and a change of %s are durable commits, since the database judges what is unique.", strings.Join(unique, " or "))
	}
	w.comment(fmt.Sprintf("%s is the table %s.", n.table(t), w.sql.Name), writes)
	if c := plain(t.Comment); c != "" {
		w.f.Comment("//")
		fileComment(w.f, t.Comment, "")
	}
	w.f.Type().Id(n.table(t)).Struct(jen.Qual(tablePath, "Table").Types(w.g.keyType(t), w.row()))
	w.f.Commentf("%s is the table in a database that b.Tables() of a role gives.", n.newTable(t))
	w.f.Func().Id(n.newTable(t)).Params(jen.Id("db").Op("*").Qual(tablePath, "DB")).Op("*").Id(n.table(t)).Block(
		jen.Return(jen.Op("&").Id(n.table(t)).Values(jen.Qual(tablePath, "New").Call(jen.Id("db"), jen.Id(n.codec(t))))))
	if moves(t) {
		to := t.Place
		w.comment(fmt.Sprintf("Move gives a row another %s and keeps the rest of its key, in one durable commit. The row as it is now is given back.", to.Name()),
			"NOT_FOUND when there is none, ALREADY_EXISTS when there is one with the new key.")
		w.method(n.table(t), "t", "Move", []jen.Code{ctxParam(), jen.Id("from").Add(w.g.keyType(t)), jen.Id(n.param(to)).Add(w.g.fieldType(to))},
			jen.Params(w.row(), jen.Error()),
			jen.Return(jen.Qual(tablePath, "Move").Call(jen.Id("ctx"), jen.Op("&").Id("t").Dot("Table"), jen.Id("from"), w.change(to))))
	}
}

// moves reports whether rows can get another place: when that is in the key, beside something else.
func moves(t *idl.Table) bool { return t.Place == t.Key[0] && len(t.Key) > 1 }

// change is the function that sets the place of a row.
func (w *tableWriter) change(to protoreflect.FieldDescriptor) *jen.Statement {
	return jen.Func().Params(jen.Id("m").Add(w.row())).BlockFunc(func(b *jen.Group) { w.set(b, to, jen.Id(w.g.names.param(to))) })
}

func ctxParam() *jen.Statement { return jen.Id("ctx").Add(ctxType()) }

func (w *tableWriter) method(typ, self, name string, params []jen.Code, results *jen.Statement, body ...jen.Code) {
	f := w.f.Func().Params(jen.Id(self).Op("*").Id(typ)).Id(name).Params(params...)
	if results != nil {
		f.Add(results)
	}
	f.Block(body...)
}

// index writes the methods that find rows by an index.
func (w *tableWriter) index(i int) {
	n, t := w.g.names, w.t
	x := &t.Index[i]
	params := []jen.Code{ctxParam()}
	args := []jen.Code{jen.Id("ctx"), jen.Op("&").Id("t").Dot("Table"), jen.Lit(i)}
	var by []jen.Code
	var before []jen.Code
	for j, fd := range x.By {
		typ := w.g.fieldType(fd)
		value := jen.Id(n.param(fd))
		c := &w.sql.Columns[position(t, fd)]
		if c.Nullable && fd.Message() == nil {
			// Absent is a value that rows are found by, too.
			typ = jen.Op("*").Add(typ)
			local := jen.Id("by" + fmt.Sprint(j))
			before = append(before, jen.Var().Add(local).Qual(tablePath, "Value"),
				jen.If(jen.Id(n.param(fd)).Op("!=").Nil()).Block(jen.Add(local).Op("=").Add(tableValue(c, jen.Op("*").Id(n.param(fd))))))
			value = local
		} else {
			value = tableValue(c, value)
		}
		params = append(params, jen.Id(n.param(fd)).Add(typ))
		by = append(by, value)
	}
	call := func(name string, more ...jen.Code) []jen.Code {
		return append(before[:len(before):len(before)], jen.Return(jen.Qual(tablePath, name).Call(append(append(args[:len(args):len(args)], more...), by...)...)))
	}
	if x.Unique {
		w.comment(fmt.Sprintf("%s gives the one row with this %s; NOT_FOUND when there is none. It is unique; the database decides.", n.by(x), fieldNames(x.By)), w.staleness(x))
		w.method(n.table(t), "t", n.by(x), params, jen.Params(w.row(), jen.Error()), call("FindOne")...)
		return
	}
	w.comment(fmt.Sprintf("%s gives the rows with this %s, in the order of their keys.", n.by(x), fieldNames(x.By)), w.staleness(x))
	w.method(n.table(t), "t", n.by(x), params, jen.Params(jen.Index().Add(w.row()), jen.Error()), call("FindAll")...)
	w.comment(fmt.Sprintf("%s gives at most limit of them, those behind the key after; nil: from the beginning.", n.pageBy(x)))
	w.method(n.table(t), "t", n.pageBy(x), append(params, jen.Id("after").Op("*").Add(w.g.keyType(t)), jen.Id("limit").Int()), jen.Params(jen.Index().Add(w.row()), jen.Error()),
		call("FindPage", jen.Id("after"), jen.Id("limit"))...)
}

// staleness says how new the answer of an index is.
func (w *tableWriter) staleness(x *idl.Index) string {
	switch {
	case w.t.Opt.GetDurability() == fireflypb.Table_WRITE_THROUGH:
		return "It is exact: every write is in the database before it is answered."
	case x.Exact:
		return fmt.Sprintf("It is exact: the index begins with %s, which places the row.", w.t.Place.Name())
	case x.Unique:
		return ""
	}
	return fmt.Sprintf("The database answers: what other nodes wrote may be missing for %s.", durationText(w.t.Flush))
}

// bounds says when an addition is refused.
func (w *tableWriter) bounds(c *idl.Column) string {
	col := &w.sql.Columns[position(w.t, c.Desc)]
	low, high := integerBounds(col)
	r := c.Rule
	switch {
	case r != nil && r.Min != nil && r.Max != nil:
		return fmt.Sprintf("below %d or above %d: OUT_OF_RANGE", low, high)
	case r != nil && r.Min != nil:
		return fmt.Sprintf("below %d: OUT_OF_RANGE", low)
	case r != nil && r.Max != nil:
		return fmt.Sprintf("above %d: OUT_OF_RANGE", high)
	case low == 0 || low == 1:
		return fmt.Sprintf("below %d: OUT_OF_RANGE", low)
	}
	return "beyond what its column holds: OUT_OF_RANGE"
}

// absentAdd says what an addition to nothing is.
func (w *tableWriter) absentAdd(c *idl.Column) string {
	if w.sql.Columns[position(w.t, c.Desc)].Nullable {
		return "Absent counts as 0."
	}
	return ""
}

// durableAdd says that an addition to a unique column is slow.
func (w *tableWriter) durableAdd(c *idl.Column) string {
	for i := range w.t.Index {
		for _, fd := range w.t.Index[i].By {
			if w.t.Index[i].Unique && fd == c.Desc {
				return "It is a durable commit, since the column is in a unique index."
			}
		}
	}
	return ""
}

func (w *tableWriter) add(c *idl.Column) {
	n, t := w.g.names, w.t
	key, typ := w.keyParam()
	w.comment(fmt.Sprintf("%s adds to %s in one step, without reading first, and gives the new value; %s.", n.add(c.Desc), c.Desc.Name(), w.bounds(c)), w.absentAdd(c), w.durableAdd(c))
	w.method(n.table(t), "t", n.add(c.Desc), append([]jen.Code{ctxParam()}, keyAndDelta(key, typ)...), jen.Params(jen.Int64(), jen.Error()),
		jen.Return(jen.Qual(tablePath, "Add").Call(jen.Id("ctx"), jen.Op("&").Id("t").Dot("Table"), jen.Id(key), jen.Lit(position(t, c.Desc)), jen.Id("delta"))))
}

// keyAndDelta are the parameters of an addition: id, delta int64.
func keyAndDelta(key string, typ *jen.Statement) []jen.Code {
	if fmt.Sprintf("%#v", typ) == "int64" {
		return []jen.Code{jen.List(jen.Id(key), jen.Id("delta")).Int64()}
	}
	return []jen.Code{jen.Id(key).Add(typ), jen.Id("delta").Int64()}
}

func (w *tableWriter) writes() {
	n, t := w.g.names, w.t
	w.comment(fmt.Sprintf("%s are the writes of a transaction to the table %s.", n.writes(t), w.sql.Name))
	w.f.Type().Id(n.writes(t)).Struct(jen.Qual(tablePath, "Writes").Types(w.g.keyType(t), w.row()))
	w.f.Commentf("%s are the writes of tx.", n.newWrites(t))
	w.f.Func().Id(n.newWrites(t)).Params(jen.Id("tx").Op("*").Qual(tablePath, "Tx")).Id(n.writes(t)).Block(
		jen.Return(jen.Id(n.writes(t)).Values(jen.Qual(tablePath, "WritesOf").Call(jen.Id("tx"), jen.Id(n.codec(t))))))
	key, typ := w.keyParam()
	for _, c := range counters(t) {
		w.comment(fmt.Sprintf("%s adds to %s when the transaction is committed; %s.", n.add(c.Desc), c.Desc.Name(), w.bounds(c)), w.absentAdd(c), w.durableAdd(c))
		w.method(n.writes(t), "w", n.add(c.Desc), keyAndDelta(key, typ), nil,
			jen.Qual(tablePath, "AddIn").Call(jen.Op("&").Id("w").Dot("Writes"), jen.Id(key), jen.Lit(position(t, c.Desc)), jen.Id("delta")))
	}
	if moves(t) {
		to := t.Place
		w.comment(fmt.Sprintf("Move gives a row another %s and keeps the rest of its key. It makes the transaction a durable commit.", to.Name()))
		w.method(n.writes(t), "w", "Move", []jen.Code{jen.Id("from").Add(typ), jen.Id(n.param(to)).Add(w.g.fieldType(to))}, nil,
			jen.Qual(tablePath, "MoveIn").Call(jen.Op("&").Id("w").Dot("Writes"), jen.Id("from"), w.change(to)))
	}
}
