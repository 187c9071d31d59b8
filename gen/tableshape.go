package gen

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/firefly-go/firefly/idl"
)

// What a release says of its tables, and what of that a later declaration may not change: rows and
// cached values of the release are still there, and so are its nodes while a cluster is replaced.

// TableShape is a table in a release.
type TableShape struct {
	Name       string   `json:"name"` // full proto name
	SQL        string   `json:"sql"`  // in the stores
	Key        []string `json:"key"`  // field names
	Place      string   `json:"place"`
	AutoID     bool     `json:"auto_id,omitempty"`
	Durability string   `json:"durability"`
	Indexes    []string `json:"indexes,omitempty"` // "name unique", "owner_id, kind"
	// Columns are lines in the order of field numbers: "3 gold: int64 as BIGINT", "6 title: optional string
	// as VARCHAR(64) in headline". What stands behind "in" is the name in SQL, when it is another one.
	Columns []string `json:"columns"`
	Shape   Hash     `json:"shape"` // of name, key, place and columns
	// Was are former names of columns in SQL, by field.
	Was map[string]string `json:"was,omitempty"`
}

// tableShape is a table as declared now.
func tableShape(t *idl.Table) TableShape {
	s := SQLTableOf(t, "")
	x := TableShape{
		Name: string(t.Desc.FullName()), SQL: t.SQLName, Place: string(t.Place.Name()), AutoID: t.Opt.GetAutoId(),
		Durability: t.Opt.GetDurability().String(),
	}
	for _, fd := range t.Key {
		x.Key = append(x.Key, string(fd.Name()))
	}
	for i := range t.Index {
		by := fieldNames(t.Index[i].By)
		if t.Index[i].Unique {
			by += " unique"
		}
		x.Indexes = append(x.Indexes, by)
	}
	slices.Sort(x.Indexes)
	for i := range t.Columns {
		c := &s.Columns[i]
		fd := c.Column.Desc
		typ := typeText(fd)
		if c.Nullable && !strings.HasPrefix(typ, "optional ") {
			typ = "optional " + typ
		}
		line := fmt.Sprintf("%d %s: %s as %s", fd.Number(), fd.Name(), typ, c.Types[MySQL])
		if c.Name != string(fd.Name()) {
			line += " in " + c.Name
		}
		x.Columns = append(x.Columns, line)
		if w := c.Column.Opt.GetWas(); w != "" {
			if x.Was == nil {
				x.Was = map[string]string{}
			}
			x.Was[string(fd.Name())] = w
		}
	}
	slices.SortStableFunc(x.Columns, func(a, b string) int { return leadingNumber(a) - leadingNumber(b) })
	x.Shape = hashOf(fmt.Sprintf("%s\nkey %s\nplace %s\n%s\n", x.SQL, strings.Join(x.Key, ", "), x.Place, strings.Join(x.Columns, "\n")))
	return x
}

// goodColumn is a line of TableShape.Columns.
var goodColumn = regexp.MustCompile(`^(\d+) (\w+): ((?:optional )?)(\S.*) as ([A-Z][^ ]*(?: UNSIGNED)?|(?:ENUM|SET)\(.*\)(?: UNSIGNED)?)(?: in (\w+))?$`)

// columnLine is a line of TableShape.Columns taken apart.
type columnLine struct {
	number   int
	field    string
	optional bool
	typ      string // of the field
	sql      string // type in SQL
	name     string // in SQL
}

func parseColumn(line string) (columnLine, bool) {
	m := goodColumn.FindStringSubmatch(line)
	if m == nil {
		return columnLine{}, false
	}
	c := columnLine{number: leadingNumber(line), field: m[2], optional: m[3] != "", typ: m[4], sql: m[5], name: m[6]}
	if c.name == "" {
		c.name = c.field
	}
	return c, true
}

// tableShapes are those of all tables that are generated, sorted by name.
func (g *generator) tableShapes() []TableShape {
	var out []TableShape
	for _, p := range g.packages {
		for _, t := range p.Tables {
			out = append(out, tableShape(t))
		}
	}
	return sortedBy(out, func(t TableShape) string { return t.Name })
}

// breakingTables lists what of the tables of a release the present declaration no longer understands.
func breakingTables(old, now Release) (out []string) {
	c := comparison{old: old.Messages, now: now.Messages}
	for _, before := range old.Tables {
		i := slices.IndexFunc(now.Tables, func(t TableShape) bool { return t.SQL == before.SQL })
		if i < 0 {
			if j := slices.IndexFunc(now.Tables, func(t TableShape) bool { return t.Name == before.Name }); j >= 0 {
				out = append(out, fmt.Sprintf("table %s was called %s in SQL and is called %s; its rows stay behind, unless it keeps its name: name: %q", before.Name, before.SQL, now.Tables[j].SQL, before.SQL))
			} else {
				out = append(out, fmt.Sprintf("table %s (%s) is gone; its rows are nobody's; a renamed message keeps its table with name: %q", before.Name, before.SQL, before.SQL))
			}
			continue
		}
		out = append(out, c.tables(before, now.Tables[i])...)
	}
	return out
}

func (c comparison) tables(before, now TableShape) (out []string) {
	say := func(format string, a ...any) {
		out = append(out, fmt.Sprintf("table %s: ", now.Name)+fmt.Sprintf(format, a...))
	}
	lines := func(t TableShape) (all []columnLine) {
		for _, l := range t.Columns {
			if c, ok := parseColumn(l); ok {
				all = append(all, c)
			}
		}
		return all
	}
	columns := lines(now)
	find := func(ok func(columnLine) bool) *columnLine {
		if i := slices.IndexFunc(columns, ok); i >= 0 {
			return &columns[i]
		}
		return nil
	}
	// A key is known by the columns in it, whatever their fields are called.
	numbers := func(t TableShape, names []string) (out []int) {
		for _, name := range names {
			for _, c := range lines(t) {
				if c.field == name {
					out = append(out, c.number)
				}
			}
		}
		return out
	}
	if !slices.Equal(numbers(before, before.Key), numbers(now, now.Key)) {
		say("its key was (%s) and is (%s); every row would have another one", strings.Join(before.Key, ", "), strings.Join(now.Key, ", "))
	}
	if !slices.Equal(numbers(before, []string{before.Place}), numbers(now, []string{now.Place})) && slices.Equal(before.Key, now.Key) {
		say("its rows were placed by %s and are by %s; they would be looked for elsewhere", before.Place, now.Place)
	}
	if before.AutoID && !now.AutoID {
		say("auto_id is gone; nodes of that release insert rows without a number")
	}
	if a, b := durabilityOrder(before.Durability), durabilityOrder(now.Durability); b < a {
		say("durability was %s and is %s; what counted as done may be lost now", before.Durability, now.Durability)
	}
	for _, x := range now.Indexes {
		if by, ok := strings.CutSuffix(x, " unique"); ok && !slices.Contains(before.Indexes, x) {
			say("the index by %s is unique now; rows that have the same values stop the migration", by)
		}
	}
	for _, x := range lines(before) {
		after := find(func(o columnLine) bool { return o.number == x.number })
		named := find(func(o columnLine) bool { return o.name == x.name })
		switch {
		case after == nil && named != nil:
			say("column %s had field number %d and has %d; the cache knows columns by number", x.name, x.number, named.number)
			continue
		case after == nil:
			say("column %s (field %d) is gone; nodes of that release still write it, and its values are lost when it is dropped", x.name, x.number)
			continue
		case after.name != x.name && now.Was[after.field] != x.name:
			if !c.alike(x.typ, after.typ) {
				say("field number %d was column %s and is %s; a number is never given again", x.number, x.name, after.name)
			} else {
				say("column %s (field %d) is called %s; its values stay behind, unless it says was: %q", x.name, x.number, after.name, x.name)
			}
			continue
		}
		switch {
		case !c.alike(x.typ, after.typ):
			say("column %s was %s and is %s; what is cached and stored does not become that by itself", after.name, x.typ, after.typ)
		case !holds(after.sql, x.sql):
			say("column %s was %s in SQL and is %s, which does not hold all that it held", after.name, x.sql, after.sql)
		default:
			for _, fault := range c.stored(x.typ, after.typ) {
				say("column %s: %s", after.name, fault)
			}
		}
		if x.optional && !after.optional {
			say("column %s could be absent and cannot any more; rows without it are refused", after.name)
		}
	}
	return out
}

// alike reports whether two types of fields are the same but for the names of their messages and enums.
func (c comparison) alike(a, b string) bool {
	x, y := typesIn(a), typesIn(b)
	if len(x) != len(y) {
		return false
	}
	for i := range x {
		before, oldOK := c.old[x[i]]
		after, nowOK := c.now[y[i]]
		if x[i] != y[i] && !(oldOK && nowOK && isEnum(before) == isEnum(after)) {
			return false
		}
	}
	return true
}

func isEnum(s MessageShape) bool { return len(s) > 0 && parseLine(s[0]).enum }

// stored compares the messages and enums of a column, whose values lie in stores: their fields as
// everywhere, and of enums also what is gone.
func (c comparison) stored(a, b string) (out []string) {
	x, y := typesIn(a), typesIn(b)
	seen := map[string]bool{}
	for i := range x {
		if c.old[x[i]] == nil || c.now[y[i]] == nil {
			continue
		}
		c.message(x[i], y[i], seen, &out)
		if !isEnum(c.old[x[i]]) {
			continue
		}
		for _, line := range c.old[x[i]] {
			n := leadingNumber(line)
			if !slices.ContainsFunc(c.now[y[i]], func(l string) bool { return leadingNumber(l) == n }) {
				out = append(out, fmt.Sprintf("value %d of %s is gone; rows that have it cannot be written", n, y[i]))
			}
		}
	}
	return out
}

func durabilityOrder(s string) int {
	return slices.Index([]string{"WRITE_BEHIND", "REPLICATED", "WRITE_THROUGH"}, s)
}

// holds reports whether a type of MySQL holds everything that another one holds.
func holds(now, before string) bool {
	if now == before {
		return true
	}
	a, b := typeLimits(now), typeLimits(before)
	if a.Integer && b.Integer {
		if headOf(before) == "DECIMAL" || headOf(now) == "DECIMAL" {
			return false // digits behind the point
		}
		return a.Min <= b.Min && a.Max >= b.Max
	}
	text := func(t string) bool {
		return slices.Contains([]string{"CHAR", "VARCHAR", "TINYTEXT", "TEXT", "MEDIUMTEXT", "LONGTEXT"}, headOf(t))
	}
	blob := func(t string) bool {
		return slices.Contains([]string{"VARBINARY", "TINYBLOB", "BLOB", "MEDIUMBLOB", "LONGBLOB"}, headOf(t))
	}
	most := func(l SQLLimits) uint64 {
		if l.Bytes {
			return l.MaxLen
		}
		return 4 * l.MaxLen
	}
	switch {
	case text(now) && text(before) && a.Bytes == b.Bytes, blob(now) && blob(before):
		return a.MaxLen >= b.MaxLen
	case text(now) && text(before) && a.Bytes:
		return a.MaxLen >= most(b)
	}
	return headOf(now) == "DOUBLE" && headOf(before) == "FLOAT" && strings.Contains(now, "UNSIGNED") == strings.Contains(before, "UNSIGNED")
}

func headOf(typ string) string {
	head, _, _ := typeHead(typ)
	return head
}
