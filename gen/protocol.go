package gen

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"text/template"

	"github.com/firefly-go/firefly"
	"github.com/firefly-go/firefly/idl/fireflypb"
	"github.com/firefly-go/firefly/templates"
)

// emitProtocol writes docs/protocol.md, the page that a client developer works from: how to
// connect, every command with its fields and limits, pushes, errors and messages.
func (g *generator) emitProtocol() ([]File, error) {
	d := g.describe()
	messages := map[string]MessageInfo{}
	for _, m := range d.Messages {
		messages[m.Name] = m
	}
	own := g.sys.Roles[0].Package.Name + "."
	short := func(name string) string { return strings.ReplaceAll(name, own, "") }
	data := struct {
		*Description
		Doors  []doorText
		Codes  []codeText
		Types  []MessageInfo
		Public bool
	}{Description: d, Doors: doors(g), Codes: frameworkCodes()}
	inline := map[string]bool{}
	for _, c := range d.Commands {
		inline[c.Request] = true
		inline[c.Reply] = true
	}
	for _, p := range d.Pushes {
		inline[p.Name] = true
	}
	reached := map[string]bool{}
	var reach func(name string)
	reach = func(name string) {
		m, ok := messages[name]
		if !ok || reached[name] {
			return
		}
		reached[name] = true
		for _, f := range m.Fields {
			for _, t := range typesIn(f.Type) {
				reach(t)
			}
		}
	}
	for name := range inline {
		reach(name)
	}
	nested := map[string]bool{} // also inside others, so it gets a place of its own
	for _, m := range d.Messages {
		if !reached[m.Name] {
			continue
		}
		for _, f := range m.Fields {
			for _, t := range typesIn(f.Type) {
				nested[t] = true
			}
		}
	}
	for _, m := range d.Messages {
		if reached[m.Name] && (!inline[m.Name] || nested[m.Name]) {
			data.Types = append(data.Types, m)
		}
	}
	t, err := template.New("protocol.md.tmpl").Funcs(template.FuncMap{
		"short":   short,
		"message": func(name string) MessageInfo { return messages[name] },
		"known":   func(name string) bool { _, ok := messages[name]; return ok },
		"cell":    cell,
		"anchor":  func(name string) string { return strings.ToLower(strings.ReplaceAll(short(name), ".", "")) },
		"method":  lastTwo,
		"remarks": remarks,
	}).ParseFS(templates.FS, "protocol.md.tmpl")
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := t.Execute(&b, data); err != nil {
		return nil, err
	}
	text := blankLines.ReplaceAll(b.Bytes(), []byte("\n\n"))
	return []File{{Path: ProtocolPath, Data: append(bytes.TrimRight(text, "\n"), '\n')}}, nil
}

// blankLines are more of them than a reader needs; the template leaves them where optional
// parts were.
var blankLines = regexp.MustCompile(`\n{3,}`)

// cell is a text inside a table.
func cell(s string) string {
	return strings.ReplaceAll(strings.ReplaceAll(s, "\n", " "), "|", `\|`)
}

// lastTwo is "Arena.Join" of "arena.v1.Arena.Join".
func lastTwo(name string) string {
	parts := strings.Split(name, ".")
	if len(parts) < 2 {
		return name
	}
	return strings.Join(parts[len(parts)-2:], ".")
}

// remarks is what is special about a command.
func remarks(c CommandInfo) string {
	var s []string
	add := func(is bool, text string) {
		if is {
			s = append(s, text)
		}
	}
	add(c.Idempotent, "Sending it twice does no harm.")
	add(c.Unordered, "It may overtake other commands of the session.")
	add(c.Request == "Raw", "The request is opaque bytes.")
	add(c.Request == "Empty", "The request has an empty body.")
	add(c.Reply == "Raw", "The reply is opaque bytes.")
	add(c.Reply == "Empty", "The reply has an empty body.")
	add(c.Reply == "NoReply", "Nothing comes back.")
	return strings.Join(s, " ")
}

type doorText struct{ Role, Text string }

// doors says where and how to connect.
func doors(g *generator) []doorText {
	var ds []doorText
	add := func(role, format string, a ...any) {
		ds = append(ds, doorText{role, fmt.Sprintf(format, a...)})
	}
	for _, r := range g.sys.Roles {
		l := r.Listens
		if l == nil {
			continue
		}
		if l.GetTcp() != 0 || l.GetWebsocket() == 0 && l.GetHttp() == 0 {
			port := l.GetTcp()
			if port == 0 {
				port = defaultPort
			}
			add(r.Name, "TCP port %d, native protocol", port)
			if c := l.GetClassic(); c != nil {
				magic := c.GetMagic()
				if len(magic) == 0 {
					magic = make([]uint32, 5)
				}
				add(r.Name, "TCP port %d, classic protocol: magic %s, version %d, bodies %s", port, strings.Trim(fmt.Sprint(magic), "[]"), c.GetVersion(), c.GetBody())
			}
		}
		if l.GetWebsocket() != 0 {
			add(r.Name, "WebSocket port %d, path /ws", l.GetWebsocket())
		}
		if l.GetHttp() != 0 {
			add(r.Name, "HTTP port %d", l.GetHttp())
		}
		add(r.Name, "%s", limitsText(l))
	}
	return ds
}

func limitsText(l *fireflypb.Listen) string {
	or := func(s, other string) string {
		if s == "" {
			return other
		}
		return s
	}
	frame := l.GetMaxFrame()
	if frame == 0 {
		frame = 65536
	}
	idle := or(l.GetIdleTimeout(), "60s")
	if l.GetIdleTimeout() == "" && l.GetClassic() != nil {
		idle = "60s (classic: 15m)"
	}
	return fmt.Sprintf("Limits: bodies of %d bytes; a first frame within %s; idle at most %s; commands %s a session", frame,
		or(l.GetHandshakeTimeout(), "10s"), idle, or(l.GetRate(), "100/s"))
}

type codeText struct {
	Number uint32
	Code   firefly.Code
}

// frameworkCodes are the codes that any command may answer.
func frameworkCodes() []codeText {
	var cs []codeText
	for n := uint32(1); n < firefly.FirstGameCode; n++ {
		if c, ok := firefly.CodeOfNumber(n); ok {
			cs = append(cs, codeText{n, c})
		}
	}
	return cs
}
