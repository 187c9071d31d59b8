package table

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/firefly-go/firefly"
)

// MaxRow bounds what the values of one row take together, in bytes, so that a row always fits into
// a frame between nodes.
const MaxRow = 512 << 10

// invalid is an InvalidArgument that names table, row and field.
func (t *Spec) invalid(key Key, column int, format string, a ...any) error {
	at := t.Name
	if key != "" {
		at += " " + string(key)
	}
	if column >= 0 {
		at += ": " + t.Columns[column].Field
	}
	return firefly.InvalidArgument.Errorf("%s %s", at, fmt.Sprintf(format, a...))
}

// unreadable is an Internal error about what a store has in a column.
func (t *Spec) unreadable(values []Value, column int, format string, a ...any) error {
	return firefly.Internal.Errorf("%s: %s %s", t.RefOf(values), t.Columns[column].Field, fmt.Sprintf(format, a...))
}

// Check says why values, one per column, are no row that a store can keep: InvalidArgument that
// names table, key and field; nil when they are.
func (t *Spec) Check(values []Value) error {
	if len(values) != len(t.Columns) {
		return t.invalid("", -1, "has %d columns and the row has %d", len(t.Columns), len(values))
	}
	size, largest := 0, 0
	for i := range values {
		if err := t.checkValue(i, values[i]); err != "" {
			return t.invalid(t.RefOf(values).Key, i, "%s", err)
		}
		size += 8 + len(values[i].s)
		if len(values[i].s) > len(values[largest].s) {
			largest = i
		}
	}
	for _, c := range t.Key {
		if err := t.checkKeyPart(c, values[c]); err != "" {
			return t.invalid(t.RefOf(values).Key, c, "%s", err)
		}
	}
	for i := range t.Indexes {
		if t.Indexes[i].Unique {
			for _, c := range t.Indexes[i].By {
				if strings.HasSuffix(values[c].s, " ") && values[c].kind == Text {
					return t.invalid(t.RefOf(values).Key, c, "ends with a space, which databases do not tell apart in a unique column")
				}
			}
		}
	}
	if size > MaxRow {
		return t.invalid(t.RefOf(values).Key, largest, "has %d of the %d bytes of the row; a row has at most %d", len(values[largest].s), size, MaxRow)
	}
	return nil
}

// checkValue says what is wrong with a value of a column, "" when nothing is.
func (t *Spec) checkValue(column int, v Value) string {
	c := &t.Columns[column]
	if v.kind == Null {
		if c.Nullable {
			return ""
		}
		return "is missing"
	}
	if v.kind != c.Kind {
		return fmt.Sprintf("has a value of kind %d, and the column is of kind %d", v.kind, c.Kind)
	}
	switch v.kind {
	case Int:
		n := v.Int()
		if c.Enum != nil {
			if _, ok := slices.BinarySearch(c.Enum, int32(n)); !ok || n != int64(int32(n)) {
				return fmt.Sprintf("is %d, which the enum does not have", n)
			}
			return ""
		}
		if n < c.Min {
			return fmt.Sprintf("is %d; at least %d", n, c.Min)
		}
		if n > c.Max {
			return fmt.Sprintf("is %d; at most %d", n, c.Max)
		}
	case Uint:
		n := v.Uint()
		if c.Min > 0 && n < uint64(c.Min) {
			return fmt.Sprintf("is %d; at least %d", n, c.Min)
		}
		if c.Max < math.MaxInt64 && n > uint64(c.Max) {
			return fmt.Sprintf("is %d; at most %d", n, c.Max)
		}
	case Float:
		if f := v.Float(); math.IsNaN(f) || math.IsInf(f, 0) {
			return fmt.Sprintf("is %v, which no database keeps", f)
		}
	case Text:
		if !utf8.ValidString(v.s) {
			return "is no valid UTF-8"
		}
		if n := len(v.s); c.MaxLen > 0 && n > c.MaxLen {
			if c.LenBytes {
				return fmt.Sprintf("has %d bytes; at most %d", n, c.MaxLen)
			}
			if n := utf8.RuneCountInString(v.s); n > c.MaxLen {
				return fmt.Sprintf("has %d characters; at most %d", n, c.MaxLen)
			}
		}
	case Bytes:
		if c.MaxLen > 0 && len(v.s) > c.MaxLen {
			return fmt.Sprintf("has %d bytes; at most %d", len(v.s), c.MaxLen)
		}
	}
	return ""
}

func (t *Spec) checkKeyPart(column int, v Value) string {
	switch {
	case v.kind == Text && strings.HasSuffix(v.s, " "):
		return "ends with a space, which databases do not tell apart in a key"
	case t.AutoID && column == t.Key[len(t.Key)-1] && v.n == 0:
		return "is 0, and the store gives numbers from 1"
	}
	return ""
}

// checkRef says why no row can have the key of r.
func (t *Spec) checkRef(r Ref) error {
	if t.AutoID {
		if r.Key == "0" || strings.HasSuffix(string(r.Key), ":0") {
			return t.invalid(r.Key, t.Key[len(t.Key)-1], "is 0, and the store gives numbers from 1")
		}
	}
	for i, c := range t.Key {
		if t.Columns[c].Kind != Text {
			continue
		}
		values, err := t.Values(r.Key)
		if err != nil {
			return t.invalid(r.Key, -1, "is no key of the table")
		}
		for j := i; j < len(t.Key); j++ {
			if why := t.checkValue(t.Key[j], values[j]); why != "" {
				return t.invalid(r.Key, t.Key[j], "%s", why)
			}
			if why := t.checkKeyPart(t.Key[j], values[j]); why != "" {
				return t.invalid(r.Key, t.Key[j], "%s", why)
			}
		}
		break
	}
	return nil
}

// outOfRange is the error of an addition.
func (t *Spec) outOfRange(r Ref, column int, have, delta int64) error {
	c := &t.Columns[column]
	return firefly.OutOfRange.Errorf("%s: %s is %d, and %+d leaves %d to %d", r, c.Field, have, delta, c.Min, c.Max)
}

// Sum is the value of a counter column after an addition. OutOfRange when it leaves the bounds of the
// column; text and code are the same in every store.
func (t *Spec) Sum(r Ref, column int, have Value, delta int64) (Value, error) {
	c := &t.Columns[column]
	n := have.Int()
	sum := n + delta
	if (delta > 0) != (sum > n) && delta != 0 || sum < c.Min || sum > c.Max || have.kind == Uint && n < 0 {
		return Value{}, t.outOfRange(r, column, n, delta)
	}
	if c.Kind == Uint {
		return UintOf(uint64(sum)), nil
	}
	return IntOf(sum), nil
}

// Errors of ops, so that every store uses the same words.

// NotFoundError says that there is no such row.
func (r Ref) NotFoundError() error { return firefly.NotFound.Errorf("there is no %s", r) }

// ExistsError says that there is such a row already.
func (r Ref) ExistsError() error { return firefly.AlreadyExists.Errorf("there is a %s already", r) }

// ConflictError says that the row is not as it was read.
func (r Ref) ConflictError() error {
	return firefly.Conflict.Errorf("%s was written by somebody else", r)
}

// NotUniqueError says that another row has the values of a unique index.
func (r Ref) NotUniqueError(index string) error {
	return firefly.NotUnique.Errorf("%s: another row has the same value of the unique index %s", r, index)
}
