package migrate

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"

	"ariga.io/atlas/sql/mysql"
	"ariga.io/atlas/sql/schema"
	"ariga.io/atlas/sql/sqlite"

	"github.com/firefly-go/firefly/gen"
	"github.com/firefly-go/firefly/idl"
)

// SnapshotName is the file, beside the migrations, that says what they lead to.
const SnapshotName = "schema.json"

// Options are what Diff knows.
type Options struct {
	// Tables are the declared ones.
	Tables []*gen.SQLTable
	// System are the statements that make the tables of the stores, by dialect. They only ever grow at
	// the end, and each can be run again.
	System [2][]string
	// Snapshot is the present snapshot; nil when there is none.
	Snapshot []byte
	// Live databases, by dialect, whose tables are read instead of believing the snapshot; nil for none.
	Live [2]*sql.DB
	// Allow are steps that may lose data, by name: "drop:player.old_name".
	Allow []string
}

// Result is what is to be done.
type Result struct {
	Steps    [2][]Step // by dialect
	Snapshot []byte
	Refused  []Refusal
	Notes    []string // what a person should know, and stops nothing
	Unused   []string // of Options.Allow
}

// Empty reports whether there is nothing to do.
func (r *Result) Empty() bool {
	return len(r.Steps[gen.MySQL]) == 0 && len(r.Steps[gen.SQLite]) == 0
}

// Step is one statement and what it does.
type Step struct {
	Comment string // one line
	SQL     string // one line, without ";"
}

// Refusal is a step that is not done without being allowed.
type Refusal struct {
	Pos   idl.Pos // of the declaration that asks for it; nowhere when it is no longer declared
	Text  string
	Allow string // what allows it; "" when nothing does
}

func (r Refusal) String() string {
	s := r.Text
	if r.Pos.File != "" {
		s = fmt.Sprintf("%s:%d:%d: %s", r.Pos.File, r.Pos.Line, r.Pos.Col, s)
	}
	if r.Allow != "" {
		s += "; --allow " + r.Allow
	}
	return s
}

// differ is one run.
type differ struct {
	ctx    context.Context
	o      Options
	old    *snapshot
	want   []model
	allow  map[string]bool
	used   map[string]bool
	result *Result
	asked  map[string]bool // refusals, by what allows them: both dialects ask the same
}

// Diff says what leads from what there is to what is declared.
func Diff(ctx context.Context, o Options) (*Result, error) {
	old, err := readSnapshot(o.Snapshot)
	if err != nil {
		return nil, err
	}
	f := &differ{ctx: ctx, o: o, old: old, allow: map[string]bool{}, used: map[string]bool{}, asked: map[string]bool{}, result: &Result{}}
	for _, a := range o.Allow {
		f.allow[a] = true
	}
	for _, t := range o.Tables {
		m := modelOf(t)
		if err := plain(&m); err != nil {
			return nil, err
		}
		f.want = append(f.want, m)
	}
	for _, d := range []gen.SQLDialect{gen.MySQL, gen.SQLite} {
		if err := f.dialect(d); err != nil {
			return nil, fmt.Errorf("%s: %w", d, err)
		}
	}
	slices.SortStableFunc(f.result.Refused, func(a, b Refusal) int {
		return cmp.Or(cmp.Compare(a.Pos.File, b.Pos.File), cmp.Compare(a.Pos.Line, b.Pos.Line), cmp.Compare(a.Pos.Col, b.Pos.Col), cmp.Compare(a.Allow, b.Allow))
	})
	next := &snapshot{Tables: f.want}
	for d := range next.System {
		next.System[d] = old.System[d]
		if len(f.want) > 0 {
			next.System[d] = max(len(o.System[d]), old.System[d])
		}
	}
	f.result.Snapshot = next.bytes()
	for _, a := range o.Allow {
		if !f.used[a] {
			f.result.Unused = append(f.result.Unused, a)
		}
	}
	return f.result, nil
}

// plain refuses defaults that do not fit one line of a migration.
func plain(m *model) error {
	for _, c := range m.Columns {
		for _, s := range c.Defaults {
			if strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) {
				return fmt.Errorf("%s:%d:%d: the default of %s.%s has control characters in it, which a migration cannot show", c.pos.File, c.pos.Line, c.pos.Col, m.Name, c.Name)
			}
		}
	}
	return nil
}

func (f *differ) step(d gen.SQLDialect, comment, statement string) {
	f.result.Steps[d] = append(f.result.Steps[d], Step{Comment: comment, SQL: oneLine(statement)})
}

func (f *differ) dialect(d gen.SQLDialect) error {
	for i, s := range f.o.System[d] {
		if i >= f.old.System[d] && len(f.want) > 0 {
			f.step(d, "what the stores keep beside the tables of the game", s)
		}
	}
	have, err := f.present(d)
	if err != nil {
		return err
	}
	for i := range f.want {
		m := &f.want[i]
		t, old := have[m.Name], f.old.table(m.Name)
		if d == gen.MySQL {
			m.Adopted = old != nil && old.Adopted || old == nil && t != nil
		}
		if t == nil {
			f.create(d, m)
			continue
		}
		if err := f.modify(d, t, m); err != nil {
			return fmt.Errorf("table %s: %w", m.Name, err)
		}
	}
	for _, t := range f.old.Tables {
		if have[t.Name] == nil || slices.ContainsFunc(f.want, func(m model) bool { return m.Name == t.Name }) {
			continue
		}
		text := fmt.Sprintf("table %s is no longer declared and would be dropped with all its rows", t.Name)
		if f.may("drop:"+t.Name, idl.Pos{}, text) {
			f.step(d, t.Name+": drop the table", "DROP TABLE "+quote(t.Name))
		}
	}
	return nil
}

// present are the tables of a database: as it says itself, or as the snapshot has them.
func (f *differ) present(d gen.SQLDialect) (map[string]*schema.Table, error) {
	out := map[string]*schema.Table{}
	if f.o.Live[d] != nil {
		return out, f.inspect(d, out)
	}
	s := schema.New("")
	for i := range f.old.Tables {
		t, err := build(d, s, &f.old.Tables[i])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", SnapshotName, err)
		}
		out[t.Name] = t
	}
	return out, nil
}

func (f *differ) create(d gen.SQLDialect, m *model) {
	if d == gen.MySQL {
		f.step(d, m.Name+": a new table", strings.Replace(m.table.CreateTable(d), "IF NOT EXISTS ", "", 1))
		return
	}
	// The embedded store makes tables by itself, so they may be there before the migration runs.
	f.step(d, m.Name+": a new table", m.table.CreateTable(d))
	for i := range m.Indexes {
		f.step(d, m.Name+": an index by "+strings.Join(m.Indexes[i].By, ", "), m.table.CreateIndex(d, i))
	}
}

func (f *differ) modify(d gen.SQLDialect, have *schema.Table, m *model) error {
	w, err := build(d, schema.New(have.Schema.Name), m)
	if err != nil {
		return err
	}
	w.Name = have.Name
	x := &matcher{d: d, have: have, want: w, model: m, old: f.old.table(m.Name), engine: f.takes("engine:" + m.Name), charset: f.takes("charset:" + m.Name)}
	x.match()
	if d == gen.MySQL {
		f.result.Notes = append(f.result.Notes, x.notes...)
	}
	for _, r := range x.renames {
		f.step(d, fmt.Sprintf("%s: %s is called %s now", m.Name, r[0].Name, r[1].Name),
			fmt.Sprintf("ALTER TABLE %s RENAME COLUMN %s TO %s", quote(have.Name), quote(r[0].Name), quote(r[1].Name)))
	}
	diff := mysql.DefaultDiff
	if d == gen.SQLite {
		diff = sqlite.DefaultDiff
	}
	changes, err := diff.TableDiff(have, w)
	if err != nil {
		return err
	}
	if changes, err = f.judge(d, x, changes); err != nil {
		return err
	}
	return f.plan(d, x, changes)
}

// takes reports whether a step that is only done on request was asked for.
func (f *differ) takes(allow string) bool {
	if f.allow[allow] {
		f.used[allow] = true
	}
	return f.allow[allow]
}

// may reports whether a step is allowed, and says so once when it is not.
func (f *differ) may(allow string, pos idl.Pos, text string) bool {
	if f.takes(allow) {
		return true
	}
	if !f.asked[allow] {
		f.asked[allow] = true
		f.result.Refused = append(f.result.Refused, Refusal{Pos: pos, Text: text, Allow: allow})
	}
	return false
}

func quote(name string) string { return "`" + strings.ReplaceAll(name, "`", "``") + "`" }

// oneLine joins the lines of a statement; there are none within its texts.
func oneLine(s string) string {
	s = strings.TrimSuffix(strings.TrimSpace(s), ";")
	var b strings.Builder
	for l := range strings.Lines(s) {
		l = strings.TrimSpace(l)
		if b.Len() > 0 && !strings.HasSuffix(b.String(), "(") && !strings.HasPrefix(l, ")") {
			b.WriteByte(' ')
		}
		b.WriteString(l)
	}
	return b.String()
}
