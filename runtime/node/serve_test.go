package node

import (
	"errors"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/idl/fireflypb"
)

// role is a message as ffgen makes them: fireflypb.Role with the fast codec and rules.
type role struct{ *fireflypb.Role }

func (r *role) SizeVT() int                                  { return proto.Size(r.Role) }
func (r *role) MarshalToSizedBufferVT(b []byte) (int, error) { panic("not used") }
func (r *role) UnmarshalVT(b []byte) error {
	r.Role = new(fireflypb.Role)
	return proto.Unmarshal(b, r.Role)
}

func (r *role) CheckRules() error {
	if r.GetName() == "" {
		return firefly.InvalidArgument.Errorf("name is required")
	}
	return nil
}

// TestDecode: what is hostile or breaks a rule is INVALID_ARGUMENT and reaches no handler.
func TestDecode(t *testing.T) {
	decode := Decode[role]()
	good, err := proto.Marshal(&fireflypb.Role{Name: "world", Serves: []string{"Arena"}})
	if err != nil {
		t.Fatal(err)
	}
	v, err := decode(good)
	if err != nil || v.(*role).GetName() != "world" {
		t.Fatalf("%v %v", v, err)
	}
	// Of field 1 that is a group in a group in a group.
	deep := []byte(strings.Repeat("\xbb\x06", 200) + strings.Repeat("\xbc\x06", 200))
	for name, b := range map[string][]byte{
		"cut":       good[:len(good)-1],
		"utf-8":     []byte("\x0a\x02\xff\xfe"),
		"no varint": []byte("\x28\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"),
		"deep":      deep,
		"rule":      {},
	} {
		if v, err := decode(b); firefly.CodeOf(err) != firefly.InvalidArgument {
			t.Errorf("%s: %v %v", name, v, err)
		}
	}
}

// TestNilReply: a handler that gives neither a reply nor an error is a mistake, and not an
// empty reply.
func TestNilReply(t *testing.T) {
	if firefly.CodeOf(errNilReply) != firefly.Internal || errors.Unwrap(errNilReply) != nil {
		t.Error(errNilReply)
	}
}

func TestMergeListens(t *testing.T) {
	declared := firefly.Listens{MaxFrame: 1000, Rate: "5/s", Classic: &firefly.Classic{Magic: []int{1, 2, 3, 4, 5}, Version: 3, Body: "PROTOBUF"}}
	m := mergeListens(declared, &firefly.Listens{Rate: "none", Classic: &firefly.Classic{Body: "JSON"}})
	if m.MaxFrame != 1000 || m.Rate != "none" || m.Classic.Version != 3 || m.Classic.Body != "JSON" || len(m.Classic.Magic) != 5 {
		t.Errorf("%+v %+v", m, m.Classic)
	}
	if declared.Classic.Body != "PROTOBUF" {
		t.Error("the declaration was changed")
	}
	if m := mergeListens(firefly.Listens{}, &firefly.Listens{Classic: &firefly.Classic{}}); m.Classic == nil {
		t.Error("the launch file could not open the door to classic clients")
	}
}

func TestAdvertised(t *testing.T) {
	for link, want := range map[string]string{
		"127.0.0.1:0": "", "10.1.2.3:7800": "", "world-1:7791": "", "0.0.0.0:7800": "127.0.0.1:7800", ":7800": "127.0.0.1:7800",
	} {
		if got, err := advertised(link, "127.0.0.1:7791"); err != nil || got != want {
			t.Errorf("%s: %q %v", link, got, err)
		}
	}
	if _, err := advertised("0.0.0.0:0", "127.0.0.1:7791"); err == nil {
		t.Error("a port that nobody knows was advertised")
	}
}
