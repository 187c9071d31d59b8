package gate

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/firefly-go/firefly"
)

// declared is what the gate knows of the game: its commands and pushes by number, its codes.
type declared struct {
	fingerprint uint64
	known       map[uint64]bool // fingerprints of which everything fits
	commands    map[uint32]*command
	pushes      map[uint32]*firefly.PushSpec
	numbers     map[firefly.Code]uint32
	roles       []string   // of the commands; command.role is an index of it
	low         []*command // commands again, those with low numbers
}

// lowNumbers is where low ends.
const lowNumbers = 1 << 14

func (d *declared) command(id uint32) *command {
	if id < uint32(len(d.low)) {
		return d.low[id]
	}
	return d.commands[id]
}

// command is a command with what the gate has worked out of it.
type command struct {
	*firefly.Command
	role    int // index of declared.roles
	routing firefly.Routing
	timeout time.Duration
	sticks  bool // sessions are pinned to nodes of the role
	keyed   bool // it names its key
	rate    rate // its own
	own     bool // it has its own rate, or none; else the listener's counts
	keep    bool // its body is kept until the answer, to be sent once more
}

// newDeclared merges the schemas of all packages of a game; the first is the one whose
// fingerprint is the game's.
func newDeclared(schemas []*firefly.Schema, routing func(role string) firefly.Routing) (*declared, error) {
	d := &declared{
		known: map[uint64]bool{}, commands: map[uint32]*command{},
		pushes: map[uint32]*firefly.PushSpec{}, numbers: map[firefly.Code]uint32{},
	}
	for i, s := range schemas {
		if i == 0 {
			d.fingerprint = s.Fingerprint
			d.known[s.Fingerprint] = true
			for _, f := range s.Released {
				d.known[f] = true
			}
		}
		for j := range s.Commands {
			c := &s.Commands[j]
			if old := d.commands[uint32(c.ID)]; old != nil {
				return nil, fmt.Errorf("commands %s and %s have the number %d", old.Name, c.Name, c.ID)
			}
			k := &command{Command: c, own: c.Rate != firefly.Rate{}}
			k.rate = newRate(c.Rate.Count, c.Rate.Per)
			k.routing = routing(c.Role)
			if k.timeout = c.Timeout; k.timeout <= 0 {
				k.timeout = defaultTimeout
			}
			k.sticks = k.routing == firefly.Sticky || k.routing == firefly.Single
			k.keyed = c.Key.Kind != firefly.NoKey && k.routing != firefly.Single
			k.keep = c.Idempotent || k.keyed || k.routing == firefly.Hash
			if k.role = slices.Index(d.roles, c.Role); k.role < 0 {
				k.role = len(d.roles)
				d.roles = append(d.roles, c.Role)
			}
			d.commands[uint32(c.ID)] = k
			if c.ID < lowNumbers {
				for len(d.low) <= int(c.ID) {
					d.low = append(d.low, nil)
				}
				d.low[c.ID] = k
			}
		}
		for j := range s.Pushes {
			p := &s.Pushes[j]
			if old := d.pushes[uint32(p.ID)]; old != nil {
				return nil, fmt.Errorf("pushes %s and %s have the number %d", old.Name, p.Name, p.ID)
			}
			d.pushes[uint32(p.ID)] = p
		}
		for _, e := range s.Errors {
			d.numbers[e.Code] = e.Number
		}
	}
	return d, nil
}

// number is what stands for a code on the client wire; a code that nobody declared is an
// INTERNAL with its name beside it.
func (d *declared) number(c firefly.Code) uint32 {
	if n, ok := c.Number(); ok {
		return n
	}
	if n, ok := d.numbers[c]; ok {
		return n
	}
	n, _ := firefly.Internal.Number()
	return n
}

func fits(shape, own uint64, accepts []uint64) bool {
	return shape == own || slices.Contains(accepts, shape)
}

// older reports whether version a is before b, by dotted numbers; what is no number counts as
// its leading digits, what is missing as 0.
func older(a, b string) bool {
	as, bs := strings.Split(a, "."), strings.Split(b, ".")
	for i := range max(len(as), len(bs)) {
		x, y := part(as, i), part(bs, i)
		if x != y {
			return x < y
		}
	}
	return false
}

func part(parts []string, i int) uint64 {
	if i >= len(parts) {
		return 0
	}
	s := strings.TrimPrefix(parts[i], "v")
	end := 0
	for end < len(s) && s[end] >= '0' && s[end] <= '9' {
		end++
	}
	n, _ := strconv.ParseUint(s[:end], 10, 64)
	return n
}
