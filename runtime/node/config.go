package node

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// fillConfig fills a role's config message: from roles.ROLE.config of the launch file, then
// from the environment, where ARENA_WORLD_MAX_PLAYERS is the field max_players of role world
// in game arena. Faults in the launch file are a LaunchError with their position.
func (l *Launch) fillConfig(role string, m proto.Message, getenv func(string) string) error {
	if raw := l.Roles[role].Config; len(raw) > 0 {
		if err := protojson.Unmarshal(raw, m); err != nil {
			return l.configFault(role, err)
		}
	}
	prefix := envName(l.Game) + "_" + envName(role)
	if err := fillEnv(m.ProtoReflect(), prefix, getenv, 4); err != nil {
		return err
	}
	if r, ok := m.(interface{ CheckRules() error }); ok {
		if err := r.CheckRules(); err != nil {
			return fmt.Errorf("the config of role %s: %w", role, err)
		}
	}
	return nil
}

var protojsonPosition = regexp.MustCompile(`\(line ([0-9]+):([0-9]+)\):?\s*`)

// configFault moves a position inside the config object to one in the launch file.
func (l *Launch) configFault(role string, err error) error {
	f := l.fault(l.at[ptrTo("roles", role, "config")].value, "")
	text := strings.TrimSpace(strings.TrimLeft(strings.TrimPrefix(err.Error(), "proto:"), " \u00a0"))
	if m := protojsonPosition.FindStringSubmatchIndex(text); m != nil {
		line, _ := strconv.Atoi(text[m[2]:m[3]])
		col, _ := strconv.Atoi(text[m[4]:m[5]])
		if line == 1 {
			f.Col += col - 1
		} else {
			f.Col = col
		}
		f.Line += line - 1
		text = text[:m[0]] + text[m[1]:]
	}
	f.Message = fmt.Sprintf("the config of role %s: %s", role, text)
	return LaunchError{f}
}

func envName(s string) string {
	return strings.ToUpper(strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, s))
}

// fillEnv sets the fields that the environment names. Lists, maps and well-known types are
// written as JSON there, everything else plainly. depth is how many messages deep it looks.
func fillEnv(m protoreflect.Message, prefix string, getenv func(string) string, depth int) error {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		fd := fields.Get(i)
		name := prefix + "_" + envName(string(fd.Name()))
		if inner := fd.Message(); inner != nil && !fd.IsList() && !fd.IsMap() && inner.ParentFile().Package() != "google.protobuf" {
			if depth == 0 {
				continue
			}
			// A message that is not there is made only when something is set in it.
			sub := m.Get(fd).Message()
			if !sub.IsValid() {
				sub = m.NewField(fd).Message()
			} else {
				sub = m.Mutable(fd).Message()
			}
			if err := fillEnv(sub, name, getenv, depth-1); err != nil {
				return err
			}
			if proto.Size(sub.Interface()) > 0 {
				m.Set(fd, protoreflect.ValueOfMessage(sub))
			}
			continue
		}
		text := getenv(name)
		if text == "" {
			continue
		}
		if !fd.IsList() && !fd.IsMap() && plain(fd.Kind(), text) {
			quoted, err := json.Marshal(text)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			text = string(quoted)
		}
		fresh := m.New()
		if err := protojson.Unmarshal([]byte(`{"`+string(fd.Name())+`":`+text+`}`), fresh.Interface()); err != nil {
			return fmt.Errorf("%s: %q is no value for %s", name, getenv(name), fd.FullName())
		}
		m.Clear(fd)
		if fresh.Has(fd) {
			m.Set(fd, fresh.Get(fd))
		}
	}
	return nil
}

// plain reports whether the text stands for itself, and is no JSON.
func plain(k protoreflect.Kind, text string) bool {
	switch k {
	case protoreflect.StringKind, protoreflect.BytesKind:
		return true
	case protoreflect.EnumKind:
		_, err := strconv.Atoi(text)
		return err != nil
	case protoreflect.MessageKind: // durations and times are strings in JSON, others objects
		return !strings.HasPrefix(text, "{") && !strings.HasPrefix(text, "\"")
	}
	return false
}
