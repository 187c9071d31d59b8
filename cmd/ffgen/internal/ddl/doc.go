// Package ddl reads the tables of a MySQL or MariaDB schema file, as mysqldump, mariadb-dump,
// phpMyAdmin and Navicat write them. It reads CREATE TABLE, ALTER TABLE and CREATE INDEX; rows and
// settings are passed over, and everything else is told with its line. It never gives up on a file: a
// statement that it does not understand is told, and the next one is read.
//
// scan.go makes tokens of the text, file.go finds the statements, table.go reads those about tables,
// and column.go reads columns.
package ddl

import "fmt"

// Schema is what a file says.
type Schema struct {
	Tables []*Table // in the order of the file
	Notes  []Note   // what was not understood, or is no table
}

// Note is something that is not in the tables.
type Note struct {
	Line int
	Text string
}

// Table is one table.
type Table struct {
	Name    string
	Line    int
	Columns []*Column
	Key     *Index // nil: none
	Indexes []*Index
	Foreign []*Foreign
	Options []Option // "ENGINE" "MyISAM", with names in capitals
	Comment string
	Engine  string
	Charset string // "" when the file does not say
	Notes   []Note // what the table has and nothing above holds
}

// Column is one column.
type Column struct {
	Name      string
	Line      int
	Type      string   // in capitals: "INT"
	Args      []string // "10" "2"; of ENUM and SET the values
	Unsigned  bool
	NotNull   bool
	AutoInc   bool
	Default   *Default // nil: none
	OnUpdate  bool
	Generated bool
	Comment   string
	Charset   string
	JSON      bool // a check says that it holds JSON, which is how MariaDB keeps JSON
	unique    bool
	primary   bool
}

// Default is the default of a column.
type Default struct {
	Text  string
	Quote bool // it was in quotes
	Null  bool
	Expr  bool // neither number nor text
}

// Index is a key, or an index.
type Index struct {
	Name   string
	Line   int
	Parts  []Part
	Unique bool
	Kind   string // "FULLTEXT", "SPATIAL" or ""
}

// Part is one column of an index.
type Part struct {
	Column string
	Prefix bool // only its first characters
	Desc   bool
	Expr   bool // an expression and no column
}

// Foreign is a foreign key.
type Foreign struct {
	Line  int
	By    []string
	Table string
}

// Option is one option of a table.
type Option struct{ Name, Value string }

// Table finds a table by name; nil when there is none.
func (s *Schema) Table(name string) *Table {
	for _, t := range s.Tables {
		if t.Name == name {
			return t
		}
	}
	return nil
}

// Column finds a column by name; nil when there is none.
func (t *Table) Column(name string) *Column {
	for _, c := range t.Columns {
		if equal(c.Name, name) {
			return c
		}
	}
	return nil
}

func (t *Table) note(line int, format string, a ...any) {
	t.Notes = append(t.Notes, Note{line, fmt.Sprintf(format, a...)})
}
