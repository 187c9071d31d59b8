package node

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/firefly-go/firefly/runtime/master"
)

// word is a word of a command, and how many arguments follow it.
type word struct {
	name     string
	min, max int
	takes    string // in words
}

// words parses a command that has a word of its own: tables status --json.
func (g *game) words(name string, args []string, known ...word) (rest []string, asJSON bool, err error) {
	fs := g.flags(name)
	fs.BoolVar(&asJSON, "json", false, "print JSON")
	rest, err = parse(fs, args, 0, -1)
	if err != nil {
		return nil, false, err
	}
	var names []string
	for _, w := range known {
		names = append(names, w.name)
		if len(rest) == 0 || rest[0] != w.name {
			continue
		}
		if len(rest) > w.min && len(rest) <= w.max+1 {
			return rest, asJSON, nil
		}
		fmt.Fprintf(g.stderr, "%s %s: %d arguments; it takes %s\n", name, w.name, len(rest)-1, w.takes)
		return nil, false, errUsage
	}
	if len(rest) == 0 {
		fmt.Fprintf(g.stderr, "%s what? There are %s\n", name, strings.Join(names, ", "))
		return nil, false, errUsage
	}
	fmt.Fprintf(g.stderr, "%s: there is no %q; there are %s\n", name, rest[0], strings.Join(names, ", "))
	return nil, false, errUsage
}

func runTables(ctx context.Context, g *game, args []string) (int, error) {
	rest, asJSON, err := g.words("tables", args, word{"status", 0, 0, "none"}, word{"quarantine", 0, 2, "[TABLE [KEY]]"},
		word{"retry", 0, 2, "[TABLE [KEY]]"}, word{"discard", 2, 2, "TABLE KEY"})
	if err != nil {
		return 2, err
	}
	if err := g.load(); err != nil {
		return 2, err
	}
	c, err := g.adminClient()
	if err != nil {
		return 1, err
	}
	list, err := tablesOf(ctx, c)
	if err != nil {
		return 1, err
	}
	if rest[0] == "status" {
		return g.printTables(list, asJSON)
	}
	ask := tablesAsk{Do: rest[0]}
	for i, to := range []*string{&ask.Table, &ask.Key} {
		if len(rest) > i+1 {
			*to = rest[i+1]
		}
	}
	return g.quarantine(ctx, c, list, ask, asJSON)
}

// tablesOf asks every node that keeps tables how it is doing.
func tablesOf(ctx context.Context, c master.Client) ([]TablesStatus, error) {
	text, err := json.Marshal(tablesAsk{Do: "status"})
	if err != nil {
		return nil, err
	}
	answers, err := c.Tables(ctx, "", text)
	if err != nil {
		return nil, err
	}
	list := make([]TablesStatus, len(answers))
	for i, a := range answers {
		if a.Error == "" {
			if err := json.Unmarshal(a.Body, &list[i]); err != nil {
				a.Error = err.Error()
			}
		}
		list[i].Node, list[i].Error = a.Node, a.Error
	}
	return list, nil
}

// printTables prints what the nodes say. The code is 1 when one of them said nothing.
func (g *game) printTables(list []TablesStatus, asJSON bool) (code int, err error) {
	flushers := false
	for _, s := range list {
		if s.Error != "" {
			code = 1
		}
		flushers = flushers || s.Flusher != nil
	}
	if asJSON {
		return code, g.printJSON(list)
	}
	w := tabwriter.NewWriter(g.stdout, 0, 0, 2, ' ', 0)
	if flushers {
		fmt.Fprintln(w, "NODE\tSTORE\tSHARDS\tDIRTY\tOLDEST\tLAG\tROWS/S\tBATCH\tQUARANTINE\tDATABASE")
	} else {
		fmt.Fprintln(w, "NODE\tSTORE\tCOMMITS/S\tWAITING\tCOMMITS\tREFUSED\tSIZE\tFILE")
	}
	for _, s := range list {
		switch e, f := s.Embedded, s.Flusher; {
		case s.Error != "":
			fmt.Fprintf(w, "%s\t%s\n", s.Node, s.Error)
		case f != nil:
			database := "takes rows"
			switch {
			case f.Away > 0:
				database = "away for " + seconds(f.Away)
			case len(f.Stalled) > 0:
				database = "refuses " + strings.Join(f.Stalled, ", ")
			}
			fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%s\t%s\t%.1f\t%d\t%d\t%s\n", s.Node, s.Store, f.Shards, f.Dirty, seconds(f.Oldest), seconds(f.Lag), f.PerSecond, f.Batch, f.Quarantine, database)
		case e != nil:
			fmt.Fprintf(w, "%s\t%s\t%.1f\t%d\t%d\t%d\t%.1f MiB\t%s\n", s.Node, s.Store, e.PerSecond, e.Waiting, e.Commits, e.Refused, float64(e.Bytes)/(1<<20), e.File)
		default:
			fmt.Fprintf(w, "%s\tnone\n", s.Node)
		}
	}
	return code, w.Flush()
}

func seconds(s float64) string {
	return time.Duration(s * float64(time.Second)).Round(time.Millisecond).String()
}

// quarantine lists rows that the database refuses, has it try them again, or gives one up. Any node that
// flushes the cache can do it.
func (g *game) quarantine(ctx context.Context, c master.Client, list []TablesStatus, ask tablesAsk, asJSON bool) (int, error) {
	node := ""
	for _, s := range list {
		if s.Store != "" && s.Error == "" && (node == "" || s.Flusher != nil) {
			node = s.Node
		}
	}
	if node == "" {
		return 1, fmt.Errorf("no node answers that keeps tables")
	}
	text, err := json.Marshal(ask)
	if err != nil {
		return 1, err
	}
	answers, err := c.Tables(ctx, node, text)
	switch {
	case err != nil:
		return 1, err
	case len(answers) != 1:
		return 1, fmt.Errorf("%s did not answer", node)
	case answers[0].Error != "":
		return 1, fmt.Errorf("%s: %s", node, answers[0].Error)
	}
	var rows []QuarantinedRow
	if err := json.Unmarshal(answers[0].Body, &rows); err != nil {
		return 1, fmt.Errorf("%s: %w", node, err)
	}
	code := 0
	if len(rows) == 0 && ask.Do != "quarantine" {
		code = 1 // there was nothing to do it to
	}
	if asJSON {
		return code, g.printJSON(rows)
	}
	if len(rows) == 0 {
		fmt.Fprintln(g.stdout, "no such row is in quarantine")
		return code, nil
	}
	w := tabwriter.NewWriter(g.stdout, 0, 0, 2, ' ', 0)
	switch ask.Do {
	case "quarantine":
		fmt.Fprintln(w, "TABLE\tKEY\tATTEMPTS\tNEXT\tERROR")
		for _, r := range rows {
			fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%s\n", r.Table, r.Key, r.Attempts, r.Next.Format(time.RFC3339), r.Error)
		}
	case "retry":
		for _, r := range rows {
			fmt.Fprintf(w, "%s\t%s\tis tried again\n", r.Table, r.Key)
		}
	default:
		for _, r := range rows {
			fmt.Fprintf(w, "%s\t%s\tis as the database has it; its values were:\n", r.Table, r.Key)
			for _, field := range sortedKeys(r.Lost) {
				fmt.Fprintf(w, "\t%s\t%q\n", field, r.Lost[field])
			}
		}
	}
	return code, w.Flush()
}

func (g *game) printJSON(v any) error {
	enc := json.NewEncoder(g.stdout)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}
