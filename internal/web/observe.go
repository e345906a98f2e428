package web

import (
	"net/http"
	"strings"
	"time"
)

// Recorder counts requests. Any goroutine may call its methods, which return at
// once.
type Recorder interface {
	// Began: a request has arrived.
	Began()
	// Answered: a request has been answered. Its route is one that the handler
	// serves, or RouteOther, and never a client's invention.
	Answered(a Answer)
}

// Answer describes an answer.
type Answer struct {
	Route  string
	Status int
	Bytes  int64 // of the body, as sent
	Took   time.Duration
	// Stream is an answer that goes on as the list changes, so that Took says
	// nothing about speed.
	Stream bool
}

// RouteOther is the route of all paths that do not exist.
const RouteOther = "other"

// Observe returns a handler that serves as h does, and counts.
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

// route returns the path of a pattern of a ServeMux. All files of the page are one
// route, and so are all paths of the list.
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
	case strings.HasPrefix(path, "/files."):
		return "/files"
	case strings.HasPrefix(path, "/page/"):
		return "/page/"
	case strings.HasPrefix(path, problemPath):
		return problemPath
	}
	return path
}

// observed is a response that counts what is written to it.
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

// FlushError is for http.ResponseController. Only answers that go on as the list
// changes are flushed.
func (o *observed) FlushError() error {
	o.flushed = true
	return http.NewResponseController(o.ResponseWriter).Flush()
}

// Flush is for handlers that look for an http.Flusher.
func (o *observed) Flush() { _ = o.FlushError() }

// code returns the status that was sent, which is OK by default.
func (o *observed) code() int {
	if o.status == 0 {
		return http.StatusOK
	}
	return o.status
}
