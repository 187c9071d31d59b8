package gen

import (
	"fmt"
	"strings"

	"github.com/firefly-go/firefly/idl"
)

// importCircles finds Go packages that would import each other. Files of two proto packages
// may import each other's other files, and a role brings in the packages of its services and
// tables; Go allows neither.
func (g *generator) importCircles() Errors {
	type edge struct {
		to  string
		pos idl.Pos
		why string
	}
	edges := map[string][]edge{}
	for _, p := range g.packages {
		for _, f := range p.Files {
			imports := f.Desc.Imports()
			for i := range imports.Len() {
				at := imports.Get(i)
				for _, other := range g.packages {
					if other != p && other.Name == string(at.Package()) {
						pos := idl.Pos{File: f.Path, Line: 1, Col: 1}
						edges[p.Name] = append(edges[p.Name], edge{other.Name, pos, f.Path + " imports " + at.Path()})
					}
				}
			}
		}
	}
	for _, r := range g.sys.Roles {
		add := func(p *idl.Package, pos idl.Pos, what string) {
			if p != r.Package {
				edges[r.Package.Name] = append(edges[r.Package.Name], edge{p.Name, pos, fmt.Sprintf("role %q %s", r.Name, what)})
			}
		}
		for _, s := range r.Serves {
			add(s.Package, r.Pos, "serves "+s.FullName)
		}
		for _, u := range r.Uses {
			switch {
			case u.Service != nil:
				add(u.Service.Package, u.Pos, "uses "+u.Service.FullName)
			case u.Table != nil:
				add(u.Table.Package, u.Pos, "uses "+string(u.Table.Desc.FullName()))
			}
		}
	}
	var errs Errors
	state := map[string]int{} // 1: on the path, 2: done
	var path []edge
	var walk func(name string)
	walk = func(name string) {
		state[name] = 1
		for _, e := range edges[name] {
			path = append(path, e)
			switch state[e.to] {
			case 0:
				walk(e.to)
			case 1:
				from := 0
				for i := 1; i < len(path); i++ {
					if path[i-1].to == e.to {
						from = i
					}
				}
				var why []string
				for _, x := range path[from:] {
					why = append(why, x.why)
				}
				errs.add(e.pos, "package %s would import itself in Go: %s; move what they share into a package of its own", e.to, strings.Join(why, ", "))
			}
			path = path[:len(path)-1]
		}
		state[name] = 2
	}
	for _, p := range g.packages {
		if state[p.Name] == 0 {
			walk(p.Name)
		}
	}
	if len(errs) > 1 {
		errs = errs[:1] // one circle is found on many ways
	}
	return errs
}
