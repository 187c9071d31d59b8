package master

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Logs are the log files of the nodes of one host: DIR/world-1.log. Processes write them by
// themselves, so that nobody's end takes away where they write; here they are only read.
type Logs struct{ Dir string }

// Path is the file of a node.
func (l Logs) Path(node string) string { return filepath.Join(l.Dir, node+".log") }

// Nodes are those that have a file.
func (l Logs) Nodes() []string {
	files, _ := filepath.Glob(filepath.Join(l.Dir, "*.log"))
	nodes := make([]string, len(files))
	for i, f := range files {
		nodes[i] = strings.TrimSuffix(filepath.Base(f), ".log")
	}
	return nodes
}

// maxLog is the size beyond which a log is put aside.
const maxLog = 64 << 20

// Trim puts a large log aside as NAME.log.1 and begins it anew. The process that writes has
// it open and appends, so the file stays and is emptied; what is written between copying and
// emptying is lost.
func (l Logs) Trim(node string) { l.trim(node, maxLog) }

func (l Logs) trim(node string, size int64) {
	if l.Size(node) <= size {
		return
	}
	from, err := os.Open(l.Path(node))
	if err != nil {
		return
	}
	defer from.Close()
	to, err := os.Create(l.Path(node) + ".1")
	if err != nil {
		return // a full disk is not made better by losing lines
	}
	_, err = io.Copy(to, from)
	if errors.Join(err, to.Close()) == nil {
		_ = os.Truncate(l.Path(node), 0)
	}
}

// Size is where the log ends now.
func (l Logs) Size(node string) int64 {
	st, err := os.Stat(l.Path(node))
	if err != nil {
		return 0
	}
	return st.Size()
}

// tailBytes bounds what Tail reads for one line wanted.
const tailBytes = 512

// Tail are the last n lines, without their ends; a line that is very long is cut.
func (l Logs) Tail(node string, n int) []string {
	b, _ := l.from(node, l.tailOffset(node, n))
	if len(b) == 0 {
		return nil
	}
	lines := strings.Split(strings.TrimRight(string(b), "\n"), "\n")
	return lines[max(0, len(lines)-n):]
}

func (l Logs) tailOffset(node string, n int) int64 {
	return max(0, l.Size(node)-int64(n)*tailBytes)
}

func (l Logs) from(node string, offset int64) ([]byte, error) {
	f, err := os.Open(l.Path(node))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if _, err := f.Seek(offset, io.SeekStart); err != nil {
		return nil, err
	}
	return io.ReadAll(f)
}

// followEvery is how often a followed log is looked at.
const followEvery = 100 * time.Millisecond

// follower gives the lines of one log as they come.
type follower struct {
	path   string
	f      *os.File
	offset int64
	part   []byte // a line whose end is not written yet
}

// Follow starts at offset. The follower is used by one goroutine and must be closed.
func (l Logs) follow(node string, offset int64) *follower {
	return &follower{path: l.Path(node), offset: offset}
}

// maxLine is the length at which a line without an end is given away.
const maxLine = 64 << 10

// next calls line for each whole line that was written since the last time. The line is
// valid until line returns.
func (f *follower) next(line func([]byte)) error {
	if err := f.reopen(); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	buf := make([]byte, 32<<10)
	for {
		n, err := f.f.ReadAt(buf, f.offset)
		f.offset += int64(n)
		f.part = append(f.part, buf[:n]...)
		for {
			i := bytes.IndexByte(f.part, '\n')
			if i < 0 {
				break
			}
			line(f.part[:i])
			f.part = f.part[i+1:]
		}
		if len(f.part) > maxLine {
			line(f.part)
			f.part = nil
		}
		if err != nil || n == 0 {
			return nil
		}
	}
}

// reopen opens the file, and opens it anew when another one has taken its place.
func (f *follower) reopen() error {
	st, err := os.Stat(f.path)
	if err != nil {
		return err
	}
	if f.f != nil {
		if old, err := f.f.Stat(); err == nil && os.SameFile(old, st) {
			if st.Size() < f.offset {
				f.offset = 0
			}
			return nil
		}
		f.close()
		f.offset = 0
	}
	f.f, err = os.Open(f.path)
	return err
}

func (f *follower) close() {
	if f.f != nil {
		_ = f.f.Close()
		f.f = nil
	}
}

// Follow calls line for every line of the nodes' logs from the given offsets on, until ctx
// ends; then what has been written by then is still given. It runs on the caller's goroutine.
func (l Logs) Follow(ctx context.Context, offsets map[string]int64, line func(node string, text []byte)) {
	fs := map[string]*follower{}
	for node, offset := range offsets {
		fs[node] = l.follow(node, offset)
	}
	defer func() {
		for _, f := range fs {
			f.close()
		}
	}()
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	for {
		for node, f := range fs {
			_ = f.next(func(b []byte) { line(node, b) }) // a file that cannot be read now may be later
		}
		if ctx.Err() != nil {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}
