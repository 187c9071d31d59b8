package master

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func TestSecrets(t *testing.T) {
	run, cache := t.TempDir(), t.TempDir()
	t.Setenv("XDG_RUNTIME_DIR", run)
	t.Setenv("XDG_CACHE_HOME", cache)
	t.Setenv(EnvAdminToken, "")
	t.Setenv(EnvClusterSecret, "")
	if _, err := FindSecrets(7790); !errors.Is(err, ErrNoSecrets) {
		t.Errorf("secrets that nobody made: %v", err)
	}
	s, err := MakeSecrets(7790)
	if err != nil {
		t.Fatal(err)
	}
	again, err := MakeSecrets(7790)
	if err != nil || again != s {
		t.Errorf("a successor made other secrets: %v", err)
	}
	if other, _ := MakeSecrets(7890); other == s || other.ClusterSecret == s.ClusterSecret {
		t.Error("two masters share their secrets")
	}
	if found, err := FindSecrets(7790); err != nil || found != s {
		t.Errorf("not found: %v", err)
	}
	n := 0
	err = filepath.WalkDir(run, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == run {
			return err
		}
		st, err := d.Info()
		if err != nil {
			return err
		}
		if d.IsDir() && st.Mode().Perm() != 0o700 || !d.IsDir() && st.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", path, st.Mode())
		}
		if !d.IsDir() {
			n++
		}
		return nil
	})
	if err != nil || n != 4 {
		t.Errorf("%d files, %v", n, err)
	}
	// A file that others can read is nobody's secret.
	if err := os.Chmod(filepath.Join(run, "firefly", "7790", tokenFile), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := FindSecrets(7790); err == nil || errors.Is(err, ErrNoSecrets) {
		t.Errorf("a token that everybody can read: %v", err)
	}
	t.Setenv(EnvAdminToken, "token")
	t.Setenv(EnvClusterSecret, "secret")
	if found, err := FindSecrets(7790); err != nil || (found != Secrets{"token", "secret"}) {
		t.Errorf("the environment: %+v %v", found, err)
	}
	t.Setenv(EnvAdminToken, "")
	t.Setenv(EnvClusterSecret, "")
	ForgetSecrets(7890)
	if _, err := FindSecrets(7890); err == nil {
		t.Error("forgotten secrets are there")
	}
	// Without a runtime folder the cache has to do.
	t.Setenv("XDG_RUNTIME_DIR", "")
	if _, err := MakeSecrets(7990); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(cache, "firefly", "7990", tokenFile)); err != nil {
		t.Error(err)
	}
}
