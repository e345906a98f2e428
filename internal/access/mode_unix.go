//go:build unix

package access

import "io/fs"

func readableByAll(mode fs.FileMode) bool { return mode.Perm()&0o004 != 0 }
