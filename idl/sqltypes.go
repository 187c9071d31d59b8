package idl

import (
	"strconv"
	"strings"
)

// What types of MySQL hold.

// SQLLimits are what the type of a column in MySQL can hold.
type SQLLimits struct {
	Integer bool // Min and Max say something
	Min     int64
	Max     uint64
	// MaxLen is in characters of CHAR and VARCHAR and in bytes of all others; 0: nothing to say.
	MaxLen uint64
	Bytes  bool // MaxLen counts bytes
}

// typeNames are the spellings that MySQL itself translates.
var typeNames = map[string]string{"INTEGER": "INT", "NUMERIC": "DECIMAL", "REAL": "DOUBLE", "BOOL": "TINYINT(1)", "BOOLEAN": "TINYINT(1)"}

// CanonicalSQLType is a type in capitals without spaces: "DECIMAL(10,2)", "ENUM('a','b')".
func CanonicalSQLType(s string) string {
	head, rest := s, ""
	if i := strings.IndexByte(s, '('); i >= 0 {
		head, rest = strings.TrimSpace(s[:i]), s[i:]
	}
	head = strings.ToUpper(head)
	if name := typeNames[head]; name != "" {
		head = name
	}
	var b strings.Builder
	quoted := false
	for _, r := range rest {
		if r == '\'' {
			quoted = !quoted
		}
		if r != ' ' || quoted {
			b.WriteRune(r)
		}
	}
	return head + b.String()
}

// SplitSQLType splits a type in its canonical spelling: "DECIMAL", ["10" "2"], unsigned.
func SplitSQLType(t string) (head string, args []string, unsigned bool) {
	t, unsigned = strings.CutSuffix(t, " UNSIGNED")
	head, rest, ok := strings.Cut(t, "(")
	if ok {
		args = strings.Split(strings.TrimSuffix(rest, ")"), ",")
	}
	return head, args, unsigned
}

// SQLTypeLimits are those of a type of MySQL in its canonical spelling.
func SQLTypeLimits(t string) SQLLimits {
	head, args, unsigned := SplitSQLType(t)
	first := 0
	if len(args) > 0 {
		first, _ = strconv.Atoi(args[0])
	}
	bits := map[string]int{"TINYINT": 8, "SMALLINT": 16, "MEDIUMINT": 24, "INT": 32, "BIGINT": 64}[head]
	switch {
	case bits > 0 && unsigned:
		return SQLLimits{Integer: true, Max: 1<<bits - 1}
	case bits > 0:
		return SQLLimits{Integer: true, Min: -1 << (bits - 1), Max: 1<<(bits-1) - 1}
	}
	switch head {
	case "BIT":
		return SQLLimits{Integer: true, Max: 1<<max(first, 1) - 1}
	case "YEAR":
		// 0 is the year 0000, and the next one is 1901.
		return SQLLimits{Integer: true, Min: 0, Max: 2155}
	case "DECIMAL":
		if first == 0 {
			first = 10
		}
		if len(args) > 1 {
			scale, _ := strconv.Atoi(args[1])
			first -= scale
		}
		l := SQLLimits{Integer: true, Min: -1 << 63, Max: 1<<64 - 1}
		if first <= 18 {
			p := uint64(1)
			for range first {
				p *= 10
			}
			l.Min, l.Max = -int64(p-1), p-1
		} else if first == 19 {
			l.Max = 9_999_999_999_999_999_999
		}
		if unsigned {
			l.Min = 0
		}
		return l
	case "CHAR", "VARCHAR":
		return SQLLimits{MaxLen: uint64(max(first, 1))}
	case "BINARY", "VARBINARY":
		return SQLLimits{MaxLen: uint64(max(first, 1)), Bytes: true}
	case "TINYTEXT", "TINYBLOB":
		return SQLLimits{MaxLen: 1<<8 - 1, Bytes: true}
	case "TEXT", "BLOB":
		return SQLLimits{MaxLen: 1<<16 - 1, Bytes: true}
	case "MEDIUMTEXT", "MEDIUMBLOB":
		return SQLLimits{MaxLen: 1<<24 - 1, Bytes: true}
	case "LONGTEXT", "LONGBLOB", "JSON":
		return SQLLimits{MaxLen: 1<<32 - 1, Bytes: true}
	}
	return SQLLimits{}
}
