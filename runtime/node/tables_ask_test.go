package node

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/table"
	"github.com/firefly-go/firefly/runtime/table/tabletest"
	"github.com/firefly-go/firefly/runtime/table/writeback"
)

// ward is a quarantine of rows of a few shards.
type ward struct {
	table.CacheQuarantine
	rows []table.Poisoned
	done []string
}

func (w *ward) Shards() int { return 4 }

func (w *ward) Poisoned(_ context.Context, shard int) (out []table.Poisoned, _ error) {
	for _, p := range w.rows {
		if p.Place.Shard(4) == shard {
			out = append(out, p)
		}
	}
	return out, nil
}

func (w *ward) Retry(_ context.Context, ref table.Ref) (bool, error) {
	w.done = append(w.done, "retry "+ref.String())
	return true, nil
}

func (w *ward) Discard(_ context.Context, ref table.Ref) ([]table.Value, bool, error) {
	w.done = append(w.done, "discard "+ref.String())
	if ref.Key == "2:9" {
		return nil, false, nil // somebody was faster
	}
	return []table.Value{table.IntOf(2), table.IntOf(8), {}, table.IntOf(-5)}, true, nil
}

func TestTablesAsk(t *testing.T) {
	all := tabletest.NewTables("")
	w := &ward{}
	for id := range int64(3) {
		w.rows = append(w.rows, table.Poisoned{Ref: all.Player.Ref(id + 1), Version: 7, Error: "too long", Attempts: 2, Next: time.Unix(99, 0)})
	}
	for id := range int64(2) {
		w.rows = append(w.rows, table.Poisoned{Ref: all.Item.Ref(tabletest.ItemKey{OwnerID: 2, ID: 8 + id}), Error: "no"})
	}
	of := &tables{keeper: &keeper{cache: w, stats: func() writeback.FlusherStats {
		return writeback.FlusherStats{Shards: 3, Dirty: 5, Oldest: 1500 * time.Millisecond, Poisoned: 5, Stalled: []string{"item"}}
	}}}
	ask := func(of *tables, a tablesAsk, to any) error {
		t.Helper()
		body, err := json.Marshal(a)
		if err != nil {
			t.Fatal(err)
		}
		b, err := of.ask(t.Context(), body)
		if err != nil {
			return err
		}
		return json.Unmarshal(b, to)
	}
	var s TablesStatus
	if err := ask(of, tablesAsk{Do: "status"}, &s); err != nil || s.Store != "cached" || s.Flusher.Oldest != 1.5 || s.Flusher.Quarantine != 5 {
		t.Errorf("%+v %v", s, err)
	}
	var out bytes.Buffer
	g := &game{stdout: &out}
	s.Node = "store-1"
	if code, err := g.printTables([]TablesStatus{s, {Node: "store-2", Error: "it is away"}, {Node: "store-3"}}, false); code != 1 || err != nil ||
		!strings.Contains(out.String(), "1.5s") || !strings.Contains(out.String(), "refuses item") || !strings.Contains(out.String(), "it is away") {
		t.Errorf("%d %v %s", code, err, out.String())
	}
	for _, c := range []struct {
		ask  tablesAsk
		want string // rows, in any order
		done string
	}{
		{tablesAsk{Do: "quarantine"}, "item 2:8,item 2:9,player 1,player 2,player 3", ""},
		{tablesAsk{Do: "quarantine", Table: "item"}, "item 2:8,item 2:9", ""},
		{tablesAsk{Do: "retry", Table: "player", Key: "2"}, "player 2", "retry player 2"},
		{tablesAsk{Do: "retry", Table: "item"}, "item 2:8,item 2:9", "retry item 2:8,retry item 2:9"},
		{tablesAsk{Do: "discard", Table: "item", Key: "2:8"}, "item 2:8", "discard item 2:8"},
		{tablesAsk{Do: "discard", Table: "item", Key: "2:9"}, "", "discard item 2:9"},
		{tablesAsk{Do: "discard", Table: "item", Key: "2"}, "", ""},
	} {
		w.done = nil
		var rows []QuarantinedRow
		if err := ask(of, c.ask, &rows); err != nil {
			t.Errorf("%+v: %v", c.ask, err)
		}
		var got []string
		for _, r := range rows {
			got = append(got, r.Table+" "+r.Key)
			if r.Table == "player" && (r.Error != "too long" || r.Attempts != 2 || r.Version != 7) {
				t.Errorf("%+v", r)
			}
			if c.ask.Do == "discard" && fmt.Sprint(r.Lost) != "map[count:-5 id:8 owner_id:2]" {
				t.Errorf("the lost values are %v", r.Lost)
			}
		}
		slices.Sort(got)
		slices.Sort(w.done)
		if strings.Join(got, ",") != c.want || strings.Join(w.done, ",") != c.done {
			t.Errorf("%+v: %v %v", c.ask, got, w.done)
		}
	}
	for _, c := range []struct {
		of   *tables
		ask  tablesAsk
		want firefly.Code
	}{
		{of, tablesAsk{Do: "discard", Table: "item"}, firefly.InvalidArgument},
		{of, tablesAsk{Do: "dance"}, firefly.Unimplemented},
		{&tables{}, tablesAsk{Do: "quarantine"}, firefly.FailedPrecondition},
	} {
		var rows []QuarantinedRow
		if err := ask(c.of, c.ask, &rows); firefly.CodeOf(err) != c.want {
			t.Errorf("%+v: %v", c.ask, err)
		}
	}
}
