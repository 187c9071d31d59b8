package table_test

import (
	"math"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/table"
)

func TestTimestamps(t *testing.T) {
	for _, c := range []struct {
		seconds int64
		nanos   int32
		unit    time.Duration
		want    int64
	}{
		{0, 0, time.Microsecond, 0},
		{1, 999_999_999, time.Microsecond, 1_999_999},
		{-1, 1000, time.Microsecond, -999_999},
		{-1, 1000, time.Second, -1_000_000},
		{1, 999_999_999, time.Millisecond, 1_999_000},
		{86_399, 0, 24 * time.Hour, 0},
		{-1, 0, 24 * time.Hour, -86_400_000_000},
		{-62_135_596_800, 0, time.Microsecond, table.MinTimestamp},
		{253_402_300_799, 999_999_999, time.Microsecond, table.MaxTimestamp},
		{253_402_300_800, 0, time.Microsecond, math.MinInt64},
		{math.MaxInt64, 0, time.Microsecond, math.MinInt64},
		{0, -1, time.Microsecond, math.MinInt64},
	} {
		v := table.TimestampOf(&timestamppb.Timestamp{Seconds: c.seconds, Nanos: c.nanos}, c.unit)
		if v != table.IntOf(c.want) {
			t.Errorf("%d s %d ns in %v: %v, want %d", c.seconds, c.nanos, c.unit, v, c.want)
		}
		if c.want == math.MinInt64 {
			continue
		}
		if back := v.Timestamp(); !back.IsValid() || table.TimestampOf(back, c.unit) != v {
			t.Errorf("%d became %v", c.want, back)
		}
	}
	if !table.TimestampOf(nil, time.Second).IsNull() || (table.Value{}).Timestamp() != nil {
		t.Error("nothing is not nothing")
	}
}

func TestEncoder(t *testing.T) {
	var e table.Encoder
	if v := e.Message("a", (*wrapperspb.StringValue)(nil)); !v.IsNull() || e.Err() != nil {
		t.Error(v, e.Err())
	}
	v := e.Message("a", wrapperspb.String("x"))
	if v.Kind() != table.Bytes || e.Err() != nil {
		t.Error(v, e.Err())
	}
	e.Message("b", wrapperspb.String("\xff"))
	e.Message("c", wrapperspb.String("\xff"))
	if err := e.Err(); err == nil || err.Error()[:3] != "b: " {
		t.Error(err)
	}
}

func TestDecoder(t *testing.T) {
	spec := &table.Spec{Name: "player", Key: []int{0}, Columns: []table.Column{{Field: "id", Kind: table.Int}, {Field: "level", Kind: table.Int}, {Field: "wins", Kind: table.Uint}, {Field: "stats", Kind: table.Bytes}}}
	good := []table.Value{table.IntOf(7), table.IntOf(math.MinInt32), table.UintOf(math.MaxUint32), table.BytesOf([]byte{0x0a, 1, 'x'})}
	d := table.NewDecoder(spec)
	m := &wrapperspb.StringValue{}
	d.Message(good, 3, m)
	if d.Int32(good, 1) != math.MinInt32 || d.Uint32(good, 2) != math.MaxUint32 || !proto.Equal(m, wrapperspb.String("x")) || d.Err() != nil {
		t.Error(m, d.Err())
	}
	for want, read := range map[string]func(d *table.Decoder, v []table.Value){
		"INTERNAL: player 7: level is 2147483648, and the field has 32 bits": func(d *table.Decoder, v []table.Value) {
			v[1] = table.IntOf(math.MaxInt32 + 1)
			d.Int32(v, 1)
			d.Uint32(v, 2)
		},
		"INTERNAL: player 7: wins is 4294967296, and the field has 32 bits": func(d *table.Decoder, v []table.Value) {
			v[2] = table.UintOf(math.MaxUint32 + 1)
			d.Uint32(v, 2)
		},
	} {
		d, v := table.NewDecoder(spec), append([]table.Value(nil), good...)
		read(&d, v)
		if err := d.Err(); err == nil || err.Error() != want || firefly.CodeOf(err) != firefly.Internal {
			t.Errorf("%v, and not %s", err, want)
		}
	}
	bad := append([]table.Value(nil), good...)
	bad[3] = table.BytesOf([]byte{0x0a, 9})
	if d.Message(bad, 3, &wrapperspb.StringValue{}); d.Err() == nil {
		t.Error("a cut message decodes")
	}
}

func TestTypesOfMySQL(t *testing.T) {
	for s, want := range map[string]bool{
		"": true, "a": true, "c": true, "a,b": true, "a,c": true, "b,a": false, "a,a": false, "d": false, ",": false, "a,": false, "a, b": false,
	} {
		if table.InSet(s, "a", "b", "c") != want {
			t.Errorf("%q is in the set: %t", s, !want)
		}
	}
	for s, want := range map[string]bool{
		"00:00:00": true, "23:59:59": true, "838:59:59": true, "-838:59:59": true, "099:00:00": true,
		"839:00:00": false, "24:60:00": false, "24:00:60": false, "1:00:00": false, "00:00": false, "": false, "-": false, "00:00:00.5": false, "0a:00:00": false, "00:00:0a": false, "--1:00:00": false,
	} {
		if table.IsTime(s) != want {
			t.Errorf("%q is a time: %t", s, !want)
		}
	}
	if !table.InEnum("", "a", "") || table.InEnum("A", "a") {
		t.Error("the text of an ENUM is compared as it is")
	}
}
