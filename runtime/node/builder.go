package node

import (
	"context"
	"fmt"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/router"
	"github.com/firefly-go/firefly/runtime/table"
)

// Builder is what a role's constructor registers at and takes its dependencies from. It is
// used by one goroutine, and only until Role.New has returned; a registration later panics.
type Builder struct {
	host     *router.Host
	role     *Role
	launch   *Launch
	getenv   func(string) string
	commands map[firefly.CommandID]*firefly.Command
	around   []Interceptor
	tables   func() *table.DB
	state    any   // the role's state message, nil when it has none
	settled  bool  // Config was called
	err      error // what is wrong with the settings; the first one
}

func newBuilder(h *router.Host, r *Role, l *Launch, getenv func(string) string, around []Interceptor, tables func() *table.DB) *Builder {
	b := &Builder{host: h, role: r, launch: l, getenv: getenv, around: around, tables: tables, commands: map[firefly.CommandID]*firefly.Command{}}
	for _, s := range r.Schemas {
		for i := range s.Commands {
			b.commands[s.Commands[i].ID] = &s.Commands[i]
		}
	}
	return b
}

// run calls the constructor of the role. What it panics with is the error of it.
func (b *Builder) run() (err error) {
	defer func() {
		if v := recover(); v != nil && err == nil {
			err = fmt.Errorf("the constructor of role %s panicked: %v\n%s", b.role.Name, v, stack())
		}
	}()
	b.role.New(b)
	if b.err == nil && !b.settled && len(b.launch.Roles[b.role.Name].Config) > 0 {
		at := b.launch.at[ptrTo("roles", b.role.Name, "config")]
		return LaunchError{b.launch.fault(at.key, fmt.Sprintf("role %s declares no config", b.role.Name))}
	}
	return b.err
}

// Node is the role instance as its own code sees it.
func (b *Builder) Node() firefly.Node { return b.host.Node() }

// Tables are the tables of this node.
func (b *Builder) Tables() *table.DB { return b.tables() }

// Pusher sends the pushes of this role.
func (b *Builder) Pusher() Pusher { return b.host.Router() }

// Caller makes the calls of this role.
func (b *Builder) Caller() Caller { return b.host.Router() }

// SessionState gives the message that the role keeps for a session, empty at first. The
// function gives nil for a session that this role does not serve.
func SessionState[T any, P ptr[T]](b *Builder) func(firefly.Session) *T {
	b.host.SessionState(func() any { return new(T) })
	h := b.host
	return func(s firefly.Session) *T {
		own, ok := s.(*router.Session)
		if !ok || own.Host() != h {
			return nil
		}
		state, _ := own.State().(*T)
		return state
	}
}

// RoleState is the message that the role keeps for as long as the node lives.
func RoleState[T any, P ptr[T]](b *Builder) *T {
	state := new(T)
	b.state = state
	return state
}

// Config is the role's config message, filled from the launch file and then from the
// environment, where ARENA_WORLD_MAX_PLAYERS is the field max_players of role world in game
// arena. When that fails the node does not start; the message is then as far as it got.
func Config[T any, P ptr[T]](b *Builder) *T {
	b.settled = true
	c := new(T)
	if err := b.launch.fillConfig(b.role.Name, P(c), b.getenv); err != nil && b.err == nil {
		b.err = err
	}
	return c
}

func (b *Builder) command(id firefly.CommandID, decode func([]byte) (any, error), run func(context.Context, firefly.Session, any) (Body, error)) {
	spec := b.commands[id]
	if spec == nil {
		panic(fmt.Sprintf("command %d is in no schema of the role", id))
	}
	b.host.HandleCommand(spec, decode, aroundCommand(b.around, run))
}

func (b *Builder) call(spec *firefly.CallSpec, decode func([]byte) (any, error), run func(context.Context, any) (Body, error)) {
	b.host.HandleCall(spec, decode, aroundCall(b.around, run))
}
