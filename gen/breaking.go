package gen

import (
	"fmt"
	"slices"
	"sort"
	"strings"

	"github.com/firefly-go/firefly/idl"
)

// Breaking lists, sorted, what of the old declaration the new one no longer understands:
// numbers that moved, went or were given to something else, and fields that changed their
// type, their number's meaning, or their name in JSON; and rules of requests that became
// tighter. Added commands, pushes, fields and enum values break nothing. Of tables it lists what rows and cached values of the old one, and its
// nodes, would not survive.
func Breaking(old, now Release) []string {
	out := append(breakingWire(old, now), breakingTables(old, now)...)
	out = append(out, breakingRules(old, now)...)
	sort.Strings(out)
	return slices.Compact(out)
}

// breakingWire is Breaking without tables and rules: what clients and nodes say to each other and
// would not understand. What breaks a rule is understood and answered.
func breakingWire(old, now Release) []string {
	var out []string
	c := comparison{old: old.Messages, now: now.Messages}
	inside := map[string][]string{} // who is hit by a fault inside a message
	for _, before := range old.Items {
		after := now.find(before)
		named := now.named(before)
		switch {
		case after == nil && named != nil:
			out = append(out, fmt.Sprintf("%s %s had id %d and has %d; clients know only the number", before.Kind, before.Name, before.ID, named.ID))
			continue
		case after == nil && before.Kind == "push":
			continue // nobody misses a push that is no longer sent
		case after == nil && before.Kind == "command":
			out = append(out, fmt.Sprintf("command %s (id %d) is gone; clients of that release still send it", before.Name, before.ID))
			continue
		case after == nil:
			out = append(out, fmt.Sprintf("call %s is gone; nodes of that release still make it", before.Name))
			continue
		case named != nil && named.ID != before.ID:
			out = append(out, fmt.Sprintf("%s %s had id %d and has %d; clients know only the number", before.Kind, before.Name, before.ID, named.ID))
			out = append(out, fmt.Sprintf("id %d was %s %s and is %s now; a number is never given again", before.ID, before.Kind, before.Name, after.Name))
			continue
		}
		own, deep := c.items(before, *after)
		out = append(out, own...)
		for _, fault := range deep {
			inside[fault] = append(inside[fault], before.Kind+" "+before.Name)
		}
	}
	for fault, hit := range inside {
		sort.Strings(hit)
		hit = slices.Compact(hit)
		if n := len(hit); n > 3 {
			hit = append(hit[:2], fmt.Sprintf("%d more", n-2))
		}
		out = append(out, fault+" (in "+strings.Join(hit, ", ")+")")
	}
	for _, before := range old.Items {
		for _, after := range now.Items {
			if before.Kind != after.Kind && before.ID != 0 && before.ID == after.ID {
				out = append(out, fmt.Sprintf("id %d was %s %s and is %s %s now; a number is never given again", before.ID, before.Kind, before.Name, after.Kind, after.Name))
			}
		}
	}
	for name, n := range old.Errors {
		for other, m := range now.Errors {
			if n == m && name != other {
				out = append(out, fmt.Sprintf("error number %d was %s and is %s now", n, name, other))
			}
		}
		if m, ok := now.Errors[name]; ok && m != n {
			out = append(out, fmt.Sprintf("error %s had number %d and has %d", name, n, m))
		}
	}
	for _, role := range old.Roles {
		if !slices.Contains(now.Roles, role) {
			out = append(out, fmt.Sprintf("role %q is gone; launch files and running clusters name it", role))
		}
	}
	return out
}

// Current is the declaration of sys in the form that Breaking compares.
func Current(sys *idl.System, o Options) (Release, error) {
	g, err := newGenerator(sys, o)
	if err != nil {
		return Release{}, err
	}
	return g.current(), nil
}

func (r *Release) named(it Item) *Item {
	for i := range r.Items {
		if r.Items[i].Kind == it.Kind && r.Items[i].Name == it.Name {
			return &r.Items[i]
		}
	}
	return nil
}

// comparison compares messages of two declarations.
type comparison struct {
	old, now map[string]MessageShape
}

// items compares one command, push or call: faults of its own, and those inside of messages
// that it carries.
func (c comparison) items(before, after Item) (own, inside []string) {
	if before.Shape == after.Shape {
		return nil, nil
	}
	side := func(name, a, b string) {
		switch {
		case isWire(a) != isWire(b) || isWire(a) && a != b:
			own = append(own, fmt.Sprintf("%s %s: its %s was %s and is %s", before.Kind, before.Name, name, wireText(a), wireText(b)))
		case !isWire(a):
			c.message(a, b, map[string]bool{}, &inside)
		}
	}
	side("request", before.Request, after.Request)
	side("reply", before.Reply, after.Reply)
	return own, inside
}

func isWire(s string) bool { return s == "raw" || s == "empty" || s == "none" || s == "" }

func wireText(s string) string {
	switch s {
	case "raw":
		return "Raw"
	case "empty":
		return "Empty"
	case "none":
		return "NoReply"
	}
	return s
}

// message compares a message under its old and its new name, and what it contains.
func (c comparison) message(a, b string, seen map[string]bool, out *[]string) {
	if seen[a+" "+b] {
		return
	}
	seen[a+" "+b] = true
	now := map[int]string{}
	for _, line := range c.now[b] {
		now[leadingNumber(line)] = line
	}
	for _, line := range c.old[a] {
		other, ok := now[leadingNumber(line)]
		if !ok || line == other && !c.deep(line) {
			continue // a field that is gone is skipped by both sides
		}
		x, y := parseLine(line), parseLine(other)
		if x.enum {
			if x.name != y.name {
				*out = append(*out, fmt.Sprintf("value %d of %s was %s and is %s", x.number, b, x.name, y.name))
			}
			continue
		}
		if x.json != y.json {
			*out = append(*out, fmt.Sprintf("field %d of %s was called %q in JSON and is called %q; keep the name with [json_name = %q]", x.number, b, x.json, y.json, x.json))
		}
		if len(x.types) != len(y.types) || x.label != y.label {
			*out = append(*out, fmt.Sprintf("field %d of %s was %s and is %s", x.number, b, x.text, y.text))
			continue
		}
		for i := range x.types {
			s, t := x.types[i], y.types[i]
			_, sm := c.old[s]
			_, tm := c.now[t]
			if sm && tm {
				c.message(s, t, seen, out)
			} else if s != t {
				*out = append(*out, fmt.Sprintf("field %d of %s was %s and is %s", x.number, b, x.text, y.text))
			}
		}
	}
}

// deep reports whether a line names messages, which may have changed inside.
func (c comparison) deep(line string) bool {
	for _, t := range typesIn(line) {
		if _, ok := c.old[t]; ok {
			return true
		}
	}
	return false
}

// A fieldLine is a line of a MessageShape taken apart.
type fieldLine struct {
	number int
	enum   bool
	label  string // repeated, map, ""
	types  []string
	text   string // label and type
	name   string
	json   string
}

func parseLine(line string) fieldLine {
	f := fieldLine{number: leadingNumber(line)}
	line, f.json, _ = strings.Cut(line, " json=") // the last word, which may hold anything
	ws := strings.Fields(line)
	if len(ws) == 3 && ws[1] == "=" {
		f.enum, f.name = true, ws[2]
		return f
	}
	ws = ws[1:]
	f.name = ws[len(ws)-1]
	if f.json == "" {
		f.json = defaultJSONName(f.name)
	}
	ws = ws[:len(ws)-1]
	f.text = strings.Replace(strings.Join(ws, " "), "packed ", "repeated ", 1)
	switch ws[0] {
	case "repeated", "packed", "optional":
		f.label, ws = ws[0], ws[1:]
	}
	switch f.label {
	case "optional":
		f.label = "" // the same on the wire
	case "packed":
		f.label = "repeated" // every decoder reads both
	}
	f.types = typesIn(strings.Join(ws, " "))
	if len(f.types) > 0 && f.types[0] == "map" {
		f.label, f.types = "map", f.types[1:]
	}
	return f
}
