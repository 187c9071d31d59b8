package idl

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// What a declared type in SQL has to hold: the rule, the default, the numbers of an enum.

// sqlType is the declared type in its canonical spelling, "" when none is.
func (c *Column) sqlType() string {
	t := c.Opt.GetType()
	if t == "" && c.Opt.GetUnsigned() {
		t = "INT"
		if wide(c.Desc.Kind()) {
			t = "BIGINT"
		}
	}
	if t == "" {
		return ""
	}
	t = CanonicalSQLType(t)
	if c.Opt.GetUnsigned() {
		t += " UNSIGNED"
	}
	return t
}

// single reports whether a column holds one value that is no message.
func (c *Column) single() bool {
	return !c.Desc.IsList() && !c.Desc.IsMap() && c.Desc.Message() == nil
}

// checkTypeBounds: what the rule and the enum allow has a place in the type.
func (r *run) checkTypeBounds(c Column) {
	t := c.sqlType()
	if t == "" || !c.single() {
		return
	}
	l := SQLTypeLimits(t)
	switch k := c.Desc.Kind(); {
	case integer(k) && l.Integer && c.Rule != nil:
		for _, b := range []struct {
			word  string
			field int32
			value *float64
		}{{"min", ruleMin, c.Rule.Min}, {"max", ruleMax, c.Rule.Max}} {
			if b.value != nil && (*b.value < float64(l.Min) || *b.value > float64(l.Max)) {
				r.fault(CodeRuleBounds, r.opt(c.Desc, optRule, b.field), fmt.Sprintf("%s %v is beyond %s, which holds %d to %d", b.word, *b.value, t, l.Min, l.Max), at(r.typePos(c), "is the column"))
			}
		}
	case k == protoreflect.EnumKind && l.Integer:
		for i := range c.Desc.Enum().Values().Len() {
			v := c.Desc.Enum().Values().Get(i)
			if n := int64(v.Number()); n < l.Min || n > 0 && uint64(n) > l.Max {
				r.fault(CodeColumnType, r.typePos(c), fmt.Sprintf("%s does not hold %d, which is %s", t, n, v.FullName()), at(r.pos(v), "is the value"))
				break
			}
		}
	case (k == protoreflect.StringKind || k == protoreflect.BytesKind) && l.MaxLen > 0:
		for _, b := range []struct {
			word  string
			field int32
			n     uint32
		}{{"min_len", ruleMinLen, c.Rule.GetMinLen()}, {"max_len", ruleMaxLen, c.Rule.GetMaxLen()}} {
			if uint64(b.n) > l.MaxLen {
				r.fault(CodeRuleBounds, r.opt(c.Desc, optRule, b.field), fmt.Sprintf("%s %d is beyond %s, which holds %d", b.word, b.n, t, l.MaxLen), at(r.typePos(c), "is the column"))
				break
			}
		}
	}
}

// typePos is where the type of a column is declared.
func (r *run) typePos(c Column) Pos {
	if c.Opt.GetType() == "" {
		return r.opt(c.Desc, optColumn, columnUnsigned)
	}
	return r.opt(c.Desc, optColumn, columnType)
}

// defaultFault says why the default of a column, which fits its field, does not fit its type or its
// rule; "" when it does.
func (c *Column) defaultFault() string {
	if !c.single() {
		return ""
	}
	s, t := c.Opt.GetDefault(), c.sqlType()
	head, _, _ := SplitSQLType(t)
	l := SQLTypeLimits(t)
	switch k := c.Desc.Kind(); {
	case numeric(k):
		f, err := strconv.ParseFloat(s, 64)
		switch {
		case err != nil:
			return ""
		case integer(k) && l.Integer && (f < float64(l.Min) || f > float64(l.Max)):
			return fmt.Sprintf("is beyond %s, which holds %d to %d", t, l.Min, l.Max)
		case c.Rule != nil && c.Rule.Min != nil && f < *c.Rule.Min:
			return fmt.Sprintf("is under min %v", *c.Rule.Min)
		case c.Rule != nil && c.Rule.Max != nil && f > *c.Rule.Max:
			return fmt.Sprintf("is over max %v", *c.Rule.Max)
		}
	case k == protoreflect.StringKind:
		n := utf8.RuneCountInString(s)
		if l.Bytes {
			n = len(s)
		}
		switch {
		case l.MaxLen > 0 && uint64(n) > l.MaxLen:
			return "is longer than " + t
		case head == "ENUM" && !slices.Contains(quotedValues(t), s):
			return "is no value of " + t
		case c.Rule.GetMinLen() > 0 && utf8.RuneCountInString(s) < int(c.Rule.GetMinLen()):
			return fmt.Sprintf("is shorter than min_len %d", c.Rule.GetMinLen())
		}
	}
	return ""
}

// quotedValues are those of ENUM('a','b'); there are no quotes inside of them.
func quotedValues(t string) []string {
	_, list, _ := strings.Cut(t, "('")
	return strings.Split(strings.TrimSuffix(list, "')"), "','")
}

// checkIndexedTypes: MySQL indexes no TEXT as a whole, and sorts some types otherwise than other stores.
func (r *run) checkIndexedTypes(t *Table) {
	for _, c := range t.Columns {
		if c.Opt.GetType() == "" || c.Desc.Kind() != protoreflect.StringKind {
			continue
		}
		inKey := slices.Contains(t.Key, c.Desc)
		inIndex := inKey || slices.ContainsFunc(t.Index, func(x Index) bool { return slices.Contains(x.By, c.Desc) })
		head, _, _ := SplitSQLType(c.sqlType())
		switch head {
		case "TINYTEXT", "TEXT", "MEDIUMTEXT", "LONGTEXT", "JSON":
			if inIndex {
				r.fault(CodeColumnType, r.typePos(c), fmt.Sprintf("type %q cannot be in a key or an index as a whole; write VARCHAR with a length", c.Opt.Type))
			}
		case "ENUM", "SET", "TIME":
			if inKey {
				r.fault(CodeColumnType, r.typePos(c), fmt.Sprintf("type %q cannot be in a key: MySQL does not sort it as the text that it is to everybody else; write VARCHAR with a length", c.Opt.Type))
			}
		}
	}
}
