package table

import "github.com/firefly-go/firefly"

// Codec connects a table to the Go types of its rows and keys. Generated code makes one per table,
// as a package-level variable that nobody changes. Its functions may be called by any goroutine.
type Codec[K comparable, R any] struct {
	Spec *Spec
	// New makes an empty row.
	New func() R
	// Ref is the row that a key names.
	Ref func(K) Ref
	// KeyOf is the key of a row.
	KeyOf func(R) K
	// Values puts one Value per column behind dst. Error: a message field does not encode.
	Values func(r R, dst []Value) ([]Value, error)
	// Set fills an empty row from one Value per column; nothing of values is kept by it but strings.
	Set func(r R, values []Value) error
	// Check judges the row by the declared rules; nil when there are none. InvalidArgument that names the field.
	Check func(R) error
	// SetID fills in the number of an auto id; nil when the table has none.
	SetID func(R, int64)
}

// row decodes values.
func (c *Codec[K, R]) row(values []Value) (R, error) {
	r := c.New()
	if err := c.Set(r, values); err != nil {
		var none R
		return none, err
	}
	return r, nil
}

// values encodes and checks a row.
func (c *Codec[K, R]) values(r R) ([]Value, error) {
	values, err := c.Values(r, make([]Value, 0, len(c.Spec.Columns)))
	if err != nil {
		return nil, c.Spec.invalid(c.Ref(c.KeyOf(r)).Key, -1, "does not encode: %v", err)
	}
	if err := c.Spec.Check(values); err != nil {
		return nil, err
	}
	if c.Check != nil {
		if err := c.Check(r); err != nil {
			return nil, c.broken(r, err)
		}
	}
	return values, nil
}

// broken puts the name of the row before what Check says of a field.
func (c *Codec[K, R]) broken(r R, err error) error {
	if e, ok := err.(*firefly.Error); ok {
		return e.Code.Errorf("%s: %s", c.Ref(c.KeyOf(r)), e.Message)
	}
	return err
}

// diff gives what has to be set to turn one row into another. InvalidArgument when that would
// change its key or place.
func (t *Spec) diff(r Ref, from, to []Value) ([]Assign, error) {
	var set []Assign
	for i := range to {
		if from[i] == to[i] {
			continue
		}
		if i == t.Place {
			return nil, t.invalid(r.Key, i, "places the row and never changes; use Move, or delete and insert")
		}
		for _, k := range t.Key {
			if k == i {
				return nil, t.invalid(r.Key, i, "is in the key and never changes; use Move, or delete and insert")
			}
		}
		set = append(set, Assign{Column: i, Value: to[i]})
	}
	return set, nil
}

// all is every column as it is set by an Insert.
func all(values []Value) []Assign {
	set := make([]Assign, len(values))
	for i, v := range values {
		set[i] = Assign{Column: i, Value: v}
	}
	return set
}
