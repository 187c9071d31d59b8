package sqlstore

import (
	"fmt"
	"strconv"

	"github.com/firefly-go/firefly/runtime/table"
)

// arg is a value as a parameter of a statement. SQLite has no unsigned numbers: a Uint is kept in two's
// complement.
func arg(v table.Value) any {
	switch v.Kind() {
	case table.Int:
		return v.Int()
	case table.Uint:
		return int64(v.Uint())
	case table.Float:
		return v.Float()
	case table.Text:
		return v.Text()
	case table.Bytes:
		return v.Bytes()
	}
	return nil
}

// args puts values behind dst.
func args(dst []any, values []table.Value) []any {
	for _, v := range values {
		dst = append(dst, arg(v))
	}
	return dst
}

// cell scans one column of a result into a Value.
type cell struct {
	to   *table.Value
	kind table.Kind
}

// Scan implements sql.Scanner.
func (c *cell) Scan(src any) error {
	switch v := src.(type) {
	case nil:
		*c.to = table.Value{}
		return nil
	case int64:
		switch c.kind {
		case table.Int:
			*c.to = table.IntOf(v)
		case table.Uint:
			*c.to = table.UintOf(uint64(v))
		case table.Float:
			*c.to = table.FloatOf(float64(v))
		default:
			*c.to = c.text(strconv.FormatInt(v, 10))
		}
		return nil
	case float64:
		if c.kind == table.Float {
			*c.to = table.FloatOf(v)
			return nil
		}
	case string:
		return c.parse(v)
	case []byte:
		return c.parse(string(v))
	}
	return fmt.Errorf("sqlstore: a %T where a value of kind %d stands", src, c.kind)
}

func (c *cell) text(s string) table.Value {
	if c.kind == table.Bytes {
		return table.BytesOfString(s)
	}
	return table.TextOf(s)
}

func (c *cell) parse(s string) (err error) {
	*c.to, err = table.Parse(c.kind, s)
	return err
}

// scanner scans the rows of a table, all columns and then the version.
type scanner struct {
	spec  *table.Spec
	cells []cell
	dst   []any
	ver   int64
}

func newScanner(t *table.Spec) *scanner {
	s := &scanner{spec: t, cells: make([]cell, len(t.Columns)), dst: make([]any, len(t.Columns)+1)}
	for i := range s.cells {
		s.cells[i].kind = t.Columns[i].Kind
		s.dst[i] = &s.cells[i]
	}
	s.dst[len(t.Columns)] = &s.ver
	return s
}

// scan reads the row that r stands at.
func (s *scanner) scan(r interface{ Scan(...any) error }) (table.Row, error) {
	values := make([]table.Value, len(s.cells))
	for i := range s.cells {
		s.cells[i].to = &values[i]
	}
	if err := r.Scan(s.dst...); err != nil {
		return table.Row{}, err
	}
	return table.Row{Ref: s.spec.RefOf(values), Version: uint64(s.ver), Values: values}, nil
}
