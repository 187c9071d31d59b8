package gen

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"sort"
)

// Lock is ffgen.lock: what every released build declared, so that a later one knows which
// clients and nodes it still understands, and what ffgen wrote the last time, so that it can
// remove what it no longer writes. It is checked in.
type Lock struct {
	Format   int       `json:"format"`
	Current  Release   `json:"current"`  // as of the last generate
	Releases []Release `json:"releases"` // oldest first
	Files    []string  `json:"files"`    // what ffgen owns beside the lock itself
}

// Release is everything of a declaration that peers have to agree on.
type Release struct {
	Version     string                  `json:"version,omitempty"` // as given to ffgen release
	Fingerprint Hash                    `json:"fingerprint"`
	Roles       []string                `json:"roles"`
	Items       []Item                  `json:"items"`
	Errors      map[string]int32        `json:"errors"`         // number by full name
	Messages    map[string]MessageShape `json:"messages"`       // and enums; those that travel, and those in columns of tables
	Rules       map[string][]string     `json:"rules,omitzero"` // of those messages, see ruleLines; nil: not recorded
	Tables      []TableShape            `json:"tables,omitempty"`
}

const lockFormat = 1

// ReadLock reads an ffgen.lock. No bytes are an empty lock.
func ReadLock(b []byte) (*Lock, error) {
	l := &Lock{Format: lockFormat}
	if len(b) == 0 {
		return l, nil
	}
	if err := json.Unmarshal(b, l); err != nil {
		return nil, fmt.Errorf("%s is damaged: %w; take it from version control, or remove it when nothing was released", LockPath, err)
	}
	if l.Format != lockFormat {
		return nil, fmt.Errorf("%s has format %d, and this ffgen knows %d; use the ffgen of the version that wrote it", LockPath, l.Format, lockFormat)
	}
	for _, r := range append(l.Releases, l.Current) {
		for _, t := range r.Tables {
			for _, line := range t.Columns {
				if _, ok := parseColumn(line); !ok {
					return nil, fmt.Errorf("%s is damaged: table %s has the line %q; take it from version control", LockPath, t.Name, line)
				}
			}
		}
		for name, shape := range r.Messages {
			for _, line := range shape {
				if !goodLine.MatchString(line) {
					return nil, fmt.Errorf("%s is damaged: %s has the line %q; take it from version control", LockPath, name, line)
				}
			}
		}
	}
	return l, nil
}

// goodLine is a line of a MessageShape.
var goodLine = regexp.MustCompile(`^-?\d+ (= \S+|((repeated|packed|optional) )?[^\s<>,]+ \S+( json=.*)?|map<[^\s<>,]+,[^\s<>,]+> \S+( json=.*)?)$`)

// Bytes is the lock as it stands on disk.
func (l *Lock) Bytes() []byte {
	if l.Releases == nil {
		l.Releases = []Release{}
	}
	b, err := json.MarshalIndent(l, "", "\t")
	if err != nil {
		panic(err) // plain data
	}
	return append(b, '\n')
}

// Release records the current declaration as released under a version. It is no error to
// release the same declaration again: the later version is noted.
func (l *Lock) Release(version string) {
	r := l.Current
	r.Version = version
	l.Releases = slices.DeleteFunc(l.Releases, func(o Release) bool { return o.Same(r) })
	l.Releases = append(l.Releases, r)
}

// Same reports whether two releases declare the same, for peers and for stores.
func (r Release) Same(o Release) bool {
	return r.Fingerprint == o.Fingerprint && maps.EqualFunc(r.Rules, o.Rules, slices.Equal[[]string]) && slices.EqualFunc(r.Tables, o.Tables, func(x, y TableShape) bool {
		return x.Name == y.Name && x.Shape == y.Shape && x.AutoID == y.AutoID && x.Durability == y.Durability && slices.Equal(x.Indexes, y.Indexes)
	})
}

// emitLock writes ffgen.lock: the releases as they were, the current declaration, and the
// names of the files of this run.
func (g *generator) emitLock(files []File) (File, error) {
	l := *g.lock
	l.Current = g.current()
	l.Files = nil
	for _, f := range files {
		l.Files = append(l.Files, f.Path)
	}
	sort.Strings(l.Files)
	return File{Path: LockPath, Data: l.Bytes()}, nil
}

// current is the declaration at hand in the form of a release.
func (g *generator) current() Release {
	items := g.shapes.sorted()
	r := Release{
		Fingerprint: fingerprintOf(items),
		Roles:       []string{},
		Items:       items,
		Errors:      map[string]int32{},
		Messages:    g.shapes.messages,
		Rules:       g.ruleShapes(),
		Tables:      g.tableShapes(),
	}
	if r.Items == nil {
		r.Items = []Item{}
	}
	for _, role := range g.sys.Roles {
		r.Roles = append(r.Roles, role.Name)
	}
	for _, p := range g.packages {
		for _, e := range p.Errors {
			for _, v := range errorValues(e) {
				r.Errors[string(v.FullName())] = int32(v.Number())
			}
		}
	}
	return r
}

// accepts are the shapes that an item had in releases and that still fit.
func (g *generator) accepts(it *Item) []uint64 {
	var hs []uint64
	for i := range g.lock.Releases {
		old := &g.lock.Releases[i]
		before := old.find(*it)
		if before == nil || before.Shape == it.Shape || slices.Contains(hs, before.Shape.value()) {
			continue
		}
		c := comparison{old: old.Messages, now: g.shapes.messages}
		if own, inside := c.items(*before, *it); len(own)+len(inside) == 0 {
			hs = append(hs, before.Shape.value())
		}
	}
	return hs
}

// released are the fingerprints of releases of which everything fits.
func (g *generator) released(p *pkg) []uint64 {
	if p != g.home {
		return nil
	}
	now := g.current()
	var hs []uint64
	for _, old := range g.lock.Releases {
		if h := old.Fingerprint.value(); old.Fingerprint != now.Fingerprint && !slices.Contains(hs, h) && len(breakingWire(old, now)) == 0 {
			hs = append(hs, h)
		}
	}
	return hs
}

// find is what r holds in the place of it: by name for calls, by number for what clients use.
func (r *Release) find(it Item) *Item {
	for i := range r.Items {
		o := &r.Items[i]
		if o.Kind != it.Kind {
			continue
		}
		if it.Kind == "call" && o.Name == it.Name || it.Kind != "call" && o.ID == it.ID {
			return o
		}
	}
	return nil
}
