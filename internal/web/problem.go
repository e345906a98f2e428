package web

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// problem is a kind of error, as RFC 9457 has it. Clients tell kinds apart by
// their types, so the name of a kind never changes.
type problem struct {
	name   string // the type is the reference /problems/name
	status int
	title  string
}

var (
	badQuery           = problem{"bad-query", http.StatusBadRequest, "The query is not understood"}
	notFound           = problem{"not-found", http.StatusNotFound, "There is nothing at this path"}
	methodNotAllowed   = problem{"method-not-allowed", http.StatusMethodNotAllowed, "The method is not allowed here"}
	notAcceptable      = problem{"not-acceptable", http.StatusNotAcceptable, "No representation is acceptable"}
	cursorExpired      = problem{"cursor-expired", http.StatusGone, "The cursor is from before a restart of the scoutmaster or a new start of the list"}
	tooManyWatchers    = problem{"too-many-watchers", http.StatusServiceUnavailable, "Too many clients watch the list"}
	unauthorized       = problem{"unauthorized", http.StatusUnauthorized, "A token is needed"}
	queryTooLong       = problem{"query-too-long", http.StatusRequestURITooLong, "The query is too long"}
	tooManyConnections = problem{"too-many-connections", http.StatusTooManyRequests, "There are too many connections from one address"}
	unknownHost        = problem{"unknown-host", http.StatusForbidden, "The host name of the request is not one of this listener"}
	notReady           = problem{"not-ready", http.StatusServiceUnavailable, "The scoutmaster is not ready"}
	behind             = problem{"behind", http.StatusServiceUnavailable, "The scoutmaster lags behind its fleet, or has not reached the revision that the client has seen"}
	cutOff             = problem{"cut-off", http.StatusServiceUnavailable, "The scoutmaster is cut off from the log of its fleet"}
	catchingUp         = problem{"catching-up", http.StatusServiceUnavailable, "The scoutmaster does not have the list of its fleet yet"}

	problems = []problem{
		badQuery, notFound, methodNotAllowed, notAcceptable, cursorExpired, tooManyWatchers,
		unauthorized, queryTooLong, tooManyConnections, unknownHost, notReady, behind, cutOff, catchingUp,
	}
)

// problemPath is where the types of problems are.
const problemPath = "/problems/"

// refusal is a problem with what was wrong this time.
type refusal struct {
	problem problem
	detail  string
	retry   int // seconds after which to try again; 0: no such advice
}

func refuse(p problem, detail string) *refusal { return &refusal{problem: p, detail: detail} }

// after adds when to try again.
func (r *refusal) after(seconds int) *refusal {
	r.retry = seconds
	return r
}

// answer answers with the problem.
func (r *refusal) answer(w http.ResponseWriter) {
	body, err := json.Marshal(struct {
		Type   string `json:"type"`
		Title  string `json:"title"`
		Status int    `json:"status"`
		Detail string `json:"detail"`
	}{problemPath + r.problem.name, r.problem.title, r.problem.status, r.detail})
	if err != nil {
		panic(err) // strings and a number always marshal
	}
	if r.retry > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(r.retry))
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-cache")
	w.WriteHeader(r.problem.status)
	w.Write(append(body, '\n')) //nolint:errcheck // the client has left
}

// problemType answers GET /problems/NAME with what the type means.
func (h *Handler) problemType(w http.ResponseWriter, r *http.Request) {
	name := strings.TrimPrefix(r.URL.Path, problemPath)
	i := slices.IndexFunc(problems, func(p problem) bool { return p.name == name })
	if i < 0 {
		h.nothing(w, r)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	fmt.Fprintf(w, "%s (status %d)\n", problems[i].title, problems[i].status) //nolint:errcheck // the client has left
}
