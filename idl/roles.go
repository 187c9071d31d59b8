package idl

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/firefly-go/firefly/idl/fireflypb"
)

// Roles: what they serve, use and keep. Doors are in listens.go, mounts in mounts.go.

// Fields of the option Role.
const (
	roleName = iota + 1
	roleServes
	roleUses
	roleMounts
	roleReplicas
	roleRouting
	roleExecution
	roleListens
	roleSession
	roleState
	roleConfig
)

const maxReplicas = 9999

var roleNames = regexp.MustCompile(`^[a-z](-?[a-z0-9])*$`)

// ownRoles are processes of the framework.
var ownRoles = map[string]string{"master": "the supervisor's", "store": "the directory's"}

func (r *run) roleOpt(role *Role, path ...int32) Pos {
	return r.opt(role.file, append([]int32{optRole, role.index}, path...)...)
}

func (r *run) buildRoles() {
	for _, p := range r.sys.Packages {
		for _, f := range p.Files {
			if f.Generate {
				r.buildRolesOf(p, f)
			}
		}
	}
	r.checkOneFile()
	for _, role := range r.sys.Roles {
		r.buildMounts(role)
	}
	for _, role := range r.sys.Roles {
		r.buildServes(role)
	}
	for _, role := range r.sys.Roles {
		r.buildUses(role)
		role.Session = r.kept(role, "session", role.Opt.Session, roleSession)
		role.State = r.kept(role, "state", role.Opt.State, roleState)
		role.Config = r.kept(role, "config", role.Opt.Config, roleConfig)
		r.buildListen(role)
	}
}

func (r *run) buildRolesOf(p *Package, f *File) {
	var o descriptorpb.FileOptions
	if !r.options(f.Desc, &o) {
		return
	}
	opts, _ := extension[[]*fireflypb.Role](&o, fireflypb.E_Role)
	for i, opt := range opts {
		role := &Role{
			Opt: opt, Package: p, Name: opt.Name, Routing: opt.Routing, Listens: opt.Listens,
			Replicas: int(max(opt.Replicas, 1)), file: f.Desc, index: int32(i),
		}
		role.Pos = r.roleOpt(role)
		role.Comment = r.loc(f.Desc).comments[role.Pos]
		r.sys.Roles = append(r.sys.Roles, role)
	}
}

// checkOneFile makes one file the topology: that with the most roles.
func (r *run) checkOneFile() {
	byFile := map[string][]*Role{}
	for _, role := range r.sys.Roles {
		byFile[role.file.Path()] = append(byFile[role.file.Path()], role)
	}
	var files []string
	for f := range byFile {
		files = append(files, f)
	}
	if len(files) == 0 {
		return
	}
	slices.SortFunc(files, func(a, b string) int {
		return cmp.Or(-cmp.Compare(len(byFile[a]), len(byFile[b])), cmp.Compare(a, b))
	})
	home := byFile[files[0]][0]
	r.sys.Game, _, _ = strings.Cut(home.Package.Name, ".")
	for _, f := range files[1:] {
		r.fault(CodeRolesInTwoFiles, byFile[f][0].Pos, fmt.Sprintf("roles stand in one file, and %s has them already", files[0]), at(home.Pos, "is the first role"))
	}
}

func (r *run) buildServes(role *Role) {
	seen := map[*Service]Pos{}
	for i, name := range role.Opt.Serves {
		pos := r.roleOpt(role, roleServes, int32(i))
		s := r.service(name, role.file)
		if s == nil {
			r.fault(CodeNoService, pos, fmt.Sprintf("role %q serves %q, and there is no such service%s", role.Name, name, r.hint(name, func() []string { return r.serviceNames(role.Package.Name) })))
			continue
		}
		if first, twice := seen[s]; twice {
			r.fault(CodeNamedTwice, pos, fmt.Sprintf("%q stands twice in serves", name), at(first, "is the first"))
			continue
		}
		seen[s] = pos
		if s.Role != nil {
			r.fault(CodeServedTwice, pos, fmt.Sprintf("service %s is served by role %q already", s.FullName, s.Role.Name), at(s.rolePos, "is the other role"))
			continue
		}
		if m := s.Package.Module; m != nil && m.served[s] {
			r.fault(CodeServedByModule, pos, fmt.Sprintf("service %s is served by module %q itself; mount it", s.FullName, m.Name), at(m.Pos, "is the module"))
			continue
		}
		s.Role, s.rolePos = role, pos
		role.Serves = append(role.Serves, s)
	}
}

// service finds a service that an option of file a names.
func (r *run) service(name string, a protoreflect.FileDescriptor) *Service {
	for _, full := range scopes(name, string(a.Package())) {
		if s := r.services[full]; s != nil {
			r.use(a, s.Desc)
			return s
		}
	}
	return nil
}

// serviceNames are the services as package pkg writes them.
func (r *run) serviceNames(pkg string) []string {
	var names []string
	for full := range r.services {
		names = append(names, local(full, protoreflect.FullName(pkg)))
	}
	return names
}

// used is what a name in uses may mean.
func (r *run) used(name string, a protoreflect.FileDescriptor) (u Use, md protoreflect.MessageDescriptor) {
	for _, full := range scopes(name, string(a.Package())) {
		if s := r.services[full]; s != nil {
			r.use(a, s.Desc)
			return Use{Service: s}, nil
		}
		if md := r.messages[full]; md != nil {
			r.use(a, md)
			return Use{Table: r.tables[full], Sheet: r.sheets[full]}, md
		}
	}
	return Use{}, nil
}

// same is equal for two uses of one thing.
func (u Use) same() Use {
	return Use{Service: u.Service, Table: u.Table, Sheet: u.Sheet, Mount: u.Mount}
}

func (r *run) buildUses(role *Role) {
	seen := map[Use]Pos{}
	for i, name := range role.Opt.Uses {
		pos := r.roleOpt(role, roleUses, int32(i))
		u, md := r.used(name, role.file)
		if u.Service == nil && md == nil {
			u.Service, u.Mount = r.mountedService(name)
		}
		u.Pos = pos
		switch {
		case u.Service != nil:
			u.Name = u.Service.Name
			if !r.usable(role, u, pos) {
				continue
			}
		case u.Table != nil:
			u.Name = u.Table.Name
			u.Sheet = nil // both is a fault of the message
		case u.Sheet != nil:
			u.Name = u.Sheet.Name
		case md != nil:
			r.fault(CodeUseKind, pos, fmt.Sprintf("role %q uses %s, which is neither table nor sheet; give it (firefly.v1.table) or (firefly.v1.sheet)", role.Name, md.FullName()), at(r.pos(md), "is the message"))
			continue
		default:
			r.fault(CodeNoUse, pos, fmt.Sprintf("role %q uses %q, and there is no service, table or sheet of that name%s", role.Name, name, r.hint(name, func() []string { return r.useNames(role.Package.Name) })))
			continue
		}
		if first, twice := seen[u.same()]; twice {
			r.fault(CodeNamedTwice, pos, fmt.Sprintf("%q stands twice in uses", name), at(first, "is the first"))
			continue
		}
		seen[u.same()] = pos
		role.Uses = append(role.Uses, u)
	}
}

func (r *run) useNames(pkg string) []string {
	names := r.serviceNames(pkg)
	for full := range r.tables {
		names = append(names, local(full, protoreflect.FullName(pkg)))
	}
	for full := range r.sheets {
		names = append(names, local(full, protoreflect.FullName(pkg)))
	}
	return names
}

// usable checks a service in uses: somebody serves it, and it has something to call.
func (r *run) usable(role *Role, u Use, pos Pos) bool {
	s := u.Service
	if m := s.Package.Module; m != nil && m.served[s] {
		if !r.checkMounted(role, u, pos) {
			return false
		}
	} else if s.Role == nil {
		r.fault(CodeUseUnserved, pos, fmt.Sprintf("role %q uses service %s, which no role serves", role.Name, s.FullName), at(s.Pos, "is the service"))
		return false
	}
	if len(s.Calls()) == 0 {
		why := "which has only commands"
		if len(s.Methods) == 0 {
			why = "which has no methods"
		} else if len(s.Commands()) == 0 {
			why = "which is only reachable by HTTP"
		}
		r.fault(CodeUseOnlyCommands, pos, fmt.Sprintf("role %q uses service %s, %s; roles call methods without an id", role.Name, s.FullName, why), at(s.Pos, "is the service"))
		return false
	}
	return true
}

// kept finds a message that a role keeps or is filled with.
func (r *run) kept(role *Role, word, name string, field int32) protoreflect.MessageDescriptor {
	if name == "" {
		return nil
	}
	return r.keptAt(word, name, role.file, r.roleOpt(role, field), fmt.Sprintf("role %q", role.Name))
}

func (r *run) keptAt(word, name string, a protoreflect.FileDescriptor, pos Pos, who string) protoreflect.MessageDescriptor {
	md := r.message(name, a)
	if md == nil {
		r.fault(CodeNoMessage, pos, fmt.Sprintf("%s %q of %s is no message of the game%s", word, name, who, r.hint(name, func() (names []string) {
			for full := range r.messages {
				names = append(names, local(full, a.Package()))
			}
			return names
		})))
		return nil
	}
	what := ""
	switch full := md.FullName(); {
	case r.pushes[full] != nil:
		what = "a push"
	case r.tables[full] != nil:
		what = "a table"
	case r.sheets[full] != nil:
		what = "a sheet"
	default:
		return md
	}
	verb := "keep state in"
	if word == "config" {
		verb = "fill"
	}
	r.fault(CodeKeptKind, pos, fmt.Sprintf("%s %q is %s; %s a message of its own", word, name, what, verb), at(r.pos(md), "is the message"))
	return nil
}

func (r *run) checkRoles() {
	byName := map[string]*Role{}
	for _, role := range r.sys.Roles {
		pos := r.roleOpt(role, roleName)
		switch owner, own := ownRoles[role.Name]; {
		case role.Name == "":
			r.fault(CodeRoleName, role.Pos, `this role has no name; write e.g. name: "game"`)
			continue
		case own:
			r.fault(CodeRoleReserved, pos, fmt.Sprintf("%q is %s own name", role.Name, owner))
		case len(role.Name) > 32 || !roleNames.MatchString(role.Name):
			r.fault(CodeRoleName, pos, fmt.Sprintf("role name %q is no name; use lower case letters, digits and '-', at most 32", role.Name))
		}
		if first := byName[role.Name]; first != nil {
			r.fault(CodeRoleTaken, pos, fmt.Sprintf("there is already a role %q", role.Name), at(r.roleOpt(first, roleName), "is the other role"))
			continue
		}
		byName[role.Name] = role
	}
	for _, role := range r.sys.Roles {
		if i := strings.LastIndexByte(role.Name, '-'); i > 0 && digits(role.Name[i+1:]) {
			if other := byName[role.Name[:i]]; other != nil {
				r.fault(CodeRoleName, r.roleOpt(role, roleName), fmt.Sprintf("%q is also what a node of role %q is called; name one of them otherwise", role.Name, other.Name), at(r.roleOpt(other, roleName), "is the other role"))
			}
		}
		r.checkRole(role)
	}
}

func (r *run) checkRole(role *Role) {
	if role.Opt.Replicas > maxReplicas {
		r.fault(CodeReplicas, r.roleOpt(role, roleReplicas), fmt.Sprintf("%d replicas are over %d", role.Opt.Replicas, maxReplicas))
	} else if role.Opt.Replicas > 1 && role.Routing == fireflypb.Role_SINGLE {
		r.fault(CodeReplicas, r.roleOpt(role, roleReplicas), fmt.Sprintf("replicas %d and routing SINGLE exclude each other", role.Opt.Replicas), at(r.roleOpt(role, roleRouting), "is the routing"))
	}
	if role.Session != nil && role.Routing == fireflypb.Role_LEAST_LOADED {
		r.fault(CodeSessionLeastLoaded, r.roleOpt(role, roleSession), fmt.Sprintf("role %q is LEAST_LOADED and keeps a session state; its commands meet another node each time", role.Name), at(r.roleOpt(role, roleRouting), "is the routing"))
	}
	if e := role.Opt.Execution; e != fireflypb.Role_SERIAL {
		r.fault(CodeNotYet, r.roleOpt(role, roleExecution), fmt.Sprintf("execution %s cannot be chosen yet; leave it out, and give the role more replicas", e))
	}
	r.checkHandler(role)
	r.checkDeps(role)
}

// checkHandler: the services of a role are one Go interface.
func (r *run) checkHandler(role *Role) {
	methods := map[string]*Method{}
	for _, s := range role.Serves {
		for _, m := range s.Methods {
			name := goCamel(m.Name)
			first := methods[name]
			if first == nil {
				methods[name] = m
				continue
			}
			if first.Service == s {
				continue // a fault of the service, in checkNames
			}
			r.fault(CodeSameMethod, s.rolePos, fmt.Sprintf("role %q serves %s and %s, and both have a method %s; one Go type cannot have two", role.Name, first.Service.Name, s.Name, name), at(first.Pos, ""), at(m.Pos, ""))
		}
	}
}

// checkDeps: everything that a role names is a field of its Deps.
func (r *run) checkDeps(role *Role) {
	type field struct {
		what string // as the author would say
		pos  Pos
	}
	fields := map[string]field{}
	for _, own := range []string{"Node", "Push", "Tx"} {
		fields[own] = field{what: "the framework's " + own}
	}
	if role.Config != nil {
		fields["Config"] = field{what: "the role's config"}
	}
	put := func(name, what string, pos Pos) {
		name = goCamel(name)
		if first, taken := fields[name]; taken {
			r.fault(CodeDepsField, pos, fmt.Sprintf("role %q uses two things called %s: %s and %s; one field of its Deps cannot be both", role.Name, name, first.what, what), at(first.pos, "is the first"))
			return
		}
		fields[name] = field{what, pos}
	}
	for _, u := range role.Uses {
		switch {
		case u.Service != nil:
			put(trimService(u.Name), u.Service.FullName, u.Pos)
		case u.Table != nil:
			if goCamel(u.Name) == "Once" {
				r.fault(CodeDepsField, u.Pos, fmt.Sprintf("role %q uses table %s, which would hide Once of its transactions; rename the message, and keep the table with name", role.Name, u.Table.Desc.FullName()))
				continue
			}
			put(u.Name, string(u.Table.Desc.FullName()), u.Pos)
		case u.Sheet != nil:
			put(u.Name, string(u.Sheet.Desc.FullName()), u.Pos)
		}
	}
	if role.Session != nil {
		put(string(role.Session.Name()), "its session "+string(role.Session.FullName()), r.roleOpt(role, roleSession))
	}
	if role.State != nil {
		put(string(role.State.Name()), "its state "+string(role.State.FullName()), r.roleOpt(role, roleState))
	}
}

// checkServed: what clients and roles can call is served by somebody.
func (r *run) checkServed() {
	var home *Role // where a role would be added
	if len(r.sys.Roles) > 0 {
		home = r.sys.Roles[0]
	}
	for _, p := range r.sys.Packages {
		if !p.Generate || p.Module != nil {
			continue
		}
		for _, s := range p.Services {
			if s.Role != nil {
				continue
			}
			what := ""
			if len(s.Commands()) > 0 {
				what = "commands"
			} else if slices.ContainsFunc(s.Methods, func(m *Method) bool { return m.HTTP != nil }) {
				what = "methods for HTTP"
			}
			switch {
			case what != "" && home != nil:
				name := string(local(s.Desc.FullName(), protoreflect.FullName(home.Package.Name)))
				r.fault(CodeUnserved, s.Pos, fmt.Sprintf("service %s has %s, and no role serves it; add serves: %q to a role in %s", s.FullName, what, name, home.file.Path()))
			case what != "":
				r.fault(CodeUnserved, s.Pos, fmt.Sprintf("service %s has %s, and there is no role; add option (firefly.v1.role) = { name: \"game\" serves: %q listens: { tcp: 7700 } };", s.FullName, what, s.Name))
			case home != nil:
				r.warn(CodeUnserved, s.Pos, fmt.Sprintf("service %s is served by no role", s.FullName))
			}
		}
	}
}
