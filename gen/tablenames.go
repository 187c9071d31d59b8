package gen

import (
	"fmt"
	"go/token"
	"slices"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/firefly-go/firefly/idl"
)

// Names of tables, a part of names.go. Tables own the suffixes Table, Writes, Key, Spec and Codec;
// the names of their statements begin with the dialect.

func (n *names) row(t *idl.Table) string { return n.messages[t.Desc.FullName()].GoIdent.GoName }

func (n *names) table(t *idl.Table) string     { return n.row(t) + "Table" }
func (n *names) newTable(t *idl.Table) string  { return "New" + n.row(t) + "Table" }
func (n *names) writes(t *idl.Table) string    { return n.row(t) + "Writes" }
func (n *names) newWrites(t *idl.Table) string { return "New" + n.row(t) + "Writes" }
func (n *names) key(t *idl.Table) string       { return n.row(t) + "Key" }
func (n *names) spec(t *idl.Table) string      { return n.row(t) + "Spec" }
func (n *names) specVar(t *idl.Table) string   { return lowerFirst(n.row(t)) + "Spec" }
func (n *names) codec(t *idl.Table) string     { return lowerFirst(n.row(t)) + "Codec" }

// columnCheck is the function that checks what the types of the columns in SQL take.
func (n *names) columnCheck(t *idl.Table) string { return "check" + n.row(t) + "Columns" }

// statement is the constant of a statement: mysqlItemGet.
func (n *names) statement(d SQLDialect, t *idl.Table, what string) string {
	return d.String() + n.row(t) + what
}

// by names an index in methods and statements: ByOwnerID.
func (n *names) by(x *idl.Index) string {
	s := "By"
	for _, fd := range x.By {
		s += exported(string(fd.Name()))
	}
	return s
}

func (n *names) pageBy(x *idl.Index) string                      { return "Page" + n.by(x) }
func (n *names) add(fd protoreflect.FieldDescriptor) string      { return "Add" + n.keyField(fd) }
func (n *names) keyField(fd protoreflect.FieldDescriptor) string { return exported(string(fd.Name())) }

// param is a field as a parameter: ownerID.
func (n *names) param(fd protoreflect.FieldDescriptor) string {
	ws := words(string(fd.Name()))
	if len(ws) == 0 {
		return "value"
	}
	name := strings.ToLower(ws[0])
	if rest := strings.Join(ws[1:], "_"); rest != "" {
		name += strings.TrimPrefix(exported(rest), "X")
	}
	if token.IsKeyword(name) || builtins[name] || inMethods[name] {
		name += "Value"
	}
	return name
}

// inMethods are the names that generated methods of tables use themselves.
var inMethods = set("after by0 by1 by2 by3 ctx delta from key limit m math t table tx time timestamppb v w x")

// tableNames are the names that a table takes in its package.
func (n *names) tableNames(t *idl.Table) []string {
	out := []string{n.table(t), n.newTable(t), n.writes(t), n.newWrites(t), n.spec(t), n.specVar(t), n.codec(t), n.columnCheck(t)}
	if wideKey(t) {
		out = append(out, n.key(t))
	}
	for _, d := range []SQLDialect{MySQL, SQLite} {
		for _, s := range statementsOf(n, t, d) {
			out = append(out, n.statement(d, t, s.what))
		}
	}
	slices.Sort(out)
	return slices.Compact(out) // what meets within the table is told by tableCollisions
}

// tableCollisions are names that meet within the types of a table, or within its database.
func (n *names) tableCollisions(t *idl.Table) (errs Errors) {
	taken := map[string]string{}
	claim := func(name, what string, pos idl.Pos) {
		if other, ok := taken[name]; ok {
			errs.add(pos, "%s of table %s would be %s in Go, and so would %s; rename a field", what, t.Desc.FullName(), name, other)
			return
		}
		taken[name] = what
	}
	for i := range t.Index {
		x := &t.Index[i]
		claim(n.by(x), "the index by "+fieldNames(x.By), x.Pos)
	}
	for i := range t.Columns {
		claim(n.keyField(t.Columns[i].Desc), "column "+string(t.Columns[i].Desc.Name()), descPos(t.Columns[i].Desc))
	}
	s := SQLTableOf(t, "")
	inSQL := map[string]int{}
	for i, x := range s.Indexes {
		if j, ok := inSQL[x.Names[MySQL]]; ok {
			errs.add(t.Index[i].Pos, "the index by %s of table %s would be %s in SQL, and so would the index by %s; rename a column", fieldNames(t.Index[i].By), t.Desc.FullName(), x.Names[MySQL], fieldNames(t.Index[j].By))
		}
		inSQL[x.Names[MySQL]] = i
	}
	return errs
}

func fieldNames(fds []protoreflect.FieldDescriptor) string {
	out := make([]string, len(fds))
	for i, fd := range fds {
		out[i] = string(fd.Name())
	}
	return strings.Join(out, ", ")
}

// checkSQLNames refuses names that meet in SQLite, where tables and indexes of all tables share one space.
func checkSQLNames(sys *idl.System) (errs Errors) {
	type owner struct {
		table *idl.Table
		what  string
	}
	taken := map[string]owner{}
	tables := SQLTables(sys)
	for _, s := range tables {
		taken[strings.ToLower(s.Name)] = owner{s.Table, "table " + string(s.Table.Desc.FullName())}
	}
	for _, s := range tables {
		for i, x := range s.Indexes {
			name := strings.ToLower(x.Names[SQLite])
			what := fmt.Sprintf("the index by %s of table %s", fieldNames(s.Table.Index[i].By), s.Table.Desc.FullName())
			if other, ok := taken[name]; ok {
				if other.table != s.Table { // else told by tableCollisions
					errs.add(s.Table.Index[i].Pos, "%s would be %s in SQLite, and so would %s; give the table another name", what, x.Names[SQLite], other.what)
				}
				continue
			}
			taken[name] = owner{s.Table, what}
		}
	}
	return errs
}
