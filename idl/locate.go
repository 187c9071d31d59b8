package idl

import (
	"bytes"
	"encoding/binary"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// This file says where things stand. The compiler gives places for paths of descriptors; of an
// option written as option (x).id = 7 it knows only the whole path, of one in braces every
// part, and counts a tab as up to eight columns.

// The numbers of our options.
const (
	optRole    = 51301
	optModule  = 51302
	optCommand = 51311
	optCall    = 51312
	optHTTP    = 51313
	optPush    = 51321
	optTable   = 51322
	optSheet   = 51323
	optRule    = 51331
	optColumn  = 51332
	optErrors  = 51341

	optFirst, optLast = 51300, 51399
)

// locator knows the places of one file.
type locator struct {
	src   *source // nil: the text is not known
	desc  protoreflect.FileDescriptor
	exact map[string]protoreflect.SourceLocation
	below map[string]Pos // the first place under a path of an option
	// comments are those above statements that set options of the file.
	comments map[Pos]string
}

func newLocator(fd protoreflect.FileDescriptor, src *source) *locator {
	l := &locator{src: src, desc: fd, exact: map[string]protoreflect.SourceLocation{}, below: map[string]Pos{}, comments: map[Pos]string{}}
	locs := fd.SourceLocations()
	var key []byte
	for i := range locs.Len() {
		loc := locs.Get(i)
		if loc.LeadingComments != "" && len(loc.Path) > 0 && loc.Path[0] == 8 {
			l.comments[l.pos(loc)] = clean(loc.LeadingComments)
		}
		key = key[:0]
		option := false
		var pos Pos
		for j, n := range loc.Path {
			key = binary.AppendUvarint(key, uint64(uint32(n)))
			if n >= optFirst && n <= optLast {
				option = true
				pos = l.pos(loc)
			}
			if option && j < len(loc.Path)-1 {
				if old, ok := l.below[string(key)]; !ok || pos.compare(old) < 0 {
					l.below[string(key)] = pos
				}
			}
		}
		if _, ok := l.exact[string(key)]; !ok {
			l.exact[string(key)] = loc
		}
	}
	return l
}

func (l *locator) pos(loc protoreflect.SourceLocation) Pos {
	p := Pos{File: l.desc.Path(), Line: loc.StartLine + 1, Col: loc.StartColumn + 1}
	if l.src != nil {
		p = l.src.untab(p)
	}
	return p
}

// option is the place of a part of an option of d: path begins with the option's number. The
// longest begin of path that has a place counts, then d itself.
func (l *locator) option(d protoreflect.Descriptor, path ...int32) Pos {
	base := l.base(d)
	if base == nil && d.Parent() != nil {
		return Pos{File: l.desc.Path(), Line: 1, Col: 1}
	}
	keys := make([]int, 0, len(path)+1)
	key := append(base, optionsField(d))
	keys = append(keys, len(key))
	for _, n := range path {
		key = binary.AppendUvarint(key, uint64(uint32(n)))
		keys = append(keys, len(key))
	}
	for i := len(keys) - 1; i > 0; i-- {
		if loc, ok := l.exact[string(key[:keys[i]])]; ok {
			return l.pos(loc)
		}
		if p, ok := l.below[string(key[:keys[i]])]; ok {
			return p
		}
	}
	return l.of(d)
}

// of is the place of a descriptor; of a file, its first line.
func (l *locator) of(d protoreflect.Descriptor) Pos {
	if d.Parent() != nil {
		if loc, ok := l.exact[string(l.base(d))]; ok {
			return l.pos(loc)
		}
	}
	return Pos{File: l.desc.Path(), Line: 1, Col: 1}
}

// base is the key of a descriptor's own path.
func (l *locator) base(d protoreflect.Descriptor) []byte {
	var path []int
	for {
		up := d.Parent()
		if up == nil {
			break
		}
		n := 0
		switch d := d.(type) {
		case protoreflect.MessageDescriptor:
			if n = 3; isFile(up) {
				n = 4
			}
		case protoreflect.EnumDescriptor:
			if n = 4; isFile(up) {
				n = 5
			}
		case protoreflect.ServiceDescriptor:
			n = 6
		case protoreflect.MethodDescriptor:
			n = 2
		case protoreflect.EnumValueDescriptor:
			n = 2
		case protoreflect.OneofDescriptor:
			n = 8
		case protoreflect.FieldDescriptor:
			switch {
			case d.IsExtension() && isFile(up):
				n = 7
			case d.IsExtension():
				n = 6
			default:
				n = 2
			}
		}
		path = append(path, d.Index(), n)
		d = up
	}
	var key []byte
	for i := len(path) - 1; i >= 0; i-- {
		key = binary.AppendUvarint(key, uint64(uint32(path[i])))
	}
	return key
}

func isFile(d protoreflect.Descriptor) bool {
	_, ok := d.(protoreflect.FileDescriptor)
	return ok
}

// optionsField is the number of the field "options" in the descriptor of d.
func optionsField(d protoreflect.Descriptor) byte {
	switch d.(type) {
	case protoreflect.MessageDescriptor:
		return 7
	case protoreflect.EnumDescriptor, protoreflect.EnumValueDescriptor, protoreflect.ServiceDescriptor:
		return 3
	case protoreflect.MethodDescriptor:
		return 4
	case protoreflect.OneofDescriptor:
		return 2
	}
	return 8 // files and fields
}

// untab turns a column in which tabs reach to the next multiple of eight into one that counts
// characters.
func (s *source) untab(p Pos) Pos {
	line, ok := s.tabbed[p.Line]
	if !ok {
		return p
	}
	col, n := 0, 0
	for _, r := range string(line) {
		if col >= p.Col-1 {
			break
		}
		if n++; r == '\t' {
			col += 8 - col%8
		} else {
			col++
		}
	}
	p.Col = n + 1
	return p
}

// tabs gives the lines that hold a tab by their number.
func tabs(data []byte) map[int][]byte {
	var m map[int][]byte
	for n, start := 1, 0; start < len(data); n++ {
		line := data[start:]
		if end := bytes.IndexByte(line, '\n'); end >= 0 {
			line = line[:end]
		}
		if bytes.IndexByte(line, '\t') >= 0 {
			if m == nil {
				m = map[int][]byte{}
			}
			m[n] = line
		}
		start += len(line) + 1
	}
	return m
}
