// Package mysqlimport declares the tables of a MySQL schema in the vocabulary of firefly: one message a
// table, in one .proto file. What the vocabulary has no word for is told, with its line in the schema
// and in the .proto.
//
// field.go chooses fields for columns, names.go makes names, table.go keys and indexes, and emit.go
// writes.
package mysqlimport

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/firefly-go/firefly/cmd/ffgen/internal/ddl"
)

// Item is something to tell, with its line in the schema file.
type Item struct {
	Line int
	Text string
}

// table is a table on its way to a message.
type table struct {
	*ddl.Table
	message string
	fields  []*field
	key     []string // names of fields
	autoID  bool
	indexes []index
	place   string      // the field that could place the rows
	auto    *ddl.Column // the auto id
	lost    []Item
	notes   []Item
	dropped string // why the table cannot be declared
}

type index struct {
	by     []string
	unique bool
	line   int
}

func (t *table) loses(line int, format string, a ...any) {
	t.lost = append(t.lost, Item{line, "table " + t.Name + ": " + fmt.Sprintf(format, a...)})
}

func (t *table) noted(line int, format string, a ...any) {
	t.notes = append(t.notes, Item{line, "table " + t.Name + ": " + fmt.Sprintf(format, a...)})
}

var sqlName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,63}$`)

// The limits of keys and indexes, as idl has them.
const (
	maxKeyColumns   = 4
	maxIndexColumns = 16
	maxIndexes      = 63
	maxIndexBytes   = 3072
)

func newTable(s *ddl.Table, taken map[string]bool) *table {
	t := &table{Table: s}
	t.message = messageName(s.Name, taken)
	for _, n := range s.Notes {
		t.loses(n.Line, "%s", n.Text)
	}
	t.options()
	if !sqlName.MatchString(s.Name) {
		t.drop("its name %q has other characters than letters, digits and '_'", s.Name)
		return t
	}
	if s.Key == nil || len(s.Key.Parts) == 0 {
		t.drop("it has no primary key")
		return t
	}
	if last := s.Column(s.Key.Parts[len(s.Key.Parts)-1].Column); last != nil && last.AutoInc {
		t.auto = last
	}
	names := map[string]bool{}
	for _, c := range s.Columns {
		t.column(c, names)
	}
	t.keys()
	if t.dropped == "" {
		t.allIndexes()
		t.suggest()
	}
	for _, f := range s.Foreign {
		t.loses(f.Line, "the foreign key by %s to %s stays in the database; a row that breaks it is refused there, after the game went on", strings.Join(f.By, ", "), f.Table)
	}
	return t
}

func (t *table) drop(format string, a ...any) {
	t.dropped = fmt.Sprintf(format, a...)
	t.loses(t.Line, "it is not declared, since %s", t.dropped)
}

// options tells of what a table is besides its columns.
func (t *table) options() {
	if t.Engine != "" && !strings.EqualFold(t.Engine, "InnoDB") {
		t.noted(t.Line, "it is kept by %s, which has no transactions; ffgen migrate diff --allow engine:%s converts it", t.Engine, t.Name)
	}
	if t.Charset != "" && t.Charset != "utf8mb4" {
		t.noted(t.Line, "its character set is %s, which does not hold every text; ffgen migrate diff --allow charset:%s converts it", t.Charset, t.Name)
	}
	var rest []string
	for _, o := range t.Options {
		switch o.Name {
		case "ENGINE", "TYPE", "CHARSET", "COLLATE", "AUTO_INCREMENT":
		default:
			rest = append(rest, o.Name+"="+o.Value)
		}
	}
	if len(rest) > 0 {
		t.noted(t.Line, "what stays as it is in the database and is not declared: %s", strings.Join(rest, " "))
	}
}

func (t *table) column(c *ddl.Column, names map[string]bool) {
	if !sqlName.MatchString(c.Name) {
		t.loses(c.Line, "column %s is not declared, since its name has other characters than letters, digits and '_'%s", c.Name, refusing(c))
		return
	}
	if strings.EqualFold(c.Name, "ff_v") {
		t.loses(c.Line, "column %s is not declared: it is the name of the version that every table gets", c.Name)
		return
	}
	f, lost := t.field(c)
	if lost != "" {
		t.loses(c.Line, "column %s is not declared: %s%s", c.Name, lost, refusing(c))
		return
	}
	f.name = fieldName(c.Name, names)
	t.fields = append(t.fields, f)
}

// refusing warns of columns that new rows must have.
func refusing(c *ddl.Column) string {
	if c.NotNull && c.Default == nil && !c.Generated && !c.AutoInc && c.Type != "ENUM" {
		return "; it has no default, so MySQL refuses new rows until it has one"
	}
	return ""
}

func (t *table) find(column string) *field {
	for _, f := range t.fields {
		if strings.EqualFold(f.col.Name, column) {
			return f
		}
	}
	return nil
}

func (t *table) inKey(column string) bool {
	return t.Key != nil && slices.ContainsFunc(t.Key.Parts, func(p ddl.Part) bool { return strings.EqualFold(p.Column, column) })
}

// indexable says why an index cannot be declared; "" when it can.
func (t *table) indexable(x *ddl.Index, key bool) (by []string, why string) {
	if x.Kind != "" {
		return nil, "it is " + x.Kind
	}
	limit := maxIndexColumns
	if key {
		limit = maxKeyColumns
	}
	if len(x.Parts) == 0 || len(x.Parts) > limit {
		return nil, fmt.Sprintf("it has %d columns, and at most %d can be declared", len(x.Parts), limit)
	}
	size := 0
	for _, p := range x.Parts {
		f := t.find(p.Column)
		switch {
		case p.Expr:
			return nil, "it is by an expression"
		case p.Prefix:
			return nil, fmt.Sprintf("it is by the first characters of %s", p.Column)
		case p.Desc:
			return nil, fmt.Sprintf("it runs backwards (%s DESC)", p.Column)
		case f == nil:
			return nil, fmt.Sprintf("its column %s is not declared", p.Column)
		case f.typ == "string" && f.maxLen == 0:
			return nil, fmt.Sprintf("its column %s is a text without a length", p.Column)
		case f.typ == "bytes", f.typ == "float", f.typ == "double", key && f.typ == timestamp:
			return nil, fmt.Sprintf("its column %s is a %s, and keys are integers, bools and strings", p.Column, strings.ToLower(f.col.Type))
		case slices.Contains(by, f.name):
			return nil, fmt.Sprintf("%s stands twice in it", p.Column)
		case f.typ == "string":
			size += 4*f.maxLen + 2
		default:
			size += 8
		}
		by = append(by, f.name)
	}
	if size > maxIndexBytes {
		return nil, fmt.Sprintf("it takes up to %d bytes when a character may have four, and MySQL indexes %d", size, maxIndexBytes)
	}
	return by, ""
}

func (t *table) keys() {
	by, why := t.indexable(t.Key, true)
	if why != "" {
		t.drop("its key cannot be declared: %s", why)
		return
	}
	t.key = by
	for _, n := range by {
		f := t.byName(n)
		f.optional, f.required = false, false
		if f.col == t.auto {
			t.autoID = true
		}
	}
}

func (t *table) byName(name string) *field {
	for _, f := range t.fields {
		if f.name == name {
			return f
		}
	}
	return nil
}

func (t *table) allIndexes() {
	sorted := slices.Clone(t.Indexes)
	slices.SortStableFunc(sorted, func(a, b *ddl.Index) int {
		switch { // of two by the same columns the unique one says more
		case a.Unique == b.Unique:
			return 0
		case a.Unique:
			return -1
		}
		return 1
	})
	for _, x := range sorted {
		by, why := t.indexable(x, false)
		same := func(o index) bool { return slices.Equal(o.by, by) }
		switch {
		case why != "":
		case slices.Equal(by, t.key):
			why = "it is by the key, which finds rows anyway"
		case slices.ContainsFunc(t.indexes, same):
			why = "another index is by the same columns"
		case len(t.indexes) == maxIndexes:
			why = fmt.Sprintf("at most %d can be declared", maxIndexes)
		default:
			t.indexes = append(t.indexes, index{by, x.Unique, x.Line})
			continue
		}
		unique := ""
		if x.Unique {
			unique = "unique "
		}
		t.loses(x.Line, "%sindex %s stays in the database and is not declared: %s", unique, x.Name, why)
	}
	slices.SortStableFunc(t.indexes, func(a, b index) int { return a.line - b.line })
}

// owners are columns that say whose a row is, in the spellings of snake.
var owners = []string{
	"player_id", "character_id", "char_id", "role_id", "user_id", "uid", "account_id", "owner_id", "playerid", "characterid", "roleid", "userid", "ownerid", "pid", "cid", "rid", "role", "player",
	"guild_id", "guildid",
}

// suggest finds a column that would place the rows better than the key does.
func (t *table) suggest() {
	if slices.Contains(owners, t.key[0]) {
		return
	}
	for _, o := range owners {
		if f := t.byName(o); f != nil && !slices.Contains(t.key, o) && !f.optional && f.typ != "string" && f.typ != timestamp {
			t.place = o
			return
		}
	}
}
