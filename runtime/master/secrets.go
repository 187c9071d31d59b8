package master

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// The environment goes over what stands in files.
const (
	EnvAdminToken    = "FIREFLY_ADMIN_TOKEN"
	EnvClusterSecret = "FIREFLY_CLUSTER_SECRET"
)

// Secrets are what the commands of one user prove themselves by.
type Secrets struct {
	AdminToken    string // to the admin API
	ClusterSecret string // of nodes to each other
}

// secret files, below a folder by admin port.
const (
	tokenFile  = "admin-token"
	secretFile = "cluster-secret"
)

// secretDirs are the folders where secrets of the admin port may stand, the best first:
// XDG_RUNTIME_DIR, which the system empties at logout, then the user's cache.
func secretDirs(getenv func(string) string, port int) (dirs []string) {
	sub := filepath.Join("firefly", strconv.Itoa(port))
	if d := getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(d) {
		if st, err := os.Stat(d); err == nil && st.IsDir() {
			dirs = append(dirs, filepath.Join(d, sub))
		}
	}
	if d, err := os.UserCacheDir(); err == nil {
		dirs = append(dirs, filepath.Join(d, sub))
	}
	return dirs
}

// ErrNoSecrets: nobody has written any. The error of FindSecrets has another cause when there are some that
// cannot be used.
var ErrNoSecrets = errors.New("nobody has written any")

// FindSecrets gives the secrets of the master with that admin port: from the environment,
// else from the files that MakeSecrets wrote for the same user.
func FindSecrets(port int) (Secrets, error) {
	s := Secrets{os.Getenv(EnvAdminToken), os.Getenv(EnvClusterSecret)}
	if s.AdminToken != "" && s.ClusterSecret != "" {
		return s, nil
	}
	var errs []error
	dirs := secretDirs(os.Getenv, port)
	for _, dir := range dirs {
		found, err := readSecrets(dir)
		if err == nil {
			return s.or(found), nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	switch {
	case len(dirs) == 0:
		errs = append(errs, errors.New("this user has neither a runtime nor a cache folder"))
	case len(errs) == 0:
		errs = append(errs, ErrNoSecrets)
	}
	return s, fmt.Errorf("no secrets of a master with admin port %d are here, and %s and %s are not set: %w",
		port, EnvAdminToken, EnvClusterSecret, errors.Join(errs...))
}

// MakeSecrets gives the secrets of the master with that admin port, and writes new ones,
// readable for this user only, when there are none: a successor of a master that was killed
// has to know what the living nodes know.
func MakeSecrets(port int) (Secrets, error) {
	s := Secrets{os.Getenv(EnvAdminToken), os.Getenv(EnvClusterSecret)}
	if s.AdminToken != "" && s.ClusterSecret != "" {
		return s, nil
	}
	var errs []error
	for _, dir := range secretDirs(os.Getenv, port) {
		found, err := readSecrets(dir)
		if err == nil {
			return s.or(found), nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
			continue
		}
		found = Secrets{rand.Text(), newSecret()}
		if err := writeSecrets(dir, found); err != nil {
			errs = append(errs, err)
			continue
		}
		return s.or(found), nil
	}
	return s, fmt.Errorf("secrets cannot be kept; set %s and %s: %w", EnvAdminToken, EnvClusterSecret, errors.Join(errs...))
}

// ForgetSecrets removes the files of MakeSecrets.
func ForgetSecrets(port int) {
	for _, dir := range secretDirs(os.Getenv, port) {
		_ = os.Remove(filepath.Join(dir, tokenFile))
		_ = os.Remove(filepath.Join(dir, secretFile))
		_ = os.Remove(dir)
	}
}

func newSecret() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}

func randomBits() uint32 {
	var b [4]byte
	_, _ = rand.Read(b[:]) // never fails
	return binary.BigEndian.Uint32(b[:])
}

func (s Secrets) or(o Secrets) Secrets {
	if s.AdminToken == "" {
		s.AdminToken = o.AdminToken
	}
	if s.ClusterSecret == "" {
		s.ClusterSecret = o.ClusterSecret
	}
	return s
}

func readSecrets(dir string) (s Secrets, err error) {
	if s.AdminToken, err = readSecret(filepath.Join(dir, tokenFile)); err != nil {
		return s, err
	}
	s.ClusterSecret, err = readSecret(filepath.Join(dir, secretFile))
	return s, err
}

// readSecret refuses a file that others may read or that somebody else owns.
func readSecret(file string) (string, error) {
	st, err := os.Lstat(file)
	if err != nil {
		return "", err
	}
	if err := private(st); err != nil {
		return "", fmt.Errorf("%s: %w", file, err)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	text := strings.TrimSpace(string(b))
	if text == "" {
		return "", fmt.Errorf("%s: %w (it is empty)", file, fs.ErrNotExist)
	}
	return text, nil
}

func writeSecrets(dir string, s Secrets) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return errors.Join(
		writeWhole(filepath.Join(dir, tokenFile), []byte(s.AdminToken+"\n"), 0o600),
		writeWhole(filepath.Join(dir, secretFile), []byte(s.ClusterSecret+"\n"), 0o600))
}

// writeWhole puts a file into its place at once, so that nobody reads half of it.
func writeWhole(file string, b []byte, mode os.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(file), ".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // gone already when all went well
	_, err = f.Write(b)
	if err == nil {
		err = f.Chmod(mode)
	}
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), file)
}
