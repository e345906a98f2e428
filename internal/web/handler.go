package web

import (
	"fmt"
	"net/http"
	"strings"

	"go.uber.org/zap"

	"scout/internal/listing"
)

// Handler serves the Listing over HTTP.
type Handler struct {
	mux     *http.ServeMux
	listing *listing.Listing
	fleet   Fleet
	render  *renderer
	ready   func() error
	log     *zap.Logger

	watchers *watchers
}

// Options are what a Handler can be told.
type Options struct {
	Watchers int // how many clients may watch the list, or wait for it to change, at once
}

// NewHandler returns a Handler. ready says why scouts cannot be served now, or
// nil.
func NewHandler(l *listing.Listing, fleet Fleet, ready func() error, o Options, log *zap.Logger) *Handler {
	h := &Handler{
		mux: http.NewServeMux(), listing: l, fleet: fleet, render: newRenderer(), ready: ready, log: log,
		watchers: newWatchers(o.Watchers, log),
	}
	h.route("/files", h.files)
	h.route("/openapi.json", h.describe)
	h.routePage()
	h.route("/scouts", h.scouts)
	h.route("/healthz", h.healthz)
	h.route("/readyz", h.readyz)
	h.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		notFound.answer(w, fmt.Sprintf("there is nothing at %s; try /files or /scouts", r.URL.Path))
	})
	return h
}

// EndWatching ends all answers that would go on by themselves, from now on. It
// may be called at any time.
func (h *Handler) EndWatching() { h.watchers.end() }

// route serves a path to GET and HEAD.
func (h *Handler) route(path string, serve http.HandlerFunc) {
	h.mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			methodNotAllowed.answer(w, fmt.Sprintf("%s answers GET and HEAD, not %.20s", strings.TrimSuffix(path, "{$}"), r.Method))
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

func (h *Handler) healthz(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	fmt.Fprintln(w, "ok") //nolint:errcheck // the client has left
}

func (h *Handler) readyz(w http.ResponseWriter, r *http.Request) {
	if err := h.ready(); err != nil {
		notReady.answer(w, err.Error())
		return
	}
	h.healthz(w, r)
}
