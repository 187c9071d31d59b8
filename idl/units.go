package idl

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// year is the longest duration that can be written; none here means more.
const year = 365 * 24 * time.Hour

var units = map[string]time.Duration{
	"ms": time.Millisecond, "s": time.Second, "m": time.Minute, "h": time.Hour, "d": 24 * time.Hour,
}

// parseDuration reads "250ms", "1.5s", "7d".
func parseDuration(s string) (time.Duration, error) {
	end := len(s)
	for end > 0 && s[end-1] >= 'a' && s[end-1] <= 'z' {
		end--
	}
	n, err := decimal(s[:end])
	unit, ok := units[s[end:]]
	if err != nil || !ok {
		return 0, fmt.Errorf(`%q is no duration; write a number and ms, s, m, h or d, e.g. "250ms"`, s)
	}
	if n*float64(unit) > float64(year) {
		return 0, fmt.Errorf("%q is over a year", s)
	}
	return time.Duration(math.Round(n * float64(unit))), nil
}

// decimal reads digits with at most one point between them.
func decimal(s string) (float64, error) {
	whole, part, point := strings.Cut(s, ".")
	if !digits(whole) || point && !digits(part) || len(s) > 20 {
		return 0, errors.New("no number")
	}
	return strconv.ParseFloat(s, 64)
}

func digits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

// parseRate reads "5/s", "1/10s" and "none".
func parseRate(s string) (Rate, error) {
	if s == "none" {
		return Rate{Count: -1}, nil
	}
	bad := fmt.Errorf(`%q is no rate; write a count, '/', and s, m, h or a duration, e.g. "5/s" or "1/10s"; or "none"`, s)
	count, per, ok := strings.Cut(s, "/")
	if !ok || !digits(count) || len(count) > 9 {
		return Rate{}, bad
	}
	n, err := strconv.Atoi(count)
	if err != nil {
		return Rate{}, bad
	}
	if n == 0 {
		return Rate{}, fmt.Errorf("%q lets nothing through", s)
	}
	if _, ok := units[per]; ok {
		per = "1" + per
	}
	d, err := parseDuration(per)
	if err != nil {
		return Rate{}, bad
	}
	if d == 0 {
		return Rate{}, fmt.Errorf(`%q has no period; write "none" for no limit`, s)
	}
	return Rate{Count: int32(n), Per: d}, nil
}

// formatDuration writes a duration the way parseDuration reads it.
func formatDuration(d time.Duration) string {
	for _, u := range []string{"d", "h", "m", "s"} {
		if d != 0 && d%units[u] == 0 {
			return strconv.FormatInt(int64(d/units[u]), 10) + u
		}
	}
	return strconv.FormatInt(int64(d/time.Millisecond), 10) + "ms"
}
