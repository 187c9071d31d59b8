package idl

import (
	"fmt"
	"io/fs"
	"path"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// Sheets, and what their cells refer to.

// Fields of the option Sheet.
const (
	sheetFile  = 2
	sheetIndex = 3
)

func (r *run) checkSheets() {
	type taken struct {
		s   *Sheet
		pos Pos
	}
	game := map[string]taken{}
	for _, p := range r.sys.Packages {
		used := game
		if p.Module != nil {
			used = map[string]taken{}
		}
		for _, s := range p.Sheets {
			pos := r.opt(s.Desc, optSheet, sheetFile)
			if why := badSheetFile(s.Path); why != "" {
				r.fault(CodeSheetFile, pos, fmt.Sprintf("file %q %s", s.Path, why))
			} else if first, ok := used[s.Path]; ok {
				r.fault(CodeSheetTaken, pos, fmt.Sprintf("file %q is read by %s already", s.Path, first.s.Desc.FullName()), at(first.pos, "has it first"))
			} else {
				used[s.Path] = taken{s, pos}
			}
			var ok bool
			if s.Key, ok = r.keyColumns(s.Desc, s.Opt.Key, "sheet", optSheet); ok {
				s.Index = r.indexes(s.Desc, s.Opt.Index, s.Key, "sheet", optSheet, sheetIndex)
			}
		}
	}
	for _, p := range r.sys.Packages {
		for _, s := range p.Sheets {
			r.checkRefs(s)
		}
	}
}

func badSheetFile(file string) string {
	name, page, paged := strings.Cut(file, "#")
	ext := path.Ext(name)
	switch {
	case !fs.ValidPath(name) || strings.ContainsAny(name, `\:`):
		return "is no path under the data folder; write it with slashes and without .."
	case ext != ".csv" && ext != ".json" && ext != ".xlsx":
		return "is neither .csv nor .json nor .xlsx"
	case paged && ext != ".xlsx":
		return "names a page, which only .xlsx has"
	case paged && page == "":
		return "names no page behind the '#'"
	case len(file) > 255:
		return "is over 255 bytes long"
	}
	return ""
}

// checkRefs finds the sheets that cells refer to.
func (r *run) checkRefs(s *Sheet) {
	for i := range s.Desc.Fields().Len() {
		fd := s.Desc.Fields().Get(i)
		name := r.fields[fd.FullName()].rule.GetRef()
		if name == "" {
			continue
		}
		pos := r.opt(fd, optRule, ruleRef)
		md := r.message(name, fd)
		var to *Sheet
		if md != nil {
			to = r.sheets[md.FullName()]
		}
		switch {
		case md != nil && to == nil:
			r.fault(CodeRef, pos, fmt.Sprintf("ref %q leads to a message that is no sheet", name), at(r.pos(md), "is the message"))
		case to == nil:
			var names []string
			if len(r.diags) <= maxHints {
				for full := range r.sheets {
					names = append(names, local(full, fd.ParentFile().Package()))
				}
			}
			message, related := fmt.Sprintf("ref %q leads nowhere", name), []Related(nil)
			if best := nearest(name, names); best != "" {
				message += fmt.Sprintf("; there is a sheet %q", best)
				if md := r.message(best, fd); md != nil {
					related = append(related, at(r.pos(md), ""))
				}
			}
			r.fault(CodeRef, pos, message, related...)
		case len(to.Key) == 0: // has its own fault
		case len(to.Key) > 1:
			r.fault(CodeRef, pos, fmt.Sprintf("ref %q leads to a sheet with %d key columns; a cell holds one", name, len(to.Key)), at(to.Pos, "is the sheet"))
		case fd.IsMap() || fd.Message() != nil || !sameKind(fd.Kind(), to.Key[0].Kind()):
			r.fault(CodeRef, pos, fmt.Sprintf("ref %q leads to a key that is %s, and %q is %s", name, kind(to.Key[0]), fd.Name(), kind(fd)), at(r.pos(to.Key[0]), "is the key"))
		default:
			s.Refs = append(s.Refs, Ref{Field: fd, Sheet: to})
		}
	}
}

// sameKind tells whether a value of one kind can be a key of the other.
func sameKind(a, b protoreflect.Kind) bool {
	return a == b || integer(a) && integer(b)
}
