package web

import (
	"bytes"
	"embed"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"time"

	"github.com/cespare/xxhash/v2"
)

// The page shows the list to people. It is a client like any other: it asks
// /files and /scouts.
//
//go:embed page
var pageFiles embed.FS

// pagePolicy lets the page load only its own files, and connect only to the
// scoutmaster that it came from.
const pagePolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// pageTypes are the media types of the files of the page, by extension. The
// system's table of types plays no part.
var pageTypes = map[string]string{
	".html": "text/html; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".svg":  "image/svg+xml",
}

// routePage serves the page at / and its files below /page/.
func (h *Handler) routePage() {
	files, err := fs.ReadDir(pageFiles, "page")
	if err != nil {
		panic(err) // it is part of the program
	}
	for _, f := range files {
		serve := pageFile(path.Join("page", f.Name()))
		if f.Name() == "index.html" {
			h.route("/{$}", serve) // its references are relative to this path
		} else {
			h.route("/page/"+f.Name(), serve)
		}
	}
}

func pageFile(name string) http.HandlerFunc {
	content, err := pageFiles.ReadFile(name)
	if err != nil {
		panic(err) // it is part of the program
	}
	tag := fmt.Sprintf("%q", fmt.Sprintf("%016x", xxhash.Sum64(content)))
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", pageTypes[path.Ext(name)])
		w.Header().Set("Content-Security-Policy", pagePolicy)
		w.Header().Set("Referrer-Policy", "no-referrer")
		w.Header().Set("ETag", tag)
		http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(content))
	}
}
