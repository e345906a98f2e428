package web

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"go.uber.org/zap"

	"scout/internal/listing"
)

// Handler serves the Listing over HTTP.
type Handler struct {
	mux     *http.ServeMux
	listing *listing.Listing
	render  *renderer
	ready   func() error
	log     *zap.Logger
}

// NewHandler returns a Handler. ready says why scouts cannot be served now, or
// nil.
func NewHandler(l *listing.Listing, ready func() error, log *zap.Logger) *Handler {
	h := &Handler{mux: http.NewServeMux(), listing: l, render: newRenderer(), ready: ready, log: log}
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

// files answers GET /files.
func (h *Handler) files(w http.ResponseWriter, r *http.Request) {
	q, err := parseQuery(r.URL.RawQuery)
	if err != nil {
		problem(w, http.StatusBadRequest, err.Error())
		return
	}
	write := h.render.writeJSON
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Vary", "Accept-Encoding")
	if acceptsGzip(r.Header) {
		write = h.render.writeGzip
		w.Header().Set("Content-Encoding", "gzip")
	}
	if r.Method == http.MethodHead {
		return
	}
	out := pieces{w: w, deadline: http.NewResponseController(w).SetWriteDeadline}
	if err := write(&out, h.listing.Current(), q); err != nil {
		h.log.Debug("client left", zap.String("remote", r.RemoteAddr), zap.Error(err))
	}
}

// renderer writes versions of the list. It may serve many requests at once.
type renderer struct {
	room *room // for text that is kept
}

func newRenderer() *renderer { return &renderer{room: newRoom(textRoom)} }

// writeJSON writes the entries that q selects.
func (r *renderer) writeJSON(out io.Writer, v *listing.Version, q *query) error {
	if _, err := io.WriteString(out, jsonHead); err != nil {
		return err
	}
	some, err := r.write(out, v, q)
	if err != nil {
		return err
	}
	_, err = io.WriteString(out, jsonEnd(some))
	return err
}

func (r *renderer) write(out io.Writer, v *listing.Version, q *query) (some bool, err error) {
	if isAll(v, q) {
		return r.writeAll(out, v)
	}
	return writeEntries(out, v, q)
}

// isAll reports whether q selects all entries, and all are in leaves.
func isAll(v *listing.Version, q *query) bool {
	return q.selectsAll() && v.Merged()
}

// writeTimeout is for how long a client may take nothing of what is written to
// it before it is taken to have left.
const writeTimeout = 5 * time.Minute

// pieces writes a long answer, each piece within writeTimeout.
type pieces struct {
	w        http.ResponseWriter
	deadline func(time.Time) error
}

func (p *pieces) Write(piece []byte) (int, error) {
	err := p.deadline(time.Now().Add(writeTimeout))
	if err != nil && !errors.Is(err, http.ErrNotSupported) {
		return 0, fmt.Errorf("set a write deadline: %w", err)
	}
	return p.w.Write(piece)
}
