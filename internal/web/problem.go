package web

import (
	"encoding/json"
	"net/http"
)

// problem is a kind of error, as RFC 9457 has it. Clients tell kinds apart by
// their types, so a type is never changed.
type problem struct {
	name   string // the type is the reference /problems/name
	status int
	title  string
}

var (
	badQuery         = problem{"bad-query", http.StatusBadRequest, "The query is not understood"}
	notFound         = problem{"not-found", http.StatusNotFound, "There is nothing at this path"}
	methodNotAllowed = problem{"method-not-allowed", http.StatusMethodNotAllowed, "The method is not allowed here"}
	notAcceptable    = problem{"not-acceptable", http.StatusNotAcceptable, "No representation is acceptable"}
	cursorExpired    = problem{"cursor-expired", http.StatusGone, "The cursor is from before a restart of the scoutmaster"}
	tooManyWatchers  = problem{"too-many-watchers", http.StatusServiceUnavailable, "Too many clients watch the list"}
	unauthorized     = problem{"unauthorized", http.StatusUnauthorized, "A token is needed"}
	queryTooLong     = problem{"query-too-long", http.StatusRequestURITooLong, "The query is too long"}
	crowded          = problem{"too-many-connections", http.StatusTooManyRequests, "There are too many connections from one address"}
	notReady         = problem{"not-ready", http.StatusServiceUnavailable, "The scoutmaster is not ready"}
)

// answer answers with the problem. detail says what was wrong this time.
func (p problem) answer(w http.ResponseWriter, detail string) {
	body, err := json.Marshal(struct {
		Type   string `json:"type"`
		Title  string `json:"title"`
		Status int    `json:"status"`
		Detail string `json:"detail"`
	}{"/problems/" + p.name, p.title, p.status, detail})
	if err != nil {
		panic(err) // strings and a number always marshal
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-cache")
	w.WriteHeader(p.status)
	w.Write(append(body, '\n')) //nolint:errcheck // the client has left
}
