package access

import "io/fs"

// readableByAll cannot be told from the mode here.
func readableByAll(fs.FileMode) bool { return false }
