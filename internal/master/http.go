package master

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"go.uber.org/zap"
)

// Handler serves the Listing over HTTP.
type Handler struct {
	mux     *http.ServeMux
	listing *Listing
	ready   func() error
	log     *zap.Logger
}

// NewHandler returns a Handler. ready says why scouts cannot be served now, or
// nil.
func NewHandler(l *Listing, ready func() error, log *zap.Logger) *Handler {
	h := &Handler{mux: http.NewServeMux(), listing: l, ready: ready, log: log}
	h.route("/files", h.files)
	h.route("/healthz", h.healthz)
	h.route("/readyz", h.readyz)
	h.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		problem(w, http.StatusNotFound, fmt.Sprintf("there is nothing at %s; try /files", r.URL.Path))
	})
	return h
}

// route serves a path to GET and HEAD.
func (h *Handler) route(path string, serve http.HandlerFunc) {
	h.mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			problem(w, http.StatusMethodNotAllowed, fmt.Sprintf("%s answers GET and HEAD, not %.20s", path, r.Method))
			return
		}
		serve(w, r)
	})
}

func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-cache")
	h.mux.ServeHTTP(w, r)
}

// problem answers with an error as RFC 9457 has it.
func problem(w http.ResponseWriter, status int, detail string) {
	body, err := json.Marshal(struct {
		Title  string `json:"title"`
		Status int    `json:"status"`
		Detail string `json:"detail"`
	}{http.StatusText(status), status, detail})
	if err != nil {
		panic(err) // strings and a number always marshal
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	w.Write(append(body, '\n')) //nolint:errcheck // the client has left
}

func (h *Handler) healthz(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	fmt.Fprintln(w, "ok") //nolint:errcheck // the client has left
}

func (h *Handler) readyz(w http.ResponseWriter, r *http.Request) {
	if err := h.ready(); err != nil {
		problem(w, http.StatusServiceUnavailable, err.Error())
		return
	}
	h.healthz(w, r)
}

// How the list is written: pieces so large that their cost is that of the
// bytes, and a client that takes none of a piece for so long has left.
const (
	writeSize    = 128 << 10
	writeTimeout = 5 * time.Minute
)

// files answers GET /files.
func (h *Handler) files(w http.ResponseWriter, r *http.Request) {
	prefixes, err := parseQuery(r)
	if err != nil {
		problem(w, http.StatusBadRequest, err.Error())
		return
	}
	w.Header().Set("Content-Type", "application/json")
	if r.Method == http.MethodHead {
		return
	}
	if err := writeList(w, h.listing.Current(), prefixes); err != nil {
		h.log.Debug("client left", zap.String("remote", r.RemoteAddr), zap.Error(err))
	}
}

// parseQuery returns the prefixes that are asked for, sorted and none of them
// covered by another. The empty prefix asks for everything.
func parseQuery(r *http.Request) ([][]byte, error) {
	query, err := url.ParseQuery(r.URL.RawQuery) // strict, where r.URL.Query drops in silence
	if err != nil {
		return nil, fmt.Errorf("the query is not well-formed: %w", err)
	}
	var prefixes [][]byte
	for key, values := range query {
		if key != "prefix" {
			return nil, fmt.Errorf("unknown parameter %.40q; /files knows prefix", key)
		}
		for _, v := range values {
			prefixes = append(prefixes, []byte(v))
		}
	}
	if prefixes == nil {
		return [][]byte{nil}, nil
	}
	slices.SortFunc(prefixes, bytes.Compare)
	return slices.CompactFunc(prefixes, func(a, b []byte) bool { return bytes.HasPrefix(b, a) }), nil
}

// writeList writes the entries whose names have one of the prefixes.
func writeList(w http.ResponseWriter, v *Version, prefixes [][]byte) error {
	out := pieces{w: w, deadline: http.NewResponseController(w).SetWriteDeadline}
	list := jsonList{buf: make([]byte, 0, writeSize+8<<10)}
	list.begin()
	entries := v.Entries()
	for _, prefix := range prefixes {
		entries.Seek(prefix)
		for entries.Next() && bytes.HasPrefix(entries.Name(), prefix) {
			list.add(entries.Name(), entries.Shared(), &entries.source().format)
			if len(list.buf) >= writeSize {
				if err := out.write(list.done()); err != nil {
					return err
				}
				list.next()
			}
		}
	}
	return out.write(list.end())
}

// pieces writes a long answer, each piece within writeTimeout.
type pieces struct {
	w        http.ResponseWriter
	deadline func(time.Time) error
}

func (p *pieces) write(piece []byte) error {
	err := p.deadline(time.Now().Add(writeTimeout))
	if err != nil && !errors.Is(err, http.ErrNotSupported) {
		return fmt.Errorf("set a write deadline: %w", err)
	}
	_, err = p.w.Write(piece)
	return err
}
