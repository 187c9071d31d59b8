// Package migrations holds the statements that make and change the tables of the game, in numbered
// files by dialect. ffgen migrate diff writes the next ones.
package migrations

import "embed"

// Files are mysql/0001_name.sql and so on, and the same names in sqlite. The game's main gives them to
// node.Options.Migrations, and the command migrate of its binary runs them.
//
//go:embed mysql/*.sql sqlite/*.sql
var Files embed.FS
