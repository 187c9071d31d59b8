package gen

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/firefly-go/firefly/idl"
	"github.com/firefly-go/firefly/idl/fireflypb"
)

// Rules of requests, as a release keeps them: what peers of that release send and a later
// declaration refuses with INVALID_ARGUMENT.

// ruleLines are the rules of a message, one line per field that has one, in the order of
// numbers: "1 required max_len=24", "2 min=0 max=100", "3 pattern=[a-z]+". A pattern is the last
// word and may hold anything.
func ruleLines(m *idl.Ruled) []string {
	var out []string
	for i := range m.Fields {
		r := m.Fields[i].Rule
		if r == nil {
			continue
		}
		var b strings.Builder
		b.WriteString(strconv.Itoa(int(m.Fields[i].Desc.Number())))
		if r.GetRequired() {
			b.WriteString(" required")
		}
		if r.Min != nil {
			b.WriteString(" min=" + ruleNumber(r.GetMin()))
		}
		if r.Max != nil {
			b.WriteString(" max=" + ruleNumber(r.GetMax()))
		}
		if r.GetMinLen() > 0 {
			fmt.Fprintf(&b, " min_len=%d", r.GetMinLen())
		}
		if r.GetMaxLen() > 0 {
			fmt.Fprintf(&b, " max_len=%d", r.GetMaxLen())
		}
		if r.GetPattern() != "" {
			b.WriteString(" pattern=" + r.GetPattern())
		}
		out = append(out, b.String())
	}
	return sortedBy(out, leadingNumber)
}

// ruleNumber writes whole numbers as people do.
func ruleNumber(v float64) string {
	if v == math.Trunc(v) && math.Abs(v) < 1e15 {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return strconv.FormatFloat(v, 'g', -1, 64)
}

// parseRule reads a line of ruleLines; words that it does not know are a later ffgen's.
func parseRule(line string) *fireflypb.Rule {
	r := &fireflypb.Rule{}
	line, r.Pattern, _ = strings.Cut(line, " pattern=")
	for _, word := range strings.Fields(line) {
		key, value, _ := strings.Cut(word, "=")
		switch key {
		case "required":
			r.Required = true
		case "min", "max":
			if v, err := strconv.ParseFloat(value, 64); err == nil && key == "min" {
				r.Min = &v
			} else if err == nil {
				r.Max = &v
			}
		case "min_len", "max_len":
			if v, err := strconv.ParseUint(value, 10, 32); err == nil && key == "min_len" {
				r.MinLen = uint32(v)
			} else if err == nil {
				r.MaxLen = uint32(v)
			}
		}
	}
	return r
}

// ruleShapes are the rules of all messages that travel, by full name.
func (g *generator) ruleShapes() map[string][]string {
	out := map[string][]string{}
	for _, p := range g.sys.Packages {
		for _, m := range p.Ruled {
			name := string(m.Desc.FullName())
			if _, travels := g.shapes.messages[name]; !travels {
				continue
			}
			if lines := ruleLines(m); len(lines) > 0 {
				out[name] = lines
			}
		}
	}
	return out
}

// breakingRules lists the rules of requests that became tighter. A release that was recorded
// without rules has none to compare with.
func breakingRules(old, now Release) []string {
	if old.Rules == nil {
		return nil
	}
	c := ruleComparison{old: old, now: now, seen: map[string]bool{}}
	for _, before := range old.Items {
		if after := now.find(before); after != nil && before.Kind != "push" && !isWire(before.Request) && !isWire(after.Request) {
			c.message(before.Request, after.Request)
		}
	}
	return c.out
}

type ruleComparison struct {
	old, now Release
	seen     map[string]bool
	out      []string
}

// rulesOf are the rules of a message by field number.
func (r *Release) rulesOf(message string) map[int]*fireflypb.Rule {
	m := map[int]*fireflypb.Rule{}
	for _, line := range r.Rules[message] {
		m[leadingNumber(line)] = parseRule(line)
	}
	return m
}

// message compares a request under its old and its new name, and what it contains.
func (c *ruleComparison) message(a, b string) {
	if c.seen[a+" "+b] {
		return
	}
	c.seen[a+" "+b] = true
	lines := map[int]fieldLine{}
	for _, line := range c.old.Messages[a] {
		lines[leadingNumber(line)] = parseLine(line)
	}
	then, now := c.old.rulesOf(a), c.now.rulesOf(b)
	for _, line := range c.now.Messages[b] {
		y := parseLine(line)
		x, known := lines[y.number]
		if y.enum || known && x.enum {
			return
		}
		rule := now[y.number]
		if !known {
			if rule.GetRequired() {
				c.add("field %d of %s (%s) is new and required; peers of that release never send it", y.number, b, y.name)
			}
			continue
		}
		if rule != nil {
			c.field(fmt.Sprintf("field %d of %s (%s)", y.number, b, y.name), then[y.number], rule)
		}
		for i := range min(len(x.types), len(y.types)) {
			if c.old.Messages[x.types[i]] != nil && c.now.Messages[y.types[i]] != nil {
				c.message(x.types[i], y.types[i])
			}
		}
	}
}

func (c *ruleComparison) add(format string, args ...any) {
	c.out = append(c.out, fmt.Sprintf(format, args...))
}

// field compares the rule that a field had, nil for none, with the one that it has.
func (c *ruleComparison) field(what string, then, now *fireflypb.Rule) {
	if now.GetRequired() && !then.GetRequired() {
		c.add("%s is required now; peers of that release may leave it out", what)
	}
	number := func(name string, was, is *float64, tighter bool) {
		switch {
		case is == nil || !tighter:
		case was == nil:
			c.add("%s has %s %s now, and had none", what, name, ruleNumber(*is))
		default:
			c.add("%s had %s %s and has %s", what, name, ruleNumber(*was), ruleNumber(*is))
		}
	}
	if then == nil {
		then = &fireflypb.Rule{}
	}
	number("min", then.Min, now.Min, limit(now.Min, math.Inf(-1)) > limit(then.Min, math.Inf(-1)))
	number("max", then.Max, now.Max, limit(now.Max, math.Inf(1)) < limit(then.Max, math.Inf(1)))
	if was, is := then.GetMinLen(), now.GetMinLen(); is > was {
		c.add("%s had min_len %d and has %d", what, was, is)
	}
	if was, is := then.GetMaxLen(), now.GetMaxLen(); is > 0 && was == 0 {
		c.add("%s has max_len %d now, and had none", what, is)
	} else if is > 0 && is < was {
		c.add("%s had max_len %d and has %d", what, was, is)
	}
	if was, is := then.GetPattern(), now.GetPattern(); is != "" && was == "" {
		c.add("%s has the pattern %s now, and had none", what, is)
	} else if is != "" && is != was {
		c.add("%s had the pattern %s and has %s", what, was, is)
	}
}

func limit(v *float64, none float64) float64 {
	if v == nil {
		return none
	}
	return *v
}
