package redisstore

import (
	"embed"
	"strings"

	"github.com/firefly-go/firefly/runtime/redisconn"
)

//go:embed lua/*.lua
var lua embed.FS

// Scripts that write for games are refused as a whole when the memory is full; those of flushers are not,
// or nothing would ever get stored and freed again.
const (
	sCommit = iota
	sLease
	sFill
	sForget
	sLeaseList
	sFillList
	sLock
	sApply
	sHolds
	sGeneration
	sLiving
	sHold
	sDue
	sSnapshot
	sSettle
	sAck
	sDelay
	sYield
	sPoison
	sRetry
	sDrop
	sRegister
	sBeat
	numScripts
)

var files = [numScripts]struct {
	name  string
	parts string // files that it stands on
	oom   bool   // it may run when the memory is full
	once  bool   // running it twice is not the same as running it once
	long  bool   // of many rows
}{
	sCommit:     {name: "commit", parts: "row list", once: true},
	sLease:      {name: "lease", parts: "row"},
	sFill:       {name: "fill", parts: "row"},
	sForget:     {name: "forget", parts: "row", oom: true},
	sLeaseList:  {name: "leaselist", parts: "list"},
	sFillList:   {name: "filllist", parts: "list"},
	sLock:       {name: "lock", parts: "row"},
	sApply:      {name: "apply", parts: "row list", oom: true},
	sHolds:      {name: "holds", parts: "row", oom: true},
	sGeneration: {name: "generation", oom: true},
	sLiving:     {name: "living", parts: "row", oom: true},
	sHold:       {name: "hold", parts: "row holder", oom: true},
	sDue:        {name: "due", parts: "row holder", oom: true},
	sSnapshot:   {name: "snapshot", parts: "holder", oom: true, long: true},
	sSettle:     {name: "settle", parts: "holder", oom: true},
	sAck:        {name: "ack", parts: "row list dirty", oom: true, long: true},
	sDelay:      {name: "delay", oom: true},
	sYield:      {name: "yield", parts: "row list dirty", oom: true},
	sPoison:     {name: "poison", parts: "dirty", oom: true},
	sRetry:      {name: "retry", oom: true},
	sDrop:       {name: "drop", oom: true},
	sRegister:   {name: "register"},
	sBeat:       {name: "beat", oom: true},
}

// scripts puts them together.
func scripts() []redisconn.Script {
	read := func(name string) string {
		b, err := lua.ReadFile("lua/" + name + ".lua")
		if err != nil {
			panic(err) // the file is a part of this package
		}
		return string(b)
	}
	out := make([]redisconn.Script, numScripts)
	for i, f := range files {
		var b strings.Builder
		for part := range strings.FieldsSeq(f.parts) {
			b.WriteString(read(part))
		}
		b.WriteString(read(f.name))
		out[i] = redisconn.Script{Name: f.name, Text: b.String(), OOM: f.oom, Once: f.once, Long: f.long}
	}
	return out
}
