// Command ffgen turns the .proto files of a game into its Go packages, launch file, client
// and protocol page.
//
//	ffgen new NAME        a blank directory becomes a game
//	ffgen                 the same as ffgen generate
//	ffgen check           is everything generated up to date
//	ffgen breaking        what released clients no longer understand
//	ffgen import mysql    the tables of an existing schema
//	ffgen migrate diff    the next migration of the databases
//	ffgen describe        what is declared
//
// All of it but disk, flags and exit codes is done by the gen package.
package main

import (
	"context"
	"os"
)

func main() {
	os.Exit(run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
