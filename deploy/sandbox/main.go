package main

import (
	"os"

	"sandbox/controlplane"
)

func main() {
	code, _ := controlplane.Run(os.Args[1], os.Args[2:])
	os.Exit(code)
}
