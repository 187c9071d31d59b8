package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/firefly-go/firefly/gen"
)

// cmdGenerate writes what follows from the declaration. When anything fails, nothing is
// written.
func cmdGenerate(ctx context.Context, c *call) int {
	began := time.Now()
	f, dir := c.flags()
	scaffold := f.Bool("scaffold", false, "also make role packages and main.go that are missing, and append missing methods to the code of roles")
	if _, code, ok := c.parse(f, 0); !ok {
		return code
	}
	g, err := openGame(*dir)
	if err != nil {
		return c.fail(err)
	}
	return g.run(ctx, c, *scaffold, began)
}

func (g *game) run(ctx context.Context, c *call, scaffold bool, began time.Time) int {
	if !scaffold {
		if s, ok := g.fresh(); ok {
			c.warn(s.Said)
			fmt.Fprintf(c.stdout, "%d files, all up to date, in %s\n", len(s.Outputs), since(began))
			return good
		}
	}
	sys, o, files, err := g.generate(ctx)
	if err != nil {
		return c.fail(err)
	}
	changes, err := g.compare(files, o.Lock)
	if err != nil {
		return c.fail(err)
	}
	var notes []string
	if scaffold {
		own, said, err := gen.Scaffold(sys, o, os.DirFS(g.root))
		if err != nil {
			return c.fail(g.seen(err))
		}
		notes = said
		for _, f := range own {
			changes = append(changes, change{"scaffolded", f.Path, f.Data, strings.Join(f.Methods, ", ")})
		}
	}
	if err := ctx.Err(); err != nil {
		return c.fail(err)
	}
	if err := g.apply(changes); err != nil {
		return c.fail(err)
	}
	said := g.warnings(sys, o)
	g.remember(sys, files, said)
	c.warn(said)
	for _, ch := range changes {
		fmt.Fprintln(c.stdout, ch)
	}
	for _, n := range notes {
		fmt.Fprintf(c.stdout, "note  %s\n", n)
	}
	if len(changes) == 0 {
		fmt.Fprintf(c.stdout, "%d files, all up to date, in %s\n", len(files), since(began))
	} else {
		fmt.Fprintf(c.stdout, "%d files, %d changed, in %s\n", len(files), len(changes), since(began))
	}
	return good
}

func since(t time.Time) time.Duration { return time.Since(t).Round(time.Millisecond) }

// cmdCheck says what generate would change, and changes nothing.
func cmdCheck(ctx context.Context, c *call) int {
	f, dir := c.flags()
	if _, code, ok := c.parse(f, 0); !ok {
		return code
	}
	g, err := openGame(*dir)
	if err != nil {
		return c.fail(err)
	}
	sys, o, files, err := g.generate(ctx)
	if err != nil {
		return c.fail(err)
	}
	changes, err := g.compare(files, o.Lock)
	if err != nil {
		return c.fail(err)
	}
	c.warn(g.warnings(sys, o))
	behind, err := g.behind(ctx, sys)
	if err != nil {
		return c.fail(err)
	}
	if behind {
		fmt.Fprintln(c.stderr, "the tables are others than the last migration leads to; run ffgen migrate diff NAME")
	}
	if len(changes) == 0 && behind {
		return wrong
	}
	if len(changes) == 0 {
		fmt.Fprintf(c.stdout, "%d files, all up to date\n", len(files))
		return good
	}
	for _, ch := range changes {
		switch ch.verb {
		case "new":
			fmt.Fprintf(c.stderr, "%s is missing\n", ch.name)
		case "removed":
			fmt.Fprintf(c.stderr, "%s is no longer generated\n", ch.name)
		default:
			fmt.Fprintf(c.stderr, "%s is stale\n", ch.name)
		}
	}
	fmt.Fprintln(c.stderr, "run ffgen generate")
	return wrong
}
