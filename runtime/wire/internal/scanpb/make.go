//go:build ignore

// Make writes the Go of scan.proto, without protoc.
package main

import (
	"context"
	"log"
	"os"
	"path/filepath"

	"github.com/bufbuild/protocompile"
	"github.com/bufbuild/protocompile/protoutil"
	_ "github.com/planetscale/vtprotobuf/features/marshal"
	_ "github.com/planetscale/vtprotobuf/features/size"
	_ "github.com/planetscale/vtprotobuf/features/unmarshal"
	vt "github.com/planetscale/vtprotobuf/generator"
	gengo "google.golang.org/protobuf/cmd/protoc-gen-go/internal_gengo"
	"google.golang.org/protobuf/compiler/protogen"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/pluginpb"
)

func main() {
	c := protocompile.Compiler{Resolver: &protocompile.SourceResolver{}, SourceInfoMode: protocompile.SourceInfoStandard}
	files, err := c.Compile(context.Background(), "scan.proto")
	check(err)
	b, err := proto.Marshal(&pluginpb.CodeGeneratorRequest{
		FileToGenerate: []string{"scan.proto"},
		ProtoFile:      []*descriptorpb.FileDescriptorProto{protoutil.ProtoFromFileDescriptor(files[0])},
	})
	check(err)
	req := &pluginpb.CodeGeneratorRequest{} // as it comes from protoc: through its bytes
	check(proto.Unmarshal(b, req))
	p, err := protogen.Options{}.New(req)
	check(err)
	p.SupportedFeatures = gengo.SupportedFeatures
	p.SupportedEditionsMinimum, p.SupportedEditionsMaximum = descriptorpb.Edition_EDITION_PROTO2, descriptorpb.Edition_EDITION_2023
	for _, f := range p.Files {
		if f.Generate {
			gengo.GenerateFile(p, f)
		}
	}
	g, err := vt.NewGenerator(p, []string{"marshal", "unmarshal", "size"}, &vt.Config{})
	check(err)
	g.Generate()
	res := p.Response()
	if res.Error != nil {
		log.Fatal(res.GetError())
	}
	for _, f := range res.File {
		check(os.WriteFile(filepath.Base(f.GetName()), []byte(f.GetContent()), 0o644))
	}
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
