package main

import (
	"fmt"

	"os"
)

// serve runs one server until its standard input is closed; its first line says where it
// listens.
func serve(args []string) error {
	var addr string
	var err error
	const any = "127.0.0.1:0"
	switch args[0] {
	case "raw-echo":
		addr, err = serveRawEcho(any)
	case "relay":
		addr, err = serveRelay(any, args[1])
	case "raw-calls":
		addr, err = serveRawCalls(any)
	case "grpc":
		addr, err = serveGRPC(any)
	case "rpc":
		addr, err = serveRPC(any)
	default:
		return fmt.Errorf("no server %q", args[0])
	}
	if err != nil {
		return err
	}
	fmt.Fprintln(os.Stdout, addr)
	untilParentEnds()
	return nil
}
