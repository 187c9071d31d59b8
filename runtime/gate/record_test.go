package gate

import (
	"net"
	"net/netip"
	"reflect"
	"testing"

	"github.com/firefly-go/firefly"
)

func tcpAddr(s string) net.Addr { return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(s)) }

func sampleRecord() SessionRecord {
	return SessionRecord{
		ID: firefly.SessionID{Gate: 1 << 60, Seq: 7}, Player: -3, Epoch: 1 << 50, JSON: true, Address: "192.0.2.1:4711",
		Version: "1.2.3", Token: []byte{1, 2, 3}, Resumes: true, Sent: 9, Acked: 8, Refused: []uint32{101, 2001},
		Groups:  []firefly.Group{"room/7", ""},
		Pins:    []Pin{{"world", "world-1", 5}},
		Touched: []Pin{{"world", "world-1", 5}, {"chat", "chat-1", 6}},
		Lost:    []string{"login"}, Buckets: []Bucket{{103, -5}, {104, 1 << 40}}, Listener: -77,
	}
}

func TestRecord(t *testing.T) {
	for _, want := range []SessionRecord{{}, {Classic: true}, sampleRecord()} {
		b := want.AppendTo(nil)
		got, err := ParseSessionRecord(b)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%+v, %v; want %+v", got, err, want)
		}
		for n := range b {
			if _, err := ParseSessionRecord(b[:n]); err == nil {
				t.Errorf("cut at %d of %d: no error", n, len(b))
			}
		}
		b[0]++
		if _, err := ParseSessionRecord(b); err == nil {
			t.Error("a newer version is read")
		}
	}
}

func FuzzSessionRecord(f *testing.F) {
	f.Add([]byte{})
	empty, full := SessionRecord{}, sampleRecord()
	f.Add(empty.AppendTo(nil))
	f.Add(full.AppendTo(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := ParseSessionRecord(b)
		if err != nil {
			return
		}
		again, err := ParseSessionRecord(r.AppendTo(nil))
		if err != nil || !reflect.DeepEqual(r, again) {
			t.Fatalf("%+v became %+v, %v", r, again, err)
		}
	})
}
