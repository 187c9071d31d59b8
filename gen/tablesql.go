package gen

import (
	"slices"
	"strings"

	"github.com/dave/jennifer/jen"

	"github.com/firefly-go/firefly/idl"
)

// emitSQL writes the statements of tables, each as a constant that can be searched for: none is put
// together from values.
//
//	// mysqlItemGet reads a row by key.
//	const mysqlItemGet = "SELECT `owner_id`, `id`, `weapon_id`, `ff_v` FROM `item` WHERE `owner_id` = ? AND `id` = ?"
//
//	// mysqlItemFindByOwnerID is what ItemTable.ByOwnerID asks.
//	const mysqlItemFindByOwnerID = "SELECT ... FROM `item` WHERE `owner_id` = ? ORDER BY `owner_id`, `id` LIMIT ?"
func emitSQL(g *generator, p *pkg, f *jen.File) bool {
	for _, t := range p.Tables {
		for _, d := range []SQLDialect{MySQL, SQLite} {
			for _, s := range statementsOf(g.names, t, d) {
				name := g.names.statement(d, t, s.what)
				f.Comment(name + " " + s.comment)
				f.Const().Id(name).Op("=").Add(sqlText(s.text))
			}
		}
	}
	return len(p.Tables) > 0
}

// sqlText is a statement as Go, one line of it a line.
func sqlText(s string) *jen.Statement {
	lines := strings.SplitAfter(strings.TrimSuffix(s, "\n"), "\n")
	if strings.HasSuffix(s, "\n") {
		lines[len(lines)-1] += "\n"
	}
	out := jen.Lit(lines[0])
	for _, l := range lines[1:] {
		out.Op("+").Line().Lit(l)
	}
	return out
}

// A statement is one constant: a field of table.SQL, or an element of one.
type statement struct {
	field   string // of table.SQL; of a list: the same for all of its elements, in order
	what    string // in the name of the constant
	comment string // behind the name
	text    string
}

// statementsOf are the statements of a table in one dialect.
func statementsOf(n *names, t *idl.Table, d SQLDialect) []statement {
	s := SQLTableOf(t, "")
	q := newQueries(s, d)
	end := "ends " + n.statement(d, t, "GetIn") + " and " + n.statement(d, t, "Versions") + "."
	out := []statement{
		{"Create", "Create", "makes the table and its indexes where they are not.", s.Create(d)},
		{"Get", "Get", "reads a row by key.", q.selectAll + " WHERE " + q.where},
		{"GetIn", "GetIn", "reads rows by key, with a " + n.statement(d, t, "GetInRow") + " for each.", q.selectAll + q.in},
		{"GetInRow", "GetInRow", "is one key.", "(" + marks(len(s.Key)) + ")"},
		{"GetInEnd", "GetInEnd", end, ")"},
		{"Versions", "Versions", "reads which versions of rows are there, with a " + n.statement(d, t, "GetInRow") + " for each.", "SELECT " + quoteAll(append(append([]string{}, s.Key...), VersionColumn)) + " FROM " + q.name + q.in},
		{"Upsert", "Upsert", "writes rows that are newer than what is there, with a " + n.statement(d, t, "UpsertRow") + " for each.", "INSERT INTO " + q.name + " (" + q.columns + ") VALUES "},
		{"UpsertRow", "UpsertRow", "is one row.", "(" + marks(len(s.Columns)) + ")"},
		{"UpsertEnd", "UpsertEnd", "ends " + n.statement(d, t, "Upsert") + ".", q.upsertEnd()},
		{"Delete", "Delete", "removes rows that are no newer than the given version, with a " + n.statement(d, t, "DeleteRow") + " for each, joined by OR.", "DELETE FROM " + q.name + " WHERE "},
		{"DeleteRow", "DeleteRow", "is one row.", "(" + q.where + " AND " + quoteSQL(VersionColumn) + " <= ?)"},
	}
	if t.Opt.GetAutoId() {
		out = append(out, statement{"MaxID", "MaxID", "reads the highest number that a row has.", "SELECT MAX(" + quoteSQL(s.Key[len(s.Key)-1]) + ") FROM " + q.name})
	}
	for i := range t.Index {
		by := n.by(&t.Index[i])
		method := n.table(t) + "." + by
		out = append(out, statement{"Find", "Find" + by, "is what " + method + " asks.", q.find(i) + q.order})
		if !t.Index[i].Unique {
			method = n.table(t) + "." + n.pageBy(&t.Index[i])
		}
		out = append(out, statement{"FindAfter", "FindAfter" + by, "is what " + method + " asks for rows behind a key.", q.find(i) + " AND " + q.behind() + q.order})
	}
	for i := range t.Columns {
		if slices.Contains(t.Key, t.Columns[i].Desc) {
			continue // a table without its key is another table
		}
		out = append(out, statement{"Adds", "Column" + n.keyField(t.Columns[i].Desc), "adds the column to an older table.", s.AddColumn(d, i)})
	}
	for i := range t.Index {
		out = append(out, statement{"Indexes", "Index" + n.by(&t.Index[i]), "adds the index to an older table.", s.CreateIndex(d, i)})
	}
	return out
}

func marks(n int) string { return strings.TrimSuffix(strings.Repeat("?, ", n), ", ") }

// queries are the pieces that the statements of one table share.
type queries struct {
	s         *SQLTable
	d         SQLDialect
	name      string // quoted
	key       string // its columns
	columns   string // all of them
	selectAll string
	where     string // that finds a row by key
	in        string // that finds rows by keys
	order     string
}

func newQueries(s *SQLTable, d SQLDialect) *queries {
	q := &queries{s: s, d: d, name: quoteSQL(s.Name), key: quoteAll(s.Key)}
	var all, where []string
	for i := range s.Columns {
		all = append(all, s.Columns[i].Name)
	}
	for _, k := range s.Key {
		where = append(where, quoteSQL(k)+" = ?")
	}
	q.columns = quoteAll(all)
	q.selectAll = "SELECT " + q.columns + " FROM " + q.name
	q.where = strings.Join(where, " AND ")
	q.in = " WHERE (" + q.key + ") IN ("
	if d == SQLite {
		q.in += "VALUES "
	}
	q.order = " ORDER BY " + q.key + " LIMIT ?"
	return q
}

// find finds the rows of an index. What can be absent is compared so that absent equals absent.
func (q *queries) find(index int) string {
	var by []string
	for _, name := range q.s.Indexes[index].By {
		equal := " = ?"
		for i := range q.s.Columns {
			if c := &q.s.Columns[i]; c.Name == name && c.Nullable {
				equal = map[SQLDialect]string{MySQL: " <=> ?", SQLite: " IS ?"}[q.d]
			}
		}
		by = append(by, quoteSQL(name)+equal)
	}
	return q.selectAll + " WHERE " + strings.Join(by, " AND ")
}

// behind is what rows behind a key fulfil. MySQL looks through all rows before it for (a, b) > (?, ?), and
// begins at the key for the same written out.
func (q *queries) behind() string {
	if q.d != MySQL {
		return "(" + q.key + ") > (" + marks(len(q.s.Key)) + ")"
	}
	var or []string
	same := ""
	for _, k := range q.s.Key {
		or = append(or, same+quoteSQL(k)+" > ?")
		same += quoteSQL(k) + " = ? AND "
	}
	return "(" + strings.Join(or, " OR ") + ")"
}

// upsertEnd sets every column of a row that is there already, if it is older. In MySQL the row may be
// another one, which has the same values of a unique index: that one is left alone. MySQL assigns from
// left to right, so the version, which the others look at, comes last.
func (q *queries) upsertEnd() string {
	version := quoteSQL(VersionColumn)
	inKey := map[string]bool{}
	var same, set []string
	for _, k := range q.s.Key {
		inKey[k] = true
		same = append(same, quoteSQL(k)+" = VALUES("+quoteSQL(k)+")")
	}
	for i := range q.s.Columns {
		name := q.s.Columns[i].Name
		c := quoteSQL(name)
		switch {
		case inKey[name]:
		case q.d == SQLite:
			set = append(set, c+" = excluded."+c)
		case name == VersionColumn:
			set = append(set, c+" = IF("+strings.Join(same, " AND ")+", GREATEST("+c+", VALUES("+c+")), "+c+")")
		default:
			set = append(set, c+" = IF("+strings.Join(same, " AND ")+" AND VALUES("+version+") > "+version+", VALUES("+c+"), "+c+")")
		}
	}
	if q.d == SQLite {
		return " ON CONFLICT (" + q.key + ") DO UPDATE SET " + strings.Join(set, ", ") + " WHERE excluded." + version + " > " + q.name + "." + version
	}
	return " ON DUPLICATE KEY UPDATE " + strings.Join(set, ", ")
}
