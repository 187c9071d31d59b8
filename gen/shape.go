package gen

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"slices"
	"sort"
	"strconv"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/firefly-go/firefly/idl"
)

// A Hash is a 64-bit hash, written in hexadecimal.
type Hash string

func (h Hash) value() uint64 {
	v, _ := strconv.ParseUint(string(h), 16, 64)
	return v
}

func fnv1a(s string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(s))
	return h.Sum64()
}

func hex16(v uint64) string { return fmt.Sprintf("%016x", v) }

func hashOf(s string) Hash { return Hash(hex16(fnv1a(s))) }

// MessageShape is what of a message matters on the wire, one line per field in the order of
// numbers: "1 string room", "2 repeated arena.v1.Entered others". Enums look alike, with
// "1 = NOT_IN_A_ROOM".
type MessageShape []string

// Item is one command, push or call in a release: what peers have to agree on.
type Item struct {
	Kind    string `json:"kind"` // command, push, call
	Name    string `json:"name"` // full proto name
	ID      uint32 `json:"id,omitempty"`
	Request string `json:"request,omitempty"` // message name, or raw, empty
	Reply   string `json:"reply,omitempty"`   // message name, or raw, empty, none
	Shape   Hash   `json:"shape"`             // of request and reply and all that they contain
}

// shapes computes the shapes of a System once.
type shapes struct {
	messages map[string]MessageShape // messages and enums that travel
	items    map[protoreflect.FullName]*Item
}

func newShapes(sys *idl.System) *shapes {
	s := &shapes{messages: map[string]MessageShape{}, items: map[protoreflect.FullName]*Item{}}
	for _, p := range sys.Packages {
		if !p.Generate {
			continue
		}
		for _, svc := range p.Services {
			for _, m := range svc.Methods {
				if m.Command == nil && m.Call == nil {
					continue
				}
				it := &Item{Kind: "call", Name: m.FullName}
				if m.Command != nil {
					it.Kind, it.ID = "command", m.Command.ID
				}
				it.Request = s.wire(m.Request, m.Desc.Input())
				it.Reply = s.wire(m.Reply, m.Desc.Output())
				it.Shape = s.shape(it)
				s.items[m.Desc.FullName()] = it
			}
		}
		for _, x := range p.Pushes {
			it := &Item{Kind: "push", Name: string(x.Desc.FullName()), ID: x.ID, Request: s.add(x.Desc)}
			it.Shape = s.shape(it)
			s.items[x.Desc.FullName()] = it
		}
		for _, t := range p.Tables {
			for i := range t.Columns {
				s.fieldType(t.Columns[i].Desc) // what lies in stores
			}
		}
	}
	return s
}

func (s *shapes) method(m *idl.Method) *Item { return s.items[m.Desc.FullName()] }
func (s *shapes) push(p *idl.Push) *Item     { return s.items[p.Desc.FullName()] }

func (s *shapes) wire(w idl.Wire, d protoreflect.MessageDescriptor) string {
	switch w {
	case idl.WireRaw:
		return "raw"
	case idl.WireEmpty:
		return "empty"
	case idl.WireNoReply:
		return "none"
	}
	return s.add(d)
}

// add records a message with all that it contains and gives its name.
func (s *shapes) add(d protoreflect.MessageDescriptor) string {
	name := string(d.FullName())
	if _, ok := s.messages[name]; ok {
		return name
	}
	s.messages[name] = nil // against circles
	var fs []protoreflect.FieldDescriptor
	for i := range d.Fields().Len() {
		fs = append(fs, d.Fields().Get(i))
	}
	sort.Slice(fs, func(i, j int) bool { return fs[i].Number() < fs[j].Number() })
	shape := MessageShape{}
	for _, f := range fs {
		line := fmt.Sprintf("%d %s %s", f.Number(), s.fieldType(f), f.Name())
		if f.JSONName() != defaultJSONName(string(f.Name())) {
			line += " json=" + f.JSONName()
		}
		shape = append(shape, line)
	}
	s.messages[name] = shape
	return name
}

func (s *shapes) fieldType(f protoreflect.FieldDescriptor) string {
	if f.IsMap() {
		return "map<" + s.fieldType(f.MapKey()) + "," + s.fieldType(f.MapValue()) + ">"
	}
	t := f.Kind().String()
	switch {
	case f.Message() != nil:
		t = s.add(f.Message())
	case f.Enum() != nil:
		t = s.addEnum(f.Enum())
	}
	switch {
	case f.IsList() && f.IsPacked():
		return "packed " + t
	case f.IsList():
		return "repeated " + t
	case f.HasPresence() && f.Message() == nil && (f.ContainingOneof() == nil || f.ContainingOneof().IsSynthetic()):
		return "optional " + t
	}
	return t
}

func (s *shapes) addEnum(d protoreflect.EnumDescriptor) string {
	name := string(d.FullName())
	if _, ok := s.messages[name]; ok {
		return name
	}
	shape := MessageShape{}
	for i := range d.Values().Len() {
		v := d.Values().Get(i)
		shape = append(shape, fmt.Sprintf("%d = %s", v.Number(), v.Name()))
	}
	sort.SliceStable(shape, func(i, j int) bool { return leadingNumber(shape[i]) < leadingNumber(shape[j]) })
	s.messages[name] = shape
	return name
}

func leadingNumber(line string) int {
	n, _, _ := strings.Cut(line, " ")
	v, _ := strconv.Atoi(n)
	return v
}

// shape is the hash of an item with everything that it reaches, in the order of reaching.
func (s *shapes) shape(it *Item) Hash { return shapeOf(it, s.messages) }

func shapeOf(it *Item, messages map[string]MessageShape) Hash {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %d %s %s\n", it.Kind, it.ID, it.Request, it.Reply)
	seen := map[string]bool{}
	var walk func(name string)
	walk = func(name string) {
		lines, ok := messages[name]
		if !ok || seen[name] {
			return
		}
		seen[name] = true
		fmt.Fprintf(&b, "%s {\n", name)
		for _, l := range lines {
			b.WriteString(l + "\n")
		}
		b.WriteString("}\n")
		for _, l := range lines {
			for _, t := range typesIn(l) {
				walk(t)
			}
		}
	}
	walk(it.Request)
	walk(it.Reply)
	return hashOf(b.String())
}

// typesIn are the words of a field's line that may be names of messages or enums.
func typesIn(line string) []string {
	return strings.FieldsFunc(line, func(r rune) bool { return r == ' ' || r == '<' || r == '>' || r == ',' })
}

// sorted are the items in the order of kind, id and name.
func (s *shapes) sorted() []Item {
	var items []Item
	for _, it := range s.items {
		items = append(items, *it)
	}
	sortItems(items)
	return items
}

func sortItems(items []Item) {
	slices.SortFunc(items, func(a, b Item) int {
		return cmp.Or(cmp.Compare(kindOrder(a.Kind), kindOrder(b.Kind)), cmp.Compare(a.ID, b.ID), cmp.Compare(a.Name, b.Name))
	})
}

func kindOrder(k string) int { return slices.Index([]string{"command", "push", "call"}, k) }

// fingerprintOf is one number for all items.
func fingerprintOf(items []Item) Hash {
	var b strings.Builder
	for _, it := range items {
		fmt.Fprintf(&b, "%s %s %d %s\n", it.Kind, it.Name, it.ID, it.Shape)
	}
	return hashOf(b.String())
}

// fingerprint is that of the game for the package that holds the roles, else of the package
// alone.
func (g *generator) fingerprint(p *pkg) uint64 {
	return fingerprintOf(g.itemsOf(p)).value()
}

func (g *generator) itemsOf(p *pkg) []Item {
	if p == g.home {
		return g.shapes.sorted()
	}
	var items []Item
	for _, s := range p.Services {
		for _, m := range s.Methods {
			if it := g.shapes.method(m); it != nil {
				items = append(items, *it)
			}
		}
	}
	for _, x := range p.Pushes {
		items = append(items, *g.shapes.push(x))
	}
	sortItems(items)
	return items
}

func defaultJSONName(name string) string {
	var b []byte
	up := false
	for i := 0; i < len(name); i++ {
		c := name[i]
		if c == '_' {
			up = true
			continue
		}
		if up && 'a' <= c && c <= 'z' {
			c -= 'a' - 'A'
		}
		up = false
		b = append(b, c)
	}
	return string(b)
}

func sortedBy[T any, K cmp.Ordered](in []T, key func(T) K) []T {
	out := slices.Clone(in)
	slices.SortStableFunc(out, func(a, b T) int { return cmp.Compare(key(a), key(b)) })
	return out
}
