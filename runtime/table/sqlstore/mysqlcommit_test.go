package sqlstore

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/table"
	"github.com/firefly-go/firefly/runtime/table/tabletest"
	"github.com/firefly-go/firefly/runtime/table/tabletest/servers"
)

// The owner of a shard is fenced off by the next one, and only of that shard.
func TestMySQLFence(t *testing.T) {
	f := newFixture(t)
	both, err := f.m.Fence(t.Context(), []int{7, 3}, "a")
	f.ok(err)
	again, err := f.m.Fence(t.Context(), []int{3}, "b")
	f.ok(err)
	if again[0] != both[1]+1 {
		t.Errorf("epochs %v, then %v", both, again)
	}
	one, two := image(f, f.Player, &tabletest.Player{ID: 1, Name: "one"}, 5), image(f, f.Player, &tabletest.Player{ID: 2, Name: "two"}, 5)
	fenced, ahead, err := f.m.Flush(t.Context(), []table.ShardBatch{{Shard: 7, Epoch: both[0], Images: []table.Image{one}}, {Shard: 3, Epoch: both[1], Images: []table.Image{two}}}, nil)
	if err != nil || len(ahead) > 0 || len(fenced) != 1 || fenced[0] != 3 {
		t.Errorf("fenced %v, ahead %v: %v", fenced, ahead, err)
	}
	if r := f.load(one.Ref, two.Ref); r[0].Version != 5 || r[1].Version != 0 {
		t.Errorf("the rows are %v", r)
	}
	// A shard that was never fenced belongs to nobody.
	if fenced, _, err := f.m.Flush(t.Context(), []table.ShardBatch{{Shard: 9, Epoch: 1, Images: []table.Image{two}}}, nil); err != nil || len(fenced) != 1 {
		t.Errorf("fenced %v: %v", fenced, err)
	}
}

// 4. A flush whose COMMIT went unanswered is written again while the session of the first is still open.
func TestCase04(t *testing.T) {
	f := newFixture(t)
	epoch := f.fence("a")
	old := image(f, f.Player, &tabletest.Player{ID: 1, Name: "v5"}, 5)
	now := image(f, f.Player, &tabletest.Player{ID: 1, Name: "v6"}, 6)

	// The database has committed, and the answer is lost.
	p := servers.NewProxy(t, f.maria.Addr())
	direct := f.m
	f.m = f.open(strings.Replace(f.maria.DSN(f.name), f.maria.Addr(), p.Addr(), 1))
	f.ok(f.m.Start(t.Context(), f.Specs()))
	lost := p.Lose("COMMIT", servers.LoseReply)
	_, _, err := f.m.Flush(t.Context(), []table.ShardBatch{{Shard: 1, Epoch: epoch, Images: []table.Image{old}}}, nil)
	<-lost
	if w, ok := err.(*table.WriteError); !ok || w.Class != table.OfUnknown || firefly.CodeOf(err) != firefly.Unknown {
		t.Fatalf("a COMMIT without an answer: %v", err)
	}
	f.flush(epoch, old)
	// The request is lost, and with it the transaction.
	lost = p.Lose("COMMIT", servers.LoseRequest)
	_, _, err = f.m.Flush(t.Context(), []table.ShardBatch{{Shard: 1, Epoch: epoch, Images: []table.Image{now}}}, nil)
	<-lost
	if w, ok := err.(*table.WriteError); !ok || w.Class != table.OfUnknown {
		t.Fatalf("a lost COMMIT: %v", err)
	}
	f.flush(epoch, now)

	// The session of a first flush has written version 7 and is neither committed nor gone.
	first := f.maria.Open(t, f.name)
	tx, err := first.BeginTx(t.Context(), nil)
	f.ok(err)
	for _, s := range []string{"SELECT epoch FROM ff_shard WHERE shard = 1 FOR UPDATE", "UPDATE player SET name = 'v7', ff_v = 7 WHERE id = 1"} {
		_, err := tx.ExecContext(t.Context(), s)
		f.ok(err)
	}
	done := make(chan error, 1)
	go func() {
		_, ahead, err := direct.Flush(t.Context(), []table.ShardBatch{{Shard: 1, Epoch: epoch, Images: []table.Image{image(f, f.Player, &tabletest.Player{ID: 1, Name: "v8"}, 8)}}}, nil)
		if len(ahead) > 0 {
			t.Errorf("ahead %v", ahead)
		}
		done <- err
	}()
	f.awaitLocked(first, "ff_shard") // the row of the shard
	select {
	case err := <-done:
		t.Fatalf("the second flush did not wait: %v", err)
	default:
	}
	f.ok(tx.Commit())
	f.ok(<-done)
	if r := f.load(f.Player.Ref(1)); r[0].Version != 8 || r[0].Values[1].Text() != "v8" {
		t.Errorf("the row is %v", r)
	}
}

// A flush that is in a deadlock with somebody who writes by hand is begun anew.
func TestFlushDeadlock(t *testing.T) {
	f := newFixture(t)
	epoch := f.fence("a")
	const rows = 50
	var before, after []table.Image
	for id := int64(1); id <= rows; id++ {
		p := &tabletest.Player{ID: id, Name: fmt.Sprint("p", id)}
		before = append(before, image(f, f.Player, p, 5))
		if id <= 2 {
			after = append(after, image(f, f.Player, p, 6))
		}
	}
	f.flush(epoch, before...)
	hand := f.maria.Open(t, f.name)
	tx, err := hand.BeginTx(t.Context(), nil)
	f.ok(err)
	// Many rows, so that the database undoes the flush and not this.
	_, err = tx.ExecContext(t.Context(), "UPDATE player SET rating = 1 WHERE id > 1")
	f.ok(err)
	deadlocks := func() (n int) {
		var name string
		f.ok(hand.QueryRowContext(t.Context(), "SHOW GLOBAL STATUS LIKE 'Innodb_deadlocks'").Scan(&name, &n))
		return n
	}
	had := deadlocks()
	done := make(chan error, 1)
	go func() {
		// In two parts, as rows that changed alone and those of transactions come.
		batch := []table.ShardBatch{{Shard: 1, Epoch: epoch, Images: after[:1]}, {Shard: 1, Epoch: epoch, Images: after[1:]}}
		fenced, ahead, err := f.m.Flush(t.Context(), batch, nil)
		if len(ahead) > 0 || len(fenced) > 0 {
			t.Errorf("ahead %v, fenced %v", ahead, fenced)
		}
		done <- err
	}()
	f.awaitLocked(hand, "player")
	_, err = tx.ExecContext(t.Context(), "UPDATE player SET rating = 1 WHERE id = 1") // the flush has it
	f.ok(err)
	f.ok(tx.Commit())
	f.ok(<-done)
	if n := deadlocks() - had; n != 1 {
		t.Errorf("there were %d deadlocks", n)
	}
	for _, r := range f.load(after[0].Ref, after[1].Ref) {
		if r.Version != 6 {
			t.Errorf("%s has version %d", r.Ref, r.Version)
		}
	}
}

// 22. Values of a unique index change hands within a commit and within a flush; what a person took away
// comes back with the next write.
func TestCase22(t *testing.T) {
	f := newFixture(t)
	epoch := f.fence("a")
	player := func(id int64, name string, version uint64) table.Image {
		return image(f, f.Player, &tabletest.Player{ID: id, Name: name}, version)
	}
	f.flush(epoch, player(1, "Ann", 5), player(2, "Bob", 5), player(3, "Cid", 5))
	commit := func(token string, images ...table.Image) error {
		return f.m.CommitDurably(t.Context(), token, []byte("p"), []int{1, 2}, images, nil)
	}
	names := func(want ...string) {
		t.Helper()
		for i, w := range want {
			r := f.load(f.Player.Ref(int64(i + 1)))[0]
			if w == "" && r.Version != 0 || w != "" && (r.Version == 0 || r.Values[1].Text() != w) {
				t.Errorf("player %d is %v, want %s", i+1, r.Values, w)
			}
		}
	}
	f.ok(commit("swap", player(1, "Bob", 6), player(2, "Ann", 6)))
	names("Bob", "Ann", "Cid")
	f.ok(commit("circle", player(1, "Cid", 7), player(2, "Bob", 7), player(3, "Ann", 7)))
	names("Cid", "Bob", "Ann")
	// A new row takes a name that another one gives up, whatever comes first.
	f.ok(commit("new", player(2, "Bea", 8), player(4, "Bob", 8)))
	f.ok(commit("freed", gone(f.Player.Ref(1), 9), player(5, "Cid", 9)))
	names("", "Bea", "Ann", "Bob", "Cid")
	err := commit("taken", player(6, "Dan", 10), player(7, "Ann", 10))
	if firefly.CodeOf(err) != firefly.NotUnique || !strings.Contains(err.Error(), "by_name") || !strings.Contains(err.Error(), "player 7") {
		t.Errorf("a taken name: %v", err)
	}
	err = commit("renamed", player(6, "Dan", 10), player(5, "Ann", 10))
	if firefly.CodeOf(err) != firefly.NotUnique || !strings.Contains(err.Error(), "by_name") {
		t.Errorf("a taken name: %v", err)
	}
	names("", "Bea", "Ann", "Bob", "Cid", "", "")
	// In a flush too a deleted row frees its name first.
	f.flush(epoch, player(8, "Bob", 11), gone(f.Player.Ref(4), 11))
	names("", "Bea", "Ann", "", "Cid", "", "", "Bob")
	f.maria.Exec(t, f.name, "DELETE FROM player WHERE id = 2")
	f.flush(epoch, player(2, "Bea II", 12))
	names("", "Bea II")
}

// Whoever decides first decides: a commit that was given up cannot be made, and one that was made is told.
func TestMySQLDecide(t *testing.T) {
	f := newFixture(t)
	ann := image(f, f.Player, &tabletest.Player{ID: 1, Name: "Ann"}, 5)
	payload := bytes.Repeat([]byte{0, '\'', 255}, 1000)
	f.ok(f.m.CommitDurably(t.Context(), "made", payload, []int{4}, []table.Image{ann}, nil))
	if yes, got, err := f.m.Decide(t.Context(), "made"); err != nil || !yes || !bytes.Equal(got, payload) {
		t.Errorf("committed %v, %d bytes: %v", yes, len(got), err)
	}
	for range 2 {
		if yes, _, err := f.m.Decide(t.Context(), "given up"); err != nil || yes {
			t.Errorf("committed %v: %v", yes, err)
		}
	}
	bob := image(f, f.Player, &tabletest.Player{ID: 2, Name: "Bob"}, 5)
	if err := f.m.CommitDurably(t.Context(), "given up", nil, []int{4}, []table.Image{bob}, nil); firefly.CodeOf(err) != firefly.Conflict {
		t.Errorf("a commit that was given up: %v", err)
	}
	// Nothing of a commit is done when the database has a newer row.
	old := image(f, f.Player, &tabletest.Player{ID: 1, Name: "old"}, 4)
	if err := f.m.CommitDurably(t.Context(), "late", nil, []int{4}, []table.Image{bob, old}, nil); firefly.CodeOf(err) != firefly.Conflict {
		t.Errorf("a commit over a newer row: %v", err)
	}
	if r := f.load(bob.Ref, ann.Ref); r[0].Version != 0 || r[1].Version != 5 {
		t.Errorf("the rows are %v", r)
	}
	if yes, _, err := f.m.Decide(t.Context(), "late"); err != nil || yes {
		t.Errorf("committed %v: %v", yes, err)
	}

	// An answer that is lost is UNKNOWN, a request that is lost before COMMIT is surely not executed.
	p := servers.NewProxy(t, f.maria.Addr())
	m := f.open(strings.Replace(f.maria.DSN(f.name), f.maria.Addr(), p.Addr(), 1))
	f.ok(m.Start(t.Context(), f.Specs()))
	for i, c := range []struct {
		match string
		loss  servers.Loss
		code  firefly.Code
		made  bool
	}{
		{"COMMIT", servers.LoseReply, firefly.Unknown, true},
		{"COMMIT", servers.LoseRequest, firefly.Unknown, false},
		{"INSERT INTO `player`", servers.LoseReply, firefly.Unavailable, false},
		{"INSERT INTO `ff_txn`", servers.LoseRequest, firefly.Unavailable, false},
	} {
		token := fmt.Sprintf("lost%d", i)
		lost := p.Lose(c.match, c.loss)
		err := m.CommitDurably(t.Context(), token, nil, []int{4}, []table.Image{image(f, f.Player, &tabletest.Player{ID: 3, Name: token}, 9)}, nil)
		<-lost
		if firefly.CodeOf(err) != c.code {
			t.Errorf("%s %d: %v, want %s", c.match, c.loss, err, c.code)
		}
		if yes, _, err := m.Decide(t.Context(), token); err != nil || yes != c.made {
			t.Errorf("%s %d: committed %v: %v", c.match, c.loss, yes, err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	f.maria.Pause()
	err := m.CommitDurably(ctx, "hang", nil, []int{4}, []table.Image{bob}, nil)
	f.maria.Resume()
	if code := firefly.CodeOf(err); code != firefly.Unavailable {
		t.Errorf("a database that hangs: %v", err)
	}
}

// Old bookkeeping goes, and what is younger stays.
func TestMySQLPurge(t *testing.T) {
	f := newFixture(t)
	old, young := time.Now().Add(-60*24*time.Hour).UnixMicro(), time.Now().UnixMicro()
	db := f.maria.Open(t, f.name)
	for i := range 1500 {
		at := old
		if i < 3 {
			at = young
		}
		_, err := db.ExecContext(t.Context(), "INSERT INTO ff_tomb VALUES ('player', ?, 1, ?)", i, at)
		f.ok(err)
	}
	f.maria.Exec(t, f.name, "INSERT INTO ff_txn SELECT pk, 'A', '', at FROM ff_tomb", "INSERT INTO ff_once SELECT '1', pk, 1, at, 1 FROM ff_tomb")
	f.ok(f.m.Purge(t.Context()))
	for _, name := range []string{"ff_tomb", "ff_txn", "ff_once"} {
		var n int
		f.ok(db.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM "+name).Scan(&n))
		if n != 3 {
			t.Errorf("%s has %d rows", name, n)
		}
	}
}

// Whoever stops in the middle of a transaction does not keep its shards for ever.
func TestAbandoned(t *testing.T) {
	f := newFixture(t)
	stopped, err := OpenMySQL(maria.Get(t).DSN(f.name), MySQLOptions{Log: quiet(), Abandoned: time.Second})
	f.ok(err)
	defer func() { _ = stopped.Close() }()
	f.ok(stopped.Start(t.Context(), f.Specs()))
	has, goOn := make(chan struct{}), make(chan struct{})
	done := make(chan error, 1)
	go func() {
		done <- stopped.inTx(t.Context(), func(tx *mysqlTx) error {
			err := tx.lockShards(t.Context(), []int{3})
			close(has)
			<-goOn
			return err
		})
	}()
	<-has
	for {
		// It waits for ten seconds each time, and the other one is given up after one.
		if _, err = f.m.Fence(t.Context(), []int{3}, "next"); err == nil {
			break
		}
		t.Log(err)
	}
	close(goOn)
	if err := <-done; err == nil {
		t.Error("what was given up was committed")
	}
}

// Removed rows with keys too long for the column of ff_tomb are remembered one by one too.
func TestLongKeys(t *testing.T) {
	f := newFixture(t)
	epoch := f.fence("a")
	setting := func(end string, version uint64) table.Image {
		return image(f, f.Setting, &tabletest.Setting{Realm: strings.Repeat("\U0001D11E", 64), Name: strings.Repeat("\U0001D11E", 63) + end, Value: end}, version)
	}
	gone, stays := setting("a", 5), setting("b", 5)
	if len(tombKey(gone.Key)) == len(gone.Key) {
		t.Fatalf("the key has %d bytes", len(gone.Key))
	}
	f.flush(epoch, gone, stays)
	removed := table.Image{Row: table.Row{Ref: gone.Ref, Version: 7}, Deleted: true}
	f.flush(epoch, removed)
	if _, ahead, err := f.m.Flush(t.Context(), []table.ShardBatch{{Shard: 1, Epoch: epoch, Images: []table.Image{setting("a", 6), setting("b", 6)}}}, nil); err != nil || len(ahead) != 1 || ahead[0].Key != gone.Key {
		t.Errorf("ahead %v: %v", ahead, err)
	}
	rows := f.load(gone.Ref, stays.Ref)
	if rows[0].Version != 0 || rows[1].Version != 6 {
		t.Errorf("there are %v", rows)
	}
}
