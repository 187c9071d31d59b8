package idl

import (
	"fmt"
	"regexp"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/bufbuild/protocompile/reporter"

	"github.com/firefly-go/firefly/idl/fireflypb"
)

// This file gives the compiler's faults codes, and hints where it has none.

func (t *translator) translate(e reporter.ErrorWithPos) Diag {
	d := Diag{Code: CodeProto, Pos: t.place(e), Message: oneLine(e.Unwrap())}
	for _, x := range translations {
		if m := x.match.FindStringSubmatch(d.Message); m != nil {
			d.Code = x.code
			if x.hint != nil {
				d.Message = x.hint(t, d.Message, m)
			}
			break
		}
	}
	return d
}

func oneLine(err error) string {
	s := strings.Join(strings.Fields(err.Error()), " ")
	if len(s) > 500 {
		s = strings.ToValidUTF8(s[:500], "") + "..."
	}
	return s
}

// translations are tried in order.
var translations = []struct {
	match *regexp.Regexp
	code  string
	hint  func(t *translator, message string, m []string) string
}{
	{regexp.MustCompile(`^syntax error`), CodeSyntax, nil},
	{regexp.MustCompile(`unknown extension ([\w.]+)$`), CodeUnknownOption, func(_ *translator, s string, m []string) string {
		return s + suggest(strings.TrimPrefix(m[1], "."), ourOptions())
	}},
	{regexp.MustCompile(`^(.*?)extension ([\w.]+) should extend ([\w.]+) but instead extends ([\w.]+)$`), CodeOptionPlace, func(_ *translator, s string, m []string) string {
		return m[1] + fmt.Sprintf("%s stands on %s, not on %s", m[2], extended(m[4]), extended(m[3]))
	}},
	{regexp.MustCompile(`option \(([\w.]+)\)(?:[\w.()]*): field (\w+) not found$`), CodeOptionField, func(_ *translator, s string, m []string) string {
		return s + suggest(m[2], optionFields(m[1]))
	}},
	{regexp.MustCompile(`field (\w+) of ([\w.]+) does not exist$`), CodeOptionField, func(_ *translator, s string, m []string) string {
		return s + suggest(m[1], messageFields(m[2]))
	}},
	{regexp.MustCompile(`enum ([\w.]+) has no value named (\w+)$`), CodeOptionValue, func(_ *translator, s string, m []string) string {
		if m[2] == "READ_ONLY" && m[1] == "firefly.v1.Table.Durability" {
			return s + "; rows that nobody writes are a sheet: option (firefly.v1.sheet) = { key: \"id\" };"
		}
		if d, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(m[1])); err == nil {
			if ed, ok := d.(protoreflect.EnumDescriptor); ok {
				var names []string
				for i := range ed.Values().Len() {
					names = append(names, string(ed.Values().Get(i).Name()))
				}
				return s + "; there are " + strings.Join(names, ", ")
			}
		}
		return s
	}},
	{regexp.MustCompile(`value .* is out of range for|expecting .*, got |non-repeated option field .* already set|oneof .* already has field|option \(firefly`), CodeOptionValue, nil},
	{regexp.MustCompile(`unknown (?:\w+ )?type ([\w.]+)`), CodeUnknownType, func(t *translator, s string, m []string) string {
		return s + suggest(m[1], t.types())
	}},
}

func suggest(name string, candidates []string) string {
	if best := nearest(name, candidates); best != "" {
		return "; did you mean " + best + "?"
	}
	return ""
}

// ourOptions are the names of the options of the vocabulary.
func ourOptions() []string {
	var names []string
	xs := fireflypb.File_firefly_v1_options_proto.Extensions()
	for i := range xs.Len() {
		names = append(names, string(xs.Get(i).FullName()))
	}
	return names
}

// optionFields are the fields of the message of one of our options, and of those in it: the
// compiler does not say how deep a field was looked for.
func optionFields(option string) []string {
	x, err := protoregistry.GlobalTypes.FindExtensionByName(protoreflect.FullName(strings.TrimPrefix(option, ".")))
	if err != nil {
		return nil
	}
	var names []string
	var collect func(md protoreflect.MessageDescriptor)
	collect = func(md protoreflect.MessageDescriptor) {
		if md == nil || !strings.HasPrefix(string(md.FullName()), "firefly.v1.") {
			return
		}
		for i := range md.Fields().Len() {
			names = append(names, string(md.Fields().Get(i).Name()))
			collect(md.Fields().Get(i).Message())
		}
	}
	collect(x.TypeDescriptor().Message())
	return names
}

func messageFields(name string) []string {
	d, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(name))
	if md, ok := d.(protoreflect.MessageDescriptor); err == nil && ok {
		return fieldNames(md)
	}
	return nil
}

// extended says on what options stand.
func extended(name string) string {
	switch name {
	case "google.protobuf.FileOptions":
		return "a file"
	case "google.protobuf.MessageOptions":
		return "a message"
	case "google.protobuf.FieldOptions":
		return "a field"
	case "google.protobuf.EnumOptions":
		return "an enum"
	case "google.protobuf.EnumValueOptions":
		return "a value of an enum"
	case "google.protobuf.ServiceOptions":
		return "a service"
	case "google.protobuf.MethodOptions":
		return "a method"
	case "google.protobuf.OneofOptions":
		return "a oneof"
	}
	return name
}

// types are the names of all messages and enums of the run.
func (t *translator) types() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.diags) > maxHints {
		return nil
	}
	var names []string
	for _, src := range t.src.files {
		names = append(names, src.types...)
	}
	return names
}
