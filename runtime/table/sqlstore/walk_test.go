package sqlstore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/firefly-go/firefly/runtime/table"
	"github.com/firefly-go/firefly/runtime/table/tabletest"
)

// 26. Random commits and crashes: the embedded store answers what the model answers, and has what it has. A
// crash leaves the files as they are at that moment.
func TestCase26(t *testing.T) {
	o := tabletest.WalkOptions{Walkers: 4, Steps: 100, Crashes: 2}
	if os.Getenv("FIREFLY_NIGHTLY") != "" {
		o = tabletest.WalkOptions{Walkers: 32, Steps: 31_250, Crashes: 100} // 1,000,000
	}
	dir, life := t.TempDir(), 0
	file := func() string { return filepath.Join(dir, fmt.Sprintf("%d.db", life)) }
	var e *Embedded
	open := func(specs []*table.Spec) table.Store {
		var err error
		if e, err = OpenEmbedded(t.Context(), file(), specs, EmbeddedOptions{Log: quiet()}); err != nil {
			t.Fatal(err)
		}
		return e
	}
	tabletest.Walk(t, o, open, func(specs []*table.Spec) table.Store {
		was := file()
		life++
		for _, part := range []string{"", "-wal"} {
			b, err := os.ReadFile(was + part)
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err == nil {
				err = os.WriteFile(file()+part, b, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := e.Close(); err != nil {
			t.Error(err)
		}
		for _, part := range []string{"", "-wal", "-shm"} {
			_ = os.Remove(was + part)
		}
		return open(specs)
	})
	if err := e.Close(); err != nil {
		t.Error(err)
	}
}
