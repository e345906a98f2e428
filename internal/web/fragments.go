package web

import (
	"sync/atomic"

	"scout/internal/files"
	"scout/internal/listing"
)

// fragments are what the entries of each source have in common in a format,
// ready to be copied, by the number of the source. That of a source that is not
// shown is nil. They are padded.
type fragments [][]byte

// perFormat is what is kept of one source, or of all sources of a Version.
type perFormat[T any] [formatCount]atomic.Pointer[T]

// fragmentsOf returns the fragments of a Version's sources, which keep them.
func fragmentsOf(v *listing.Version, f format) fragments {
	sources := v.Sources()
	kept := &memo[perFormat[fragments]](&sources.Memo)[f]
	if all := kept.Load(); all != nil {
		return *all
	}
	all := make(fragments, sources.Numbers())
	for n := range all {
		if s := sources.Shown(uint32(n)); s != nil {
			all[n] = fragmentOf(s, f)
		}
	}
	kept.Store(&all)
	return all
}

// fragmentOf returns the fragment of a source, which keeps it: sources come and
// go more often than each of them is new.
func fragmentOf(s *listing.Source, f format) []byte {
	kept := &memo[perFormat[[]byte]](&s.Memo)[f]
	if one := kept.Load(); one != nil {
		return *one
	}
	one := padded(renderFragment(s.Origin, f))
	kept.Store(&one)
	return one
}

func renderFragment(o files.Origin, f format) []byte {
	switch f {
	case formatJSON, formatNDJSON, formatEvents:
		return append(appendJSONOrigin(nil, o), jsonStyles[f].next...)
	case formatText:
		return appendPrintable(nil, []byte(folder(o)))
	default:
		return []byte(folder(o))
	}
}

// memo returns what is kept in m, at first a zero T.
func memo[T any](m *atomic.Value) *T {
	if kept, ok := m.Load().(*T); ok {
		return kept
	}
	m.CompareAndSwap(nil, new(T))
	return m.Load().(*T)
}
