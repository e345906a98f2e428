package render

import (
	"strings"
	"sync/atomic"

	"scout/internal/files"
	"scout/internal/listing"
)

// fragments are what the entries of each source have in common in a format, by
// the number of the source, ready to be copied: padded. The fragment of a source
// that is not shown is nil.
type fragments [][]byte

// sourceFragments are the fragments of the sources of one Version.
type sourceFragments struct {
	sources *listing.Sources
	of      []*listing.Source // by number; nil if not shown
	all     fragments
}

// fragmentCache keeps the fragments that were made last. Sources change less
// often than lists, and one at a time.
type fragmentCache [formatCount]atomic.Pointer[sourceFragments]

// get returns the fragments of a Version's sources.
func (c *fragmentCache) get(v *listing.Version, f Format) fragments {
	last := c[f].Load()
	if last != nil && last.sources == v.Sources() {
		return last.all
	}
	made := newSourceFragments(v.Sources(), f, last)
	c[f].Store(made)
	return made.all
}

// newSourceFragments makes fragments. It takes over those that were made before
// for the same sources.
func newSourceFragments(sources *listing.Sources, f Format, last *sourceFragments) *sourceFragments {
	n := sources.Numbers()
	s := &sourceFragments{sources: sources, of: make([]*listing.Source, n), all: make(fragments, n)}
	for i := range n {
		source := sources.Shown(uint32(i))
		switch {
		case source == nil:
			continue
		case last != nil && i < len(last.of) && last.of[i] == source:
			s.all[i] = last.all[i]
		default:
			s.all[i] = padded(newFragment(source.Origin, f))
		}
		s.of[i] = source
	}
	return s
}

func newFragment(o files.Origin, f Format) []byte {
	switch f {
	case JSON, NDJSON:
		return append(appendJSONOrigin(nil, o), jsonStyles[f].next...)
	case Text:
		return appendPrintable(nil, []byte(folder(o)))
	}
	return []byte(folder(o))
}

// folder returns the part of a path that comes before the filenames of an origin.
func folder(o files.Origin) string {
	return strings.TrimSuffix(o.Directory, "/") + "/"
}
