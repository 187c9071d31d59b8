package gen

import (
	"bytes"
	"fmt"
	"strings"

	"google.golang.org/protobuf/cmd/protoc-gen-go/internal_gengo"
	"google.golang.org/protobuf/compiler/protogen"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/pluginpb"

	_ "github.com/planetscale/vtprotobuf/features/clone"
	_ "github.com/planetscale/vtprotobuf/features/marshal"
	_ "github.com/planetscale/vtprotobuf/features/size"
	_ "github.com/planetscale/vtprotobuf/features/unmarshal"
	vt "github.com/planetscale/vtprotobuf/generator"

	"github.com/firefly-go/firefly/idl"
)

// This file is the only one that names the generators of messages: protoc-gen-go's, whose
// package promises no stability (so the version of protobuf is pinned), and vtprotobuf's for
// the fast codecs. Both run in process on the descriptors of the System. They emit, per
// .proto file, arena.pb.go and arena_vtproto.pb.go:
//
//	type JoinRequest struct {
//		state protoimpl.MessageState `protogen:"open.v1"`
//		Room  string                 `protobuf:"bytes,1,opt,name=room,proto3" json:"room,omitempty"`
//		...
//	}
//	func (m *JoinRequest) MarshalVT() (dAtA []byte, err error)
//	func (m *JoinRequest) UnmarshalVT(dAtA []byte) error
//	func (m *JoinRequest) SizeVT() (n int)
//	func (m *JoinRequest) CloneVT() *JoinRequest

var codecs = []string{"marshal", "unmarshal", "size", "clone"}

// newPlugin makes the input of both generators: files are those to be generated.
func newPlugin(files []*idl.File) (*protogen.Plugin, error) {
	req := &pluginpb.CodeGeneratorRequest{}
	done := map[string]bool{}
	var add func(fd protoreflect.FileDescriptor) error
	add = func(fd protoreflect.FileDescriptor) error {
		if done[fd.Path()] {
			return nil
		}
		done[fd.Path()] = true
		imports := fd.Imports()
		for i := range imports.Len() {
			if err := add(imports.Get(i).FileDescriptor); err != nil {
				return err
			}
		}
		// Once through bytes, so that options are of the generated types and not dynamic.
		b, err := proto.MarshalOptions{Deterministic: true}.Marshal(protodesc.ToFileDescriptorProto(fd))
		if err != nil {
			return err
		}
		p := &descriptorpb.FileDescriptorProto{}
		if err := proto.Unmarshal(b, p); err != nil {
			return err
		}
		req.ProtoFile = append(req.ProtoFile, p)
		return nil
	}
	for _, f := range files {
		if err := add(f.Desc); err != nil {
			return nil, fmt.Errorf("%s: %w", f.Path, err)
		}
		if f.Generate {
			req.FileToGenerate = append(req.FileToGenerate, f.Path)
		}
	}
	p, err := protogen.Options{}.New(req)
	if err != nil {
		return nil, err
	}
	p.SupportedFeatures = internal_gengo.SupportedFeatures
	p.SupportedEditionsMinimum = internal_gengo.SupportedEditionsMinimum
	p.SupportedEditionsMaximum = internal_gengo.SupportedEditionsMaximum
	return p, nil
}

// messageJobs are one job per generator. They are most of the time of a run.
func (g *generator) messageJobs() []func() ([]File, error) {
	codecsJob := func() ([]File, error) {
		p, err := newPlugin(g.sys.Files)
		if err != nil {
			return nil, err
		}
		v, err := vt.NewGenerator(p, codecs, &vt.Config{Poolable: vt.NewObjectSet(), PoolableExclude: vt.NewObjectSet()})
		if err != nil {
			return nil, err
		}
		v.Generate()
		return g.pluginFiles(p)
	}
	messagesJob := func() ([]File, error) {
		p := g.names.plugin // read by the other emitters meanwhile, and only written to by this job
		for _, f := range p.Files {
			if f.Generate {
				internal_gengo.GenerateFile(p, f)
			}
		}
		return g.pluginFiles(p)
	}
	return []func() ([]File, error){codecsJob, messagesJob}
}

// pluginFiles are the files that a plugin wrote, at their places in the module.
func (g *generator) pluginFiles(p *protogen.Plugin) ([]File, error) {
	resp := p.Response()
	if resp.Error != nil {
		return nil, fmt.Errorf("%s", resp.GetError())
	}
	var files []File
	for _, f := range resp.File {
		name, ok := strings.CutPrefix(f.GetName(), g.o.Module+"/")
		if !ok {
			return nil, fmt.Errorf("%s is not below the module %q", f.GetName(), g.o.Module)
		}
		files = append(files, File{Path: name, Data: dropVersions([]byte(f.GetContent()))})
	}
	return files, nil
}

// dropVersions removes the lines of a header that name the versions of the generators: they
// depend on how ffgen was built, and the same input must give the same bytes.
func dropVersions(b []byte) []byte {
	var out bytes.Buffer
	head := true
	for line := range bytes.Lines(b) {
		if head {
			switch s := string(bytes.TrimSpace(line)); {
			case strings.HasPrefix(s, "package "):
				head = false
			case s == "// versions:", strings.HasPrefix(s, "// \tprotoc"), strings.HasPrefix(s, "// protoc-gen-go-vtproto version:"):
				continue
			}
		}
		out.Write(line)
	}
	return out.Bytes()
}
