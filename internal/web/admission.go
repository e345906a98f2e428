package web

import (
	"fmt"
	"net/http"
	"strings"
	"time"
)

// Admission decides which requests are served.
type Admission struct {
	// Host reports whether the listener answers under the name in a request's Host
	// header. If it is nil, the listener answers under every name.
	Host func(header string) bool
	// Capacity returns why there is none for the connection from a remote
	// address, or nil.
	Capacity func(remote string) error
	// Check returns what is wrong with the credentials of a request, or nil. Paths
	// that tell nothing of files need none.
	Check func(*http.Request) error
}

// maxQuery is how many bytes a query may have. A list of a hundred prefixes fits.
const maxQuery = 16 << 10

// answerTimeout bounds every answer. Long answers set a new deadline before each
// part.
const answerTimeout = longestWait + writeTimeout

// Admit serves next to the requests that are admitted, and answers the others.
func (a Admission) Admit(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(answerTimeout)) // tests have none
		ignoreBody(w, r)
		if refused := a.refuse(w.Header(), r); refused != nil {
			refused.answer(w)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// ignoreBody makes the server answer without the body that a client has announced
// and may never send. No method that is served needs a body.
func ignoreBody(w http.ResponseWriter, r *http.Request) {
	if r.ContentLength == 0 || r.ProtoMajor != 1 { // HTTP/2 answers before the body comes
		return
	}
	w.Header().Set("Connection", "close")
	_ = http.NewResponseController(w).SetReadDeadline(time.Now()) // tests have none
}

// refuse returns why a request is refused, or nil. It sets the headers that the
// answer has then.
func (a Admission) refuse(header http.Header, r *http.Request) *refusal {
	if err := a.Capacity(r.RemoteAddr); err != nil {
		header.Set("Connection", "close")
		header.Set("Retry-After", "1")
		return refuse(tooManyConnections, err.Error())
	}
	if a.Host != nil && !a.Host(r.Host) {
		return refuse(unknownHost, fmt.Sprintf("%.100q is not a name of this machine: use localhost, or add the name with -http-host", r.Host))
	}
	if n := len(r.URL.RawQuery); n > maxQuery {
		return refuse(queryTooLong, fmt.Sprintf("the query has %d bytes, and at most %d are accepted: ask in parts", n, maxQuery))
	}
	if err := a.Check(r); err != nil && !isPublic(r.URL.Path) {
		header.Set("WWW-Authenticate", challenge(r))
		return refuse(unauthorized, fmt.Sprintf("%v: send Authorization: Bearer and a secret of the scoutmaster's -http-token-file", err))
	}
	return nil
}

// isPublic reports whether a path needs no credentials.
func isPublic(path string) bool {
	switch path {
	case "/", "/healthz", "/readyz", "/openapi.json":
		return true
	}
	return strings.HasPrefix(path, "/page/") || strings.HasPrefix(path, problemPath)
}

// challenge asks for a token, and says so if the one that came is invalid.
func challenge(r *http.Request) string {
	if r.Header.Get("Authorization") == "" {
		return `Bearer realm="scoutmaster"`
	}
	return `Bearer realm="scoutmaster", error="invalid_token"`
}
