//go:build unix

package master

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// private reports what is wrong with a file that should be this user's alone.
func private(st fs.FileInfo) error {
	if !st.Mode().IsRegular() {
		return errors.New("it is no regular file")
	}
	if st.Mode().Perm()&0o077 != 0 {
		return errors.New("others may read it; it should have mode 0600")
	}
	if s, ok := st.Sys().(*syscall.Stat_t); ok && int(s.Uid) != os.Getuid() {
		return errors.New("it belongs to another user")
	}
	return nil
}
