package migrate

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/firefly-go/firefly/gen"
	"github.com/firefly-go/firefly/idl"
)

// snapshotFormat is raised when a snapshot can no longer be read as before.
const snapshotFormat = 1

// snapshot is what the migrations of a folder lead to.
type snapshot struct {
	Comment string  `json:"comment"`
	Format  int     `json:"format"`
	System  [2]int  `json:"system"` // how many statements of the system tables were written, by dialect
	Tables  []model `json:"tables"`
}

// model is one table as plain data.
type model struct {
	Name    string   `json:"name"`
	Key     []string `json:"key"`
	Columns []column `json:"columns"`
	Indexes []index  `json:"indexes,omitempty"`
	// Adopted: MySQL had the table before any migration, with more than is declared of it.
	Adopted bool `json:"adopted,omitempty"`

	table *gen.SQLTable // of declared tables
}

type column struct {
	Name     string    `json:"name"`
	Null     bool      `json:"null,omitempty"`
	Types    [2]string `json:"types"`    // by dialect
	Defaults [2]string `json:"defaults"` // by dialect
	Declared bool      `json:"declared,omitempty"`

	// Of declared tables.
	was string
	pos idl.Pos
}

type index struct {
	Names  [2]string `json:"names"` // by dialect
	By     []string  `json:"by"`
	Unique bool      `json:"unique,omitempty"`

	pos idl.Pos
}

func modelOf(t *gen.SQLTable) model {
	m := model{Name: t.Name, Key: t.Key, table: t}
	for i := range t.Columns {
		c := &t.Columns[i]
		out := column{Name: c.Name, Null: c.Nullable, Types: c.Types, Defaults: c.Defaults, pos: t.Table.Pos}
		if c.Column != nil {
			out.Declared = c.Column.Opt.GetDefault() != ""
			out.was = c.Column.Opt.GetWas()
			out.pos = c.Pos()
		}
		m.Columns = append(m.Columns, out)
	}
	for i, x := range t.Indexes {
		m.Indexes = append(m.Indexes, index{Names: x.Names, By: x.By, Unique: x.Unique, pos: t.Table.Index[i].Pos})
	}
	return m
}

func (m *model) column(name string) *column {
	for i := range m.Columns {
		if equalNames(m.Columns[i].Name, name) {
			return &m.Columns[i]
		}
	}
	return nil
}

// has reports whether m has an index by these columns, in any dialect's spelling of names.
func (m *model) hasIndex(by []string, unique bool) bool {
	return slices.ContainsFunc(m.Indexes, func(x index) bool {
		return x.Unique == unique && slices.EqualFunc(x.By, by, equalNames)
	})
}

func (s *snapshot) table(name string) *model {
	if s == nil {
		return nil
	}
	for i := range s.Tables {
		if s.Tables[i].Name == name {
			return &s.Tables[i]
		}
	}
	return nil
}

func readSnapshot(b []byte) (*snapshot, error) {
	s := &snapshot{}
	if len(b) == 0 {
		return s, nil
	}
	if err := json.Unmarshal(b, s); err != nil {
		return nil, fmt.Errorf("%s: %w", SnapshotName, err)
	}
	if s.Format != snapshotFormat {
		return nil, fmt.Errorf("%s has format %d, and this ffgen reads format %d", SnapshotName, s.Format, snapshotFormat)
	}
	return s, nil
}

func (s *snapshot) bytes() []byte {
	s.Comment = "Written by ffgen migrate diff: what the migrations beside it lead to. Do not edit."
	s.Format = snapshotFormat
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		panic(err) // plain data
	}
	return append(b, '\n')
}
