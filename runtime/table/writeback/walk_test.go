package writeback

import (
	"strings"
	"testing"
	"time"

	"github.com/firefly-go/firefly/runtime/table"
	"github.com/firefly-go/firefly/runtime/table/tabletest"
	"github.com/firefly-go/firefly/runtime/table/tabletest/servers"
)

// 26. Random commits and crashes: Redis and MariaDB together answer what the model answers, and have what it
// has. A crash ends Redis, the process and its flusher where they stand; all of them begin anew.
func TestCase26(t *testing.T) {
	o := tabletest.WalkOptions{Walkers: 4, Steps: 120, Crashes: 2}
	if nightly() {
		o = tabletest.WalkOptions{Walkers: 32, Steps: 31_250, Crashes: 100} // 1,000,000
	}
	r, m := servers.NewRedis(t, "always"), maria.Get(t)
	name := m.Database(t)
	var p *process
	var f *Flusher
	open := func(specs []*table.Spec) table.Store {
		var err error
		if p, err = openProcess(t.Context(), r.Addr(), m.DSN(name), specs, Options{Patience: time.Minute}); err != nil {
			t.Fatal(err)
		}
		f = NewFlusher(p.cache, p.db, quickOptions())
		f.Start()
		return p.store
	}
	die := func() {
		f.cancel()
		f.wg.Wait()
		p.close()
	}
	tabletest.Walk(t, o, func(specs []*table.Spec) table.Store {
		for _, s := range specs {
			s.Flush = 20 * time.Millisecond
			m.Exec(t, name, strings.TrimSuffix(s.MySQL.Create, ";\n"))
		}
		return open(specs)
	}, func(specs []*table.Spec) table.Store {
		r.Kill()
		die()
		if err := r.Start(); err != nil {
			t.Fatal(err)
		}
		return open(specs)
	})
	if s := f.Stats(); s.Quarantined+s.Torn != 0 {
		t.Errorf("%+v", s)
	}
	die()
}
