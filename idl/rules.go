package idl

import (
	"fmt"
	"math"
	"regexp/syntax"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/firefly-go/firefly/idl/fireflypb"
)

// Rules of fields, and which messages are checked by them.

// Fields of the option Rule.
const (
	ruleMin = iota + 1
	ruleMax
	ruleMinLen
	ruleMaxLen
	rulePattern
	ruleRequired
	ruleRef
	ruleUnique
)

const (
	maxPattern = 1000
	// exactDouble is the highest number up to which a double holds every integer.
	exactDouble = 1 << 53
)

// fieldOptions are the rule and the column of a field.
type fieldOptions struct {
	rule   *fireflypb.Rule
	column *fireflypb.Column
}

// buildRules reads the options of all fields, checks the rules, and finds the messages that
// have one or contain one that has.
func (r *run) buildRules() {
	type message struct {
		pkg  *Package
		desc protoreflect.MessageDescriptor
	}
	var all []message
	for _, p := range r.sys.Packages {
		for _, f := range p.Files {
			eachMessage(f.Desc.Messages(), func(md protoreflect.MessageDescriptor) { all = append(all, message{p, md}) })
		}
	}
	ruled := map[protoreflect.FullName]bool{}
	within := map[protoreflect.FullName][]protoreflect.FullName{} // message: those that have it as a field
	for _, m := range all {
		full := m.desc.FullName()
		for i := range m.desc.Fields().Len() {
			fd := m.desc.Fields().Get(i)
			if sub := submessage(fd); sub != nil {
				within[sub.FullName()] = append(within[sub.FullName()], full)
			}
			r.checkFieldType(m.pkg, fd)
			var o descriptorpb.FieldOptions
			if !r.options(fd, &o) {
				continue
			}
			var fo fieldOptions
			fo.rule, _ = extension[*fireflypb.Rule](&o, fireflypb.E_Rule)
			fo.column, _ = extension[*fireflypb.Column](&o, fireflypb.E_Column)
			r.fields[fd.FullName()] = fo
			if fo.rule != nil {
				if m.pkg.Generate {
					r.checkRule(fd, fo.rule)
				}
				ruled[full] = ruled[full] || checkable(fo.rule)
			}
			if fo.column != nil && r.tables[full] == nil {
				r.fault(CodeColumnPlace, r.opt(fd, optColumn), fmt.Sprintf("column stands in a table only, and %s is none", full))
			}
		}
	}
	var queue []protoreflect.FullName
	for full := range ruled {
		if ruled[full] {
			queue = append(queue, full)
		}
	}
	for len(queue) > 0 {
		full := queue[0]
		queue = queue[1:]
		for _, up := range within[full] {
			if !ruled[up] {
				ruled[up] = true
				queue = append(queue, up)
			}
		}
	}
	for _, m := range all {
		if !ruled[m.desc.FullName()] {
			continue
		}
		x := &Ruled{Desc: m.desc}
		for i := range m.desc.Fields().Len() {
			fd := m.desc.Fields().Get(i)
			f := RuledField{Desc: fd}
			if rule := r.fields[fd.FullName()].rule; rule != nil && checkable(rule) {
				f.Rule = rule
			}
			if sub := submessage(fd); sub != nil {
				f.Sub = ruled[sub.FullName()]
			}
			if f.Rule != nil || f.Sub {
				x.Fields = append(x.Fields, f)
			}
		}
		m.pkg.Ruled = append(m.pkg.Ruled, x)
	}
}

func eachMessage(ms protoreflect.MessageDescriptors, f func(protoreflect.MessageDescriptor)) {
	for i := range ms.Len() {
		if md := ms.Get(i); !md.IsMapEntry() {
			f(md)
			eachMessage(md.Messages(), f)
		}
	}
}

// submessage is the message of a field, or of the values of a map; nil when there is none.
func submessage(fd protoreflect.FieldDescriptor) protoreflect.MessageDescriptor {
	if fd.IsMap() {
		fd = fd.MapValue()
	}
	return fd.Message()
}

// checkable tells whether a rule says something about a value by itself; ref and unique are
// about other lines of sheets.
func checkable(rule *fireflypb.Rule) bool {
	return rule.Min != nil || rule.Max != nil || rule.MinLen != 0 || rule.MaxLen != 0 || rule.Pattern != "" || rule.Required
}

func numeric(k protoreflect.Kind) bool {
	return integer(k) || k == protoreflect.FloatKind || k == protoreflect.DoubleKind
}

func (r *run) checkRule(fd protoreflect.FieldDescriptor, rule *fireflypb.Rule) {
	pos := func(field int32) Pos { return r.opt(fd, optRule, field) }
	misfit := func(field int32, word, fits string) {
		r.fault(CodeRuleKind, pos(field), fmt.Sprintf("%s does not fit %s; it is for %s", word, kind(fd), fits))
	}
	single := !fd.IsList() && !fd.IsMap()
	if rule.Min != nil || rule.Max != nil {
		field, word := int32(ruleMin), "min"
		if rule.Min == nil {
			field, word = ruleMax, "max"
		}
		if !single || !numeric(fd.Kind()) {
			misfit(field, word, "single numbers")
		} else {
			r.checkBounds(fd, rule, pos)
		}
	}
	if rule.MinLen != 0 || rule.MaxLen != 0 {
		field, word := int32(ruleMinLen), "min_len"
		if rule.MinLen == 0 {
			field, word = ruleMaxLen, "max_len"
		}
		if single && fd.Kind() != protoreflect.StringKind && fd.Kind() != protoreflect.BytesKind {
			misfit(field, word, "strings, bytes, lists and maps")
		} else if rule.MaxLen != 0 && rule.MinLen > rule.MaxLen {
			r.fault(CodeRuleBounds, pos(ruleMinLen), fmt.Sprintf("min_len %d is over max_len %d", rule.MinLen, rule.MaxLen), at(pos(ruleMaxLen), ""))
		}
	}
	if rule.Pattern != "" {
		if !single || fd.Kind() != protoreflect.StringKind {
			misfit(rulePattern, "pattern", "single strings")
		} else if len(rule.Pattern) > maxPattern {
			r.fault(CodeRulePattern, pos(rulePattern), fmt.Sprintf("pattern has %d bytes; %d are allowed", len(rule.Pattern), maxPattern))
		} else if _, err := syntax.Parse(rule.Pattern, syntax.Perl); err != nil {
			r.fault(CodeRulePattern, pos(rulePattern), fmt.Sprintf("pattern %q: %s", rule.Pattern, strings.TrimPrefix(err.Error(), "error parsing regexp: ")))
		}
	}
	if rule.Required && oneof(fd) != nil {
		r.fault(CodeRuleKind, pos(ruleRequired), fmt.Sprintf("required does not fit a field of a oneof, which is missing whenever another is set (%s)", oneof(fd).Name()))
	}
	if parent := fd.ContainingMessage().FullName(); r.sheets[parent] == nil {
		if rule.Ref != "" {
			r.fault(CodeRuleSheet, pos(ruleRef), fmt.Sprintf("ref stands in a sheet only, and %s is none", parent))
		}
		if rule.Unique {
			r.fault(CodeRuleSheet, pos(ruleUnique), fmt.Sprintf("unique stands in a sheet only, and %s is none; a table has index: { by: %q unique: true }", parent, fd.Name()))
		}
	} else if rule.Unique && (!single || fd.Message() != nil) {
		misfit(ruleUnique, "unique", "single numbers, strings, bools and enums")
	}
}

// checkBounds checks min and max of a number against its type.
func (r *run) checkBounds(fd protoreflect.FieldDescriptor, rule *fireflypb.Rule, pos func(int32) Pos) {
	low, high := kindRange(fd.Kind())
	ok := true
	for _, b := range []struct {
		word  string
		field int32
		value *float64
	}{{"min", ruleMin, rule.Min}, {"max", ruleMax, rule.Max}} {
		if b.value == nil {
			continue
		}
		v := *b.value
		why := ""
		switch {
		case math.IsNaN(v) || math.IsInf(v, 0):
			why = "is no number"
		case integer(fd.Kind()) && v != math.Trunc(v):
			why = "is no integer, and " + string(fd.Name()) + " is one"
		case v < low || v > high:
			why = fmt.Sprintf("does not fit %s", fd.Kind())
		case integer(fd.Kind()) && math.Abs(v) > exactDouble:
			why = "is beyond 2^53, from where on it is not exact"
		}
		if why != "" {
			ok = false
			r.fault(CodeRuleBounds, pos(b.field), fmt.Sprintf("%s %v %s", b.word, v, why))
		}
	}
	if ok && rule.Min != nil && rule.Max != nil && *rule.Min > *rule.Max {
		r.fault(CodeRuleBounds, pos(ruleMin), fmt.Sprintf("min %v is over max %v", *rule.Min, *rule.Max), at(pos(ruleMax), ""))
	}
}

func kindRange(k protoreflect.Kind) (low, high float64) {
	switch k {
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind:
		return math.MinInt32, math.MaxInt32
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		return 0, math.MaxUint32
	case protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind:
		return math.MinInt64, math.MaxInt64
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return 0, math.MaxUint64
	case protoreflect.FloatKind:
		return -math.MaxFloat32, math.MaxFloat32
	}
	return -math.MaxFloat64, math.MaxFloat64
}

// kind is the type of a field as an author says it.
func kind(fd protoreflect.FieldDescriptor) string {
	switch {
	case fd.IsMap():
		return "a map"
	case fd.IsList():
		return "a list"
	case fd.Message() != nil:
		return "a message"
	}
	return article(fd.Kind().String())
}
