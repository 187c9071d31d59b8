package writeback

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/firefly-go/firefly/runtime/table"
	"github.com/firefly-go/firefly/runtime/table/tabletest"
)

// The environment of a process that inserts rows for TestIDsUnique.
const (
	idsOf    = "FIREFLY_TEST_IDS_OF" // its number
	idsRedis = "FIREFLY_TEST_IDS_REDIS"
	idsDSN   = "FIREFLY_TEST_IDS_DSN"
)

// idsTag is what a row has for its count: which process inserted it, and as the how manyth.
func idsTag(process, n int64) int64 { return process*1_000_000 + n }

// insertForIDs is a process that inserts items until its input ends, and writes every number that it got, with
// what it used it for, before it is known whether the insert was made.
func insertForIDs(of string) {
	process, err := strconv.ParseInt(of, 10, 64)
	fail := func(err error) {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	fail(err)
	tables := tabletest.NewTables("")
	p, err := openProcess(context.Background(), os.Getenv(idsRedis), os.Getenv(idsDSN), tables.Specs(), Options{Patience: time.Second})
	fail(err)
	db := table.NewDB(p.store, table.DBOptions{IDs: 20})
	items := table.New(db, tables.Item)
	var ended sync.WaitGroup
	stop := make(chan struct{})
	ended.Go(func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		close(stop)
	})
	for n := int64(1); ; n++ {
		select {
		case <-stop:
			fmt.Println("done")
			ended.Wait()
			db.Close()
			p.close()
			return
		default:
		}
		row := &tabletest.Item{OwnerID: process, Count: idsTag(process, n)}
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		err := items.Insert(ctx, row)
		cancel()
		if row.ID == 0 {
			continue // the store had no number
		}
		outcome := "made"
		if err != nil {
			outcome = "not known"
		}
		fmt.Println(row.ID, row.Count, outcome)
	}
}

// gotID is a number that a process got, and for which row.
type gotID struct {
	id, tag int64
	made    bool
}

// Eight processes insert rows with numbers from the store, while Redis is killed and forgets the last of what
// it acknowledged: nobody ever gets a number that somebody else got, or that the database had before.
func TestIDsUnique(t *testing.T) {
	tables := tabletest.NewTables("")
	w := newWorldWith(t, maria.Get(t), tables, "everysec")
	const before, processes, each = 50, 8, 400
	for id := int64(1); id <= before; id++ {
		// As a game of former times left them.
		w.maria.Exec(t, w.name, fmt.Sprintf("INSERT INTO item (owner_id, id, kind, count) VALUES (9, %d, 0, %d)", id, -id))
	}
	f := w.flusher(quickOptions())
	var mu sync.Mutex
	var got []gotID
	count := func() int {
		mu.Lock()
		defer mu.Unlock()
		return len(got)
	}
	var wg sync.WaitGroup
	var inputs []io.Closer
	for n := range processes {
		cmd := exec.Command(os.Args[0], "-test.run=^$")
		cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d", idsOf, n+1), idsRedis+"="+w.redis.Addr(), idsDSN+"="+w.maria.DSN(w.name))
		cmd.Stderr = os.Stderr
		in, err := cmd.StdinPipe()
		w.ok(err)
		out, err := cmd.StdoutPipe()
		w.ok(err)
		w.ok(cmd.Start())
		t.Cleanup(func() { _ = cmd.Process.Kill() })
		inputs = append(inputs, in)
		wg.Go(func() {
			for s := bufio.NewScanner(out); s.Scan(); {
				var g gotID
				var outcome string
				if n, _ := fmt.Sscan(s.Text(), &g.id, &g.tag, &outcome); n == 3 {
					g.made = outcome == "made"
					mu.Lock()
					got = append(got, g)
					mu.Unlock()
				}
			}
			if err := cmd.Wait(); err != nil {
				t.Error(err)
			}
		})
	}
	// Eight processes may take their time.
	slowly := func(n int) {
		t.Helper()
		for until := time.Now().Add(3 * time.Minute); count() < n; time.Sleep(2 * time.Millisecond) {
			if time.Now().After(until) {
				t.Fatalf("%d numbers were given, and it should be %d", count(), n)
			}
		}
	}
	slowly(each)
	_, size, err := w.redis.AOF()
	w.ok(err)
	slowly(2 * each)
	w.redis.Kill()
	_, end, err := w.redis.AOF()
	w.ok(err)
	w.ok(w.redis.CutAOF((end - size) / 2))
	w.ok(w.redis.Start())
	middle := count()
	slowly(middle + 2*each)
	for _, in := range inputs {
		w.ok(in.Close())
	}
	wg.Wait()
	w.clean()

	whose := map[int64]int64{}
	made := 0
	for _, g := range got {
		if tag, twice := whose[g.id]; twice {
			t.Fatalf("%d was given for row %d and for row %d", g.id, tag, g.tag)
		}
		if g.id <= before {
			t.Errorf("%d was given, which the database had", g.id)
		}
		whose[g.id] = g.tag
		if g.made {
			made++
		}
	}
	rows, err := w.maria.Open(t, w.name).Query("SELECT id, count FROM item WHERE owner_id <> 9")
	w.ok(err)
	defer func() { _ = rows.Close() }()
	stored := map[int64]bool{}
	for rows.Next() {
		var id, tag int64
		w.ok(rows.Scan(&id, &tag))
		if stored[id] || whose[id] != tag {
			t.Errorf("the database has %d for row %d, and it was given for row %d", id, tag, whose[id])
		}
		stored[id] = true
	}
	w.ok(rows.Err())
	t.Logf("%d numbers were given, %d rows acknowledged, %d stored; %d bytes of what Redis wrote were lost; %+v", len(got), made, len(stored), (end-size)/2, f.Stats())
}
