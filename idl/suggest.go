package idl

import "strings"

// nearest is the candidate within two edits of name, the nearest one, or "". Of several equally
// near ones the first by the alphabet is taken. A name of one or two letters has no neighbours,
// but for those that differ in their case.
func nearest(name string, candidates []string) string {
	best, least := "", min(2, (len(name)-1)/2)
	same := ""
	for _, c := range candidates {
		if c == name || len(c)-len(name) > least || len(name)-len(c) > least {
			continue
		}
		if strings.EqualFold(c, name) && (same == "" || c < same) {
			same = c
		}
		if d := edits(name, c, least+1); d < least || d == least && (best == "" || c < best) {
			best, least = c, d
		}
	}
	if best == "" {
		return same
	}
	return best
}

// didYouMean is the end of a sentence that suggests the nearest candidate, or nothing.
func didYouMean(name string, candidates []string) string {
	if best := nearest(name, candidates); best != "" {
		return `; did you mean "` + best + `"?`
	}
	return ""
}

// edits counts inserted, deleted, replaced and swapped letters between a and b, up to limit.
func edits(a, b string, limit int) int {
	if len(a) > 100 || len(b) > 100 {
		return limit
	}
	var rows [3][102]int
	before, prev, row := &rows[0], &rows[1], &rows[2]
	for j := range len(b) + 1 {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		low := i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			d := min(prev[j]+1, row[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d = min(d, before[j-2]+1)
			}
			row[j] = d
			low = min(low, d)
		}
		if low >= limit {
			return limit
		}
		before, prev, row = prev, row, before
	}
	return min(prev[len(b)], limit)
}
