package mysqlimport

import (
	"strconv"
	"strings"
	"unicode"
)

// goMethods are Go names that generated messages have as methods.
var goMethods = map[string]bool{
	"Reset": true, "String": true, "ProtoMessage": true, "ProtoReflect": true, "Descriptor": true, "SizeVT": true, "MarshalVT": true,
	"UnmarshalVT": true, "MarshalToVT": true, "MarshalToSizedBufferVT": true, "CloneVT": true, "CloneMessageVT": true, "EqualVT": true, "EqualMessageVT": true,
	"CheckRules": true, "ResetVT": true, "ReturnToVTPool": true, "Marshal": true, "Unmarshal": true, "ExtensionRangeArray": true, "ExtensionMap": true, "ClearAll": true,
}

// snake is a name of SQL as one of a proto field: characterId is character_id. What is no letter, digit
// or '_' is left out.
func snake(s string) string {
	var b strings.Builder
	r := []rune(s)
	for i, c := range r {
		switch {
		case c >= 'A' && c <= 'Z':
			// A word begins, unless capitals go on: playerID is player_id, and HTTPPort http_port.
			lowBefore := i > 0 && (r[i-1] >= 'a' && r[i-1] <= 'z' || r[i-1] >= '0' && r[i-1] <= '9')
			lowAfter := i > 0 && r[i-1] >= 'A' && r[i-1] <= 'Z' && i+1 < len(r) && r[i+1] >= 'a' && r[i+1] <= 'z'
			if lowBefore || lowAfter {
				b.WriteByte('_')
			}
			b.WriteRune(unicode.ToLower(c))
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9':
			b.WriteRune(c)
		case c == '_', c == '-', c == '$', c == ' ', c == '.':
			b.WriteByte('_')
		}
	}
	out := strings.Trim(b.String(), "_")
	for strings.Contains(out, "__") {
		out = strings.ReplaceAll(out, "__", "_")
	}
	if out == "" {
		return "x"
	}
	// Behind a '_' stands a letter, else two spellings may be one in Go.
	var c strings.Builder
	for i := range len(out) {
		if out[i] == '_' && i+1 < len(out) && out[i+1] >= '0' && out[i+1] <= '9' {
			continue
		}
		c.WriteByte(out[i])
	}
	out = c.String()
	if out[0] >= '0' && out[0] <= '9' {
		out = "n" + out
	}
	return out
}

// camel is a message's name: tb_item is TbItem.
func camel(s string) string {
	var b strings.Builder
	for part := range strings.SplitSeq(snake(s), "_") {
		if part != "" {
			b.WriteString(strings.ToUpper(part[:1]) + part[1:])
		}
	}
	return b.String()
}

// fieldName is one that no other field has, in proto and in Go.
func fieldName(sql string, taken map[string]bool) string {
	base := snake(sql)
	if goMethods[camel(base)] {
		base += "_column"
	}
	name := base
	for n := 2; taken[camel(name)] || taken["Get"+camel(name)] || goMethods[camel(name)]; n++ {
		name = base + "_v" + strconv.Itoa(n)
	}
	taken[camel(name)] = true
	taken["Get"+camel(name)] = true
	return name
}

// messageName is one whose generated companions take nobody's name.
func messageName(sql string, taken map[string]bool) string {
	base := sql
	for _, p := range []string{"tb_", "tbl_", "t_"} {
		if rest, ok := strings.CutPrefix(strings.ToLower(sql), p); ok && rest != "" && !taken[camel(rest)] && rest[0] >= 'a' && rest[0] <= 'z' {
			base = sql[len(p):]
			break
		}
	}
	name := camel(base)
	suffixes := []string{"", "Table", "Writes", "Key", "Codec", "Spec"}
	free := func(n string) bool {
		for _, s := range suffixes {
			if taken[n+s] {
				return false
			}
		}
		return true
	}
	if !free(name) {
		name += "Row"
	}
	for n, first := 2, name; !free(name); n++ {
		name = first + strconv.Itoa(n)
	}
	for _, s := range suffixes {
		taken[name+s] = true
	}
	return name
}
