package remote

import (
	"encoding/binary"
	"math"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/table"
)

// The operations, as numbers on the wire.
const (
	opRead    = 1 // tables, refs -> rows, as many as fit
	opFind    = 2 // table, query -> rows, and whether there are more
	opCommit  = 3 // tables, ops -> versions and sums
	opReserve = 4 // table, count -> first
)

// The statuses of a reply; any other error travels as that of the call.
const (
	statusOK   = 0
	statusOnce = 1 // table.ErrOnce, and the key
)

// writer builds a message.
type writer struct {
	b      []byte
	tables []*table.Spec
}

func (w *writer) uint(v uint64) { w.b = binary.AppendUvarint(w.b, v) }
func (w *writer) int(v int64)   { w.b = binary.AppendVarint(w.b, v) }
func (w *writer) text(s string) { w.uint(uint64(len(s))); w.b = append(w.b, s...) }
func (w *writer) flag(v bool)   { w.uint(map[bool]uint64{true: 1}[v]) }
func (w *writer) spec(t *table.Spec) {
	for i, known := range w.tables {
		if known == t {
			w.uint(uint64(i))
			return
		}
	}
	w.uint(uint64(len(w.tables)))
	w.tables = append(w.tables, t)
	w.text(t.Name)
	w.b = binary.BigEndian.AppendUint64(w.b, t.Shape)
}

func (w *writer) ref(r table.Ref) {
	w.spec(r.Table)
	w.text(string(r.Key))
	own := r.Table.Place != r.Table.Key[0]
	if own {
		w.text(string(r.Place))
	}
}

func (w *writer) value(v table.Value) {
	w.uint(uint64(v.Kind()))
	switch v.Kind() {
	case table.Int:
		w.int(v.Int())
	case table.Uint:
		w.uint(v.Uint())
	case table.Float:
		w.b = binary.BigEndian.AppendUint64(w.b, math.Float64bits(v.Float()))
	case table.Text, table.Bytes:
		w.text(v.Text())
	}
}

func (w *writer) row(r table.Row) {
	w.uint(r.Version)
	if r.Version != 0 {
		for _, v := range r.Values {
			w.value(v)
		}
	}
}

func (w *writer) op(o *table.Op) {
	w.uint(uint64(o.Kind))
	w.ref(o.Ref)
	w.flag(o.Fresh)
	w.uint(o.If)
	w.uint(uint64(len(o.Set)))
	for _, s := range o.Set {
		w.uint(uint64(s.Column))
		w.value(s.Value)
	}
	w.uint(uint64(len(o.Add)))
	for _, a := range o.Add {
		w.uint(uint64(a.Column))
		w.int(a.Delta)
	}
}

// reader reads a message; after the first thing that is not there it gives zeros, and err says why.
type reader struct {
	b      []byte
	err    error
	specs  map[string]*table.Spec
	tables []*table.Spec
}

var errMessage = firefly.InvalidArgument.Errorf("tables: malformed message")

func (r *reader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
	r.b = nil
}

func (r *reader) uint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.fail(errMessage)
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) int() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.fail(errMessage)
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) fixed() uint64 {
	if len(r.b) < 8 {
		r.fail(errMessage)
		return 0
	}
	v := binary.BigEndian.Uint64(r.b)
	r.b = r.b[8:]
	return v
}

// count is a number of things that take at least a byte each.
func (r *reader) count() int {
	n := r.uint()
	if n > uint64(len(r.b)) {
		r.fail(errMessage)
		return 0
	}
	return int(n)
}

func (r *reader) text() string {
	n := r.count()
	s := string(r.b[:n])
	r.b = r.b[n:]
	return s
}

func (r *reader) flag() bool { return r.uint() == 1 }

func (r *reader) spec() *table.Spec {
	i := r.uint()
	if r.err != nil {
		return nil
	}
	if i < uint64(len(r.tables)) {
		return r.tables[i]
	}
	if i != uint64(len(r.tables)) {
		r.fail(errMessage)
		return nil
	}
	name, shape := r.text(), r.fixed()
	t := r.specs[name]
	switch {
	case r.err != nil:
		return nil
	case t == nil:
		r.fail(firefly.FailedPrecondition.Errorf("the store does not know the table %s", name))
		return nil
	case t.Shape != shape:
		r.fail(firefly.FailedPrecondition.Errorf("the store was built from another declaration of the table %s; start it anew with this build", name))
		return nil
	}
	r.tables = append(r.tables, t)
	return t
}

func (r *reader) ref() table.Ref {
	t := r.spec()
	if t == nil {
		return table.Ref{}
	}
	key := table.Key(r.text())
	if _, err := t.Values(key); err != nil {
		r.fail(errMessage)
		return table.Ref{}
	}
	ref := t.RefTo(key)
	if t.Place != t.Key[0] {
		ref.Place = table.Place(r.text())
	}
	return ref
}

func (r *reader) value() table.Value {
	switch table.Kind(r.uint()) {
	case table.Null:
		return table.Value{}
	case table.Int:
		return table.IntOf(r.int())
	case table.Uint:
		return table.UintOf(r.uint())
	case table.Float:
		return table.FloatOf(math.Float64frombits(r.fixed()))
	case table.Text:
		return table.TextOf(r.text())
	case table.Bytes:
		return table.BytesOfString(r.text())
	}
	r.fail(errMessage)
	return table.Value{}
}

// column is a position in the columns of t.
func (r *reader) column(t *table.Spec) int {
	c := r.uint()
	if t == nil || c >= uint64(len(t.Columns)) {
		r.fail(errMessage)
		return 0
	}
	return int(c)
}

// fitting is a value that a column of t can have.
func (r *reader) fitting(t *table.Spec, column int) table.Value {
	v := r.value()
	if r.err == nil && v.Kind() != t.Columns[column].Kind && !(v.IsNull() && t.Columns[column].Nullable) {
		r.fail(errMessage)
	}
	return v
}

// row reads a row of t; its Ref is the caller's to set when there is none.
func (r *reader) row(t *table.Spec) table.Row {
	version := r.uint()
	if version == 0 || t == nil || r.err != nil {
		return table.Row{}
	}
	values := make([]table.Value, len(t.Columns))
	for i := range values {
		values[i] = r.fitting(t, i)
	}
	if r.err != nil {
		return table.Row{}
	}
	return table.Row{Ref: t.RefOf(values), Version: version, Values: values}
}

func (r *reader) op() table.Op {
	o := table.Op{Kind: table.OpKind(r.uint())}
	if o.Kind > table.CheckAbsent {
		r.fail(errMessage)
	}
	o.Ref = r.ref()
	o.Fresh, o.If = r.flag(), r.uint()
	for range r.count() {
		c := r.column(o.Table)
		if r.err != nil {
			return o
		}
		o.Set = append(o.Set, table.Assign{Column: c, Value: r.fitting(o.Table, c)})
	}
	for range r.count() {
		o.Add = append(o.Add, table.AddTo{Column: r.column(o.Table), Delta: r.int()})
	}
	return o
}

// end is the error of a message that was read to its end.
func (r *reader) end() error {
	if r.err == nil && len(r.b) != 0 {
		r.err = errMessage
	}
	return r.err
}
