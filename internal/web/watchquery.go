package web

import (
	"errors"
	"fmt"
	"net/http"
	"time"
)

// longestWait is the longest that an answer may be held back for. Few proxies
// have the patience for more.
const longestWait = 5 * time.Minute

func (q *query) parseWatch(value string) error {
	switch value {
	case "true":
		q.watch = true
	case "false":
	default:
		return fmt.Errorf("%.40q is neither true nor false", value)
	}
	return nil
}

func (q *query) parseLastEventID(value string) error {
	id, err := parseEventID(value)
	if err != nil {
		return fmt.Errorf("%.60q %w", value, err)
	}
	q.lastEventID = &id
	return nil
}

func (q *query) parseWait(value string) (err error) {
	if q.wait, err = time.ParseDuration(value); err != nil {
		return fmt.Errorf("%.40q is not a duration such as 500ms, 30s or 1m30s", value)
	}
	if q.wait <= 0 || q.wait > longestWait {
		return fmt.Errorf("%.40q is not more than 0 and at most %s", value, longestWait)
	}
	return nil
}

// watched reports whether what is asked for are changes.
func (a *answer) watched() bool { return a.query.watch || a.format == formatEvents }

// checkWatch looks at what watching has to do with, and takes the header of a
// client that resumes, which knows better than the URL that it began with. The
// error is for the client.
func (a *answer) checkWatch(header http.Header) error {
	q := a.query
	switch {
	case !a.watched() && q.lastEventID != nil:
		return errors.New("last_event_id: is for those who watch; add format=events, or format=ndjson&watch=true")
	case !a.watched():
		return nil
	case a.format != formatEvents && a.format != formatNDJSON:
		return fmt.Errorf("watch: there are no events in the format %s; ask for format=ndjson or format=events", a.format)
	case q.limit > 0 || q.after != nil:
		return errors.New("limit and after: are for one list; leave them out to watch")
	case q.wait > 0:
		return errors.New("wait: is for one list; leave it out to watch")
	}
	if last := header.Get("Last-Event-ID"); last != "" {
		if err := q.parseLastEventID(last); err != nil {
			return fmt.Errorf("Last-Event-ID: %w", err)
		}
	}
	return nil
}
