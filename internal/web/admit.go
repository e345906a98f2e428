package web

import (
	"fmt"
	"net/http"
	"strings"
)

// Door is what a request has to get past before it is served.
type Door struct {
	// Room says why there is none for the connection from a remote address, or
	// nil.
	Room func(remote string) error
	// Check says what is wrong with the credentials of a request, or nil. What
	// tells nothing of files is everybody's.
	Check func(*http.Request) error
	// MaxQuery is how many bytes the query may have.
	MaxQuery int
}

// Guard serves next to those who get past the door.
func (d Door) Guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if d.admit(w, r) {
			next.ServeHTTP(w, r)
		}
	})
}

// admit answers those who do not get past the door.
func (d Door) admit(w http.ResponseWriter, r *http.Request) bool {
	if err := d.Room(r.RemoteAddr); err != nil {
		w.Header().Set("Connection", "close")
		w.Header().Set("Retry-After", "1")
		crowded.answer(w, err.Error())
		return false
	}
	if n := len(r.URL.RawQuery); n > d.MaxQuery {
		queryTooLong.answer(w, fmt.Sprintf(
			"the query has %d bytes, at most %d are taken: ask in parts", n, d.MaxQuery))
		return false
	}
	if err := d.Check(r); err != nil && !public(r.URL.Path) {
		w.Header().Set("WWW-Authenticate", challenge(r))
		unauthorized.answer(w, fmt.Sprintf("%v: send Authorization: Bearer and a secret of the scoutmaster's -http-token-file", err))
		return false
	}
	return true
}

// public reports whether a path is everybody's.
func public(path string) bool {
	switch path {
	case "/", "/healthz", "/readyz", "/openapi.json":
		return true
	}
	return strings.HasPrefix(path, "/page/")
}

// challenge asks for a token, and says so if one came that is no good.
func challenge(r *http.Request) string {
	if r.Header.Get("Authorization") == "" {
		return `Bearer realm="scoutmaster"`
	}
	return `Bearer realm="scoutmaster", error="invalid_token"`
}
