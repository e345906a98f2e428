package web

import "strings"

// format is a way to represent the list.
type format uint8

const (
	anyFormat format = iota // the client has not said; it is negotiated
	formatJSON
	formatNDJSON
	formatText
	formatNUL
	formatEvents // of changes, not of one list
	formatCount
)

// formats are the formats' names in a query and their types, by format. Where a
// client does not care, the first will do.
var formats = [formatCount]struct{ name, mediaType string }{
	formatJSON:   {"json", "application/json"},
	formatNDJSON: {"ndjson", "application/x-ndjson"},
	formatText:   {"text", "text/plain; charset=utf-8"},
	formatNUL:    {"nul", "application/octet-stream"},
	formatEvents: {"events", "text/event-stream"},
}

func (f format) String() string    { return formats[f].name }
func (f format) mediaType() string { return formats[f].mediaType }

// formatNamed returns the format of a name, or anyFormat when there is none.
func formatNamed(name string) format {
	for f := formatJSON; f < formatCount; f++ {
		if formats[f].name == name {
			return f
		}
	}
	return anyFormat
}

// formatNames lists what a client can ask for.
func formatNames() string {
	var names []string
	for _, f := range formats[formatJSON:] {
		names = append(names, f.name)
	}
	return strings.Join(names, ", ")
}

// mediaTypes lists what a client can accept.
func mediaTypes() string {
	var types []string
	for _, f := range formats[formatJSON:] {
		types = append(types, f.mediaType)
	}
	return strings.Join(types, ", ")
}

// accepted returns the format that the values of an Accept header like best, or
// anyFormat when none is acceptable. Of several liked alike it is the one that
// is named most exactly, then the one that is named first. Without a header, JSON
// is.
func accepted(header []string) format {
	ranges := weigh(header)
	if len(ranges) == 0 {
		return formatJSON
	}
	best, liking := anyFormat, accepting{}
	for f := formatJSON; f < formatCount; f++ {
		if a := acceptanceOf(f, ranges); a.weight > 0 && a.better(liking) {
			best, liking = f, a
		}
	}
	return best
}

// accepting says how a format is accepted.
type accepting struct {
	weight   float64
	exactly  int // 3 as itself, 2 with all of its main type, 1 with everything, 0 not at all
	position int // in the header
}

func (a accepting) better(b accepting) bool {
	switch {
	case a.weight != b.weight:
		return a.weight > b.weight
	case a.exactly != b.exactly:
		return a.exactly > b.exactly
	}
	return a.position < b.position
}

// acceptanceOf returns what the most exact range that covers a format says.
func acceptanceOf(f format, ranges []weighted) (a accepting) {
	whole, _, _ := strings.Cut(f.mediaType(), ";")
	main, _, _ := strings.Cut(whole, "/")
	for i, r := range ranges {
		exactly := 0
		switch r.value {
		case whole:
			exactly = 3
		case main + "/*":
			exactly = 2
		case "*/*":
			exactly = 1
		}
		if exactly > a.exactly {
			a = accepting{r.weight, exactly, i}
		}
	}
	return a
}
