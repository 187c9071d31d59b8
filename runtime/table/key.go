package table

import (
	"fmt"
	"strings"

	"github.com/cespare/xxhash/v2"
)

// Key is the canonical text of a row's key columns: the texts of their values, joined by ':'. In
// strings ':' and '%' are written as %3A and %25, so that different keys have different texts.
type Key string

// Place is the canonical text of the value that places a row.
type Place string

// Ref names one row of one table.
type Ref struct {
	Table *Spec
	Key   Key
	Place Place
}

// String is the name of the row for texts: "player 42".
func (r Ref) String() string { return r.Table.Name + " " + string(r.Key) }

var keyEscapes = strings.NewReplacer("%", "%25", ":", "%3A")

// AppendKeyText puts the text that v has in a Key or Place behind b.
func AppendKeyText(b []byte, v Value) []byte {
	if v.Kind() == Text || v.Kind() == Bytes {
		if s := v.Text(); strings.ContainsAny(s, "%:") {
			return append(b, keyEscapes.Replace(s)...)
		}
	}
	return v.Append(b)
}

// KeyOf is the Key of the values of all key columns, in order.
func KeyOf(key ...Value) Key {
	b := make([]byte, 0, 24)
	for i, v := range key {
		if i > 0 {
			b = append(b, ':')
		}
		b = AppendKeyText(b, v)
	}
	return Key(b)
}

// PlaceOf is the Place of a value.
func PlaceOf(v Value) Place { return Place(AppendKeyText(nil, v)) }

// RefOf is the Ref of a whole row: values has one Value per column.
func (t *Spec) RefOf(values []Value) Ref {
	b := make([]byte, 0, 24)
	for i, c := range t.Key {
		if i > 0 {
			b = append(b, ':')
		}
		b = AppendKeyText(b, values[c])
	}
	r := Ref{Table: t, Key: Key(b)}
	if t.Place == t.Key[0] {
		r.Place = r.Key.first()
	} else {
		r.Place = PlaceOf(values[t.Place])
	}
	return r
}

// RefTo is the Ref of the row with a key, for a table that is placed by the first key column.
func (t *Spec) RefTo(k Key) Ref { return Ref{Table: t, Key: k, Place: k.first()} }

// first is the part before the first ':'.
func (k Key) first() Place {
	s, _, _ := strings.Cut(string(k), ":")
	return Place(s)
}

// Values gives the values of the key columns back.
func (t *Spec) Values(k Key) ([]Value, error) {
	parts := strings.Split(string(k), ":")
	if len(parts) != len(t.Key) {
		return nil, fmt.Errorf("table: %q is no key of %s: it has %d columns, not %d", string(k), t.Name, len(parts), len(t.Key))
	}
	vs := make([]Value, len(parts))
	for i, p := range parts {
		v, err := t.keyValue(t.Key[i], p)
		if err != nil {
			return nil, fmt.Errorf("table: %q is no key of %s: %w", string(k), t.Name, err)
		}
		vs[i] = v
	}
	return vs, nil
}

// PlaceValue gives the value behind a Place back.
func (t *Spec) PlaceValue(p Place) (Value, error) { return t.keyValue(t.Place, string(p)) }

func (t *Spec) keyValue(column int, s string) (Value, error) {
	k := t.Columns[column].Kind
	if (k == Text || k == Bytes) && strings.Contains(s, "%") {
		s = keyUnescapes.Replace(s)
	}
	return Parse(k, s)
}

var keyUnescapes = strings.NewReplacer("%3A", ":", "%25", "%")

// Shard is the number, below shards, of the shard that rows of a place lie in.
func (p Place) Shard(shards int) int { return int(xxhash.Sum64String(string(p)) % uint64(shards)) }
