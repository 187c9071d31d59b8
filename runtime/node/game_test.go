package node_test

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/node"
)

// envGame makes this test binary the game instead: real processes run the very code that is
// tested, with -race when the tests do.
const envGame = "FIREFLY_TEST_GAME"

func TestMain(m *testing.M) {
	switch os.Getenv(envGame) {
	case "":
	case "tables":
		mainOfTables()
	default:
		node.Main(testRoles()...)
	}
	os.Exit(m.Run())
}

// The commands of the test game; all are raw bytes.
const (
	cmdEcho  firefly.CommandID = 1  // at the gate
	cmdWhere firefly.CommandID = 10 // at a world: "NODE PID COUNT-OF-THIS-SESSION"
	cmdHall  firefly.CommandID = 11 // at a world, which calls hall: "PID"
	cmdTick  firefly.CommandID = 20 // at the clock
)

var callWho = firefly.CallSpec{Name: "test.Hall.Who", ID: 0x1234567, Role: "hall", Timeout: 3 * time.Second}

func schema() *firefly.Schema {
	raw := func(id firefly.CommandID, name, role string) firefly.Command {
		return firefly.Command{ID: id, Name: "test." + name, Role: role, Auth: firefly.AuthPublic, Rate: firefly.Rate{Count: -1},
			Timeout: 3 * time.Second, RawRequest: true, RawReply: true, Shape: uint64(id)}
	}
	return &firefly.Schema{
		Package: "test", Fingerprint: 77,
		Commands: []firefly.Command{
			raw(cmdEcho, "Probe.Echo", "gate"), raw(cmdWhere, "World.Where", "world"), raw(cmdHall, "World.Hall", "world"),
			raw(cmdTick, "Clock.Tick", "clock"),
		},
		Calls: []firefly.CallSpec{callWho},
	}
}

func testRoles() []node.Role {
	schemas := []*firefly.Schema{schema()}
	return []node.Role{
		{Name: "gate", Replicas: 1, Listens: &node.Listens{TCP: 7700}, Schemas: schemas, New: func(b *node.Builder) {
			node.RawCommand(b, cmdEcho, func(_ context.Context, _ firefly.Session, body []byte) ([]byte, error) { return body, nil })
		}},
		{Name: "world", Replicas: 2, Schemas: schemas, Uses: []string{"test.Hall"}, New: newWorld},
		{Name: "hall", Replicas: 1, Schemas: schemas, New: func(b *node.Builder) {
			node.ServeFunc(b, &callWho, nil, func(context.Context, any) (node.Body, error) {
				return node.Body{Raw: []byte(strconv.Itoa(os.Getpid()))}, nil
			})
		}},
		{Name: "clock", Routing: firefly.Single, Replicas: 1, Schemas: schemas, New: func(b *node.Builder) {
			name := b.Node().Name()
			node.RawCommand(b, cmdTick, func(context.Context, firefly.Session, []byte) ([]byte, error) {
				return []byte(name + " " + strconv.Itoa(os.Getpid())), nil
			})
		}},
	}
}

func newWorld(b *node.Builder) {
	seen := map[firefly.SessionID]int{}
	n, c := b.Node(), b.Caller()
	n.OnStart(func(ctx context.Context) error {
		firefly.Log(ctx).Info("the world begins")
		return nil
	})
	n.OnClose(func(_ context.Context, s firefly.Session, _ firefly.Reason) { delete(seen, s.ID()) })
	node.RawCommand(b, cmdWhere, func(_ context.Context, s firefly.Session, _ []byte) ([]byte, error) {
		seen[s.ID()]++
		return fmt.Appendf(nil, "%s %d %d", n.Name(), os.Getpid(), seen[s.ID()]), nil
	})
	node.RawCommand(b, cmdHall, func(ctx context.Context, _ firefly.Session, _ []byte) (reply []byte, err error) {
		err = node.CallFunc(ctx, c, &callWho, node.NoKey(), node.Body{}, func(body []byte) error {
			reply = append(reply, body...)
			return nil
		})
		return reply, err
	})
}

// testLaunch is the launch file of the test game.
const testLaunch = `{
  "game": "demo",
  "version": 1,
  "master": {"admin": "127.0.0.1:7790", "link": "127.0.0.1:7791"},
  "directory": "store",
  "nodes": [
    {"name": "gate-1", "roles": ["gate"], "listen": {"tcp": "127.0.0.1:7700"}},
    {"name": "world-1", "roles": ["world"]},
    {"name": "world-2", "roles": ["world"]},
    {"name": "hall-1", "roles": ["hall", "clock"]},
    {"name": "store", "roles": ["store"]}
  ]
}`
