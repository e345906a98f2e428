package web

import (
	"testing"

	"scout/internal/render"
)

func TestAcceptedFormat(t *testing.T) {
	for header, want := range map[string]render.Format{
		"":    render.JSON,
		"*/*": render.JSON,
		"text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8": render.JSON,
		"text/html":       render.AnyFormat,
		"text/plain, */*": render.Text,
		"text/*":          render.Text,
		"TEXT/Plain; charset=utf-8; Q=0.5, application/x-ndjson;q=0.6": render.NDJSON,
		"application/x-ndjson, application/json":                       render.NDJSON,
		"application/json, application/x-ndjson":                       render.JSON,
		"application/*;q=0.2, application/octet-stream;q=0.9":          render.NUL,
		"application/json;q=0, application/*":                          render.NDJSON,
		"application/json;q=0, */*;q=0":                                render.AnyFormat,
		"application/json;q=2, text/plain;q=nan":                       render.JSON, // nothing that makes sense
		", ;q=1,, application/json;q=0.001":                            render.JSON,
	} {
		if got := acceptedFormat([]string{header}); got != want {
			t.Errorf("%q: %v, want %v", header, got, want)
		}
	}
	if got := acceptedFormat([]string{"text/html", "text/plain;q=0.1"}); got != render.Text {
		t.Errorf("of two lines: %v", got)
	}
}

func TestAcceptedCoding(t *testing.T) {
	for header, want := range map[string]render.Coding{
		"":                             render.Identity,
		"gzip":                         render.Gzip,
		"gzip, deflate, br, zstd":      render.Zstd,
		"deflate, gzip;q=0.5":          render.Gzip,
		"gzip;q=1.0, zstd;q=0.9":       render.Gzip,
		"GZIP ; Q=1":                   render.Gzip,
		"gzip;q=0":                     render.Identity,
		"gzip;q=0.000":                 render.Identity,
		"br":                           render.Identity,
		"*":                            render.Identity,
		"*;q=0":                        render.NoCoding,
		"gzip, *;q=0":                  render.Gzip,
		"gzip;q=0.5, *":                render.Identity,
		"identity;q=0":                 render.NoCoding,
		"identity;q=0, *":              render.Zstd,
		"identity;q=0, *, zstd;q=0":    render.Gzip,
		"identity, gzip;q=0.9":         render.Identity,
		"identity;q=0.5, x-gzip;q=0.6": render.Gzip,
		"gzip;q=x":                     render.Identity,
		"gzipped":                      render.Identity,
		"gzip;q=0.001":                 render.Gzip,
	} {
		if got := acceptedCoding([]string{header}); got != want {
			t.Errorf("%q: %q, want %q", header, got, want)
		}
	}
}
