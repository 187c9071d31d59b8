package gate

import (
	"context"
	"encoding/json"
	"math"
	"strings"
	"testing"

	"github.com/bufbuild/protocompile"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/firefly-go/firefly"
)

const jsonProto = `syntax = "proto3";
package t.v1;
import "google/protobuf/timestamp.proto";
message All {
  bool b = 1; int32 i32 = 2; int64 i64 = 3; uint32 u32 = 4; uint64 u64 = 5; sint32 s32 = 6; sint64 s64 = 7;
  fixed32 f32 = 8; fixed64 f64 = 9; sfixed32 sf32 = 10; sfixed64 sf64 = 11; float f = 12; double d = 13;
  string s = 14; bytes by = 15; Color color = 16; All sub = 17; repeated int64 list = 18; repeated All subs = 19;
  map<string, int64> m = 20; map<int32, All> mm = 21; optional int64 opt = 22;
  oneof choice { string a = 23; int64 c = 24; }
  string character_id = 25 [json_name = "pname"];
  google.protobuf.Timestamp at = 26;
}
enum Color { RED = 0; GREEN = 1; }
message Say { string text = 1; int64 n = 2; }
`

// vt is a dynamic message with the methods of generated ones.
type vt struct{ *dynamicpb.Message }

func (v vt) SizeVT() int { return proto.Size(v.Message) }

func (v vt) MarshalToSizedBufferVT(b []byte) (int, error) {
	out, err := proto.Marshal(v.Message)
	return copy(b[len(b)-len(out):], out), err
}

func (v vt) UnmarshalVT(b []byte) error { return proto.Unmarshal(b, v.Message) }

func jsonMessages(t *testing.T) func(name protoreflect.Name) func() firefly.Message {
	t.Helper()
	c := protocompile.Compiler{Resolver: protocompile.WithStandardImports(&protocompile.SourceResolver{
		Accessor: protocompile.SourceAccessorFromMap(map[string]string{"t.proto": jsonProto}),
	})}
	files, err := c.Compile(context.Background(), "t.proto")
	if err != nil {
		t.Fatal(err)
	}
	return func(name protoreflect.Name) func() firefly.Message {
		md := files[0].Messages().ByName(name)
		return func() firefly.Message { return vt{dynamicpb.NewMessage(md)} }
	}
}

func TestJSON(t *testing.T) {
	all := jsonMessages(t)("All")
	for _, c := range []struct{ name, in, want string }{
		{"empty", ``, `{"b":false,"i32":0,"i64":0,"u32":0,"u64":0,"s32":0,"s64":0,"f32":0,"f64":0,"sf32":0,"sf64":0,"f":0,"d":0,` +
			`"s":"","by":"","color":"RED","sub":null,"list":[],"subs":[],"m":{},"mm":{},"opt":null,"pname":"","at":null}`},
		{"numbers", `{"i64":9007199254740993,"u64":"18446744073709551615","s64":-5,"i32":-1,"f":1.5,"d":1e300,"color":"GREEN","opt":0,"c":7}`,
			`{"b":false,"i32":-1,"i64":9007199254740993,"u32":0,"u64":18446744073709551615,"s32":0,"s64":-5,"f32":0,"f64":0,"sf32":0,"sf64":0,"f":1.5,"d":1e+300,` +
				`"s":"","by":"","color":"GREEN","sub":null,"list":[],"subs":[],"m":{},"mm":{},"opt":0,"c":7,"pname":"","at":null}`},
		{"names and unknown fields", `{"character_id":"x","color":1,"nobody":{"knows":[1,2]},"list":[1,"2"],"by":"AQI=","s":"a\"b\\c\n\u00fc<"}`,
			`{"b":false,"i32":0,"i64":0,"u32":0,"u64":0,"s32":0,"s64":0,"f32":0,"f64":0,"sf32":0,"sf64":0,"f":0,"d":0,` +
				`"s":"a\"b\\c\nü<","by":"AQI=","color":"GREEN","sub":null,"list":[1,2],"subs":[],"m":{},"mm":{},"opt":null,"pname":"x","at":null}`},
		{"enum of tomorrow", `{"color":77,"at":"2013-01-02T03:04:05Z","m":{"k":-1}}`,
			`{"b":false,"i32":0,"i64":0,"u32":0,"u64":0,"s32":0,"s64":0,"f32":0,"f64":0,"sf32":0,"sf64":0,"f":0,"d":0,` +
				`"s":"","by":"","color":77,"sub":null,"list":[],"subs":[],"m":{"k":-1},"mm":{},"opt":null,"pname":"","at":"2013-01-02T03:04:05Z"}`},
	} {
		m := all()
		if err := unmarshalJSON([]byte(c.in), m); err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		got, err := appendJSON(nil, m)
		if err != nil || string(got) != c.want {
			t.Errorf("%s: %v\n got %s\nwant %s", c.name, err, got, c.want)
		}
		if !json.Valid(got) {
			t.Errorf("%s: not JSON: %s", c.name, got)
		}
		// What a client gets it may send back.
		back := all()
		if err := unmarshalJSON(got, back); err != nil {
			t.Errorf("%s: back: %v", c.name, err)
		} else if !proto.Equal(m, back) {
			t.Errorf("%s: came back as %v", c.name, back)
		}
	}
	m := all()
	m.ProtoReflect().Set(m.ProtoReflect().Descriptor().Fields().ByName("d"), protoreflect.ValueOfFloat64(math.Inf(-1)))
	if got, err := appendJSON(nil, m); err != nil || !strings.Contains(string(got), `"d":"-Infinity"`) {
		t.Errorf("infinity: %s, %v", got, err)
	}
	for _, bad := range []string{`{`, `[]`, `{"i32":"x"}`, `{"i32":99999999999}`, `nonsense`, "{\"s\":\"\xff\"}", strings.Repeat(`{"sub":`, 200) + `{}` + strings.Repeat(`}`, 200)} {
		if err := unmarshalJSON([]byte(bad), all()); err == nil {
			t.Errorf("%.40s: no error", bad)
		}
	}
}

func FuzzJSON(f *testing.F) {
	var all func() firefly.Message
	f.Add([]byte(`{"i64":1,"subs":[{},{"s":"x"}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if all == nil {
			all = jsonMessages(t)("All")
		}
		m := all()
		if unmarshalJSON(b, m) != nil {
			return
		}
		got, err := appendJSON(nil, m)
		if err != nil || !json.Valid(got) {
			t.Fatalf("%s, %v", got, err)
		}
	})
}
