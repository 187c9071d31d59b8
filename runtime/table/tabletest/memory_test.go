package tabletest

import (
	"testing"

	"github.com/firefly-go/firefly/runtime/table"
)

func TestMemory(t *testing.T) {
	Run(t, Options{Steps: 20000}, func(*testing.T, []*table.Spec) table.Store { return NewMemory() })
}
