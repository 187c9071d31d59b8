package gen

import (
	"fmt"
	"strconv"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/firefly-go/firefly/idl"
	"github.com/firefly-go/firefly/idl/fireflypb"
)

// What descriptions and documents say about fields and places.

func itoa(n int) string { return strconv.Itoa(n) }

func place(p idl.Pos) string {
	if p.File == "" {
		return ""
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Col)
}

// plain is a comment as one text: protobuf's blank before each line is taken off.
func plain(c string) string {
	var lines []string
	for line := range strings.Lines(strings.Trim(c, "\n")) {
		lines = append(lines, strings.TrimPrefix(strings.TrimRight(line, " \t\r\n"), " "))
	}
	return strings.TrimSpace(strings.Join(lines, "\n"))
}

func typeText(f protoreflect.FieldDescriptor) string {
	if f.IsMap() {
		return "map<" + typeText(f.MapKey()) + ", " + typeText(f.MapValue()) + ">"
	}
	t := f.Kind().String()
	switch {
	case f.Message() != nil:
		t = string(f.Message().FullName())
	case f.Enum() != nil:
		t = string(f.Enum().FullName())
	}
	switch {
	case f.IsList():
		return "repeated " + t
	case f.HasOptionalKeyword():
		return "optional " + t
	}
	return t
}

// ruleText says a rule in words: "required, at most 24 characters".
func ruleText(f protoreflect.FieldDescriptor, r *fireflypb.Rule) string {
	if r == nil {
		return ""
	}
	var s []string
	if r.GetRequired() {
		s = append(s, "required")
	}
	unit := "characters"
	switch {
	case f.IsList() || f.IsMap():
		unit = "elements"
	case f.Kind() == protoreflect.BytesKind:
		unit = "bytes"
	}
	switch lo, hi := r.GetMinLen(), r.GetMaxLen(); {
	case lo > 0 && hi > 0:
		s = append(s, fmt.Sprintf("%d to %d %s", lo, hi, unit))
	case lo > 0:
		s = append(s, fmt.Sprintf("at least %d %s", lo, unit))
	case hi > 0:
		s = append(s, fmt.Sprintf("at most %d %s", hi, unit))
	}
	switch {
	case r.Min != nil && r.Max != nil:
		s = append(s, number(r.GetMin())+" to "+number(r.GetMax()))
	case r.Min != nil:
		s = append(s, "at least "+number(r.GetMin()))
	case r.Max != nil:
		s = append(s, "at most "+number(r.GetMax()))
	}
	if r.GetPattern() != "" {
		s = append(s, "form `"+r.GetPattern()+"`")
	}
	return strings.Join(s, ", ")
}
