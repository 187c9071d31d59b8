package e2e

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"example.com/arena/arenapb"
	"example.com/arena/arenapb/arenaclient"

	"github.com/firefly-go/firefly"
	client "github.com/firefly-go/firefly/clients/go"
	"github.com/firefly-go/firefly/runtime/table/tabletest/servers"
)

// login logs a player in at a gate, again and again while the game cannot.
func (a *arena) login(gate int, name string) *arenaclient.Client {
	a.t.Helper()
	var c *arenaclient.Client
	var err error
	a.await(fmt.Sprintf("%s logs in", name), time.Minute, func() bool {
		if c, err = a.tryLogin(gate, name); err != nil && firefly.CodeOf(err) != firefly.Unavailable {
			a.t.Fatalf("%s: %v", name, err)
		}
		return err == nil
	})
	return c
}

func (a *arena) tryLogin(gate int, name string) (*arenaclient.Client, error) {
	ctx, cancel := context.WithTimeout(a.t.Context(), 30*time.Second)
	defer cancel()
	c, err := arenaclient.Dial(ctx, "127.0.0.1:"+strconv.Itoa(a.base+gate), nil)
	if err != nil {
		return nil, err
	}
	if _, err := c.Login.Login(ctx, &arenapb.LoginRequest{Name: name}); err != nil {
		c.Close()
		return nil, err
	}
	a.t.Cleanup(func() { c.Close() })
	return c, nil
}

// replaced waits until a client was told that its player logged in elsewhere.
func (a *arena) replaced(what string, c *arenaclient.Client) {
	a.t.Helper()
	a.await(what, 30*time.Second, func() bool { return c.Err() != nil })
	if closed := (*client.Closed)(nil); !errors.As(c.Err(), &closed) || closed.Reason != firefly.Replaced {
		a.t.Errorf("%s: it ended with %v", what, c.Err())
	}
}

// The session directory in Redis: a player is logged in once over two gates; the store has no part in it; and
// when Redis is killed who is in plays on, and is known again when it is back.
func TestDirectoryInRedis(t *testing.T) {
	redis := servers.NewRedis(t, "everysec")
	file, _ := cached(t, redis, func(l *firefly.Topology) {
		for _, n := range l.Nodes {
			if n.Listen != nil {
				l.Nodes = append(l.Nodes, firefly.NodeConfig{Name: "gate-2", Roles: n.Roles, Listen: &firefly.ListenConfig{TCP: "127.0.0.1:7710"}})
				break
			}
		}
	})
	a := prepare(t)
	if out, err := a.command("migrate", "up", "--launch", file).CombinedOutput(); err != nil {
		t.Fatalf("migrate up: %v\n%s", err, out)
	}
	a.run("--launch", file)
	const one, two = 0, 10 // the gates

	first := a.login(one, "ann")
	second := a.login(two, "ann")
	a.replaced("the first of two logins ends", first)

	// A store that cannot answer, and one that is gone.
	before, err := a.status()
	if err != nil {
		t.Fatal(err)
	}
	store := before["store"].PID
	_ = syscall.Kill(store, syscall.SIGSTOP)
	third := a.login(one, "ann")
	a.replaced("a login while the store stands still ends the former", second)
	_ = syscall.Kill(store, syscall.SIGKILL)
	ann, err := a.tryLogin(two, "ann")
	if err != nil {
		t.Fatalf("without a store: %v", err)
	}
	a.replaced("a login without a store ends the former", third)
	a.await("the store is back", 30*time.Second, func() bool {
		st, err := a.status()
		return err == nil && st["store"].State == "ready" && st["store"].PID != store
	})

	// A gate that is gone keeps nobody out.
	bob := a.login(one, "bob")
	_ = syscall.Kill(before["gate-1"].PID, syscall.SIGKILL)
	a.await("bob's connection ends", 30*time.Second, func() bool { return bob.Err() != nil })
	bob = a.login(two, "bob")

	// Ann and bob are in a room, and Redis is killed.
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var heard atomic.Int64
	bob.OnSaid(func(s *arenapb.Said) {
		if strings.HasPrefix(s.Text, "still here") {
			heard.Add(1)
		}
	})
	for _, c := range []*arenaclient.Client{ann, bob} {
		if _, err := c.Arena.Join(ctx, &arenapb.JoinRequest{Room: "den"}); err != nil {
			t.Fatal(err)
		}
	}
	redis.Kill()
	if c, err := a.tryLogin(two, "ann"); firefly.CodeOf(err) != firefly.Unavailable {
		t.Errorf("a login without Redis: %v, %v", c, err)
	}
	before, err = a.status()
	if err != nil {
		t.Fatal(err)
	}
	says := func(what string) {
		t.Helper()
		last := heard.Load()
		a.await(what, 30*time.Second, func() bool {
			_ = ann.Chat.Say(&arenapb.SayRequest{Text: "still here"})
			return heard.Load() > last
		})
	}
	says("ann is heard without Redis")
	if err := redis.Start(); err != nil {
		t.Fatal(err)
	}
	says("ann is heard again")
	if ann.Err() != nil || bob.Err() != nil {
		t.Errorf("who was in has ended: %v, %v", ann.Err(), bob.Err())
	}
	// The directory knows where ann is, or is told in time: there are never two of her.
	a.await("gate-1 is back", 30*time.Second, func() bool {
		st, err := a.status()
		return err == nil && st["gate-1"].State == "ready"
	})
	again := a.login(one, "ann")
	a.replaced("a login after the restart ends the one from before", ann)
	a.await("she stays in", 30*time.Second, func() bool {
		_, err := again.Arena.Join(ctx, &arenapb.JoinRequest{Room: "den"})
		return err == nil
	})
	after, err := a.status()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"gate-2", "login-1", "world-1", "world-2", "chat-1"} {
		if after[name].PID != before[name].PID {
			t.Errorf("%s was restarted", name)
		}
	}
}
