// Package version tells which version of Scout the program was built from.
package version

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
)

// stamp is set by the linker: see the Makefile.
var stamp string

// String is the version, or "dev" if it is unknown.
func String() string {
	if stamp != "" {
		return stamp
	}
	if info, ok := debug.ReadBuildInfo(); ok && strings.HasPrefix(info.Main.Version, "v") {
		return info.Main.Version
	}
	return "dev"
}

// Line is what a program prints of its version.
func Line(program string) string {
	return fmt.Sprintf("%s %s (%s, %s/%s)", program, String(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
}
