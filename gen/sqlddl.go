package gen

import "strings"

// quoteSQL is a name as both dialects take it. Declared names have no quotes in them.
func quoteSQL(name string) string { return "`" + name + "`" }

func quoteAll(names []string) string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = quoteSQL(n)
	}
	return strings.Join(out, ", ")
}

// DDL is a column as CREATE TABLE and ADD COLUMN have it.
func (c *SQLColumn) DDL(d SQLDialect) string {
	var b strings.Builder
	b.WriteString(quoteSQL(c.Name) + " " + c.Types[d])
	if c.Nullable {
		b.WriteString(" NULL")
	} else {
		b.WriteString(" NOT NULL")
	}
	if c.Defaults[d] != "" {
		b.WriteString(" DEFAULT " + c.Defaults[d])
	}
	if d == MySQL && c.Comment != "" {
		b.WriteString(" COMMENT " + QuoteMySQL(c.Comment))
	}
	return b.String()
}

// QuoteMySQL is a text as MySQL reads it.
func QuoteMySQL(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `''`).Replace(s) + "'"
}

// Create makes the table and its indexes where they are not. Each statement ends with ";\n".
func (s *SQLTable) Create(d SQLDialect) string {
	out := s.CreateTable(d)
	if d == SQLite {
		for i := range s.Indexes {
			out += s.CreateIndex(d, i)
		}
	}
	return out
}

// CreateTable is the first statement of Create; in MySQL it has the indexes in it.
func (s *SQLTable) CreateTable(d SQLDialect) string {
	var b strings.Builder
	b.WriteString("CREATE TABLE IF NOT EXISTS " + quoteSQL(s.Name) + " (\n")
	for i := range s.Columns {
		b.WriteString("  " + s.Columns[i].DDL(d) + ",\n")
	}
	b.WriteString("  PRIMARY KEY (" + quoteAll(s.Key) + ")")
	if d == SQLite {
		b.WriteString("\n);\n")
		return b.String()
	}
	for _, x := range s.Indexes {
		b.WriteString(",\n  ")
		if x.Unique {
			b.WriteString("UNIQUE ")
		}
		b.WriteString("KEY " + quoteSQL(x.Names[d]) + " (" + quoteAll(x.By) + ")")
	}
	b.WriteString("\n) ENGINE=" + SQLEngine + " DEFAULT CHARSET=" + SQLCharset + " COLLATE=" + SQLCollation)
	if s.Comment != "" {
		b.WriteString(" COMMENT=" + QuoteMySQL(s.Comment))
	}
	b.WriteString(";\n")
	return b.String()
}

// CreateIndex makes one index of a table that is there, with ";\n" behind it. SQLite skips an index
// that it has; MySQL refuses it.
func (s *SQLTable) CreateIndex(d SQLDialect, i int) string {
	x, unique, ifNot := s.Indexes[i], "", ""
	if x.Unique {
		unique = "UNIQUE "
	}
	if d == SQLite {
		ifNot = "IF NOT EXISTS "
	}
	return "CREATE " + unique + "INDEX " + ifNot + quoteSQL(x.Names[d]) + " ON " + quoteSQL(s.Name) + " (" + quoteAll(x.By) + ");\n"
}

// AddColumn adds a column to a table that has it not, with ";\n" behind it.
func (s *SQLTable) AddColumn(d SQLDialect, i int) string {
	return "ALTER TABLE " + quoteSQL(s.Name) + " ADD COLUMN " + s.Columns[i].DDL(d) + ";\n"
}
