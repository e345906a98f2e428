package render

// Format is a way to represent a list.
type Format uint8

// The formats. AnyFormat is none of them.
const (
	AnyFormat Format = iota
	JSON
	NDJSON
	Text
	NUL
	Events // changes of a list, not a list
	formatCount
)

// formats are the names and the media types of the formats.
var formats = [formatCount]struct{ name, mediaType string }{
	JSON:   {"json", "application/json"},
	NDJSON: {"ndjson", "application/x-ndjson"},
	Text:   {"text", "text/plain; charset=utf-8"},
	NUL:    {"nul", "application/octet-stream"},
	Events: {"events", "text/event-stream"},
}

// Formats returns all formats.
func Formats() []Format { return []Format{JSON, NDJSON, Text, NUL, Events} }

// FormatNamed returns the format of a name, or AnyFormat if there is none.
func FormatNamed(name string) Format {
	for _, f := range Formats() {
		if formats[f].name == name {
			return f
		}
	}
	return AnyFormat
}

func (f Format) String() string { return formats[f].name }

// MediaType returns the value of a Content-Type header.
func (f Format) MediaType() string { return formats[f].mediaType }

// Coding is how a list is compressed.
type Coding uint8

// The codings, by the names that HTTP has for them. NoCoding is none of them.
const (
	NoCoding Coding = iota
	Identity
	Gzip
	Zstd
	CodingCount
)

var codings = [CodingCount]string{Identity: "identity", Gzip: "gzip", Zstd: "zstd"}

func (c Coding) String() string { return codings[c] }

// CodingNamed returns the coding of a name, or NoCoding if there is none.
func CodingNamed(name string) Coding {
	for c := Identity; c < CodingCount; c++ {
		if codings[c] == name {
			return c
		}
	}
	return NoCoding
}
