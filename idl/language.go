package idl

import (
	"errors"
	"fmt"
	"go/token"
	"path"
	"strings"

	"golang.org/x/mod/module"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/gofeaturespb"
)

// What a file says before it declares anything: its syntax, its package, its Go package; and
// the features of the language for which there is no codec.

func (r *run) checkLanguage() {
	type goOwner struct {
		name string
		pos  Pos
	}
	owners := map[string]goOwner{} // of a Go package: the proto package
	for _, p := range r.sys.Packages {
		r.checkGoFiles(p)
		var first *File
		for _, f := range p.Files {
			o, _ := f.Desc.Options().(*descriptorpb.FileOptions)
			pos := r.loc(f.Desc).file(8, 11) // options.go_package
			if f.Generate {
				r.checkFile(f, o)
			}
			if o.GetGoPackage() == "" {
				continue
			}
			if first == nil {
				first = f
			} else if (f.GoPackage != first.GoPackage || f.GoName != first.GoName) && f.Generate {
				fo, _ := first.Desc.Options().(*descriptorpb.FileOptions)
				r.fault(CodeGoPackageDiffers, pos, fmt.Sprintf("go_package is %q, and package %s has %q already; one proto package makes one Go package",
					o.GetGoPackage(), p.Name, fo.GetGoPackage()), at(r.loc(first.Desc).file(8, 11), "is the other one"))
			}
			if other, ok := owners[f.GoPackage]; ok && other.name != p.Name && f.Generate {
				r.fault(CodeGoPackageShared, pos, fmt.Sprintf("go_package %q is that of package %s already; one Go package holds one proto package", f.GoPackage, other.name), at(other.pos, "is the other one"))
			} else if !ok {
				owners[f.GoPackage] = goOwner{p.Name, pos}
			}
		}
	}
}

// systems are the endings of file names by which Go builds a file on some machines only.
var systems = func() map[string]bool {
	m := map[string]bool{}
	for _, s := range strings.Fields(`aix android darwin dragonfly freebsd hurd illumos ios js linux nacl netbsd openbsd plan9
		solaris wasip1 windows zos 386 amd64 amd64p32 arm armbe arm64 arm64be loong64 mips mipsle mips64 mips64le
		mips64p32 mips64p32le ppc ppc64 ppc64le riscv riscv64 s390 s390x sparc sparc64 wasm test`) {
		m[s] = true
	}
	return m
}()

// checkGoFiles: the Go of a file is named after it.
func (r *run) checkGoFiles(p *Package) {
	byName := map[string]*File{}
	for _, f := range p.Files {
		if !f.Generate {
			continue
		}
		base := strings.TrimSuffix(path.Base(f.Path), ".proto")
		start := Pos{File: f.Path, Line: 1, Col: 1}
		stem, _, _ := strings.Cut(base, ".")
		if i := strings.LastIndexByte(stem, '_'); i >= 0 && systems[stem[i+1:]] {
			r.fault(CodeGoFile, start, fmt.Sprintf("%s.proto makes %s.pb.go, and Go builds what ends with _%s only there; name the file otherwise", base, base, stem[i+1:]))
		}
		if base == "" || base[0] == '_' || base[0] == '.' {
			r.fault(CodeGoFile, start, fmt.Sprintf("%s.proto makes %s.pb.go, and Go passes over what begins so; name the file otherwise", base, base))
		}
		if first := byName[base]; first != nil {
			r.fault(CodeGoFile, start, fmt.Sprintf("%s and %s both make %s.pb.go in one Go package; name one otherwise", first.Path, f.Path, base), at(Pos{File: first.Path, Line: 1, Col: 1}, "is the other one"))
			continue
		}
		byName[base] = f
	}
}

// methodNames are those of generated messages that no field can have beside them.
var methodNames = map[string]bool{
	"MarshalVT": true, "MarshalToVT": true, "MarshalToSizedBufferVT": true, "UnmarshalVT": true,
	"SizeVT": true, "CloneVT": true, "CloneMessageVT": true, "CheckRules": true,
}

// file is the place of a path in a file descriptor that stands for itself, as go_package does.
func (l *locator) file(path ...int32) Pos {
	key := make([]byte, 0, len(path))
	for _, n := range path {
		key = append(key, byte(n)) // all below 128
	}
	if loc, ok := l.exact[string(key)]; ok {
		return l.pos(loc)
	}
	return Pos{File: l.desc.Path(), Line: 1, Col: 1}
}

func (r *run) checkFile(f *File, o *descriptorpb.FileOptions) {
	l := r.loc(f.Desc)
	start := Pos{File: f.Path, Line: 1, Col: 1}
	if f.Desc.Syntax() == protoreflect.Proto2 {
		r.fault(CodeSyntaxVersion, start, "syntax is proto2; declare games in proto3 or edition 2023")
	}
	switch pkg := string(f.Desc.Package()); {
	case pkg == "":
		r.fault(CodeNoPackage, start, "no package; its first element is the name of the game, e.g. package arena.v1;")
	case pkg == "firefly.v1" || pkg == "google.protobuf":
		r.fault(CodeForeignPackage, l.file(2), fmt.Sprintf("package %s is not the game's; name it after the game, e.g. arena.v1", pkg))
	}
	full := o.GetGoPackage()
	if full == "" {
		game, _, _ := strings.Cut(string(f.Desc.Package()), ".")
		if game == "" {
			game = "arena"
		}
		r.fault(CodeNoGoPackage, start, fmt.Sprintf("no go_package; say where the Go code goes: option go_package = \"example.com/%s/%spb\";", game, game))
	} else if why := badGoPackage(f.GoPackage, f.GoName); why != "" {
		r.fault(CodeGoPackageBad, l.file(8, 11), fmt.Sprintf("go_package %q: %s", full, why))
	}
	if fs := o.GetFeatures(); fs != nil && proto.HasExtension(fs, gofeaturespb.E_Go) || f.Desc.Syntax() == protoreflect.Editions {
		if opaque(f.Desc) {
			r.fault(CodeOpaqueAPI, start, "api_level is API_OPAQUE, for which there is no fast codec; use API_OPEN")
		}
	}
}

// opaque tells whether a file asks for Go structs without exported fields.
func opaque(fd protoreflect.FileDescriptor) bool {
	b, err := proto.Marshal(fd.Options())
	if err != nil {
		return false
	}
	var o descriptorpb.FileOptions
	if proto.Unmarshal(b, &o) != nil || o.Features == nil || !proto.HasExtension(o.Features, gofeaturespb.E_Go) {
		return false
	}
	g, ok := proto.GetExtension(o.Features, gofeaturespb.E_Go).(*gofeaturespb.GoFeatures)
	return ok && g.GetApiLevel() == gofeaturespb.GoFeatures_API_OPAQUE
}

func badGoPackage(importPath, name string) string {
	if err := module.CheckImportPath(importPath); err != nil {
		var bad *module.InvalidPathError
		if errors.As(err, &bad) {
			return bad.Err.Error()
		}
		return err.Error()
	}
	if !strings.ContainsAny(importPath, "./") {
		return `an import path has a '.' or a '/' in it, e.g. "example.com/arena/arenapb"`
	}
	if !token.IsIdentifier(name) || name == "_" || name == "main" {
		return fmt.Sprintf("%q is no name for a package that others import", name)
	}
	return ""
}

// checkFieldType refuses fields that cannot travel.
func (r *run) checkFieldType(p *Package, fd protoreflect.FieldDescriptor) {
	if !p.Generate {
		return
	}
	if name := goCamel(string(fd.Name())); methodNames[name] && oneof(fd) == nil {
		r.fault(CodeGoName, r.pos(fd), fmt.Sprintf("field %q is %s in Go, as is a generated method; rename it", fd.Name(), name))
	}
	if od := oneof(fd); od != nil && od.Fields().Get(0) == fd && methodNames[goCamel(string(od.Name()))] {
		r.fault(CodeGoName, r.pos(od), fmt.Sprintf("oneof %q is %s in Go, as is a generated method; rename it", od.Name(), goCamel(string(od.Name()))))
	}
	if sub := submessage(fd); sub != nil {
		switch sub.FullName() {
		case rawName:
			r.fault(CodeWordAsField, r.pos(fd), fmt.Sprintf("field %q is firefly.v1.Raw, which only stands as a whole request or response; use bytes", fd.Name()))
		case noReplyName:
			r.fault(CodeWordAsField, r.pos(fd), fmt.Sprintf("field %q is firefly.v1.NoReply, which only stands as a response", fd.Name()))
		}
	}
	if fd.ParentFile().Syntax() != protoreflect.Editions {
		return
	}
	switch {
	case fd.Cardinality() == protoreflect.Required:
		r.fault(CodeFeature, r.pos(fd), fmt.Sprintf("field %q is LEGACY_REQUIRED, which no later version of it could take back; use (firefly.v1.rule).required", fd.Name()))
	case !fd.HasPresence() && !fd.IsList() && !fd.IsMap():
		r.fault(CodeFeature, r.pos(fd), fmt.Sprintf("field %q has IMPLICIT presence, for which there is no fast codec; leave field_presence as it is", fd.Name()))
	case fd.Kind() == protoreflect.GroupKind:
		r.fault(CodeFeature, r.pos(fd), fmt.Sprintf("field %q is DELIMITED, for which there is no fast codec; leave message_encoding as it is", fd.Name()))
	case fd.Enum() != nil && fd.Enum().IsClosed() && fd.Enum().ParentFile().Syntax() == protoreflect.Editions:
		r.fault(CodeFeature, r.pos(fd), fmt.Sprintf("field %q has the closed enum %s, for which there is no fast codec; leave enum_type as it is", fd.Name(), fd.Enum().FullName()), at(r.pos(fd.Enum()), "is the enum"))
	}
}
