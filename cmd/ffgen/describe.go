package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/firefly-go/firefly/gen"
)

// cmdDescribe prints what is declared, for people or, with --json, for programs.
func cmdDescribe(ctx context.Context, c *call) int {
	f, dir := c.flags()
	asJSON := f.Bool("json", false, "print JSON")
	if _, code, ok := c.parse(f, 0); !ok {
		return code
	}
	g, err := openGame(*dir)
	if err != nil {
		return c.fail(err)
	}
	sys, err := g.load(ctx)
	if err != nil {
		return c.fail(err)
	}
	o, err := g.options()
	if err != nil {
		return c.fail(err)
	}
	d, err := gen.Describe(sys, o)
	if err != nil {
		return c.fail(g.seen(err))
	}
	if *asJSON {
		enc := json.NewEncoder(c.stdout)
		enc.SetIndent("", "  ")
		if err := enc.Encode(d); err != nil {
			return c.fail(err)
		}
		return good
	}
	w := tabwriter.NewWriter(c.stdout, 0, 8, 2, ' ', 0)
	fmt.Fprintf(w, "game %s, fingerprint %s\n\n", d.Game, d.Fingerprint)
	for _, r := range d.Roles {
		fmt.Fprintf(w, "role %s\tx%d\t%s\tserves %s\tuses %s\n", r.Name, r.Replicas, r.Routing, or(strings.Join(r.Serves, " ")), or(strings.Join(r.Uses, " ")))
	}
	for _, x := range d.Commands {
		fmt.Fprintf(w, "command %d\t%s\t%s -> %s\t%s\n", x.ID, x.Name, x.Request, x.Reply, or(x.Role))
	}
	for _, x := range d.Calls {
		fmt.Fprintf(w, "call\t%s\t%s -> %s\t%s\n", x.Name, x.Request, x.Reply, or(x.Role))
	}
	for _, x := range d.Pushes {
		fmt.Fprintf(w, "push %d\t%s\t%s\t\n", x.ID, x.Name, x.Slow)
	}
	for _, x := range d.Tables {
		fmt.Fprintf(w, "table %s\t%s\tkey %s\t%s\t%s\n", x.SQL, x.Name, strings.Join(x.Key, " "), x.Durability, or(strings.Join(x.Roles, " ")))
	}
	for _, x := range d.Errors {
		fmt.Fprintf(w, "error %d\t%s\t\t\n", x.Number, x.Code)
	}
	if err := w.Flush(); err != nil {
		return c.fail(err)
	}
	return good
}

func or(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
