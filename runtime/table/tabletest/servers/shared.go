package servers

import (
	"os"
	"sync"
	"testing"
)

// Shared is a MariaDB that the tests of a package share, each with a database of its own; making one takes
// a second. A test leaves it running, or starts it again. The zero value is ready; Close it in TestMain.
type Shared struct {
	mu  sync.Mutex
	dir string
	m   *MariaDB
}

// Get is the server, started by the first who asks.
func (s *Shared) Get(t testing.TB) *MariaDB {
	t.Helper()
	needs(t, "mariadbd")
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.m == nil {
		dir, err := os.MkdirTemp("", "ff-maria-")
		if err != nil {
			t.Fatal(err)
		}
		s.dir = dir
		if s.m, err = StartMariaDB(dir); err != nil {
			s.m = nil
			_ = os.RemoveAll(dir)
			t.Fatal(err)
		}
	}
	if err := s.m.Start(); err != nil {
		t.Fatal(err)
	}
	return s.m
}

// Close ends the server and removes its data.
func (s *Shared) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.m != nil {
		s.m.Kill()
		_ = os.RemoveAll(s.dir)
		s.m = nil
	}
}
