package idl_test

import (
	"context"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/firefly-go/firefly/idl"
)

// large is a game of 500 commands, 200 messages beside their requests and replies, and 100
// pushes, over several files.
func large() fs.FS {
	const head = "syntax = \"proto3\";\npackage big.v1;\nimport \"firefly/v1/options.proto\";\noption go_package = \"example.com/big/bigpb\";\n\n"
	m := fstest.MapFS{}
	var roles strings.Builder
	roles.WriteString(head + "option (firefly.v1.role) = {\n  name: \"game\"\n  listens: { tcp: 7700 }\n")
	for s := range 10 {
		fmt.Fprintf(&roles, "  serves: \"S%d\"\n", s)
		var b strings.Builder
		b.WriteString(head)
		fmt.Fprintf(&b, "// S%d is one of ten.\nservice S%d {\n", s, s)
		for c := range 50 {
			fmt.Fprintf(&b, "  // C%d_%d does something.\n  rpc C%d_%d(Q%d_%d) returns (P%d_%d) { option (firefly.v1.command) = { id: %d rate: \"5/s\" key: \"room\" }; }\n",
				s, c, s, c, s, c, s, c, 1000+s*50+c)
		}
		b.WriteString("}\n")
		for c := range 50 {
			fmt.Fprintf(&b, "message Q%d_%d { string room = 1 [(firefly.v1.rule) = { required: true max_len: 32 }]; int64 a = 2; repeated int32 b = 3; }\nmessage P%d_%d { int64 a = 1; string b = 2; }\n", s, c, s, c)
		}
		for p := range 10 {
			fmt.Fprintf(&b, "message E%d_%d {\n  option (firefly.v1.push) = { id: %d slow: COALESCE key: \"id\" };\n  int64 id = 1;\n  float x = 2;\n}\n", s, p, 5000+s*10+p)
		}
		for p := range 20 {
			fmt.Fprintf(&b, "// D%d_%d is data.\nmessage D%d_%d {\n  int64 id = 1;\n  map<string, int64> counts = 2;\n  repeated P%d_%d ps = 3;\n}\n", s, p, s, p, s, p)
		}
		m[fmt.Sprintf("big/v1/s%d.proto", s)] = &fstest.MapFile{Data: []byte(b.String())}
	}
	roles.WriteString("};\n")
	m["big/v1/roles.proto"] = &fstest.MapFile{Data: []byte(roles.String())}
	return m
}

func BenchmarkLoad(b *testing.B) {
	game := large()
	for b.Loop() {
		if _, err := idl.Load(context.Background(), idl.Options{FS: game}); err != nil {
			b.Fatal(err)
		}
	}
}

func TestLarge(t *testing.T) {
	sys, err := idl.Load(context.Background(), idl.Options{FS: large()})
	if err != nil {
		t.Fatal(err)
	}
	commands, pushes := 0, 0
	for _, p := range sys.Packages {
		for _, s := range p.Services {
			commands += len(s.Commands())
		}
		pushes += len(p.Pushes)
	}
	if commands != 500 || pushes != 100 || len(sys.Roles) != 1 {
		t.Fatalf("%d commands, %d pushes, %d roles", commands, pushes, len(sys.Roles))
	}
}
