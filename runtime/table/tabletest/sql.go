package tabletest

import (
	"fmt"
	"math"
	"strings"

	"github.com/firefly-go/firefly/runtime/table"
)

// withSQL fills in the statements of a Spec, in the words that generated Specs have.
func withSQL(t *table.Spec) *table.Spec {
	t.MySQL, t.SQLite = statements(t, true), statements(t, false)
	return t
}

// Grown is a table as a later build declares it, with more columns.
func Grown(t *table.Spec, shape uint64, more ...table.Column) *table.Spec {
	g := *t
	g.Shape, g.Columns = shape, append(t.Columns[:len(t.Columns):len(t.Columns)], more...)
	return withSQL(&g)
}

// NewColumn is a number of a row that anything can be added to, named so in SQL and proto.
func NewColumn(number int32, name string) table.Column {
	return with(column(number, name, table.Int), counter(math.MinInt64, math.MaxInt64))
}

func quoted(names ...string) string { return "`" + strings.Join(names, "`, `") + "`" }

func sqlType(c *table.Column, mysql bool) string {
	switch {
	case c.Kind == table.Int && mysql:
		return "BIGINT"
	case c.Kind == table.Uint && mysql:
		return "BIGINT UNSIGNED"
	case c.Kind == table.Int, c.Kind == table.Uint:
		return "INTEGER"
	case c.Kind == table.Float && mysql:
		return "DOUBLE"
	case c.Kind == table.Float:
		return "REAL"
	case c.Kind == table.Text && mysql:
		return fmt.Sprintf("VARCHAR(%d)", c.MaxLen)
	case c.Kind == table.Text:
		return "TEXT"
	case mysql:
		return "LONGBLOB"
	}
	return "BLOB"
}

func ddl(c *table.Column, mysql bool) string {
	s := quoted(c.Name) + " " + sqlType(c, mysql)
	if c.Nullable {
		return s + " NULL"
	}
	switch c.Kind {
	case table.Text:
		return s + " NOT NULL DEFAULT ''"
	case table.Bytes:
		if mysql {
			return s + " NOT NULL DEFAULT ('')"
		}
		return s + " NOT NULL DEFAULT x''"
	}
	return s + " NOT NULL DEFAULT 0"
}

func statements(t *table.Spec, mysql bool) table.SQL {
	name := quoted(t.Name)
	var cols, keys, ddls, sets, same, where, newer []string
	inKey := map[int]bool{}
	for _, c := range t.Key {
		k := t.Columns[c].Name
		inKey[c] = true
		keys = append(keys, k)
		where = append(where, quoted(k)+" = ?")
		same = append(same, quoted(k)+" = VALUES("+quoted(k)+")")
	}
	isSame := strings.Join(same, " AND ")
	for i := range t.Columns {
		c := &t.Columns[i]
		cols = append(cols, c.Name)
		ddls = append(ddls, "  "+ddl(c, mysql))
		if inKey[i] {
			continue
		}
		q := quoted(c.Name)
		sets = append(sets, fmt.Sprintf("%s = IF(%s AND VALUES(`ff_v`) > `ff_v`, VALUES(%s), %s)", q, isSame, q, q))
		newer = append(newer, fmt.Sprintf("%s = excluded.%s", q, q))
	}
	ver := "`ff_v` INTEGER NOT NULL DEFAULT 0"
	if mysql {
		ver = "`ff_v` BIGINT UNSIGNED NOT NULL DEFAULT 0"
	}
	ddls = append(ddls, "  "+ver, "  PRIMARY KEY ("+quoted(keys...)+")")
	list := quoted(append(cols, "ff_v")...)
	order := " ORDER BY " + quoted(keys...) + " LIMIT ?"
	marks := strings.TrimSuffix(strings.Repeat("?, ", len(keys)), ", ")
	s := table.SQL{
		Get:       "SELECT " + list + " FROM " + name + " WHERE " + strings.Join(where, " AND "),
		GetIn:     "SELECT " + list + " FROM " + name + " WHERE (" + quoted(keys...) + ") IN (",
		GetInRow:  "(" + marks + ")",
		GetInEnd:  ")",
		Versions:  "SELECT " + quoted(append(keys[:len(keys):len(keys)], "ff_v")...) + " FROM " + name + " WHERE (" + quoted(keys...) + ") IN (",
		Upsert:    "INSERT INTO " + name + " (" + list + ") VALUES ",
		UpsertRow: "(" + strings.TrimSuffix(strings.Repeat("?, ", len(cols)+1), ", ") + ")",
		Delete:    "DELETE FROM " + name + " WHERE ",
		DeleteRow: "(" + strings.Join(where, " AND ") + " AND `ff_v` <= ?)",
	}
	if t.AutoID {
		s.MaxID = "SELECT MAX(" + quoted(keys[len(keys)-1]) + ") FROM " + name
	}
	s.Create = "CREATE TABLE IF NOT EXISTS " + name + " (\n"
	if mysql {
		s.UpsertEnd = " ON DUPLICATE KEY UPDATE " + strings.Join(append(sets, "`ff_v` = IF("+isSame+", GREATEST(`ff_v`, VALUES(`ff_v`)), `ff_v`)"), ", ")
	} else {
		s.GetIn, s.Versions = s.GetIn+"VALUES ", s.Versions+"VALUES "
		s.UpsertEnd = " ON CONFLICT (" + quoted(keys...) + ") DO UPDATE SET " + strings.Join(append(newer, "`ff_v` = excluded.`ff_v`"), ", ") + " WHERE excluded.`ff_v` > " + name + ".`ff_v`"
	}
	for i := range t.Columns {
		s.Types = append(s.Types, sqlType(&t.Columns[i], mysql))
		s.Adds = append(s.Adds, "ALTER TABLE "+name+" ADD COLUMN "+ddl(&t.Columns[i], mysql)+";\n")
	}
	for _, x := range t.Indexes {
		var by, is []string
		for _, c := range x.By {
			by = append(by, t.Columns[c].Name)
			eq := " = ?"
			if t.Columns[c].Nullable {
				eq = " IS ?"
				if mysql {
					eq = " <=> ?"
				}
			}
			is = append(is, quoted(t.Columns[c].Name)+eq)
		}
		from := "SELECT " + list + " FROM " + name + " WHERE " + strings.Join(is, " AND ")
		s.Find = append(s.Find, from+order)
		behind := "(" + quoted(keys...) + ") > (" + marks + ")"
		if mysql {
			var or []string
			same := ""
			for _, k := range keys {
				or = append(or, same+quoted(k)+" > ?")
				same += quoted(k) + " = ? AND "
			}
			behind = "(" + strings.Join(or, " OR ") + ")"
		}
		s.FindAfter = append(s.FindAfter, from+" AND "+behind+order)
		unique := ""
		if x.Unique {
			unique = "UNIQUE "
		}
		if mysql {
			ddls = append(ddls, "  "+unique+"KEY "+quoted(x.Name)+" ("+quoted(by...)+")")
			s.Indexes = append(s.Indexes, "CREATE "+unique+"INDEX "+quoted(x.Name)+" ON "+name+" ("+quoted(by...)+");\n")
		} else {
			s.Indexes = append(s.Indexes, "CREATE "+unique+"INDEX IF NOT EXISTS "+quoted(t.Name+"_"+x.Name)+" ON "+name+" ("+quoted(by...)+");\n")
		}
	}
	s.Create += strings.Join(ddls, ",\n") + "\n)"
	if mysql {
		s.Create += " ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin"
	}
	s.Create += ";\n"
	if !mysql {
		s.Create += strings.Join(s.Indexes, "")
	}
	return s
}
