package idl

import (
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/firefly-go/firefly/idl/fireflypb"
)

// Modules, and roles that mount them.

// Fields of the options Module and Mount.
const (
	moduleName = iota + 1
	moduleBase
	moduleServes
	moduleUses
	moduleState

	mountModule = 1
	mountAs     = 2
	mountBase   = 3
)

const (
	baseStep = 1000
	maxBase  = maxID / baseStep * baseStep
)

// buildModules finds the packages that are modules.
func (r *run) buildModules() {
	for _, p := range r.sys.Packages {
		for _, f := range p.Files {
			var o descriptorpb.FileOptions
			if !r.options(f.Desc, &o) {
				continue
			}
			opt, ok := extension[*fireflypb.Module](&o, fireflypb.E_Module)
			if !ok {
				continue
			}
			m := &Module{Opt: opt, Pos: r.opt(f.Desc, optModule), Package: p, Name: opt.Name, Base: opt.Base, file: f.Desc}
			if p.Module != nil {
				r.fault(CodeModuleTwice, m.Pos, fmt.Sprintf("package %s is a module already", p.Name), at(p.Module.Pos, "is the first"))
				continue
			}
			p.Module = m
			if roles, _ := extension[[]*fireflypb.Role](&o, fireflypb.E_Role); len(roles) > 0 {
				r.fault(CodeModuleRoles, r.opt(f.Desc, optRole, 0), fmt.Sprintf("package %s is a module, and a module has no roles; games mount it into theirs", p.Name), at(m.Pos, "is the module"))
			}
		}
	}
	for _, p := range r.sys.Packages {
		if p.Module != nil {
			r.buildModule(p.Module)
		}
	}
}

func (r *run) moduleOpt(m *Module, path ...int32) Pos {
	return r.opt(m.file, append([]int32{optModule}, path...)...)
}

func (r *run) buildModule(m *Module) {
	if len(m.Name) > 32 || !roleNames.MatchString(m.Name) {
		r.fault(CodeModuleName, r.moduleOpt(m, moduleName), fmt.Sprintf("module name %q is no name; use lower case letters, digits and '-', at most 32", m.Name))
	}
	if why := badBase(m.Base); why != "" {
		r.fault(CodeModuleBase, r.moduleOpt(m, moduleBase), why)
	}
	m.served = map[*Service]bool{}
	for i, name := range m.Opt.Serves {
		pos := r.moduleOpt(m, moduleServes, int32(i))
		s := r.service(name, m.file)
		switch {
		case s == nil:
			r.fault(CodeNoService, pos, fmt.Sprintf("module %q serves %q, and there is no such service%s", m.Name, name, r.hint(name, func() []string { return r.serviceNames(m.Package.Name) })))
		case s.Package != m.Package:
			r.fault(CodeModuleForeign, pos, fmt.Sprintf("module %q serves %s, which is of another package; a module serves its own", m.Name, s.FullName), at(s.Pos, "is the service"))
		case m.served[s]:
			r.fault(CodeNamedTwice, pos, fmt.Sprintf("%q stands twice in serves", name))
		default:
			m.served[s] = true
			m.Serves = append(m.Serves, s)
		}
	}
	seen := map[Use]Pos{}
	for i, name := range m.Opt.Uses {
		pos := r.moduleOpt(m, moduleUses, int32(i))
		u, md := r.used(name, m.file)
		u.Pos = pos
		switch {
		case u.Service != nil:
			u.Name = u.Service.Name
		case u.Table != nil:
			u.Name, u.Sheet = u.Table.Name, nil
		case u.Sheet != nil:
			u.Name = u.Sheet.Name
		case md != nil:
			r.fault(CodeUseKind, pos, fmt.Sprintf("module %q uses %s, which is neither table nor sheet; give it (firefly.v1.table) or (firefly.v1.sheet)", m.Name, md.FullName()), at(r.pos(md), "is the message"))
			continue
		default:
			r.fault(CodeNoUse, pos, fmt.Sprintf("module %q uses %q, and there is no service, table or sheet of that name%s", m.Name, name, r.hint(name, func() []string { return r.useNames(m.Package.Name) })))
			continue
		}
		if first, twice := seen[u.same()]; twice {
			r.fault(CodeNamedTwice, pos, fmt.Sprintf("%q stands twice in uses", name), at(first, "is the first"))
			continue
		}
		seen[u.same()] = pos
		m.Uses = append(m.Uses, u)
		if u.Service != nil && !m.served[u.Service] {
			m.Ports = append(m.Ports, u.Service)
		}
	}
	if m.Opt.State != "" {
		m.State = r.keptAt("state", m.Opt.State, m.file, r.moduleOpt(m, moduleState), fmt.Sprintf("module %q", m.Name))
	}
	if !m.Package.Generate {
		return
	}
	for _, s := range m.Package.Services {
		if len(s.Commands()) > 0 && !m.served[s] {
			r.fault(CodeUnserved, s.Pos, fmt.Sprintf("service %s has commands, and module %q does not serve it; add serves: %q", s.FullName, m.Name, s.Name), at(m.Pos, "is the module"))
		}
	}
}

func badBase(base uint32) string {
	switch {
	case base == 0 || base%baseStep != 0:
		return fmt.Sprintf("base %d is no multiple of %d", base, baseStep)
	case base >= maxBase:
		return fmt.Sprintf("base %d is too high; ids end at %d", base, maxID)
	}
	return ""
}

// buildMounts finds the modules that a role mounts.
func (r *run) buildMounts(role *Role) {
	for i, opt := range role.Opt.Mounts {
		pos := func(field int32) Pos { return r.roleOpt(role, roleMounts, int32(i), field) }
		whole := r.roleOpt(role, roleMounts, int32(i))
		p := r.pkgs[opt.Module]
		if p == nil || p.Module == nil {
			hint := r.hint(opt.Module, func() (names []string) {
				for _, q := range r.sys.Packages {
					if q.Module != nil {
						names = append(names, q.Name)
					}
				}
				return names
			})
			r.fault(CodeNoModule, pos(mountModule), fmt.Sprintf("role %q mounts %q, and no imported file of that package says (firefly.v1.module)%s", role.Name, opt.Module, hint))
			continue
		}
		r.use(role.file, p.Module.file)
		m := &Mount{Opt: opt, Pos: whole, Module: p.Module, As: opt.As, Base: opt.Base, Role: role}
		if m.As == "" {
			m.As = p.Module.Name
		} else if len(m.As) > 32 || !roleNames.MatchString(m.As) {
			r.fault(CodeModuleName, pos(mountAs), fmt.Sprintf("mount name %q is no name; use lower case letters, digits and '-', at most 32", m.As))
		}
		if m.Base == 0 {
			m.Base = p.Module.Base
		} else if why := badBase(m.Base); why != "" {
			r.fault(CodeModuleBase, pos(mountBase), why)
		}
		if o := r.bases[m.Base]; o != nil {
			r.fault(CodeMountTaken, whole, fmt.Sprintf("ids %d to %d of mount %q are taken by mount %q; give it another base", m.Base+1, m.Base+maxModuleID, m.As, o.As), at(o.Pos, ""))
		}
		if o := r.mounts[m.As]; o != nil {
			r.fault(CodeMountTaken, whole, fmt.Sprintf("there is already a mount %q; give this one another name with as", m.As), at(o.Pos, "is the other one"))
			continue
		}
		r.mounts[m.As], r.bases[m.Base] = m, m
		r.mounted[m.Module] = append(r.mounted[m.Module], m)
		role.Mounts = append(role.Mounts, m)
		r.fault(CodeNotYet, whole, "modules cannot be mounted yet; leave mounts out")
	}
}

// mountedService finds "mail.Mail": a service by the name of its mount.
func (r *run) mountedService(name string) (*Service, *Mount) {
	as, rest, ok := strings.Cut(name, ".")
	m := r.mounts[as]
	if !ok || m == nil {
		return nil, nil
	}
	s := r.services[protoreflect.FullName(m.Module.Package.Name+"."+rest)]
	if s == nil || !m.Module.served[s] {
		return nil, nil
	}
	return s, m
}

// checkMounted checks a use of a service that a module serves.
func (r *run) checkMounted(role *Role, u Use, pos Pos) bool {
	if u.Mount != nil {
		return true
	}
	var as []string
	for _, m := range r.mounted[u.Service.Package.Module] {
		as = append(as, m.As)
	}
	slices.Sort(as)
	switch len(as) {
	case 0:
		r.fault(CodeUseUnserved, pos, fmt.Sprintf("role %q uses service %s, and no role mounts its module", role.Name, u.Service.FullName), at(u.Service.Pos, "is the service"))
		return false
	case 1:
		return true
	}
	r.fault(CodeMountAmbiguous, pos, fmt.Sprintf("%s is mounted as %s; say which, e.g. %q", u.Service.FullName, strings.Join(as, " and "), as[0]+"."+u.Service.Name))
	return false
}

// checkPorts: what a mounted module uses and does not serve is served by the game.
func (r *run) checkPorts() {
	for _, role := range r.sys.Roles {
		for _, m := range role.Mounts {
			for _, s := range m.Module.Ports {
				if s.Role == nil && !(s.Package.Module != nil && s.Package.Module.served[s] && len(r.mounted[s.Package.Module]) > 0) {
					r.fault(CodePort, m.Pos, fmt.Sprintf("mount %q needs %s, which no role serves; add it to the serves of a role and implement it", m.As, s.FullName), at(s.Pos, "is the port"))
				}
			}
		}
	}
}

// mountOf is the mount among whose numbers a number of a game's own package falls.
func (r *run) mountOf(p *Package, n uint32) *Mount {
	if p.Module != nil {
		return nil
	}
	m := r.bases[n/baseStep*baseStep]
	if m == nil || n == m.Base {
		return nil
	}
	return m
}
