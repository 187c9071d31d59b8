package sqlstore

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Dialect is a kind of database; its text is the folder of its migrations.
type Dialect string

// The dialects.
const (
	DialectMySQL  Dialect = "mysql" // and MariaDB
	DialectSQLite Dialect = "sqlite"
)

// Migration is one numbered file of statements.
type Migration struct {
	Version    int // from 1, without gaps
	Name       string
	Checksum   string // hex SHA-256 of the text, with \n at the ends of lines
	Statements []string
}

func (m *Migration) String() string { return fmt.Sprintf("%04d_%s", m.Version, m.Name) }

var migrationFile = regexp.MustCompile(`^([0-9]{4,9})_([a-z0-9][a-z0-9_]{0,63})\.sql$`)

// Migrations reads those of a dialect: the files NNNN_name.sql of its folder. In a file, lines that
// begin with -- are comments, and a statement ends with ; at the end of a line.
func Migrations(files fs.FS, d Dialect) ([]Migration, error) {
	entries, err := fs.ReadDir(files, string(d))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("the migrations have no folder %s", d)
	}
	if err != nil {
		return nil, fmt.Errorf("migrations: %w", err)
	}
	var list []Migration
	for _, e := range entries {
		file := string(d) + "/" + e.Name()
		parts := migrationFile.FindStringSubmatch(e.Name())
		if parts == nil {
			return nil, fmt.Errorf("%s is no name of a migration; they are called like 0001_first.sql", file)
		}
		text, err := fs.ReadFile(files, file)
		if err != nil {
			return nil, fmt.Errorf("migrations: %w", err)
		}
		plain := strings.ReplaceAll(string(text), "\r\n", "\n")
		sum := sha256.Sum256([]byte(plain))
		m := Migration{Name: parts[2], Checksum: hex.EncodeToString(sum[:])}
		m.Version, _ = strconv.Atoi(parts[1]) // digits
		if m.Statements, err = statements(plain); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		list = append(list, m)
	}
	slices.SortStableFunc(list, func(a, b Migration) int { return cmp.Compare(a.Version, b.Version) })
	for i := range list {
		switch {
		case i > 0 && list[i].Version == list[i-1].Version:
			return nil, fmt.Errorf("%s has two migrations with the number %d", d, list[i].Version)
		case list[i].Version != i+1:
			return nil, fmt.Errorf("%s has no migration %d; they are numbered from 1 without gaps", d, i+1)
		}
	}
	return list, nil
}

func statements(text string) (list []string, err error) {
	var b strings.Builder
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "--") {
			continue
		}
		if b.Len() > 0 {
			b.WriteByte('\n')
		}
		s, ends := strings.CutSuffix(line, ";")
		b.WriteString(s)
		if ends {
			list = append(list, b.String())
			b.Reset()
		}
	}
	if b.Len() > 0 {
		return nil, fmt.Errorf("a statement without ; at its end: %s", short(b.String()))
	}
	return list, nil
}

// short is a statement for a message.
func short(s string) string {
	const most = 300
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "..."
	}
	return s
}

// The states of a migration.
const (
	Done    = "done"    // the database has it
	Waiting = "waiting" // the database does not have it
	Half    = "half"    // it stopped in the middle; MySQL only
	Changed = "changed" // the file is another one than was executed
	Unknown = "unknown" // this build does not have it
)

// Schema is where a database stands among the migrations.
type Schema []SchemaStep

// SchemaStep is one migration in a Schema.
type SchemaStep struct {
	Version int       `json:"version"`
	Name    string    `json:"name"`
	State   string    `json:"state"`
	At      time.Time `json:"at,omitzero"` // when it was executed
	// Of one that is half: how many statements were executed, and how many it has.
	Executed   int `json:"executed,omitempty"`
	Statements int `json:"statements,omitempty"`
}

// Version is the last migration that the database has.
func (s Schema) Version() (v int) {
	for i := range s {
		if s[i].State != Waiting && s[i].State != Half {
			v = s[i].Version
		}
	}
	return v
}

// Check tells why a node must not work with the database, and what to do; nil: it may.
func (s Schema) Check() error {
	waiting := 0
	for i := range s {
		m := &s[i]
		switch m.State {
		case Unknown:
			return fmt.Errorf("the database has the migration %04d_%s and this build does not: a newer build changed the tables; run that build, or bring back the database as it was before", m.Version, m.Name)
		case Changed:
			return fmt.Errorf("the migration %04d_%s is not what the database executed: bring the file back as it was, and write a new migration", m.Version, m.Name)
		case Half:
			return fmt.Errorf("the migration %04d_%s stopped after %d of %d statements: run `migrate up` again, which tells why", m.Version, m.Name, m.Executed, m.Statements)
		case Waiting:
			waiting++
		}
	}
	if waiting > 0 {
		return fmt.Errorf("the database is at migration %d and this build is at %d: run `migrate up` first", s.Version(), s[len(s)-1].Version)
	}
	return nil
}
