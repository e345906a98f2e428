package web

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"scout/internal/render"
)

// plan is how a request to /files is answered. It is decided from the request
// alone.
type plan struct {
	query  *query
	kind   planKind
	format render.Format // of the answer, never AnyFormat
	coding render.Coding // of the answer, never NoCoding
	known  []string      // the entity tags of If-None-Match
}

// planKind is what a request waits for before it is answered.
type planKind uint8

const (
	planList   planKind = iota // nothing: the list as it is
	planPoll                   // a change of what is selected, or the end of wait
	planFresh                  // a rescan of the scouts that are selected
	planEvents                 // the answer goes on for as long as there are changes
)

// newPlan returns the plan for a request, or why it is refused. format is that of
// the path, or AnyFormat.
func newPlan(rawQuery string, header http.Header, format render.Format) (*plan, *refusal) {
	q, err := parseQuery(rawQuery)
	if err != nil {
		return nil, refuse(badQuery, err.Error())
	}
	if format != render.AnyFormat {
		if q.format != render.AnyFormat && q.format != format {
			return nil, refuse(badQuery, fmt.Sprintf("format: this path is for %s; ask /files for %s", format, q.format))
		}
		q.format = format
	}
	p := &plan{query: q, format: q.format, coding: acceptedCoding(header.Values("Accept-Encoding"))}
	if p.format == render.AnyFormat {
		p.format = acceptedFormat(header.Values("Accept"))
	}
	switch {
	case p.format == render.AnyFormat:
		return nil, refuse(notAcceptable, "Accept names none of "+mediaTypes())
	case p.coding == render.NoCoding:
		return nil, refuse(notAcceptable, noCodingAccepted)
	case q.after != nil && q.after.query != q.hash():
		return nil, refuse(badQuery, "after: the cursor belongs to a query with other conditions; keep host, directory, prefix, match and ignore_case from page to page")
	}
	p.kind = p.decideKind()
	for tag := range strings.SplitSeq(strings.Join(header.Values("If-None-Match"), ","), ",") {
		p.known = append(p.known, strings.TrimSpace(tag))
	}
	if p.kind == planEvents {
		p.resume(header)
	}
	if err := cmp.Or(p.checkEvents(), p.checkFresh()); err != nil {
		return nil, refuse(badQuery, err.Error())
	}
	return p, nil
}

const noCodingAccepted = "Accept-Encoding takes none of zstd, gzip and identity"

func (p *plan) decideKind() planKind {
	switch q := p.query; {
	case q.watch || p.format == render.Events:
		return planEvents
	case q.fresh > 0:
		return planFresh
	case q.wait > 0:
		return planPoll
	}
	return planList
}

// resume takes the header of a client that resumes, which knows better than the
// URL that it began with. An id that cannot be read is one of another list: the
// client is told the whole list, because an EventSource gives up for good after an
// error.
func (p *plan) resume(header http.Header) {
	last := header.Get("Last-Event-ID")
	if last == "" {
		return
	}
	p.query.lastEventID = nil
	if id, err := parseEventID(last); err == nil {
		p.query.lastEventID = &id
	}
}

// checkEvents returns an error, worded for the client, if the parameters about
// events do not fit the others.
func (p *plan) checkEvents() error {
	q := p.query
	switch {
	case p.kind != planEvents && q.lastEventID != nil:
		return errors.New("last_event_id: is for watching; add format=events, or format=ndjson&watch=true")
	case p.kind != planEvents:
		return nil
	case p.format != render.Events && p.format != render.NDJSON:
		return fmt.Errorf("watch: there are no events in the format %s; ask for format=ndjson or format=events", p.format)
	case q.limit > 0 || q.beginning() != nil || q.offset > 0 || q.count:
		return errors.New("limit, after, from, offset and count: are for one list; leave them out to watch")
	case q.wait > 0:
		return errors.New("wait: is for one list; leave it out to watch")
	}
	return nil
}

// checkFresh does the same for fresh.
func (p *plan) checkFresh() error {
	switch q := p.query; {
	case q.fresh == 0:
		return nil
	case p.kind == planEvents:
		return errors.New("fresh: is for one list; leave it out to watch")
	case q.wait > 0:
		return errors.New("fresh and wait: ask for one of them, what is on the disks now or what will change")
	}
	return nil
}

// vary returns the headers that the answer depends on.
func (q *query) vary() string {
	if q.format != render.AnyFormat {
		return "Accept-Encoding"
	}
	return "Accept, Accept-Encoding"
}

// preference is an element of a header such as Accept: a value, and how much the
// client likes it, from 0, not at all, to 1.
type preference struct {
	value  string // in lower case, without parameters
	weight float64
}

// preferences reads the values of a header such as Accept, in the order in which
// they are given. It leaves out elements that make no sense.
func preferences(header []string) (all []preference) {
	for element := range strings.SplitSeq(strings.Join(header, ","), ",") {
		value, parameters, _ := strings.Cut(element, ";")
		if value = strings.ToLower(strings.TrimSpace(value)); value == "" {
			continue
		}
		if weight := weightIn(parameters); weight >= 0 && weight <= 1 {
			all = append(all, preference{value, weight})
		}
	}
	return all
}

// weightIn returns the weight among the parameters of an element, or -1 if it is
// not a number.
func weightIn(parameters string) float64 {
	for parameter := range strings.SplitSeq(parameters, ";") {
		name, value, _ := strings.Cut(parameter, "=")
		if strings.EqualFold(strings.TrimSpace(name), "q") {
			weight, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			if err != nil {
				return -1
			}
			return weight
		}
	}
	return 1
}

// mediaTypes lists the types that a client can accept.
func mediaTypes() string {
	var types []string
	for _, f := range render.Formats() {
		types = append(types, f.MediaType())
	}
	return strings.Join(types, ", ")
}

// formatNames lists the formats that a client can ask for.
func formatNames() string {
	var names []string
	for _, f := range render.Formats() {
		names = append(names, f.String())
	}
	return strings.Join(names, ", ")
}

// acceptedFormat returns the format that the values of an Accept header like best,
// or AnyFormat if none is acceptable. Of formats that are liked alike it returns
// the one that is named most exactly, then the one that is named first. Without a
// header, it returns JSON.
func acceptedFormat(header []string) render.Format {
	ranges := preferences(header)
	if len(ranges) == 0 {
		return render.JSON
	}
	best, liking := render.AnyFormat, acceptance{}
	for _, f := range render.Formats() {
		if a := acceptanceOf(f, ranges); a.weight > 0 && a.better(liking) {
			best, liking = f, a
		}
	}
	return best
}

// acceptance is how a format is accepted.
type acceptance struct {
	weight    float64
	exactness int // 3: by name, 2: all of its main type, 1: everything, 0: not at all
	position  int // in the header
}

func (a acceptance) better(b acceptance) bool {
	switch {
	case a.weight != b.weight:
		return a.weight > b.weight
	case a.exactness != b.exactness:
		return a.exactness > b.exactness
	}
	return a.position < b.position
}

// acceptanceOf returns what the most exact range that covers a format says.
func acceptanceOf(f render.Format, ranges []preference) (a acceptance) {
	whole, _, _ := strings.Cut(f.MediaType(), ";")
	main, _, _ := strings.Cut(whole, "/")
	for i, r := range ranges {
		exactness := 0
		switch r.value {
		case whole:
			exactness = 3
		case main + "/*":
			exactness = 2
		case "*/*":
			exactness = 1
		}
		if exactness > a.exactness {
			a = acceptance{r.weight, exactness, i}
		}
	}
	return a
}

const (
	unnamed     = -1     // the weight of a coding that a client does not name
	leastWeight = 0.0001 // below any weight that is not 0
)

// acceptedCoding returns the coding that the values of an Accept-Encoding header
// like best, or NoCoding if none is acceptable. Of codings that are liked alike it
// returns the cheapest for both sides: zstd, then gzip, then identity.
func acceptedCoding(header []string) render.Coding {
	weights, others := [render.CodingCount]float64{unnamed, unnamed, unnamed, unnamed}, float64(unnamed)
	for _, e := range preferences(header) {
		if e.value == "*" {
			others = e.weight
		} else {
			weights[render.CodingNamed(strings.TrimPrefix(e.value, "x-"))] = e.weight
		}
	}
	switch {
	case weights[render.Identity] == 0:
		acceptOthers(&weights, others)
	case weights[render.Identity] == unnamed && others == unnamed:
		weights[render.Identity] = leastWeight
	case weights[render.Identity] == unnamed:
		weights[render.Identity] = others
	}
	best, liking := render.NoCoding, 0.0
	for _, c := range []render.Coding{render.Zstd, render.Gzip, render.Identity} {
		if weights[c] > liking {
			best, liking = c, weights[c]
		}
	}
	return best
}

// acceptOthers gives the codings that are not named the weight of all others. Only
// a client that refuses identity gets a coding that it does not name: one that
// takes everything may not know the coding.
func acceptOthers(weights *[render.CodingCount]float64, others float64) {
	for c, weight := range weights {
		if weight == unnamed {
			weights[c] = others
		}
	}
}
