package idl_test

import (
	"context"
	"fmt"
	"testing/fstest"

	"github.com/firefly-go/firefly/idl"
)

const hello = `syntax = "proto3";
package hello.v1;
import "firefly/v1/options.proto";
option go_package = "example.com/hello/hellopb";

option (firefly.v1.role) = { name: "game" serves: "Hello" listens: { tcp: 7700 } };

service Hello {
  // Wave greets everybody who is here.
  rpc Wave(WaveRequest) returns (WaveReply) { option (firefly.v1.command) = { id: 101 auth: PUBLIC }; }
}
message WaveRequest { string name = 1; }
message WaveReply { int32 seen_by = 1; }
message Waved {
  option (firefly.v1.push) = { id: 101 };
  string name = 1;
}
`

// A game is a folder of .proto files. All that is wrong with it comes at once, each fault with
// its place and a code that stays.
func ExampleLoad() {
	game := fstest.MapFS{"hello/v1/hello.proto": &fstest.MapFile{Data: []byte(hello)}}
	_, err := idl.Load(context.Background(), idl.Options{FS: game})
	if faults, ok := err.(idl.Diags); ok {
		for _, d := range faults {
			fmt.Println(d.Code)
			fmt.Println(d)
		}
	}
	// Output:
	// id-taken
	// hello/v1/hello.proto:15:32: id 101 is already used by hello.v1.Hello.Wave (hello/v1/hello.proto:10:79 has it first)
}
