package web

import "testing"

func TestAccepted(t *testing.T) {
	for header, want := range map[string]format{
		"":    formatJSON,
		"*/*": formatJSON,
		"text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8": formatJSON,
		"text/html":       anyFormat,
		"text/plain, */*": formatText,
		"text/*":          formatText,
		"TEXT/Plain; charset=utf-8; Q=0.5, application/x-ndjson;q=0.6": formatNDJSON,
		"application/x-ndjson, application/json":                       formatNDJSON,
		"application/json, application/x-ndjson":                       formatJSON,
		"application/*;q=0.2, application/octet-stream;q=0.9":          formatNUL,
		"application/json;q=0, application/*":                          formatNDJSON,
		"application/json;q=0, */*;q=0":                                anyFormat,
		"application/json;q=2, text/plain;q=nan":                       formatJSON, // nothing that makes sense
		", ;q=1,, application/json;q=0.001":                            formatJSON,
	} {
		if got := accepted([]string{header}); got != want {
			t.Errorf("%q: %v, want %v", header, got, want)
		}
	}
	if got := accepted([]string{"text/html", "text/plain;q=0.1"}); got != formatText {
		t.Errorf("of two lines: %v", got)
	}
}

func TestAcceptedCoding(t *testing.T) {
	for header, want := range map[string]coding{
		"":                             identity,
		"gzip":                         codingGzip,
		"gzip, deflate, br, zstd":      codingZstd,
		"deflate, gzip;q=0.5":          codingGzip,
		"gzip;q=1.0, zstd;q=0.9":       codingGzip,
		"GZIP ; Q=1":                   codingGzip,
		"gzip;q=0":                     identity,
		"gzip;q=0.000":                 identity,
		"br":                           identity,
		"*":                            identity,
		"*;q=0":                        noCoding,
		"gzip, *;q=0":                  codingGzip,
		"gzip;q=0.5, *":                identity,
		"identity;q=0":                 noCoding,
		"identity;q=0, *":              codingZstd,
		"identity;q=0, *, zstd;q=0":    codingGzip,
		"identity, gzip;q=0.9":         identity,
		"identity;q=0.5, x-gzip;q=0.6": codingGzip,
		"gzip;q=x":                     identity,
		"gzipped":                      identity,
		"gzip;q=0.001":                 codingGzip,
	} {
		if got := acceptedCoding([]string{header}); got != want {
			t.Errorf("%q: %q, want %q", header, got, want)
		}
	}
}
