package sqlstore

import (
	"database/sql"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/firefly-go/firefly/runtime/table"
)

// columnHint says how a column of MySQL is read and written where its kind alone does not.
type columnHint struct {
	kind     table.Kind
	float    bool // FLOAT: the text protocol gives six digits of it
	bit      bool // BIT(n): bytes, the highest first
	number   bool // DECIMAL(n,m): "12.00"
	datetime bool
	date     bool // DATE: no time of day
	stamp    bool // TIMESTAMP: begins one second after 1970
	fraction int  // digits of a second
}

func hintOf(t *table.Spec, column int) columnHint {
	c := &t.Columns[column]
	h := columnHint{kind: c.Kind, datetime: c.Datetime, fraction: int(c.Fraction)}
	if column < len(t.MySQL.Types) {
		head, _, _ := strings.Cut(t.MySQL.Types[column], "(")
		head, _, _ = strings.Cut(head, " ")
		h.float, h.bit, h.number = head == "FLOAT", head == "BIT", head == "DECIMAL"
		h.date, h.stamp = head == "DATE", head == "TIMESTAMP"
	}
	return h
}

// mysqlArg is a value as a parameter of a statement.
func mysqlArg(h *columnHint, v table.Value) any {
	switch v.Kind() {
	case table.Int:
		if h != nil && h.datetime {
			return h.dateText(v.Int())
		}
		return v.Int()
	case table.Uint:
		return v.Uint()
	case table.Float:
		return v.Float()
	case table.Text:
		return v.Text()
	case table.Bytes:
		return v.Bytes()
	}
	return nil
}

const dateLayout = "2006-01-02 15:04:05.000000"

// dateText is a moment as MySQL takes it, cut to what the column keeps.
func (h *columnHint) dateText(micros int64) string {
	if h.stamp && micros < 1_000_000 {
		micros = 1_000_000
	}
	s := time.UnixMicro(micros).UTC().Format(dateLayout)
	switch {
	case h.date:
		return s[:10]
	case h.fraction == 0:
		return s[:19]
	}
	return s[:min(20+h.fraction, len(s))]
}

// parseDate reads what MySQL gives for DATE, DATETIME and TIMESTAMP; a date of zero is 0.
func parseDate(s string) (int64, error) {
	if strings.HasPrefix(s, "0000-00-00") {
		return 0, nil
	}
	layout := dateLayout
	if len(s) <= 10 {
		layout = dateLayout[:10]
	} else {
		layout = dateLayout[:19] // a fraction may follow what the layout has
	}
	t, err := time.Parse(layout, s)
	return t.UnixMicro(), err
}

// mysqlCell scans one column of a result into a Value.
type mysqlCell struct {
	to   *table.Value
	hint columnHint
}

// Scan implements sql.Scanner.
func (c *mysqlCell) Scan(src any) error {
	switch v := src.(type) {
	case int64:
		switch c.hint.kind {
		case table.Int:
			*c.to = table.IntOf(v)
			return nil
		case table.Uint:
			*c.to = table.UintOf(uint64(v))
			return nil
		case table.Float:
			*c.to = table.FloatOf(float64(v))
			return nil
		}
		return c.parse(strconv.FormatInt(v, 10))
	case uint64:
		if c.hint.kind == table.Uint {
			*c.to = table.UintOf(v)
			return nil
		}
		return c.parse(strconv.FormatUint(v, 10))
	case []byte:
		return c.parse(string(v))
	case string:
		return c.parse(v)
	case float64:
		if c.hint.kind == table.Float {
			*c.to = table.FloatOf(v)
			return nil
		}
	case float32:
		if c.hint.kind == table.Float {
			*c.to = table.FloatOf(float64(v))
			return nil
		}
	case nil:
		*c.to = table.Value{}
		return nil
	}
	return fmt.Errorf("sqlstore: a %T where a value of kind %d stands", src, c.hint.kind)
}

func (c *mysqlCell) parse(s string) (err error) {
	switch {
	case c.hint.kind == table.Text:
		*c.to = table.TextOf(s)
		return nil
	case c.hint.kind == table.Bytes:
		*c.to = table.BytesOfString(s)
		return nil
	case c.hint.datetime:
		var n int64
		n, err = parseDate(s)
		*c.to = table.IntOf(n)
		return err
	case c.hint.bit:
		var n uint64
		for i := range len(s) {
			n = n<<8 | uint64(s[i])
		}
		if c.hint.kind == table.Uint {
			*c.to = table.UintOf(n)
		} else {
			*c.to = table.IntOf(int64(n))
		}
		return nil
	case c.hint.number && c.hint.kind != table.Float:
		s, _, _ = strings.Cut(s, ".")
	}
	*c.to, err = table.Parse(c.hint.kind, s)
	return err
}

// mysqlScanner scans the rows of a table, all columns and then the version.
type mysqlScanner struct {
	cells []mysqlCell
	dst   []any
	ver   uint64
}

func newMySQLScanner(mt *mysqlTable) *mysqlScanner {
	s := &mysqlScanner{cells: make([]mysqlCell, len(mt.hints)), dst: make([]any, len(mt.hints)+1)}
	for i := range s.cells {
		s.cells[i].hint = mt.hints[i]
		s.dst[i] = &s.cells[i]
	}
	s.dst[len(mt.hints)] = (*versionCell)(&s.ver)
	return s
}

// scan reads the row that rows stands at into values, which has the length of the columns.
func (s *mysqlScanner) scan(rows *sql.Rows, values []table.Value) (version uint64, err error) {
	for i := range s.cells {
		s.cells[i].to = &values[i]
	}
	if err := rows.Scan(s.dst...); err != nil {
		return 0, unreadable{err}
	}
	return s.ver, nil
}

// unreadable is the error of a row that has what its table cannot hold.
type unreadable struct{ error }

func (u unreadable) Unwrap() error { return u.error }

// versionCell scans ff_v without a way over text.
type versionCell uint64

// Scan implements sql.Scanner.
func (c *versionCell) Scan(src any) (err error) {
	switch v := src.(type) {
	case int64:
		*c = versionCell(v)
	case uint64:
		*c = versionCell(v)
	case []byte:
		var n uint64
		n, err = strconv.ParseUint(string(v), 10, 64)
		*c = versionCell(n)
	default:
		err = fmt.Errorf("sqlstore: a %T where a version stands", src)
	}
	return err
}
