package history

import (
	"fmt"
	"strings"
	"time"
)

// around is how long before a violation something may have to do with it.
const around = 10 * time.Second

// Excerpt returns what has to do with a violation: the faults of its scout
// shortly before.
func (c *Checker) Excerpt(v Violation) string {
	var b strings.Builder
	for _, f := range c.faults {
		if (v.Scout == All || f.of(v.Scout)) && f.within(v.At-around, v.At, 0) {
			fmt.Fprintf(&b, "\n  fault %d: %s: from %s, on %s, off %s, over %s", f.id, f.kind, when(f.begin), when(f.on), when(f.off), when(f.ended))
		}
	}
	return b.String()
}

func when(t time.Duration) string {
	if t == Forever {
		return "…"
	}
	return t.Round(time.Millisecond).String()
}
