//go:build !linux

package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "chaos: stopping processes and breaking networks is done as on Linux; run it there")
	os.Exit(1)
}
