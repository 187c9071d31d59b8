package node

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/firefly-go/firefly"
)

// maxLaunch bounds a launch file; a topology of a thousand nodes has a tenth of it.
const maxLaunch = 4 << 20

// storeRole is the framework's own role: it serves the directory.
const storeRole = "store"

// masterName is the name of the master among the processes.
const masterName = "master"

// Fault is one thing that is wrong in a launch file.
type Fault struct {
	File      string
	Line, Col int // from 1; Col counts characters
	Message   string
}

func (f Fault) String() string { return fmt.Sprintf("%s:%d:%d: %s", f.File, f.Line, f.Col, f.Message) }

// LaunchError is everything that is wrong in a launch file, in its order.
type LaunchError []Fault

func (e LaunchError) Error() string {
	lines := make([]string, len(e))
	for i, f := range e {
		lines[i] = f.String()
	}
	return strings.Join(lines, "\n")
}

// Launch is a launch file that was read: the topology, and where each value of it stands.
type Launch struct {
	firefly.Topology
	File   string
	text   []byte
	at     map[jsontext.Pointer]span
	faults LaunchError
}

// span is where a member begins: its key, and its value. An element of an array has no key.
type span struct{ key, value int }

// ParseLaunch reads a launch file. Keys that are not firefly.Topology's, keys that stand
// twice and values of the wrong kind are refused; the error is a LaunchError. file is only
// for messages.
func ParseLaunch(file string, text []byte) (*Launch, error) {
	l := &Launch{File: file, text: text, at: map[jsontext.Pointer]span{}}
	if len(text) > maxLaunch {
		return nil, LaunchError{{file, 1, 1, fmt.Sprintf("a launch file of %d bytes; %d are allowed", len(text), maxLaunch)}}
	}
	if err := l.walk(); err != nil {
		return nil, l.refuse(err)
	}
	if err := json.Unmarshal(text, &l.Topology, json.RejectUnknownMembers(true)); err != nil {
		return nil, l.refuse(err)
	}
	return l, nil
}

// LaunchOf is a launch file that was never a file: for tests, and for games that make their
// topology by themselves. Faults have no position then.
func LaunchOf(t firefly.Topology) *Launch {
	return &Launch{Topology: t, File: "(topology)", at: map[jsontext.Pointer]span{}}
}

// walk notes where every value stands, and finds what is no JSON at all.
func (l *Launch) walk() error {
	dec := jsontext.NewDecoder(bytes.NewBuffer(l.text))
	for {
		kind := dec.PeekKind() // skips blanks, commas and colons
		depth := dec.StackDepth()
		parent, n := dec.StackIndex(depth)
		tok, err := dec.ReadToken()
		if err != nil {
			return err
		}
		if kind != '}' && kind != ']' {
			end := int(dec.InputOffset())
			begin := end - tokenLen(tok, l.text, end)
			p := dec.StackPointer()
			if kind == '{' || kind == '[' {
				begin = end - 1
			}
			s := l.at[p]
			if parent == '{' && n%2 == 0 {
				s.key = begin
			} else {
				s.value = begin
			}
			l.at[p] = s
		}
		if dec.StackDepth() == 0 {
			break
		}
	}
	if tok, err := dec.ReadToken(); err == nil {
		return fmt.Errorf("more follows the launch file: %s", tok)
	} else if !isEOF(err) {
		return err
	}
	return nil
}

// tokenLen is how many bytes the token takes that ends at end.
func tokenLen(tok jsontext.Token, text []byte, end int) int {
	switch tok.Kind() {
	case '"':
		// Back to the quote that opens it: one that no odd number of backslashes precedes.
		for i := end - 2; i >= 0; i-- {
			if text[i] != '"' {
				continue
			}
			b := i
			for b > 0 && text[b-1] == '\\' {
				b--
			}
			if (i-b)%2 == 0 {
				return end - i
			}
		}
		return 1
	case '{', '[':
		return 1
	default:
		return len(tok.String())
	}
}

func isEOF(err error) bool { return err != nil && err.Error() == "EOF" }

// refuse turns an error of the JSON reader into a fault with its position.
func (l *Launch) refuse(err error) error {
	var syn *jsontext.SyntacticError
	var sem *json.SemanticError
	switch {
	case errors.As(err, &sem):
		s, known := l.at[sem.JSONPointer]
		at := int(sem.ByteOffset)
		if errors.Is(err, json.ErrUnknownName) {
			if known {
				at = s.key
			}
			return LaunchError{l.fault(at, fmt.Sprintf("unknown key %q%s", lastToken(sem.JSONPointer), inside(sem.JSONPointer)))}
		}
		if known {
			at = s.value
		}
		if sem.Err != nil {
			return LaunchError{l.fault(at, fmt.Sprintf("%s: %v", pathOf(sem.JSONPointer), sem.Err))}
		}
		return LaunchError{l.fault(at, fmt.Sprintf("%s wants %s, not %s", pathOf(sem.JSONPointer), wants(sem), sem.JSONKind))}
	case errors.As(err, &syn):
		if errors.Is(err, jsontext.ErrDuplicateName) {
			return LaunchError{l.fault(int(syn.ByteOffset), fmt.Sprintf("key %q stands twice%s", lastToken(syn.JSONPointer), inside(syn.JSONPointer)))}
		}
		return LaunchError{l.fault(int(syn.ByteOffset), syn.Err.Error())}
	}
	return LaunchError{l.fault(len(l.text), err.Error())}
}

func wants(e *json.SemanticError) string {
	if e.GoType == nil {
		return "something else"
	}
	switch k := e.GoType.Kind().String(); {
	case strings.HasPrefix(k, "uint"):
		return "a whole number from 0"
	case strings.HasPrefix(k, "int"):
		return "a whole number"
	case k == "struct", k == "map", k == "ptr":
		return "an object"
	case k == "slice":
		return "an array"
	default:
		return "a " + k
	}
}

func lastToken(p jsontext.Pointer) string { return p.LastToken() }

// inside is " in nodes[0].listen" for a key there.
func inside(p jsontext.Pointer) string {
	if parent := pathOf(p.Parent()); parent != "" {
		return " in " + parent
	}
	return ""
}

// pathOf writes a pointer as people do: nodes[0].listen.tcp.
func pathOf(p jsontext.Pointer) string {
	var b strings.Builder
	for tok := range p.Tokens() {
		if _, err := strconv.Atoi(tok); err == nil {
			fmt.Fprintf(&b, "[%s]", tok)
			continue
		}
		if b.Len() > 0 {
			b.WriteByte('.')
		}
		b.WriteString(tok)
	}
	return b.String()
}

func (l *Launch) fault(offset int, message string) Fault {
	offset = min(max(0, offset), len(l.text))
	before := l.text[:offset]
	line := 1 + bytes.Count(before, []byte("\n"))
	col := 1 + utf8.RuneCount(before[bytes.LastIndexByte(before, '\n')+1:])
	return Fault{l.File, line, col, message}
}

// say notes a fault at the value of p, or at the nearest value around it that stands in the
// file.
func (l *Launch) say(p jsontext.Pointer, format string, a ...any) {
	s, ok := l.at[p]
	for !ok && p != "" {
		p = p.Parent()
		s, ok = l.at[p]
	}
	l.faults = append(l.faults, l.fault(s.value, fmt.Sprintf(format, a...)))
}

func ptrTo(parts ...any) jsontext.Pointer {
	var p jsontext.Pointer
	for _, x := range parts {
		p = p.AppendToken(fmt.Sprint(x))
	}
	return p
}

// node is the entry of the node called name.
func (l *Launch) node(name string) (firefly.NodeConfig, bool) {
	for _, n := range l.Nodes {
		if n.Name == name {
			return n, true
		}
	}
	return firefly.NodeConfig{}, false
}

// gateAddrs are the tcp doors of all gates.
func (l *Launch) gateAddrs() (addrs []string) {
	for _, n := range l.Nodes {
		if n.Listen != nil && n.Listen.TCP != "" {
			addrs = append(addrs, n.Listen.TCP)
		}
	}
	return addrs
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
