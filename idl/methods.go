package idl

import (
	"fmt"
	"math"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/firefly-go/firefly/idl/fireflypb"
)

// Services and their methods: commands of clients and calls of roles.

// The types that stand for something else than a message of the game.
const (
	rawName     protoreflect.FullName = "firefly.v1.Raw"
	noReplyName protoreflect.FullName = "firefly.v1.NoReply"
	emptyName   protoreflect.FullName = "google.protobuf.Empty"
)

const (
	maxID       = math.MaxInt32
	maxModuleID = 999

	defaultTimeout = 10 * time.Second
	maxTimeout     = 30 * time.Second // no handler runs longer; longer waits are timers
)

func wire(md protoreflect.MessageDescriptor) Wire {
	switch md.FullName() {
	case rawName:
		return WireRaw
	case emptyName:
		return WireEmpty
	case noReplyName:
		return WireNoReply
	}
	return WireMessage
}

func (r *run) buildService(p *Package, sd protoreflect.ServiceDescriptor) {
	s := &Service{Desc: sd, Pos: r.pos(sd), Package: p, Name: string(sd.Name()), FullName: string(sd.FullName()), Comment: r.comment(sd)}
	p.Services = append(p.Services, s)
	r.services[sd.FullName()] = s
	for i := range sd.Methods().Len() {
		s.Methods = append(s.Methods, r.buildMethod(s, sd.Methods().Get(i)))
	}
}

func (r *run) buildMethod(s *Service, md protoreflect.MethodDescriptor) *Method {
	m := &Method{
		Desc: md, Pos: r.pos(md), Service: s,
		Name: string(md.Name()), FullName: string(md.FullName()), Comment: r.comment(md),
		Request: wire(md.Input()), Reply: wire(md.Output()),
	}
	var o descriptorpb.MethodOptions
	r.options(md, &o)
	if opt, ok := extension[*fireflypb.Command](&o, fireflypb.E_Command); ok {
		m.Command = &Command{
			Opt: opt, Pos: r.opt(md, optCommand), IDPos: r.opt(md, optCommand, 1), ID: opt.Id,
			Public:    opt.Auth == fireflypb.Command_PUBLIC,
			Unordered: opt.Unordered, Idempotent: opt.Idempotent,
			Rate:    r.rate(opt.Rate, func() Pos { return r.opt(md, optCommand, 3) }),
			Timeout: r.duration(opt.Timeout, func() Pos { return r.opt(md, optCommand, 4) }, defaultTimeout, time.Millisecond, maxTimeout),
			Key:     r.keyField(m, opt.Key, "key", func() Pos { return r.opt(md, optCommand, 5) }),
		}
	}
	if opt, ok := extension[*fireflypb.Http](&o, fireflypb.E_Http); ok {
		m.HTTP = r.buildHTTP(m, opt)
	}
	opt, written := extension[*fireflypb.Call](&o, fireflypb.E_Call)
	switch {
	case written && m.Command != nil:
		r.fault(CodeCallOnCommand, r.opt(md, optCall),
			fmt.Sprintf("%s is a command, so clients call it; (firefly.v1.call) is for methods without an id", m.FullName), at(m.Command.Pos, "is the command"))
	case written:
		m.Call = &Call{
			Opt: opt, Pos: r.opt(md, optCall), Idempotent: opt.Idempotent,
			Timeout: r.duration(opt.Timeout, func() Pos { return r.opt(md, optCall, 1) }, 0, time.Millisecond, maxTimeout),
			Key:     r.keyField(m, opt.Key, "key", func() Pos { return r.opt(md, optCall, 2) }),
			Player:  r.keyField(m, opt.Player, "player", func() Pos { return r.opt(md, optCall, 3) }),
		}
	case m.Command == nil && m.HTTP == nil:
		m.Call = &Call{Pos: m.Pos}
	}
	return m
}

// keyField finds the request field that an option names.
func (r *run) keyField(m *Method, name, word string, pos func() Pos) protoreflect.FieldDescriptor {
	if name == "" {
		return nil
	}
	md := m.Desc.Input()
	if m.Request != WireMessage {
		r.fault(CodeKeyNoField, pos(), fmt.Sprintf("%s %q names a field, and the request %s has none", word, name, md.FullName()))
		return nil
	}
	fd := r.field(md, name, word, CodeKeyNoField, pos)
	if fd == nil {
		return nil
	}
	if why := notKey(fd); why != "" {
		r.fault(CodeKeyKind, pos(), fmt.Sprintf("%s %q %s; a key is one integer or string", word, name, why), at(r.pos(fd), "is the field"))
		return nil
	}
	if word == "player" && fd.Kind() == protoreflect.StringKind {
		r.fault(CodeKeyKind, pos(), fmt.Sprintf("player %q is a string; the id of a player is an integer", name), at(r.pos(fd), "is the field"))
		return nil
	}
	return fd
}

// field finds a field by its proto name, or reports that it is not there.
func (r *run) field(md protoreflect.MessageDescriptor, name, word, code string, pos func() Pos) protoreflect.FieldDescriptor {
	if fd := md.Fields().ByName(protoreflect.Name(name)); fd != nil {
		return fd
	}
	if fd := md.Fields().ByJSONName(name); fd != nil {
		r.fault(code, pos(), fmt.Sprintf("%s %q is no field of %s; fields go by their proto name, %q", word, name, md.FullName(), fd.Name()), at(r.pos(fd), "is the field"))
		return nil
	}
	hint := r.hint(name, func() []string { return fieldNames(md) })
	r.fault(code, pos(), fmt.Sprintf("%s %q is no field of %s%s", word, name, md.FullName(), hint), at(r.pos(md), "is the message"))
	return nil
}

// notKey says why a field cannot be hashed as a key; "" when it can.
func notKey(fd protoreflect.FieldDescriptor) string {
	switch {
	case fd.IsMap():
		return "is a map"
	case fd.IsList():
		return "is repeated"
	case oneof(fd) != nil:
		return "is in a oneof"
	}
	switch fd.Kind() {
	case protoreflect.StringKind:
		return ""
	case protoreflect.MessageKind, protoreflect.GroupKind:
		return "is a message"
	}
	if integer(fd.Kind()) {
		return ""
	}
	return "is " + article(fd.Kind().String())
}

// oneof is the oneof around a field that its author wrote.
func oneof(fd protoreflect.FieldDescriptor) protoreflect.OneofDescriptor {
	if od := fd.ContainingOneof(); od != nil && !od.IsSynthetic() {
		return od
	}
	return nil
}

func integer(k protoreflect.Kind) bool {
	switch k {
	case protoreflect.Int32Kind, protoreflect.Int64Kind, protoreflect.Uint32Kind, protoreflect.Uint64Kind,
		protoreflect.Sint32Kind, protoreflect.Sint64Kind, protoreflect.Fixed32Kind, protoreflect.Fixed64Kind,
		protoreflect.Sfixed32Kind, protoreflect.Sfixed64Kind:
		return true
	}
	return false
}

func unsigned(k protoreflect.Kind) bool {
	switch k {
	case protoreflect.Uint32Kind, protoreflect.Uint64Kind, protoreflect.Fixed32Kind, protoreflect.Fixed64Kind:
		return true
	}
	return false
}

func article(s string) string {
	switch {
	case s == "bytes":
		return s
	case s[0] == 'e', s[0] == 'i': // enum, int32
		return "an " + s
	}
	return "a " + s
}

// checkMethods checks what travels and the words that contradict each other.
func (r *run) checkMethods() {
	for _, p := range r.sys.Packages {
		for _, s := range p.Services {
			for _, m := range s.Methods {
				if p.Generate {
					r.checkMethod(m)
				}
				if s.Role != nil {
					r.checkMethodRouting(m, s.Role)
				}
			}
		}
	}
}

func (r *run) checkMethod(m *Method) {
	if m.Desc.IsStreamingClient() || m.Desc.IsStreamingServer() {
		r.fault(CodeStreams, m.Pos, m.FullName+" streams; commands and calls are single messages, use a push for the rest")
	}
	if m.Request == WireNoReply {
		r.fault(CodeNoReplyRequest, m.Pos, "NoReply is for responses; use google.protobuf.Empty for a request that says nothing")
	}
	for _, t := range []struct {
		word string
		md   protoreflect.MessageDescriptor
		w    Wire
	}{{"request", m.Desc.Input(), m.Request}, {"reply", m.Desc.Output(), m.Reply}} {
		if pkg := t.md.ParentFile().Package(); t.w == WireMessage && (pkg == "google.protobuf" || pkg == "firefly.v1") {
			r.fault(CodeForeignMessage, m.Pos, fmt.Sprintf("the %s of %s is %s, which has no generated codec; put it into a message of your own", t.word, m.FullName, t.md.FullName()))
		}
	}
	if c := m.Command; c != nil {
		if m.Reply == WireNoReply && c.Idempotent {
			r.fault(CodeIdempotentNoReply, r.opt(m.Desc, optCommand, 7), "idempotent says nothing here: what returns NoReply is not sent again, for nobody learns that it was lost")
		}
	}
	if c := m.Call; c != nil {
		if c.Opt.GetKey() != "" && c.Opt.GetPlayer() != "" {
			r.fault(CodeKeyAndPlayer, r.opt(m.Desc, optCall, 2), "a call goes by key or by player, not by both", at(r.opt(m.Desc, optCall, 3), "is the player"))
		}
		if m.Reply == WireNoReply && c.Idempotent {
			r.fault(CodeIdempotentNoReply, r.opt(m.Desc, optCall, 4), "idempotent says nothing here: what returns NoReply is not sent again, for nobody learns that it was lost")
		}
	}
}

// checkMethodRouting checks the key of a method against the routing of the role that serves it.
func (r *run) checkMethodRouting(m *Method, role *Role) {
	if role.Routing == fireflypb.Role_LEAST_LOADED || role.Routing == fireflypb.Role_SINGLE {
		var word string
		var pos Pos
		switch {
		case m.Command != nil && m.Command.Opt.Key != "":
			word, pos = "key", r.opt(m.Desc, optCommand, 5)
		case m.Call != nil && m.Call.Opt.GetKey() != "":
			word, pos = "key", r.opt(m.Desc, optCall, 2)
		case m.Call != nil && m.Call.Opt.GetPlayer() != "":
			word, pos = "player", r.opt(m.Desc, optCall, 3)
		default:
			return
		}
		r.fault(CodeKeyIdle, pos, fmt.Sprintf("a %s says nothing here: role %q is %s", word, role.Name, role.Routing), at(r.roleOpt(role, 6), "is the routing"))
	}
	if c := m.Command; role.Routing == fireflypb.Role_HASH && c != nil && c.Public && c.Opt.Key == "" {
		r.warn(CodeHashWithoutPlayer, c.Pos, fmt.Sprintf("%s is PUBLIC on a HASH role and has no key: before a session is bound there is no player to hash, and all go to one node", m.FullName), at(r.roleOpt(role, 6), "is the routing"))
	}
}

// numbered is a command or a push, which share one space of ids.
type numbered struct {
	id   uint32
	name string
	pos  Pos
	pkg  *Package
}

// checkIDs checks the ids of commands and pushes: over the whole game, and in each module.
func (r *run) checkIDs() {
	inPlay := map[*Package]bool{}
	for _, role := range r.sys.Roles {
		for _, s := range role.Serves {
			inPlay[s.Package] = true
		}
	}
	game := map[uint32]numbered{}
	for _, p := range r.sys.Packages {
		if !p.Generate && !inPlay[p] {
			continue
		}
		var all []numbered
		for _, s := range p.Services {
			for _, m := range s.Commands() {
				all = append(all, numbered{m.Command.ID, m.FullName, m.Command.IDPos, p})
			}
		}
		for _, x := range p.Pushes {
			all = append(all, numbered{x.ID, string(x.Desc.FullName()), x.IDPos, p})
		}
		used := game
		if p.Module != nil {
			used = map[uint32]numbered{}
		}
		for _, n := range all {
			if m := r.mountOf(p, n.id); m != nil && n.id <= maxID {
				r.fault(CodeMountTaken, n.pos, fmt.Sprintf("id %d is among those of mount %q, %d to %d; give one of both other ids", n.id, m.As, m.Base+1, m.Base+maxModuleID), at(m.Pos, "is the mount"))
				continue
			}
			switch first, taken := used[n.id]; {
			case n.id == 0:
				r.fault(CodeNoID, n.pos, n.name+" has no id; ids begin at 1")
			case p.Module != nil && n.id > maxModuleID:
				r.fault(CodeIDRange, n.pos, fmt.Sprintf("id %d is outside 1 to %d; ids in a module are small, and the mount adds its base", n.id, maxModuleID))
			case n.id > maxID:
				r.fault(CodeIDRange, n.pos, fmt.Sprintf("id %d is over %d", n.id, maxID))
			case taken:
				// The one that stands first keeps it, whichever was seen first here.
				if n.pos.compare(first.pos) < 0 {
					used[n.id] = n
					first, n = n, first
				}
				r.fault(CodeIDTaken, n.pos, fmt.Sprintf("id %d is already used by %s", n.id, first.name), at(first.pos, "has it first"))
			default:
				used[n.id] = n
			}
		}
	}
}
