package router

import (
	"bytes"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"github.com/firefly-go/firefly"
)

var (
	oneSession = firefly.SessionID{Gate: math.MaxUint64, Seq: math.MaxUint32}
	onePlayer  = firefly.PlayerID(math.MinInt64)
)

// codec is one kind of message, for tables.
type codec struct {
	name  string
	value interface{ Append([]byte) []byte }
	parse func([]byte) (any, error)
}

func parser[T any](f func([]byte) (T, error)) func([]byte) (any, error) {
	return func(b []byte) (any, error) { return f(b) }
}

func codecs() []codec {
	return []codec{
		{"Bind", Bind{oneSession, onePlayer}, parser(ParseBind)},
		{"BindReply", BindReply{math.MaxUint64}, parser(ParseBindReply)},
		{"Close", Close{oneSession, firefly.Replaced}, parser(ParseClose)},
		{"Membership", Membership{oneSession, "room/1"}, parser(ParseMembership)},
		{"Pin", Pin{7, "world"}, parser(ParsePin)},
		{"PinReply", PinReply{"world-1", 99}, parser(ParsePinReply)},
		{"Bound", Bound{oneSession, onePlayer, 3}, parser(ParseBound)},
		{"Ref", Ref{oneSession}, parser(ParseRef)},
		{"Kick", Kick{onePlayer, oneSession, 8}, parser(ParseKick)},
	}
}

func TestControlMessages(t *testing.T) {
	for _, c := range codecs() {
		t.Run(c.name, func(t *testing.T) {
			b := c.value.Append(nil)
			got, err := c.parse(append(slices.Clone(b), 1, 2, 3))
			if err != nil || !reflect.DeepEqual(got, c.value) {
				t.Fatalf("got %+v, %v; want %+v", got, err, c.value)
			}
			for i := range b {
				if _, err := c.parse(b[:i]); err != ErrMessage {
					t.Fatalf("%d of %d bytes: error %v", i, len(b), err)
				}
			}
		})
	}
}

func TestPushEnvelope(t *testing.T) {
	sessions := []firefly.SessionID{oneSession, {Gate: 1, Seq: 2}}
	players := []firefly.PlayerID{onePlayer, -1, 0, 1, math.MaxInt64}
	for _, to := range []To{ToSessions, ToPlayers, ToGroup, ToEveryone} {
		b := AppendPush(nil, 2001, firefly.SlowCoalesce, 77, to, sessions, players, "g", players[:2])
		b = append(b, "body"...)
		p, err := ParsePush(b)
		if err != nil {
			t.Fatal(err)
		}
		if p.ID != 2001 || p.Policy != firefly.SlowCoalesce || p.Key != 77 || p.To != to || string(p.Body) != "body" {
			t.Errorf("%d: got %+v", to, p)
		}
		if got := slices.Collect(p.ExceptPlayers()); !slices.Equal(got, players[:2]) || p.Excepts() != 2 || !p.Except(-1) || p.Except(1) {
			t.Errorf("%d: except is %v", to, got)
		}
		if got := slices.Collect(p.Sessions()); (to == ToSessions) != slices.Equal(got, sessions) {
			t.Errorf("%d: sessions are %v", to, got)
		}
		if got := slices.Collect(p.Players()); (to == ToPlayers) != slices.Equal(got, players) {
			t.Errorf("%d: players are %v", to, got)
		}
		if (to == ToGroup) != (string(p.Group) == "g") {
			t.Errorf("%d: group is %q", to, p.Group)
		}
	}
	if _, err := ParsePush([]byte{1, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0}); err != ErrMessage {
		t.Errorf("an unknown kind of target: %v", err)
	}
}

func TestParsePushAllocates(t *testing.T) {
	b := AppendPush(nil, 1, 0, 0, ToPlayers, nil, make([]firefly.PlayerID, 100), "", []firefly.PlayerID{4})
	if n := testing.AllocsPerRun(100, func() {
		p, err := ParsePush(b)
		if err != nil {
			t.Fatal(err)
		}
		for id := range p.Players() {
			if p.Except(id) {
				t.Fatal("excepted")
			}
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzControl: no bytes crash a parser, and what parses is read again as the same.
func FuzzControl(f *testing.F) {
	for i, c := range codecs() {
		f.Add(uint8(i), c.value.Append(nil))
	}
	cs := codecs()
	f.Fuzz(func(t *testing.T, i uint8, b []byte) {
		c := cs[int(i)%len(cs)]
		v, err := c.parse(b)
		if err != nil {
			return
		}
		again, err := c.parse(v.(interface{ Append([]byte) []byte }).Append(nil))
		if err != nil || !reflect.DeepEqual(v, again) {
			t.Fatalf("%s: %+v became %+v, %v", c.name, v, again, err)
		}
	})
}

// FuzzPush: no bytes crash ParsePush, and what parses is read again as the same.
func FuzzPush(f *testing.F) {
	r := rand.New(rand.NewPCG(1, 2))
	for to := ToSessions; to <= ToEveryone; to++ {
		b := AppendPush(nil, firefly.PushID(r.Uint32()), 1, r.Uint64(), to,
			[]firefly.SessionID{oneSession}, []firefly.PlayerID{onePlayer}, "group", []firefly.PlayerID{3})
		f.Add(append(b, "body"...))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := ParsePush(b)
		if err != nil {
			return
		}
		again := AppendPush(nil, p.ID, p.Policy, p.Key, p.To, slices.Collect(p.Sessions()),
			slices.Collect(p.Players()), firefly.Group(p.Group), slices.Collect(p.ExceptPlayers()))
		q, err := ParsePush(append(again, p.Body...))
		if err != nil {
			t.Fatal(err)
		}
		q.list, q.except, p.list, p.except = nil, nil, nil, nil // varints may have been longer
		if !bytes.Equal(p.Body, q.Body) || !bytes.Equal(p.Group, q.Group) {
			t.Fatalf("%+v became %+v", p, q)
		}
		p.Body, q.Body, p.Group, q.Group = nil, nil, nil, nil
		if !reflect.DeepEqual(p, q) {
			t.Fatalf("%+v became %+v", p, q)
		}
	})
}
