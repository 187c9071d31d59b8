package sqlstore

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/table"
	"github.com/firefly-go/firefly/runtime/table/tabletest"
	"github.com/firefly-go/firefly/runtime/table/tabletest/servers"
)

// The environment of a test binary that is a writer of TestKill, or of TestFull.
const (
	killFile = "FIREFLY_TEST_KILL_FILE"
	fullFile = "FIREFLY_TEST_FULL_FILE"
)

// fullWriter is the writer of TestFull, where there is one.
var fullWriter func(file string)

func TestMain(m *testing.M) {
	if file := os.Getenv(killFile); file != "" {
		writeUntilKilled(file)
		return
	}
	if file := os.Getenv(fullFile); file != "" {
		fullWriter(file)
		return
	}
	code := m.Run()
	maria.Close()
	os.Exit(code)
}

// maria is the server of the tests of MySQL; each has a database of its own.
var maria servers.Shared

// writers is how many goroutines write at once; each moves gold between two rows of its own.
const writers = 8

// writeUntilKilled writes, and prints a line for every commit that was acknowledged: the writer and how
// much it has moved. Before each commit it prints what it is about to do.
func writeUntilKilled(file string) {
	ctx := context.Background()
	tables := tabletest.NewTables("")
	e, err := OpenEmbedded(ctx, file, tables.Specs(), EmbeddedOptions{Log: quiet()})
	if err != nil {
		fmt.Println("failed", err)
		os.Exit(1)
	}
	var out sync.Mutex
	say := func(format string, a ...any) {
		out.Lock()
		fmt.Printf(format+"\n", a...)
		out.Unlock()
	}
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			from, to := tables.Player.Ref(int64(2*w+1)), tables.Player.Ref(int64(2*w+2))
			for {
				say("try %d", w)
				c := &table.Commit{Ops: []table.Op{
					{Kind: table.Update, Ref: from, Add: []table.AddTo{{Column: tabletest.PlayerGold, Delta: -1}}},
					{Kind: table.Update, Ref: to, Add: []table.AddTo{{Column: tabletest.PlayerGold, Delta: 1}}},
				}}
				if err := e.Commit(ctx, c); err != nil {
					say("failed %v", err)
					os.Exit(1)
				}
				say("done %d %d", w, c.Ops[1].Sums[0])
			}
		})
	}
	wg.Wait()
}

// A process that is killed at any moment loses nothing that it acknowledged, and leaves no half of a
// transaction.
func TestKill(t *testing.T) {
	file := filepath.Join(t.TempDir(), "game.db")
	tables := tabletest.NewTables("")
	open := func() *Embedded {
		e, err := OpenEmbedded(t.Context(), file, tables.Specs(), EmbeddedOptions{Log: quiet()})
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	const gold = 1_000_000
	e := open()
	for i := int64(1); i <= 2*writers; i++ {
		values, err := tables.Player.Values(&tabletest.Player{ID: i, Name: fmt.Sprint(i), Gold: gold * (i % 2)}, nil)
		if err != nil {
			t.Fatal(err)
		}
		var set []table.Assign
		for c, v := range values {
			set = append(set, table.Assign{Column: c, Value: v})
		}
		if err := e.Commit(t.Context(), &table.Commit{Ops: []table.Op{{Kind: table.Insert, Ref: tables.Player.Ref(i), Set: set}}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	rounds, unacked, total := 20, 0, 0
	for round := range rounds {
		tried, done := killOne(t, file, 50+round*20)
		e := open()
		for w := range writers {
			var rows [2]table.Row
			refs := []table.Ref{tables.Player.Ref(int64(2*w + 1)), tables.Player.Ref(int64(2*w + 2))}
			if err := e.Read(t.Context(), refs, rows[:]); err != nil {
				t.Fatal(err)
			}
			a, b := rows[0].Values[tabletest.PlayerGold].Int(), rows[1].Values[tabletest.PlayerGold].Int()
			if a+b != gold {
				t.Errorf("round %d: writer %d has %d and %d, a transaction was torn", round, w, a, b)
			}
			if b < done[w] || done[w] > 0 && b > done[w]+1 {
				t.Errorf("round %d: writer %d moved %d, and %d was acknowledged", round, w, b, done[w])
			}
			total += int(b)
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
		if tried {
			unacked++
		}
	}
	t.Logf("%d kills, %d of them with unacknowledged work in hand", rounds, unacked)
	if unacked < rounds/2 {
		t.Errorf("only %d of %d kills met a writer at work", unacked, rounds)
	}
}

// killOne runs a writer until it has acknowledged n commits, and kills it. tried: it had begun some that
// it did not acknowledge. done is what each writer has moved in all, 0 when it acknowledged nothing.
func killOne(t *testing.T, file string, n int) (tried bool, done [writers]int64) {
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), killFile+"="+file)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	open := [writers]int{}
	seen := 0
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		var w int
		var sum int64
		line := lines.Text()
		switch {
		case strings.HasPrefix(line, "failed"):
			t.Error(line)
		case scan(line, "try %d", &w):
			open[w]++
		case scan(line, "done %d %d", &w, &sum):
			open[w]--
			done[w] = sum
			if seen++; seen == n {
				_ = cmd.Process.Kill()
			}
		}
	}
	_ = cmd.Wait()
	for _, o := range open {
		tried = tried || o > 0
	}
	if seen < n {
		t.Fatalf("the writer ended by itself after %d commits", seen)
	}
	return tried, done
}

func scan(line, format string, to ...any) bool {
	n, err := fmt.Sscanf(line, format, to...)
	return err == nil && n == len(to)
}

// One process owns the file.
func TestSecondProcess(t *testing.T) {
	file := filepath.Join(t.TempDir(), "game.db")
	tables := tabletest.NewTables("")
	specs := tables.Specs()
	e, err := OpenEmbedded(t.Context(), file, specs, EmbeddedOptions{Log: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := OpenEmbedded(t.Context(), file, specs, EmbeddedOptions{Log: quiet()}); err == nil || !strings.Contains(err.Error(), "another process has the store") {
		t.Errorf("a second one: %v", err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	err = e.Commit(t.Context(), &table.Commit{Ops: []table.Op{{Kind: table.Delete, Ref: tables.Player.Ref(1)}}})
	if firefly.CodeOf(err) != firefly.Unavailable {
		t.Errorf("a closed store answers a commit with %v", err)
	}
	e, err = OpenEmbedded(t.Context(), file, specs, EmbeddedOptions{Log: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	_ = e.Close()
}

// What a declaration has more is added, with the rows that are there; anything else is refused.
func TestGrowing(t *testing.T) {
	file := filepath.Join(t.TempDir(), "game.db")
	full := tabletest.NewTables("").Item
	before := *full.Spec
	before.Columns = before.Columns[:3]
	before.Indexes = before.Indexes[:1]
	before.SQLite.Create = "CREATE TABLE `item` (`owner_id` INTEGER NOT NULL, `id` INTEGER NOT NULL, `kind` INTEGER NOT NULL DEFAULT 0, `ff_v` INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (`owner_id`, `id`));\n" +
		"INSERT INTO `item` VALUES (1, 2, 3, 4);\n"
	open := func(s *table.Spec) (*Embedded, error) {
		return OpenEmbedded(t.Context(), file, []*table.Spec{s}, EmbeddedOptions{Log: quiet()})
	}
	func() {
		before.SQLite.Get = "SELECT `owner_id`, `id`, `kind`, `ff_v` FROM `item` WHERE `owner_id` = ? AND `id` = ?"
		before.SQLite.Upsert = "INSERT INTO `item` (`owner_id`, `id`, `kind`, `ff_v`) VALUES "
		before.SQLite.UpsertRow, before.SQLite.UpsertEnd = "(?, ?, ?, ?)", ""
		before.SQLite.Find, before.SQLite.FindAfter = before.SQLite.Find[:0], before.SQLite.FindAfter[:0]
		before.SQLite.Indexes = nil
		before.Indexes = nil
		e, err := open(&before)
		if err != nil {
			t.Fatal(err)
		}
		_ = e.Close()
	}()
	e, err := open(full.Spec)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := e.Find(t.Context(), &table.Query{Table: full.Spec, Index: tabletest.ByKind, By: []table.Value{table.IntOf(1), table.IntOf(3)}})
	if err != nil || len(rows) != 1 || rows[0].Values[tabletest.ItemCount].Int() != 0 {
		t.Errorf("the old row is %v: %v", rows, err)
	}
	_ = e.Close()
	changed := *full.Spec
	changed.SQLite.Types = append([]string(nil), changed.SQLite.Types...)
	changed.SQLite.Types[2] = "TEXT"
	rekeyed := *full.Spec
	rekeyed.Key = []int{1}
	for want, s := range map[string]*table.Spec{"column kind is INTEGER in the store and TEXT in the declaration": &changed, "table item has the key owner_id, id": &rekeyed} {
		if e, err := open(s); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
			if err == nil {
				_ = e.Close()
			}
		}
	}
}

// Versions rise over a restart also when the clock stands still: what was promised is not given again.
func TestVersionsRise(t *testing.T) {
	file := filepath.Join(t.TempDir(), "game.db")
	tables := tabletest.NewTables("")
	var last uint64
	for id := range int64(3) {
		e, err := OpenEmbedded(t.Context(), file, tables.Specs(), EmbeddedOptions{Log: quiet()})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		c := &table.Commit{Ops: []table.Op{{Kind: table.Insert, Ref: tables.Account.Ref(id), Set: []table.Assign{{Column: 0, Value: table.IntOf(id)}}}}}
		if err := e.Commit(ctx, c); err != nil {
			t.Fatal(err)
		}
		cancel()
		if v := c.Ops[0].Version; v <= last || last != 0 && v < last+uint64(ahead.Microseconds())-2_000_000 {
			t.Errorf("version %d after %d", v, last)
		}
		last = c.Ops[0].Version
		_ = e.Close()
	}
}
