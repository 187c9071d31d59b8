package node

import (
	"context"
	"encoding/json"
	"time"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/runtime/table"
	"github.com/firefly-go/firefly/runtime/table/writeback"
)

// tablesAsk is a question of the command `tables` to a node that keeps tables.
type tablesAsk struct {
	Do    string `json:"do"` // "status", "quarantine", "retry", "discard"
	Table string `json:"table,omitempty"`
	Key   string `json:"key,omitempty"`
}

// TablesStatus is what `tables status --json` says of one node that keeps tables, and `status --json` under
// "tables" without its name.
type TablesStatus struct {
	Node  string `json:"node,omitempty"`
	Store string `json:"store,omitempty"` // "embedded", "cached"; "" when the node keeps none
	Error string `json:"error,omitempty"` // why the node said nothing
	// Embedded is the store of one file.
	Embedded *EmbeddedStatus `json:"embedded,omitempty"`
	// Flusher brings rows from the cache to the database; it speaks of the shards that it has.
	Flusher *FlusherStatus `json:"flusher,omitempty"`
}

// EmbeddedStatus says how an embedded store is doing.
type EmbeddedStatus struct {
	File      string  `json:"file"`
	Bytes     int64   `json:"bytes"`      // of the file and its log
	PerSecond float64 `json:"per_second"` // commits, over the last five seconds
	Commits   uint64  `json:"commits"`    // since the node began
	Batches   uint64  `json:"batches"`    // transactions of the file that they took
	Refused   uint64  `json:"refused"`    // commits
	Waiting   int     `json:"waiting"`    // commits
}

// FlusherStatus says how a flusher is doing. Counts are since the node began, times are in seconds.
type FlusherStatus struct {
	Shards      int      `json:"shards"`
	Dirty       int      `json:"dirty"`      // rows that the database does not have
	Oldest      float64  `json:"oldest"`     // how long the oldest of them waits
	Quarantine  int      `json:"quarantine"` // rows that the database refuses
	Lag         float64  `json:"lag"`        // between write and store, of the last batch
	Batch       int      `json:"batch"`      // rows of the last batch
	PerSecond   float64  `json:"per_second"` // rows
	Rows        uint64   `json:"rows"`
	Batches     uint64   `json:"batches"`
	Failed      uint64   `json:"failed"`      // transactions
	Quarantined uint64   `json:"quarantined"` // attempts that put a row aside
	Fenced      uint64   `json:"fenced"`      // shards that another flusher had taken over
	Ahead       uint64   `json:"ahead"`       // rows of which the database had something newer
	Torn        uint64   `json:"torn"`        // transactions that were stored without a row of theirs
	Away        float64  `json:"away"`        // how long the database has taken nothing
	Stalled     []string `json:"stalled,omitempty"`
}

// QuarantinedRow is a row that the database refuses.
type QuarantinedRow struct {
	Table    string    `json:"table"`
	Key      string    `json:"key"`
	Version  uint64    `json:"version"`
	Error    string    `json:"error"`
	Attempts int       `json:"attempts"`
	Next     time.Time `json:"next"` // attempt
	// Lost are the values of a row that was discarded, by field.
	Lost map[string]string `json:"lost,omitempty"`
}

// keeper is what a node that flushes a cache knows of it.
type keeper struct {
	cache interface {
		table.CacheQuarantine
		Shards() int
	}
	stats func() writeback.FlusherStats
}

// ask answers the command `tables`.
func (t *tables) ask(ctx context.Context, body []byte) ([]byte, error) {
	var ask tablesAsk
	if err := json.Unmarshal(body, &ask); err != nil {
		return nil, firefly.InvalidArgument.Errorf("tables: %w", err)
	}
	switch {
	case ask.Do == "status":
		return json.Marshal(t.status())
	case ask.Do != "quarantine" && ask.Do != "retry" && ask.Do != "discard":
		return nil, firefly.Unimplemented.Errorf("this node cannot %q tables", ask.Do)
	case t.keeper == nil:
		return nil, firefly.FailedPrecondition.Errorf("this node puts no rows aside: its store refuses a write that does not fit at once")
	case ask.Do == "discard" && (ask.Table == "" || ask.Key == ""):
		return nil, firefly.InvalidArgument.Errorf("discard: a row has a table and a key")
	}
	rows, err := t.keeper.quarantine(ctx, &ask)
	if err != nil {
		return nil, err
	}
	return json.Marshal(rows)
}

// vitals gives what the node reports of its tables every second; nil when it keeps none.
func (t *tables) vitals() func() json.RawMessage {
	if t.embedded == nil && t.keeper == nil {
		return nil
	}
	return func() json.RawMessage {
		b, err := json.Marshal(t.status())
		if err != nil {
			return nil
		}
		return b
	}
}

func (t *tables) status() (s TablesStatus) {
	if t.embedded != nil {
		st := t.embedded.Stats()
		s.Store = embedded
		s.Embedded = &EmbeddedStatus{
			File: st.File, Bytes: st.Bytes, PerSecond: st.PerSecond, Commits: st.Commits, Batches: st.Batches, Refused: st.Refused, Waiting: st.Waiting,
		}
	}
	if t.keeper != nil {
		st := t.keeper.stats()
		s.Store = storeCached
		s.Flusher = &FlusherStatus{
			Shards: st.Shards, Dirty: st.Dirty, Oldest: st.Oldest.Seconds(), Quarantine: st.Poisoned, Lag: st.Lag.Seconds(), Batch: st.Batch,
			PerSecond: st.Rate, Rows: st.Rows, Batches: st.Batches, Failed: st.Failed, Quarantined: st.Quarantined, Fenced: st.Fenced,
			Ahead: st.Ahead, Torn: st.Torn, Away: st.Away.Seconds(), Stalled: st.Stalled,
		}
	}
	return s
}

// quarantine lists the rows that ask names, and retries or discards them. What it has done when it fails has
// happened.
func (k *keeper) quarantine(ctx context.Context, ask *tablesAsk) ([]QuarantinedRow, error) {
	rows := []QuarantinedRow{}
	for shard := range k.cache.Shards() {
		ps, err := k.cache.Poisoned(ctx, shard)
		if err != nil {
			return nil, err
		}
		for _, p := range ps {
			if ask.Table != "" && ask.Table != p.Table.Name || ask.Key != "" && ask.Key != string(p.Key) {
				continue
			}
			row := QuarantinedRow{Table: p.Table.Name, Key: string(p.Key), Version: p.Version, Error: p.Error, Attempts: p.Attempts, Next: p.Next}
			found := true
			switch ask.Do {
			case "retry":
				found, err = k.cache.Retry(ctx, p.Ref)
				row.Next = time.Now()
			case "discard":
				var lost []table.Value
				lost, found, err = k.cache.Discard(ctx, p.Ref)
				row.Lost = named(p.Table, lost)
			}
			if err != nil {
				return nil, err
			}
			if found {
				rows = append(rows, row)
			}
		}
	}
	return rows, nil
}

// named are the values of a row by field; those that are absent are left out.
func named(t *table.Spec, values []table.Value) map[string]string {
	out := map[string]string{}
	for i, v := range values {
		if i < len(t.Columns) && v.Kind() != table.Null {
			out[t.Columns[i].Field] = string(v.Append(nil))
		}
	}
	return out
}
