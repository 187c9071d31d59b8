package idl

import (
	"embed"
	"io/fs"
)

//go:generate go run ./internal/makepb

//go:embed proto/firefly
var vocabulary embed.FS

// VocabularyPath is how .proto files import the vocabulary.
const VocabularyPath = "firefly/v1/options.proto"

// Vocabulary is the folder that holds VocabularyPath. Load knows it by itself; it is for
// editors and linters that want a file on the disk.
func Vocabulary() fs.FS {
	sub, err := fs.Sub(vocabulary, "proto")
	if err != nil {
		panic(err) // only for a path that is no path
	}
	return sub
}
