// Command peer is the test server and the test client on the Go SDK (both eras).
package main

import (
	"fmt"
	"os"
)

func main() {
	role := ""
	if len(os.Args) > 1 {
		role = os.Args[1]
	}
	switch role {
	case "server":
		os.Exit(serve())
	case "client":
		os.Exit(runClient(os.Args[2:]))
	default:
		fmt.Fprintln(os.Stderr, "usage: peer server | peer client [OPTIONS] -- SERVER COMMAND")
		os.Exit(2)
	}
}
