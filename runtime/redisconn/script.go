package redisconn

import (
	"crypto/sha1"
	"encoding/hex"
)

// Script is a Lua script. When it runs, G is the generation of the server that runs it.
type Script struct {
	Name string // for texts
	Text string
	// OOM says that it may run when the memory of the server is full; others are refused as a whole then.
	OOM bool
	// Once says that running it twice is not the same as running it once.
	Once bool
	// Long says that it takes long, or that its answer is long: it goes over a connection of its own, so that
	// no answer of others has to wait for it.
	Long bool
}

// generation is a server process in one term as a master, and the scripts as it knows them.
type generation struct {
	id        string
	text, sha []string
}

func newGeneration(id string, scripts []Script) *generation {
	g := &generation{id: id, text: make([]string, len(scripts)), sha: make([]string, len(scripts))}
	for i, s := range scripts {
		head := "#!lua\n"
		if s.OOM {
			head = "#!lua flags=allow-oom\n"
		}
		g.text[i] = head + "local G = '" + id + "'\n" + s.Text
		sum := sha1.Sum([]byte(g.text[i]))
		g.sha[i] = hex.EncodeToString(sum[:])
	}
	return g
}
