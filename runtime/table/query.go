package table

import (
	"cmp"
	"slices"
	"strings"
)

// Fits reports whether a row, one value per column, is one that q asks for, wherever its page begins.
func (q *Query) Fits(values []Value) bool {
	for i, c := range q.Table.Indexes[q.Index].By {
		if values[c] != q.By[i] {
			return false
		}
	}
	return true
}

// Compare orders values of a column as every store does: numbers by size, Text and Bytes by their
// bytes, Null first.
func Compare(a, b Value) int {
	if a.kind != b.kind {
		return cmp.Compare(a.kind, b.kind)
	}
	switch a.kind {
	case Int:
		return cmp.Compare(a.Int(), b.Int())
	case Uint:
		return cmp.Compare(a.n, b.n)
	case Float:
		return cmp.Compare(a.Float(), b.Float())
	}
	return strings.Compare(a.s, b.s)
}

// compareKey compares the key of a row with the values of a key.
func (t *Spec) compareKey(values, key []Value) int {
	for i, c := range t.Key {
		if d := Compare(values[c], key[i]); d != 0 {
			return d
		}
	}
	return 0
}

// SortRows sorts rows of the table by key.
func (t *Spec) SortRows(rows []Row) {
	slices.SortFunc(rows, func(a, b Row) int {
		for _, c := range t.Key {
			if d := Compare(a.Values[c], b.Values[c]); d != 0 {
				return d
			}
		}
		return 0
	})
}
