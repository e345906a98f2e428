package web

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"go.uber.org/zap"

	"scout/internal/files"
	"scout/internal/listing"
	"scout/internal/render"
	"scout/internal/roster"
)

// Scouts is what the handler asks of the scouts behind the list. Any goroutine may
// call its methods.
type Scouts interface {
	// Barrier has the scouts of the wanted origins rescan their disks, and returns
	// the list when all have, or ctx is done. The list has everything that was on
	// their disks at the call, except for what the named scouts may lack.
	Barrier(ctx context.Context, wanted func(files.Origin) bool) (*listing.Version, []roster.Unconfirmed)
	// Roster says which scouts are registered, have left and were refused.
	Roster() roster.Roster
	// Ready returns why the list must not be served now, or nil: an error of
	// package roster. It returns it before a Version that must not be served is
	// current.
	Ready() error
	// ReadyChanged returns a channel that is closed when Ready may return something
	// else than before the call. It is nil if Ready always returns the same.
	ReadyChanged() <-chan struct{}
}

// Handler serves the Listing over HTTP.
type Handler struct {
	mux          *http.ServeMux
	listing      *listing.Listing
	scoutsBehind Scouts
	render       *render.Renderer
	ready        func() error
	deadline     time.Duration
	log          *zap.Logger

	watchers *watchers
}

// Options configure a Handler.
type Options struct {
	Watchers int // how many clients may watch the list, or wait for it to change, at once
	// Deadline is how long a request may wait for a revision that the client has
	// seen at another scoutmaster.
	Deadline time.Duration
}

// NewHandler returns a Handler. ready returns why this scoutmaster does not serve,
// whatever list it has, or nil.
func NewHandler(l *listing.Listing, scouts Scouts, ready func() error, o Options, log *zap.Logger) *Handler {
	h := &Handler{
		mux: http.NewServeMux(), listing: l, scoutsBehind: scouts, render: render.New(), ready: ready,
		deadline: o.Deadline, log: log,
		watchers: newWatchers(o.Watchers, log),
	}
	for path := range filePaths {
		h.route(path, h.files)
	}
	h.route("/openapi.json", h.describe)
	h.routePage()
	h.route("/scouts", h.scouts)
	h.route("/healthz", h.healthz)
	h.route("/readyz", h.readyz)
	h.route(problemPath, h.problemType)
	h.mux.HandleFunc("/", h.nothing)
	return h
}

// EndWatching ends all answers that go on by themselves, from now on. It may be
// called at any time.
func (h *Handler) EndWatching() { h.watchers.end() }

// Also serves a path of another handler, whose answers must be short. It must be
// called before the handler serves.
func (h *Handler) Also(path string, other http.Handler) { h.route(path, buffered(other)) }

// allowed are the methods that every path has an answer to.
const allowed = "GET, HEAD"

// route serves a path to GET and HEAD, and says so to OPTIONS.
func (h *Handler) route(path string, serve http.HandlerFunc) {
	h.mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
		switch r.Method {
		case http.MethodGet, http.MethodHead:
			serve(w, r)
		case http.MethodOptions:
			w.Header().Set("Allow", allowed)
			w.WriteHeader(http.StatusNoContent)
		default:
			w.Header().Set("Allow", allowed)
			refuse(methodNotAllowed, fmt.Sprintf("%s answers GET and HEAD, not %.20s", strings.TrimSuffix(path, "{$}"), r.Method)).answer(w)
		}
	})
}

func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-cache")
	h.mux.ServeHTTP(w, r)
}

// nothing answers for paths that are not there.
func (h *Handler) nothing(w http.ResponseWriter, r *http.Request) {
	refuse(notFound, fmt.Sprintf("there is nothing at %s; try /files or /scouts", r.URL.Path)).answer(w)
}

// healthz answers that the program runs.
func (h *Handler) healthz(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	fmt.Fprintln(w, "ok") //nolint:errcheck // the client has left
}

// readyz answers whether scouts and clients are served.
func (h *Handler) readyz(w http.ResponseWriter, r *http.Request) {
	if err := h.ready(); err != nil {
		refuse(notReady, err.Error()).answer(w)
		return
	}
	if refused := h.unready(); refused != nil {
		refused.answer(w)
		return
	}
	h.healthz(w, r)
}
