package table

import (
	"context"
	"strings"
	"testing"

	"github.com/firefly-go/firefly"
)

// A key of Once lies where the rows of its place do, whatever bytes the place has.
func TestOnceRef(t *testing.T) {
	for _, v := range []Value{IntOf(-7), UintOf(1 << 63), TextOf("a:b%c"), TextOf("%3A"), TextOf(""), BytesOfString("\x00:\xff")} {
		place := PlaceOf(v)
		ref := OnceRef(place, "order:1%")
		if ref.Place != place {
			t.Errorf("the key of %q lies at %q", place, ref.Place)
		}
		values, err := Once.Values(ref.Key)
		if err != nil || values[OnceKey].Text() != "order:1%" {
			t.Errorf("the key of %q is %v: %v", place, values, err)
		}
	}
}

// A place that is too long for the table of the keys is refused before anything is written.
func TestOncePlace(t *testing.T) {
	spec := &Spec{Name: "guild", Columns: []Column{{Name: "name", Kind: Text}}, Key: []int{0}}
	for n, want := range map[int]firefly.Code{768: firefly.OK, 769: firefly.InvalidArgument} {
		if err := checkOnce(spec.RefTo(KeyOf(TextOf(strings.Repeat(":", n))))); firefly.CodeOf(err) != want {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
}

// answers is a Store that answers commits in turn.
type answers struct {
	Store
	errs []error
}

func (a *answers) Commit(context.Context, *Commit) error {
	err := a.errs[0]
	if len(a.errs) > 1 {
		a.errs = a.errs[1:]
	}
	return err
}

// When the outcome of a commit with a key is not known, it stays so until somebody says something of its rows:
// that a repetition was surely not executed is no answer.
func TestOnceUnknown(t *testing.T) {
	unknown, away, exists := firefly.Unknown.Errorf("u"), firefly.Unavailable.Errorf("away"), firefly.OutOfRange.Errorf("range")
	for _, c := range []struct {
		errs []error
		want firefly.Code
	}{
		{[]error{away}, firefly.Unavailable},
		{[]error{unknown, away, nil}, firefly.OK},
		{[]error{unknown, away}, firefly.Unknown},
		{[]error{unknown, exists}, firefly.OutOfRange},
	} {
		db := NewDB(&answers{errs: c.errs}, DBOptions{})
		if err := db.commitOnce(t.Context(), &Commit{Once: "k"}); firefly.CodeOf(err) != c.want {
			t.Errorf("%v: %v", c.errs, err)
		}
	}
}
