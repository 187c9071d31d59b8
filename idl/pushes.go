package idl

import (
	"fmt"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/firefly-go/firefly/idl/fireflypb"
)

// Pushes, and the parts that a message can have.

// Fields of the option Push.
const pushKey = 3

func (r *run) checkPushes() {
	for _, p := range r.sys.Packages {
		for _, x := range p.Pushes {
			r.checkPush(x)
		}
		for _, x := range p.Pushes {
			r.checkPart(x.Desc, "a push", x.Pos)
		}
		for _, x := range p.Tables {
			r.checkPart(x.Desc, "a table", x.Pos)
		}
		for _, x := range p.Sheets {
			r.checkPart(x.Desc, "a sheet", x.Pos)
		}
	}
}

func (r *run) checkPush(x *Push) {
	if x.Opt.Key == "" {
		return
	}
	pos := func() Pos { return r.opt(x.Desc, optPush, pushKey) }
	if x.Opt.Slow != fireflypb.Push_COALESCE {
		r.fault(CodePushKey, pos(), fmt.Sprintf("key %q without slow: COALESCE says nothing; a key tells which waiting push is replaced", x.Opt.Key))
		return
	}
	fd := r.field(x.Desc, x.Opt.Key, "key", CodeKeyNoField, pos)
	if fd == nil {
		return
	}
	if why := notKey(fd); why != "" {
		r.fault(CodeKeyKind, pos(), fmt.Sprintf("key %q %s; a key is one integer or string", x.Opt.Key, why), at(r.pos(fd), "is the field"))
		return
	}
	x.Key = fd
}

// checkPart: a message is a push, a table or a sheet, and stands for itself.
func (r *run) checkPart(md protoreflect.MessageDescriptor, what string, pos Pos) {
	if _, top := md.Parent().(protoreflect.FileDescriptor); !top {
		r.fault(CodeNestedPart, pos, fmt.Sprintf("message %s is %s inside of another message; declare it outside", md.FullName(), what))
	}
	full := md.FullName()
	push, table, sheet := r.pushes[full], r.tables[full], r.sheets[full]
	var a, b Pos
	var words string
	switch {
	case table != nil && push != nil:
		words, a, b = "a table and a push", table.Pos, push.Pos
	case sheet != nil && push != nil:
		words, a, b = "a sheet and a push", sheet.Pos, push.Pos
	case table != nil && sheet != nil:
		words, a, b = "a table and a sheet", table.Pos, sheet.Pos
	default:
		return
	}
	r.fault(CodeTwoParts, r.pos(md), fmt.Sprintf("message %s is %s; one message has one part", full, words), at(a, ""), at(b, ""))
}
