package redisdir

import (
	"context"
	_ "embed"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/directory"
	"github.com/firefly-go/firefly/runtime/redisconn"
)

//go:embed directory.lua
var script string

// Options are the settings of a Directory. URL is needed; everything else works when it is zero.
type Options struct {
	// URL is where Redis is: redis://user:password@host:6379/0, rediss:// with TLS; with Cluster a first node,
	// and others as ?addr=host:port.
	URL     string
	Cluster bool
	// Sentinels, Master and SentinelPassword are those of redisconn.Options.
	Sentinels        []string
	Master           string
	SentinelPassword string
	// Namespace begins every key, so that several games can share a server; "ff" when empty.
	Namespace string
	// KeepsAll says that the server never forgets what it has acknowledged: appendfsync is always, and no
	// replica ever takes its place. Then a restart of it ends nothing.
	KeepsAll bool
	Log      *slog.Logger
	// Now is the clock; nil for that of the server, which all processes share.
	Now func() time.Time
}

// remember is for how long what has ended still refuses what is older.
const remember = time.Hour

// Directory is a directory.Directory in Redis. An error that is none of the package directory's is a
// *firefly.Error.
type Directory struct {
	o    Options
	conn *redisconn.Conn
	keys []string
}

var _ directory.Directory = (*Directory)(nil)

// Open makes a Directory; it connects with its first question.
func Open(o Options) (*Directory, error) {
	if o.Namespace == "" {
		o.Namespace = "ff"
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	// A claim that was made twice is a claim; so no operation minds being repeated.
	conn, err := redisconn.Open(redisconn.Options{URL: o.URL, Cluster: o.Cluster,
		Sentinels: o.Sentinels, Master: o.Master, SentinelPassword: o.SentinelPassword, KeepsAll: o.KeepsAll},
		[]redisconn.Script{{Name: "directory", Text: script}})
	if err != nil {
		return nil, firefly.InvalidArgument.Errorf("%w", err)
	}
	d := &Directory{o: o, conn: conn}
	for _, k := range []string{"players", "gates", "dead", "names", "state", "times"} {
		d.keys = append(d.keys, o.Namespace+":{directory}:"+k)
	}
	return d, nil
}

// Start checks that Redis can be asked and throws nothing away: FailedPrecondition says what to change there,
// Unavailable that it does not answer.
func (d *Directory) Start(ctx context.Context) error {
	return d.conn.Check(ctx, &redisconn.Needs{
		Who: "session directories", Evicted: "who is where",
		Stopped: "two processes may play a SINGLE role for up to " + directory.TTL.String(), Log: d.o.Log,
	})
}

// Close closes all connections.
func (d *Directory) Close() error { return d.conn.Close() }

// ask runs an operation and gives what is behind the OK.
func (d *Directory) ask(ctx context.Context, what string, with ...any) ([]any, error) {
	now := ""
	if d.o.Now != nil {
		now = strconv.FormatInt(d.o.Now().UnixMicro(), 10)
	}
	args := append(make([]any, 0, 4+len(with)), now, directory.TTL.Microseconds(), remember.Microseconds(), what)
	v, err := d.conn.Run(ctx, 0, d.keys, append(args, with...))
	if err != nil {
		return nil, err
	}
	a, _ := v.([]any)
	if len(a) > 0 {
		switch a[0] {
		case "OK":
			return a[1:], nil
		case "DEAD":
			return nil, directory.ErrDead
		case "SUPERSEDED":
			return nil, directory.ErrSuperseded
		case "HELD":
			return a[1:], directory.ErrHeld
		}
	}
	return nil, malformed(what, v)
}

func malformed(what string, v any) error {
	return firefly.Internal.Errorf("Redis answered %v to %s", v, what)
}

// numbers reads the texts of an answer.
func numbers(a []any, n int) ([]uint64, bool) {
	if len(a) < n {
		return nil, false
	}
	out := make([]uint64, len(a))
	for i := range a {
		s, _ := a[i].(string)
		var err error
		if out[i], err = strconv.ParseUint(s, 10, 64); err != nil {
			return nil, false
		}
	}
	return out, true
}

func text[T ~uint64 | ~uint32 | ~int64](v T) string { return fmt.Sprint(uint64(v)) }

func playerText(p firefly.PlayerID) string { return strconv.FormatInt(int64(p), 10) }

// Claim implements directory.Directory.
func (d *Directory) Claim(ctx context.Context, player firefly.PlayerID, session firefly.SessionID) (uint64, []directory.Entry, error) {
	a, err := d.ask(ctx, "claim", playerText(player), text(session.Gate), text(session.Seq))
	if err != nil {
		return 0, nil, err
	}
	n, ok := numbers(a, 1)
	if !ok || len(n)%3 != 1 {
		return 0, nil, malformed("claim", a)
	}
	var previous []directory.Entry
	for i := 1; i < len(n); i += 3 {
		previous = append(previous, entry(player, n[i:]))
	}
	return n[0], previous, nil
}

// entry reads gate, seq and epoch.
func entry(player firefly.PlayerID, n []uint64) directory.Entry {
	return directory.Entry{Player: player, Epoch: n[2],
		Session: firefly.SessionID{Gate: firefly.Incarnation(n[0]), Seq: uint32(n[1])}}
}

// Release implements directory.Directory.
func (d *Directory) Release(ctx context.Context, player firefly.PlayerID, session firefly.SessionID, epoch uint64) error {
	_, err := d.ask(ctx, "release", playerText(player), text(session.Gate), text(session.Seq), text(epoch))
	return err
}

// Lookup implements directory.Directory.
func (d *Directory) Lookup(ctx context.Context, player firefly.PlayerID) (directory.Entry, bool, error) {
	a, err := d.ask(ctx, "lookup", playerText(player))
	if err != nil || len(a) == 0 {
		return directory.Entry{}, false, err
	}
	n, ok := numbers(a, 3)
	if !ok {
		return directory.Entry{}, false, malformed("lookup", a)
	}
	return entry(player, n), true, nil
}

// Renew implements directory.Directory.
func (d *Directory) Renew(ctx context.Context, gate firefly.Incarnation) (time.Duration, bool, error) {
	a, err := d.ask(ctx, "renew", text(gate))
	if err != nil {
		return 0, false, err
	}
	if len(a) != 1 {
		return 0, false, malformed("renew", a)
	}
	return directory.TTL, a[0] == int64(1), nil
}

// Reclaim implements directory.Directory.
func (d *Directory) Reclaim(ctx context.Context, player firefly.PlayerID, session firefly.SessionID, epoch uint64) error {
	_, err := d.ask(ctx, "reclaim", playerText(player), text(session.Gate), text(session.Seq), text(epoch))
	return err
}

// Left implements directory.Directory.
func (d *Directory) Left(ctx context.Context, gate firefly.Incarnation) (time.Duration, error) {
	a, err := d.ask(ctx, "left", text(gate))
	if err != nil {
		return 0, err
	}
	return micros("left", a)
}

// micros reads a time.
func micros(what string, a []any) (time.Duration, error) {
	n, ok := numbers(a, 1)
	if !ok || n[0] > uint64(time.Hour.Microseconds()) {
		return 0, malformed(what, a)
	}
	return time.Duration(n[0]) * time.Microsecond, nil
}

// Forget implements directory.Directory.
func (d *Directory) Forget(ctx context.Context, dead firefly.Incarnation) error {
	_, err := d.ask(ctx, "forget", text(dead))
	return err
}

// Hold implements directory.Directory.
func (d *Directory) Hold(ctx context.Context, name string, owner firefly.Incarnation) (uint64, time.Duration, error) {
	a, err := d.ask(ctx, "hold", name, text(owner))
	if err == directory.ErrHeld {
		left, merr := micros("hold", a)
		if merr != nil {
			return 0, 0, merr
		}
		return 0, left, err
	}
	if err != nil {
		return 0, 0, err
	}
	n, ok := numbers(a, 1)
	if !ok {
		return 0, 0, malformed("hold", a)
	}
	return n[0], directory.TTL, nil
}

// Drop implements directory.Directory.
func (d *Directory) Drop(ctx context.Context, name string, owner firefly.Incarnation) error {
	_, err := d.ask(ctx, "drop", name, text(owner))
	return err
}
