package idl

import (
	"fmt"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// Codes that clients see.

// firstGameCode is firefly.FirstGameCode: the numbers below are the framework's.
const firstGameCode = 100

func (r *run) checkErrors() {
	type taken struct {
		value protoreflect.EnumValueDescriptor
		pos   Pos
	}
	game := map[protoreflect.EnumNumber]taken{}
	for _, p := range r.sys.Packages {
		if len(p.Errors) == 0 || !p.Generate {
			continue
		}
		used := game
		if p.Module != nil {
			used = map[protoreflect.EnumNumber]taken{}
		}
		for _, e := range p.Errors {
			if _, top := e.Desc.Parent().(protoreflect.FileDescriptor); !top {
				r.fault(CodeNestedPart, e.Pos, fmt.Sprintf("enum %s holds error codes inside of a message; declare it outside", e.Desc.FullName()))
			}
			vs := e.Desc.Values()
			for i := range vs.Len() {
				v, n := vs.Get(i), vs.Get(i).Number()
				pos := r.pos(v)
				first, is := used[n]
				switch {
				case i == 0 && n != 0 || i > 0 && n == 0:
					r.fault(CodeErrorZero, pos, fmt.Sprintf("enum %s needs one value 0, the first, that is no error", e.Desc.Name()))
				case n == 0:
				case n < 0:
					r.fault(CodeErrorNumber, pos, fmt.Sprintf("error %s has the number %d; numbers of errors are positive", v.Name(), n))
				case p.Module != nil && n > maxModuleID:
					r.fault(CodeErrorNumber, pos, fmt.Sprintf("error %s has the number %d, which is outside 1 to %d; numbers in a module are small, and the mount adds its base", v.Name(), n, maxModuleID))
				case p.Module == nil && n < firstGameCode:
					r.fault(CodeErrorNumber, pos, fmt.Sprintf("error %s has the number %d; 1 to %d are the framework's own", v.Name(), n, firstGameCode-1))
				case r.mountOf(p, uint32(n)) != nil:
					m := r.mountOf(p, uint32(n))
					r.fault(CodeMountTaken, pos, fmt.Sprintf("number %d of error %s is among those of mount %q, %d to %d; give one of both other numbers", n, v.Name(), m.As, m.Base+1, m.Base+maxModuleID), at(m.Pos, "is the mount"))
				case is:
					if pos.compare(first.pos) < 0 {
						used[n] = taken{v, pos}
						first, v, pos = taken{v, pos}, first.value, first.pos
					}
					r.fault(CodeErrorTaken, pos, fmt.Sprintf("error %s has the number %d of %s", v.Name(), n, first.value.FullName()), at(first.pos, "has it first"))
				default:
					used[n] = taken{v, pos}
				}
			}
		}
	}
}
