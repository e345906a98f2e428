package watch

import "os"

// identify does not tell directories apart here: each is treated as another
// one whenever a notification names it.
func identify(os.FileInfo) identity { return identity{} }
