// Command arena is the game: every role, and the tool that runs them.
package main

import (
	"example.com/arena/arenapb"
	"example.com/arena/bots"
	"example.com/arena/chat"
	"example.com/arena/gate"
	"example.com/arena/login"
	"example.com/arena/migrations"
	"example.com/arena/world"

	"github.com/firefly-go/firefly/runtime/node"
)

func main() {
	node.MainWith(node.Options{Bots: bots.Run, Migrations: migrations.Files},
		arenapb.GateRole(gate.New),
		arenapb.LoginRole(login.New),
		arenapb.WorldRole(world.New),
		arenapb.ChatRole(chat.New),
	)
}
