// Package templates holds the texts that ffgen emits and that are not Go of a generated
// package: documents, and what a new game begins with.
package templates

import "embed"

// FS holds the templates by their names; those of a new game lie under new, by their places
// in the game.
//
//go:embed *.tmpl new
var FS embed.FS
