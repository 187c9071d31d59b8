package firefly_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"
)

const module = "github.com/firefly-go/firefly"

// floors is the order of the house: a package imports only packages on lower floors. An
// internal package stands on the floor of the package that it is internal to.
var floors = map[string]int{
	"":                                1,
	"idl/fireflypb":                   1,
	"templates":                       1,
	"runtime/wire":                    1,
	"runtime/mailbox":                 1,
	"idl":                             2,
	"runtime/transport":               2,
	"runtime/redisconn":               2,
	"runtime/table":                   2,
	"runtime/sheet":                   2,
	"gen":                             3,
	"runtime/rpc":                     3,
	"runtime/directory":               3,
	"runtime/table/redisstore":        3,
	"runtime/table/writeback":         3,
	"runtime/table/remote":            3,
	"runtime/table/tabletest":         3,
	"runtime/table/torture":           4,
	"runtime/table/tabletest/servers": 2,
	"runtime/table/sqlstore":          3,
	"cmd/ffgen":                       4,
	"runtime/directory/redisdir":      4,
	"runtime/cluster":                 4,
	"clients/go":                      4,
	"runtime/router":                  5,
	"runtime/gate":                    6,
	"runtime/master":                  6,
	"runtime/node":                    7,
	"fireflytest":                     8,
}

type pkg struct {
	ImportPath string
	Imports    []string
	GoFiles    []string
}

func TestFloors(t *testing.T) {
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports,GoFiles", "./...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	dec := json.NewDecoder(bytes.NewReader(out))
	seen := 0
	for {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		seen++
		name := local(p.ImportPath)
		if name == "runtime" && len(p.GoFiles) > 0 {
			t.Errorf("runtime/ holds Go files; a package of that name fights the standard library's")
		}
		from, ok := floor(name)
		if !ok {
			t.Errorf("package %q has no floor; put it into the table and into docs/layout.md", name)
			continue
		}
		for _, imp := range p.Imports {
			if imp != module && !strings.HasPrefix(imp, module+"/") {
				continue
			}
			to, ok := floor(local(imp))
			inside := strings.HasPrefix(imp, p.ImportPath+"/internal/") || owner(local(imp)) == owner(name)
			if !ok || (to >= from && !inside) {
				t.Errorf("%s (floor %d) imports %s (floor %d); only lower floors may be imported", name, from, local(imp), to)
			}
		}
	}
	if seen < 10 {
		t.Errorf("only %d packages were looked at", seen)
	}
}

func local(path string) string { return strings.TrimPrefix(strings.TrimPrefix(path, module), "/") }

// owner is the package that an internal package belongs to.
func owner(name string) string {
	before, _, _ := strings.Cut(name, "/internal")
	return before
}

func floor(name string) (int, bool) {
	f, ok := floors[owner(name)]
	return f, ok
}
