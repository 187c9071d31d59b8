package redisstore

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/firefly-go/firefly/runtime/table"
)

// A row is a hash. Fields of the declaration have their number as name and the text of the value; one that
// is absent is Zero, or Null of a column that may be. Beside them stand
//
//	_s L live, T removed and that is not stored yet, N known not to exist
//	_v version    _g generation    _c revision of who made it
//	_d d, x or q: the set that it waits in; absent: everything is stored
//	_x lists that it pins    _t version of the last commit together with others
//	_k lock of a durable commit: "ends token", in ms
const (
	stateField   = "_s"
	versionField = "_v"
	genField     = "_g"
	revField     = "_c"
	dirtyField   = "_d"
	pinsField    = "_x"
	lockField    = "_k"
)

// layout is what has to be known of a table to read its rows.
type layout struct {
	spec    *table.Spec
	rev     int
	byField map[string]int // column of a field
	dense   []int16        // column of a field number, -1: none; for small numbers
	fields  []string       // of the columns
	exact   []int          // indexes whose lists are kept here
	unknown [][]int        // columns that the revisions before this one did not have; of revision 1 at 0
}

// newLayout has for older the numbers of the columns of each revision before rev.
func newLayout(t *table.Spec, rev int, older []string) *layout {
	l := &layout{spec: t, rev: rev, byField: make(map[string]int, len(t.Columns)), fields: make([]string, len(t.Columns))}
	most := int32(0)
	for i, c := range t.Columns {
		l.fields[i] = strconv.Itoa(int(c.Number))
		l.byField[l.fields[i]] = i
		if c.Number < 256 {
			most = max(most, c.Number)
		}
	}
	l.dense = make([]int16, most+1)
	for i := range l.dense {
		l.dense[i] = -1
	}
	for i, c := range t.Columns {
		if c.Number <= most {
			l.dense[c.Number] = int16(i)
		}
	}
	for i := range t.Indexes {
		if t.Indexes[i].Exact {
			l.exact = append(l.exact, i)
		}
	}
	for _, had := range older {
		var unknown []int
		for i := range t.Columns {
			if had != "" && !strings.Contains(" "+had, " "+l.fields[i]+" ") {
				unknown = append(unknown, i)
			}
		}
		l.unknown = append(l.unknown, unknown)
	}
	return l
}

// missing are the columns that a revision did not know.
func (l *layout) missing(rev int) []int {
	if rev < 1 || rev > len(l.unknown) {
		return nil
	}
	return l.unknown[rev-1]
}

// column is the column of a field, -1 when there is none.
func (l *layout) column(field string) int {
	n := 0
	for i := range len(field) {
		d := field[i] - '0'
		if d > 9 || n >= len(l.dense) {
			n = len(l.dense)
			break
		}
		n = n*10 + int(d)
	}
	if n < len(l.dense) {
		return int(l.dense[n])
	}
	if c, ok := l.byField[field]; ok {
		return c
	}
	return -1
}

// layouts are those of all tables of a process.
type layouts struct {
	mu     sync.RWMutex
	bySpec map[*table.Spec]*layout
	byName map[string]*layout
}

func (ls *layouts) of(t *table.Spec) *layout {
	ls.mu.RLock()
	l := ls.bySpec[t]
	ls.mu.RUnlock()
	if l == nil {
		l = ls.add(t, 1, nil)
	}
	return l
}

func (ls *layouts) named(name string) *layout {
	ls.mu.RLock()
	defer ls.mu.RUnlock()
	return ls.byName[name]
}

func (ls *layouts) add(t *table.Spec, rev int, older []string) *layout {
	l := newLayout(t, rev, older)
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if ls.bySpec == nil {
		ls.bySpec, ls.byName = map[*table.Spec]*layout{}, map[string]*layout{}
	}
	ls.bySpec[t], ls.byName[t.Name] = l, l
	return l
}

// meta is what a hash says of its row.
type meta struct {
	state, dirty byte
	version      uint64
	gen          string
	rev          int
	pins         string
	lock         string
	over         bool // the lock's time is over; only scripts say so
}

// locked is the token of the lock.
func (m *meta) locked() string {
	_, token, _ := strings.Cut(m.lock, " ")
	return token
}

// skew is how far the clocks of a process and of its Redis may be apart; beyond it a lock is taken for over
// too early, which costs its commit another try.
const skew = time.Second

// passed reports whether the time of the lock is over by the clock of this process.
func (m *meta) passed() bool {
	text, _, _ := strings.Cut(m.lock, " ")
	ends, err := strconv.ParseInt(text, 10, 64)
	return err == nil && time.Now().UnixMilli() > ends+skew.Milliseconds()
}

// row reads a hash: next gives field and value, until ok is false. values is reused when it has room.
func (l *layout) row(values []table.Value, next func() (field, value string, ok bool)) (m meta, _ []table.Value, err error) {
	n := len(l.spec.Columns)
	if cap(values) < n {
		values = make([]table.Value, n)
	}
	values = values[:n]
	for i := range values {
		if c := &l.spec.Columns[i]; c.Nullable {
			values[i] = table.Value{}
		} else {
			values[i] = table.Zero(c.Kind)
		}
	}
	for {
		f, v, ok := next()
		if !ok {
			return m, values, nil
		}
		if f == "" || f[0] != '_' {
			c := l.column(f)
			if c < 0 {
				continue // of a declaration that is newer or older
			}
			if values[c], err = table.Parse(l.spec.Columns[c].Kind, v); err != nil {
				return m, values, fmt.Errorf("%s of a %s: %w", l.spec.Columns[c].Field, l.spec.Name, err)
			}
			continue
		}
		switch f {
		case stateField:
			if v != "" {
				m.state = v[0]
			}
		case versionField:
			m.version, err = strconv.ParseUint(v, 10, 64)
		case genField:
			m.gen = v
		case revField:
			m.rev, err = strconv.Atoi(v)
		case dirtyField:
			if v != "" {
				m.dirty = v[0]
			}
		case pinsField:
			m.pins = v
		case lockField:
			m.lock = v
		}
		if err != nil {
			return m, values, fmt.Errorf("%s of a %s: %w", f, l.spec.Name, err)
		}
	}
}

// flat goes through the fields and values that a script gave.
func flat(a []any) func() (string, string, bool) {
	i := 0
	return func() (string, string, bool) {
		if i+1 >= len(a) {
			return "", "", false
		}
		f, _ := a[i].(string)
		v, _ := a[i+1].(string)
		i += 2
		return f, v, true
	}
}

// stored is the text of a value as a field has it; keep is false when the field is absent.
func (l *layout) stored(column int, v table.Value) (text string, keep bool) {
	if v.IsNull() || !l.spec.Columns[column].Nullable && v == table.Zero(v.Kind()) {
		return "", false
	}
	return v.String(), true
}

// sets puts the fields and values of a whole row behind args, and gives their number.
func (l *layout) sets(args []any, values []table.Value) ([]any, int) {
	n := 0
	for i, v := range values {
		if text, keep := l.stored(i, v); keep {
			args = append(args, l.fields[i], text)
			n++
		}
	}
	return args, n
}

// replies reads what HGETALL answered, as it came over the wire.
type replies struct {
	b    string
	left int
	bad  bool
}

// newReplies begins with the header: an array, or a map of RESP3.
func newReplies(b string) *replies {
	r := &replies{b: b}
	if b == "" {
		r.bad = true
		return r
	}
	kind := b[0]
	n := r.line()
	switch {
	case kind == '%':
		r.left = n
	case kind == '*' && n%2 == 0:
		r.left = n / 2
	default:
		r.bad = true
	}
	return r
}

// line reads the number behind the first byte, up to the end of the line; -1 when there is none.
func (r *replies) line() int {
	n, i := 0, 1
	for ; i < len(r.b) && r.b[i] != '\r'; i++ {
		d := r.b[i] - '0'
		if d > 9 || n > math.MaxInt32/10 {
			r.bad = true
			return -1
		}
		n = n*10 + int(d)
	}
	if i == 1 || i+1 >= len(r.b) || r.b[i+1] != '\n' {
		r.bad = true
		return -1
	}
	r.b = r.b[i+2:]
	return n
}

func (r *replies) bulk() string {
	if r.bad || r.b == "" || r.b[0] != '$' {
		r.bad = true
		return ""
	}
	n := r.line()
	if n < 0 || n+2 > len(r.b) || r.b[n] != '\r' || r.b[n+1] != '\n' {
		r.bad = true
		return ""
	}
	s := r.b[:n]
	r.b = r.b[n+2:]
	return s
}

func (r *replies) next() (string, string, bool) {
	if r.left <= 0 || r.bad {
		return "", "", false
	}
	r.left--
	f, v := r.bulk(), r.bulk()
	return f, v, !r.bad
}
