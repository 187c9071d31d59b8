package master

import (
	"errors"
	"io/fs"
)

// private leaves it to the folder: on Windows the user's cache folder is the user's own.
func private(st fs.FileInfo) error {
	if !st.Mode().IsRegular() {
		return errors.New("it is no regular file")
	}
	return nil
}
