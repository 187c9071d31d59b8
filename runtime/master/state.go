package master

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/firefly-go/firefly/runtime/cluster"
)

// state is what a successor of this master has to know, in a file that is always whole.
type state struct {
	file string

	mu   sync.Mutex
	data stateData
}

type stateData struct {
	// Declared are the nodes of the highest version that was seen while nodes live.
	Declared *cluster.Declared `json:"declared,omitempty"`
	// Processes are those that were started here, by node.
	Processes map[string]processState `json:"processes"`
}

type processState struct {
	PID   int    `json:"pid"`
	Start string `json:"start"` // names the process together with PID
}

func openState(dir string) (*state, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	s := &state{file: filepath.Join(dir, "master.json")}
	b, err := os.ReadFile(s.file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err == nil {
		if err := json.Unmarshal(b, &s.data); err != nil {
			return nil, fmt.Errorf("%s: %w", s.file, err)
		}
	}
	if s.data.Processes == nil {
		s.data.Processes = map[string]processState{}
	}
	return s, nil
}

// change changes what is kept and writes it.
func (s *state) change(f func(*stateData)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(&s.data)
	b, err := json.MarshalIndent(&s.data, "", "\t")
	if err != nil {
		return err
	}
	return writeWhole(s.file, append(b, '\n'), 0o644)
}

func (s *state) processes() map[string]processState {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := make(map[string]processState, len(s.data.Processes))
	for k, v := range s.data.Processes {
		m[k] = v
	}
	return m
}

func (s *state) declared() *cluster.Declared {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.data.Declared
}
