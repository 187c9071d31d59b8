package gen

import (
	"slices"

	"github.com/firefly-go/firefly/idl"
)

// TableInfo is one table.
type TableInfo struct {
	Name       string       `json:"name"` // full proto name
	Go         string       `json:"go"`
	Comment    string       `json:"comment,omitempty"`
	Place      string       `json:"place"`
	SQL        string       `json:"sql"`       // its name in the stores
	Key        []string     `json:"key"`       // fields
	PlacedBy   string       `json:"placed_by"` // field: rows with the same value in it lie and commit together
	AutoID     bool         `json:"auto_id"`
	Durability string       `json:"durability"`
	Flush      string       `json:"flush,omitempty"` // not with WRITE_THROUGH
	Idle       string       `json:"idle"`
	Near       string       `json:"near,omitempty"` // how old a copy in the process gets
	Roles      []string     `json:"roles"`          // that use it
	Indexes    []IndexInfo  `json:"indexes"`
	Columns    []ColumnInfo `json:"columns"`
	Shape      Hash         `json:"shape"`
}

// IndexInfo is one index of a table.
type IndexInfo struct {
	By     []string `json:"by"` // fields
	Go     string   `json:"go"`
	Unique bool     `json:"unique"`
	Exact  bool     `json:"exact"` // has every write that was answered before
}

// ColumnInfo is one column of a table, in the order of the message.
type ColumnInfo struct {
	Number   int32  `json:"number"`
	Name     string `json:"name"` // of the field
	Type     string `json:"type"`
	SQL      string `json:"sql"` // its name in the stores
	MySQL    string `json:"mysql"`
	SQLite   string `json:"sqlite"`
	Nullable bool   `json:"nullable"`
	Add      string `json:"add,omitempty"` // the method that adds to it
	Default  string `json:"default,omitempty"`
	Was      string `json:"was,omitempty"`
	Comment  string `json:"comment,omitempty"`
	Limits   string `json:"limits,omitempty"`
}

func (g *generator) describeTable(t *idl.Table) TableInfo {
	s := SQLTableOf(t, "")
	x := TableInfo{
		Name: string(t.Desc.FullName()), Go: g.names.table(t), Comment: plain(t.Comment), Place: place(t.Pos), SQL: s.Name,
		Key: []string{}, PlacedBy: string(t.Place.Name()), AutoID: t.Opt.GetAutoId(), Durability: t.Opt.GetDurability().String(),
		Idle: durationText(t.Idle), Roles: []string{}, Indexes: []IndexInfo{}, Columns: []ColumnInfo{}, Shape: tableShape(t).Shape,
	}
	if x.Durability != "WRITE_THROUGH" {
		x.Flush = durationText(t.Flush)
	}
	if t.NearTTL > 0 {
		x.Near = durationText(t.NearTTL)
	}
	for _, fd := range t.Key {
		x.Key = append(x.Key, string(fd.Name()))
	}
	for _, r := range g.sys.Roles {
		if slices.Contains(tablesOf(r), t) {
			x.Roles = append(x.Roles, r.Name)
		}
	}
	for i := range t.Index {
		ix := &t.Index[i]
		info := IndexInfo{By: []string{}, Go: g.names.by(ix), Unique: ix.Unique, Exact: ix.Exact}
		for _, fd := range ix.By {
			info.By = append(info.By, string(fd.Name()))
		}
		x.Indexes = append(x.Indexes, info)
	}
	adds := counters(t)
	for i := range t.Columns {
		c := &t.Columns[i]
		info := ColumnInfo{
			Number: int32(c.Desc.Number()), Name: string(c.Desc.Name()), Type: typeText(c.Desc), SQL: c.Name,
			MySQL: s.Columns[i].Types[MySQL], SQLite: s.Columns[i].Types[SQLite], Nullable: s.Columns[i].Nullable,
			Default: c.Opt.GetDefault(), Was: c.Opt.GetWas(), Comment: plain(leading(c.Desc)), Limits: ruleText(c.Desc, c.Rule),
		}
		if slices.Contains(adds, c) {
			info.Add = g.names.add(c.Desc)
		}
		x.Columns = append(x.Columns, info)
	}
	return x
}
