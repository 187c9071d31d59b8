package gen

import (
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/firefly-go/firefly/idl"
	"github.com/firefly-go/firefly/idl/fireflypb"
)

// Description is a System for programs: `ffgen describe --json`. Fields are added to it and
// never change their meaning.
type Description struct {
	Game        string            `json:"game"`
	Fingerprint Hash              `json:"fingerprint"`
	Roles       []RoleDescription `json:"roles"`
	Commands    []CommandInfo     `json:"commands"`
	Calls       []CallInfo        `json:"calls"`
	Pushes      []PushInfo        `json:"pushes"`
	Errors      []ErrorInfo       `json:"errors"`
	Messages    []MessageInfo     `json:"messages"`
	Tables      []TableInfo       `json:"tables"`
}

// RoleDescription is one role.
type RoleDescription struct {
	Name     string   `json:"name"`
	Comment  string   `json:"comment,omitempty"`
	Place    string   `json:"place"`
	Replicas int      `json:"replicas"`
	Routing  string   `json:"routing"`
	Serves   []string `json:"serves"`
	Uses     []string `json:"uses"`
	Listens  bool     `json:"listens"`
	Session  string   `json:"session,omitempty"`
	State    string   `json:"state,omitempty"`
	Config   string   `json:"config,omitempty"`
}

// CommandInfo is one command.
type CommandInfo struct {
	ID         uint32 `json:"id"`
	Name       string `json:"name"`
	Go         string `json:"go"`
	Comment    string `json:"comment,omitempty"`
	Place      string `json:"place"`
	Role       string `json:"role,omitempty"`
	Public     bool   `json:"public"`
	Request    string `json:"request"`
	Reply      string `json:"reply"`
	Rate       string `json:"rate,omitempty"`
	Timeout    string `json:"timeout"`
	Key        string `json:"key,omitempty"`
	Unordered  bool   `json:"unordered"`
	Idempotent bool   `json:"idempotent"`
	Shape      Hash   `json:"shape"`
}

// CallInfo is one call between roles.
type CallInfo struct {
	Name       string `json:"name"`
	Go         string `json:"go"`
	Comment    string `json:"comment,omitempty"`
	Place      string `json:"place"`
	Role       string `json:"role,omitempty"`
	Request    string `json:"request"`
	Reply      string `json:"reply"`
	Timeout    string `json:"timeout,omitempty"`
	Key        string `json:"key,omitempty"`
	Player     string `json:"player,omitempty"`
	Idempotent bool   `json:"idempotent"`
	Shape      Hash   `json:"shape"`
}

// PushInfo is one push.
type PushInfo struct {
	ID      uint32 `json:"id"`
	Name    string `json:"name"`
	Go      string `json:"go"`
	Comment string `json:"comment,omitempty"`
	Place   string `json:"place"`
	Slow    string `json:"slow"`
	Key     string `json:"key,omitempty"`
	Shape   Hash   `json:"shape"`
}

// ErrorInfo is one code of the game.
type ErrorInfo struct {
	Number  int32  `json:"number"`
	Code    string `json:"code"`
	Go      string `json:"go"`
	Comment string `json:"comment,omitempty"`
	Place   string `json:"place"`
}

// MessageInfo is one message that a client or another role may see.
type MessageInfo struct {
	Name    string      `json:"name"`
	Comment string      `json:"comment,omitempty"`
	Place   string      `json:"place"`
	Enum    bool        `json:"enum,omitempty"`
	Fields  []FieldInfo `json:"fields"`
}

// FieldInfo is one field of a message, or one value of an enum.
type FieldInfo struct {
	Number  int32  `json:"number"`
	Name    string `json:"name"`
	Type    string `json:"type,omitempty"`
	JSON    string `json:"json,omitempty"`
	Comment string `json:"comment,omitempty"`
	Limits  string `json:"limits,omitempty"`
}

// Describe gives the whole System as plain data.
func Describe(sys *idl.System, o Options) (*Description, error) {
	g, err := newGenerator(sys, o)
	if err != nil {
		return nil, err
	}
	return g.describe(), nil
}

func (g *generator) describe() *Description {
	d := &Description{
		Game: g.sys.Game, Fingerprint: fingerprintOf(g.shapes.sorted()),
		Roles: []RoleDescription{}, Commands: []CommandInfo{}, Calls: []CallInfo{}, Pushes: []PushInfo{}, Errors: []ErrorInfo{}, Messages: []MessageInfo{}, Tables: []TableInfo{},
	}
	for _, r := range g.sys.Roles {
		x := RoleDescription{
			Name: r.Name, Comment: plain(r.Comment), Place: place(r.Pos), Replicas: r.Replicas, Routing: r.Opt.GetRouting().String(),
			Serves: []string{}, Uses: []string{}, Listens: r.Listens != nil,
			Session: fullName(r.Session), State: fullName(r.State), Config: fullName(r.Config),
		}
		for _, s := range r.Serves {
			x.Serves = append(x.Serves, s.FullName)
		}
		for _, u := range r.Uses {
			x.Uses = append(x.Uses, useName(u))
		}
		d.Roles = append(d.Roles, x)
	}
	rules := map[protoreflect.FullName]*fireflypb.Rule{}
	for _, p := range g.packages {
		for _, m := range p.Ruled {
			for _, f := range m.Fields {
				if f.Rule != nil {
					rules[f.Desc.FullName()] = f.Rule
				}
			}
		}
	}
	m := &messageList{rules: rules, seen: map[protoreflect.FullName]bool{}}
	for _, p := range g.packages {
		for _, c := range commandsByID(p.Package) {
			it := g.shapes.method(c)
			d.Commands = append(d.Commands, CommandInfo{
				ID: c.Command.ID, Name: c.FullName, Go: g.names.command(c), Comment: plain(c.Comment), Place: place(c.Pos), Role: servedBy(c.Service),
				Public: c.Command.Public, Request: m.wire(c.Request, c.Desc.Input()), Reply: m.wire(c.Reply, c.Desc.Output()),
				Rate: rateText(c.Command.Rate), Timeout: durationText(c.Command.Timeout), Key: fieldName(c.Command.Key),
				Unordered: c.Command.Unordered, Idempotent: c.Command.Idempotent, Shape: it.Shape,
			})
		}
		for _, s := range p.Services {
			for _, c := range s.Calls() {
				it := g.shapes.method(c)
				timeout := ""
				if c.Call.Timeout > 0 {
					timeout = durationText(c.Call.Timeout)
				}
				d.Calls = append(d.Calls, CallInfo{
					Name: c.FullName, Go: g.names.client(s) + "." + g.names.method(c), Comment: plain(c.Comment), Place: place(c.Pos), Role: servedBy(s),
					Request: m.wire(c.Request, c.Desc.Input()), Reply: m.wire(c.Reply, c.Desc.Output()),
					Timeout: timeout, Key: fieldName(c.Call.Key), Player: fieldName(c.Call.Player), Idempotent: c.Call.Idempotent, Shape: it.Shape,
				})
			}
		}
		for _, x := range byPushID(p.Pushes) {
			m.add(x.Desc)
			d.Pushes = append(d.Pushes, PushInfo{
				ID: x.ID, Name: string(x.Desc.FullName()), Go: g.names.pushID(x), Comment: plain(x.Comment), Place: place(x.Pos),
				Slow: x.Opt.GetSlow().String(), Key: fieldName(x.Key), Shape: g.shapes.push(x).Shape,
			})
		}
		for _, t := range p.Tables {
			d.Tables = append(d.Tables, g.describeTable(t))
		}
		for _, e := range p.Errors {
			for _, v := range errorValues(e) {
				d.Errors = append(d.Errors, ErrorInfo{
					Number: int32(v.Number()), Code: string(v.FullName()), Go: g.names.code(v), Comment: plain(leading(v)), Place: place(descPos(v)),
				})
			}
		}
	}
	d.Commands = sortedBy(d.Commands, func(c CommandInfo) uint32 { return c.ID })
	d.Pushes = sortedBy(d.Pushes, func(c PushInfo) uint32 { return c.ID })
	d.Errors = sortedBy(d.Errors, func(c ErrorInfo) int32 { return c.Number })
	d.Tables = sortedBy(d.Tables, func(x TableInfo) string { return x.Name })
	d.Messages = sortedBy(m.out, func(x MessageInfo) string { return x.Name })
	if d.Messages == nil {
		d.Messages = []MessageInfo{}
	}
	return d
}

// messageList collects messages with all that they contain.
type messageList struct {
	rules map[protoreflect.FullName]*fireflypb.Rule
	seen  map[protoreflect.FullName]bool
	out   []MessageInfo
}

func (l *messageList) wire(w idl.Wire, d protoreflect.MessageDescriptor) string {
	switch w {
	case idl.WireRaw:
		return "Raw"
	case idl.WireEmpty:
		return "Empty"
	case idl.WireNoReply:
		return "NoReply"
	}
	l.add(d)
	return string(d.FullName())
}

func (l *messageList) add(d protoreflect.MessageDescriptor) {
	if l.seen[d.FullName()] {
		return
	}
	l.seen[d.FullName()] = true
	x := MessageInfo{Name: string(d.FullName()), Comment: plain(leading(d)), Place: place(descPos(d)), Fields: []FieldInfo{}}
	for i := range d.Fields().Len() {
		f := d.Fields().Get(i)
		x.Fields = append(x.Fields, FieldInfo{
			Number: int32(f.Number()), Name: string(f.Name()), Type: typeText(f), JSON: f.JSONName(),
			Comment: plain(leading(f)), Limits: ruleText(f, l.rules[f.FullName()]),
		})
		el := f
		if f.IsMap() {
			el = f.MapValue()
		}
		switch {
		case el.Message() != nil:
			l.add(el.Message())
		case el.Enum() != nil:
			l.addEnum(el.Enum())
		}
	}
	l.out = append(l.out, x)
}

func (l *messageList) addEnum(d protoreflect.EnumDescriptor) {
	if l.seen[d.FullName()] {
		return
	}
	l.seen[d.FullName()] = true
	x := MessageInfo{Name: string(d.FullName()), Comment: plain(leading(d)), Place: place(descPos(d)), Enum: true, Fields: []FieldInfo{}}
	for i := range d.Values().Len() {
		v := d.Values().Get(i)
		x.Fields = append(x.Fields, FieldInfo{Number: int32(v.Number()), Name: string(v.Name()), Comment: plain(leading(v))})
	}
	l.out = append(l.out, x)
}

func servedBy(s *idl.Service) string {
	if s.Role == nil {
		return ""
	}
	return s.Role.Name
}

func fullName(d protoreflect.MessageDescriptor) string {
	if d == nil {
		return ""
	}
	return string(d.FullName())
}

func fieldName(d protoreflect.FieldDescriptor) string {
	if d == nil {
		return ""
	}
	return string(d.Name())
}

func useName(u idl.Use) string {
	switch {
	case u.Service != nil:
		return u.Service.FullName
	case u.Table != nil:
		return string(u.Table.Desc.FullName())
	case u.Sheet != nil:
		return string(u.Sheet.Desc.FullName())
	}
	return u.Name
}

func rateText(r idl.Rate) string {
	switch {
	case r.Count < 0:
		return "none"
	case r.Count == 0:
		return ""
	}
	per := durationText(r.Per)
	switch r.Per {
	case time.Second:
		per = "s"
	case time.Minute:
		per = "m"
	case time.Hour:
		per = "h"
	}
	return itoa(int(r.Count)) + "/" + per
}
