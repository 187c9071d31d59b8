//go:build linux

package sqlstore

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/table"
	"github.com/firefly-go/firefly/runtime/table/tabletest"
)

func init() { fullWriter = writeUntilFull }

func insertPlayer(tables *tabletest.Tables, id int64) *table.Commit {
	values, err := tables.Player.Values(&tabletest.Player{ID: id, Name: fmt.Sprint(id), Face: make([]byte, 900)}, nil)
	if err != nil {
		panic(err)
	}
	c := &table.Commit{Ops: []table.Op{{Kind: table.Insert, Ref: tables.Player.Ref(id)}}}
	for i, v := range values {
		c.Ops[0].Set = append(c.Ops[0].Set, table.Assign{Column: i, Value: v})
	}
	return c
}

// writeUntilFull writes until files may not grow any more, goes on when they may again, and says what was
// acknowledged.
func writeUntilFull(file string) {
	ctx := context.Background()
	signal.Ignore(syscall.SIGXFSZ)
	tables := tabletest.NewTables("")
	e, err := OpenEmbedded(ctx, file, tables.Specs(), EmbeddedOptions{Log: quiet()})
	if err != nil {
		fmt.Println("failed", err)
		return
	}
	limit := func(n uint64) {
		if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: n, Max: unix.RLIM_INFINITY}); err != nil {
			fmt.Println("failed", err)
		}
	}
	next := int64(1)
	for round := range 3 {
		// A megabyte more each time: the log of the file is full first.
		limit(uint64(round+1) << 20)
		var mu sync.Mutex
		var wg sync.WaitGroup
		refused := 0
		for range 4 {
			wg.Go(func() {
				for {
					mu.Lock()
					id := next
					next++
					mu.Unlock()
					err := e.Commit(ctx, insertPlayer(tables, id))
					mu.Lock()
					switch firefly.CodeOf(err) {
					case firefly.OK:
						fmt.Println("done", id)
					case firefly.Unavailable:
						fmt.Println("not", id)
						refused++
					default:
						fmt.Println("failed", err)
						refused++
					}
					over := refused > 8
					mu.Unlock()
					if over {
						return
					}
				}
			})
		}
		wg.Wait()
		// It can be read all the same.
		var rows [1]table.Row
		if err := e.Read(ctx, []table.Ref{tables.Player.Ref(1)}, rows[:]); err != nil || rows[0].Version == 0 {
			fmt.Println("failed", err, rows[0].Version)
		}
		limit(unix.RLIM_INFINITY)
		id := next
		next++
		if err := e.Commit(ctx, insertPlayer(tables, id)); err != nil {
			fmt.Println("failed", "there is room again, and", err)
			return
		}
		fmt.Println("done", id)
	}
	limit(1 << 10)
	_ = e.Commit(ctx, insertPlayer(tables, next)) // may fail
	fmt.Println("end")
	os.Exit(0) // as it stands
}

// A full disk loses nothing that was acknowledged, and what was refused did not happen; when there is room
// again the store goes on.
func TestFull(t *testing.T) {
	file := filepath.Join(t.TempDir(), "game.db")
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), fullFile+"="+file)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if !strings.HasSuffix(string(out), "end\n") {
		t.Errorf("the writer ended early")
	}
	tables := tabletest.NewTables("")
	e, err := OpenEmbedded(t.Context(), file, tables.Specs(), EmbeddedOptions{Log: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = e.Close() }()
	done, not := 0, 0
	for line := range strings.Lines(string(out)) {
		var id int64
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "failed"):
			t.Error(line)
			continue
		case scan(line, "done %d", &id):
			done++
		case scan(line, "not %d", &id):
			not++
		default:
			continue
		}
		var rows [1]table.Row
		if err := e.Read(t.Context(), []table.Ref{tables.Player.Ref(id)}, rows[:]); err != nil {
			t.Fatal(err)
		}
		if there := rows[0].Version != 0; there != strings.HasPrefix(line, "done") {
			t.Errorf("%s, and it is there: %t", line, there)
		}
	}
	t.Logf("%d rows were acknowledged and %d refused", done, not)
	if done < 100 || not < 24 {
		t.Errorf("%d rows were acknowledged and %d refused", done, not)
	}
}
