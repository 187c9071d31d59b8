package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/table"
)

// SystemMySQL makes the tables that a MySQL needs for itself: the epochs of flushers, the next numbers of
// auto ids, deleted rows that older images must not bring back, decided durable commits, and keys of
// Tx.Once.
var SystemMySQL = "CREATE TABLE IF NOT EXISTS `ff_shard` (`shard` INT UNSIGNED NOT NULL PRIMARY KEY, `epoch` BIGINT UNSIGNED NOT NULL, `owner` VARCHAR(255) NOT NULL) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;\n" +
	"CREATE TABLE IF NOT EXISTS `ff_seq` (`tbl` VARCHAR(64) NOT NULL PRIMARY KEY, `next` BIGINT UNSIGNED NOT NULL) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;\n" +
	"CREATE TABLE IF NOT EXISTS `ff_tomb` (`tbl` VARCHAR(64) NOT NULL, `pk` VARBINARY(512) NOT NULL, `ff_v` BIGINT UNSIGNED NOT NULL, `at` BIGINT NOT NULL, PRIMARY KEY (`tbl`, `pk`), KEY `by_at` (`at`)) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;\n" +
	"CREATE TABLE IF NOT EXISTS `ff_txn` (`token` VARCHAR(64) NOT NULL PRIMARY KEY, `state` CHAR(1) NOT NULL, `payload` LONGBLOB NOT NULL, `at` BIGINT NOT NULL, KEY `by_at` (`at`)) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;\n" +
	table.Once.MySQL.Create

// systemTables are those of SystemMySQL.
var systemTables = []string{"ff_shard", "ff_seq", "ff_tomb", "ff_txn", "ff_once"}

// The questions of Start.
const (
	sqlServer  = "SELECT VERSION(), @@read_only, @@innodb_flush_log_at_trx_commit, @@max_allowed_packet, DATABASE()"
	sqlTables  = "SELECT TABLE_NAME, ENGINE FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND TABLE_TYPE = 'BASE TABLE'"
	sqlColumns = "SELECT TABLE_NAME, COLUMN_NAME, IS_NULLABLE, COLUMN_DEFAULT IS NOT NULL, EXTRA, COALESCE(COLLATION_NAME, '') FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = DATABASE()"
	sqlIndexes = "SELECT TABLE_NAME, INDEX_NAME, NON_UNIQUE, COLUMN_NAME FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = DATABASE() ORDER BY TABLE_NAME, INDEX_NAME, SEQ_IN_INDEX"
)

// The oldest versions that will do: defaults of texts are expressions, and CHECK is kept.
var oldestMySQL, oldestMariaDB = [3]int{8, 0, 16}, [3]int{10, 5, 0}

// smallestPacket is what a row and a payload of a durable commit need.
const smallestPacket = 4 << 20

// Start implements table.Durable. It may be called again with more specs.
func (m *MySQL) Start(ctx context.Context, specs []*table.Spec) error {
	var version, database string
	var readOnly, flush string
	err := m.w.QueryRowContext(ctx, sqlServer).Scan(&version, &readOnly, &flush, &m.packet, &database)
	if err != nil {
		return mysqlReadError(ctx, "start", err)
	}
	refuse := func(format string, a ...any) error {
		return firefly.FailedPrecondition.Errorf("the database %s: "+format, append([]any{database}, a...)...)
	}
	if oldest, name := oldestMySQL, "MySQL"; tooOld(version, &oldest, &name) {
		return refuse("the server is %s; tables need %s %d.%d.%d or newer", version, name, oldest[0], oldest[1], oldest[2])
	}
	if readOnly != "0" && !strings.EqualFold(readOnly, "OFF") {
		return refuse("the server is read-only (read_only = %s); give the address of the primary", readOnly)
	}
	if m.packet < smallestPacket {
		return refuse("max_allowed_packet is %d; set it to %d or more", m.packet, smallestPacket)
	}
	if flush != "1" {
		m.o.Log.Warn("the database does not put every commit on disk; what it acknowledged can be lost when its host fails", "database", database, "innodb_flush_log_at_trx_commit", flush)
	}
	if err := m.ensureSystem(ctx); err != nil {
		return err
	}
	schema, err := m.readSchema(ctx)
	if err != nil {
		return mysqlReadError(ctx, "start", err)
	}
	var behind, other []string
	for _, t := range specs {
		b, o := schema.check(t)
		behind, other = append(behind, b...), append(other, o...)
		for _, w := range schema.warnings(t) {
			m.o.Log.Warn(w, "database", database, "table", t.Name)
		}
	}
	switch {
	case len(behind) > 0:
		return refuse("%s; bring the schema up to date: migrate up", strings.Join(append(behind, other...), ", "))
	case len(other) > 0:
		return refuse("%s", strings.Join(other, ", "))
	}
	for _, t := range specs {
		m.add(t)
	}
	m.add(table.Once)
	return nil
}

// tooOld compares a version as the server tells it, "10.11.6-MariaDB-1" or "8.0.36", with what is needed.
func tooOld(version string, oldest *[3]int, name *string) bool {
	v := strings.TrimPrefix(version, "5.5.5-") // what MariaDB says to old clients
	if strings.Contains(v, "MariaDB") {
		*oldest, *name = oldestMariaDB, "MariaDB"
	}
	head, _, _ := strings.Cut(v, "-")
	var have [3]int
	for i, p := range strings.SplitN(head, ".", 3) {
		have[i], _ = strconv.Atoi(p)
	}
	return slices.Compare(have[:], oldest[:]) < 0
}

// ensureSystem makes the system tables that are missing; an account that may not make any is enough when
// none is.
func (m *MySQL) ensureSystem(ctx context.Context) error {
	have, err := m.tableNames(ctx)
	if err != nil {
		return mysqlReadError(ctx, "start", err)
	}
	if !slices.ContainsFunc(systemTables, func(t string) bool { return have[t] == "" }) {
		return nil
	}
	for s := range strings.SplitSeq(SystemMySQL, ";\n") {
		if s == "" {
			continue
		}
		if _, err := m.w.ExecContext(ctx, s); err != nil {
			return writeError(classOf(err), nil, err)
		}
	}
	return nil
}

// tableNames gives the engine of every table.
func (m *MySQL) tableNames(ctx context.Context) (map[string]string, error) {
	out := map[string]string{}
	err := each(ctx, m.w, sqlTables, func(rows *sql.Rows) error {
		var name string
		var engine sql.NullString
		err := rows.Scan(&name, &engine)
		out[name] = engine.String
		return err
	})
	return out, err
}

func each(ctx context.Context, db *sql.DB, query string, f func(*sql.Rows) error, args ...any) error {
	rows, err := db.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		if err := f(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// mysqlSchema is what a database has.
type mysqlSchema struct {
	engines map[string]string
	columns map[string]map[string]mysqlColumn // by table and name
	indexes map[string][]mysqlIndex
}

type mysqlColumn struct {
	name, collation string
	needed          bool // no default, not nullable, not counted by the database
}

type mysqlIndex struct {
	name    string
	unique  bool
	columns []string
}

func (m *MySQL) readSchema(ctx context.Context) (*mysqlSchema, error) {
	s := &mysqlSchema{columns: map[string]map[string]mysqlColumn{}, indexes: map[string][]mysqlIndex{}}
	var err error
	if s.engines, err = m.tableNames(ctx); err != nil {
		return nil, err
	}
	errColumns := each(ctx, m.w, sqlColumns, func(rows *sql.Rows) error {
		var t, nullable, extra string
		var c mysqlColumn
		var hasDefault bool
		if err := rows.Scan(&t, &c.name, &nullable, &hasDefault, &extra, &c.collation); err != nil {
			return err
		}
		extra = strings.ToLower(extra)
		made := strings.Contains(extra, "auto_increment") || strings.Contains(extra, "generated") || strings.Contains(extra, "virtual") || strings.Contains(extra, "stored")
		c.needed = nullable == "NO" && !hasDefault && !made
		if s.columns[t] == nil {
			s.columns[t] = map[string]mysqlColumn{}
		}
		s.columns[t][strings.ToLower(c.name)] = c
		return nil
	})
	errIndexes := each(ctx, m.w, sqlIndexes, func(rows *sql.Rows) error {
		var t, name string
		var notUnique bool
		var column sql.NullString // NULL: an expression
		if err := rows.Scan(&t, &name, &notUnique, &column); err != nil {
			return err
		}
		xs := s.indexes[t]
		if len(xs) == 0 || xs[len(xs)-1].name != name {
			xs = append(xs, mysqlIndex{name: name, unique: !notUnique})
		}
		x := &xs[len(xs)-1]
		x.columns = append(x.columns, strings.ToLower(column.String))
		s.indexes[t] = xs
		return nil
	})
	return s, errors.Join(errColumns, errIndexes)
}

// versionColumn is in every table.
const versionColumn = "ff_v"

// check says what of a table is not there yet, and what is there and will not do.
func (s *mysqlSchema) check(t *table.Spec) (behind, other []string) {
	engine, ok := s.engines[t.Name]
	if !ok {
		return []string{"table " + t.Name + " is missing"}, nil
	}
	if !strings.EqualFold(engine, "InnoDB") {
		other = append(other, fmt.Sprintf("table %s is of the engine %s, which has no transactions: ALTER TABLE `%s` ENGINE=InnoDB", t.Name, engine, t.Name))
	}
	have := s.columns[t.Name]
	declared := map[string]bool{versionColumn: true}
	var missing []string
	for i := range t.Columns {
		name := strings.ToLower(t.Columns[i].Name)
		declared[name] = true
		if _, ok := have[name]; !ok {
			missing = append(missing, t.Columns[i].Name)
		}
	}
	if _, ok := have[versionColumn]; !ok {
		missing = append(missing, versionColumn)
	}
	if len(missing) > 0 {
		return []string{"table " + t.Name + " has no column " + strings.Join(missing, ", ")}, other
	}
	for name, c := range have {
		if c.needed && !declared[name] {
			other = append(other, fmt.Sprintf("column %s of table %s is not declared and has no default, so no row can be added", c.name, t.Name))
		}
	}
	slices.Sort(other)
	if got := s.key(t.Name); !slices.Equal(got, columnNames(t, t.Key)) {
		other = append(other, fmt.Sprintf("table %s has the primary key (%s), and the declaration (%s)", t.Name, strings.Join(got, ", "), strings.Join(columnNames(t, t.Key), ", ")))
	}
	for i := range t.Indexes {
		if x := &t.Indexes[i]; x.Unique && !s.hasUnique(t.Name, columnNames(t, x.By)) {
			behind = append(behind, fmt.Sprintf("table %s has no unique index on (%s)", t.Name, strings.Join(columnNames(t, x.By), ", ")))
		}
	}
	return behind, other
}

func (s *mysqlSchema) key(t string) []string {
	for _, x := range s.indexes[t] {
		if x.name == "PRIMARY" {
			return x.columns
		}
	}
	return nil
}

func (s *mysqlSchema) hasUnique(t string, by []string) bool {
	want := slices.Sorted(slices.Values(by))
	return slices.ContainsFunc(s.indexes[t], func(x mysqlIndex) bool {
		return x.unique && slices.Equal(slices.Sorted(slices.Values(x.columns)), want)
	})
}

// warnings are what works, and not as one would think.
func (s *mysqlSchema) warnings(t *table.Spec) (out []string) {
	compared := map[int]bool{}
	for _, c := range t.Key {
		compared[c] = true
	}
	for _, x := range t.Indexes {
		for _, c := range x.By {
			compared[c] = true
		}
	}
	for i := range t.Columns {
		c := s.columns[t.Name][strings.ToLower(t.Columns[i].Name)]
		if compared[i] && t.Columns[i].Kind == table.Text && c.collation != "" && !strings.HasSuffix(c.collation, "_bin") {
			out = append(out, fmt.Sprintf("column %s compares texts by %s, which takes different ones for the same; utf8mb4_bin does not", c.name, c.collation))
		}
	}
	return out
}

func columnNames(t *table.Spec, columns []int) []string {
	out := make([]string, len(columns))
	for i, c := range columns {
		out[i] = strings.ToLower(t.Columns[c].Name)
	}
	return out
}
