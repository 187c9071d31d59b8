package idl

import (
	"fmt"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/firefly-go/firefly/idl/fireflypb"
)

// Methods that are reachable by HTTP.

func (r *run) buildHTTP(m *Method, opt *fireflypb.Http) *HTTP {
	h := &HTTP{Pos: r.opt(m.Desc, optHTTP)}
	switch v := opt.Verb.(type) {
	case *fireflypb.Http_Get:
		h.Verb, h.Path, h.verb = "GET", v.Get, 1
	case *fireflypb.Http_Post:
		h.Verb, h.Path, h.verb = "POST", v.Post, 2
	case *fireflypb.Http_Put:
		h.Verb, h.Path, h.verb = "PUT", v.Put, 3
	case *fireflypb.Http_Delete:
		h.Verb, h.Path, h.verb = "DELETE", v.Delete, 4
	case *fireflypb.Http_Patch:
		h.Verb, h.Path, h.verb = "PATCH", v.Patch, 5
	}
	return h
}

// checkHTTP checks paths and what is filled in from them. No two methods share a path.
func (r *run) checkHTTP() {
	type taken struct {
		m   *Method
		pos Pos
	}
	paths := map[string]taken{}
	for _, p := range r.sys.Packages {
		if !p.Generate {
			continue
		}
		for _, s := range p.Services {
			for _, m := range s.Methods {
				h := m.HTTP
				if h == nil {
					continue
				}
				if h.Verb == "" {
					r.fault(CodeHTTPPath, h.Pos, fmt.Sprintf(`%s has no verb and path; write e.g. { post: "/%s" }`, m.FullName, snake(m.Name)))
					continue
				}
				pos := r.opt(m.Desc, optHTTP, h.verb)
				if m.Reply == WireNoReply {
					r.fault(CodeHTTPNoReply, pos, m.FullName+" returns NoReply, and HTTP always has a reply; return google.protobuf.Empty")
				}
				shape, ok := r.checkPath(m, h, pos)
				if !ok {
					continue
				}
				key := h.Verb + " " + shape
				if first, is := paths[key]; is {
					a, b := first, taken{m, pos}
					if b.pos.compare(a.pos) < 0 {
						a, b = b, a
						paths[key] = a
					}
					r.fault(CodeHTTPTaken, b.pos, fmt.Sprintf("%s %s is already %s", h.Verb, b.m.HTTP.Path, a.m.FullName), at(a.pos, "has it first"))
					continue
				}
				paths[key] = taken{m, pos}
			}
		}
	}
}

// checkPath checks one path, and gives it with all fields alike.
func (r *run) checkPath(m *Method, h *HTTP, pos Pos) (shape string, ok bool) {
	bad := func(why string) (string, bool) {
		r.fault(CodeHTTPPath, pos, fmt.Sprintf("path %q %s", h.Path, why))
		return "", false
	}
	if !strings.HasPrefix(h.Path, "/") {
		return bad("does not begin with '/'")
	}
	if len(h.Path) > 1000 {
		return bad("is over 1000 bytes long")
	}
	ok = true
	seen := map[string]bool{}
	parts := strings.Split(h.Path[1:], "/")
	for i, part := range parts {
		if part == "" && h.Path != "/" {
			return bad("has an empty part")
		}
		if part == "." || part == ".." {
			return bad("has a part that clients take away")
		}
		name, field := strings.CutPrefix(part, "{")
		if !field {
			for _, c := range part {
				if !strings.ContainsRune("-._~!$&'()*+,;=:@", c) && !isLetterOrDigit(c) {
					return bad(fmt.Sprintf("has %q, which stands for something else in a URL, or for nothing", c))
				}
			}
			continue
		}
		name, closed := strings.CutSuffix(name, "}")
		if !closed || strings.ContainsAny(name, "{}") {
			return bad("has braces around less or more than a whole part")
		}
		parts[i] = "{}"
		if seen[name] {
			return bad(fmt.Sprintf("names %q twice", name))
		}
		seen[name] = true
		if m.Request == WireRaw {
			return bad(fmt.Sprintf("names %q, and a Raw request has no fields", name))
		}
		if fd := r.pathField(m, h, name, pos); fd != nil {
			h.Params = append(h.Params, fd)
		} else {
			ok = false
		}
	}
	return "/" + strings.Join(parts, "/"), ok
}

func (r *run) pathField(m *Method, h *HTTP, name string, pos Pos) protoreflect.FieldDescriptor {
	md := m.Desc.Input()
	fd := md.Fields().ByName(protoreflect.Name(name))
	if fd == nil {
		hint := r.hint(name, func() []string { return fieldNames(md) })
		r.fault(CodeHTTPField, pos, fmt.Sprintf("path %q names %q, which is no field of %s%s", h.Path, name, md.Name(), hint))
		return nil
	}
	if fd.IsList() || fd.IsMap() || oneof(fd) != nil || fd.Message() != nil || fd.Kind() == protoreflect.BytesKind {
		r.fault(CodeHTTPField, pos, fmt.Sprintf("path %q names %q, which is no single number, string, bool or enum", h.Path, name), at(r.pos(fd), "is the field"))
		return nil
	}
	return fd
}

func isLetterOrDigit(c rune) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}
