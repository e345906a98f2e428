package access

import (
	"fmt"
	"iter"
	"strings"
)

// lines yields the lines of a file that say something, trimmed, and where each
// is: "file:7".
func lines(file string, content []byte) iter.Seq2[string, string] {
	return func(yield func(at, line string) bool) {
		n := 0
		for line := range strings.Lines(string(content)) {
			n++
			line = strings.TrimSpace(line)
			if line == "" || line[0] == '#' {
				continue
			}
			if !yield(fmt.Sprintf("%s:%d", file, n), line) {
				return
			}
		}
	}
}
