package gen

import (
	"math"
	"strconv"

	"github.com/dave/jennifer/jen"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/firefly-go/firefly/idl"
	"github.com/firefly-go/firefly/idl/fireflypb"
)

// emitRules writes the check of every message that has rules, or contains one that has:
//
//	// CheckRules says which field breaks its rule: INVALID_ARGUMENT.
//	func (m *JoinRequest) CheckRules() error {
//		if m.GetRoom() == "" {
//			return firefly.InvalidArgument.Errorf("room is required")
//		}
//		if n := utf8.RuneCountInString(m.GetRoom()); n > 32 {
//			return firefly.InvalidArgument.Errorf("room has %d characters, and may have 32", n)
//		}
//		return nil
//	}
//
// A field of a message that has rules is checked where it lies: "items[3].name is required".
func emitRules(g *generator, p *pkg, f *jen.File) bool {
	if len(p.Ruled) == 0 {
		return false
	}
	r := &rules{g: g, f: f}
	for _, m := range p.Ruled {
		f.Comment("CheckRules says which field breaks its rule: INVALID_ARGUMENT. The runtime calls it on requests.")
		f.Func().Params(jen.Id("m").Op("*").Add(g.messageType(m.Desc))).Id("CheckRules").Params().Error().BlockFunc(func(b *jen.Group) {
			b.If(jen.Id("m").Op("==").Nil()).Block(jen.Return(jen.Nil()))
			for _, rf := range m.Fields {
				r.field(b, rf)
			}
			b.Return(jen.Nil())
		})
	}
	if len(r.patterns) > 0 {
		f.Comment("The patterns of the rules; each is matched against the whole string.")
		f.Var().DefsFunc(func(d *jen.Group) {
			for _, x := range r.patterns {
				d.Id(x.name).Op("=").Qual("regexp", "MustCompile").Call(jen.Lit(`\A(?:` + x.expr + `)\z`))
			}
		})
	}
	if r.nested {
		f.Comment("ruleIn puts the place of a message before the field that its CheckRules named.")
		f.Func().Id("ruleIn").Params(jen.Id("place").String(), jen.Err().Error()).Error().Block(
			jen.If(jen.List(jen.Id("e"), jen.Id("ok")).Op(":=").Err().Assert(jen.Op("*").Qual(fireflyPath, "Error")), jen.Id("ok")).Block(
				jen.Return(jen.Op("&").Qual(fireflyPath, "Error").Values(jen.Dict{
					jen.Id("Code"):    jen.Id("e").Dot("Code"),
					jen.Id("Message"): jen.Id("place").Op("+").Lit(".").Op("+").Id("e").Dot("Message"),
				}))),
			jen.Return(jen.Err()))
	}
	return true
}

type rules struct {
	g        *generator
	f        *jen.File
	nested   bool
	patterns []pattern
}

type pattern struct{ name, expr string }

func broken(format string, args ...jen.Code) *jen.Statement {
	return jen.Return(jen.Qual(fireflyPath, "InvalidArgument").Dot("Errorf").Call(append([]jen.Code{jen.Lit(format)}, args...)...))
}

// field writes the checks of one field.
func (r *rules) field(b *jen.Group, rf idl.RuledField) {
	d, rule := rf.Desc, rf.Rule
	if rule == nil {
		rule = &fireflypb.Rule{}
	}
	name := string(d.Name())
	f := r.g.names.field(d)
	get := func() *jen.Statement { return jen.Id("m").Dot("Get" + f.GoName).Call() }
	switch {
	case d.IsMap() || d.IsList():
		r.length(b, rule, name, jen.Len(get()), "elements", rule.GetRequired())
		if rf.Sub {
			r.nested = true
			place := name + "[%d]"
			if d.IsMap() {
				place = name + "[%v]"
			}
			b.For(jen.List(jen.Id("i"), jen.Id("v")).Op(":=").Range().Add(get())).Block(
				jen.If(jen.Err().Op(":=").Id("v").Dot("CheckRules").Call(), jen.Err().Op("!=").Nil()).Block(
					jen.Return(jen.Id("ruleIn").Call(jen.Qual("fmt", "Sprintf").Call(jen.Lit(place), jen.Id("i")), jen.Err()))))
		}
	case d.Message() != nil:
		if rule.GetRequired() {
			b.If(get().Op("==").Nil()).Block(broken(name + " is required"))
		}
		if rf.Sub {
			r.nested = true
			b.If(jen.Err().Op(":=").Add(get()).Dot("CheckRules").Call(), jen.Err().Op("!=").Nil()).Block(
				jen.Return(jen.Id("ruleIn").Call(jen.Lit(name), jen.Err())))
		}
	case d.HasPresence():
		// With presence only what is there is checked; required asks for presence.
		has := r.present(d, f.GoName)
		if rule.GetRequired() {
			b.If(jen.Op("!").Parens(has)).Block(broken(name + " is required"))
		}
		if rule.Min != nil || rule.Max != nil || rule.GetPattern() != "" || rule.GetMinLen() > 0 || rule.GetMaxLen() > 0 {
			b.If(has).BlockFunc(func(b *jen.Group) { r.value(b, rule, d, get()) })
		}
	default:
		if rule.GetRequired() {
			r.required(b, d, name, get())
		}
		r.value(b, rule, d, get())
	}
}

// present is the condition that an optional field or a member of a oneof is set.
func (r *rules) present(d protoreflect.FieldDescriptor, goName string) *jen.Statement {
	if o := d.ContainingOneof(); o != nil && !o.IsSynthetic() {
		// The generated wrapper of a member of a oneof is asked through reflection: it is the
		// one spelling that holds for every name.
		return jen.Id("m").Dot("ProtoReflect").Call().Dot("Has").Call(
			jen.Id("m").Dot("ProtoReflect").Call().Dot("Descriptor").Call().Dot("Fields").Call().Dot("ByNumber").Call(jen.Lit(int(d.Number()))))
	}
	return jen.Id("m").Dot(goName).Op("!=").Nil()
}

func (r *rules) required(b *jen.Group, d protoreflect.FieldDescriptor, name string, get *jen.Statement) {
	var empty *jen.Statement
	switch d.Kind() {
	case protoreflect.StringKind:
		empty = jen.Add(get).Op("==").Lit("")
	case protoreflect.BytesKind:
		empty = jen.Len(get).Op("==").Lit(0)
	case protoreflect.BoolKind:
		empty = jen.Op("!").Add(get)
	default:
		empty = jen.Add(get).Op("==").Lit(0)
	}
	b.If(empty).Block(broken(name + " is required"))
}

// value writes the checks of one value.
func (r *rules) value(b *jen.Group, rule *fireflypb.Rule, d protoreflect.FieldDescriptor, v *jen.Statement) {
	name := string(d.Name())
	switch d.Kind() {
	case protoreflect.StringKind:
		r.length(b, rule, name, jen.Qual("unicode/utf8", "RuneCountInString").Call(v), "characters", false)
	case protoreflect.BytesKind:
		r.length(b, rule, name, jen.Len(v), "bytes", false)
	}
	if rule.GetPattern() != "" {
		p := pattern{r.g.names.pattern(d), rule.GetPattern()}
		r.patterns = append(r.patterns, p)
		b.If(jen.Op("!").Id(p.name).Dot("MatchString").Call(v)).Block(broken(name + " does not have the form " + escape(rule.GetPattern())))
	}
	float := d.Kind() == protoreflect.FloatKind || d.Kind() == protoreflect.DoubleKind
	if rule.Min != nil {
		if float {
			b.If(jen.Op("!").Parens(jen.Add(v).Op(">=").Add(floatLit(rule.GetMin())))).Block(broken(name + " is under " + number(rule.GetMin())))
		} else if lit, ok := bound(d.Kind(), math.Ceil(rule.GetMin()), true); ok {
			b.If(jen.Add(v).Op("<").Add(lit)).Block(broken(name + " is under " + number(rule.GetMin())))
		}
	}
	if rule.Max != nil {
		if float {
			b.If(jen.Op("!").Parens(jen.Add(v).Op("<=").Add(floatLit(rule.GetMax())))).Block(broken(name + " is over " + number(rule.GetMax())))
		} else if lit, ok := bound(d.Kind(), math.Floor(rule.GetMax()), false); ok {
			b.If(jen.Add(v).Op(">").Add(lit)).Block(broken(name + " is over " + number(rule.GetMax())))
		}
	}
}

// length writes the limits of a count.
func (r *rules) length(b *jen.Group, rule *fireflypb.Rule, name string, count *jen.Statement, unit string, required bool) {
	if required {
		b.If(jen.Add(count).Op("==").Lit(0)).Block(broken(name + " is required"))
	}
	if n := rule.GetMinLen(); n > 0 {
		b.If(jen.Id("n").Op(":=").Add(count), jen.Id("n").Op("<").Lit(int(n))).Block(
			broken(name+" has %d "+unit+", and needs "+strconv.Itoa(int(n)), jen.Id("n")))
	}
	if n := rule.GetMaxLen(); n > 0 {
		b.If(jen.Id("n").Op(":=").Add(count), jen.Id("n").Op(">").Lit(int(n))).Block(
			broken(name+" has %d "+unit+", and may have "+strconv.Itoa(int(n)), jen.Id("n")))
	}
}

// bound is a limit as a literal of an integer kind; a limit that every value of the kind keeps
// is not worth a check.
func bound(k protoreflect.Kind, v float64, low bool) (*jen.Statement, bool) {
	lo, hi := float64(math.MinInt64), float64(math.MaxInt64)
	switch k {
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind, protoreflect.EnumKind:
		lo, hi = math.MinInt32, math.MaxInt32
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		lo, hi = 0, math.MaxUint32
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		lo, hi = 0, math.MaxUint64
	}
	if low && v <= lo || !low && v >= hi {
		return nil, false
	}
	return jen.Op(strconv.FormatFloat(v, 'f', 0, 64)), true
}

func floatLit(v float64) *jen.Statement { return jen.Op(strconv.FormatFloat(v, 'g', -1, 64)) }

func number(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

// escape keeps a text from being read as a format.
func escape(s string) string {
	out := ""
	for _, r := range s {
		if r == '%' {
			out += "%"
		}
		out += string(r)
	}
	return out
}
