package web

import (
	"net/http"
	"strings"
	"time"
)

// Recorder counts requests. Its methods are called by many at once, and return
// at once.
type Recorder interface {
	// Began: a request has arrived.
	Began()
	// Answered: it has been answered. The route is one of those that the handler
	// knows, or RouteOther, never what a client has made up.
	Answered(a Answer)
}

// Answer is what is counted of an answer.
type Answer struct {
	Route  string
	Status int
	Bytes  int64 // of the body, as sent
	Took   time.Duration
	// Stream is an answer that goes on as things change, so that how long it
	// took says nothing.
	Stream bool
}

// RouteOther is the route of all that is asked for and does not exist.
const RouteOther = "other"

// Observe serves as h does, and counts.
func Observe(h http.Handler, rec Recorder) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		rec.Began()
		o := &observed{ResponseWriter: w}
		defer func() {
			rec.Answered(Answer{
				Route: route(r.Pattern), Status: o.code(), Bytes: o.bytes,
				Took: time.Since(began), Stream: o.flushed,
			})
		}()
		h.ServeHTTP(o, r)
	})
}

// route is the path of a ServeMux's pattern. What the page consists of is one.
func route(pattern string) string {
	_, path, found := strings.Cut(pattern, " ")
	if !found {
		path = pattern
	}
	switch {
	case path == "", path == "/":
		return RouteOther
	case path == "/{$}":
		return "/"
	case strings.HasPrefix(path, "/page/"):
		return "/page/"
	}
	return path
}

// observed is a response that remembers what was made of it.
type observed struct {
	http.ResponseWriter

	status  int
	bytes   int64
	flushed bool
}

// Unwrap is for http.ResponseController.
func (o *observed) Unwrap() http.ResponseWriter { return o.ResponseWriter }

func (o *observed) WriteHeader(status int) {
	if o.status == 0 && status >= http.StatusOK {
		o.status = status
	}
	o.ResponseWriter.WriteHeader(status)
}

func (o *observed) Write(p []byte) (int, error) {
	n, err := o.ResponseWriter.Write(p)
	o.bytes += int64(n)
	return n, err
}

// FlushError is for http.ResponseController. Only answers that go on as things
// change are flushed.
func (o *observed) FlushError() error {
	o.flushed = true
	return http.NewResponseController(o.ResponseWriter).Flush()
}

// Flush is for those who ask for an http.Flusher.
func (o *observed) Flush() { _ = o.FlushError() }

// code is the status that was sent: OK is when nothing else was said.
func (o *observed) code() int {
	if o.status == 0 {
		return http.StatusOK
	}
	return o.status
}

// Also serves a path of somebody else's beside the handler's own. It is called
// before the handler serves.
func (h *Handler) Also(path string, other http.Handler) { h.route(path, other.ServeHTTP) }
