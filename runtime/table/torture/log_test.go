//go:build unix

package torture

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"
)

// The log of a writer has a line before and a line after each operation: the time in microseconds, what the
// line says, the hand, the number of the operation, and of a beginning what it does.
//
//	1700000000000000 I 3 17 put 17 2
//	1700000000000321 A 3 17
type verdict byte

const (
	begun    verdict = 'I'
	acked    verdict = 'A'
	refused  verdict = 'F' // surely not executed
	unknown  verdict = 'U'
	complain verdict = 'E' // what may never happen
)

// diary is an open log. Each line is one write of the system, so what was written before the process is
// killed is there.
type diary struct{ f *os.File }

func openDiary(name string) (*diary, error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	return &diary{f}, nil
}

func (d *diary) say(v verdict, hand, n int, text string) {
	if _, err := fmt.Fprintf(d.f, "%d %c %d %d %s\n", time.Now().UnixMicro(), v, hand, n, text); err != nil {
		panic(err)
	}
}

// op is an operation as the log tells it.
type op struct {
	hand, n int
	what    []string
	verdict verdict // begun: nobody knows how it ended
	told    string  // behind the verdict
	at      int64   // of the verdict, in microseconds; of the beginning when there is none
}

// readDiary gives the operations of a log that were begun behind an offset, in their order, and the complaints.
func readDiary(name string, offset int64) (ops []*op, complaints []string, err error) {
	f, err := os.Open(name)
	if os.IsNotExist(err) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = f.Close() }()
	if _, err := f.Seek(offset, io.SeekStart); err != nil {
		return nil, nil, err
	}
	open := map[[2]int]*op{}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		line := lines.Text()
		at, v, hand, n, rest, ok := parse(line)
		if !ok {
			return nil, nil, fmt.Errorf("%s: %q", name, line)
		}
		key := [2]int{hand, n}
		switch v {
		case begun:
			o := &op{hand: hand, n: n, what: strings.Fields(rest), verdict: begun, at: at}
			open[key] = o
			ops = append(ops, o)
		case complain:
			complaints = append(complaints, line)
		default:
			o := open[key]
			if o == nil {
				return nil, nil, fmt.Errorf("%s: %q ends what was not begun", name, line)
			}
			o.verdict, o.at, o.told = v, at, rest
			delete(open, key)
		}
	}
	return ops, complaints, lines.Err()
}

func parse(line string) (at int64, v verdict, hand, n int, rest string, ok bool) {
	var parts [4]string
	for i := range parts {
		parts[i], line, _ = strings.Cut(line, " ")
	}
	at, err1 := strconv.ParseInt(parts[0], 10, 64)
	hand, err2 := strconv.Atoi(parts[2])
	n, err3 := strconv.Atoi(parts[3])
	if err1 != nil || err2 != nil || err3 != nil || len(parts[1]) != 1 {
		return 0, 0, 0, 0, "", false
	}
	return at, verdict(parts[1][0]), hand, n, line, true
}

// size is how long a file is, 0 when it is not there.
func size(name string) int64 {
	st, err := os.Stat(name)
	if err != nil {
		return 0
	}
	return st.Size()
}

// openNow counts the operations of a log, begun behind an offset, of which no end is told.
func openNow(name string, offset int64) (n int) {
	ops, _, err := readDiary(name, offset)
	if err != nil {
		return 0
	}
	for _, o := range ops {
		if o.verdict == begun {
			n++
		}
	}
	return n
}
